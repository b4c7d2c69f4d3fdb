"""The Runs and Orders sockets in memory: every method happens whole or not at all."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from plugin.errors import LookAgain, WaitForRun
from plugin.money import Money
from plugin.ports import LostLease, NewRun
from plugin.shapes import Note, OrderRow, Place, Resolution, Run, Step, StepState
from plugin.stores.rows import HASHED, hash_of
from plugin.stores.runs import DUE_AT_ONCE, NOTE_LEASE, NOTES_AT_ONCE


@dataclass
class Row:
    """A row of `runs` with its steps, and its lease."""

    run: Run
    closed_at: datetime | None = None
    epoch: int = 0
    lease_until: datetime | None = None
    look_at: datetime | None = None
    steps: list[Step] = field(default_factory=list)

    def shown(self) -> Run:
        return replace(self.run, steps=tuple(self.steps))


@dataclass
class Waiting:
    note: Note
    attempts: int
    next_at: datetime
    sent: bool = False


class MemoryRuns:
    """Meets the same contract as SqlRuns (tests/test_stores.py)."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.outbox: dict[str, Waiting] = {}

    def begin(self, new: NewRun, now: datetime) -> Run | None:
        plan, place = new.plan, new.place
        same = self.rows.get(plan.run_id)
        if same is not None:
            if same.run.digest != plan.digest:
                raise LookAgain("This form was already sent with other values. Look at the order again.")
            return None
        keys = {step.key for row in self.rows.values() for step in row.steps}
        if keys & {step.key for step in plan.steps}:
            raise LookAgain("The order changed just now. Look at it again.")
        other = self.open_run(place)
        if other is not None:
            raise WaitForRun(f"{other.agent_name} is already working on this order.", other.id)
        if any(row.closed_at >= new.read_at for row in self.rows.values() if row.run.place == place and row.closed_at):
            raise LookAgain("Somebody finished working on this order just now. Look at it again.")
        run = Run(
            plan.run_id, place, plan.action_id, new.agent_id, new.agent_name, new.customer_id, new.conversation,
            new.door, plan.digest, True, now, new.facts, new.texts, None, (),
        )  # fmt: skip
        steps = [
            Step(
                plan.run_id, position, one.name, one.key, one.marker, one.root, one.body, one.moves, one.moves_shop,
                StepState.INTENT, 0, None, None, None, None, None,
            )
            for position, one in enumerate(plan.steps)
        ]  # fmt: skip
        self.rows[plan.run_id] = Row(run, look_at=now, steps=steps)
        return self.rows[plan.run_id].shown()

    def run(self, run_id: str) -> Run | None:
        row = self.rows.get(run_id)
        return row.shown() if row else None

    def open_run(self, place: Place) -> Run | None:
        return next((row.shown() for row in self._newest() if row.run.open and row.run.place == place), None)

    def runs_of(self, place: Place) -> Sequence[Run]:
        return [row.shown() for row in self._newest() if row.run.place == place]

    def open_runs(self) -> Sequence[Run]:
        return [row.shown() for row in self._newest() if row.run.open]

    def open_places(self) -> Mapping[Place, bool]:
        return {one.place: any(step.state is StepState.REVIEW for step in one.steps) for one in self.open_runs()}

    def newest(self, count: int) -> Sequence[Run]:
        return [row.shown() for row in self._newest()][:count]

    def _newest(self) -> list[Row]:
        return sorted(self.rows.values(), key=lambda row: row.run.created_at, reverse=True)

    def moved(self, agent_id: str, place: Place) -> tuple[tuple[Money, ...], tuple[Money, ...]]:
        own = [row for row in self.rows.values() if row.run.place == place and row.run.agent_id == agent_id]
        steps = [step for row in own for step in row.steps if step.state is not StepState.FAILED]
        return tuple(step.moves for step in steps), tuple(step.moves_shop for step in steps)

    # ------------------------------------------------------------ the lease

    def claim(self, run_id: str, owner: str, now: datetime, seconds: float) -> int | None:
        row = self.rows.get(run_id)
        if row is None or not row.run.open or (row.lease_until is not None and row.lease_until >= now):
            return None
        row.epoch += 1
        row.lease_until = now + timedelta(seconds=seconds)
        return row.epoch

    def release(self, run_id: str, epoch: int) -> None:
        row = self.rows.get(run_id)
        if row is not None and row.epoch == epoch:
            row.lease_until = None

    def held(self, run_id: str, epoch: int) -> Row:
        row = self.rows.get(run_id)
        if row is None or row.epoch != epoch or not row.run.open:
            raise LostLease(run_id)
        return row

    def sending(self, step: Step, epoch: int, now: datetime) -> None:
        row = self.held(step.run_id, epoch)
        old = row.steps[step.position]
        row.steps[step.position] = replace(
            old, state=StepState.SENDING, attempts=old.attempts + 1, first_sent_at=old.first_sent_at or now,
            last_sent_at=now,
        )  # fmt: skip

    def record(
        self, step: Step, epoch: int, state: StepState, *, receipt: Mapping[str, Any] | None = None,
        error: str | None = None, error_field: str | None = None,
    ) -> None:  # fmt: skip
        row = self.held(step.run_id, epoch)
        old = row.steps[step.position]
        kept = old.receipt if receipt is None else json.loads(json.dumps(receipt))
        row.steps[step.position] = replace(old, state=state, receipt=kept, error=error, error_field=error_field)

    def resolve(self, resolution: Resolution, epoch: int) -> None:
        row = self.held(resolution.run_id, epoch)
        row.run = replace(row.run, resolutions=(*row.run.resolutions, resolution))

    def close(self, run_id: str, epoch: int, outcome: Mapping[str, Any], note: Note | None, now: datetime) -> None:
        row = self.held(run_id, epoch)
        row.steps = [
            replace(step, state=StepState.FAILED, error="never sent") if step.state is StepState.INTENT else step
            for step in row.steps
        ]
        row.run = replace(row.run, open=False, outcome=json.loads(json.dumps(outcome)))
        row.closed_at, row.lease_until = now, None
        if note is not None:
            self.outbox[run_id] = Waiting(note, 0, now)

    # ------------------------------------------------------------ the schedule

    def due_runs(self, now: datetime) -> Sequence[Run]:
        free = [row for row in self.rows.values() if row.lease_until is None or row.lease_until < now]
        due = [row for row in free if _due(row, now)]
        return [row.shown() for row in sorted(due, key=lambda row: row.look_at or now)][:DUE_AT_ONCE]

    def look_later(self, run_id: str, now: datetime, at: datetime) -> bool:
        row = self.rows.get(run_id)
        if row is None or not _due(row, now):
            return False
        row.look_at = at
        return True

    def wake(self, place: Place, now: datetime) -> None:
        for row in self.rows.values():
            if row.run.open and row.run.place == place and row.look_at is not None:
                row.look_at = min(row.look_at, now)

    def redact(self, run_id: str) -> bool:
        row, note = self.rows.get(run_id), self.outbox.get(run_id)
        if row is None or row.run.open or (note is not None and not note.sent):
            return False
        row.run = replace(row.run, texts={})
        row.steps = [one if one.body.startswith(HASHED) else replace(one, body=hash_of(one.body)) for one in row.steps]
        self.outbox.pop(run_id, None)
        return True

    # ------------------------------------------------------------ the outbox

    def due_notes(self, now: datetime) -> Sequence[tuple[Note, int]]:
        due = [one for one in self.outbox.values() if not one.sent and one.next_at <= now]
        taken = sorted(due, key=lambda one: one.next_at)[:NOTES_AT_ONCE]
        for one in taken:
            one.next_at = now + NOTE_LEASE
        return [(one.note, one.attempts) for one in taken]

    def note_sent(self, note_id: str) -> None:
        self.outbox[note_id].sent = True

    def note_later(self, note_id: str, attempts: int, at: datetime) -> None:
        waiting = self.outbox[note_id]
        waiting.attempts, waiting.next_at = attempts, at


def _due(row: Row, now: datetime) -> bool:
    return row.run.open and row.look_at is not None and row.look_at <= now


class MemoryOrders:
    """As much of the Orders socket as runs need: a look is kept, and nothing is decided by it."""

    def order(self, place: Place) -> OrderRow | None:
        return None

    def put_header(
        self, place: Place, email: str, header: Mapping[str, Any], *, webhook: datetime | None, phone: str = ""
    ) -> bool:  # fmt: skip
        return True

    def put_snapshot(self, place: Place, snapshot: Mapping[str, Any], now: datetime) -> None:
        return None
