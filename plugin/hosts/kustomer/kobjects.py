"""Orders as KObjects: found by Shopify's order id, written under Kustomer's optimistic lock."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from plugin.errors import TryLater
from plugin.hosts.kustomer.client import Client, Refused
from plugin.shapes import Note, OrderRow

KLASS = "shopify-order"
TRIES = 3
CONFLICT = (409, 412)
LONGEST_STR = 1024


def of_order(row: OrderRow, store_name: str) -> tuple[str, dict[str, Any]]:
    """Title and attributes of an order. Numbers are for the CRM's search; nothing is paid by them.

    What only the snapshot holds is written once somebody has looked at the order as it stands, and stays until then.
    """
    header = row.header or {}
    total, refunded = header["total"], header["refunded"]
    custom = {
        "orderIdNum": int(row.place.order),
        "orderNumberStr": row.name,
        "orderStatusStr": header["displayFulfillmentStatus"] or "UNFULFILLED",
        "billingStatusStr": header["displayFinancialStatus"] or "",
        "orderCreatedAt": row.created_at,
        "orderUpdatedAt": row.updated_at,
        "totalPriceNum": float(total["amount"]),
        "presentmentCurrencyStr": total["currencyCode"],
        "shopDomainStr": row.place.store,
        "shopNameStr": store_name,
        "hasBeenCancelledBool": header["cancelledAt"] is not None,
        "hasBeenRefundedBool": float(refunded["amount"]) > 0,
    }
    whole = custom | _details(row.current or {})
    fitting = {name: one[:LONGEST_STR] if name.endswith("Str") else one for name, one in whole.items()}
    return f"Order {row.name} ({total['amount']} {total['currencyCode']})", fitting


def _details(seen: Mapping[str, Any]) -> dict[str, str]:
    """What a snapshot tells beyond the header. A bundle whose card does not read a field leaves its attribute alone."""
    found: dict[str, str] = {}
    if "note" in seen:
        found["specialInstructionsStr"] = seen["note"] or ""
    if "tags" in seen:
        found["orderTagsStr"] = ", ".join(seen["tags"])
    for name, field in (("shippingCityStr", "city"), ("shippingCountryStr", "countryCodeV2")):
        if "shippingAddress" in seen:
            found[name] = (seen["shippingAddress"] or {}).get(field) or ""
    lines = _read(seen, "lineItems")
    if lines is not None:
        found["skusTxt"] = ", ".join(one["sku"] for one in lines["nodes"] if one.get("sku"))
    payments = _read(seen, "transactions")
    if payments is not None:
        found["paymentSummaryStr"] = ", ".join(dict.fromkeys(_payment(one) for one in payments if _paid(one)))
    return found


def _read(seen: Mapping[str, Any], field: str) -> Any:
    """A field that is asked with arguments stands under its name and a hash of them."""
    return next((value for key, value in seen.items() if key.rpartition("_")[0] == field), None)


def _paid(payment: Mapping[str, Any]) -> bool:
    return payment.get("kind") in ("SALE", "CAPTURE", "AUTHORIZATION") and payment.get("status") == "SUCCESS"


def _payment(payment: Mapping[str, Any]) -> str:
    name = payment.get("formattedGateway") or payment.get("gateway") or "Payment"
    return f"{name} {payment.get('accountNumber') or ''}".strip()


def put(client: Client, customer_id: str, order_id: str, title: str, custom: Mapping[str, Any]) -> None:
    """Create or update; what is newer in Kustomer stays. Raises TryLater, Refused."""
    for _ in range(TRIES):
        found = _find(client, order_id)
        try:
            if found is None:
                body = {"externalId": order_id, "title": title, "custom": dict(custom)}
                client.call("POST", f"/v1/customers/{quote(customer_id, safe='')}/klasses/{KLASS}", body)
            elif not _is_older(found, custom):
                _update(client, found, {"title": title}, custom)
            return
        except Refused as refused:
            if refused.status not in CONFLICT:
                raise
    raise TryLater("Others keep changing this order in Kustomer.")


def append(client: Client, note: Note) -> None:
    """Where there is no conversation: the note as a line of the order, once. Raises TryLater, Refused."""
    for _ in range(TRIES):
        found = _find(client, note.order)
        if found is None:
            base = {"orderIdNum": int(note.order), "orderNumberStr": note.order_name, "shopDomainStr": note.store}
            title = f"Order {note.order_name}"
            put(client, note.customer_id, note.order, title, base)
            continue
        lines = str(_custom(found).get("actionsTxt") or "")
        line = f"{note.body} ({note.id})"
        if note.id in lines:
            return
        try:
            _update(client, found, {}, {"actionsTxt": f"{lines}\n{line}".strip()})
            return
        except Refused as refused:
            if refused.status not in CONFLICT:
                raise
    raise TryLater("Others keep changing this order in Kustomer.")


def _find(client: Client, order_id: str) -> dict[str, Any] | None:
    return client.find(f"/v1/klasses/{KLASS}/externalId={quote(order_id, safe='')}")


def _custom(found: Mapping[str, Any]) -> Mapping[str, Any]:
    return found.get("attributes", {}).get("custom") or {}


def _is_older(found: Mapping[str, Any], custom: Mapping[str, Any]) -> bool:
    """Whether what we would write is older than what stands there."""
    theirs = str(_custom(found).get("orderUpdatedAt") or "")
    return str(custom.get("orderUpdatedAt", theirs)) < theirs


def _update(client: Client, found: Mapping[str, Any], more: Mapping[str, Any], custom: Mapping[str, Any]) -> None:
    """Whole attributes under the revision that was read: a PUT may replace what it does not name."""
    revision = found.get("attributes", {}).get("rev")
    body = {**more, "custom": {**_custom(found), **custom}, "rev": revision}
    client.call("PUT", f"/v1/klasses/{KLASS}/{quote(str(found['id']), safe='')}", body)
