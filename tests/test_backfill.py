"""Orders brought in by a bulk operation: taken up after a kill, repeated without harm, from Shopify only."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
import requests
import responses
from click.testing import CliRunner
from sqlalchemy import func, select

from plugin import backfill as under_test
from plugin.backfill import Report, Result, bring_in, collect, warning
from plugin.cli_orders import backfill as command
from plugin.errors import FixTheSetup, TryLater
from plugin.ports import Gone, Tools
from plugin.sandbox.store.state import Store
from plugin.shapes import Backfill, Customer, Place
from plugin.stores.tables import backfills, customers_seen, orders
from plugin.wire import is_export
from tests.shared import vectors
from tests.world import BASE, DOMAIN, World, variables, world

LONG_AGO = date(2020, 1, 1)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("shop")) as one:
        one.served.state.settings.bulk_delay = 0.0
        yield one


@pytest.fixture
def shop(opened: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """One store for the whole file, and no order known of it."""
    monkeypatch.setattr(under_test, "PAUSE", 0.05)
    with opened.app.engine.begin() as tx:
        for table in (orders, customers_seen, backfills):
            tx.execute(table.delete())
    with store(opened).lock:
        store(opened).bulks.clear()
    opened.forget_calls()
    return opened


def store(shop: World) -> Store:
    return shop.served.state


def all_in(shop: World, since: date = LONG_AGO, tools: Tools | None = None) -> Report:
    tools = tools or shop.tools
    return bring_in(tools, DOMAIN, collect(tools, DOMAIN, since))


def count(shop: World) -> int:
    with shop.app.engine.connect() as tx:
        return int(tx.execute(select(func.count()).select_from(orders)).scalar_one())


class Exports:
    """The shop's own commerce, whose exports are told here."""

    def __init__(self, shop: World, export: Callable[[str, str], Iterator[bytes]]) -> None:
        self.read, self.send, self.ask = shop.tools.commerce.read, shop.tools.commerce.send, shop.tools.commerce.ask
        self.stores, self.export = shop.tools.commerce.stores, export


def told(shop: World, *lines: dict[str, Any] | bytes) -> Tools:
    """Tools whose export has these lines."""
    rows = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
    return replace(shop.tools, commerce=Exports(shop, lambda store, url: iter(rows)))


def line(number: int, updated: str = "2026-01-02T00:00:00Z", **changes: Any) -> dict[str, Any]:
    money = {"presentmentMoney": {"amount": "12.0", "currencyCode": "USD"}}
    return {
        "id": f"gid://shopify/Order/{BASE + number}", "name": f"#{number}", "email": "ada@example.com", "phone": None,
        "createdAt": "2026-01-01T00:00:00Z", "updatedAt": updated, "cancelledAt": None,
        "displayFinancialStatus": "PAID", "displayFulfillmentStatus": "UNFULFILLED",
        "totalPriceSet": money, "totalRefundedSet": money, **changes,
    }  # fmt: skip


# ---------------------------------------------------------------- all of them


def test_every_order_comes_in_and_stands_on_its_customers_card(shop: World) -> None:
    report = all_in(shop)
    assert (report, count(shop)) == (Report(newer=42), 42)
    shop.tools.orders.mark_listed(DOMAIN, "edna@example.com", shop.tools.clock.now())
    shop.forget_calls()
    rows = shop.rows(1041)["rows"]
    assert ([(one["name"], one["status"], one["amount"].show()) for one in rows], shop.calls()) == (
        [("#1041", "Unfulfilled", "$57.45")], 0,
    )  # fmt: skip
    gita = Customer("c", "", "Gita", "+15550101008")
    assert [one.name for one in shop.tools.orders.orders_of(gita)] == ["#1042"]


def test_only_orders_since_that_day_come_in(shop: World) -> None:
    since = shop.tools.clock.now().date() - timedelta(days=5)
    all_in(shop, since)
    with shop.app.engine.connect() as tx:
        oldest = tx.execute(select(func.min(orders.c.created_at))).scalar_one()
    assert (oldest[:10] >= since.isoformat(), 0 < count(shop) < 42) == (True, True)


def test_one_operation_is_asked_for_and_nothing_of_it_stays(shop: World) -> None:
    all_in(shop)
    assert (shop.sent()[0], shop.sent().count("bulkOperationRunQuery")) == ("bulkOperationRunQuery", 1)
    assert shop.tools.orders.backfill(DOMAIN) is None


def test_repeating_changes_nothing(shop: World) -> None:
    all_in(shop)
    before = shop.tools.orders.order(shop.place(1001))
    assert (all_in(shop).unread, shop.tools.orders.order(shop.place(1001)), count(shop)) == (0, before, 42)


def test_no_orders_are_no_lines(shop: World) -> None:
    assert all_in(shop, date(2999, 1, 1)) == Report()


