"""A person decides about a run that the program cannot: send again, it is this refund, or close it as not done."""

import uuid

from plugin.errors import LookAgain, NothingHere, WaitForRun
from plugin.permissions import require
from plugin.ports import Tools
from plugin.reading import look
from plugin.reconcile import Kind, decide
from plugin.runtime import LEASE_SECONDS, advance, send_again
from plugin.settling import Work, seen_of
from plugin.shapes import Agent, OrderFacts, Run, Step, StepState
from plugin.telling import refunds_of

REVIEW = "shopify.runs.review"
SEND_WITHIN = 23 * 3600.0  # Shopify keeps a key for 24 hours (docs: usage/idempotent-requests)
AGAIN, NOT_DONE = "again", "not-done"


def resolve(tools: Tools, person: Agent, run_id: str, how: str, reason: str) -> Run:
    """`how` is `again`, `not-done`, or the id of the refund that this run made.

    Raises NotAllowed, NothingHere, LookAgain (the order says otherwise), WaitForRun (a worker holds it).
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
        work = Work(tools, run, epoch, tools.bundle.actions.get(run.action_id), tools.clock.now().timestamp() + 2)
        _decided(work, _doubtful(run), how, f"{person.name} decided: {reason.strip()}")
        advance(work, fresh=False)
    finally:
        tools.runs.release(run.id, epoch)
    after = tools.runs.run(run.id)
    assert after is not None
    return after


def _doubtful(run: Run) -> Step:
    states = (StepState.UNKNOWN, StepState.REVIEW)
    step = next((one for one in run.steps if one.state in states), None)
    if step is None:
        raise LookAgain("This run is not in doubt; it goes on by itself.")
    return step


def _decided(work: Work, step: Step, how: str, why: str) -> None:
    order = look(work.tools, work.run.place).facts
    if how == NOT_DONE:
        if step.receipt is None and _traces(work, step, order):
            raise LookAgain("Shopify shows this run's reference on the order, so it was done.")
        return work.record(step, StepState.FAILED, error=f"Closed as not done. {why}")
    if how == AGAIN:
        return _again(work, step, order)
    return _this_refund(work, step, order, how)


def _traces(work: Work, step: Step, order: OrderFacts) -> bool:
    return decide(work.run, step, order, work.tools.clock.now(), 0).kind is Kind.FOUND


def _again(work: Work, step: Step, order: OrderFacts) -> None:
    spec, first = work.spec(step), step.first_sent_at
    if _traces(work, step, order):
        raise LookAgain("Shopify shows this run's reference on the order: it was done, so it is not sent again.")
    if spec is None or first is None or step.receipt is not None:
        raise LookAgain("This call cannot be sent again. Finish it in Shopify, then close the run.")
    if (work.tools.clock.now() - first).total_seconds() > SEND_WITHIN:
        raise LookAgain("Shopify no longer remembers this call's key, so sending it again could pay twice.")
    send_again(work, step, spec)


def _this_refund(work: Work, step: Step, order: OrderFacts, refund_id: str) -> None:
    wanted = refund_id if refund_id.startswith("gid://") else f"gid://shopify/Refund/{refund_id}"
    if wanted not in {one.id for one in order.refunds}:
        raise LookAgain(f"The order has no refund {refund_id}.")
    others = [one for one in work.tools.runs.runs_of(work.run.place) if one.id != work.run.id]
    if any(one["id"] == wanted for run in others for one in refunds_of(run)):
        raise LookAgain(f"Refund {refund_id} belongs to another run.")
    kept = {"refund": {"id": wanted}}
    seen = look(work.tools, work.run.place)
    work.record(step, StepState.CONFIRMED, receipt=kept | seen_of(work, step, kept, seen))
