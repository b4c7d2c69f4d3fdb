"""One contract for every database engine: runs, leases, orders, outbox."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine

from plugin.app import open_database
from plugin.errors import LookAgain, WaitForRun
from plugin.money import Money
from plugin.ports import LostLease, NewRun
from plugin.secrets import Keys
from plugin.shapes import Note, Place, Plan, PlannedStep, StepState
from plugin.stores.orders import SqlOrders
from plugin.stores.runs import SqlRuns

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


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'test.sqlite'}")
    yield engine
    engine.dispose()


@pytest.fixture
def runs(engine: Engine) -> SqlRuns:
    return SqlRuns(engine, KEYS.box())


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

    def test_the_same_run_twice_is_the_same_run(self, runs: SqlRuns) -> None:
        assert runs.begin(new(), NOW) == runs.begin(new(), NOW + timedelta(seconds=1))

    def test_the_same_id_with_another_plan_is_refused(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        with pytest.raises(LookAgain, match="other values"):
            runs.begin(new(digest="x"), NOW)

    def test_one_order_has_one_open_run(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        with pytest.raises(WaitForRun, match="Ana is already working") as refused:
            runs.begin(new(OTHER, agent="sam"), NOW)
        assert refused.value.run_id == RUN

    def test_a_closed_run_makes_room_for_the_next(self, runs: SqlRuns) -> None:
        runs.begin(new(), NOW)
        epoch = runs.claim(RUN, "w", NOW, 10)
        assert epoch is not None
        runs.close(RUN, epoch, {"state": "done"}, None, NOW)
        assert runs.begin(replace(new(OTHER), read_at=NOW + timedelta(seconds=1)), NOW).id == OTHER
        assert [run.id for run in runs.open_runs()] == [OTHER]

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
        runs.begin(new(), NOW)
        epoch = runs.claim(RUN, "w", NOW, 60)
        note = Note(RUN, "c", None, "#1001", "ana", "Ana", "Refunded.", "https://x")
        assert epoch is not None
        runs.close(RUN, epoch, {"state": "done"}, note, NOW)
        later = NOW + timedelta(seconds=1)
        assert runs.due_notes(later) == [(note, 0)]
        runs.note_later(RUN, 1, later + timedelta(seconds=5))
        assert runs.due_notes(later) == []
        assert runs.due_notes(later + timedelta(seconds=6)) == [(note, 1)]
        runs.note_sent(RUN)
        assert runs.due_notes(later + timedelta(days=1)) == []


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
        self, orders: SqlOrders, engine: Engine, tmp_path: Path
    ) -> None:
        orders.put_header(PLACE, "Ana@Example.com", HEADER, webhook=None)
        assert [row.place for row in orders.orders_of("ana@example.COM")] == [PLACE]
        assert orders.orders_of("b@example.com") == []
        engine.dispose()
        stored = b"".join(one.read_bytes() for one in tmp_path.iterdir())
        assert b"xample.com" not in stored.lower()

    def test_an_update_heals_a_legacy_order(self, orders: SqlOrders) -> None:
        orders.put_legacy(PLACE, "a@example.com", HEADER)
        orders.put_header(PLACE, "a@example.com", HEADER, webhook=None)
        assert [row.legacy for row in orders.orders_of("a@example.com")] == [True]
        orders.put_header(PLACE, "a@example.com", {**HEADER, "updatedAt": "2026-11-05T10:00:00Z"}, webhook=NOW)
        assert [row.legacy for row in orders.orders_of("a@example.com")] == [False]

    def test_a_snapshot_is_encrypted_at_rest(self, orders: SqlOrders, engine: Engine, tmp_path: Path) -> None:
        orders.put_header(PLACE, "a@example.com", HEADER, webhook=None)
        orders.put_snapshot(PLACE, {"note": "very private"}, NOW)
        row = orders.order(PLACE)
        assert row == replace(row, snapshot={"note": "very private"}, snapshot_at=NOW)  # type: ignore[type-var]
        engine.dispose()
        assert b"very private" not in b"".join(one.read_bytes() for one in tmp_path.iterdir())

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
        assert (orders.orders_of(""), orders.owns(row, "")) == ([], False)
