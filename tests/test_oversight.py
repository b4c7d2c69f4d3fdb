"""What an admin reads of the past, on both engines: pages of runs, exact sums, what waits."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from plugin.money import Money
from plugin.oversight import Mark, Paid, Queue, Wanted
from plugin.ports import NewRun
from plugin.shapes import Note, Place, Plan, PlannedStep, Resolution, StepState
from plugin.stores.database import open_database
from plugin.stores.orders import SqlOrders
from plugin.stores.runs import SqlRuns
from plugin.stores.watch import SqlWatch
from tests.test_stores import KEYS

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OURS, THEIRS = "ours.myshopify.com", "theirs.myshopify.com"


class Past:
    """Runs as they were pressed, minutes before NOW."""

    def __init__(self, engine: Engine) -> None:
        self.runs, self.watch = SqlRuns(engine, KEYS.box()), SqlWatch(engine, KEYS.box())
        self.count = 0

    def put(
        self, minutes: float = 0, money: Money = Money("USD", Decimal("5.00")), *, store: str = OURS,  # noqa: B008
        agent: str = "ana", action: str = "refund", ended: str | None = "done", taken: bool = False,
    ) -> str:  # fmt: skip
        self.count += 1
        run_id, at = f"run-{self.count:03}", NOW - timedelta(minutes=minutes)
        step = PlannedStep("refund", f"key-{run_id}", "[ref ABCDEF]", "refundCreate", b"{}", money, money)
        plan = Plan(run_id, action, "a", (step,), "d")
        place = Place(store, str(self.count))
        texts = {"form": {"reason": "secret"}}
        begun = self.runs.begin(
            NewRun(plan, place, agent, agent.title(), "c", None, "card", at, {"name": "#1"}, texts), at
        )
        epoch = self.runs.claim(run_id, "w", at, 60)
        assert epoch is not None
        if taken:
            self.runs.resolve(Resolution(run_id, run_id, "sam", "Sam", "77", "why", at), epoch)
        if ended is not None:
            state = StepState.FAILED if ended == "failed" else StepState.SETTLED
            self.runs.record(begun.steps[0], epoch, state)
            note = Note(run_id, "c", None, "#1", agent, agent, "Refunded.", "https://x")
            self.runs.close(run_id, epoch, {"state": ended}, note, at)
        return run_id

    def found(self, wanted: Wanted, before: Mark | None = None, count: int = 50) -> list[str]:
        return [one.id for one in self.watch.page(wanted, before, count)]


@pytest.fixture
def past(engine: Engine) -> Past:
    return Past(engine)


ALL = Wanted((OURS,))


def test_runs_are_found_by_each_filter_and_never_of_another_store(past: Past) -> None:
    old, failed, bo, cancel, still = (
        past.put(90), past.put(80, ended="failed"), past.put(70, agent="bo"), past.put(60, action="cancel"),
        past.put(50, ended=None),
    )  # fmt: skip
    past.put(40, store=THEIRS)
    hour = NOW - timedelta(minutes=75)
    asked = [
        ALL, Wanted(()), Wanted((OURS,), since=hour), Wanted((OURS,), until=hour), Wanted((OURS,), agent_id="bo"),
        Wanted((OURS,), action_id="cancel"), Wanted((OURS,), ended="failed"), Wanted((OURS,), open=True),
        Wanted((OURS,), agent_id="bo", ended="failed"),
    ]  # fmt: skip
    assert [past.found(one) for one in asked] == [
        [still, cancel, bo, failed, old], [], [still, cancel, bo], [failed, old], [bo], [cancel], [failed], [still], [],
    ]  # fmt: skip


def test_pages_follow_each_other_also_within_one_moment(past: Past) -> None:
    same = [past.put(10) for _ in range(5)]
    seen: list[str] = []
    mark = None
    while page := past.watch.page(ALL, mark, 2):
        seen += [one.id for one in page]
        mark = Mark(page[-1].created_at, page[-1].id)
    assert seen == same[::-1]


def test_a_page_has_the_steps_and_nothing_that_people_wrote(past: Past) -> None:
    past.put()
    run = past.watch.page(ALL, None, 1)[0]
    assert ([one.state for one in run.steps], run.texts, run.outcome) == ([StepState.SETTLED], {}, {"state": "done"})


def test_money_is_summed_exactly_by_day_agent_and_currency(past: Past) -> None:
    for money, minutes in (
        (Money("USD", Decimal("0.10")), 1), (Money("USD", Decimal("0.20")), 2), (Money("JPY", Decimal(1000)), 3),
        (Money("KWD", Decimal("1.005")), 4), (Money("USD", Decimal("9007199254740993.01")), 24 * 60),
    ):  # fmt: skip
        past.put(minutes, money)
    past.put(1, Money("USD", Decimal(7)), agent="bo")
    past.put(1, Money("USD", Decimal(7)), ended="failed")
    past.put(1, Money("USD", Decimal(7)), ended=None)
    past.put(1, Money("USD", Decimal(0)))
    past.put(1, Money("USD", Decimal(7)), store=THEIRS)

    def paid(day: str, agent: str, currency: str, amount: str, count: int) -> Paid:
        return Paid(day, agent, agent.title(), Money(currency, Decimal(amount)), count)

    assert past.watch.paid(ALL) == [
        paid("2026-11-22", "ana", "USD", "9007199254740993.01", 1),
        paid("2026-11-23", "ana", "JPY", "1000", 1),
        paid("2026-11-23", "ana", "KWD", "1.005", 1),
        paid("2026-11-23", "ana", "USD", "0.30", 2),
        paid("2026-11-23", "bo", "USD", "7.00", 1),
    ]


def test_what_a_person_took_from_shopify_is_told_apart(past: Past) -> None:
    past.put(2)
    taken = past.put(1, taken=True)
    past.put(1, taken=True, store=THEIRS)
    assert ([one.count for one in past.watch.paid(ALL)], [one.id for one in past.watch.taken(ALL)]) == ([1], [taken])


def test_what_waits_is_counted_with_the_age_of_the_oldest(past: Past, engine: Engine) -> None:
    assert past.watch.queue(NOW) == Queue(0, None, 0, 0, None)
    past.put(30)
    past.put(20)
    past.put(9, ended=None)
    assert past.watch.queue(NOW) == Queue(2, timedelta(minutes=30), 0, 1, timedelta(minutes=9))
    past.runs.note_sent("run-001")
    past.runs.look_later("run-003", NOW, NOW)
    assert past.watch.queue(NOW) == Queue(1, timedelta(minutes=20), 0, 0, None)


def test_the_last_webhook_of_each_store_is_remembered(past: Past, engine: Engine) -> None:
    orders = SqlOrders(engine, KEYS)
    for minutes in (5, 3, 4):
        orders.mark_webhook(OURS, f"id-{minutes}", "orders/updated", NOW - timedelta(minutes=minutes))
    assert past.watch.heard((OURS, THEIRS)) == {OURS: NOW - timedelta(minutes=3)}


def test_a_database_that_may_forget_says_so(past: Past, engine: Engine) -> None:
    """The PostgreSQL of the tests does not wait for the disk, which is what must be found."""
    expected = [] if engine.dialect.name == "sqlite" else ["fsync is off, not on"]
    assert list(past.watch.careless()) == expected


def test_how_a_run_ended_cannot_be_changed_afterwards(past: Past, engine: Engine) -> None:
    past.put()
    with pytest.raises(Exception, match="a closed run stays as it was closed"), engine.begin() as tx:
        tx.exec_driver_sql("UPDATE runs SET ended = 'failed'")
    assert json.dumps(past.watch.page(ALL, None, 1)[0].outcome) == '{"state": "done"}'


def test_no_question_that_is_asked_all_the_time_reads_every_run(tmp_path: Path) -> None:
    """SQLite tells how it would look: a scan of `runs` is a second once there are a million of them."""
    engine = open_database(f"sqlite:///{tmp_path / 'plan.sqlite'}")
    past, asked = Past(engine), []

    def note(_: object, __: object, statement: str, values: tuple[object, ...], *___: object) -> None:
        asked.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    past.runs.due_runs(NOW)
    past.runs.open_runs()
    past.runs.open_run(Place(OURS, "1"))
    past.runs.newest(1)
    past.watch.queue(NOW)
    past.watch.doubts()
    for wanted in (ALL, Wanted((OURS,), open=True), Wanted((OURS,), ended="failed"), Wanted((OURS,), agent_id="bo")):
        past.watch.page(wanted, Mark(NOW, "r"), 50)
    event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as tx:
        plans = [
            row[3]
            for statement, values in asked
            if statement.startswith("SELECT")
            for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
    engine.dispose()
    assert len(plans) > 10
    assert [one for one in plans if one.startswith("SCAN runs") and "INDEX" not in one] == []
