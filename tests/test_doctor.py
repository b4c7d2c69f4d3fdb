"""`order-actions doctor`: what is in order is said so, and what is not is told with its cure."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import responses
from cryptography.fernet import InvalidToken
from sqlalchemy import create_engine

from plugin import doctor
from plugin.doctor import Check, examine
from plugin.ports import AlarmKind, Doubt, Reply
from plugin.runtime import carry_out
from plugin.secrets import Keys
from plugin.shapes import StepState
from plugin.stores.runs import SqlRuns
from plugin.stores.tables import metadata
from plugin.stores.watch import SqlWatch
from tests.test_alarms import in_doubt
from tests.test_cli import order_actions
from tests.test_runs_command import variables  # noqa: F401 - a fixture
from tests.world import DOMAIN, REFUND, World, outcome

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


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
        ("secret", "it opens what stands in the database"),
        ("worker", "no run waits for it"),
        ("notes", "none is waiting"),
        ("runs in doubt", "none"),
        ("alarms", "none stands"),
        ("crm", "it answers"),
        (f"{DOMAIN} token", "Shopify takes it"),
        (f"{DOMAIN} API version", "2026-10 is served, at least until 2027-10-01"),
        (f"{DOMAIN} clock", "ours is the same"),
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


def test_another_secret_than_the_databases_is_noticed(shop: World) -> None:
    outcome(shop.act(1001, REFUND, lines=["1", "0"]))
    other = SqlRuns(shop.app.engine, Keys(["another secret that is long enough for it"]).box())
    with pytest.raises(InvalidToken):
        other.newest(1)
    shop.app = replace(shop.app, tools=replace(shop.tools, runs=other))
    assert wrong(shop) == [("secret", "it does not open what stands in the database")]


def test_without_its_tables_nothing_else_is_looked_at(shop: World) -> None:
    with shop.app.engine.begin() as tx:
        tx.exec_driver_sql("ALTER TABLE alarms DROP COLUMN reason")
    assert [one.name for one in examine(shop.app)] == ["database"]
    assert wrong(shop) == [("database", "database: its tables are not those of this version: alarms")]


def test_a_database_that_may_forget_is_told(shop: World, tmp_path: Path) -> None:
    plain = create_engine(f"sqlite:///{tmp_path / 'plain.sqlite'}")
    metadata.create_all(plain)
    found = [one for one in doctor.of_database(replace(shop.tools, watch=SqlWatch(plain))) if not one.ok]
    plain.dispose()
    assert [(one.name, one.found) for one in found] == [("durability", "journal_mode is delete, not wal")]


# ---------------------------------------------------------------- Shopify and the CRM


def answered(reply: Reply, shop: World) -> tuple[str, str]:
    class Answers:
        def ask(self, store: str, document: str) -> Reply:
            return reply

    app = replace(shop.app, tools=replace(shop.tools, commerce=Answers()))  # type: ignore[arg-type]
    first = next(doctor.of_store(app, shop.tools.commerce.stores()[0]))
    return first.found, first.cure


@pytest.mark.parametrize(
    ("reply", "found", "cure"),
    [
        (Reply(401, b"", None, ""), "Shopify refuses it (HTTP 401)", "access token"),
        (Reply(402, b"", None, ""), "Shopify answers HTTP 402", "frozen or closed"),
        (Reply(None, b"", "not_sent", "ConnectionError"), "ConnectionError", "network"),
        (Reply(None, b"{}", "cut", "Shopify served version 1"), "Shopify served version 1", "newer program"),
        (Reply(200, b"<html>", None, ""), "it opens nothing", "its own access token"),
        (Reply(200, b'{"data":{"shop":{"myshopifyDomain":"else.myshopify.com"}}}', None, ""),
         "it opens {'myshopifyDomain': 'else.myshopify.com'}", "its own access token"),
        (Reply(200, b'{"errors":[{"message":"Access denied"}]}', None, ""), "Access denied", "its own access token"),
    ],
)  # fmt: skip
def test_what_shopify_answers_has_its_cure(shop: World, reply: Reply, found: str, cure: str) -> None:
    told = answered(reply, shop)
    assert (told[0], cure in told[1]) == (found, True)


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
@pytest.mark.parametrize(("status", "problem"), [(405, None), (503, "The CRM does not take notes: HTTP 503.")])
def test_where_notes_go_is_asked_without_posting_one(shop: World, status: int, problem: str | None) -> None:
    responses.get("https://crm.example/notes", status=status, headers={"Date": "Mon, 23 Nov 2026 12:00:00 GMT"})
    host = replace(shop.tools.host, notes_url="https://crm.example/notes")  # type: ignore[type-var]
    checks = list(doctor.of_crm(replace(shop.tools, host=host)))  # type: ignore[arg-type]
    assert [(one.name, one.ok) for one in checks] == [("crm", problem is None), ("crm clock", False)]
    assert checks[0].found == (problem or "it answers")
    assert [call.request.method for call in responses.calls] == ["GET"]


# ---------------------------------------------------------------- the command


def test_what_keeps_it_from_starting_is_the_first_thing_told(variables: dict[str, str]) -> None:  # noqa: F811
    broken = {**variables, "ORDER_ACTIONS_SECRET": "short"}
    found = order_actions("doctor", **broken)
    assert (found.returncode, found.stdout.splitlines()) == (
        1,
        [
            "WRONG  set-up: The secret of the installation needs at least 32 characters.",
            "       what to do: Mend this, and look again.",
        ],
    )
