"""Every state of the card that has its own look: name -> (template, context)."""

from copy import deepcopy
from datetime import date
from typing import Any

from plugin.panels import amount, cell, chart, day, filters, table, text
from plugin.panels import choice as pick
from tests.browser.samples import (
    AT,
    action,
    bag,
    choice,
    field,
    form_context,
    full_order,
    line,
    line_option,
    money,
    order_context,
    orders_context,
    outcome_context,
    payment,
    payment_option,
    refund,
    review_context,
    row,
    shopify_order,
)

State = tuple[str, dict[str, Any]]
EVIL = "\"><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7 * 7 }}' onfocus='alert(3)"
LONG = "Pneumonoultramicroscopicsilicovolcanoconiosis-resistant-mountaineering-jacket-with-detachable-hood"
NOTIFY = field(
    "notify",
    "boolean",
    "Send a notification to the customer",
    value=True,
    help="Shopify sends it, by the preferences of the store.",
)
REASON = field("reason", "text", "Reason for Refund", value="", max_length=243, help="Only staff see this, in Shopify.")
WORKING = {
    "state": "working",
    "title": "A refund is on its way",
    "text": "Refund of $64.20 on #1027.",
    "calls": [{"label": "Refund", "value": "In doubt ($64.20)"}],
    "since": AT,
    "agent": "Sam Okafor",
    "follow_url": "/stores/sandbox/orders/1027/runs/1",
    "order_url": "/stores/sandbox/orders/1027",
    "decide_url": None,
}


def _list() -> list[dict[str, Any]]:
    return [
        row("#1027", "Paid · Unfulfilled", money("201.59")),
        row("#1019", "Partially refunded · Partially fulfilled", money("89.00"), in_doubt=True),
        row("#1003", "Refunded · Cancelled", money("34.34"), struck=True),
        row("#998", "", None, legacy=True, store="Acme Europe"),
    ]


def _refund_fields(chosen: int = 2) -> list[dict[str, Any]]:
    return [
        field(
            "lines",
            "line_items",
            "Items",
            options=[
                line_option(1, "Trail tent, two persons", money("89.00"), 1),
                line_option(2, "Merino base layer", money("45.90"), 2, chosen),
                line_option(3, "Enamel mug", money("14.50"), 12, 0, variant=None, sku=None),
            ],
        ),
        field("shipping", "money", "Refund Shipping", value="", max_label="Available $9.37"),
        field(
            "amount",
            "money",
            "Manual",
            value="",
            help="Overrides the total above.",
            max_label="At most $167.25",
        ),
        field(
            "payments",
            "payments",
            "Paid back to",
            live=True,
            options=[
                payment_option(1, "Gift card •••• 8d3f", "40.00", money("40.00")),
                payment_option(2, "Visa •••• 4242", "58.16", money("127.25")),
            ],
        ),
        REASON,
        field("restock", "boolean", "Restock Items", value=True),
        field("location", "choice", "Restock at", visible=False, required=True),
        NOTIFY,
    ]


SUMMARY = [
    {"label": "Items", "value": "$91.80", "strong": False},
    {"label": "Discounts", "value": "-$10.20", "strong": False},
    {"label": "Tax", "value": "$6.36", "strong": False},
    {"label": "Shipping", "value": "$0.00", "strong": False},
    {"label": "Refund total", "value": "$98.16", "strong": True},
    {"label": "Can still be refunded", "value": "$167.25", "strong": False},
]
TOTALS = {"summary": SUMMARY}


def _opening_fields() -> list[dict[str, Any]]:
    lines, *others = _refund_fields(chosen=0)
    lines["error"] = "Choose at least one item, some shipping or an amount to refund."
    return [lines, *others]


def _wrong_fields() -> list[dict[str, Any]]:
    lines, shipping, amount, *others = _refund_fields()
    shipping.update(value="12,00", error="Write the amount with digits and a point only, like 5.00.")
    amount.update(value="500.00", error="At most $167.25.")
    return [lines, shipping, amount, *others]


def _agent_fields() -> list[dict[str, Any]]:
    """What an agent without the manual permission sees: payments to read only."""
    fields = [one for one in _refund_fields() if one["name"] != "amount"]
    fields[2].update(readonly=True)
    fields[2]["options"][0].update(label="Cash on Delivery (COD)", manual=True)
    return fields


