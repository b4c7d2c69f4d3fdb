"""What happens without an agent: webhooks in, open runs carried on, notes out."""

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from plugin.errors import NothingHere, OrderActionsError, SignInAgain
from plugin.logs import tell
from plugin.points import Point, reached
from plugin.ports import Tools
from plugin.runtime import carry_out
from plugin.shapes import Place, Run, StepState

ORDER_TOPICS = {"orders/create", "orders/updated", "orders/cancelled", "orders/edited", "orders/paid",
                "orders/fulfilled", "orders/partially_fulfilled"}  # fmt: skip
NOTE_DELAYS = (5, 15, 60, 300, 900)
YOUNG = 60.0
ABANDONED = 45.0  # seconds after which nobody comes back any more to a run that was never sent
# a run younger than so many seconds is looked at every so many
PAUSES = ((10.0, 1.0), (YOUNG, 3.0), (600.0, 15.0), (3600.0, 60.0), (float("inf"), 900.0))
_FULFILLMENT = {
    None: "UNFULFILLED",
    "partial": "PARTIALLY_FULFILLED",
    "fulfilled": "FULFILLED",
    "restocked": "RESTOCKED",
}


def verify_webhook(body: bytes, signature: str, secrets: Iterable[str]) -> None:
    """Base64 HMAC-SHA256 over the raw body, before anything is parsed; several secrets while rotating.

    Raises SignInAgain. Source: shopify.dev/docs/apps/build/webhooks (facts/shopify.md §7).
    """
    good = [b64encode(hmac.new(one.encode(), body, hashlib.sha256).digest()) for one in secrets]
    if not any(hmac.compare_digest(one, signature.encode("utf-8", "replace")) for one in good):
        raise SignInAgain("The webhook's signature is not Shopify's.")


def take_webhook(tools: Tools, headers: Mapping[str, str], body: bytes) -> None:
    """Record what a verified webhook says, with no call to Shopify; a delivery seen before changes nothing.

    Raises NothingHere for a store or payload that is not ours, ValueError for a body that is not JSON.
    """
    store, topic = headers.get("X-Shopify-Shop-Domain", ""), headers.get("X-Shopify-Topic", "")
    if tools.store(store) is None:
        raise NothingHere("This store is not connected here.")
    webhook_id = headers.get("X-Shopify-Webhook-Id", "")
    if not webhook_id:
        raise ValueError("the delivery has no id")
    payload = json.loads(body)
    now = tools.clock.now()
    reached(Point.WEBHOOK_VERIFIED)
    if tools.orders.webhook_seen(store, webhook_id, topic):
        return tell("webhook.repeated", store=store, topic=topic)
    reached(Point.WEBHOOK_NEW)
    if topic in ORDER_TOPICS:
        place = Place(store, str(payload["id"]))
        email = payload.get("email") or ""
        tools.orders.put_header(place, email, webhook_header(payload), webhook=now)
        if tools.host.keeps_orders and email:
            tools.crm.owe(place, email, now)
        tools.runs.wake(place, now)  # what Shopify tells may end a doubt
    reached(Point.WEBHOOK_TAKEN)
    tools.orders.mark_webhook(store, webhook_id, topic, now)
    return tell("webhook.taken", store=store, topic=topic)


def webhook_header(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The header facts of a webhook's order (REST form), as the list shows them."""
    total = payload["total_price_set"]["presentment_money"]
    refunded = [
        row for one in payload.get("refunds", []) for row in one.get("transactions", []) if row["kind"] == "refund"
    ]
    return {
        "name": payload["name"],
        "createdAt": payload["created_at"],
        "updatedAt": payload["updated_at"],
        "cancelledAt": payload.get("cancelled_at"),
        "displayFinancialStatus": (payload.get("financial_status") or "").upper() or None,
        "displayFulfillmentStatus": _FULFILLMENT.get(payload.get("fulfillment_status"), "UNFULFILLED"),
        "total": {"amount": total["amount"], "currencyCode": total["currency_code"]},
        "refunded": {
            "amount": refunded[0]["amount"] if refunded else "0.0",
            "currencyCode": total["currency_code"],
        },
    }


def import_legacy(tools: Tools, store: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Orders of the older app: shown as a number only, until Shopify's next update of them."""
    for row in rows:
        header = {"name": row["name"], "createdAt": row["created_at"], "updatedAt": row["updated_at"]}
        tools.orders.put_legacy(Place(store, str(row["id"]).rsplit("/", 1)[-1]), row["email"], header)


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
    """Carry on open runs that are due: jobs, pending money, a second step, and calls whose fate is unknown."""
    carried = 0
    for run in tools.runs.due_runs(tools.clock.now()):
        if stopped():
            break
        now = tools.clock.now()
        age = (now - run.created_at).total_seconds()
        pause = next(seconds for limit, seconds in PAUSES if age < limit)
        if not tools.runs.look_later(run.id, now, now + timedelta(seconds=pause)):
            continue  # another worker looks
        if _waits_for_shopify(run, age):
            reached(Point.RUN_DUE)
            carry_out(tools, run.id, 0.0)
            carried += 1
    return carried


def _waits_for_shopify(run: Run, age: float) -> bool:
    states = {step.state for step in run.steps}
    if StepState.REVIEW in states:
        return False  # a person decides
    # A first step that was never sent belongs to the submit that wrote it, while that may still live.
    known = {StepState.CONFIRMED, StepState.SETTLED, StepState.UNKNOWN, StepState.SENDING}
    return bool(states & known) or age > ABANDONED
