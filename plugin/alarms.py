"""Alarms about runs: raised from what the database says, so that a crash loses none; lifted by people or by proof."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from plugin.errors import LookAgain, NothingHere
from plugin.filters import clock_time
from plugin.logs import about, tell
from plugin.permissions import ADMIN, require
from plugin.ports import Alarm, AlarmKind, Doubt, Tools, Unreadable
from plugin.reconcile import TWICE
from plugin.settling import SETTLE_TIME, settle_time
from plugin.shapes import Agent, OrderFacts, Place, Run, StepState
from plugin.telling import came_late
from plugin.verdicts import is_mismatch

DOUBT_MINUTES = 15
LINGERS = timedelta(days=1)
DOUBTFUL = (StepState.UNKNOWN, StepState.REVIEW)
KEY = "Shopify says that another call used this call's key. This is a defect of ours: stop, and report it."
LOST = "This run cannot be read: its row was changed, or its secret was taken away. Compare the order in Shopify."
LOST_PAUSE = timedelta(minutes=15)
LONG = "In doubt for longer than {minutes} minutes. {error}"
SETTLING = "Shopify may still carry out what was sent before the restore. This can be lifted from {at} on."
LATE = "A refund carries the reference of a run that ended without it. Compare the order in Shopify with this run."
LINGERING = "Open for longer than a day: Shopify accepted it, and has not finished it."
PROGRAM = "order-actions"
_KNOWN = (StepState.CONFIRMED, StepState.SETTLED, StepState.FAILED)


def watch(tools: Tools) -> None:
    """One round: raise what is new, once for each step; lift the doubts that became known."""
    now = tools.clock.now()
    doubts = [*tools.watch.doubts(), *tools.watch.lingering(now - LINGERS)]
    for one in tools.runs.unreadable(now):
        _raise(tools, AlarmKind.UNREADABLE, one, LOST, now)
        tools.runs.look_later(one.run_id, now, now + LOST_PAUSE)  # it must not stand in the way of those that are due
    for one in doubts:
        for kind, text in _of(tools, one, now):
            _raise(tools, kind, one, text, now)
    _lift_known(tools, {(one.run_id, one.position) for one in doubts}, now)


def _raise(tools: Tools, kind: AlarmKind, doubt: Doubt, text: str, now: datetime) -> None:
    made = tools.watch.raise_once(kind, doubt, text, now)
    if made is None:
        return None
    run = _run(tools, doubt.run_id)
    if run is None:
        return tell("alarm.raised", alarm=made, kind=kind, run=doubt.run_id, store=doubt.store)
    return tell("alarm.raised", run, alarm=made, kind=kind, step=run.steps[doubt.position].name)


def _run(tools: Tools, run_id: str | None) -> Run | None:
    """None also for a run that cannot be read: an alarm about it must not fail by that."""
    try:
        return tools.runs.run(run_id) if run_id else None
    except Unreadable:
        return None


def _of(tools: Tools, doubt: Doubt, now: datetime) -> Iterator[tuple[AlarmKind, str]]:
    if doubt.state not in DOUBTFUL:
        yield AlarmKind.DOUBT, LINGERING
        return
    store = tools.store(doubt.store)
    minutes = int(store.settings.get("doubt_alarm_minutes", DOUBT_MINUTES)) if store else DOUBT_MINUTES
    if (now - doubt.since).total_seconds() > minutes * 60:
        yield AlarmKind.DOUBT, LONG.format(minutes=minutes, error=doubt.error).strip()
    if doubt.state is StepState.REVIEW and doubt.error == TWICE:
        yield AlarmKind.TWICE, TWICE
    if doubt.state is StepState.REVIEW and is_mismatch(doubt.error):
        yield AlarmKind.KEY, KEY


def _lift_known(tools: Tools, doubtful: set[tuple[str, int]], now: datetime) -> None:
    """Only a doubt ends by itself, and only when its step is known; a call on its way again is not known."""
    for one in tools.watch.alarms(active=True):
        if one.kind is not AlarmKind.DOUBT or one.run_id is None or one.position is None:
            continue
        if (one.run_id, one.position) not in doubtful:
            run = _run(tools, one.run_id)
            if run is not None and run.steps[one.position].state in _KNOWN:
                reason = f"known: {run.steps[one.position].state}"
                _lift(tools, one.id, PROGRAM, reason, now)


def compare(tools: Tools, runs: Sequence[Run], order: OrderFacts) -> None:
    """Raise what the order says against closed runs: their call was carried out after we had told of its end."""
    for run in runs:
        for step in came_late(run, order):
            doubt = Doubt(run.id, step.position, run.place.store, step.state, run.created_at, "")
            _raise(tools, AlarmKind.LATE, doubt, LATE, tools.clock.now())


def lift(tools: Tools, person: Agent, alarm_id: int, reason: str) -> Alarm:
    """A person lifts an alarm; a stopped store goes on. Raises NotAllowed, LookAgain, NothingHere."""
    require(person, ADMIN, tools.bundle.permissions)
    if not reason.strip():
        raise LookAgain("Say why, for whoever reads this alarm later.")
    _must_have_settled(tools, alarm_id)
    lifted = _lift(tools, alarm_id, person.name, reason.strip(), tools.clock.now())
    if lifted is None:
        raise NothingHere(f"There is no alarm {alarm_id} that could be lifted.")
    return lifted


def _must_have_settled(tools: Tools, alarm_id: int) -> None:
    """What was sent before a restore, and is not known here, may still be carried out for the settle time."""
    found = next((one for one in tools.watch.alarms(active=True) if one.id == alarm_id), None)
    if found is None or found.kind is not AlarmKind.RESTORED:
        return
    longest = max((settle_time(tools, Place(one.domain, "")) for one in tools.commerce.stores()), default=SETTLE_TIME)
    until = found.raised_at + timedelta(seconds=longest)
    if tools.clock.now() < until:
        raise LookAgain(SETTLING.format(at=clock_time(until)))


def _lift(tools: Tools, alarm_id: int, by: str, reason: str, now: datetime) -> Alarm | None:
    lifted = tools.watch.lift(alarm_id, by, reason, now)
    if lifted is not None:
        run = _run(tools, lifted.run_id)
        whose = about(run) if run else {"run": lifted.run_id, "store": lifted.store, "agent": lifted.agent_id}
        tell("alarm.lifted", alarm=lifted.id, kind=lifted.kind, by=by, **whose)
    return lifted