def test_a_crm_that_keeps_orders_is_owed_those_it_can_find_a_customer_for(shop: World) -> None:
    host = replace(shop.tools.host, keeps_orders=True)  # type: ignore[type-var]
    tools = replace(told(shop, line(1), line(2, email=None, phone="+15550100002"), line(3, email=None)), host=host)
    bring_in(tools, DOMAIN, Result(Backfill("2020-01-01", "x", 0), "x", 3))
    owed = {one.row.name: one.email for one in shop.tools.crm.owed(shop.tools.clock.now())}
    assert owed == {"#1": "ada@example.com", "#2": "+15550100002"}


# ---------------------------------------------------------------- lines


def test_newer_wins_parts_are_passed_over_and_what_is_no_order_is_counted(shop: World) -> None:
    lines = [
        line(1, "2026-01-03T00:00:00Z"), line(1, "2026-01-02T00:00:00Z", name="#old"),
        {"id": "gid://shopify/LineItem/1", "__parentId": f"gid://shopify/Order/{BASE + 1}"},
        b"{", b"[]", b"5", line(2, updatedAt="yesterday"), line(3, totalPriceSet=None), line(4),
    ]  # fmt: skip
    report = bring_in(told(shop, *lines), DOMAIN, Result(Backfill("2020-01-01", "x", 0), "x", len(lines)))
    assert (report, count(shop)) == (Report(newer=2, known=1, unread=5), 2)
    assert [one.name for one in shop.tools.orders.orders_of(Customer("c", "ada@example.com", ""))] == ["#4", "#1"]


def test_a_legacy_order_is_healed_by_a_newer_line_only(shop: World) -> None:
    old = {"name": "#1", "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-02T00:00:00Z"}
    place = Place(DOMAIN, str(BASE + 1))
    shop.tools.orders.put_legacy(place, "ada@example.com", old)
    legacy = []
    for updated in ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"):
        bring_in(told(shop, line(1, updated)), DOMAIN, Result(Backfill("2020-01-01", "x", 0), "x", 1))
        row = shop.tools.orders.order(place)
        legacy.append(row is not None and row.legacy)
    assert legacy == [True, False]


# ---------------------------------------------------------------- interrupted


def test_after_a_kill_the_same_operation_goes_on_where_it_was(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "STRIDE", 10)

    def killed(line: int) -> None:
        if line == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring_in(shop.tools, DOMAIN, collect(shop.tools, DOMAIN, LONG_AGO), killed)
    assert (count(shop), shop.tools.orders.backfill(DOMAIN).lines) == (25, 20)  # type: ignore[union-attr]
    assert all_in(shop) == Report(newer=22)
    assert (count(shop), shop.sent().count("bulkOperationRunQuery")) == (42, 1)


def test_a_kill_while_shopify_collects_leaves_the_operation_to_go_on_with(shop: World) -> None:
    store(shop).settings.bulk_delay = 60.0

    def killed(found: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(shop.tools, DOMAIN, LONG_AGO, killed)
    store(shop).settings.bulk_delay = 0.0
    assert (all_in(shop), shop.sent().count("bulkOperationRunQuery")) == (Report(newer=42), 1)


def test_another_day_is_another_operation(shop: World) -> None:
    collect(shop.tools, DOMAIN, LONG_AGO)
    collect(shop.tools, DOMAIN, date(2999, 1, 1))
    assert shop.sent().count("bulkOperationRunQuery") == 2


def test_a_lost_operation_is_asked_for_again(shop: World) -> None:
    collect(shop.tools, DOMAIN, LONG_AGO)
    with store(shop).lock:
        store(shop).bulks.clear()
    assert all_in(shop) == Report(newer=42)


def test_a_result_that_is_gone_is_asked_for_anew_next_time(shop: World) -> None:
    result = collect(shop.tools, DOMAIN, LONG_AGO)
    with store(shop).lock:
        next(iter(store(shop).bulks.values())).lines = []
    with pytest.raises(TryLater, match="no longer has"):
        bring_in(shop.tools, DOMAIN, result)
    assert shop.tools.orders.backfill(DOMAIN) is None


def test_an_answer_that_breaks_off_is_told_and_kept(shop: World) -> None:
    kept = Backfill("2020-01-01", "x", 0)
    shop.tools.orders.keep_backfill(DOMAIN, kept)
    with pytest.raises(TryLater, match="after 1 of 3 lines"):
        bring_in(told(shop, line(1)), DOMAIN, Result(kept, "x", 3))
    assert (shop.tools.orders.backfill(DOMAIN), count(shop)) == (kept, 1)


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("TIMEOUT", "begin with a later --since"),
        ("ACCESS_DENIED", "may not read"),
        ("INTERNAL_SERVER_ERROR", "error of"),
    ],
)
def test_an_operation_that_failed_says_why_and_is_forgotten(shop: World, code: str, said: str) -> None:
    store(shop).bulk_fails = code
    with pytest.raises(FixTheSetup, match=said):
        collect(shop.tools, DOMAIN, LONG_AGO)
    assert all_in(shop) == Report(newer=42)


