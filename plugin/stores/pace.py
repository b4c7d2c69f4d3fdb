"""Counting what leaves a store, in the transaction that writes the run: two servers cannot slip past together."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from plugin.errors import AskAnAdmin
from plugin.money import Money
from plugin.pace import WINDOW, Left, Pace, too_much
from plugin.ports import AlarmKind, NewRun
from plugin.shapes import StepState
from plugin.stores.tables import alarms, gates, runs, steps


def stopped(tx: Connection, new: NewRun, now: datetime) -> AskAnAdmin | None:
    """Why this run may not be written: an alarm that stands, or one that is raised here, to be committed.

    Counted are the payments of runs begun within five minutes, and since the last lift, that are not proved
    not done. A run that is known already, or an order that is taken, is left to the unique indexes.
    """
    adds = [Left(new.agent_id, step.moves_shop) for step in new.plan.steps if step.moves > 0]
    if new.pace is None or not adds:
        return None
    _hold(tx, new.place.store)
    taken = and_(runs.c.store == new.place.store, runs.c.order_id == new.place.order, runs.c.is_open)
    if tx.execute(select(runs.c.id).where(or_(runs.c.id == new.plan.run_id, taken))).first():
        return None
    return _standing(tx, new) or _raised(tx, new, new.pace, adds, now)


def _hold(tx: Connection, store: str) -> None:
    """The store's row is ours until this transaction ends; the first one ever makes it."""
    take = update(gates).where(gates.c.store == store).values(store=store)
    if tx.execute(take).rowcount == 0:
        with suppress(IntegrityError), tx.begin_nested():
            tx.execute(insert(gates).values(store=store))
        tx.execute(take)


def _standing(tx: Connection, new: NewRun) -> AskAnAdmin | None:
    mine = or_(alarms.c.agent_id.is_(None), alarms.c.agent_id == new.agent_id)
    stops = or_(_of_pace(new.place.store), alarms.c.kind == AlarmKind.RESTORED)
    query = select(alarms).where(stops, mine, alarms.c.lifted_at.is_(None))
    row = tx.execute(query.order_by(alarms.c.id)).first()
    return None if row is None else _stop(row.id, row.agent_id, row.text, raised=False)


def _raised(tx: Connection, new: NewRun, pace: Pace, adds: Sequence[Left], now: datetime) -> AskAnAdmin | None:
    for agent_id, most in ((None, pace.store), (new.agent_id, pace.agent)):
        text = too_much(most, [*_left(tx, new.place.store, agent_id, now), *adds])
        if text is not None:
            row = {"kind": AlarmKind.PACE, "store": new.place.store, "agent_id": agent_id, "text": text}
            made = tx.execute(insert(alarms).values(**row, raised_at=now).returning(alarms.c.id)).scalar_one()
            return _stop(made, agent_id, text, raised=True)
    return None


def _left(tx: Connection, store: str, agent_id: str | None, now: datetime) -> list[Left]:
    whose = alarms.c.agent_id.is_(None) if agent_id is None else alarms.c.agent_id == agent_id
    lifted = select(func.max(alarms.c.lifted_at)).where(_of_pace(store), whose).scalar_subquery()
    query = (
        select(runs.c.agent_id, steps.c.shop_currency, steps.c.shop_amount)
        .join(steps, steps.c.run_id == runs.c.id)
        .where(
            runs.c.store == store,
            runs.c.created_at > now - WINDOW,
            or_(lifted.is_(None), runs.c.created_at > lifted),
            steps.c.state != StepState.FAILED,
        )
    )
    rows = tx.execute(query if agent_id is None else query.where(runs.c.agent_id == agent_id)).all()
    found = [Left(row.agent_id, Money(row.shop_currency, Decimal(row.shop_amount))) for row in rows]
    return [one for one in found if one.money > 0]


def _of_pace(store: str) -> ColumnElement[bool]:
    return and_(alarms.c.store == store, alarms.c.kind == AlarmKind.PACE)


def _stop(alarm_id: int, agent_id: str | None, text: str, *, raised: bool) -> AskAnAdmin:
    whose = "All refunds of this store are" if agent_id is None else "Your refunds are"
    return AskAnAdmin(
        f"{whose} stopped: {text}. Nothing was done. Ask an administrator to look, and to lift alarm {alarm_id}.",
        alarm_id,
        raised=raised,
    )
