"""Carries a committed run through its steps: the only place that sends a mutation."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from plugin.bundle import StepSpec
from plugin.documents import receipt
from plugin.errors import OrderActionsError
from plugin.logs import tell
from plugin.points import Point, reached
from plugin.ports import LostLease, Tools
from plugin.reading import Seen, keep
from plugin.reconcile import Kind as Next
from plugin.reconcile import decide, same_world
from plugin.settling import Work, seen_of, settle, settle_time, words_for
from plugin.shapes import Note, Run, Step, StepState
from plugin.telling import note_text, told
from plugin.verdicts import Kind, Verdict, judge

LEASE_SECONDS = 50.0  # longer than one call may take; a run whose process died goes on within a minute
THROTTLE_TRIES = 4
OVERSLEPT = 20.0  # seconds after the look at the order, or after the commit, in which a call has to leave
FIRST_SEND_WITHIN = 600.0  # seconds after which an intent that was never sent is given up
NEXT_SEND_WITHIN = 24 * 3600.0  # and a later step, while its order cannot be read
UNREACHED = "Shopify could not be reached. Nothing was sent; try again in a minute."
TOO_BUSY = "Shopify is too busy just now. Nothing was done; try again in a minute."
NEVER_SENT = "This was never sent to Shopify. Nothing was done."
MOVED = "The order changed before this could be sent, so it was not sent."
STOPPED = "The server stopped while this was being sent."
NO_RULES = "The action's file changed while this was going on. Compare the order in Shopify with this run."


def carry_out(tools: Tools, run_id: str, patience: float, *, looked_at: datetime | None = None) -> Run:
    """Take the run as far as it goes within `patience` seconds, unless another worker holds it.

    `looked_at` is when the order was read and judged for this very run; whoever comes later, and who was held up
    since, looks at the order again before anything is sent.
    """
    epoch = tools.runs.claim(run_id, uuid.uuid4().hex, tools.clock.now(), LEASE_SECONDS + patience)
    if epoch is not None:
        run = _existing(tools, run_id)
        until = tools.clock.now().timestamp() + patience
        try:
            advance(Work(tools, run, epoch, tools.bundle.actions.get(run.action_id), until), looked_at)
        except LostLease:
            pass  # another worker holds the run now and knows more
        finally:
            tools.runs.release(run_id, epoch)
    return _existing(tools, run_id)


def _existing(tools: Tools, run_id: str) -> Run:
    run = tools.runs.run(run_id)
    assert run is not None
    return run


def advance(work: Work, looked_at: datetime | None = None) -> None:
    """Step after step; stops where proof is missing. Step 2 waits for the proof of step 1."""
    while True:
        work = replace(work, run=_existing(work.tools, work.run.id))
        step = next((one for one in work.run.steps if one.state is not StepState.SETTLED), None)
        if step is None:
            return _close(work, "done")
        if step.state is StepState.FAILED:
            return _close(work, "failed" if step.position == 0 else "partly")
        spec = work.spec(step)
        if step.state is StepState.REVIEW:
            return None
        if step.state is StepState.SENDING:
            work.record(step, StepState.UNKNOWN, error=STOPPED)
            continue
        if step.state is StepState.CONFIRMED and (spec is not None or "$accepted" in (step.receipt or {})):
            moved_on = settle(work, step, spec)
        elif spec is None:
            return work.record(step, StepState.REVIEW, error=NO_RULES)
        elif step.state is StepState.UNKNOWN:
            moved_on = _find_out(work, step, spec)
        else:
            moved_on = _send(work, step, spec, looked_at if step.position == 0 else None)
        if not moved_on:
            return None


def _close(work: Work, state: str) -> None:
    """Close the run with its outcome, and its note in the outbox, in one transaction."""
    run, now = work.run, work.tools.clock.now()
    note = Note(
        id=run.id,
        customer_id=run.customer_id,
        conversation=run.conversation,
        order_name=str(run.facts["name"]),
        agent_id=run.agent_id,
        agent_name=run.agent_name,
        body=note_text(run, work.action, state),
        url=str(run.facts["url"]),
        store=run.place.store,
        order=run.place.order,
    )
    outcome = told(run, work.action, state)
    work.tools.runs.close(run.id, work.epoch, outcome, None if state == "failed" else note, now)
    tell("run.closed", run, outcome=state)


# ---------------------------------------------------------------- sending


def _send(work: Work, step: Step, spec: StepSpec, looked_at: datetime | None) -> bool:
    """Send the committed bytes; record what the answer proves. False when the run must wait."""
    if looked_at is None or not _just_now(work, looked_at):
        looked_at = work.tools.clock.now()
        blocked = _blocked(work, step)
        if blocked is not None:
            return blocked
    verdict = Verdict(Kind.THROTTLED, "")
    for tried in range(THROTTLE_TRIES):
        if not _just_now(work, looked_at):
            break
        verdict = _once(work, step, step.attempts + tried + 1)
        if verdict.kind is not Kind.THROTTLED:
            break
        work.tools.clock.sleep(verdict.wait)
    return _RECORDERS[verdict.kind](work, step, spec, verdict)


def _just_now(work: Work, looked_at: datetime) -> bool:
    """What was seen then may still be acted upon: the next look would hardly show more."""
    return 0 <= (work.tools.clock.now() - looked_at).total_seconds() < OVERSLEPT


def _once(work: Work, step: Step, attempt: int) -> Verdict:
    """Commit that the bytes are about to go, send them, judge the answer."""
    tools, begun = work.tools, work.tools.clock.now()
    tools.runs.sending(step, work.epoch, begun)
    if not _just_now(work, begun):
        raise LostLease(work.run.id)  # this process slept: others may have given the call up meanwhile
    tell("step.sent", work.run, step=step.name, attempt=attempt)
    reply = tools.commerce.send(work.run.place.store, step.body)
    reached(Point.ANSWERED)
    verdict = judge(reply, step.root)
    reached(Point.JUDGED)
    tell("step.verdict", work.run, step=step.name, attempt=attempt, verdict=verdict.kind.name.lower())
    return verdict


def _blocked(work: Work, step: Step) -> bool | None:
    """A step that is sent later than it was judged: None when the world still stands as it did."""
    age = (work.tools.clock.now() - work.run.created_at).total_seconds()
    if step.position == 0 and age > FIRST_SEND_WITHIN:
        work.record(step, StepState.FAILED, error=NEVER_SENT)
        return True
    seen = work.look(step)
    if seen is None and age < NEXT_SEND_WITHIN:
        return False
    if seen is not None and same_world(work.run, step, seen.facts):
        return None
    work.record(step, StepState.FAILED, error=MOVED if seen is not None else NEVER_SENT)
    return True


def _done(work: Work, step: Step, spec: StepSpec, verdict: Verdict) -> bool:
    payload = verdict.payload or {}
    kept = receipt(spec.mutation, payload)
    order = payload.get("order")
    seen = _keep(work, step, order) if isinstance(order, Mapping) else None
    if seen is not None:
        kept |= seen_of(work, step, kept, seen)
    work.record(step, StepState.CONFIRMED, receipt=kept)
    return True


def _keep(work: Work, step: Step, order: Mapping[str, Any]) -> Seen | None:
    """The order in an answer is the new snapshot; what is odd about it must not undo a proved call."""
    try:
        return keep(work.tools, work.run.place, order, work.tools.clock.now())
    except (OrderActionsError, ValueError, KeyError, TypeError) as error:
        work.unread(step, error)
        return None


def _not_sent(work: Work, step: Step, spec: StepSpec, verdict: Verdict) -> bool:
    """Proved: nothing happened. The first step fails at once; a later one is tried again by the worker."""
    said = UNREACHED if verdict.kind is Kind.NOT_SENT else TOO_BUSY
    if step.position == 0:
        work.record(step, StepState.FAILED, error=said)
        return True
    work.record(step, StepState.INTENT, error=said)
    return False


def _not_done(work: Work, step: Step, spec: StepSpec, verdict: Verdict) -> bool:
    said = f"Shopify did not do this - {verdict.said} Ask an administrator."
    work.record(step, StepState.FAILED, error=said)
    return True


def _refused(work: Work, step: Step, spec: StepSpec, verdict: Verdict) -> bool:
    """User errors: read back once; only if the order stands still is it a proved refusal."""
    reached(Point.REFUSED)
    seen = work.look(step)
    if seen is None or not same_world(work.run, step, seen.facts):
        return _unknown(work, step, spec, verdict)
    words, mark = words_for(work, spec, verdict.errors)
    work.record(step, StepState.FAILED, error=words, error_field=mark)
    return True


def _unknown(work: Work, step: Step, spec: StepSpec, verdict: Verdict) -> bool:
    work.record(step, StepState.UNKNOWN, error=verdict.said)
    return False


def _review(work: Work, step: Step, spec: StepSpec, verdict: Verdict) -> bool:
    work.record(step, StepState.REVIEW, error=verdict.said)
    return False


# ---------------------------------------------------------------- in doubt


def _find_out(work: Work, step: Step, spec: StepSpec) -> bool:
    """Ask the order what became of the call; send the same bytes again only while nothing moved."""
    now = work.tools.clock.now()
    reached(Point.DOUBT)
    seen = work.look(step)
    if seen is None:
        return False
    reached(Point.DOUBT_SEEN)
    decision = decide(work.run, step, seen.facts, now, settle_time(work.tools, work.run.place))
    if decision.kind is Next.FOUND:
        kept: dict[str, Any] = {"refund": {"id": decision.refund_id}} if decision.refund_id else {}
        work.record(step, StepState.CONFIRMED, receipt=kept | seen_of(work, step, kept, seen))
        return True
    if decision.kind is Next.REVIEW:
        work.record(step, StepState.REVIEW, error=decision.why)
    if decision.kind is Next.RESEND:
        return send_again(work, step, spec, now)
    return False


def send_again(work: Work, step: Step, spec: StepSpec, looked_at: datetime) -> bool:
    """The same bytes under the same key. Only a proof of success counts: a refusal now says nothing of before."""
    reached(Point.RESEND)
    if not _just_now(work, looked_at):
        return False
    verdict = _once(work, step, step.attempts + 1)
    if verdict.kind in (Kind.DONE, Kind.REVIEW):
        return _RECORDERS[verdict.kind](work, step, spec, verdict)
    return _unknown(work, step, spec, verdict)


_RECORDERS: Mapping[Kind, Callable[[Work, Step, StepSpec, Verdict], bool]] = {
    Kind.DONE: _done,
    Kind.NOT_SENT: _not_sent,
    Kind.THROTTLED: _not_sent,
    Kind.NOT_DONE: _not_done,
    Kind.REFUSED: _refused,
    Kind.UNKNOWN: _unknown,
    Kind.REVIEW: _review,
}
