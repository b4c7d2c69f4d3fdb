"""Following what Shopify accepted: a cancel's job and a refund's money, until they are known. Reads only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugin.bundle import Action, Poll, StepSpec
from plugin.codec import decode, encode
from plugin.documents import REFUSED, fingerprint
from plugin.errors import ActInShopify, NothingHere, OrderActionsError
from plugin.expr import ExprError, Expression, Scope
from plugin.logs import tell
from plugin.operations import OPERATIONS, Moves
from plugin.points import Point, reached
from plugin.ports import Tools
from plugin.reading import Seen, keep, look
from plugin.reconcile import CANCELLED_BY_OTHERS, RESEND_WITHIN, same_world
from plugin.shapes import OrderFacts, Place, RefundSeen, Run, Step, StepState
from plugin.telling import partly_paid, refusal, results, run_scope, unpaid
from plugin.verdicts import UserError

SETTLE_TIME = 420.0
IN_THE_AIR = (StepState.UNKNOWN, StepState.CONFIRMED)
LOOK_AGAIN = 1.0  # seconds an order just seen need not be read again
NOT_PAID = "The refund is recorded in Shopify, but the payment provider did not pay it back, or not all of it."
OTHER_MONEY = "Shopify paid back another amount than was asked for. Compare the order in Shopify with this run."
NEVER_PAID = "Shopify did this, but shows no refund of it. Look at the order in Shopify."
NEVER_ENDED = "Shopify accepted the cancel, but has not cancelled the order. Look at the order in Shopify."
ONE_OF_TWO = "This was sent twice, as no answer came, and Shopify refused one of the two. Look at the order in Shopify."
UNREADABLE = "The order cannot be read here any more, so nobody can be shown what became of this. {error}"
CHANGED = "Shopify says this failed, but the order changed meanwhile. Look at the order in Shopify."


@dataclass(frozen=True)
class Work:
    """A run in our hands: the lease's epoch, its action as it is now, and when to stop for the moment."""

    tools: Tools
    run: Run
    epoch: int
    action: Action | None
    until: float

    def spec(self, step: Step) -> StepSpec | None:
        steps = self.action.steps if self.action else ()
        return next((one for one in steps if one.name == step.name), None)

    def record(self, step: Step, state: StepState, **known: Any) -> None:
        self.tools.runs.record(step, self.epoch, state, **known)
        if state is not step.state:  # a look that found nothing new is no news
            tell(f"step.{state}", self.run, step=step.name)

    def unread(self, step: Step, error: Exception) -> None:
        tell("step.unread", self.run, step=step.name, error=type(error).__name__)

    def look(self, step: Step) -> Seen | None:
        """The order now; None when it cannot be read, and whoever asks waits."""
        try:
            return look(self.tools, self.run.place)
        except (OrderActionsError, ValueError) as error:
            self.unread(step, error)
            self.give_up(step, error)
            return None

    def give_up(self, step: Step, error: Exception) -> None:
        """What was sent on an order that is gone for us goes to a person: waiting would never end."""
        if isinstance(error, (NothingHere, ActInShopify)) and step.state in IN_THE_AIR and _long_sent(self, step):
            self.record(step, StepState.REVIEW, error=UNREADABLE.format(error=error))


def settle_time(tools: Tools, place: Place) -> float:
    """Seconds after the last send in which Shopify may still carry it out."""
    store = tools.store(place.store)
    return float(store.settings.get("settle_time", SETTLE_TIME)) if store else SETTLE_TIME


def settle(work: Work, step: Step, spec: StepSpec | None) -> bool:
    """Look once more at a confirmed step. True when it came to an end, False while that is not known.

    Money that a person took as this step's is followed without rules of the action.
    """
    try:
        if spec is not None and spec.poll is not None and not (step.receipt or {}).get("$job"):
            return _follow_job(work, step, spec, spec.poll)
        return _follow_money(work, step)
    except (OrderActionsError, ExprError, ValueError, KeyError, TypeError) as error:
        work.unread(step, error)
        work.give_up(step, error)
        return False  # what cannot be read now is read by the worker later


