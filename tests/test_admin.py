"""The admin pages over HTTP: who may see them, what they tell, and that they tell what the runtime does."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from plugin import reports
from plugin.panels import chart
from plugin.ports import AlarmKind, Doubt
from plugin.reports import Query, Sum, harmless
from plugin.runtime import carry_out
from plugin.shapes import Limit, StepState
from plugin.stores.backup import settle_in
from plugin.web import create_web
from tests.test_deciding import words
from tests.test_reconcile import by_hand, in_doubt
from tests.test_web import BILAL, signed_in
from tests.world import CANCEL, DOMAIN, REFUND, World, money, outcome, with_settings, world

ADMINS = ("Administrators",)
TODAY = datetime.now(UTC).date()


@pytest.fixture
def office(tmp_path: Path, database: str) -> Iterator[World]:
    """The whole program on both engines."""
    with world(tmp_path, database=database) as one:
        yield one


class Admin:
    def __init__(self, shop: World, groups: tuple[str, ...] = ADMINS, **claims: Any) -> None:
        self.client: FlaskClient = create_web(shop.app).test_client()
        self.headers = signed_in(self.client, groups=groups, **claims)

    def get(self, path: str = "") -> str:
        answer = self.client.get(f"/admin{path}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.text

    def status(self, path: str, method: str = "GET") -> int:
        return self.client.open(f"/admin{path}", method=method, headers=self.headers).status_code

    def post(self, path: str, page: str, **data: str) -> tuple[int, str]:
        found = re.search(r'name="token" value="([^"]+)"', page)
        token = found[1] if found else ""
        answer = self.client.post(f"/admin{path}", data={"token": token, **data}, headers=self.headers)
        return answer.status_code, answer.text


def rows(html: str, title: str) -> list[list[str]]:
    """The table with this title, row by row, cell by cell."""
    body = html.split(f'aria-label="{title}"')[1].split("</table>")[0].split("<tbody")[1]
    return [[words(f"<{one}") for one in row.split("<td")[1:]] for row in body.split("<tr")[1:]]


def alarm_of(shop: World, run_id: str) -> int:
    doubt = Doubt(run_id, 0, DOMAIN, StepState.UNKNOWN, datetime.now(UTC), "")
    made = shop.tools.watch.raise_once(AlarmKind.DOUBT, doubt, "too long", datetime.now(UTC))
    assert made is not None
    return made


# ---------------------------------------------------------------- who may see them


def test_an_admin_is_led_there_from_the_orders_of_any_customer_and_nobody_else(shop: World) -> None:
    """What each address answers to whom stands in cases/access.txt."""
    lead = Admin(shop, ("Support leads",))
    assert "Administration" not in lead.client.get("/orders", headers=lead.headers).text
    admin = Admin(shop, customer=BILAL)
    orders = admin.client.get("/orders", headers=admin.headers).text
    assert 'data-get="/admin">Administration</button>' in orders
    assert "Back to the orders" in admin.get()


def test_a_store_that_is_not_connected_here_is_not_shown_by_any_page(shop: World) -> None:
    run_id = in_doubt(shop, 1001, REFUND, "502-before", lines=["1", "0"])
    number = alarm_of(shop, run_id)
    with shop.app.engine.begin() as tx:  # another organisation's, in the same database
        tx.exec_driver_sql("DROP TRIGGER rules_runs_update")
        tx.exec_driver_sql("UPDATE runs SET store = 'theirs.myshopify.com'")
        tx.exec_driver_sql("UPDATE alarms SET store = 'theirs.myshopify.com'")
    admin = Admin(shop)
    shown = [admin.get(path) for path in ("", "/runs", "/refunds", "/runs/csv")]
    assert not any("theirs" in one or "#1001" in one for one in shown)
    refused = [f"/alarms/{number}", "/stores/theirs.myshopify.com", "/runs?store=theirs.myshopify.com",
               "/runs/csv?store=theirs.myshopify.com", "/refunds?store=theirs.myshopify.com"]  # fmt: skip
    assert [admin.status(path) for path in refused] == [404] * 5
    assert admin.status(f"/alarms/{number}", "POST") == 404


# ---------------------------------------------------------------- stores, permissions


def test_the_overview_tells_what_is_wrong_without_asking_shopify(shop: World) -> None:
    shop.forget_calls()
    page = Admin(shop).get()
    assert rows(page, "Stores") == [[f"Sandbox store {DOMAIN}", "Connected", "None came yet subscriptions never seen"]]
    assert rows(page, "What waits")[:2] == [["Worker", "No run waits for it"], ["Notes", "None is waiting"]]
    assert shop.calls() == 0


def test_a_stores_page_asks_shopify_and_shows_the_settings_in_force(shop: World) -> None:
    with_settings(shop, settle_time=7)
    page = Admin(shop).get(f"/stores/{DOMAIN}")
    assert rows(page, "Its connection, asked just now")[0] == ["Token", "Shopify takes it"]
    settings = dict(rows(page, "Settings"))
    assert (settings["settle_time"], settings["refund_after_fulfillment"]) == ("7 changed from 420", "false")


def test_every_cell_of_the_matrix_is_what_the_runtime_answers(shop: World) -> None:
    sets = shop.tools.bundle.permission_sets
    strange = replace(sets["agent"], limit=Limit("12.50", {"EUR": "9.00"}), grants=sets["agent"].grants - {CANCEL})
    bundle = replace(shop.tools.bundle, permission_sets={**sets, "agent": strange})
    shop.app = replace(shop.app, tools=replace(shop.tools, bundle=bundle))
    table = {row[0]: row[1:] for row in rows(Admin(shop).get("/permissions"), "Actions")}
    assert table == {
        "Refund": [
            "Yes up to 12.50 in the store&#39;s currency, up to €9.00 on orders in EUR",
            "Yes up to 5000.00 in the store&#39;s currency", "No", "No",
        ],
        "Cancel": ["No", "Yes up to 5000.00 in the store&#39;s currency", "No", "No"],
    }  # fmt: skip


# ---------------------------------------------------------------- runs and what was paid back


def test_runs_are_filtered_paged_and_saved_and_money_stands_by_its_currency(office: World) -> None:
    outcome(office.act(1001, REFUND, lines=["1", "0"], reason="=HYPERLINK(1)"))
    outcome(office.act(1002, REFUND, lines=["1"], reason="broken"))
    in_doubt(office, 1006, REFUND, "502-before", lines=["1", "0"])
    admin = Admin(office)
    shown = [[row[1].split()[0], row[4]] for row in rows(admin.get("/runs"), "Runs")]
    assert shown == [["#1006", "In doubt - do not repeat"], ["#1002", "Done"], ["#1001", "Done"]]
    found = {
        query: [row[1].split()[0] for row in rows(admin.get(f"/runs?{query}"), "Runs")] if "No run fits" not in
        admin.get(f"/runs?{query}") else []
        for query in ("state=doubt", "state=done", "state=failed", f"action={CANCEL}", "agent=ana", "agent=bo",
                      f"store={DOMAIN}", f"first={TODAY + timedelta(days=2)}", f"last={TODAY - timedelta(days=2)}")
    }  # fmt: skip
    every = ["#1006", "#1002", "#1001"]
    assert list(found.values()) == [["#1006"], ["#1002", "#1001"], [], [], every, [], every, [], []]
    refunds = admin.get("/refunds")
    assert [row[1:] for row in rows(refunds, "By agent")] == [["2", rows(refunds, "By day")[0][2]]]
    assert sorted(row[0] for row in rows(refunds, "By reason")) == ["=HYPERLINK(1)", "broken"]
    assert refunds.count("<rect") == 1
    saved = admin.client.get("/admin/runs/csv?state=done", headers=admin.headers)
    lines = list(csv.DictReader(io.StringIO(saved.text.removeprefix("\ufeff"))))
    assert [(one["order"], one["state"], one["amount"]) for one in lines][1] == ("#1001", "done", "25.00")
    assert (saved.headers["Content-Disposition"], saved.headers["Content-Type"]) == (
        'attachment; filename="runs.csv"', "text/csv; charset=utf-8",
    )  # fmt: skip


def test_a_refund_that_a_person_took_counts_with_the_amount_that_is_there(shop: World) -> None:
    with_settings(shop, settle_time=0)
    run_id = in_doubt(shop, 1001, REFUND, "502-before", lines=["1", "0"], reason="wrong size")
    shop.in_admin(1001, "refund", amount="10.00", note="by hand")
    assert carry_out(shop.tools, run_id, 0.0).open
    by_hand(shop, run_id, str(shop.ledger(1001)["refunds"][0]["id"]))
    page = Admin(shop).get("/refunds")
    assert [row[1:] for row in rows(page, "By day")] == [["1", "$10.00"]]
    assert rows(page, "By reason") == [["wrong size", "1", "$10.00"]]


def test_pages_follow_each_other_and_keep_the_filters(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "PAGE", 1)
    outcome(shop.act(1001, REFUND, lines=["1", "0"]))
    outcome(shop.act(1002, REFUND, lines=["1"]))
    admin = Admin(shop)
    first = admin.get("/runs?state=done")
    older = re.search(r'data-get="/admin(/runs[^"]+)">Older runs', first)
    assert older is not None
    second = admin.get(older[1].replace("&amp;", "&"))
    assert [rows(one, "Runs")[0][1].split()[0] for one in (first, second)] == ["#1002", "#1001"]
    assert ("state=done" in older[1], "Older runs" in second) == (True, False)


def test_a_filter_that_says_nothing_is_refused_not_left_out(shop: World) -> None:
    admin = Admin(shop)
    for query in ("state=gone", "first=today", "first=2026-02-02&last=2026-01-01", "after=x"):
        assert [admin.status(f"/runs?{query}"), admin.status(f"/runs/csv?{query}")] == [409, 409]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])  # noqa: RUF001
def test_no_cell_of_a_csv_is_a_formula(start: str) -> None:
    assert (harmless(f"{start}1+1"), harmless("a=1"), harmless("")) == (f"'{start}1+1", "a=1", "")


def test_the_charts_days_are_bounded_and_the_bars_keep_proportion() -> None:
    last = date(2026, 11, 24)
    assert reports.span(Query(), last) == Query(first=date(2026, 10, 26), last=last)
    assert reports.span(Query(first=date(2020, 1, 1), last=last), last).first == date(2026, 8, 25)
    drawn = chart("t", date(2026, 11, 22), last, {"2026-11-22": money("100"), "2026-11-24": money("25")})
    assert [(bar["x"], bar["y"], bar["height"], bar["label"]) for bar in drawn["bars"]] == [
        (0, 0, 120, "2026-11-22: $100.00"), (400, 90, 30, "2026-11-24: $25.00"),
    ]  # fmt: skip


def test_two_currencies_are_two_lines_never_one_sum() -> None:
    day = [Sum("d", "d", money("1.00"), 1), Sum("d", "d", money("2.00", "EUR"), 1), Sum("d", "d", money("3.00"), 2)]
    assert reports._summed(day) == [Sum("d", "d", money("2.00", "EUR"), 1), Sum("d", "d", money("4.00"), 3)]


# ---------------------------------------------------------------- alarms


def test_an_alarm_is_lifted_with_a_reason_once_however_often_it_is_pressed(office: World) -> None:
    run_id = in_doubt(office, 1001, REFUND, "502-before", lines=["1", "0"])
    path = f"/alarms/{alarm_of(office, run_id)}"
    admin = Admin(office)
    assert f'data-get="/admin{path}"' in admin.get()
    page = admin.get(path)
    assert admin.post(path, page, reason=" ")[0] == 422
    assert admin.post(path, "no token", reason="seen")[0] == 409
    assert "Say why" not in admin.post(f"{path}/preview", page, reason="seen")[1]
    pressed = [admin.post(path, page, reason="looked at it") for _ in range(2)]
    assert [(status, "is lifted." in text) for status, text in pressed] == [(200, True)] * 2
    assert rows(admin.get(), "Alarms that were lifted")[0][2] == "Ana looked at it"
    assert [admin.status(path), admin.post(path, page, reason="other")[0]] == [409, 404]
    other = Admin(office, sub="bo")
    assert other.post(path, page, reason="looked at it")[0] == 409


def test_the_alarm_of_a_restore_is_every_admins_and_is_lifted_when_the_settle_time_is_over(office: World) -> None:
    number = settle_in(office.app.engine, office.tools.clock.now()).alarm
    admin, path = Admin(office), f"/alarms/{number}"
    assert rows(admin.get(), "Alarms that stand")[0][1].startswith("Restored from a backup: every store")
    status, text = admin.post(path, admin.get(path), reason="looked at it")
    assert (status, "This can be lifted from" in text) == (409, True)
    with_settings(office, settle_time=0)
    assert admin.post(path, admin.get(path), reason="looked at it")[0] == 200


def test_runs_that_wait_for_a_person_are_led_to(shop: World) -> None:
    run_id = in_doubt(shop, 1001, REFUND, "502-before", lines=["1", "0"])
    shop.in_admin(1001, "refund", amount="25.00", note="by hand")
    carry_out(shop.tools, run_id, 0.0)
    admin = Admin(shop)
    assert 'data-get="/reviews">1 run waits for a decision' in admin.get()
    assert f"/runs/{run_id}" in admin.get("/runs?state=review")
