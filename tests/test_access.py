"""Every route, asked by everybody, for an order of their own, of another customer and of a store that is not here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from plugin.ports import AlarmKind, Doubt
from plugin.sandbox import kustomer
from plugin.secrets import Keys
from plugin.shapes import StepState
from plugin.tokens import Tokens
from plugin.web import create_web
from tests.access import ORDER, Row, rows
from tests.dump import dump
from tests.test_kustomer import in_kustomer
from tests.test_web import ADA, signed_in, token, token_in
from tests.world import BASE, DOMAIN, REFUND, World, unhurried, world

OUTSIDER = "the secret of another organisation's installation"
GROUPS = {
    "viewer": "Shopify viewers", "agent": "Support agents", "supervisor": "Support leads", "admin": "Administrators",
}  # fmt: skip
FORM = f"POST {ORDER}/actions/<action>"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
READ_ON_DEMAND = ("orders", "customers_seen", "used_once", "request_counts")  # what looking at an order may refresh


@dataclass
class House:
    """The application for a signed token and the one for Kustomer, with one run on two customers' orders each."""

    webs: list[Flask]
    shop: World
    runs: Mapping[str, str]
    alarms: Mapping[str, str]
    sessions: Mapping[str, Mapping[str, str]]
    forms: Mapping[str, str]

    def ask(self, row: Row, who: str) -> int:
        """The status; what is refused names nobody."""
        names = {"name": "card.css", **self._names(row.of)}
        path = row.rule
        for name, value in names.items():
            path = path.replace(f"<{name}>", value)
        headers = _at_the_door(who) if row.rule == "/session" else self.sessions[who]
        form = {"token": self.forms.get(who, self.forms["agent"])} if row.route.startswith(FORM) else None
        web = next(one for one in self.webs if row.rule in {rule.rule for rule in one.url_map.iter_rules()})
        answer = web.test_client().open(path, method=row.method, headers=headers, data=form)
        if answer.status_code >= 400 and answer.status_code != 422:
            assert [one for one in ("Fairweather", "Okafor", "example.com", "#10") if one in answer.text] == []
        return answer.status_code

    def _names(self, of: str) -> dict[str, str]:
        number = 1010 if of == "other" else 1002
        store = "away.myshopify.com" if of == "away" else DOMAIN
        run = self.runs["other" if of == "other" else "own"]
        alarm = self.alarms["away" if of == "away" else "own"]
        return {"store": store, "order": str(BASE + number), "action": REFUND, "run": run, "alarm": alarm}


def _at_the_door(who: str) -> dict[str, str]:
    """What each of them has from the CRM."""
    claims: dict[str, Any] = {
        "expired": {"exp": datetime(2020, 1, 1).astimezone()}, "audience": {"aud": "else"},
        "outsider": {"secret": OUTSIDER}, "no-set": {"groups": ("Sales",)},
    }.get(who, {"groups": (GROUPS.get(who),)})  # fmt: skip
    return {} if who == "nobody" else {"Authorization": f"Bearer {token(**claims)}"}


def _sessions(shop: World, client: Any) -> dict[str, dict[str, str]]:
    own = {
        who: signed_in(client, groups=(group,), sub=who, customer=ADA) for who, group in GROUPS.items()
    }  # fmt: skip
    claims = shop.app.tokens.open_session(own["supervisor"]["Authorization"].removeprefix("Bearer "))
    now = shop.tools.clock.now()
    forged = {
        "expired": shop.app.tokens.seal_session(claims, now - timedelta(hours=1)),
        "audience": token(),
        "outsider": Tokens(Keys([OUTSIDER])).seal_session(claims, now),
        "no-set": shop.app.tokens.seal_session(replace(claims, permission_set="gone"), now),
    }
    return {"nobody": {}, **own, **{who: {"Authorization": f"Bearer {one}"} for who, one in forged.items()}}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    crm = kustomer.serve()
    with world(tmp_path_factory.mktemp("house")) as shop:
        shop.app = unhurried(shop.app)
        webs = [create_web(shop.app), create_web(unhurried(in_kustomer(shop, crm)))]
        runs = {}
        for of, number in (("own", 1002), ("other", 1010)):
            assert shop.act(number, REFUND, lines=["1", "0"]).card == "outcome"
            runs[of] = shop.tools.runs.runs_of(shop.place(number))[0].id
        alarms = {
            of: str(shop.tools.watch.raise_once(kind, Doubt(runs["own"], 0, store, StepState.REVIEW, NOW, ""), "", NOW))
            for of, store, kind in (("own", DOMAIN, AlarmKind.TWICE), ("away", "away.myshopify.com", AlarmKind.KEY))
        }
        sessions = _sessions(shop, webs[0].test_client())
        form = f"/stores/{DOMAIN}/orders/{BASE + 1002}/actions/{REFUND}"
        client = webs[0].test_client()
        forms = {who: token_in(client.get(form, headers=sessions[who]).text) for who in ("agent", "supervisor")}
        yield House(webs, shop, runs, alarms, sessions, forms)
    crm.close()


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.route} {row.of}")
def test_everybody_gets_the_answer_of_the_table_and_nothing_changes(house: House, row: Row) -> None:
    house.shop.forget_calls()
    before = dump(house.shop.app.engine, READ_ON_DEMAND)
    assert {who: house.ask(row, who) for who in row.answers} == row.answers
    assert dump(house.shop.app.engine, READ_ON_DEMAND) == before
    assert [one for one in house.shop.sent() if one != "query"] == []


def test_every_route_has_its_rows(house: House) -> None:
    """A route with an order in its address has one row for each kind of order; one with a store or alarm, two."""

    def kinds(rule: str) -> tuple[str, ...]:
        if "<order>" in rule:
            return ("own", "other", "away")
        return ("own", "away") if "<store>" in rule or "<alarm>" in rule else ("-",)

    wanted = {
        (f"{method} {rule.rule}", of)
        for web in house.webs
        for rule in web.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        for of in kinds(rule.rule)
    }
    assert {(row.route, row.of) for row in rows()} == wanted


@pytest.mark.parametrize("rule", sorted({row.rule for row in rows()}))
def test_a_method_without_a_row_is_not_allowed_to_anybody(house: House, rule: str) -> None:
    known = {row.method for row in rows() if row.rule == rule}
    known |= {"HEAD"} if "GET" in known else set()
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - known:
        assert house.ask(Row(method, rule, "own" if "<order>" in rule else "-", {}), "admin") == 405


def test_what_a_route_may_do_is_told_to_no_other_page(house: House) -> None:
    """No answer has a header that would let a foreign page read it."""
    for row in rows():
        web = next(one for one in house.webs if row.rule in {rule.rule for rule in one.url_map.iter_rules()})
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": row.method}
        answer = web.test_client().options(row.rule.replace("<", "").replace(">", ""), headers=asked)
        assert [name for name, _ in answer.headers if name.startswith("Access-Control")] == []
