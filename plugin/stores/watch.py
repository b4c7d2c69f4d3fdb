"""Alarms, and what an operator watches of the runs, on SQLAlchemy Core."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from cryptography.fernet import MultiFernet
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Row,
    and_,
    case,
    cast,
    func,
    insert,
    inspect,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from plugin.errors import FixTheSetup
from plugin.metrics import Figures
from plugin.money import Money
from plugin.oversight import Mark, Paid, Queue, Wanted
from plugin.points import Point, reached
from plugin.ports import Alarm, AlarmKind, Doubt
from plugin.shapes import Run, StepState
from plugin.stores.database import aware, reads
from plugin.stores.rows import BROKEN, run_of
from plugin.stores.runs import NEWEST
from plugin.stores.tables import alarms, crm_orders, metadata, outbox, resolutions, runs, steps, webhooks_seen

DOUBTFUL = (StepState.UNKNOWN, StepState.REVIEW)
TAKEN = resolutions.c.how.not_in(("again", "not-done"))  # a person took what Shopify shows: its amount may differ
BROKEN_RUN = (
    "Run {run} cannot be read: its row was changed, or its secret was taken out of ORDER_ACTIONS_SECRET. "
    "Put the secret back, or leave its day out."
)
OVERDUE = timedelta(minutes=2)  # a worker looks far more often


class SqlWatch:
    """The Watch socket."""

    def __init__(self, engine: Engine, box: MultiFernet) -> None:
        self._engine = engine
        self._box = box
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
        return self._steps(steps.c.state.in_(DOUBTFUL))

    def lingering(self, before: datetime) -> Sequence[Doubt]:
        return self._steps(and_(steps.c.state == StepState.CONFIRMED, runs.c.created_at < before))

    def _steps(self, wanted: ColumnElement[bool]) -> list[Doubt]:
        query = (
            select(runs.c.store, runs.c.created_at, steps)
            .join(steps, steps.c.run_id == runs.c.id)
            .where(runs.c.is_open, wanted)
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

    # ------------------------------------------------------------ what an admin asks

    def page(self, wanted: Wanted, before: Mark | None, count: int) -> Sequence[Run]:
        conditions = [_wanted(wanted)]
        if before is not None:
            earlier = or_(runs.c.created_at < before.at, runs.c.id < before.run_id)
            conditions += [runs.c.created_at <= before.at, earlier]
        query = select(runs).where(*conditions).order_by(NEWEST, runs.c.id.desc()).limit(count)
        with self._reads.connect() as tx:
            return self._runs(tx, tx.execute(query).all())

    def paid(self, wanted: Wanted) -> Sequence[Paid]:
        day = func.date(runs.c.created_at if self._sqlite else func.timezone("UTC", runs.c.created_at))
        digits = func.length(steps.c.amount) - func.length(func.rtrim(steps.c.amount, "0123456789"))
        scale = case((steps.c.amount.like("%.%"), digits), else_=0)
        minor = func.sum(cast(func.replace(steps.c.amount, ".", ""), BigInteger))  # exact on both engines
        by = (day, runs.c.agent_id, steps.c.currency, scale)
        taken = select(resolutions.c.run_id).where(TAKEN)
        query = (
            select(*by, func.max(runs.c.agent_name), minor, func.count())
            .join(steps, steps.c.run_id == runs.c.id)
            .where(_wanted(wanted), _PAYS, runs.c.id.not_in(taken))
            .group_by(*by)
            .order_by(*by)
        )
        with self._reads.connect() as tx:
            rows = tx.execute(query).all()
        return [
            Paid(str(row[0]), row[1], row[4], Money(row[2], Decimal(int(row[5])).scaleb(-row[3])), row[6])
            for row in rows
        ]

    def taken(self, wanted: Wanted) -> Sequence[Run]:
        query = select(runs).where(_wanted(wanted), runs.c.id.in_(select(resolutions.c.run_id).where(TAKEN)))
        with self._reads.connect() as tx:
            return self._runs(tx, tx.execute(query).all())

    def queue(self, now: datetime) -> Queue:
        closed = select(func.count(), func.min(runs.c.closed_at)).join(outbox, outbox.c.run_id == runs.c.id)
        free = or_(runs.c.lease_until.is_(None), runs.c.lease_until < now)
        due = select(func.count(), func.min(runs.c.look_at)).where(runs.c.is_open, free, runs.c.look_at < now - OVERDUE)
        late = select(func.count()).select_from(crm_orders).where(crm_orders.c.attempts > 0)
        with self._reads.connect() as tx:
            notes, since = tx.execute(closed.where(outbox.c.state == "waiting")).one()
            overdue, look_at = tx.execute(due).one()
            orders_late = tx.execute(late).scalar_one()
        return Queue(
            notes,
            now - aware(since) if since else None,
            orders_late,
            overdue,
            now - aware(look_at) if look_at else None,
        )

    def heard(self, stores: Sequence[str]) -> Mapping[str, datetime]:
        last = {
            one: select(func.max(webhooks_seen.c.received_at)).where(webhooks_seen.c.store == one) for one in stores
        }
        with self._reads.connect() as tx:
            found = {one: tx.execute(query).scalar_one() for one, query in last.items()}
        return {one: aware(at) for one, at in found.items() if at is not None}

    def careless(self) -> Sequence[str]:
        """Settings of the database under which what was committed may be lost."""
        wanted = _KEPT_SQLITE if self._sqlite else _KEPT_POSTGRES
        with self._reads.connect() as tx:
            found = {ask: str(tx.execute(text(ask)).scalar_one()) for ask in wanted}
        return [f"{ask.split()[-1]} is {found[ask]}, not {need}" for ask, need in wanted.items() if found[ask] != need]

    @property
    def _sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    def _runs(self, tx: Connection, rows: Sequence[Row[Any]]) -> list[Run]:
        """Runs with what was sent, and without the texts they were made from."""
        own: dict[str, list[Row[Any]]] = {row.id: [] for row in rows}
        for step in tx.execute(select(steps).where(steps.c.run_id.in_(list(own))).order_by(steps.c.position)):
            own[step.run_id].append(step)
        return [self._run(row, own[row.id]) for row in rows]

    def _run(self, row: Row[Any], own: Sequence[Row[Any]]) -> Run:
        """A report without a run that it should count would be wrong, so there is none then."""
        try:
            return run_of(row, {"bodies": json.loads(self._box.decrypt(row.texts)).get("bodies", ())}, own, ())
        except BROKEN as error:
            raise FixTheSetup(BROKEN_RUN.format(run=row.id)) from error

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


_KEPT_SQLITE = {"PRAGMA journal_mode": "wal", "PRAGMA synchronous": "2"}
_KEPT_POSTGRES = {"SHOW synchronous_commit": "on", "SHOW fsync": "on", "SHOW full_page_writes": "on"}
_PAYS = and_(steps.c.state == StepState.SETTLED, steps.c.amount.not_in(("0", "0.0", "0.00", "0.000")))


def _wanted(wanted: Wanted) -> ColumnElement[bool]:
    """Nothing without a store."""
    columns = {
        "agent_id": runs.c.agent_id, "action_id": runs.c.action_id, "ended": runs.c.ended, "open": runs.c.is_open,
    }  # fmt: skip
    asked = {column: getattr(wanted, name) for name, column in columns.items()}
    found = [runs.c.store.in_(wanted.stores), *(one == value for one, value in asked.items() if value is not None)]
    if wanted.since is not None:
        found.append(runs.c.created_at >= wanted.since)
    if wanted.until is not None:
        found.append(runs.c.created_at < wanted.until)
    return and_(*found)


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
