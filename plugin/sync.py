"""What happens without an agent: open runs carried on, notes out."""

from collections.abc import Callable
from datetime import datetime, timedelta

from plugin.errors import OrderActionsError
from plugin.logs import tell
from plugin.points import Point, reached
from plugin.ports import Tools
from plugin.runtime import carry_out
from plugin.shapes import Run, StepState

NOTE_DELAYS = (5, 15, 60, 300, 900)
YOUNG = 60.0
ABANDONED = 45.0  # seconds after which nobody comes back any more to a run that was never sent
# a run younger than so many seconds is looked at every so many
PAUSES = ((10.0, 1.0), (YOUNG, 3.0), (600.0, 15.0), (3600.0, 60.0), (float("inf"), 900.0))
SLOW = 2.0  # seconds; a look takes a fraction of that, unless the store hangs or asks to slow down
DOUBT_PAUSE = 30.0  # seconds at most while a call is in doubt: only a store that is away keeps one there for long


def deliver_notes(tools: Tools) -> int:
    """Send what waits in the outbox; a CRM that is away delays notes and never money."""
    sent = 0
    for note, attempts in tools.runs.due_notes(tools.clock.now()):
        reached(Point.NOTE_DUE)
        try:
            tools.host.post_note(note)
        except OrderActionsError:
            delay = NOTE_DELAYS[min(attempts, len(NOTE_DELAYS) - 1)]
            tools.runs.note_later(note.id, attempts + 1, tools.clock.now() + timedelta(seconds=delay))
            tell("note.late", tools.runs.run(note.id), attempt=attempts + 1)
            continue
        reached(Point.NOTE_POSTED)
        tools.runs.note_sent(note.id)
        tell("note.sent", tools.runs.run(note.id), attempt=attempts + 1)
        sent += 1
    return sent


def deliver_orders(tools: Tools) -> int:
    """Show changed orders on the CRM's timeline; a CRM that is away delays them."""
    sent = 0
    for owed in tools.crm.owed(tools.clock.now()):
        place = owed.row.place
        store = tools.store(place.store)
        try:
            tools.host.put_order(owed.row, owed.email, store.name if store else place.store)
        except OrderActionsError:
            delay = NOTE_DELAYS[min(owed.attempts, len(NOTE_DELAYS) - 1)]
            tools.crm.owe_later(place, owed.attempts + 1, tools.clock.now() + timedelta(seconds=delay))
            continue
        tools.crm.paid(owed.row, tools.clock.now())
        sent += 1
    return sent


def carry_on(tools: Tools, stopped: Callable[[], bool] = lambda: False) -> int:
    """Carry on open runs that are due: jobs, pending money, a second step, and calls whose fate is unknown.

    What goes wrong with one run keeps no other waiting. A store that is slow has one look in a round, so that it
    keeps no other store's runs waiting: its own take turns.
    """
    carried, slow = 0, set[str]()
    for run in tools.runs.due_runs(tools.clock.now()):
        if stopped():
            break
        begun = tools.clock.now()
        try:
            if run.place.store in slow:
                tools.runs.look_later(run.id, begun, begun)  # in the same order, behind the runs of others
                continue
            carried += _carry_on(tools, run, begun)
            ended = tools.clock.now()
            if (ended - begun).total_seconds() > SLOW:
                slow.add(run.place.store)
                _look_later(tools, run, ended)
        except Exception as error:  # noqa: BLE001 - one bad run must not stop the others
            tell("worker.failed", run, raised=error)
    return carried


def _carry_on(tools: Tools, run: Run, now: datetime) -> bool:
    if not _look_later(tools, run, now) or not _waits_for_shopify(run, _age(run, now)):
        return False  # another worker looks, or nothing is to be seen
    reached(Point.RUN_DUE)
    carry_out(tools, run.id, 0.0)
    return True


def _look_later(tools: Tools, run: Run, now: datetime) -> bool:
    return tools.runs.look_later(run.id, now, now + timedelta(seconds=_pause(run, _age(run, now))))


def _age(run: Run, now: datetime) -> float:
    return (now - run.created_at).total_seconds()


def _pause(run: Run, age: float) -> float:
    pause = next(seconds for limit, seconds in PAUSES if age < limit)
    doubt = any(step.state in (StepState.SENDING, StepState.UNKNOWN) for step in run.steps)
    return min(pause, DOUBT_PAUSE) if doubt else pause


def _waits_for_shopify(run: Run, age: float) -> bool:
    states = {step.state for step in run.steps}
    if StepState.REVIEW in states:
        return False  # a person decides
    # A first step that was never sent belongs to the submit that wrote it, while that may still live.
    known = {StepState.CONFIRMED, StepState.SETTLED, StepState.UNKNOWN, StepState.SENDING}
    return bool(states & known) or age > ABANDONED