def seen_of(work: Work, step: Step, kept: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
    """What an order tells of this step's money, and when; kept in the receipt under `$` names."""
    refunds = [
        {"id": one.id, "amount": one.refunded, "statuses": list(one.statuses)}
        for one in _refunds_of(work.run, step, kept, seen.facts)
    ]
    at = int(work.tools.clock.now().timestamp())
    return {"$refunds": encode(refunds), "$at": at, "$fingerprint": fingerprint(seen.facts)}


def _refunds_of(run: Run, step: Step, kept: Mapping[str, Any], facts: OrderFacts) -> list[RefundSeen]:
    """The refunds that are this step's: those a person took, the one in its receipt, or those its cancel made."""
    if "$accepted" in kept:
        return [one for one in facts.refunds if one.id in kept["$accepted"]]
    own = kept.get("refund")
    if isinstance(own, Mapping):
        return [one for one in facts.refunds if one.id == own.get("id")]
    if OPERATIONS[step.root].moves is not Moves.NET_PAYMENT or not step.moves > 0:
        return []
    before = set(run.facts["refunds"])
    new = [one for one in facts.refunds if one.id not in before and one.refunded > 0]
    exact = [one for one in new if one.refunded == step.moves]
    return exact if len(exact) == 1 else new  # somebody else refunded meanwhile


# ---------------------------------------------------------------- the job of a cancel


def _follow_job(work: Work, step: Step, spec: StepSpec, poll: Poll) -> bool:
    """Shopify cancels in the background: never a success before the job says SUCCEEDED."""
    tools, place = work.tools, work.run.place
    until = min(work.until, tools.clock.now().timestamp() + poll.limit)
    while True:
        asked_at = tools.clock.now()
        reached(Point.JOB_ASKED)
        node = _job(work, step, poll)
        reached(Point.JOB_ANSWERED)
        if node and node["status"] == "FAILED":
            return _job_failed(work, step, spec, node)
        if node and node["status"] == "SUCCEEDED" and node["order"]:
            seen = keep(tools, place, node["order"], asked_at)
            if not node.get("told") and step.marker not in (seen.facts.staff_note or "") and seen.facts.cancelled_at:
                work.record(step, StepState.REVIEW, error=CANCELLED_BY_OTHERS)
                return False
            if _holds(spec.settled_when, work, seen):
                kept = {**(step.receipt or {}), "$job": "SUCCEEDED"}
                work.record(step, StepState.CONFIRMED, receipt=kept | seen_of(work, step, kept, seen))
                return True
        if tools.clock.now().timestamp() + poll.every > until:
            _too_long(work, step)
            return False
        tools.clock.sleep(poll.every)


def _too_long(work: Work, step: Step) -> None:
    """A job that never ends, or whose end nobody tells, must not keep a run open without a person."""
    if _long_sent(work, step):
        work.record(step, StepState.REVIEW, error=NEVER_ENDED)


def _long_sent(work: Work, step: Step) -> bool:
    sent = step.last_sent_at
    return sent is not None and (work.tools.clock.now() - sent).total_seconds() > RESEND_WITHIN


def _job(work: Work, step: Step, poll: Poll) -> Any:
    """The job's result. Where there is no id (`jobResult` is nullable), or the job is gone after the time
    to wait, the order itself is read: a cancel with our reference in its staff note is ours, any other is not."""
    tools, place, job = work.tools, work.run.place, job_of(work, step)
    node = job and job_node(work, job)
    sent = step.last_sent_at
    if node:
        return {**node, "told": True}
    if sent and (tools.clock.now() - sent).total_seconds() < poll.limit:
        return None
    data = tools.commerce.read(place.store, tools.query.document(), {"orderId": place.gid})
    return {"status": "SUCCEEDED", "order": data["snapshot"]}


def job_of(work: Work, step: Step) -> str | None:
    """The id of the job that Shopify works on for this step, if it named one."""
    spec = work.spec(step)
    if work.action is not None and spec is not None and spec.poll is not None:
        try:
            return str(spec.poll.job(run_scope(work.run, work.action).also(result=results(work.run, work.action))))
        except ExprError:
            return None
    named = (step.receipt or {}).get("jobResult")  # the action's file changed since
    return str(named["id"]) if isinstance(named, Mapping) and "id" in named else None


def job_node(work: Work, job: str) -> Any:
    return work.tools.commerce.read(work.run.place.store, work.tools.query.while_polling(), {"jobId": job})["node"]


def _job_failed(work: Work, step: Step, spec: StepSpec, node: Mapping[str, Any]) -> bool:
    """A failed job is proof that nothing happened only if the order stands still."""
    if not same_world(work.run, step, look(work.tools, work.run.place).facts):
        work.record(step, StepState.REVIEW, error=CHANGED)
        return False
    if step.attempts > 1 and not OPERATIONS[step.root].keyed:  # the call before it may still be on its way
        work.record(step, StepState.REVIEW, error=ONE_OF_TWO)
        return False
    errors = tuple(UserError(one["message"], tuple(one["field"] or ()), one["code"]) for one in node["errors"])
    words, mark = words_for(work, spec, errors) if errors else ("Shopify could not do this.", None)
    work.record(step, StepState.FAILED, error=words, error_field=mark)
    return True


def words_for(work: Work, spec: StepSpec, errors: tuple[UserError, ...]) -> tuple[str, str | None]:
    """The author's words for the first error that a rule matches, and the field to mark."""
    assert work.action is not None
    for error in errors:
        for rule in spec.errors:
            path = error.field[1:] if error.field[:1] == ("input",) else error.field
            fits = rule.codes is None or error.code in rule.codes
            fits = fits and (rule.message is None or error.message.startswith(rule.message))
            if fits and (rule.field_path is None or path[: len(rule.field_path)] == rule.field_path):
                data = {"message": error.message, "field": list(error.field), "code": error.code}
                return refusal(rule.words, work.run, work.action, data), rule.mark
    return "; ".join(error.message for error in errors), None


def _holds(condition: Expression | None, work: Work, seen: Seen) -> bool:
    assert work.action is not None
    scope = Scope({"order": seen.view(work.action.reads)}, work.action.lets)
    return condition is None or bool(condition.evaluate(scope))


# ---------------------------------------------------------------- the money of a refund


def _follow_money(work: Work, step: Step) -> bool:
    """A refund is money back only when its transactions say SUCCESS (docs: OrderTransaction.status)."""
    kept = dict(step.receipt or {})
    free = OPERATIONS[step.root].moves is Moves.NOTHING or not step.moves > 0
    if free or kept.get("$accepted") == []:  # nothing to follow, or a person said that nothing was paid back
        work.record(step, StepState.SETTLED, receipt=kept)
        return True
    old = work.tools.clock.now().timestamp() - kept.get("$at", 0) > LOOK_AGAIN
    if old and not _all_paid(decode(kept.get("$refunds", []))):
        kept |= seen_of(work, step, kept, look(work.tools, work.run.place))
    refunds = decode(kept.get("$refunds", []))
    new = "$accepted" not in kept  # a person who takes a part knows what is missing
    if any(unpaid(one["statuses"]) or (new and partly_paid(one["statuses"])) for one in refunds):
        work.record(step, StepState.REVIEW, receipt=kept, error=NOT_PAID)
        return False
    if not _all_paid(refunds):
        nothing = not any(one["statuses"] for one in refunds)  # no refund, or one without any payment
        if nothing and refunds and not new:  # a person took it for what it is
            work.record(step, StepState.SETTLED, receipt=kept)
            return True
        missing = nothing and _long_sent(work, step)
        state = StepState.REVIEW if missing else StepState.CONFIRMED
        work.record(step, state, receipt=kept, error=NEVER_PAID if missing else None)
        return False
    as_asked = len(refunds) == 1 and refunds[0]["amount"] == step.moves
    if not as_asked and new:
        work.record(step, StepState.REVIEW, receipt=kept, error=OTHER_MONEY)
        return False
    work.record(step, StepState.SETTLED, receipt=kept)
    return True


def _all_paid(refunds: list[dict[str, Any]]) -> bool:
    """Nothing is pending; a refund without transactions has paid nobody yet."""
    return bool(refunds) and all(one["statuses"] and set(one["statuses"]) - REFUSED == {"SUCCESS"} for one in refunds)