def test_when_shopify_is_busy_nothing_is_kept(shop: World) -> None:
    store(shop).settings.bulk_delay = 60.0
    document = under_test.EXPORT % ("2020-01-01", "id")
    for _ in range(5):
        shop.tools.commerce.read(DOMAIN, under_test.RUN, {"query": document})
    with pytest.raises(TryLater, match="already in progress"):
        collect(shop.tools, DOMAIN, LONG_AGO)
    store(shop).settings.bulk_delay = 0.0
    assert shop.tools.orders.backfill(DOMAIN) is None


ADDRESS = "https://storage.googleapis.com/shopify-tiers/x?GoogleAccessId=a%40b&Signature=%3D"


def test_an_export_is_read_from_shopifys_storage_or_the_sandbox_only() -> None:
    taken = [
        one["url"] for one in vectors("ssrf_urls.json")["vectors"] if is_export(one["url"], "https://x.myshopify.com")
    ]
    assert taken == []
    assert is_export(ADDRESS, "https://x.myshopify.com")
    sandbox = "http://127.0.0.1:9100"
    assert is_export(f"{sandbox}/bulk/1.jsonl", sandbox)
    others = [
        f"{sandbox}/bulk/1.jsonl", ADDRESS.replace("https", "http"), ADDRESS.replace(".com/", ".com:444/"),
        ADDRESS.replace("//", "//me@"), ADDRESS.replace(".com/", ".com.evil.example/"), f"{ADDRESS}\n",
        f"{ADDRESS}\\@x",
        ADDRESS.replace("com/", "com\\@evil.example/"), "https://x.myshopify.com/bulk/1.jsonl",
    ]  # fmt: skip
    assert [one for one in others if is_export(one, "https://x.myshopify.com")] == []
    assert [one for one in others[1:] if is_export(one, sandbox)] == []
    assert not is_export("http://127.0.0.1:9100@evil.example/bulk/1", "http://127.0.0.1:9100@evil.example")


@responses.activate
def test_the_result_is_asked_for_without_our_token(shop: World) -> None:
    responses.get(ADDRESS, body=f"{json.dumps(line(1))}\n{json.dumps(line(2))}")
    assert len(list(shop.tools.commerce.export(DOMAIN, ADDRESS))) == 2
    sent = responses.calls[0].request.headers
    assert [name for name in sent if "token" in name.lower() or "auth" in name.lower()] == []


@responses.activate
@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        ({"status": 403}, Gone), ({"status": 404}, Gone), ({"status": 500}, TryLater),
        ({"status": 302, "headers": {"Location": "https://evil.example/"}}, TryLater),
        ({"body": b"x" * (3 << 20)}, TryLater), ({"body": requests.ConnectionError("cut")}, TryLater),
    ],
)  # fmt: skip
def test_what_a_storage_may_answer_is_told_apart(shop: World, answer: Any, raised: type[Exception]) -> None:
    responses.get(ADDRESS, **answer)
    with pytest.raises(raised):
        list(shop.tools.commerce.export(DOMAIN, ADDRESS))
    assert len(responses.calls) == 1


def test_another_address_is_not_even_asked(shop: World) -> None:
    result = replace(collect(shop.tools, DOMAIN, LONG_AGO), url="http://169.254.169.254/latest")
    with pytest.raises(FixTheSetup, match=r"'169\.254\.169\.254', which is not its known storage"):
        bring_in(shop.tools, DOMAIN, result)


def test_sixty_days_are_all_an_app_without_the_scope_is_given(shop: World) -> None:
    info = shop.tools.commerce.stores()[0]
    today = shop.tools.clock.now().date()
    limited = replace(info, scopes=frozenset({"read_orders"}))
    days = [today - timedelta(days=60), today - timedelta(days=61)]
    told = [warning(one, day, today) is None for one in (limited, info) for day in days]
    assert told == [True, False, True, True]
    with store(shop).lock:
        one = store(shop).orders[BASE + 1001]
        aged = replace(one, created=one.created - timedelta(days=60))
        store(shop).orders[one.id], scopes = aged, store(shop).scopes
        store(shop).scopes = scopes - {"read_all_orders"}
    try:
        assert all_in(shop) == Report(newer=41)
    finally:
        with store(shop).lock:
            store(shop).orders[one.id], store(shop).scopes = one, scopes


def test_the_command_tells_what_came_in(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(shop.app.config.database, shop.url).items():
        monkeypatch.setenv(name, value)
    said = CliRunner().invoke(command, ["--since", "2020-01-01", "--store", DOMAIN])
    assert (said.stdout, said.exit_code) == ("taken: 42, newer here already: 0, not readable: 0\n", 0)
    assert CliRunner().invoke(command, ["--since", "yesterday"]).exit_code == 2
