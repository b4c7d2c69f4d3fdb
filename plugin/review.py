"""A person decides about a run that the program cannot: send again, it is this refund, or close it as not done.

While Shopify may still carry out the last attempt nothing is decided: a run that is closed, or taken for
another refund, in that time could pay a second time.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from plugin.codec import decode
from plugin.documents import changes, fingerprint
from plugin.errors import ActInShopify, LookAgain, NothingHere, OrderActionsError, WaitForRun
from plugin.filters import clock_time
from plugin.logs import tell
from plugin.money import Money, total
from plugin.operations import OPERATIONS, Moves
from plugin.permissions import require
from plugin.points import Point, reached
from plugin.ports import LostLease, Tools
from plugin.reading import Seen, look
from plugin.runtime import LEASE_SECONDS, advance, send_again
from plugin.settling import Work, job_node, job_of, seen_of, settle_time
from plugin.shapes import Agent, OrderFacts, RefundSeen, Resolution, Run, Step, StepState
from plugin.telling import made_by, partly_paid, unpaid

REVIEW = "shopify.runs.review"
NOT_DONE_AFTER = 3  # settle times: a server that stood still may have sent late, and nothing mends a wrong "not done"
SEND_WITHIN = 23 * 3600.0  # Shopify keeps a key for 24 hours (docs: usage/idempotent-requests)
CANCEL_AFTER = 9  # the same for a cancel, whose job Shopify may take its time over
JOB_ENDS = 24 * 3600.0
MAX_REASON = 500
AGAIN, DONE, CANCELLED, REFUND, NOT_DONE = "again", "done", "cancelled", "refund", "not-done"
FOUND = "Shopify shows this run's reference on the order, so it was done."
ANSWERED = "Shopify has already answered this call, so it is not sent again."
NO_CALL = "This call cannot be sent again. Finish it in Shopify, then close the run."
KEY_GONE = "Shopify no longer remembers this call's key, so sending it again could pay twice."
ALREADY = "The order is cancelled already."
NOT_CANCELLED = "The order is not cancelled in Shopify."
NOT_OURS = "The order was not cancelled by this run."
OURS = "This run cancelled the order."
PAID_SINCE = "{back} was refunded since this run began, which is all that it was to pay back."
PARTLY = "A part of its refund went back."
NO_REFUND = "There is no refund on the order that may be meant."
NO_MONEY = "This cancel was to pay back {moves}, and no refund of it is on the order."
UNPAID = "The payment provider did not pay this refund back."
PAID = "Money was paid back by this run."
UNSEEN = "The order cannot be read here any more. Find out in Shopify, and decide `done` or `not-done`."
GOES = "Shopify accepted this cancel and has not said that it failed, so it may be done yet. Come back later."
GOES_ON = "This run is not in doubt; it goes on by itself."


@dataclass(frozen=True)
class Choice:
    """One thing a person may decide: what it would do in words, and why it cannot be done now if so."""

    how: str
    title: str
    effect: str
    blocked: str | None


def resolve(
    tools: Tools, person: Agent, run_id: str, how: str, reason: str, *,
    press: str | None = None, shown: Mapping[str, str] | None = None,
) -> Run:  # fmt: skip
    """`how` is `again`, `done`, `cancelled`, `not-done`, or the number of the refund that this run made.

    `press` names the form that was sent, `shown` is the world it was rendered from. Raises NotAllowed,
    NothingHere, LookAgain (the order says otherwise), WaitForRun (a worker holds it).
    """
    require(person, REVIEW, tools.bundle.permissions)
    run = tools.runs.run(run_id)
    if run is None or not run.open:
        raise NothingHere("There is no open run with this id.")
    if not reason.strip():
        raise LookAgain("Say why, for whoever reads this run later.")
    epoch = tools.runs.claim(run.id, uuid.uuid4().hex, tools.clock.now(), LEASE_SECONDS)
    if epoch is None:
        raise WaitForRun("The run is being worked on just now. Try again in a minute.", run.id)
    try:
        work, now = work_on(tools, existing(tools, run.id), epoch), tools.clock.now()
        decided = Resolution(press or str(uuid.uuid4()), run.id, person.id, person.name, how, reason.strip(), now)
        _decide(work, doubtful(work.run), decided, shown)
        advance(work)
    except LostLease as error:
        raise WaitForRun("Another worker took this run over. Look at it again.", run.id) from error
    finally:
        tools.runs.release(run.id, epoch)
    return existing(tools, run.id)


def existing(tools: Tools, run_id: str) -> Run:
    run = tools.runs.run(run_id)
    assert run is not None
    return run


def work_on(tools: Tools, run: Run, epoch: int = 0) -> Work:
    return Work(tools, run, epoch, tools.bundle.actions.get(run.action_id), tools.clock.now().timestamp() + 2)


def in_doubt(run: Run) -> Step | None:
    """The step a person may decide about."""
    states = (StepState.UNKNOWN, StepState.REVIEW)
    return next((one for one in run.steps if run.open and one.state in states), None)


def doubtful(run: Run) -> Step:
    step = in_doubt(run)
    if step is None:
        raise LookAgain(GOES_ON)
    return step


def world(step: Step, order: OrderFacts) -> dict[str, str]:
    """What a decision is based on: the order, and how far the run is."""
    return {**fingerprint(order), "run": f"{step.position} {step.state} {step.attempts} {step.last_sent_at}"}


def stand_still(shown: Mapping[str, str], step: Step, order: OrderFacts) -> None:
    """Raises LookAgain when the order or the run is not what the person was shown."""
    now = world(step, order)
    changed = changes(shown, now) or (["the run went on"] if shown["run"] != now["run"] else [])
    if changed:
        raise LookAgain(f"This changed since you opened it: {'; '.join(changed)}. Nothing was done.")


def _decide(work: Work, step: Step, decided: Resolution, shown: Mapping[str, str] | None) -> None:
    """Check the choice on the fresh order, write down who decided what and why, then do it."""
    reached(Point.REVIEWED)
    looked_at = work.tools.clock.now()
    try:
        seen = look(work.tools, work.run.place)
    except OrderActionsError as error:
        work.unread(step, error)
        if shown is not None or not isinstance(error, (NothingHere, ActInShopify)):
            raise
        return _decide_unseen(work, step, decided)
    reached(Point.REVIEW_SEEN)
    if shown is not None:
        stand_still(shown, step, seen.facts)
    chosen = _chosen(work, step, seen.facts, decided.how.rsplit("/", 1)[-1])
    _write_down(work, decided, chosen)
    if chosen.how == NOT_DONE:
        return work.record(step, StepState.FAILED, error=f"Closed as not done by {decided.agent_name}.")
    spec = work.spec(step)
    if chosen.how == AGAIN and spec is not None:
        send_again(work, step, spec, looked_at)
        return None
    return _done(work, step, seen, chosen.how)


def _decide_unseen(work: Work, step: Step, decided: Resolution) -> None:
    """On an order that is gone for us a person says what they found out elsewhere, when nothing can come any more."""
    if decided.how not in (DONE, NOT_DONE):
        raise LookAgain(UNSEEN)
    _write_down(work, decided, Choice(decided.how, "", "", _until(work, NOT_DONE_AFTER)))
    if decided.how == DONE:
        return work.record(step, StepState.SETTLED)
    return work.record(step, StepState.FAILED, error=f"Closed as not done by {decided.agent_name}.")


def _write_down(work: Work, decided: Resolution, chosen: Choice) -> None:
    """Who decided what and why, before it is done. Raises LookAgain when it cannot be decided now."""
    if chosen.blocked is not None:
        raise LookAgain(chosen.blocked)
    work.tools.runs.resolve(replace(decided, how=chosen.how), work.epoch)
    kind = REFUND if chosen.how.isdigit() else chosen.how
    tell("run.decided", work.run, by=decided.agent_id, decision=kind, reason_length=len(decided.reason))


def _chosen(work: Work, step: Step, order: OrderFacts, how: str) -> Choice:
    found = next((one for one in choices(work, step, order) if one.how == how), None)
    if found is not None:
        return found
    if not how.isdigit():
        raise LookAgain(f"{how!r} cannot be decided about this call.")
    if how not in {_number(one) for one in order.refunds}:
        raise LookAgain(f"The order has no refund {how}.")
    raise LookAgain(f"Refund {how} was there before this run, or belongs to another run.")


def _done(work: Work, step: Step, seen: Seen, how: str) -> None:
    """Taken as done as it stands in Shopify; the money is what the person was shown: these refunds, or none."""
    taken = _taken(work, step, seen.facts, how)
    kept = {key: value for key, value in (step.receipt or {}).items() if key != "refund"}
    if not _cancels(step):
        kept |= {"refund": {"id": taken[0].id}}
    if seen.facts.cancelled_at is not None:
        kept |= {"$job": "SUCCEEDED"}
    kept |= {"$accepted": [one.id for one in taken]}
    work.record(step, StepState.CONFIRMED, receipt=kept | seen_of(work, step, kept, seen))


def _taken(work: Work, step: Step, order: OrderFacts, how: str) -> list[RefundSeen]:
    if how == CANCELLED:
        return []
    if how == DONE:
        return _whole(step, _paid(work, step, order))
    return [one for one in order.refunds if _number(one) == how]


# ---------------------------------------------------------------- what may be decided


def choices(work: Work, step: Step, order: OrderFacts) -> list[Choice]:
    """Everything a person could decide about the step, in the order it is offered; once Shopify can no longer
    carry it out, however late a server sent it, at least one is open."""
    waits, late = _waits(work, step), _waits(work, step, NOT_DONE_AFTER)
    if _cancels(step):
        same, late = _same_cancel(work, step, order, waits), _job_goes_on(work, step) or _until(work, CANCEL_AFTER)
    else:
        same = _same_refunds(work, step, order, late)
    return [_again(work, step, order, waits), *same, _not_done(step, order, late)]


def _job_goes_on(work: Work, step: Step) -> str | None:
    """A cancel that Shopify accepted may be carried out, and pay, until its job says that it failed, or for a day."""
    sent, job = step.last_sent_at, job_of(work, step)
    if step.receipt is None or sent is None or (work.tools.clock.now() - sent).total_seconds() > JOB_ENDS:
        return None
    node = job and job_node(work, job)
    return None if node and node["status"] == "FAILED" else GOES


def _cancels(step: Step) -> bool:
    return OPERATIONS[step.root].moves is Moves.NET_PAYMENT


def _waits(work: Work, step: Step, times: int = 1) -> str | None:
    return _until(work, times) if step.receipt is None else None


def _until(work: Work, times: int = 1) -> str | None:
    until = decided_by(work.tools, work.run, times)
    if until is None:
        return None
    return f"Shopify may still carry out the last attempt. This can be decided from {clock_time(until)} on."


def _again(work: Work, step: Step, order: OrderFacts, waits: str | None) -> Choice:
    first, age = step.first_sent_at, 0.0
    if first is not None:
        age = (work.tools.clock.now() - first).total_seconds()
    cancel = _cancels(step)
    rules = [
        (_marked(step, order), FOUND),
        (step.receipt is not None, ANSWERED),
        (work.spec(step) is None or first is None, NO_CALL),
        (age > SEND_WITHIN, KEY_GONE),
        (cancel and order.cancelled_at is not None, ALREADY),
    ]
    what = f"cancel {order.name}" if cancel else "the same call"
    if step.moves > 0:
        what = f"cancel {order.name}, refund {step.moves.show()}" if cancel else f"refund {step.moves.show()}"
    effect = f"Asks Shopify once more to {what}." if cancel else f"Sends the same call once more: {what}."
    if OPERATIONS[step.root].keyed:
        effect += " If Shopify carried it out before, it recognises it by its key and pays nothing more."
    others = foreign(work.tools, work.run, order)
    if others is not None:
        effect += f" {others.show()} was refunded outside of this app since then; this comes on top of it."
    return Choice(AGAIN, f"Send again: {what}", effect, _first(rules) or waits)


def _same_cancel(work: Work, step: Step, order: OrderFacts, waits: str | None) -> list[Choice]:
    """The cancel is this run's: with everything refunded since, with one refund of those, or with none."""
    paid = _paid(work, step, order)
    gone = (order.cancelled_at is None, NOT_CANCELLED)
    late = None if _ours(step, order) else waits
    none = (step.moves > 0 and not paid, NO_MONEY.format(moves=step.moves.show()))
    told = _ends_cancelled(step, order, _whole(step, paid))
    rows = [Choice(DONE, "It is this cancel", told, _first([gone, none]) or late)]
    for one in paid if len(paid) > 1 else []:
        title = f"It is this cancel, with refund {_number(one)} of {one.refunded.show()} alone"
        rows.append(Choice(_number(one), title, _ends_cancelled(step, order, [one]), _first([gone]) or late))
    return [*rows, _nothing_back(work, step, order, paid)] if step.moves > 0 else rows


