"""An order found by its number: who may look, what is said of whose it is, and how it opens."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from plugin import flow, sessions
from plugin.errors import NotAllowed, NothingHere
from plugin.legacy import import_legacy
from plugin.permissions import fingerprint
from plugin.searching import search
from plugin.shapes import Customer, Place, Session
from plugin.tokens import FoundClaims, SessionClaims
from plugin.views import masked
from plugin.web import create_web
from tests.world import BASE, DOMAIN, REFUND, World, outcome, typed, world

ADA, NUMBER = 1001, 1041  # Ada is before us; the order is Edna's


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("shop")) as one:
        yield one


@pytest.fixture
def shop(opened: World) -> World:
    """One for the whole file: looking changes nothing, and each test that acts has an order of its own."""
    return replace(opened)


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def client(shop: World) -> FlaskClient:
    return create_web(shop.app).test_client()


def rows(shop: World, number: str, session: Session | None = None) -> list[dict[str, Any]]:
    view = search(shop.tools, shop.app.tokens, session or shop.session(ADA), number)
    return [dict(one) for one in view.context["rows"]]


def proof(shop: World) -> str:
    return str(rows(shop, str(NUMBER))[0]["proof"])


def lent(shop: World, **changes: Any) -> Session:
    """The session of Ada's card with a proof for Edna's order."""
    claims = SessionClaims("ana", "Ana", "supervisor", seal(shop, "supervisor"), shop.customer(ADA), None, None)
    found = shop.app.tokens.open_found(proof(shop))
    assert found is not None
    return sessions.session_of(shop.tools, replace(claims, **changes), proof=found)


def seal(shop: World, name: str) -> str:
    return fingerprint(shop.tools.bundle.permission_sets[name])


@pytest.mark.parametrize("number", ["1041", "#1041", " #1041 "])
def test_an_order_is_found_by_exactly_its_number_and_said_to_be_somebody_elses(shop: World, number: str) -> None:
    shop.forget_calls()
    found = rows(shop, number)
    assert [(one["name"], one["store_name"], one["whose"], one["url"]) for one in found] == [
        ("#1041", "Sandbox store", "Of somebody else: e•••@e•••.com", f"/stores/{DOMAIN}/orders/{BASE + NUMBER}")
    ]
    assert shop.calls() == 1


@pytest.mark.parametrize("number", ["104", "10411", "", "#", '1041" OR name:"1001', "edna@example.com"])
def test_nothing_but_the_exact_number_finds_an_order(shop: World, number: str) -> None:
    assert rows(shop, number) == []


def test_the_customers_own_order_opens_without_a_proof(shop: World) -> None:
    assert [(one["whose"], one["proof"]) for one in rows(shop, str(ADA))] == [("Of this customer", None)]


def test_without_the_permission_nothing_is_asked(shop: World) -> None:
    shop.group = "Support agents"
    shop.forget_calls()
    with pytest.raises(NotAllowed, match="Find an order by its number"):
        rows(shop, str(NUMBER))
    assert (shop.calls(), shop.rows(ADA)["find_url"]) == (0, None)


def test_a_proof_opens_the_order_and_says_whose_it_is(shop: World) -> None:
    view = flow.order(shop.tools, lent(shop), shop.place(NUMBER))
    assert view.card == "order_view"
    assert view.context["stranger"].startswith(
        "This order is not of the customer before you, but of somebody else (e•••@e•••.com)."
    )
    assert shop.order(ADA).context["stranger"] is None


def test_without_a_proof_it_stays_shut(shop: World) -> None:
    rows(shop, str(NUMBER))
    session = shop.session(ADA)
    for step in (flow.order, lambda *given: flow.open_form(given[0], shop.app.tokens, *given[1:], REFUND)):
        with pytest.raises(NothingHere):
            step(shop.tools, session, shop.place(NUMBER))


@pytest.mark.parametrize(
    "changes",
    [{"agent_id": "sam"}, {"customer": Customer("c2", "bilal@example.com", "Bilal")}, {"permission_set": "agent"}],
)
def test_a_proof_is_of_one_agent_beside_one_customer_with_the_permission(shop: World, changes: Any) -> None:
    if "permission_set" in changes:
        changes = {**changes, "permission_hash": seal(shop, "agent")}
    with pytest.raises(NothingHere):
        flow.order(shop.tools, lent(shop, **changes), shop.place(NUMBER))


def test_a_proof_opens_one_order_only(shop: World) -> None:
    with pytest.raises(NothingHere):
        flow.order(shop.tools, lent(shop), shop.place(1010))


def test_a_proof_ends_after_a_quarter_of_an_hour_and_no_other_token_is_one(shop: World) -> None:
    tokens, now = shop.app.tokens, shop.tools.clock.now()
    claims = FoundClaims("ana", "c1", shop.place(NUMBER))
    session = SessionClaims("ana", "Ana", "supervisor", "", shop.customer(ADA), None, None)

    def opened(at: datetime) -> FoundClaims | None:
        return tokens.open_found(tokens.seal_found(claims, at))

    assert (opened(now - timedelta(seconds=890)), opened(now - timedelta(seconds=901))) == (claims, None)
    assert [tokens.open_found(one) for one in ("", "x", tokens.seal_session(session, now))] == [None, None, None]


def test_what_is_done_to_it_is_done_once_and_kept_as_found_by_number(shop: World) -> None:
    session, place, tools = lent(shop), shop.place(NUMBER), shop.tools
    opened = flow.open_form(tools, shop.app.tokens, session, place, REFUND)
    for step in (flow.preview, flow.submit):
        raw = typed(opened)
        raw["lines"] = dict(zip(raw["lines"], ["1", "0"], strict=True))
        opened = step(tools, shop.app.tokens, session, place, REFUND, raw, opened.context["form"]["token"])
    assert outcome(opened)["state"] == "done"
    run = tools.runs.runs_of(place)[0]
    assert (run.facts["found_by_number"], run.customer_id, len(shop.ledger(NUMBER)["refunds"])) == (True, "c1", 1)
    assert flow.follow(tools, shop.session(ADA), place, run.id).card == "outcome"


def test_an_older_apps_order_stays_a_number_when_it_is_found(shop: World) -> None:
    old = "2026-01-01T00:00:00Z"
    row = {"id": BASE + 1018, "name": "#1018", "created_at": old, "updated_at": old, "email": "bilal@example.com"}
    import_legacy(shop.tools, DOMAIN, json.dumps(row), "old.json")
    session = replace(shop.session(ADA), found=shop.place(1018))
    assert flow.order(shop.tools, session, shop.place(1018)).context["title"] == "Order #1018"


def test_every_use_is_in_the_log(shop: World, logged: list[dict[str, Any]]) -> None:
    rows(shop, "nobody@example.com")
    lent(shop)
    told = [one for one in logged if one["event"].startswith("order.")]
    place = {"store": DOMAIN, "order": str(BASE + NUMBER)}
    assert told == [
        {"event": "order.searched", "log_level": "info", "agent": "ana"},
        {"event": "order.searched", "log_level": "info", "agent": "ana", **place},
        {"event": "order.lent", "log_level": "warning", "agent": "ana", **place},
    ]


def test_a_store_that_does_not_answer_is_named_and_the_others_are_shown(shop: World) -> None:
    shop.fault("502-before", on="query", times=3)
    view = search(shop.tools, shop.app.tokens, shop.session(ADA), str(NUMBER))
    assert (view.context["rows"], [one.partition(":")[0] for one in view.context["problems"]]) == (
        [], ["Sandbox store"],
    )  # fmt: skip


def test_the_proof_travels_in_a_header_beside_the_session(client: FlaskClient, shop: World) -> None:
    claims = SessionClaims("ana", "Ana", "supervisor", seal(shop, "supervisor"), shop.customer(ADA), None, None)
    token = shop.app.tokens.seal_session(claims, shop.tools.clock.now())

    def get(url: str, **headers: str) -> TestResponse:
        return client.get(url, headers={"Authorization": f"Bearer {token}", **headers})

    found = get("/orders/find?number=1041").get_data(as_text=True)
    sent = found.partition('data-found="')[2].partition('"')[0]
    url = f"/stores/{DOMAIN}/orders/{BASE + NUMBER}"
    statuses = [get(url, **given).status_code for given in ({}, {"X-Order-Found": "x"}, {"X-Order-Found": sent})]
    assert statuses == [404, 404, 200]
    assert client.get(url, headers={"X-Order-Found": sent}).status_code == 401


@pytest.mark.parametrize(
    ("email", "shown"),
    [("edna@example.com", "e•••@e•••.com"), ("a@b", "a•••@b•••"), ("", "no e-mail"), ("@x.com", "no e-mail")],
)
def test_an_address_is_masked(email: str, shown: str) -> None:
    assert masked(email) == shown


def test_a_store_without_its_older_orders_says_so_where_they_are_missed(shop: World) -> None:
    info = shop.tools.commerce.stores()[0]
    limited = replace(info, scopes=frozenset({"read_orders"}))
    whole = replace(info, scopes=frozenset({"read_orders", "read_all_orders"}))
    told = {}
    for name, one in (("limited", limited), ("whole", whole), ("unknown", info)):
        commerce = Stores(shop, one)
        tools = replace(shop.tools, commerce=commerce)
        view = search(tools, shop.app.tokens, shop.session(ADA), "77")
        told[name] = (view.context["limited"], flow.card(tools, shop.session(ADA)).context["limited"])
    assert told["whole"] == told["unknown"] == (None, None)
    assert told["limited"][0] == told["limited"][1]
    assert str(told["limited"][0]).startswith("Orders older than 60 days are not shown for Sandbox store:")


def test_without_its_scope_a_phone_is_not_looked_for_and_who_has_nothing_else_is_told(shop: World) -> None:
    limited = replace(shop.tools.commerce.stores()[0], scopes=frozenset({"read_orders"}))
    tools = replace(shop.tools, commerce=Stores(shop, limited))
    told = []
    for email in ("", "nobody@example.com"):
        session = replace(shop.session(ADA), customer=Customer("c8", email, "Gita", "+15550101007"))
        told.append(flow.card(tools, session).context["problem"])
    assert told == [
        "To find orders by phone the app needs the access scope read_customers for Sandbox store.", None,
    ]  # fmt: skip


class Stores:
    """The shop's own commerce, with another list of stores."""

    def __init__(self, shop: World, info: Any) -> None:
        self.read, self.send = shop.tools.commerce.read, shop.tools.commerce.send
        self.stores = lambda: [info]


def test_a_customer_with_a_phone_alone_sees_their_orders(shop: World) -> None:
    session = replace(shop.session(ADA), customer=Customer("c8", "", "Gita", "+15550101008"))
    listed = flow.card(shop.tools, session).context
    assert ([one["name"] for one in listed["rows"]], listed["problem"]) == (["#1042"], None)
    place = Place(DOMAIN, str(BASE + 1042))
    assert flow.order(shop.tools, session, place).card == "order_view"
    with pytest.raises(NothingHere):
        flow.order(shop.tools, replace(session, customer=Customer("c9", "", "", "+15550101009")), place)
