"""Alarms, and the figures an operator watches, on SQLAlchemy Core."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, Row, and_, func, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from plugin.metrics import Figures
from plugin.points import Point, reached
from plugin.ports import Alarm, AlarmKind, Doubt
from plugin.shapes import StepState
from plugin.stores.database import aware, reads
from plugin.stores.tables import alarms, metadata, outbox, runs, steps

DOUBTFUL = (StepState.UNKNOWN, StepState.REVIEW)


class SqlWatch:
    """The Watch socket."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = reads(engine)

    def alarms(self, *, active: bool) -> Sequence[Alarm]:
        query = select(alarms).order_by(alarms.c.id)
        with self._reads.connect() as tx:
            rows = tx.execute(query.where(alarms.c.lifted_at.is_(None)) if active else query).all()
        return [_alarm(row) for row in rows]

    def raise_once(self, kind: AlarmKind, doubt: Doubt, text: str, now: datetime) -> int | None:
        values = {"kind": kind, "store": doubt.store, "run_id": doubt.run_id, "position": doubt.position, "text": text}
        known = and_(alarms.c.kind == kind, alarms.c.run_id == doubt.run_id, alarms.c.position == doubt.position)
        try:
            with self._engine.begin() as tx:
                if tx.execute(select(alarms.c.id).where(known)).first():
                    return None
                made = tx.execute(insert(alarms).values(**values, raised_at=now).returning(alarms.c.id)).scalar_one()
                reached(Point.ALARM_WRITTEN)
            reached(Point.ALARM_COMMITTED)
        except IntegrityError:
            return None  # another worker raised it at the same moment
        return int(made)

    def lift(self, alarm_id: int, by: str, reason: str, now: datetime) -> Alarm | None:
        mine = and_(alarms.c.id == alarm_id, alarms.c.lifted_at.is_(None))
        with self._engine.begin() as tx:
            lifted = tx.execute(update(alarms).where(mine).values(lifted_at=now, lifted_by=by, reason=reason))
            if lifted.rowcount != 1:
                return None
            row = tx.execute(select(alarms).where(alarms.c.id == alarm_id)).one()
            reached(Point.ALARM_WRITTEN)
        reached(Point.ALARM_COMMITTED)
        return _alarm(row)

    def doubts(self) -> Sequence[Doubt]:
        query = (
            select(runs.c.store, runs.c.created_at, steps)
            .join(steps, steps.c.run_id == runs.c.id)
            .where(runs.c.is_open, steps.c.state.in_(DOUBTFUL))
        )
        with self._reads.connect() as tx:
            rows = tx.execute(query).all()
        return [
            Doubt(row.run_id, row.position, row.store, StepState(row.state),
                  aware(row.first_sent_at or row.created_at), row.error or "")
            for row in rows
        ]  # fmt: skip

    def figures(self, now: datetime) -> Figures:
        at = (
            select(steps.c.run_id, func.min(steps.c.position).label("position"))
            .join(runs, runs.c.id == steps.c.run_id)
            .where(runs.c.is_open, steps.c.state != StepState.SETTLED)
            .group_by(steps.c.run_id)
            .subquery()
        )
        here = and_(steps.c.run_id == at.c.run_id, steps.c.position == at.c.position)
        states = select(steps.c.state, func.count()).join(at, here).group_by(steps.c.state)
        kinds = select(alarms.c.kind, func.count()).where(alarms.c.lifted_at.is_(None)).group_by(alarms.c.kind)
        waiting = select(func.count()).select_from(outbox).where(outbox.c.state == "waiting")
        ages = [(now - one.since).total_seconds() for one in self.doubts()]
        with self._reads.connect() as tx:
            found = {row[0]: row[1] for row in tx.execute(states).all()}
            raised = {row[0]: row[1] for row in tx.execute(kinds).all()}
            notes = tx.execute(waiting).scalar_one()
        return {
            "open_runs": {(state,): found.get(state, 0) for state in StepState},
            "oldest_doubt_seconds": {(): max([0.0, *ages])},
            "notes_waiting": {(): notes},
            "active_alarms": {(kind,): raised.get(kind, 0) for kind in AlarmKind},
        }

    def problems(self) -> Sequence[str]:
        try:
            with self._reads.connect() as tx:
                there = inspect(tx)
                found = {name: {one["name"] for one in there.get_columns(name)} for name in there.get_table_names()}
        except SQLAlchemyError:
            return ["database: it does not answer"]
        missing = [
            name for name, table in metadata.tables.items() if set(table.c.keys()) - found.get(name, set())
        ]  # fmt: skip
        return [f"database: its tables are not those of this version: {', '.join(missing)}"] if missing else []


def _alarm(row: Row[tuple[object, ...]]) -> Alarm:
    return Alarm(
        id=row.id,
        kind=AlarmKind(row.kind),
        store=row.store,
        agent_id=row.agent_id,
        run_id=row.run_id,
        position=row.position,
        raised_at=aware(row.raised_at),
        text=row.text,
        lifted_at=row.lifted_at and aware(row.lifted_at),
        lifted_by=row.lifted_by,
        reason=row.reason,
    )
