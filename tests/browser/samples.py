"""Sample orders and form fields the template states are built from."""

from decimal import Decimal
from typing import Any

from plugin.money import Money

AT = "2026-11-20T14:05:00+00:00"
Json = dict[str, Any]


def money(amount: str, currency: str = "USD") -> Money:
    return Money(currency, Decimal(amount))


def bag(amount: str, currency: str = "USD") -> Json:
    return {"presentmentMoney": money(amount, currency), "shopMoney": money(amount, currency)}


def line(number: int, title: str, price: str, quantity: int, currency: str = "USD", **more: Any) -> Json:
    return {
        "id": f"gid://shopify/LineItem/{number}",
        "title": title,
        "variantTitle": "Large / Forest",
        "sku": f"SKU-{number}",
        "quantity": quantity,
        "currentQuantity": quantity,
        "unfulfilledQuantity": quantity,
        "isGiftCard": False,
        "originalUnitPriceSet": bag(price, currency),
        "discountedUnitPriceAfterAllDiscountsSet": bag(price, currency),
        **more,
    }


def payment(amount: str, currency: str = "USD", **more: Any) -> Json:
    return {
        "id": "gid://shopify/OrderTransaction/77",
        "kind": "SALE",
        "status": "SUCCESS",
        "gateway": "shopify_payments",
        "formattedGateway": "Visa",
        "accountNumber": "•••• •••• •••• 4242",
        "manualPaymentGateway": False,
        "processedAt": AT,
        "amountSet": bag(amount, currency),
        **more,
    }


def refund(number: int, amount: str, note: str | None = None, currency: str = "USD") -> Json:
    return {
        "id": f"gid://shopify/Refund/{number}",
        "createdAt": AT,
        "note": note,
        "totalRefundedSet": bag(amount, currency),
    }


def shopify_order(currency: str = "USD", total: str = "201.59", **more: Any) -> Json:
    nothing = bag("0", currency)
    return {
        "id": "gid://shopify/Order/1027",
        "name": "#1027",
        "createdAt": "2026-11-14T09:12:00+00:00",
        "updatedAt": AT,
        "cancelledAt": None,
        "cancelReason": None,
        "displayFinancialStatus": "PAID",
        "displayFulfillmentStatus": "UNFULFILLED",
        "returnStatus": "NO_RETURN",
        "email": "alex.smith@example.com",
        "note": None,
        "tags": [],
        "test": False,
        "taxesIncluded": False,
        "discountCodes": [],
        "shippingAddress": {"name": "Alex Smith", "city": "Raleigh", "countryCodeV2": "US"},
        "subtotalPriceSet": bag(total, currency),
        "totalDiscountsSet": nothing,
        "totalShippingPriceSet": nothing,
        "totalTipReceivedSet": nothing,
        "currentTotalDutiesSet": None,
        "totalPriceSet": bag(total, currency),
        "totalReceivedSet": bag(total, currency),
        "totalCapturableSet": nothing,
        "totalOutstandingSet": nothing,
        "totalRefundedSet": nothing,
        "netPaymentSet": bag(total, currency),
        "taxLines": [],
        "shippingLines": {
            "nodes": [{"title": "Standard shipping", "isRemoved": False}],
            "pageInfo": {"hasNextPage": False, "endCursor": None},
        },
        "lineItems": {
            "nodes": [line(1, "Trail tent", total, 1, currency)],
            "pageInfo": {"hasNextPage": False, "endCursor": None},
        },
        "transactions": [payment(total, currency)],
        "refunds": [],
        **more,
    }