def _nothing_back(work: Work, step: Step, order: OrderFacts, paid: list[RefundSeen]) -> Choice:
    """A cancel of ours whose money did not go: it pays back all that is left, so it paid nothing while less than
    it was to pay has gone back since."""
    back = total([one.refunded for one in paid], step.moves.currency)
    rules = [
        (order.cancelled_at is None, NOT_CANCELLED),
        (not _ours(step, order), NOT_OURS),
        (any(partly_paid(one.statuses) for one in paid), PARTLY),
        (back >= step.moves, PAID_SINCE.format(back=back.show())),
    ]
    effect = f"{_ends_cancelled(step, order, [])} What is still owed can be refunded from the order by anybody who may."
    return Choice(CANCELLED, "Cancelled, nothing paid back", effect, _first(rules) or _until(work))


def _ends_cancelled(step: Step, order: OrderFacts, refunds: list[RefundSeen]) -> str:
    back = total([one.refunded for one in refunds], step.moves.currency)
    money = f"{back.show()} refunded" if refunds else "nothing paid back by this run"
    return f"Sends nothing. The run ends as done: {order.name} is cancelled, {money}{_asked(step, back)}."


def _whole(step: Step, paid: list[RefundSeen]) -> list[RefundSeen]:
    """What a cancel paid back: the one refund of its amount, else everything since."""
    exact = [one for one in paid if one.refunded == step.moves]
    return exact if len(exact) == 1 else paid


