"""Runs, steps and the outbox on SQLAlchemy Core."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from cryptography.fernet import MultiFernet
from sqlalchemy import Connection, Engine, Row, and_, delete, exists, func, insert, not_, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from plugin.errors import LookAgain, TryLater, WaitForRun
from plugin.logs import tell
from plugin.money import Money
from plugin.points import Point, reached
from plugin.ports import Doubt, LostLease, NewRun, Unreadable
from plugin.shapes import Note, Place, Resolution, Run, Step, StepState
from plugin.stores.database import aware, glance, reads
from plugin.stores.pace import stopped
from plugin.stores.rows import BROKEN, run_of, step_values
from plugin.stores.tables import outbox, resolutions, runs, steps

NOT_BEGUN = "Something holds up the database. Nothing was sent; try again in a minute."
NEWEST = runs.c.created_at.desc()
DUE_AT_ONCE = 50
NOTES_AT_ONCE = 5
NOTE_LEASE = timedelta(seconds=120)  # longer than the CRM may take for so many
_Rows = tuple[Row[Any], Sequence[Row[Any]], Sequence[Row[Any]]]


class SqlRuns:
    """The Runs socket. Texts made from customers' data, and the bytes that are sent, are encrypted at rest."""

    def __init__(self, engine: Engine, box: MultiFernet) -> None:
        self._engine = engine
        self._reads = reads(engine)
        self._glance = glance(engine)
        self._box = box

    def begin(self, new: NewRun, now: datetime) -> Run | None:
        plan = new.plan
        try:
            with self._engine.begin() as tx:
                stop = stopped(tx, new, now)
                if stop is None:
                    self._insert(tx, new, now)
                reached(Point.RUN_WRITTEN)
            reached(Point.RUN_COMMITTED)
        except IntegrityError:
            self._already(new)
            return None
        except TryLater as error:
            raise TryLater(NOT_BEGUN) from error
        if stop is not None:
            raise stop
        return self.run(plan.run_id)

    def _insert(self, tx: Connection, new: NewRun, now: datetime) -> None:
        plan = new.plan
        tx.execute(insert(runs).values(**self._run_values(new, now)))
        late = and_(_of(new.place), runs.c.id != plan.run_id, runs.c.closed_at >= new.read_at)
        if tx.execute(select(runs.c.id).where(late)).first():
            raise LookAgain("Somebody finished working on this order just now. Look at it again.")
        for position, step in enumerate(plan.steps):
            tx.execute(insert(steps).values(**step_values(plan.run_id, position, step)))

    def _already(self, new: NewRun) -> None:
        """Returns when it is the same form once more."""
        same = self.run(new.plan.run_id)
        if same is not None:
            if same.digest != new.plan.digest:
                raise LookAgain("This form was already sent with other values. Look at the order again.")
            return
        other = self.open_run(new.place)
        if other is None:
            raise LookAgain("The order changed just now. Look at it again.")
        raise WaitForRun(f"{other.agent_name} is already working on this order.", other.id)

    def _run_values(self, new: NewRun, now: datetime) -> dict[str, Any]:
        bodies = [step.body.decode() for step in new.plan.steps]
        return {
            "id": new.plan.run_id,
            "store": new.place.store,
            "order_id": new.place.order,
            "action_id": new.plan.action_id,
            "action_digest": new.plan.action_digest,
            "agent_id": new.agent_id,
            "agent_name": new.agent_name,
            "customer_id": new.customer_id,
            "conversation": new.conversation,
            "door": new.door,
            "digest": new.plan.digest,
            "is_open": True,
            "created_at": now,
            "look_at": now,
            "facts": json.dumps(new.facts),
            "texts": self._box.encrypt(json.dumps({"texts": new.texts, "bodies": bodies}).encode()),
        }

    def run(self, run_id: str) -> Run | None:
        return next(iter(self._read(runs.c.id == run_id)), None)

    def open_run(self, place: Place) -> Run | None:
        return next(iter(self._read(_of(place), runs.c.is_open)), None)

    def runs_of(self, place: Place) -> Sequence[Run]:
        return self._read(_of(place))

    def open_runs(self) -> Sequence[Run]:
        return self._readable(runs.c.is_open)

    def open_places(self) -> Mapping[Place, bool]:
        waits = exists().where(steps.c.run_id == runs.c.id, steps.c.state == StepState.REVIEW)
        query = select(runs.c.store, runs.c.order_id, waits.label("waits")).where(runs.c.is_open)
        with self._glance.connect() as tx:
            rows = tx.execute(query).all()
        return {Place(row.store, row.order_id): bool(row.waits) for row in rows}

    def newest(self, count: int) -> Sequence[Run]:
        return self._readable(limit=count)

    def _read(self, *conditions: Any) -> list[Run]:
        return [self._run(*one) for one in self._rows(*conditions)]

    def _readable(self, *conditions: Any, **which: Any) -> list[Run]:
        return [one for one in self._runs_and_rows(*conditions, **which) if isinstance(one, Run)]

    def _runs_and_rows(self, *conditions: Any, **which: Any) -> list[Run | Row[Any]]:
        """Runs, and the bare rows of those that cannot be read."""
        return [self._run_or_row(*one) for one in self._rows(*conditions, **which)]

    def _rows(self, *conditions: Any, order: Any = NEWEST, limit: int | None = None) -> list[_Rows]:
        """Runs as they lie there, each with its steps and what was decided about it."""
        query = select(runs).where(and_(true(), *conditions)).order_by(order).limit(limit)
        with self._reads.connect() as tx:
            rows = tx.execute(query).all()
            ids = [row.id for row in rows]
            own = _of_runs(tx, steps, ids, steps.c.position)
            decided = _of_runs(tx, resolutions, ids, resolutions.c.at)
        return [(row, own.get(row.id, ()), decided.get(row.id, ())) for row in rows]

    def _run(self, row: Row[Any], own: Sequence[Row[Any]], decided: Sequence[Row[Any]]) -> Run:
        try:
            sealed = json.loads(self._box.decrypt(row.texts))
            return run_of(row, sealed, own, tuple(self._resolution(one) for one in decided))
        except BROKEN as error:
            raise Unreadable(f"run {row.id}: {error}") from error

    def _run_or_row(self, row: Row[Any], own: Sequence[Row[Any]], decided: Sequence[Row[Any]]) -> Run | Row[Any]:
        try:
            return self._run(row, own, decided)
        except Unreadable:
            return row

    def _resolution(self, row: Row[Any]) -> Resolution:
        reason = self._box.decrypt(row.reason).decode()
        return Resolution(row.id, row.run_id, row.agent_id, row.agent_name, row.how, reason, aware(row.at))

    def moved(self, agent_id: str, place: Place) -> tuple[tuple[Money, ...], tuple[Money, ...]]:
        query = (
            select(steps.c.currency, steps.c.amount, steps.c.shop_currency, steps.c.shop_amount)
            .join(runs, runs.c.id == steps.c.run_id)
            .where(_of(place), runs.c.agent_id == agent_id, steps.c.state != StepState.FAILED)
        )
        with self._glance.connect() as tx:
            rows = tx.execute(query).all()
        here = tuple(Money(row.currency, Decimal(row.amount)) for row in rows)
        shop = tuple(Money(row.shop_currency, Decimal(row.shop_amount)) for row in rows)
        return here, shop

    # ------------------------------------------------------------ the lease

    def claim(self, run_id: str, owner: str, now: datetime, seconds: float) -> int | None:
        free = or_(runs.c.lease_until.is_(None), runs.c.lease_until < now)
        take = (
            update(runs)
            .where(runs.c.id == run_id, runs.c.is_open, free)
            .values(
                lease_owner=owner,
                lease_epoch=runs.c.lease_epoch + 1,
                lease_until=now + timedelta(seconds=seconds),
            )
            .returning(runs.c.lease_epoch)
        )
        with self._engine.begin() as tx:
            row = tx.execute(take).first()
            reached(Point.LEASE_WRITTEN)
        reached(Point.LEASE_TAKEN)
        return None if row is None else int(row.lease_epoch)

    def release(self, run_id: str, epoch: int) -> None:
        with self._engine.begin() as tx:
            held = and_(runs.c.id == run_id, runs.c.lease_epoch == epoch, runs.c.lease_owner.is_not(None))
            tx.execute(update(runs).where(held).values(lease_owner=None, lease_until=None))
            reached(Point.RELEASE_WRITTEN)
        reached(Point.RELEASED)

    def _hold(self, tx: Connection, run_id: str, epoch: int) -> None:
        """Only the holder of the present epoch writes (money-safety R5); the touched row locks out others."""
        held = tx.execute(
            update(runs)
            .where(runs.c.id == run_id, runs.c.lease_epoch == epoch, runs.c.is_open)
            .values(lease_epoch=epoch)
        )
        if held.rowcount != 1:
            raise LostLease(run_id)

    def sending(self, step: Step, epoch: int, now: datetime) -> None:
        with self._engine.begin() as tx:
            self._hold(tx, step.run_id, epoch)
            tx.execute(
                update(steps)
                .where(_is(step))
                .values(
                    state=StepState.SENDING,
                    attempts=steps.c.attempts + 1,
                    first_sent_at=func.coalesce(steps.c.first_sent_at, now),
                    last_sent_at=now,
                )
            )
            reached(Point.SENDING_WRITTEN)
        reached(Point.SENDING_COMMITTED)

    def record(
        self, step: Step, epoch: int, state: StepState, *, receipt: Mapping[str, Any] | None = None,
        error: str | None = None, error_field: str | None = None,
    ) -> None:  # fmt: skip
        values: dict[str, Any] = {"state": state, "error": error, "error_field": error_field}
        if receipt is not None:
            values["receipt"] = json.dumps(receipt)
        with self._engine.begin() as tx:
            self._hold(tx, step.run_id, epoch)
            tx.execute(update(steps).where(_is(step)).values(**values))
            reached(Point.RESULT_WRITTEN)
        reached(Point.RESULT_COMMITTED)

    def resolve(self, resolution: Resolution, epoch: int) -> None:
        sealed = self._box.encrypt(resolution.reason.encode())
        with self._engine.begin() as tx:
            self._hold(tx, resolution.run_id, epoch)
            tx.execute(insert(resolutions).values(**{**asdict(resolution), "reason": sealed}))
            reached(Point.DECISION_WRITTEN)
        reached(Point.DECISION_COMMITTED)

    def close(self, run_id: str, epoch: int, outcome: Mapping[str, Any], note: Note | None, now: datetime) -> None:
        with self._engine.begin() as tx:
            self._hold(tx, run_id, epoch)
            # a later step waits in review only in a database that was restored (stores/backup.py)
            never = and_(steps.c.run_id == run_id, steps.c.state.in_((StepState.INTENT, StepState.REVIEW)))
            tx.execute(update(steps).where(never).values(state=StepState.FAILED, error="never sent"))
            tx.execute(
                update(runs)
                .where(runs.c.id == run_id)
                .values(
                    is_open=False,
                    closed_at=now,
                    outcome=json.dumps(outcome),
                    ended=outcome["state"],
                    lease_owner=None,
                    lease_until=None,
                )  # fmt: skip
            )
            if note is not None:
                sealed = self._box.encrypt(json.dumps(asdict(note)).encode())
                tx.execute(insert(outbox).values(run_id=run_id, note=sealed, state="waiting", next_at=now))
            reached(Point.CLOSE_WRITTEN)
        reached(Point.CLOSED)

    # ------------------------------------------------------------ the schedule

    def due_runs(self, now: datetime) -> Sequence[Run]:
        return [one for one in self._due(now) if isinstance(one, Run)]

    def unreadable(self, now: datetime) -> Sequence[Doubt]:
        rows = [one for one in self._due(now) if not isinstance(one, Run)]
        return [Doubt(row.id, 0, row.store, StepState.REVIEW, aware(row.created_at), "") for row in rows]

    def _due(self, now: datetime) -> list[Run | Row[Any]]:
        free = or_(runs.c.lease_until.is_(None), runs.c.lease_until < now)
        due = and_(runs.c.is_open, runs.c.look_at <= now, free)
        return self._runs_and_rows(due, order=runs.c.look_at, limit=DUE_AT_ONCE)

    def look_later(self, run_id: str, now: datetime, at: datetime) -> bool:
        due = and_(runs.c.id == run_id, runs.c.is_open, runs.c.look_at <= now)
        with self._engine.begin() as tx:
            mine = tx.execute(update(runs).where(due).values(look_at=at)).rowcount == 1
            reached(Point.SCHEDULE_WRITTEN)
        reached(Point.SCHEDULE_COMMITTED)
        return mine

    def wake(self, place: Place, now: datetime) -> None:
        later = and_(_of(place), runs.c.is_open, runs.c.look_at > now)
        with self._glance.connect() as tx:
            if tx.execute(select(runs.c.id).where(later)).first() is None:
                return  # as nearly always: no writer is kept waiting
        with self._engine.begin() as tx:
            tx.execute(update(runs).where(later).values(look_at=now))
            reached(Point.SCHEDULE_WRITTEN)
        reached(Point.SCHEDULE_COMMITTED)

    def redact(self, run_id: str) -> bool:
        waiting = exists().where(outbox.c.run_id == run_id, outbox.c.state == "waiting")
        closed = and_(runs.c.id == run_id, not_(runs.c.is_open), not_(waiting))
        empty = self._box.encrypt(json.dumps({}).encode())
        with self._engine.begin() as tx:
            if tx.execute(update(runs).where(closed).values(texts=empty)).rowcount != 1:
                return False
            nothing = self._box.encrypt(b"")
            tx.execute(update(resolutions).where(resolutions.c.run_id == run_id).values(reason=nothing))
            tx.execute(delete(outbox).where(outbox.c.run_id == run_id))
            reached(Point.REDACTION_WRITTEN)
        reached(Point.REDACTION_COMMITTED)
        return True

    # ------------------------------------------------------------ the outbox

    def due_notes(self, now: datetime) -> Sequence[tuple[Note, int]]:
        """`next_at` is the lease too: taking a note makes it due again when the worker must have given up."""
        due = and_(outbox.c.state == "waiting", outbox.c.next_at <= now)
        first = select(outbox.c.run_id).where(due).order_by(outbox.c.next_at).limit(NOTES_AT_ONCE)
        take = (
            update(outbox)
            .where(outbox.c.run_id.in_(first.with_for_update(skip_locked=True)), due)
            .values(next_at=now + NOTE_LEASE)
            .returning(outbox.c.run_id, outbox.c.note, outbox.c.attempts)
        )
        with self._engine.begin() as tx:
            rows = tx.execute(take).all()
            reached(Point.NOTES_WRITTEN)
        reached(Point.NOTES_COMMITTED)
        return [(note, row.attempts) for row in rows if (note := self._note_of(row)) is not None]

    def _note_of(self, row: Row[Any]) -> Note | None:
        """One that cannot be read keeps no other waiting."""
        try:
            return Note(**json.loads(self._box.decrypt(row.note)))
        except BROKEN as error:
            tell("note.unreadable", run=row.run_id, raised=error)
            return None

    def note_sent(self, note_id: str) -> None:
        self._note(note_id, state="sent")

    def note_later(self, note_id: str, attempts: int, at: datetime) -> None:
        self._note(note_id, attempts=attempts, next_at=at)

    def _note(self, note_id: str, **values: Any) -> None:
        waiting = and_(outbox.c.run_id == note_id, outbox.c.state == "waiting")
        with self._engine.begin() as tx:
            tx.execute(update(outbox).where(waiting).values(**values))
            reached(Point.NOTE_WRITTEN)
        reached(Point.NOTE_COMMITTED)


def _of_runs(tx: Connection, table: Any, ids: Sequence[str], order: Any) -> dict[str, list[Row[Any]]]:
    """Rows that belong to runs, by run: one query, however many runs."""
    found: dict[str, list[Row[Any]]] = {}
    for row in tx.execute(select(table).where(table.c.run_id.in_(ids)).order_by(order)):
        found.setdefault(row.run_id, []).append(row)
    return found


def _of(place: Place) -> Any:
    return and_(runs.c.store == place.store, runs.c.order_id == place.order)


def _is(step: Step) -> Any:
    return and_(steps.c.run_id == step.run_id, steps.c.position == step.position)
