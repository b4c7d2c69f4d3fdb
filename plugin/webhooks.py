"""Shopify's webhooks: verified over the raw body, taken once, put into our tables; Shopify is never asked.

Rules: shopify.dev/docs/apps/build/webhooks (facts/shopify.md §7), vectors/webhook_hmac.json. Only the body is
signed: the headers are hints, so every effect may come twice and is bound to ids in the body.
"""

import hashlib
import hmac
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from plugin.errors import SignInAgain
from plugin.logs import tell
from plugin.phones import e164
from plugin.points import Point, reached
from plugin.ports import Tools
from plugin.ports_stores import Connections, Privacy, Wish
from plugin.shapes import Customer, Place

UNINSTALLED = "The app was uninstalled in Shopify. Connect the store again: {}"
_AMOUNT = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,6})?")
_FULFILLMENT = {
    None: "UNFULFILLED",
    "partial": "PARTIALLY_FULFILLED",
    "fulfilled": "FULFILLED",
    "restocked": "RESTOCKED",
}


@dataclass(frozen=True)
class Delivery:
    """One verified webhook, as its headers tell of it."""

    store: str
    topic: str
    id: str
    triggered_at: datetime | None


@dataclass(frozen=True)
class Inbox:
    """What the effects write to."""

    tools: Tools
    connections: Connections
    privacy: Privacy


def told(headers: Mapping[str, str], name: str) -> str:
    """A header of either family, `X-Shopify-` or `Shopify-`. Raises SignInAgain when both are there and differ."""
    known = {key.lower(): value for key, value in headers.items()}
    found = {known[key] for key in (f"x-shopify-{name}", f"shopify-{name}") if key in known}
    if len(found) > 1:
        raise SignInAgain("The webhook's headers contradict each other.")
    return found.pop() if found else ""


def delivery_of(headers: Mapping[str, str]) -> Delivery:
    """What the headers tell. Raises SignInAgain without a signature, or when two contradict each other; ValueError
    when another is missing."""
    if not told(headers, "hmac-sha256"):
        raise SignInAgain("The webhook has no signature.")
    store, topic, id = (told(headers, name) for name in ("shop-domain", "topic", "webhook-id"))
    if not (store and topic and id):
        raise ValueError("the delivery lacks its store, topic or id")
    return Delivery(store, topic, id, _moment(told(headers, "triggered-at")))


def verify(body: bytes, headers: Mapping[str, str], secrets: Iterable[str]) -> None:
    """Base64 HMAC-SHA256 over the raw body, before anything is parsed; several secrets while rotating.

    Raises SignInAgain.
    """
    given = told(headers, "hmac-sha256").encode("utf-8", "replace")
    good = [b64encode(hmac.new(one.encode(), body, hashlib.sha256).digest()) for one in secrets if one]
    if not any(hmac.compare_digest(one, given) for one in good):
        raise SignInAgain("The webhook's signature is not Shopify's.")


def take(inbox: Inbox, delivery: Delivery, body: bytes) -> str:
    """Carry out what a verified webhook says, once: `taken`, `repeated`, or `ignored`.

    A store or topic we do not know is ignored: Shopify would only send it again. Raises ValueError, KeyError,
    TypeError for a body that is not what its topic says.
    """
    payload = json.loads(body)
    reached(Point.WEBHOOK_VERIFIED)
    result = _take(inbox, delivery, payload)
    tell(f"webhook.{result}", store=delivery.store, topic=delivery.topic)
    return result


def _take(inbox: Inbox, delivery: Delivery, payload: Any) -> str:
    effect = EFFECTS.get(delivery.topic)
    if effect is None or inbox.connections.get(delivery.store) is None:
        return "ignored"
    orders = inbox.tools.orders
    if orders.webhook_seen(delivery.store, delivery.id, delivery.topic):
        return "repeated"
    reached(Point.WEBHOOK_NEW)
    now = inbox.tools.clock.now()
    effect(inbox, delivery, payload, now)
    reached(Point.WEBHOOK_TAKEN)
    orders.mark_webhook(delivery.store, delivery.id, delivery.topic, now)
    return "taken"


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


# ---------------------------------------------------------------- effects


def _order(inbox: Inbox, delivery: Delivery, payload: Any, now: datetime) -> None:
    place = Place(delivery.store, _number(payload["id"]))
    email, phone = (_text("" if payload.get(name) is None else payload[name]) for name in ("email", "phone"))
    phone = e164(phone)
    inbox.tools.orders.put_header(place, email, header(payload), webhook=now, phone=phone)
    if inbox.tools.host.keeps_orders and (email or phone):
        inbox.tools.crm.owe(place, email or phone, now)
    inbox.tools.runs.wake(place, now)  # what Shopify tells may end a doubt