def _same_refunds(work: Work, step: Step, order: OrderFacts, late: str | None) -> list[Choice]:
    """A refund of somebody else's can stand for this step's only when ours can no longer come on top of it."""
    rows = []
    for one in _may_be(work, step, order):
        amount = one.refunded
        effect = f"Sends nothing. The run ends as done with refund {_number(one)} of {amount.show()}"
        known = step.marker in one.note or step.receipt is not None
        blocked = UNPAID if unpaid(one.statuses) else None if known else late
        title = f"It is this refund: {amount.show()}, number {_number(one)}"
        rows.append(Choice(_number(one), title, f"{effect}{_asked(step, amount)}.", blocked))
    return rows or [Choice(REFUND, "It is this refund", "", NO_REFUND)]


def _may_be(work: Work, step: Step, order: OrderFacts) -> list[RefundSeen]:
    """Those that are this step's; while none is known, those that nobody else here made since."""
    mine = [] if _cancels(step) else _mine(step, order)
    if mine or (step.receipt is not None and not _cancels(step)):
        return mine
    rest = replace(work.run, steps=tuple(one for one in work.run.steps if one.position != step.position))
    others = [rest, *(one for one in work.tools.runs.runs_of(work.run.place) if one.id != work.run.id)]
    return [one for one in _since(work.run, order) if made_by(one, order, others) is None]


