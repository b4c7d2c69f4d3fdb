"""The Order, Refund and SuggestedRefund types of the GraphQL answer."""

from dataclasses import replace
from typing import Any

from . import ledger
from .amounts import NOTHING, Bag, total
from .orders import Cancellation, Order, Refund, Units
from .refunds import Refused, money
from .state import Store, gid, number_of
from .suggestions import Ask, Suggestion, Wish, suggest
from .views import (
    View,
    address,
    bag,
    connection,
    current_taxes,
    first,
    line,
    lookup,
    moment,
    payment,
    place,
    shipping,
    tax_line,
    taxes_of,
)


def order(store: Store, one: Order) -> View:
    """Every field of an order the subset knows; what takes time is made when it is asked for."""
    return {
        **_head(store, one),
        **_flags(one),
        **_money(one),
        "lineItems": lambda **given: connection([line(one, row) for row in one.lines])(**given),
        "shippingLines": connection([shipping(one, row) for row in one.shipping]),
        "transactions": lambda **given: _transactions(one, **given),
        "transactionsCount": {"count": len(one.payments)},
        "refunds": lambda **given: first(refund(store, one, row) for row in one.refunds)(**given),
        "returns": connection(_returns(one)),
        "fulfillments": first(_fulfillments(one)),
        "fulfillmentOrders": lambda **given: connection(_fulfillment_orders(store, one))(**given),
        "suggestedRefund": lambda **given: _suggested(store, one, given),
    }


def _head(store: Store, one: Order) -> View:
    done = one.cancellation is not None and one.cancelled is not None
    return {
        "__typename": "Order",
        "id": gid("Order", one.id),
        "legacyResourceId": str(one.id),
        "name": one.name or f"#{one.number}",
        "number": one.number,
        "createdAt": moment(one.created),
        "processedAt": moment(one.created),
        "updatedAt": moment(one.updated),
        "cancelledAt": moment(one.cancelled),
        "cancelReason": one.cancellation.reason if done and one.cancellation else None,
        "cancellation": {"staffNote": one.cancellation.staff_note} if done and one.cancellation else None,
        "closed": one.cancelled is not None,
        "closedAt": moment(one.cancelled),
        "confirmationNumber": f"SBX{one.number}",
        "sourceName": "web",
        "statusPageUrl": f"https://{store.shop.domain}/orders/{one.id}",
        "currencyCode": one.money.shop,
        "presentmentCurrencyCode": one.money.shown,
        "note": one.note,
        "tags": list(one.tags),
        "email": one.email,
        "phone": one.phone,
        "poNumber": None,
        "customAttributes": [{"key": key, "value": value} for key, value in one.notes],
        "discountCode": one.codes[0] if one.codes else None,
        "discountCodes": list(one.codes),
        "paymentGatewayNames": list(dict.fromkeys(row.gateway for row in one.payments)),
        "customer": lambda **_: lookup(store, one),
        "shippingAddress": address(one.address, one.id),
        "billingAddress": address(one.address, one.id),
    }


def _flags(one: Order) -> View:
    live = one.cancelled is None
    return {
        "test": one.test,
        "confirmed": True,
        "taxesIncluded": one.taxes_included,
        "dutiesIncluded": False,
        "taxExempt": False,
        "displayFinancialStatus": ledger.financial_status(one),
        "displayFulfillmentStatus": ledger.fulfillment_status(one),
        "returnStatus": ledger.return_status(one),
        "refundable": any(left.shown > 0 for _, left in ledger.sources(one)),
        "restockable": any(ledger.refundable(one, row) > 0 for row in one.lines),
        "capturable": ledger.held(one).shown > 0,
        "unpaid": ledger.received(one).shown <= 0,
        "fullyPaid": ledger.received(one).shown >= ledger.price(one).shown,
        "edited": False,
        "merchantEditable": live,
        "merchantEditableErrors": [] if live else ["The order cannot be edited."],
        "canNotifyCustomer": one.email is not None,
        "canMarkAsPaid": live and ledger.outstanding(one).shown > 0,
        "fulfillable": live and any(ledger.unfulfilled(one, row) for row in one.lines),
        "requiresShipping": any(row.ships for row in one.lines),
        "subtotalLineItemsQuantity": sum(row.quantity for row in one.lines),
        "currentSubtotalLineItemsQuantity": sum(ledger.refundable(one, row) for row in one.lines),
    }