def _cancel_fields() -> list[dict[str, Any]]:
    choices = [
        {"value": "cancel", "label": "Cancel the whole order, refund $150.00"},
        {"value": "keep", "label": "Keep the order, choose items"},
    ]
    reasons = ["Customer", "Declined", "Fraud", "Inventory", "Other", "Staff"]
    return [
        field(
            "lines",
            "line_items",
            "Items to cancel",
            options=[
                line_option(1, "Trail tent, two persons", money("89.00"), 1, 1),
                line_option(2, "Merino base layer", money("45.90"), 2, 2),
            ],
        ),
        field(
            "payments",
            "payments",
            "Refund Payments",
            options=[payment_option(1, "Visa •••• 4242", "150.00", money("201.59"))],
        ),
        field("decision", "choice", "You lowered the amount. What is meant?", required=True, options=choices),
        field(
            "reason",
            "choice",
            "Reason",
            value="CUSTOMER",
            required=True,
            options=[{"value": one.upper(), "label": one} for one in reasons],
        ),
        field("restock", "boolean", "Restock Items", value=True),
        NOTIFY,
        field(
            "staff_note",
            "text",
            "Staff note",
            value="",
            max_length=243,
            help="Only staff see this, in Shopify.",
        ),
    ]


def _lists() -> dict[str, State]:
    hostile = [row(EVIL, EVIL, money("1.00"), store=EVIL), row(LONG, LONG, money("999999999.99"), store=LONG)]
    return {
        "orders": ("orders.html", orders_context(_list(), pages=3, next_url="/orders?page=2")),
        "orders_empty": ("orders.html", orders_context([], age_seconds=61)),
        "orders_search": ("orders.html", orders_context([], query="tent", age_seconds=7300)),
        "orders_problem": (
            "orders.html",
            orders_context(
                _list()[:2],
                age_seconds=600,
                reviews="2 runs wait for a decision",
                problem="Acme Europe did not answer; its orders are missing here.",
                page=2,
                pages=3,
                prev_url="/orders",
                next_url="/orders?page=3",
            ),
        ),
        "orders_hostile": (
            "orders.html",
            orders_context(hostile, query=EVIL, problem=EVIL, customer={"name": EVIL}),
        ),
    }


def _orders() -> dict[str, State]:
    refused = [
        action("refund", "Refund", "Nothing has been captured yet, so there is nothing to refund.", "Cancel"),
        action("cancel", "Cancel"),
    ]
    history = [
        {
            "title": "Refund",
            "text": "Refunded $34.34 on #1027.",
            "at": AT,
            "agent": "Ana Ruiz",
            "state": "done",
            "decisions": [{"agent": "Sam Okafor", "at": AT, "what": "it is refund 7", "reason": "Looked in Shopify."}],
        },
        {
            "title": "Cancel",
            "text": "We are finding out.",
            "at": AT,
            "agent": "Sam Okafor",
            "state": "doubt",
            "decisions": [],
        },
    ]
    cancelled = shopify_order(
        cancelledAt=AT,
        cancelReason="CUSTOMER",
        displayFinancialStatus="REFUNDED",
        displayFulfillmentStatus="RESTOCKED",
        totalRefundedSet=bag("201.59"),
        netPaymentSet=bag("0"),
        refunds=[refund(929361466, "201.59")],
        test=True,
    )
    held = shopify_order(
        displayFinancialStatus="AUTHORIZED",
        totalReceivedSet=bag("0"),
        netPaymentSet=bag("0"),
        totalCapturableSet=bag("201.59"),
        transactions=[payment("201.59", kind="AUTHORIZATION")],
    )
    doubt = {
        **WORKING,
        "state": "doubt",
        "title": "A refund is in doubt",
        "decide_url": "/stores/sandbox/orders/1027/runs/1/review",
        "text": "Do not repeat it. We are finding out.",
    }
    yen, dinar = shopify_order("JPY", "12800"), shopify_order("KWD", "31.250", taxesIncluded=True)
    dinar["taxLines"] = [{"title": "VAT", "ratePercentage": None, "priceSet": bag("1.500", "KWD")}]
    evil = shopify_order(name=EVIL, email=EVIL, note=EVIL, tags=[EVIL, LONG], discountCodes=[EVIL])
    evil["totalDiscountsSet"] = bag("1.00")
    evil["lineItems"] = {
        "nodes": [
            line(1, EVIL, "1.00", 1, variantTitle=EVIL, sku=LONG),
            line(2, LONG, "99999999.99", 100, currentQuantity=98),
        ],
        "pageInfo": {"hasNextPage": True, "endCursor": "x"},
    }
    evil["transactions"] = [payment("1.00", formattedGateway=EVIL, accountNumber=LONG, manualPaymentGateway=True)]
    evil["refunds"] = [refund(1, "0.50", EVIL)]
    view = "order.html"
    return {
        "order": (view, order_context(shopify_order(), back_url=None)),
        "order_full": (view, order_context(full_order(), history=history, shipped=True)),
        "order_unavailable": (view, order_context(held, actions=refused)),
        "order_cancelled": (view, order_context(cancelled)),
        "order_read_only": (view, order_context(full_order(), may_act=False, actions=[])),
        "order_running": (view, order_context(shopify_order(), run=WORKING)),
        "order_in_doubt": (
            view,
            order_context(
                shopify_order(), run=doubt, stale_reason="Shopify did not answer; this is from 4 minutes ago."
            ),
        ),
        "order_jpy": (view, order_context(yen)),
        "order_kwd": (view, order_context(dinar)),
        "order_hostile": (view, order_context(evil, store={"name": EVIL, "domain": "sandbox.myshopify.com"})),
    }


