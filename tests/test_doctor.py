"""`order-actions doctor`: what is in order is said so, and what is not is told with its cure."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import responses
from sqlalchemy import create_engine

from plugin import cli_doctor, doctor
from plugin.doctor import Check, examine
from plugin.ports import AlarmKind, Doubt, Reply
from plugin.runtime import carry_out
from plugin.sandbox import kustomer
from plugin.shapes import StepState
from plugin.store_setup import REMOVED
from plugin.stores.tables import metadata
from plugin.stores.watch import SqlWatch
from plugin.subscriptions import subscribe
from tests.shared import ROOT
from tests.test_alarms import in_doubt
from tests.test_kustomer import in_kustomer
from tests.test_stores import KEYS
from tests.world import DOMAIN, REFUND, World, outcome, variables

PUBLIC = "https://orders.example.com"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def shop(shop: World) -> World:
    """Everything is in order there."""
    shop.app = replace(shop.app, config=replace(shop.app.config, public_url=PUBLIC))
    subscribe(shop.app, DOMAIN)
    return shop


def wrong(shop: World) -> list[tuple[str, str]]:
    return [(one.name, one.found) for one in examine(shop.app) if not one.ok]


def later(shop: World, minutes: float) -> None:
    """Time passes, and nothing else happens."""

    class Later:
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(minutes=minutes)

        def sleep(self, seconds: float) -> None:
            time.sleep(seconds)

    shop.app = replace(shop.app, tools=replace(shop.tools, clock=Later()))


def test_an_installation_in_order_says_so_line_by_line(shop: World) -> None:
    assert [(one.name, one.found) for one in examine(shop.app)] == [
        ("database", "it answers, and has the tables of this version"),
        ("durability", "what is committed stays"),
        ("worker", "no run waits for it"),
        ("notes", "none is waiting"),
        ("runs in doubt", "none"),
        ("alarms", "none stands"),
        ("crm", "it answers"),
        (f"{DOMAIN} token", "Shopify takes it"),
        (f"{DOMAIN} API version", "2026-10 is served, at least until 2027-10-01"),
        (f"{DOMAIN} clock", "ours is the same"),
        (f"{DOMAIN} scopes", "all that the actions need are granted"),
        (f"{DOMAIN} webhooks", "Shopify sends them all here"),
    ]
    assert wrong(shop) == []


# ---------------------------------------------------------------- what waits


def test_a_worker_that_is_not_there_is_missed_after_two_minutes(shop: World) -> None:
    in_doubt(shop)
    assert wrong(shop) == []
    later(shop, 5)
    assert wrong(shop) == [("worker", "it does not look at open runs"), (f"{DOMAIN} clock", "ours is ahead")]


def test_a_doubt_is_the_programs_for_a_while_then_somebodys(shop: World) -> None:
    run = in_doubt(shop)
    found = {one.name: one for one in examine(shop.app)}["runs in doubt"]
    assert (found.ok, found.found) == (True, "the program is finding out")
    later(shop, 16)
    assert ("runs in doubt", "for too long") in wrong(shop)
    shop.in_admin(1001, "refund", amount="25.00", note="by hand")
    carry_out(shop.tools, run.id, 0.0)
    assert ("runs in doubt", "1 run waiting for a person") in wrong(shop)


def test_notes_that_the_crm_does_not_take_are_told_after_a_quarter_of_an_hour(shop: World) -> None:
    outcome(shop.act(1001, REFUND, lines=["1", "0"]))
    assert wrong(shop) == []
    later(shop, 16)
    assert ("notes", "some are waiting") in wrong(shop)


def test_every_alarm_that_stands_is_told_with_what_lifts_it(shop: World) -> None:
    run = in_doubt(shop)
    doubt = Doubt(run.id, 0, DOMAIN, StepState.UNKNOWN, run.created_at, "")
    alarm = shop.tools.watch.raise_once(AlarmKind.DOUBT, doubt, "too long", shop.tools.clock.now())
    found = next(one for one in examine(shop.app) if one.name == f"alarm {alarm}")
    assert (found.found, f"alarms lift {alarm} " in found.cure) == (f"doubt, {DOMAIN}: too long", True)


# ---------------------------------------------------------------- the database


def test_without_its_tables_nothing_else_is_looked_at(shop: World) -> None:
    with shop.app.engine.begin() as tx:
        tx.exec_driver_sql("ALTER TABLE alarms DROP COLUMN reason")
    assert [one.name for one in examine(shop.app)] == ["database"]
    assert wrong(shop) == [("database", "database: its tables are not those of this version: alarms")]


def test_a_database_that_may_forget_is_told(shop: World, tmp_path: Path) -> None:
    plain = create_engine(f"sqlite:///{tmp_path / 'plain.sqlite'}")
    metadata.create_all(plain)
    found = [one for one in doctor.of_database(replace(shop.tools, watch=SqlWatch(plain, KEYS.box()))) if not one.ok]
    plain.dispose()
    assert [(one.name, one.found) for one in found] == [("durability", "journal_mode is delete, not wal")]


# ---------------------------------------------------------------- Shopify and the CRM


ANSWERS = [
    (Reply(401, b"", None, ""), "Shopify refuses it (HTTP 401)", "Connect it again"),
    (Reply(402, b"", None, ""), "Shopify answers HTTP 402", "frozen or closed"),
    (Reply(None, b"", "not_sent", "ConnectionError"), "ConnectionError", "network"),
    (Reply(None, b"{}", "cut", "Shopify served version 1"), "Shopify served version 1", "newer program"),
    (Reply(200, b"<html>", None, ""), "it opens nothing", "another store's token"),
    (Reply(200, b'{"data":{"shop":{"myshopifyDomain":"else.myshopify.com"}}}', None, ""),
     "it opens {'myshopifyDomain': 'else.myshopify.com'}", "another store's token"),
    (Reply(200, b'{"errors":[{"message":"Access denied"}]}', None, ""), "Access denied", "another store's token"),
]  # fmt: skip


def test_what_shopify_answers_has_its_cure(shop: World) -> None:
    class Answers:
        def __init__(self, reply: Reply) -> None:
            self.reply = reply

        def ask(self, store: str, document: str) -> Reply:
            return self.reply

    row = shop.app.connections.all()[0]
    for reply, found, cure in ANSWERS:
        app = replace(shop.app, tools=replace(shop.tools, commerce=Answers(reply)))  # type: ignore[arg-type]
        told = [(one.found, cure in one.cure) for one in doctor.of_store(app, row)]
        assert told == [(found, True)]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Mon, 23 Nov 2026 12:00:00 GMT", Check("c", "ours is the same")),
        ("Mon, 23 Nov 2026 11:59:54 GMT", Check("c", "ours is the same")),
        ("Mon, 23 Nov 2026 11:59:48 GMT", Check("c", "ours is ahead", doctor.TIME)),
        ("Mon, 23 Nov 2026 12:00:06 GMT", Check("c", "ours is behind", doctor.TIME)),
        ("yesterday", Check("c", "its answer has no readable date")),
    ],
)
def test_a_clock_may_be_off_by_what_a_token_is_given(header: str, found: Check) -> None:
    assert doctor._clock("c", header, NOW) == found


def test_a_version_is_told_two_months_before_shopify_may_drop_it() -> None:
    days = [date for date in ("2027-08-01", "2027-08-03")]
    told = [doctor._version("s", "2026-10", datetime.fromisoformat(f"{one}T00:00:00+00:00")).ok for one in days]
    assert told == [True, False]


@responses.activate
def test_where_notes_go_is_asked_without_posting_one(shop: World) -> None:
    date = {"Date": "Mon, 23 Nov 2026 12:00:00 GMT"}
    host = replace(shop.tools.host, notes_url="https://crm.example/notes")  # type: ignore[type-var]
    for status, problem in ((405, "it answers"), (503, "The CRM does not take notes: HTTP 503.")):
        responses.get("https://crm.example/notes", status=status, headers=date)
        checks = list(doctor.of_crm(replace(shop.tools, host=host)))  # type: ignore[arg-type]
        assert [(one.name, one.ok) for one in checks] == [("crm", status == 405), ("crm clock", False)]
        assert checks[0].found == problem
    assert {call.request.method for call in responses.calls} == {"GET"}


def test_kustomer_is_asked_with_our_key_and_its_role_groups_are_compared(shop: World) -> None:
    crm = kustomer.serve()
    good = in_kustomer(shop, crm)
    bundle = replace(good.tools.bundle, role_groups={**good.tools.bundle.role_groups, "Supprot": "agent"})
    told = [(one.name, one.found) for one in doctor.of_crm(replace(good.tools, bundle=bundle)) if not one.ok]
    assert told == [("role groups", "the CRM has no role group called Supprot")]
    good.tools.host.client._key = "wrong"  # type: ignore[attr-defined]
    good.tools.clock.sleep(0.01)
    refused = next(doctor.of_crm(good.tools))
    crm.close()
    good.close()
    assert (refused.ok, refused.found.startswith("Kustomer refused ORDER_ACTIONS_KUSTOMER_KEY")) == (False, True)


def test_an_installation_without_an_administrator_is_told(shop: World) -> None:
    groups = {name: kept for name, kept in shop.tools.bundle.role_groups.items() if kept != "admin"}
    bundle = replace(shop.tools.bundle, role_groups=groups)
    told = [(one.name, one.ok) for one in doctor.of_crm(replace(shop.tools, bundle=bundle))]
    assert ("administrators", False) in told
    assert "administrators" not in [one.name for one in doctor.of_crm(shop.tools)]


def test_what_the_doctor_sees_granted_is_what_the_card_goes_by(shop: World) -> None:
    shop.app.connections.set_scopes(DOMAIN, frozenset({"read_orders"}))
    scopes = next(one for one in examine(shop.app) if one.name.endswith("scopes"))
    after = shop.app.connections.get(DOMAIN)
    assert scopes.ok and after is not None and after.grant is not None and "write_orders" in after.grant.scopes


def test_a_store_that_is_not_connected_any_more_is_told_unless_an_admin_removed_it(shop: World) -> None:
    shop.forget_calls()
    for state, problem, ok in (
        ("refused", "Shopify took it away.", False), ("gone", "It was uninstalled.", False), ("gone", REMOVED, True),
    ):  # fmt: skip
        shop.app.connections.end(DOMAIN, state, problem)
        found = list(doctor.of_store(shop.app, shop.app.connections.all()[0]))
        assert [(one.name, one.found, one.ok) for one in found] == [(f"{DOMAIN} connection", problem, ok)]
    assert shop.calls() == 0


def test_webhooks_and_scopes_that_are_missing_are_named(shop: World) -> None:
    bundle = shop.tools.bundle
    action = replace(bundle.actions[REFUND], scopes=("write_orders", "write_magic"))
    bundle = replace(bundle, actions={**bundle.actions, REFUND: action})
    moved = replace(shop.app.config, public_url="https://elsewhere.example")
    shop.app = replace(shop.app, tools=replace(shop.tools, bundle=bundle), config=moved)
    shop.served.world.store.scopes -= {"read_all_orders"}
    found = {one.name: one.found for one in examine(shop.app)}
    assert "last 60 days" in found[f"{DOMAIN} old orders"]
    assert found[f"{DOMAIN} scopes"] == "not granted: write_magic"
    assert found[f"{DOMAIN} webhooks"].startswith("Shopify does not send 11 of 11: ORDERS_CREATE, ")


# ---------------------------------------------------------------- the command


def test_what_keeps_it_from_starting_is_the_one_thing_told(
    shop: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = variables(f"sqlite:///{tmp_path / 'app.sqlite'}", shop.url)
    for name, value in {**environment, "ORDER_ACTIONS_SECRET": "another secret that is long enough for it"}.items():
        monkeypatch.setenv(name, value)
    found = {one.name: one for one in cli_doctor._Patient(ROOT).examine()}
    assert cli_doctor._lines({}, found, False, dated=False) == [
        "WRONG  set-up: ORDER_ACTIONS_SECRET is not the secret that this database was written with.\n"
        "       what to do: Mend this, and look again."
    ]


def test_what_grew_is_no_change_and_what_went_is_told() -> None:
    before = {"notes": Check("notes", "some are waiting", "", "1 note"), "alarm 1": Check("alarm 1", "a", "lift it")}
    after = {"notes": Check("notes", "some are waiting", "", "2 notes")}
    assert cli_doctor._lines({}, after, False, dated=False) == ["ok     notes: some are waiting (2 notes)"]
    assert cli_doctor._lines(before, after, False, dated=False) == ["ok     alarm 1: gone"]
    assert [json.loads(line)["found"] for line in cli_doctor._lines(before, after, True, dated=True)] == ["gone"]


def test_a_doctor_that_cannot_look_takes_nothing_for_gone(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(shop.app.config.database, shop.url).items():
        monkeypatch.setenv(name, value)
    patient = cli_doctor._Patient(ROOT)
    assert (bool(patient.examine()), patient.looked) == (True, True)
    monkeypatch.setattr(doctor, "examine", lambda _: 1 / 0)
    (only,) = patient.examine()
    assert (only.name, only.found, patient.looked) == ("doctor", "it could not look: ZeroDivisionError", False)


def test_a_watching_doctor_tells_changes_alone_and_how_it_ended(shop: World, tmp_path: Path) -> None:
    environment = variables(f"sqlite:///{tmp_path / 'app.sqlite'}", shop.url)
    environment |= {"ORDER_ACTIONS_PUBLIC_URL": PUBLIC, "PATH": os.environ["PATH"]}
    words = [sys.executable, "-m", "plugin", "doctor", "--json", "--watch", "0.2"]
    with subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        first = [json.loads(watching.stdout.readline()) for _ in range(len(examine(shop.app)))]
        shop.app.connections.end(DOMAIN, "refused", "Shopify took the token away.")
        second = json.loads(watching.stdout.readline())
        watching.send_signal(signal.SIGTERM)
        assert watching.wait(20) == 1
    assert ({one["ok"] for one in first}, {"at", "name", "ok", "found", "cure"} == set(second)) == ({True}, True)
    assert (second["name"], second["ok"], second["found"]) == (
        f"{DOMAIN} connection", False, "Shopify took the token away.",
    )  # fmt: skip