def _money(one: Order) -> View:
    discounts = total(row.discount for row in one.lines) + total(row.discount for row in one.shipping)
    gone = total(row.worth for refund in one.refunds for row in refund.units)
    tax = total(row.amount for row in current_taxes(one))
    cart = total(row.cart_discount for row in one.lines)
    live = one.cancelled is None
    sums = {
        "subtotalPriceSet": ledger.goods(one),
        "currentSubtotalPriceSet": ledger.goods(one) - gone if live else NOTHING,
        "cartDiscountAmountSet": cart,
        "currentCartDiscountAmountSet": cart if live else NOTHING,
        "totalDiscountsSet": discounts,
        "currentTotalDiscountsSet": discounts if live else NOTHING,
        "totalTaxSet": ledger.all_tax(one),
        "currentTotalTaxSet": tax,
        "totalShippingPriceSet": ledger.shipping_price(one),
        "currentShippingPriceSet": ledger.shipping_left(one) if live else NOTHING,
        "totalRefundedShippingSet": ledger.shipping_price(one) - ledger.shipping_left(one),
        "totalTipReceivedSet": one.tip,
        "originalTotalPriceSet": ledger.price(one),
        "totalPriceSet": ledger.price(one),
        "currentTotalPriceSet": ledger.current_price(one),
        "netPaymentSet": ledger.net(one),
        "totalReceivedSet": ledger.received(one),
        "totalRefundedSet": ledger.refunded(one),
        "totalOutstandingSet": ledger.outstanding(one),
        "totalCapturableSet": ledger.held(one),
        "refundDiscrepancySet": ledger.discrepancy(one),
    }
    duties = ledger.duties(one)
    return {
        **{name: bag(one.money, amount) for name, amount in sums.items()},
        "originalTotalDutiesSet": bag(one.money, duties) if duties.shown else None,
        "currentTotalDutiesSet": bag(one.money, duties) if duties.shown else None,
        "taxLines": [tax_line(one.money, row) for row in taxes_of(one)],
        "currentTaxLines": [tax_line(one.money, row) for row in current_taxes(one)],
    }


def _transactions(one: Order, first: int | None = None, **_: Any) -> list[View]:
    rows = [payment(one, row) for row in one.payments]
    return rows if first is None else rows[:first]


def _returns(one: Order) -> list[View]:
    return [
        {"id": gid("Return", id), "name": f"{one.name or f'#{one.number}'}-R{index}", "status": status}
        for index, (id, status) in enumerate(one.returns, start=1)
    ]


def _fulfillments(one: Order) -> list[View]:
    shipped = sum(row.fulfilled for row in one.lines)
    if not shipped:
        return []
    return [
        {
            "id": gid("Fulfillment", one.id),
            "name": f"{one.name or f'#{one.number}'}.1",
            "status": "SUCCESS",
            "displayStatus": "IN_TRANSIT",
            "createdAt": moment(one.created),
            "totalQuantity": shipped,
            "trackingInfo": first([{"company": "Sandbox Post", "number": f"SP{one.number}", "url": None}]),
        }
    ]


_WORK = {
    "ON_HOLD": ("ON_HOLD", "UNSUBMITTED"),
    "SCHEDULED": ("SCHEDULED", "UNSUBMITTED"),
    "IN_PROGRESS": ("IN_PROGRESS", "ACCEPTED"),
    "PENDING_FULFILLMENT": ("OPEN", "SUBMITTED"),
    "REQUEST_DECLINED": ("OPEN", "REJECTED"),
}


def _fulfillment_orders(store: Store, one: Order) -> list[View]:
    status, request = _WORK.get(ledger.fulfillment_status(one), ("OPEN", "UNSUBMITTED"))
    waiting = [(row, ledger.unfulfilled(one, row)) for row in one.lines]
    if not any(left for _, left in waiting):
        status, request = "CLOSED", "CLOSED"
    home = place(store.places.get(store.place_for(one) or 0))
    rows: list[View] = [
        {
            "id": gid("FulfillmentOrderLineItem", row.id),
            "totalQuantity": row.quantity,
            "remainingQuantity": left,
            "lineItem": line(one, row),
        }
        for row, left in waiting
        if row.ships
    ]
    return [
        {
            "id": gid("FulfillmentOrder", one.id),
            "status": status,
            "requestStatus": request,
            "assignedLocation": {"name": home["name"] if home else "Closed warehouse", "location": home},
            "supportedActions": [],
            "lineItems": connection(rows),
        }
    ]


# ---------------------------------------------------------------- refunds


def refund(store: Store, order: Order, one: Refund) -> View:
    rows = ledger.of_refund(order, one)
    pending = total(row.amount for row in rows if row.status == "PENDING")
    adjustments = [(row.id, row.reason, row.amount) for row in one.adjustments]
    if pending.shown:
        adjustments.append((one.id, "PENDING_REFUND_DISCREPANCY", pending))
    return {
        "__typename": "Refund",
        "id": gid("Refund", one.id),
        "legacyResourceId": str(one.id),
        "createdAt": moment(one.created),
        "updatedAt": moment(one.created),
        "processedAt": moment(one.created),
        "note": one.note,
        "totalRefundedSet": bag(order.money, ledger.paid_back_by(order, one)),
        "refundLineItems": connection([_units(store, order, row) for row in one.units]),
        "refundShippingLines": connection(_refunded_shipping(order, one)),
        "orderAdjustments": connection([_adjustment(order, *row) for row in adjustments]),
        "transactions": connection([payment(order, row) for row in rows]),
    }


