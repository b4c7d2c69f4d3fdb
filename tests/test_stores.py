"""One contract for every database engine: runs, leases, orders, outbox."""

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, event, select, text
from sqlalchemy.exc import OperationalError

from plugin import points
from plugin.errors import FixTheSetup, LookAgain, WaitForRun
from plugin.money import Money
from plugin.phones import e164
from plugin.points import Point
from plugin.ports import Alarm, AlarmKind, Doubt, LostLease, NewRun
from plugin.ports_crm import CrmGrant
from plugin.secrets import Keys
from plugin.shapes import Backfill, Customer, Note, Place, Plan, PlannedStep, StepState
from plugin.stores.crm import SqlCrm
from plugin.stores.database import connect, open_database
from plugin.stores.orders import SqlOrders
from plugin.stores.runs import SqlRuns
from plugin.stores.tables import crm_orders, metadata
from plugin.stores.tables import orders as orders_table
from plugin.stores.watch import SqlWatch
from tests.databases import Postgres
from tests.proofs.sim.runs import MemoryRuns

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEYS = Keys(["0123456789abcdef0123456789abcdef"])
PLACE = Place("sandbox.myshopify.com", "1001")
RUN, OTHER = "5b1f6c1e-0000-4000-8000-000000000001", "5b1f6c1e-0000-4000-8000-000000000002"
FIVE = Money("USD", Decimal("5.00"))


def new(run_id: str = RUN, digest: str = "d", agent: str = "ana") -> NewRun:
    step = PlannedStep("refund", f"key-{run_id}", "[ref ABCDEF]", "refundCreate", b"{}", FIVE, FIVE)
    return NewRun(
        Plan(run_id, "shopify.order.refund", "a", (step,), digest), PLACE, agent, agent.title(), "c", None, "card", NOW,
        {"name": "#1001"}, {"form": {}},
    )  # fmt: skip


def closed_with_a_note(runs: SqlRuns) -> Note:
    runs.begin(new(), NOW)
    epoch = runs.claim(RUN, "w", NOW, 60)
    note = Note(RUN, "c", None, "#1001", "ana", "Ana", "Refunded.", "https://x")
    assert epoch is not None
    runs.close(RUN, epoch, {"state": "done"}, note, NOW)
    return note


def stored(engine: Engine) -> str:
    """All that a thief of the database would read."""
    with engine.connect() as tx:
        return "".join(str(row) for table in metadata.sorted_tables for row in tx.execute(select(table)))


@pytest.fixture
def watch(engine: Engine) -> SqlWatch:
    return SqlWatch(engine, KEYS.box())


@pytest.fixture(params=["database", "memory"])
def runs(engine: Engine, request: pytest.FixtureRequest) -> SqlRuns | MemoryRuns:
    """The memory is what the simulation stands on."""
    return SqlRuns(engine, KEYS.box()) if request.param == "database" else MemoryRuns()


@pytest.fixture
def orders(engine: Engine) -> SqlOrders:
    return SqlOrders(engine, KEYS)