def _forms() -> dict[str, State]:
    lowered = {
        "title": "Cancel",
        "danger": True,
        "ready": False,
        "errors": ["Choose one of these."],
        "summary": [{"label": "Refund total", "value": "$150.00", "strong": True}],
    }
    part = {
        "title": "Cancel",
        "danger": True,
        "summary": [{"label": "Refund total", "value": "$201.59", "strong": True}],
    }
    yen = [field("shipping", "money", "Refund Shipping", value="800", max_label="Available ¥800")]
    hostile = deepcopy(_refund_fields())
    hostile[0]["options"] = [line_option(1, EVIL, money("1.00"), 3, 1, variant=EVIL, sku=LONG)]
    hostile[0].update(error=EVIL, help=EVIL)
    hostile[3]["options"][0]["label"] = EVIL
    hostile[4].update(value=EVIL + "</textarea>")
    hostile[6].update(visible=True, options=[{"value": EVIL, "label": EVIL}, {"value": "b", "label": LONG}])
    warning = "The items you chose have not shipped. Without Restock Items they will still be shipped."
    return {
        "refund": ("form.html", form_context(_refund_fields(), "Refund $98.16", **TOTALS)),
        "refund_opening": (
            "form.html",
            form_context(_opening_fields(), "Refund $0.00", ready=False, **TOTALS),
        ),
        "refund_agent": (
            "form.html",
            form_context(
                _agent_fields(),
                "Refund $98.16",
                warnings=[warning, "Cash on Delivery (COD) only records a refund. Nobody is paid by this."],
                **TOTALS,
            ),
        ),
        "refund_errors": (
            "form.html",
            form_context(
                _wrong_fields(),
                "Refund $98.16",
                ready=False,
                errors=[
                    "Two amounts need your attention.",
                    "The order changed meanwhile: $20.00 was refunded in Shopify.",
                ],
                **TOTALS,
            ),
        ),
        "refund_jpy": ("form.html", form_context(yen, "Refund ¥800", **TOTALS)),
        "cancel": (
            "form.html",
            form_context(_cancel_fields()[:2] + _cancel_fields()[3:], "Cancel order, refund $201.59", **part),
        ),
        "cancel_lowered": ("form.html", form_context(_cancel_fields(), "Choose what is meant", **lowered)),
        "form_hostile": (
            "form.html",
            form_context(hostile, EVIL, warnings=[EVIL], errors=[EVIL], title=EVIL, token=EVIL),
        ),
    }


def _outcomes() -> dict[str, State]:
    paid = {"refunds": [{"id": "929361465", "amount": money("98.16")}]}
    follow = {"follow_url": "/hold"}
    doubt = "Shopify has not answered. We are finding out whether it was done."
    rows = [{"label": "Restocked", "value": "2 × Merino base layer"}]
    view = "outcome.html"
    return {
        "done": (
            view,
            outcome_context("done", "Refunded $98.16", "Refunded $98.16 on #1027.", rows=rows, **paid),
        ),
        "pending": (
            view,
            outcome_context("pending", "Waiting for the bank", "The refund is recorded.", **paid, **follow),
        ),
        "working": (
            view,
            outcome_context("working", "Cancelling #1027", "Shopify is working on it.", **follow),
        ),
        "doubt": (view, outcome_context("doubt", "In doubt", doubt, **follow)),
        "review": (
            view,
            outcome_context(
                "review",
                "A person must decide",
                doubt,
                decisions=[{"agent": EVIL, "at": AT, "what": "send it again", "reason": LONG}],
                **follow,
            ),
        ),
        "failed": (
            view,
            outcome_context("failed", "Shopify refused", "Refund amount is too high. Nothing was paid back."),
        ),
        "partly": (
            view,
            outcome_context("partly", "Cancelled, but not refunded", "The order is cancelled; the refund failed."),
        ),
        "done_hostile": (
            view,
            outcome_context("done", EVIL, EVIL, rows=[{"label": EVIL, "value": LONG}], **paid),
        ),
        "message": (
            "message.html",
            {
                "title": "No access",
                "text": "Your permission set does not show Shopify orders. Ask an administrator.",
                "action": {"label": "Try again", "url": "/orders"},
            },
        ),
        "message_link": (
            "message.html",
            {
                "title": "Not found",
                "text": EVIL,
                "action": {"label": "Open Shopify", "url": "https://admin.shopify.com/store/sandbox"},
            },
        ),
    }