def _adjustment(order: Order, id: int, reason: str, amount: Bag) -> View:
    return {
        "id": gid("OrderAdjustment", id),
        "reason": reason,
        "amountSet": bag(order.money, amount),
        "taxAmountSet": bag(order.money, NOTHING),
    }


def _refunded_shipping(order: Order, one: Refund) -> list[View]:
    if not one.shipping.shown:
        return []
    return [
        {
            "id": gid("RefundShippingLine", one.id),
            "subtotalAmountSet": bag(order.money, one.shipping),
            "taxAmountSet": bag(order.money, one.shipping_tax),
        }
    ]


def _units(store: Store, order: Order, one: Units) -> View:
    bought = order.line(one.line)
    assert bought is not None
    return {
        "id": gid("RefundLineItem", one.id) if one.id else None,
        "quantity": one.quantity,
        "restockType": one.restock,
        "restocked": one.restock != "NO_RESTOCK",
        "location": place(store.places.get(one.place or 0)),
        "lineItem": line(order, bought),
        "priceSet": bag(order.money, bought.price),
        "subtotalSet": bag(order.money, one.subtotal),
        "totalTaxSet": bag(order.money, one.tax),
    }


# ---------------------------------------------------------------- suggestions


def _suggested(store: Store, one: Order, given: dict[str, Any]) -> View | None:
    wish = Wish(
        asks=tuple(_ask(one, row) for row in given.get("refundLineItems") or ()),
        shipping=_amount(one, given.get("shippingAmount")),
        all_shipping=bool(given.get("refundShipping")),
        everything=bool(given.get("suggestFullRefund")),
        store_credit=given.get("refundMethodAllocation") == "STORE_CREDIT",
    )
    return _suggestion(store, one, suggest(one, wish, store.place_for(one)))


def _amount(one: Order, text: str | None) -> Any:
    try:
        return None if text is None else money(one, text, ("shippingAmount",))
    except Refused as wrong:
        raise ValueError("Invalid amount for shippingAmount") from wrong


def _ask(one: Order, row: dict[str, Any]) -> Ask:
    found = one.line(number_of("LineItem", row["lineItemId"]) or 0)
    if found is None:
        # unproven: how a suggestion answers an unknown line
        raise ValueError(f"Invalid id: {row['lineItemId']}")
    # unproven: that more units than are left are suggested as what is left
    units = max(0, min(int(row["quantity"]), ledger.refundable(one, found)))
    there = number_of("Location", row.get("locationId") or "")
    return Ask(found, units, row.get("restockType"), there)


def _suggestion(store: Store, one: Order, made: Suggestion) -> View:
    sums = {
        "amountSet": made.amount,
        "maximumRefundableSet": made.most,
        "subtotalSet": made.subtotal,
        "discountedSubtotalSet": made.discounted,
        "totalCartDiscountAmountSet": made.cart_discount,
        "totalTaxSet": made.tax,
        "totalDutiesSet": made.duties,
    }
    return {
        **{name: bag(one.money, amount) for name, amount in sums.items()},
        "shipping": {
            "amountSet": bag(one.money, made.shipping),
            "taxSet": bag(one.money, made.shipping_tax),
            "maximumRefundableSet": bag(one.money, made.shipping_most),
        },
        "refundLineItems": [
            _units(store, one, replace(row, subtotal=row.worth, tax=row.worth_tax)) for row in made.units
        ],
        "refundDuties": [],
        "suggestedTransactions": [
            {
                **payment(one, row.parent),
                "kind": "SUGGESTED_REFUND",
                "amountSet": bag(one.money, row.amount),
                "maximumRefundableSet": bag(one.money, row.most),
                "parentTransaction": payment(one, row.parent),
            }
            for row in made.rows
        ],
        "suggestedRefundMethods": [] if made.store_credit is None else [_credit(one, made)],
    }


def _credit(one: Order, made: Suggestion) -> View:
    return {
        "__typename": "SuggestedStoreCreditRefund",
        "amount": bag(one.money, made.store_credit or NOTHING),
        "maximumRefundable": bag(one.money, made.most),
        "expiresAt": None,
    }


def job_result(store: Store, order_: Order, one: Cancellation) -> View:
    errors = [] if one.error is None else [{"field": None, "message": one.error, "code": "INVALID"}]
    return {
        "__typename": "OrderCancelJobResult",
        "id": gid("OrderCancelJobResult", one.result),
        "done": one.status != "STARTED",
        "status": one.status,
        "errors": errors,
        "order": lambda **_: order(store, order_),
    }


def job(one: Cancellation) -> View:
    return {"id": gid("Job", one.job), "done": one.status != "STARTED"}