class TestRuns:
    def test_a_run_is_committed_whole_as_intent(self, runs: SqlRuns) -> None:
        run = runs.begin(new(), NOW)
        assert (run.open, run.agent_name, run.created_at, run.texts) == (True, "Ana", NOW, {"form": {}})
        assert [(s.name, s.state, s.body, s.moves, s.attempts) for s in run.steps] == [
            ("refund", StepState.INTENT, b"{}", FIVE, 0)
        ]

    def test_the_same_run_twice_is_begun_once(self, runs: SqlRuns) -> None:
        first = runs.begin(new(), NOW)
        assert runs.begin(new(), NOW + timedelta(seconds=1)) is None
        assert runs.newest(9) == [first]

    def test_the_same_id_with_another_plan_is_refused(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        with pytest.raises(LookAgain, match="other values"):
            runs.begin(new(digest="x"), NOW)

    def test_one_order_has_one_open_run(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        with pytest.raises(WaitForRun, match="Ana is already working") as refused:
            runs.begin(new(OTHER, agent="sam"), NOW)
        assert refused.value.run_id == RUN

    def test_a_key_is_used_by_one_run_only(self, runs: SqlRuns) -> None:
        first = runs.begin(new(), NOW)
        again = new(OTHER)
        same_key = replace(again.plan.steps[0], key=first.steps[0].key)
        elsewhere = replace(again, place=replace(PLACE, order="1002"), plan=replace(again.plan, steps=(same_key,)))
        with pytest.raises(LookAgain, match="changed just now"):
            runs.begin(elsewhere, NOW)
        assert runs.run(OTHER) is None

    def test_the_newest_runs_come_first(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        later = NOW + timedelta(seconds=1)
        runs.begin(replace(new(OTHER), place=replace(PLACE, order="1002")), later)
        assert [[run.id for run in runs.newest(count)] for count in (1, 5)] == [[OTHER], [OTHER, RUN]]

    def test_a_closed_run_makes_room_for_the_next(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        epoch = runs.claim(RUN, "w", NOW, 10)
        assert epoch is not None
        runs.close(RUN, epoch, {"state": "done"}, None, NOW)
        assert runs.begin(replace(new(OTHER), read_at=NOW + timedelta(seconds=1)), NOW).id == OTHER
        assert [run.id for run in runs.open_runs()] == [OTHER]

    def test_the_places_of_open_runs_tell_whether_a_person_must_decide(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        elsewhere = replace(PLACE, order="1002")
        run = runs.begin(replace(new(OTHER), place=elsewhere), NOW)
        epoch = runs.claim(OTHER, "w", NOW, 10)
        assert epoch is not None
        runs.record(run.steps[0], epoch, StepState.REVIEW)
        assert runs.open_places() == {PLACE: False, elsewhere: True}
        runs.close(OTHER, epoch, {"state": "failed"}, None, NOW)
        assert runs.open_places() == {PLACE: False}

    def test_a_form_judged_before_another_run_ended_is_refused(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        epoch = runs.claim(RUN, "w", NOW, 10)
        assert epoch is not None
        runs.close(RUN, epoch, {"state": "done"}, None, NOW + timedelta(seconds=2))
        with pytest.raises(LookAgain, match="just now"):
            runs.begin(new(OTHER), NOW + timedelta(seconds=3))
        assert runs.run(OTHER) is None
        assert runs.begin(replace(new(OTHER), read_at=NOW + timedelta(seconds=3)), NOW).id == OTHER

    def test_a_step_that_was_never_sent_moved_nothing(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        epoch = runs.claim(RUN, "w", NOW, 10)
        assert epoch is not None
        runs.close(RUN, epoch, {"state": "failed"}, None, NOW)
        assert runs.moved("ana", PLACE) == ((), ())

    def test_only_the_holder_of_the_epoch_writes(self, runs: SqlRuns) -> None:
        step = runs.begin(new(), NOW).steps[0]
        late = runs.claim(RUN, "late", NOW, 10)
        assert runs.claim(RUN, "eager", NOW + timedelta(seconds=5), 10) is None
        holder = runs.claim(RUN, "next", NOW + timedelta(seconds=11), 10)
        assert late is not None
        assert holder is not None
        for write in (
            lambda: runs.sending(step, late, NOW),
            lambda: runs.record(step, late, StepState.SETTLED),
            lambda: runs.close(RUN, late, {}, None, NOW),
        ):
            with pytest.raises(LostLease):
                write()
        runs.sending(step, holder, NOW)
        assert runs.open_runs()[0].steps[0].state is StepState.SENDING

    def test_the_first_and_the_last_sending_are_kept(self, runs: SqlRuns) -> None:
        step = runs.begin(new(), NOW).steps[0]
        epoch = runs.claim(RUN, "w", NOW, 60)
        assert epoch is not None
        runs.sending(step, epoch, NOW)
        runs.sending(step, epoch, NOW + timedelta(seconds=9))
        after = runs.open_runs()[0].steps[0]
        assert (after.attempts, after.first_sent_at, after.last_sent_at) == (2, NOW, NOW + timedelta(seconds=9))

    def test_what_may_have_moved_counts_and_a_proved_failure_does_not(self, runs: SqlRuns) -> None:
        step = runs.begin(new(), NOW).steps[0]
        epoch = runs.claim(RUN, "w", NOW, 60)
        assert epoch is not None
        runs.record(step, epoch, StepState.UNKNOWN)
        assert runs.moved("ana", PLACE) == ((FIVE,), (FIVE,))
        assert runs.moved("sam", PLACE) == ((), ())
        runs.record(step, epoch, StepState.FAILED)
        assert runs.moved("ana", PLACE) == ((), ())

    def test_a_note_waits_in_the_outbox_until_it_is_sent(self, runs: SqlRuns) -> None:
        note = closed_with_a_note(runs)
        later = NOW + timedelta(seconds=1)
        assert runs.due_notes(later) == [(note, 0)]
        runs.note_later(RUN, 1, later + timedelta(seconds=5))
        assert runs.due_notes(later) == []
        assert runs.due_notes(later + timedelta(seconds=6)) == [(note, 1)]
        runs.note_sent(RUN)
        assert runs.due_notes(later + timedelta(days=1)) == []

    def test_two_workers_never_hold_the_same_note(self, runs: SqlRuns) -> None:
        note = closed_with_a_note(runs)
        assert runs.due_notes(NOW) == [(note, 0)]
        assert runs.due_notes(NOW + timedelta(seconds=119)) == [], "the first worker is at it"
        assert runs.due_notes(NOW + timedelta(seconds=121)) == [(note, 0)], "it must have died"
        runs.note_sent(RUN)
        runs.note_later(RUN, 1, NOW)  # the first one lives, and is late
        assert runs.due_notes(NOW + timedelta(days=1)) == []

    def test_a_run_is_due_at_once_and_then_when_its_next_look_comes(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        assert [run.id for run in runs.due_runs(NOW)] == [RUN]
        later = NOW + timedelta(seconds=15)
        assert [runs.look_later(RUN, NOW, later) for _ in range(2)] == [True, False], "one worker looks"
        assert runs.due_runs(NOW) == []
        assert [run.id for run in runs.due_runs(later)] == [RUN]

    def test_a_run_that_is_held_or_closed_is_not_due(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        epoch = runs.claim(RUN, "w", NOW, 10)
        assert runs.due_runs(NOW) == []
        assert [run.id for run in runs.due_runs(NOW + timedelta(seconds=11))] == [RUN], "the holder is gone"
        assert epoch is not None
        runs.close(RUN, epoch, {"state": "done"}, None, NOW)
        assert runs.due_runs(NOW + timedelta(days=1)) == []
        assert not runs.look_later(RUN, NOW + timedelta(days=1), NOW + timedelta(days=2))

    def test_waking_makes_the_open_run_of_an_order_due_at_once(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        runs.look_later(RUN, NOW, NOW + timedelta(minutes=15))
        soon = NOW + timedelta(seconds=1)
        runs.wake(Place(PLACE.store, "1002"), soon)
        assert runs.due_runs(soon) == []
        runs.wake(PLACE, soon)
        assert [run.id for run in runs.due_runs(soon)] == [RUN]


def waits_for_us(engine: Engine) -> bool:
    """Whether another transaction cannot go on before ours ends; SQLite's writers wait before they begin."""
    if engine.dialect.name == "sqlite":
        return True
    with engine.connect() as tx:
        return bool(tx.execute(text("select count(*) from pg_locks where not granted")).scalar_one())


class TestWatch:
    def test_a_doubt_raises_its_alarm_once_and_is_lifted_once(self, engine: Engine, watch: SqlWatch) -> None:
        runs = SqlRuns(engine, KEYS.box())
        step = runs.begin(new(), NOW).steps[0]
        epoch = runs.claim(RUN, "w", NOW, 60)
        assert epoch is not None
        runs.sending(step, epoch, NOW)
        runs.record(step, epoch, StepState.UNKNOWN, error="HTTP 502")
        doubt = Doubt(RUN, 0, PLACE.store, StepState.UNKNOWN, NOW, "HTTP 502")
        assert watch.doubts() == [doubt]
        kinds = (AlarmKind.DOUBT, AlarmKind.DOUBT, AlarmKind.KEY)
        assert [watch.raise_once(kind, doubt, "text", NOW) for kind in kinds] == [1, None, 2]
        raised = Alarm(1, AlarmKind.DOUBT, PLACE.store, None, RUN, 0, NOW, "text", None, None, None)
        lifted = replace(raised, lifted_at=NOW, lifted_by="kim", reason="seen")
        assert watch.alarms(active=True)[0] == raised
        assert [watch.lift(1, "kim", "seen", NOW), watch.lift(1, "kim", "seen", NOW)] == [lifted, None]
        assert ([one.id for one in watch.alarms(active=True)], watch.alarms(active=False)[0]) == ([2], lifted)
        assert watch.raise_once(AlarmKind.DOUBT, doubt, "text", NOW) is None

    def test_of_two_workers_that_raise_an_alarm_at_once_one_raises_it(
        self, engine: Engine, watch: SqlWatch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        SqlRuns(engine, KEYS.box()).begin(new(), NOW)
        doubt = Doubt(RUN, 0, PLACE.store, StepState.UNKNOWN, NOW, "HTTP 502")
        ids: list[int | None] = []
        other = threading.Thread(
            target=lambda: ids.append(SqlWatch(engine, KEYS.box()).raise_once(AlarmKind.DOUBT, doubt, "text", NOW))
        )

        def meanwhile(point: Point) -> None:
            if point is Point.ALARM_WRITTEN and not other.ident:
                other.start()
                while other.is_alive() and not waits_for_us(engine):
                    other.join(0.01)

        monkeypatch.setattr(points, "hook", meanwhile)
        first = watch.raise_once(AlarmKind.DOUBT, doubt, "text", NOW)
        other.join(10)
        assert (first, ids, len(watch.alarms(active=True))) == (1, [None], 1)

    def test_the_figures_are_those_of_the_tables(self, engine: Engine, watch: SqlWatch) -> None:
        assert watch.problems() == []
        runs = SqlRuns(engine, KEYS.box())
        runs.begin(new(), NOW)
        assert watch.figures(NOW)["open_runs"][("intent",)] == 1
        epoch = runs.claim(RUN, "w", NOW, 60)
        assert epoch is not None
        runs.sending(runs.open_runs()[0].steps[0], epoch, NOW)
        runs.record(runs.open_runs()[0].steps[0], epoch, StepState.UNKNOWN)
        later = watch.figures(NOW + timedelta(seconds=9))
        assert (later["open_runs"][("intent",)], later["open_runs"][("unknown",)]) == (0, 1)
        assert later["oldest_doubt_seconds"][()] == 9
        note = Note(RUN, "c", None, "#1001", "ana", "Ana", "Refunded.", "https://x")
        runs.close(RUN, epoch, {"state": "done"}, note, NOW)
        closed = watch.figures(NOW)
        assert {number for number in closed["open_runs"].values()} == {0}
        assert (closed["oldest_doubt_seconds"][()], closed["notes_waiting"][()]) == (0, 1)


def buyer(email: str, phone: str = "") -> Customer:
    return Customer("c", email, "", phone)


HEADER = {"name": "#1001", "createdAt": "2026-11-01T10:00:00Z", "updatedAt": "2026-11-01T10:00:00Z"}


class TestOrders:
    def test_newer_wins_and_older_changes_nothing(self, orders: SqlOrders) -> None:
        newer = {**HEADER, "updatedAt": "2026-11-02T10:00:00+02:00", "x": 2}
        assert orders.put_header(PLACE, "a@example.com", newer, webhook=None)
        assert not orders.put_header(PLACE, "a@example.com", HEADER, webhook=None)
        row = orders.order(PLACE)
        assert row is not None
        assert (row.header, row.updated_at) == (newer, "2026-11-02T08:00:00Z")

    def test_a_customer_is_found_by_e_mail_case_folded_and_never_stored_in_clear(
        self, orders: SqlOrders, engine: Engine
    ) -> None:
        orders.put_header(PLACE, "Ana@Example.com", HEADER, webhook=None)
        assert [row.place for row in orders.orders_of(buyer("ana@example.COM"))] == [PLACE]
        assert orders.orders_of(buyer("b@example.com")) == []
        assert "xample.com" not in stored(engine).lower()

    def test_an_update_heals_a_legacy_order(self, orders: SqlOrders) -> None:
        orders.put_legacy(PLACE, "a@example.com", HEADER)
        orders.put_header(PLACE, "a@example.com", HEADER, webhook=None)
        assert [row.legacy for row in orders.orders_of(buyer("a@example.com"))] == [True]
        orders.put_header(PLACE, "a@example.com", {**HEADER, "updatedAt": "2026-11-05T10:00:00Z"}, webhook=NOW)
        assert [row.legacy for row in orders.orders_of(buyer("a@example.com"))] == [False]

    def test_a_legacy_order_never_takes_the_place_of_a_known_one(self, orders: SqlOrders) -> None:
        orders.put_header(PLACE, "a@example.com", HEADER, webhook=None)
        orders.put_legacy(PLACE, "b@example.com", HEADER)
        assert [row.legacy for row in orders.orders_of(buyer("a@example.com"))] == [False]
        assert orders.orders_of(buyer("b@example.com")) == []

    def test_an_older_apps_order_is_taken_once(self, orders: SqlOrders) -> None:
        assert [orders.put_legacy(PLACE, "a@example.com", HEADER) for _ in range(2)] == [True, False]

    @pytest.mark.parametrize(
        ("bought", "asks", "theirs"),
        [
            (("a@example.com", "+15550100001"), buyer("A@example.com", "+15550100002"), True),
            (("a@example.com", "+15550100001"), buyer("b@example.com", "+15550100001"), False),
            (("a@example.com", "+15550100001"), buyer("", "+15550100001"), True),
            (("", "+1 555 010 0001"), buyer("b@example.com", "+15550100001"), True),
            (("", "5550100001"), buyer("", "+15550100001"), False),
            (("", ""), buyer("b@example.com", ""), False),
            (("", ""), buyer("", ""), False),
        ],
    )  # fmt: skip
    def test_the_e_mail_decides_where_both_have_one_else_the_phone(
        self, orders: SqlOrders, engine: Engine, bought: tuple[str, str], asks: Customer, theirs: bool
    ) -> None:
        orders.put_header(PLACE, bought[0], HEADER, webhook=None, phone=bought[1])
        row = orders.order(PLACE)
        assert row is not None
        assert ([one.place for one in orders.orders_of(asks)], orders.owns(row, asks)) == ([PLACE] * theirs, theirs)
        assert asks.bought(bought[0], e164(bought[1])) == theirs
        assert "5550100001" not in stored(engine).replace(" ", "")

    def test_one_backfill_of_a_store_is_kept_until_it_is_finished(self, orders: SqlOrders) -> None:
        assert orders.backfill("s") is None
        for kept in (Backfill("2026-01-01", "gid", 0), Backfill("2026-01-01", "gid", 200), None):
            orders.keep_backfill("s", kept)
            assert (orders.backfill("s"), orders.backfill("other")) == (kept, None)

    def test_a_customers_list_is_as_old_as_its_last_reading(self, orders: SqlOrders) -> None:
        assert orders.listed_at("s", "a@example.com") is None
        for at in (NOW, NOW + timedelta(hours=1)):
            orders.mark_listed("s", "A@example.com", at)
            assert orders.listed_at("s", "a@example.com") == at
        assert orders.listed_at("other", "a@example.com") is None

    def test_a_snapshot_is_encrypted_at_rest(self, orders: SqlOrders, engine: Engine) -> None:
        orders.put_header(PLACE, "a@example.com", HEADER, webhook=None)
        orders.put_snapshot(PLACE, {"note": "very private"}, NOW)
        row = orders.order(PLACE)
        assert row == replace(row, snapshot={"note": "very private"}, snapshot_at=NOW)  # type: ignore[type-var]
        assert "very private" not in stored(engine)

    def test_a_customers_orders_come_with_their_snapshots_only_when_asked(self, orders: SqlOrders) -> None:
        orders.put_header(PLACE, "a@example.com", HEADER, webhook=None)
        orders.put_snapshot(PLACE, {"v": 1}, NOW)
        assert [row.snapshot for row in orders.orders_of(buyer("a@example.com"))] == [None]
        assert orders.orders_of(buyer("a@example.com"), whole=True) == [orders.order(PLACE)]

    def test_a_delivery_is_new_until_it_is_marked(self, orders: SqlOrders) -> None:
        assert not orders.webhook_seen("s", "w1", "orders/updated")
        orders.mark_webhook("s", "w1", "orders/updated", NOW)
        orders.mark_webhook("s", "w1", "orders/updated", NOW)
        assert orders.webhook_seen("s", "w1", "orders/updated")
        assert not orders.webhook_seen("s", "w1", "refunds/create")

    def test_an_older_snapshot_never_replaces_a_newer_one(self, orders: SqlOrders) -> None:
        orders.put_header(PLACE, "a@example.com", HEADER, webhook=None)
        orders.put_snapshot(PLACE, {"v": 2}, NOW)
        orders.put_snapshot(PLACE, {"v": 1}, NOW - timedelta(seconds=1))
        row = orders.order(PLACE)
        assert row is not None
        assert row.snapshot == {"v": 2}

    def test_nobody_owns_orders_without_an_e_mail(self, orders: SqlOrders) -> None:
        orders.put_header(PLACE, "", HEADER, webhook=None)
        row = orders.order(PLACE)
        assert row is not None
        assert (orders.orders_of(buyer("")), orders.owns(row, buyer(""))) == ([], False)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("my database", "ORDER_ACTIONS_DATABASE is not a database URL."),
        ("mysql://localhost/x", "ORDER_ACTIONS_DATABASE may be sqlite or postgresql, not mysql."),
    ],
)
def test_a_database_we_cannot_use_is_refused_in_a_sentence(url: str, said: str) -> None:
    with pytest.raises(FixTheSetup, match=f"^{said}$"):
        open_database(url)


def test_what_is_committed_is_on_the_disk_whatever_the_database_was_told(database: str) -> None:
    engine = connect(database)
    asked = {"sqlite": ["PRAGMA journal_mode", "PRAGMA synchronous"], "postgresql": ["SHOW synchronous_commit"]}
    if engine.dialect.name == "postgresql":
        with engine.begin() as tx:
            tx.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET synchronous_commit = off")
    engine.dispose()
    with engine.connect() as tx:
        told = [tx.exec_driver_sql(one).scalar() for one in asked[engine.dialect.name]]
    engine.dispose()
    assert told == {"sqlite": ["wal", 2], "postgresql": ["on"]}[engine.dialect.name]


@pytest.mark.parametrize("tries", [1000, 1])
def test_a_writer_waits_for_the_writer_of_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    monkeypatch.setattr("plugin.stores.database.QUICK_TRIES", tries)
    ours, theirs = (open_database(f"sqlite:///{tmp_path / 'shared.sqlite'}") for _ in range(2))
    done: list[str] = []

    def write() -> None:
        SqlOrders(ours, KEYS).mark_listed("s", "a@example.com", NOW)
        done.append("ours")

    with theirs.begin():
        waiting = threading.Thread(target=write)
        waiting.start()
        time.sleep(0.2)
        done.append("theirs")
    waiting.join()
    for one in (ours, theirs):
        one.dispose()
    assert done == ["theirs", "ours"]


def test_a_connection_that_writes_twice_keeps_its_turn_and_gives_it_back(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'own.sqlite'}")
    with engine.connect() as tx:
        for number in range(2):
            tx.execute(text(f"CREATE TABLE t{number} (x)"))
            tx.commit()
    SqlOrders(engine, KEYS).mark_listed("s", "a@example.com", NOW)
    engine.dispose()


def cut_off(url: str) -> Engine:
    """An engine whose only connection died with its server's process."""
    engine, other = connect(url), connect(url)
    with engine.connect() as tx:
        pid = tx.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    with other.connect() as tx:
        tx.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 10000)")
    other.dispose()
    return engine


def test_a_connection_that_died_while_it_rested_is_made_anew(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = cut_off(postgres.empty())
    monkeypatch.setattr("plugin.stores.database.RESTED", 0.0)
    with engine.connect() as tx:
        assert tx.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()


def test_a_connection_that_died_a_moment_ago_fails_one_sentence_and_no_second(postgres: Postgres) -> None:
    engine = cut_off(postgres.empty())
    with pytest.raises(OperationalError), engine.connect() as tx:
        tx.exec_driver_sql("SELECT 1")
    with engine.connect() as tx:
        assert tx.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()


def test_a_missing_driver_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(FixTheSetup, match=r"pip install 'shopify-order-actions\[postgres\]'"):
        open_database("postgresql://localhost/x")


@contextmanager
def at_connection(engine: Engine, number: int, do: Callable[[], object]) -> Iterator[None]:
    """Something happens just before the code under test uses the database for the second time, or the third …"""
    count = itertools.count(1)

    def used(*_: object) -> None:
        if next(count) == number:
            do()

    event.listen(engine, "checkout", used)
    yield
    event.remove(engine, "checkout", used)


class TestCrm:
    @pytest.fixture
    def crm(self, engine: Engine) -> SqlCrm:
        return SqlCrm(engine, KEYS)

    def test_a_value_is_accepted_once_until_its_time_is_over(self, crm: SqlCrm) -> None:
        later = NOW + timedelta(seconds=60)
        taken = [crm.once("jti", "a", later, NOW), crm.once("jti", "a", later, NOW), crm.once("state", "a", later, NOW)]
        assert taken == [True, False, True]
        assert crm.once("jti", "a", later, later + timedelta(seconds=1)), "its own token has ended by then"

    def test_one_process_refreshes_a_grant_and_a_dead_one_blocks_it_for_a_while_only(self, crm: SqlCrm) -> None:
        crm.put_grant("k", "u", b"old", NOW)
        assert [crm.take_grant("k", NOW, 30), crm.take_grant("k", NOW, 30)] == [True, False]
        assert crm.take_grant("k", NOW + timedelta(seconds=31), 30)
        crm.renew_grant("k", b"new")
        assert [one.sealed for one in crm.grants()] == [b"new"]
        assert crm.take_grant("k", NOW, 30)

    def test_an_order_is_owed_until_the_crm_knows_its_newest_state(
        self, crm: SqlCrm, orders: SqlOrders, engine: Engine
    ) -> None:
        header = {"name": "#1001", "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-02T00:00:00Z"}
        orders.put_header(PLACE, "ada@example.com", header, webhook=None)
        crm.owe(PLACE, "ada@example.com", NOW)
        crm.owe(PLACE, "else@example.com", NOW)
        assert [(one.row.name, one.email) for one in crm.owed(NOW)] == [("#1001", "ada@example.com")]
        assert crm.owed(NOW) == [], "another worker has it"
        assert len(crm.owed(NOW + timedelta(seconds=120))) == 1, "unless that one died"
        crm.paid(orders.order(PLACE), NOW)
        assert crm.owed(NOW) == []
        orders.put_header(PLACE, "ada@example.com", {**header, "updatedAt": "2026-01-03T00:00:00Z"}, webhook=None)
        assert len(crm.owed(NOW)) == 1
        crm.owe_later(PLACE, 1, NOW + timedelta(seconds=5))
        assert (len(crm.owed(NOW)), len(crm.owed(NOW + timedelta(seconds=6)))) == (0, 1)
        with engine.connect() as tx:
            assert b"example.com" not in tx.execute(select(crm_orders.c.email)).scalar_one()

    def test_an_order_told_by_its_header_is_owed_again_once_its_details_are_known(
        self, crm: SqlCrm, orders: SqlOrders
    ) -> None:
        header = {"name": "#1001", "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-02T00:00:00Z"}
        orders.put_header(PLACE, "ada@example.com", header, webhook=None)
        crm.owe(PLACE, "ada@example.com", NOW)
        crm.paid(crm.owed(NOW)[0].row, NOW)
        orders.put_snapshot(PLACE, {"updatedAt": "2026-01-02T00:00:00+00:00"}, NOW)
        crm.owe_details(PLACE)
        crm.paid(crm.owed(NOW)[0].row, NOW)
        crm.owe_details(PLACE)
        assert crm.owed(NOW) == [], "nothing new was seen"
        orders.put_header(PLACE, "ada@example.com", {**header, "updatedAt": "2026-01-02T00:00:01Z"}, webhook=None)
        assert crm.owed(NOW)[0].row.current is None, "what was seen is older than the order"

    def test_an_order_that_two_workers_owe_at_once_is_owed_once(
        self, crm: SqlCrm, orders: SqlOrders, engine: Engine
    ) -> None:
        orders.put_header(PLACE, "ada@example.com", HEADER, webhook=None)
        with at_connection(engine, 2, lambda: SqlCrm(engine, KEYS).owe(PLACE, "ada@example.com", NOW)):
            crm.owe(PLACE, "ada@example.com", NOW)  # looks, then writes
        assert [(one.row.name, one.attempts) for one in crm.owed(NOW)] == [("#1001", 0)]

    def test_an_order_that_is_forgotten_meanwhile_is_not_shown(
        self, crm: SqlCrm, orders: SqlOrders, engine: Engine
    ) -> None:
        orders.put_header(PLACE, "ada@example.com", HEADER, webhook=None)
        crm.owe(PLACE, "ada@example.com", NOW)

        def forget() -> None:
            with engine.begin() as tx:
                tx.execute(delete(orders_table))

        with at_connection(engine, 2, forget):  # takes, then reads
            assert crm.owed(NOW) == []

    def test_grants_are_found_by_their_key_and_dropped_one_by_one_by_agent_or_all(self, crm: SqlCrm) -> None:
        for key, user in (("a", "u"), ("b", "u"), ("c", "v"), ("d", "w")):
            crm.put_grant(key, user, key.encode(), NOW)
        crm.drop_grant("a")
        assert (crm.grant("a"), crm.grant("b")) == (None, CrmGrant("u", b"b", NOW))
        assert (crm.drop_grants("u"), [one.user_id for one in crm.grants()]) == (1, ["v", "w"])
        assert (crm.drop_grants(None), crm.grants()) == (2, [])

    def test_the_newest_probe_of_an_organisation_counts(self, crm: SqlCrm) -> None:
        later = NOW + timedelta(days=1)
        crm.put_probe("acme", False, NOW)
        crm.put_probe("acme", True, later)
        assert (crm.probe("acme"), crm.probe("else")) == ((True, later), None)
