"""What to do about a call whose fate is unknown: decided from the order as it stands now, and the clock.

Rules: design "Money moves once"; money-safety §1.5 and §1.6. Settle time counts from the last send.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from plugin.documents import fingerprint
from plugin.operations import OPERATIONS, Moves
from plugin.shapes import OrderFacts, Run, Step

RESEND_WITHIN = 600.0  # seconds after the first send in which we send again by ourselves

TWICE = "Our reference stands in two refunds. Compare the order in Shopify with this run at once."
CANCELLED_BY_OTHERS = "Somebody else cancelled this order while our answer was missing."
MOVED_BY_OTHERS = "The order changed without our reference while our answer was missing."
COPIED = "A refund carries our reference, but not the note we sent. Somebody may have copied the reference."
TOO_LONG = "Shopify shows no trace of this after ten minutes."


class Kind(Enum):
    WAIT = "Shopify may still be at it"
    FOUND = "our reference is there"
    RESEND = "no trace, and the world stands still"
    REVIEW = "a person must look"


@dataclass(frozen=True)
class Decision:
    """`refund_id` is the refund that carries our reference, when FOUND in one."""

    kind: Kind
    why: str = ""
    refund_id: str | None = None


def decide(run: Run, step: Step, order: OrderFacts, now: datetime, settle_time: float) -> Decision:
    """What the order and the clock allow; never a send unless nothing at all moved since the first one."""
    found = _found(step, order)
    if found is not None:
        return found
    if not same_world(run, step, order):
        others = order.cancelled_at is not None and not run.facts["fingerprint"]["cancelled"] and step.position == 0
        return Decision(Kind.REVIEW, CANCELLED_BY_OTHERS if others else MOVED_BY_OTHERS)
    assert step.first_sent_at is not None, "only a call that was sent is in doubt"
    assert step.last_sent_at is not None
    if (now - step.last_sent_at).total_seconds() < settle_time:
        return Decision(Kind.WAIT)
    if (now - step.first_sent_at).total_seconds() > max(RESEND_WITHIN, settle_time * 1.5):
        return Decision(Kind.REVIEW, TOO_LONG)
    return Decision(Kind.RESEND)


def _found(step: Step, order: OrderFacts) -> Decision | None:
    """Our reference in a refund's note, or in the cancel's staff note."""
    if OPERATIONS[step.root].moves is Moves.NET_PAYMENT:
        ours = order.cancelled_at is not None and step.marker in (order.staff_note or "")
        return Decision(Kind.FOUND) if ours else None
    marked = [one for one in order.refunds if step.marker in one.note]
    if len(marked) > 1:
        return Decision(Kind.REVIEW, TWICE)
    if marked and not _as_sent(step, marked[0].note):
        return Decision(Kind.REVIEW, COPIED)
    return Decision(Kind.FOUND, refund_id=marked[0].id) if marked else None


def _as_sent(step: Step, note: str) -> bool:
    """Whether the refund's note is the one in our bytes; the card shows the reference, so a person may copy it."""
    sent = json.loads(step.body)["variables"]
    for name in OPERATIONS[step.root].reason:
        sent = sent[name]
    return str(sent).split() == note.split()


def same_world(run: Run, step: Step, order: OrderFacts) -> bool:
    """Whether refunds, totals and the cancel are what they were. For a later step: whether nobody else paid
    anything back since the run began, however the order looked when the earlier steps ended."""
    after = fingerprint(order)
    if step.position == 0:
        return bool(run.facts["fingerprint"] == after)
    earlier = [one for each in run.steps[: step.position] for one in (each.receipt or {}).get("$refunds", [])]
    known = {*run.facts["refunds"], *(one["id"] for one in earlier)}
    if any(one.id not in known and (one.refunded > 0 or one.statuses) for one in order.refunds):  # not a mere restock
        return False
    before = (run.steps[step.position - 1].receipt or {}).get("$fingerprint", run.facts["fingerprint"])
    return all(before[key] == after[key] for key in ("refunded", "net"))