def _of_order(inbox: Inbox, delivery: Delivery, payload: Any, now: datetime) -> None:
    """A refund or a payment: what we keep of its order is old now."""
    place = Place(delivery.store, _number(payload["order_id"]))
    inbox.tools.orders.make_old(place, now)
    inbox.tools.runs.wake(place, now)


def _edited(inbox: Inbox, delivery: Delivery, payload: Any, now: datetime) -> None:
    """Its payload is the edit, not the order."""
    _of_order(inbox, delivery, payload["order_edit"], now)


def _uninstalled(inbox: Inbox, delivery: Delivery, payload: Any, now: datetime) -> None:
    """The store is closed here at once; a late delivery does not close one that was connected after it."""
    _must_name(delivery, payload["myshopify_domain"])
    row = inbox.connections.get(delivery.store)
    if row is None:
        return
    late = row.connected_at and delivery.triggered_at and delivery.triggered_at < row.connected_at
    if not late:
        inbox.connections.end(row.domain, "gone", UNINSTALLED.format(row.again))


def _scopes(inbox: Inbox, delivery: Delivery, payload: Any, now: datetime) -> None:
    """Its body names no store (docs: changelog app/scopes_update), so the doctor's and the daily look at what is
    granted stand over it."""
    current = payload["current"]
    if not isinstance(current, list) or not isinstance(payload["previous"], list):
        raise ValueError("scopes are a list")
    inbox.connections.set_scopes(delivery.store, frozenset(_text(one) for one in current))


def _must_name(delivery: Delivery, domain: Any) -> None:
    """Only the body is signed, so a body of another store or topic must do nothing here. Raises ValueError."""
    if domain != delivery.store:
        raise ValueError("the body names another store")


def _number(found: Any) -> str:
    """Shopify's number of an order. Raises ValueError for anything else, `true` included."""
    if type(found) is not int or not 0 < found < 10**20:
        raise ValueError("an order has a number")
    return str(found)


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise ValueError("not a text")
    return found


def _amount(found: Any) -> str:
    if not _AMOUNT.fullmatch(_text(found)):
        raise ValueError("not an amount")
    return str(found)


def _privacy(inbox: Inbox, delivery: Delivery, payload: Any, now: datetime) -> None:
    """Written down, and carried out by the worker. The store is the body's: only the body is signed."""
    _must_name(delivery, payload["shop_domain"])
    wish, customer = Wish(delivery.topic), payload.get("customer") or {}
    named = payload.get("orders_requested" if wish is Wish.SHOW else "orders_to_redact") or []
    if wish is not Wish.FORGET_STORE and not customer:
        raise ValueError("the body names no customer")
    email, phone = (_text(customer.get(name) or "") for name in ("email", "phone"))
    inbox.privacy.ask(wish, delivery.store, Customer("", email, "", e164(phone)), [_number(one) for one in named], now)


def header(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The header facts of a webhook's order (REST form), as the list shows them."""
    total = payload["total_price_set"]["presentment_money"]
    refunded = [
        Decimal(_amount(row["amount"]))
        for one in payload.get("refunds", [])
        for row in one.get("transactions", [])
        if row["kind"] == "refund" and row.get("status") not in ("failure", "error")
    ]
    return {
        "name": _text(payload["name"]),
        "createdAt": payload["created_at"],
        "updatedAt": payload["updated_at"],
        "cancelledAt": payload.get("cancelled_at"),
        "displayFinancialStatus": (payload.get("financial_status") or "").upper() or None,
        "displayFulfillmentStatus": _FULFILLMENT.get(payload.get("fulfillment_status"), "UNFULFILLED"),
        "total": {"amount": _amount(total["amount"]), "currencyCode": _text(total["currency_code"])},
        "refunded": {
            "amount": str(sum(refunded)) if refunded else "0.0",
            "currencyCode": total["currency_code"],
        },
    }


Effect = Callable[[Inbox, Delivery, Any, datetime], None]
EFFECTS: Mapping[str, Effect] = {
    "orders/create": _order,
    "orders/updated": _order,
    "orders/cancelled": _order,
    "orders/edited": _edited,
    "orders/paid": _order,
    "orders/fulfilled": _order,
    "orders/partially_fulfilled": _order,
    "refunds/create": _of_order,
    "order_transactions/create": _of_order,
    **dict.fromkeys(Wish, _privacy),
    "app/uninstalled": _uninstalled,
    "app/scopes_update": _scopes,
}
