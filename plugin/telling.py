"""What people are told of a run: the outcome on the card, the note on the timeline; always what really happened."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plugin.bundle import Action
from plugin.codec import decode, encode
from plugin.documents import REFUSED
from plugin.expr import ExprError, Scope, Value
from plugin.filters import isolated
from plugin.money import Money, total
from plugin.operations import OPERATIONS
from plugin.shapes import OrderFacts, RefundSeen, Run, Step, StepState

UNPAID = "Not paid back: the payment provider refused it"
PARTLY_PAID = "Only partly paid back: the payment provider refused the rest"


def told(run: Run, action: Action | None, state: str) -> dict[str, Any]:
    """`state`, one sentence, the refunds with their real amounts, and the field a refusal belongs to."""
    failed = next((one for one in run.steps if one.state is StepState.FAILED), None)
    return {
        "state": state,
        "text": _sentence(run, action, state, failed),
        "refunds": [{"id": one["id"].rsplit("/", 1)[-1], "amount": encode(one["amount"])} for one in paid_back(run)],
        "field": failed.error_field if failed else None,
    }


def _sentence(run: Run, action: Action | None, state: str, failed: Step | None) -> str:
    if state == "failed":
        return (failed.error if failed else None) or "Nothing was done."
    if state == "partly" or action is None:
        return what_happened(run)
    words = action.pending if state == "pending" else action.success
    return said(words, lambda: texts_scope(run, action), what_happened(run))


def what_happened(run: Run) -> str:
    """Step by step, from the steps themselves; for runs the action's author has no words for."""
    parts = [_of_step(step) for step in run.steps]
    return " ".join(part[0].upper() + part[1:] for part in parts)


def _of_step(step: Step) -> str:
    operation = OPERATIONS[step.root]
    amount = f" ({step.moves.show()})" if step.moves > 0 else ""
    if step.state is StepState.SETTLED:
        back = moved(step)
        amount = f" ({back.show()})" if back > 0 else ", nothing was paid back" if amount else ""
        return f"{operation.did}{amount}."
    if step.state is StepState.FAILED:
        return f"{operation.did_not}{amount}: {step.error or 'it was refused.'}"
    return f"{operation.did}{amount}, not confirmed by the payment provider yet."


STEP_STATES = {
    StepState.INTENT: "Not sent yet",
    StepState.SENDING: "Being sent",
    StepState.CONFIRMED: "Accepted, not finished",
    StepState.SETTLED: "Done",
    StepState.FAILED: "Not done",
    StepState.UNKNOWN: "In doubt",
    StepState.REVIEW: "A person must decide",
}


def calls(run: Run) -> list[dict[str, str]]:
    """How each call stands and what it pays back: one may be done while the next is in doubt."""
    return [{"label": one.name.replace("_", " ").capitalize(), "value": _stands(one)} for one in run.steps]


def _stands(step: Step) -> str:
    back = moved(step) if step.state is StepState.SETTLED else step.moves
    none = ", nothing paid back" if step.state is StepState.SETTLED and step.moves > 0 else ""
    return STEP_STATES[step.state] + (f" ({back.show()})" if back > 0 else none)


def note_text(run: Run, action: Action | None, state: str) -> str:
    """The line for the CRM's timeline, with the references that stand in Shopify."""
    text = f"{isolated(run.agent_name)}, {run.facts['name']}: {isolated(what_happened(run))}"
    if state == "done" and action is not None:
        text = said(action.note, lambda: texts_scope(run, action), text)
    markers = " ".join(step.marker for step in run.steps if step.state is not StepState.FAILED)
    return isolated(f"{' '.join(text.split())} {markers}".strip())


def refunds_of(run: Run) -> list[dict[str, Any]]:
    """Refunds of a run as last seen: `id`, `amount` and the `statuses` of its transactions."""
    return [one for step in run.steps for one in decode((step.receipt or {}).get("$refunds", []))]


def paid_back(run: Run) -> list[dict[str, Any]]:
    """Those of them that the payment provider did not refuse."""
    return [one for one in refunds_of(run) if not unpaid(one["statuses"])]


def unpaid(statuses: Sequence[str]) -> bool:
    """No payment of the refund went."""
    return bool(statuses) and set(statuses) <= REFUSED


def partly_paid(statuses: Sequence[str]) -> bool:
    """Of several payments some did not go."""
    return bool(set(statuses) & REFUSED) and not unpaid(statuses)


