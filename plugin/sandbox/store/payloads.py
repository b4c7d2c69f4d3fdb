"""Orders and refunds in the REST form that webhooks carry."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from . import ledger
from .amounts import Bag, Currencies, rounded, total
from .orders import Line, Order, Payment, Person, Refund, Shipping, Tax
from .state import gid

Payload = Mapping[str, Any]
_FULFILMENT = {"FULFILLED": "fulfilled", "PARTIALLY_FULFILLED": "partial", "RESTOCKED": "restocked"}


def moment(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _plain(money: Currencies, amount: Bag) -> str:
    return str(rounded(amount.shop, money.shop))


def _sides(money: Currencies, amount: Bag) -> Payload:
    return {
        "shop_money": {"amount": str(rounded(amount.shop, money.shop)), "currency_code": money.shop},
        "presentment_money": {
            "amount": str(rounded(amount.shown, money.shown)),
            "currency_code": money.shown,
        },
    }


# unproven: which fields a payload of 2026-10 leaves out; this one has what the plugin reads and more
def order(one: Order, customer: Person | None) -> Payload:
    return {**_head(one, customer), **_totals(one), **_parts(one)}


def _head(one: Order, customer: Person | None) -> Payload:
    done = one.cancelled is not None and one.cancellation is not None
    return {
        "id": one.id,
        "admin_graphql_api_id": gid("Order", one.id),
        "name": one.name or f"#{one.number}",
        "order_number": one.number,
        "email": one.email,
        "phone": one.phone,
        "created_at": moment(one.created),
        "processed_at": moment(one.created),
        "updated_at": moment(one.updated),
        "cancelled_at": moment(one.cancelled),
        "cancel_reason": one.cancellation.reason.lower() if done and one.cancellation else None,
        "closed_at": moment(one.cancelled),
        "currency": one.money.shop,
        "presentment_currency": one.money.shown,
        "taxes_included": one.taxes_included,
        "financial_status": (ledger.financial_status(one) or "pending").lower(),
        "fulfillment_status": _FULFILMENT.get(ledger.fulfillment_status(one)),
        "note": one.note,
        "tags": ", ".join(one.tags),
        "test": one.test,
        "payment_gateway_names": list(dict.fromkeys(row.gateway for row in one.payments)),
        "customer": None if customer is None else _customer(customer),
    }


def _customer(one: Person) -> Payload:
    reached = {"email": one.email or None, "phone": one.phone}
    return {"id": one.id, **reached, "first_name": one.first_name, "last_name": one.last_name}


def _totals(one: Order) -> Payload:
    sums = {
        "total_price": ledger.price(one),
        "subtotal_price": ledger.goods(one),
        "total_tax": ledger.all_tax(one),
        "total_discounts": total(row.discount for row in one.lines),
        "current_total_price": ledger.current_price(one),
    }
    return {
        **{name: _plain(one.money, amount) for name, amount in sums.items()},
        **{f"{name}_set": _sides(one.money, amount) for name, amount in sums.items()},
        "total_shipping_price_set": _sides(one.money, ledger.shipping_price(one)),
        "total_outstanding": _plain(one.money, ledger.outstanding(one)),
        "total_tip_received": _plain(one.money, one.tip),
    }


def _parts(one: Order) -> Payload:
    return {
        "line_items": [_line(one, row) for row in one.lines],
        "shipping_lines": [_shipping(one, row) for row in one.shipping],
        "refunds": [refund(one, row) for row in one.refunds],
        "discount_codes": [{"code": code} for code in one.codes],
    }


def _tax(money: Currencies, one: Tax) -> Payload:
    return {
        "title": one.title,
        "rate": float(one.rate),
        "price": _plain(money, one.amount),
        "price_set": _sides(money, one.amount),
    }


def _line(order_: Order, one: Line) -> Payload:
    money = order_.money
    waiting = ledger.unfulfilled(order_, one)
    return {
        "id": one.id,
        "admin_graphql_api_id": gid("LineItem", one.id),
        "title": one.title,
        "variant_title": one.variant,
        "sku": one.sku,
        "quantity": one.quantity,
        "current_quantity": ledger.refundable(order_, one),
        "fulfillable_quantity": waiting,
        "fulfillment_status": "fulfilled" if not waiting and one.fulfilled else None,
        "price": _plain(money, one.price),
        "price_set": _sides(money, one.price),
        "discount_allocations": [
            {"amount": _plain(money, part.amount), "amount_set": _sides(money, part.amount)} for part in one.discounts
        ],
        "tax_lines": [_tax(money, tax) for tax in one.taxes],
        "gift_card": one.gift_card,
        "requires_shipping": one.ships,
    }


def _shipping(order_: Order, one: Shipping) -> Payload:
    money = order_.money
    return {
        "id": one.id,
        "title": one.title,
        "price": _plain(money, one.price + one.discount),
        "price_set": _sides(money, one.price + one.discount),
        "discounted_price": _plain(money, one.price),
        "discounted_price_set": _sides(money, one.price),
        "tax_lines": [_tax(money, tax) for tax in one.taxes],
    }


def refund(order_: Order, one: Refund) -> Payload:
    money = order_.money
    return {
        "id": one.id,
        "admin_graphql_api_id": gid("Refund", one.id),
        "order_id": order_.id,
        "created_at": moment(one.created),
        "note": one.note,
        "refund_line_items": [
            {
                "id": row.id,
                "line_item_id": row.line,
                "quantity": row.quantity,
                "restock_type": row.restock.lower(),
                "location_id": row.place,
                "subtotal": _plain(money, row.subtotal),
                "subtotal_set": _sides(money, row.subtotal),
                "total_tax": _plain(money, row.tax),
                "total_tax_set": _sides(money, row.tax),
            }
            for row in one.units
        ],
        "order_adjustments": _adjustments(order_, one),
        "transactions": [_payment(order_, row) for row in ledger.of_refund(order_, one)],
    }


def _adjustments(order_: Order, one: Refund) -> list[Payload]:
    rows = [("refund_discrepancy", row.amount, row.tax) for row in one.adjustments]
    if one.shipping.shown:
        rows.insert(0, ("shipping_refund", -one.shipping, -one.shipping_tax))
    return [
        {
            "kind": kind,
            "amount": _plain(order_.money, amount),
            "tax_amount": _plain(order_.money, tax),
            "amount_set": _sides(order_.money, amount),
            "tax_amount_set": _sides(order_.money, tax),
        }
        for kind, amount, tax in rows
    ]


def _payment(order_: Order, one: Payment) -> Payload:
    return {
        "id": one.id,
        "admin_graphql_api_id": gid("OrderTransaction", one.id),
        "order_id": order_.id,
        "kind": one.kind.lower(),
        "status": one.status.lower(),
        "gateway": one.gateway,
        "parent_id": one.parent,
        "amount": str(rounded(one.amount.shown, order_.money.shown)),
        "currency": order_.money.shown,
        "created_at": moment(one.created),
        "test": order_.test,
    }