def full_order(**more: Any) -> Json:
    """Discounts, two taxes, shipping, four lines, one partial refund."""
    cheaper = bag("45.90")
    lines = [
        line(1, "Trail tent, two persons", "89.00", 1),
        line(2, "Merino base layer", "51.00", 2, discountedUnitPriceAfterAllDiscountsSet=cheaper),
        line(3, "Enamel mug", "14.50", 1, unfulfilledQuantity=0, variantTitle=None, sku=None),
    ]
    return shopify_order(
        displayFinancialStatus="PARTIALLY_REFUNDED",
        displayFulfillmentStatus="PARTIALLY_FULFILLED",
        discountCodes=["AUTUMN10"],
        tags=["vip", "autumn"],
        note="Please leave the parcel with the neighbour at number 12.",
        subtotalPriceSet=bag("183.50"),
        totalDiscountsSet=bag("22.00"),
        totalShippingPriceSet=bag("9.37"),
        totalRefundedSet=bag("34.34"),
        netPaymentSet=bag("167.25"),
        taxLines=[
            {"title": "NC State Tax", "ratePercentage": Decimal("4.75"), "priceSet": bag("8.72")},
            {"title": "County Tax", "ratePercentage": Decimal("2.0"), "priceSet": bag("0.00")},
        ],
        lineItems={"nodes": lines, "pageInfo": {"hasNextPage": False, "endCursor": None}},
        transactions=[payment("201.59"), payment("34.34", kind="REFUND", status="PENDING")],
        refunds=[refund(929361465, "34.34", "Mug arrived broken [ref 8FK2QX]")],
        **more,
    )


def order_context(order: Json, **more: Any) -> Json:
    return {
        "order": order,
        "store": {"name": "Acme Outdoor", "domain": "sandbox.myshopify.com"},
        "admin_url": "https://admin.shopify.com/store/sandbox/orders/1027",
        "back_url": "/orders",
        "refresh_url": "/stores/sandbox/orders/1027/refresh",
        "age_seconds": 12,
        "stale_reason": None,
        "stranger": None,
        "actions": [action("refund", "Refund"), action("cancel", "Cancel")],
        "may_act": True,
        "run": None,
        "refunds": [
            {
                "number": "1",
                "at": one["createdAt"],
                "amount": one["totalRefundedSet"]["presentmentMoney"],
                "note": one["note"] or "",
                "made_by": None if place else "Ana Ruiz",
                "run_id": None,
                "trouble": None,
            }
            for place, one in enumerate(order["refunds"])
        ],
        "history": [],
        "shipped": False,
        **more,
    }


def action(icon: str, title: str, reason: str | None = None, suggest: str | None = None) -> Json:
    base = "/stores/sandbox/orders/1027/actions/shopify.order."
    return {
        "id": f"shopify.order.{icon}",
        "title": title,
        "icon": icon,
        "url": base + icon,
        "available": reason is None,
        "reason": reason,
        "suggest": {"title": suggest, "url": base + suggest.lower()} if suggest else None,
    }


def row(name: str, status: str, amount: Money | None, store: str = "Acme Outdoor", **more: Any) -> Json:
    return {
        "url": f"/stores/sandbox/orders/{name.strip('#')}",
        "name": name,
        "date": "2026-07-01T10:00:00+00:00",
        "store_name": store,
        "amount": amount,
        "status": status,
        "struck": False,
        "legacy": False,
        "admin_url": f"https://admin.shopify.com/store/sandbox/orders/{name.strip('#')}",
        "in_doubt": False,
        **more,
    }


def orders_context(rows: list[Json], **more: Any) -> Json:
    return {
        "customer": {"name": "Alex Smith"},
        "query": "",
        "rows": rows,
        "age_seconds": 4,
        "refresh_url": "/orders/refresh",
        "search_url": "/orders",
        "problem": None,
        "reviews": None,
        "reviews_url": "/reviews",
        "limited": None,
        "find_url": "/orders/find",
        "admin_url": None,
        "page": 1,
        "pages": 1,
        "prev_url": None,
        "next_url": None,
        **more,
    }


def field(name: str, kind: str, label: str, **more: Any) -> Json:
    return {
        "name": name,
        "type": kind,
        "label": label,
        "help": None,
        "error": None,
        "visible": True,
        "required": False,
        "value": None,
        "max_label": None,
        "max_length": None,
        "options": [],
        "readonly": False,
        "live": False,
        **more,
    }


def line_option(number: int, title: str, price: Money, most: int, quantity: int = 0, **more: Any) -> Json:
    name = f"gid://shopify/LineItem/{number}"
    option = {"id": name, "key": name, "title": title, "variant": "Large / Forest", "sku": f"SKU-{number}"}
    return {**option, "price": price, "max": most, "quantity": quantity, **more}