def _found() -> dict[str, State]:
    def one(name: str, store: str, whose: str, proof: str | None) -> dict[str, Any]:
        return {"url": f"/stores/sandbox/orders/{len(name)}", "name": name, "date": AT, "store_name": store,
                "amount": money("201.59"), "whose": whose, "proof": proof}  # fmt: skip

    rows = [
        one("#1027", "Acme Outdoor", "Of this customer", None),
        one("#1027", "Acme Europe", "Of somebody else: d•••@e•••.com", "proof"),
    ]
    hostile = [one(LONG, EVIL, EVIL, EVIL)]
    shared = {"find_url": "/orders/find", "back_url": "/orders", "problems": [], "limited": None}
    return {
        "found": ("found.html", {**shared, "number": "1027", "rows": rows}),
        "found_hostile": ("found.html", {**shared, "number": EVIL, "rows": hostile, "problems": [EVIL]}),
    }


def _reviews() -> dict[str, State]:
    waits = "Shopify may still carry out the last attempt. This can be decided from 14:12 UTC on."
    again = ("again", "Send again: refund $25.00", "Sends the same call once more: refund $25.00.")
    this = ("72", "It is this refund: $25.00, number 72", "Sends nothing. The run ends with refund 72 of $25.00.")
    closed = ("not-done", "Close, not done", "Sends nothing, and this run pays nothing back. The order is free again.")
    hostile = review_context([choice("again", EVIL, LONG, checked=True), choice("72", LONG, EVIL, EVIL)])
    hostile |= {"title": EVIL, "why": [EVIL, LONG], "reason": EVIL + "</textarea>", "reason_error": EVIL}
    hostile |= {"errors": [EVIL], "button": LONG}
    hostile["order"] |= {"cancelled_at": AT, "staff_note": EVIL, "store_name": LONG}
    hostile["order"]["refunds"][1] |= {"note": LONG}
    hostile["record"] |= {"agent": EVIL, "decisions": [{"agent": EVIL, "at": AT, "what": LONG, "reason": EVIL}]}
    rows = [
        {
            "url": "/stores/sandbox/orders/1027/runs/1/review", "name": name, "store_name": store, "action": "Refund",
            "agent": agent, "at": AT, "amount": amount, "why": why,
        }
        for name, store, agent, amount, why in (
            ("#1027", "Acme Outdoor", "Ana Ruiz", money("25.00"), "Shopify shows no trace of this after ten minutes."),
            ("#1031", "Acme Europe", "Sam Okafor", None, "Somebody else cancelled this order."),
            (LONG, EVIL, EVIL, money("999999999.99"), EVIL),
        )
    ]  # fmt: skip
    shown = {"title": "3 runs wait for a decision", "rows": rows, "back_url": "/orders", "refresh_url": "/reviews"}
    return {
        "review": ("review.html", review_context([choice(*again, checked=True), choice(*this), choice(*closed)])),
        "review_waits": ("review.html", review_context([choice(*one, waits) for one in (again, this, closed)])),
        "review_hostile": ("review.html", hostile),
        "review_list": ("review_list.html", shown),
    }


def _admin() -> dict[str, State]:
    sums = {"2026-11-22": money("250.00"), "2026-11-24": money("999999999.99")}
    row = [cell(EVIL, url="/admin/runs", more=LONG), cell(LONG, mark="wrong", more=EVIL), amount(money("999999999.99"))]
    sections = [
        filters("/admin/runs", [pick("store", LONG, {"": EVIL}, LONG), text("agent", EVIL, EVIL),
                                day("first", "From", date(2026, 11, 1))], "/admin/runs/csv"),
        chart(EVIL, date(2026, 9, 1), date(2026, 11, 24), sums),
        table(EVIL, [LONG, EVIL, "Amount"], [row], empty="", lead=EVIL, after=(EVIL, "/admin/runs")),
    ]  # fmt: skip
    nav = [{"id": "to-admin", "label": "Overview", "url": "/admin", "here": True}]
    lift = {
        "title": EVIL, "url": "/admin/alarms/1", "preview_url": "/admin/alarms/1/preview", "back_url": "/admin",
        "token": "t", "about": LONG, "text": EVIL, "raised_at": AT, "reason": EVIL + "</textarea>", "error": EVIL,
        "max_reason": 500, "sentence": EVIL, "button": LONG, "ready": True,
    }  # fmt: skip
    page = {"title": EVIL, "nav": nav, "back_url": "/orders", "notice": EVIL, "sections": sections}
    return {"admin_hostile": ("admin.html", page), "lift_hostile": ("lift.html", lift)}


STATES: dict[str, State] = {
    **_lists(), **_orders(), **_forms(), **_outcomes(), **_found(), **_reviews(), **_admin(),
}  # fmt: skip