def _mine(step: Step, order: OrderFacts) -> list[RefundSeen]:
    """Refunds with our reference, or in the answer to our call."""
    known = {one["id"] for one in decode((step.receipt or {}).get("$refunds", []))}
    return [one for one in order.refunds if step.marker in one.note or one.id in known]


def _paid(work: Work, step: Step, order: OrderFacts) -> list[RefundSeen]:
    """What a cancel may have paid back, or is about to."""
    may = _may_be(work, step, order) if step.moves > 0 else []
    return [one for one in may if not unpaid(one.statuses)]


def _since(run: Run, order: OrderFacts) -> list[RefundSeen]:
    before = set(run.facts["refunds"])
    return [one for one in order.refunds if one.id not in before and one.refunded > 0]


def decided_by(tools: Tools, run: Run, times: int = 1) -> datetime | None:
    """When so many settle times of a call in doubt have passed; None when they have, or nothing is in doubt."""
    step = in_doubt(run)
    if step is None or step.last_sent_at is None:
        return None
    until = step.last_sent_at + timedelta(seconds=times * settle_time(tools, run.place))
    return until if until > tools.clock.now() else None


def foreign(tools: Tools, run: Run, order: OrderFacts) -> Money | None:
    """What was refunded since the run began and by none of our runs; None when nothing was."""
    runs = tools.runs.runs_of(run.place)
    since = [one for one in _since(run, order) if not unpaid(one.statuses)]
    found = [one.refunded for one in since if made_by(one, order, runs) is None]
    return total(found, order.refunded.currency) if found else None


def _not_done(step: Step, order: OrderFacts, waits: str | None) -> Choice:
    """Never while Shopify shows that we did it: a cancel by us, or a refund of ours that was not refused payment."""
    mine = [] if _cancels(step) else _mine(step, order)
    paid = any(not unpaid(one.statuses) for one in mine)
    rules = [(_cancels(step) and _ours(step, order), OURS), (paid and _marked(step, order), FOUND), (paid, PAID)]
    effect = "Sends nothing, and this run pays nothing back. The order is free again"
    effect += f": {step.moves.show()} can be refunded anew by anybody who may." if step.moves > 0 else "."
    if mine:
        effect = f"Sends nothing. The refund stays recorded in Shopify unpaid; pay {step.moves.show()} another way."
    return Choice(NOT_DONE, "Close, not done", effect, _first(rules) or waits)


def _ours(step: Step, order: OrderFacts) -> bool:
    """The order is cancelled, and by this step: its reference is in the staff note, or its job said so."""
    marked = step.marker in (order.staff_note or "")
    return order.cancelled_at is not None and (marked or bool((step.receipt or {}).get("$job")))


def _marked(step: Step, order: OrderFacts) -> bool:
    """Our reference in a refund's note, or in the staff note of the order's cancel; twice counts too."""
    noted = order.cancelled_at is not None and step.marker in (order.staff_note or "")
    return noted or any(step.marker in one.note for one in order.refunds)


def _asked(step: Step, amount: Money) -> str:
    return "" if amount == step.moves else f"; it had asked for {step.moves.show()}"


def _first(rules: list[tuple[bool, str]]) -> str | None:
    return next((reason for holds, reason in rules if holds), None)


def _number(refund: RefundSeen) -> str:
    return refund.id.rsplit("/", 1)[-1]