def payment_option(number: int, label: str, value: str, most: Money, **more: Any) -> Json:
    amount = Money(most.currency, Decimal(value))
    name = f"gid://shopify/OrderTransaction/{number}"
    return {
        "id": name,
        "label": label,
        "amount": amount,
        "value": value,
        "max": most,
        "manual": False,
        **more,
    }


def form_context(fields: list[Json], button: str, **more: Any) -> Json:
    base = "/stores/sandbox/orders/1027"
    form = {
        "action_id": "shopify.order.refund",
        "title": "Refund",
        "preview_url": f"{base}/actions/shopify.order.refund/preview",
        "submit_url": f"{base}/actions/shopify.order.refund",
        "sent_url": f"{base}/actions/shopify.order.refund/sent",
        "cancel_url": base,
        "token": "signed.form.token",
        "fields": fields,
        "summary": [],
        "warnings": [],
        "errors": [],
        "sentence": f"{button} on #1027? This cannot be undone.",
        "button": button,
        "ready": True,
        "danger": False,
        **more,
    }
    return {"order_name": "#1027", "form": form}


def outcome_context(state: str, title: str, text: str, **more: Any) -> Json:
    outcome = {
        "state": state,
        "title": title,
        "text": text,
        "refunds": [],
        "decisions": [],
        "agent": "Ana Ruiz",
        "at": AT,
        "follow_url": None,
        "back_label": "Back to the order",
        "back_url": "/stores/sandbox/orders/1027",
        "rows": [],
        **more,
    }
    return {"outcome": outcome}


def choice(how: str, title: str, effect: str, blocked: str | None = None, checked: bool = False) -> Json:
    return {"how": how, "title": title, "effect": effect, "blocked": blocked, "checked": checked}


def review_context(choices: list[Json], **more: Any) -> Json:
    """A refund of $25.00 in doubt; somebody refunded the same in Shopify meanwhile."""
    chosen = next((one for one in choices if one["checked"]), None)
    url = "/stores/sandbox/orders/1027/runs/1/review"
    refunds = [
        {"number": "71", "at": AT, "amount": money("10.00"), "note": "", "made_by": "Sam Okafor", "run_id": "0"},
        {"number": "72", "at": AT, "amount": money("25.00"), "note": "by hand", "made_by": None, "run_id": None},
        {"number": "73", "at": None, "amount": money("1.00"), "note": "[ref 8FK2QX]", "made_by": "Ana", "run_id": "1"},
    ]
    step = {
        "number": 1, "name": "refund", "call": "refundCreate", "state": "A person must decide",
        "amount": money("25.00"), "reference": "[ref 8FK2QX]", "attempts": 2, "first_sent_at": AT, "last_sent_at": AT,
    }  # fmt: skip
    return {
        "title": "Refund on #1027",
        "order_name": "#1027",
        "preview_url": f"{url}/preview",
        "url": url,
        "back_url": "/reviews",
        "back_label": "Back to the runs",
        "token": "signed.form.token",
        "state": "A person must decide - do not repeat",
        "why": ["The order changed without our reference while our answer was missing."],
        "order": {
            "name": "#1027", "admin_url": "https://admin.shopify.com/store/sandbox/orders/1027",
            "store_name": "Acme Outdoor", "financial_status": "PARTIALLY_REFUNDED",
            "fulfillment_status": "UNFULFILLED", "cancelled_at": None, "staff_note": None, "paid": money("201.59"),
            "refunded": money("36.00"), "net": money("165.59"),
            "refunds": [{**one, "this_run": one["run_id"] == "1", "trouble": None} for one in refunds],
        },
        "record": {"action": "Refund", "agent": "Ana Ruiz", "at": AT, "steps": [step], "decisions": []},
        "choices": choices,
        "reason": "",
        "reason_error": None,
        "max_reason": 500,
        "errors": [],
        "sentence": chosen["effect"] if chosen else "Choose what is right.",
        "button": chosen["title"] if chosen else "Choose what is right",
        "ready": chosen is not None,
        "danger": chosen is not None and chosen["how"] == "again",
        **more,
    }  # fmt: skip
