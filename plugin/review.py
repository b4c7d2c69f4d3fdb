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
from plugin.errors import LookAgain, NothingHere, WaitForRun
from plugin.filters import clock_time
from plugin.money import Money, total
from plugin.operations import OPERATIONS, Moves
from plugin.permissions import require
from plugin.points import Point, reached
from plugin.ports import LostLease, Tools
from plugin.reading import Seen, look
from plugin.runtime import LEASE_SECONDS, advance, send_again
from plugin.settling import Work, seen_of, settle_time
from plugin.shapes import Agent, OrderFacts, RefundSeen, Resolution, Run, Step, StepState
from plugin.telling import made_by

REVIEW = "shopify.runs.review"
SEND_WITHIN = 23 * 3600.0  # Shopify keeps a key for 24 hours (docs: usage/idempotent-requests)
MAX_REASON = 500
AGAIN, DONE, REFUND, NOT_DONE = "again", "done", "refund", "not-done"
FOUND = "Shopify shows this run's reference on the order, so it was done."
ANSWERED = "Shopify has already answered this call, so it is not sent again."
NO_CALL = "This call cannot be sent again. Finish it in Shopify, then close the run."
KEY_GONE = "Shopify no longer remembers this call's key, so sending it again could pay twice."
CANCELLED = "The order is cancelled already."
NOT_CANCELLED = "The order is not cancelled in Shopify."
NO_REFUND = "There is no refund on the order that may be meant."
NO_MONEY = "This cancel was to pay back {moves}, and no refund of it is on the order."
UNPAID = "The payment provider did not pay this refund back."
PAID = "Money was paid back by this run."
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
    """`how` is `again`, `done`, `not-done`, or the number of the refund that this run made.

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
        advance(work, fresh=False)
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
    seen = look(work.tools, work.run.place)
    reached(Point.REVIEW_SEEN)
    if shown is not None:
        stand_still(shown, step, seen.facts)
    chosen = _chosen(work, step, seen.facts, decided.how.rsplit("/", 1)[-1])
    if chosen.blocked is not None:
        raise LookAgain(chosen.blocked)
    work.tools.runs.resolve(replace(decided, how=chosen.how), work.epoch)
    if chosen.how == NOT_DONE:
        return work.record(step, StepState.FAILED, error=f"Closed as not done by {decided.agent_name}.")
    spec = work.spec(step)
    if chosen.how == AGAIN and spec is not None:
        send_again(work, step, spec)
        return None
    return _done(work, step, seen, chosen.how)


def _chosen(work: Work, step: Step, order: OrderFacts, how: str) -> Choice:
    found = next((one for one in choices(work, step, order) if one.how == how), None)
    if found is not None:
        return found
    if how not in {_number(one) for one in order.refunds}:
        raise LookAgain(f"The order has no refund {how}.")
    raise LookAgain(f"Refund {how} was there before this run, or belongs to another run.")


def _done(work: Work, step: Step, seen: Seen, how: str) -> None:
    """Taken as done as it stands in Shopify; the amount is the one that is there, which the person was shown."""
    kept = {key: value for key, value in (step.receipt or {}).items() if key != "refund"}
    if how != DONE:
        refund = next(one for one in seen.facts.refunds if _number(one) == how)
        kept |= {"refund": {"id": refund.id}}
    if seen.facts.cancelled_at is not None:
        kept |= {"$job": "SUCCEEDED"}
    kept |= {"$accepted": True} | seen_of(work, step, kept, seen)
    work.record(step, StepState.CONFIRMED, receipt=kept)


# ---------------------------------------------------------------- what may be decided


def choices(work: Work, step: Step, order: OrderFacts) -> list[Choice]:
    """Everything a person could decide about the step, in the order it is offered."""
    waits = _waits(work, step)
    cancel = OPERATIONS[step.root].moves is Moves.NET_PAYMENT and "$refunds" not in (step.receipt or {})
    same = [_same_cancel(work, step, order, waits)] if cancel else _same_refunds(work, step, order, waits)
    return [_again(work, step, order, waits), *same, _not_done(work, step, order, waits)]


def _waits(work: Work, step: Step) -> str | None:
    if step.last_sent_at is None or step.receipt is not None:
        return None
    until = decided_by(work.tools, work.run)
    if until is None:
        return None
    return f"Shopify may still carry out the last attempt. This can be decided from {clock_time(until)} on."


def _again(work: Work, step: Step, order: OrderFacts, waits: str | None) -> Choice:
    first, age = step.first_sent_at, 0.0
    if first is not None:
        age = (work.tools.clock.now() - first).total_seconds()
    cancel = OPERATIONS[step.root].moves is Moves.NET_PAYMENT
    rules = [
        (_marked(step, order), FOUND),
        (step.receipt is not None, ANSWERED),
        (work.spec(step) is None or first is None, NO_CALL),
        (age > SEND_WITHIN, KEY_GONE),
        (cancel and order.cancelled_at is not None, CANCELLED),
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


def _same_cancel(work: Work, step: Step, order: OrderFacts, waits: str | None) -> Choice:
    refunds = decode(seen_of(work, step, {}, Seen(work.run.place, {}, order))["$refunds"])
    back = total([one["amount"] for one in refunds], step.moves.currency)
    rules = [
        (order.cancelled_at is None, NOT_CANCELLED),
        (step.moves > 0 and not refunds, NO_MONEY.format(moves=step.moves.show())),
    ]
    money = f"{back.show()} refunded" if refunds else "nothing paid back"
    effect = f"Sends nothing. The run ends as done: {order.name} is cancelled, {money}{_asked(step, back)}."
    return Choice(DONE, "It is this cancel", effect, _first(rules) or (None if _marked(step, order) else waits))


def _same_refunds(work: Work, step: Step, order: OrderFacts, waits: str | None) -> list[Choice]:
    rows = []
    for one in _may_be(work, step, order):
        amount = one.refunded
        effect = f"Sends nothing. The run ends as done with refund {_number(one)} of {amount.show()}"
        known = step.marker in one.note or step.receipt is not None
        blocked = UNPAID if _unpaid(one) else None if known else waits
        title = f"It is this refund: {amount.show()}, number {_number(one)}"
        rows.append(Choice(_number(one), title, f"{effect}{_asked(step, amount)}.", blocked))
    return rows or [Choice(REFUND, "It is this refund", "", NO_REFUND)]


def _may_be(work: Work, step: Step, order: OrderFacts) -> list[RefundSeen]:
    """Those with our reference; else those in the receipt; else those that nobody else here made since."""
    marked = [one for one in order.refunds if step.marker in one.note]
    if marked:
        return marked
    if step.receipt is not None and OPERATIONS[step.root].moves is not Moves.NET_PAYMENT:
        own = {one["id"] for one in decode(step.receipt.get("$refunds", []))}
        return [one for one in order.refunds if one.id in own]
    rest = replace(work.run, steps=tuple(one for one in work.run.steps if one.position != step.position))
    others = [rest, *(one for one in work.tools.runs.runs_of(work.run.place) if one.id != work.run.id)]
    return [one for one in _since(work.run, order) if made_by(one, order, others) is None]


def _since(run: Run, order: OrderFacts) -> list[RefundSeen]:
    before = set(run.facts["refunds"])
    return [one for one in order.refunds if one.id not in before and one.refunded > 0]


def decided_by(tools: Tools, run: Run) -> datetime | None:
    """When the settle time of a call in doubt ends; None when it has, or nothing is in doubt."""
    step = in_doubt(run)
    if step is None or step.last_sent_at is None:
        return None
    until = step.last_sent_at + timedelta(seconds=settle_time(tools, run.place))
    return until if until > tools.clock.now() else None


def foreign(tools: Tools, run: Run, order: OrderFacts) -> Money | None:
    """What was refunded since the run began and by none of our runs; None when nothing was."""
    runs = tools.runs.runs_of(run.place)
    found = [one.refunded for one in _since(run, order) if made_by(one, order, runs) is None]
    return total(found, order.refunded.currency) if found else None


def _not_done(work: Work, step: Step, order: OrderFacts, waits: str | None) -> Choice:
    paid = bool(step.receipt and decode(step.receipt.get("$refunds", []))) and not _failed(step)
    marked = [one for one in order.refunds if step.marker in one.note]
    noted = any(not _unpaid(one) for one in marked) and not _failed(step)
    cancel = OPERATIONS[step.root].moves is Moves.NET_PAYMENT and _marked(step, order)
    whole = cancel and (not step.moves > 0 or bool(_since(work.run, order))) and not _failed(step)
    effect = "Sends nothing, and this run pays nothing back. The order is free again"
    effect += f": {step.moves.show()} can be refunded anew by anybody who may." if step.moves > 0 else "."
    if _failed(step) or marked:
        effect = f"Sends nothing. The refund stays recorded in Shopify unpaid; pay {step.moves.show()} another way."
    return Choice(NOT_DONE, "Close, not done", effect, _first([(paid, PAID), (noted or whole, FOUND)]) or waits)


def _marked(step: Step, order: OrderFacts) -> bool:
    """Our reference in a refund's note, or in the staff note of the order's cancel; twice counts too."""
    noted = order.cancelled_at is not None and step.marker in (order.staff_note or "")
    return noted or any(step.marker in one.note for one in order.refunds)


def _unpaid(refund: RefundSeen) -> bool:
    return bool({"FAILURE", "ERROR"} & set(refund.statuses))


def _failed(step: Step) -> bool:
    rows = decode((step.receipt or {}).get("$refunds", []))
    return any(status in ("FAILURE", "ERROR") for one in rows for status in one["statuses"])


def _asked(step: Step, amount: Money) -> str:
    return "" if amount == step.moves else f"; it had asked for {step.moves.show()}"


def _first(rules: list[tuple[bool, str]]) -> str | None:
    return next((reason for holds, reason in rules if holds), None)


def _number(refund: RefundSeen) -> str:
    return refund.id.rsplit("/", 1)[-1]