def moved(step: Step) -> Money:
    """What a step that Shopify did paid back: as last seen, as a person said, else as it was sent."""
    receipt = step.receipt or {}
    refunds = decode(receipt.get("$refunds", []))
    if refunds or "$accepted" in receipt:
        return total([one["amount"] for one in refunds], step.moves.currency)
    return step.moves


def made_by(refund: RefundSeen, order: OrderFacts, runs: Sequence[Run]) -> Run | None:
    """The run that made a refund: by its receipt, its reference in the note, or its cancel; None when outside of us."""
    return next((run for run in runs if _made(refund, order, run)), None)


def _made(refund: RefundSeen, order: OrderFacts, run: Run) -> bool:
    if any(one["id"] == refund.id for one in refunds_of(run)) or any(one.marker in refund.note for one in run.steps):
        return True
    if refund.id in run.facts["refunds"] or order.cancelled_at is None:
        return False
    noted = [one for one in run.steps if one.marker in (order.staff_note or "")]
    if unpaid(refund.statuses):
        return any(one.moves > 0 for one in noted)  # what its cancel tried to pay back
    return run.open and any(one.moves == refund.refunded for one in noted)  # its cancel is not settled yet


def not_shown(run: Run, order: OrderFacts) -> bool:
    """Whether this look at the order is older than what the closed run did to it."""
    shown = {one.id for one in order.refunds}
    cancelled = any(one.root == "orderCancel" and one.state is StepState.SETTLED for one in run.steps)
    missing = any(one["id"] not in shown for one in refunds_of(run))
    return not run.open and (missing or (cancelled and order.cancelled_at is None))


def came_late(run: Run, order: OrderFacts) -> list[Step]:
    """Steps of a closed run with a refund in Shopify, by their reference, that the run does not know."""
    known = {one["id"] for one in refunds_of(run)}
    new = [one for one in order.refunds if not run.open and one.id not in known]
    return [step for step in run.steps if any(step.marker in one.note for one in new)]


def past_refunds(
    order: OrderFacts, dates: Mapping[str, str | None], runs: Sequence[Run]
) -> list[dict[str, Any]]:  # fmt: skip
    """Each refund of the order and of our runs once: `made_by` is our agent, None for one made outside of this app.

    `dates` are Shopify's.
    """
    rows = [_refund_row(one.id, one.refunded, one.statuses, made_by(one, order, runs), dates.get(one.id), one.note)
            for one in order.refunds]  # fmt: skip
    known = {one.id for one in order.refunds}
    for run in runs:
        for one in refunds_of(run):
            if one["id"] not in known:
                known.add(one["id"])
                at = run.created_at.isoformat()
                rows.append(_refund_row(one["id"], one["amount"], one["statuses"], run, at, ""))
    return rows


def _refund_row(
    refund: str, amount: Money, statuses: Sequence[str], run: Run | None, at: str | None, note: str
) -> dict[str, Any]:  # fmt: skip
    return {
        "trouble": UNPAID if unpaid(statuses) else PARTLY_PAID if partly_paid(statuses) else None,
        "number": refund.rsplit("/", 1)[-1],
        "amount": amount,
        "at": at,
        "note": note,
        "made_by": run.agent_name if run else None,
        "run_id": run.id if run else None,
    }


def texts_scope(run: Run, action: Action) -> Scope:
    """The scope of `result` and `note`: what the form saw, what came back, what really moved."""
    currency = str(run.facts["currency"])
    done = [moved(one) for one in run.steps if one.state in (StepState.CONFIRMED, StepState.SETTLED)]
    outcome = {"refunded": total(done, currency), "refund_ids": [one["id"] for one in refunds_of(run)]}
    return run_scope(run, action).also(result=results(run, action), outcome=outcome)


def run_scope(run: Run, action: Action) -> Scope:
    return Scope(decode(dict(run.texts)), action.lets)


def results(run: Run, action: Action) -> dict[str, Any]:
    """`result.<step>`: each step's payload in its author's names; null for a step that was left out."""
    found: dict[str, Any] = {spec.name: None for spec in action.steps}
    for step in run.steps:
        if step.receipt is not None:
            found[step.name] = decode({key: value for key, value in step.receipt.items() if key[:1] != "$"})
    return found


def said(words: Value, scope: Callable[[], Scope], otherwise: str) -> str:
    """A text of the action; a text that cannot be made never hides what happened."""
    try:
        return str(words(scope())).strip()
    except (ExprError, ValueError, TypeError, KeyError):
        return otherwise


def refusal(words: Value, run: Run, action: Action, error: Mapping[str, Any]) -> str:
    """The author's words for one user error."""
    return said(words, lambda: run_scope(run, action).also(error=error), str(error["message"]))
