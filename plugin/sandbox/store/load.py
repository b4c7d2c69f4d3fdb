"""Orders from webhook payloads: read, checked to add up, and given the payments their totals imply."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from . import ledger
from .amounts import NOTHING, ZERO, Bag, Currencies, rounded, total
from .orders import (
    Adjustment,
    Cancellation,
    Discount,
    Line,
    Order,
    Payment,
    Refund,
    Shipping,
    Tax,
    Units,
)
from .state import Store

CAPTURED = ("paid", "partially_refunded", "refunded")
OWN_STATUSES = (*CAPTURED, "partially_paid", "pending", "authorized", "voided")
DEMO_CUSTOMER = 9004


def load(payload: Mapping[str, Any], store: Store) -> tuple[Order, list[str]]:
    """The order of a webhook payload and what was made up for it. Raises ValueError if it does not add up."""
    given = payload.get("order", payload)
    if not isinstance(given, dict):
        raise ValueError("the payload has no order in it")
    given, said = _total_paid_back(given)
    order = _bare(given, store)
    _adds_up(given, order)
    order, sentences = _with_payments(given, order, store)
    order, more = _with_refunds(given, order, store)
    order = _cancelled(given, order, store)
    owner = store.people[DEMO_CUSTOMER]
    order = replace(order, customer=owner.id, email=owner.email)
    return order, [*said, *sentences, *more, f"It was given to the demo customer {owner.name} <{owner.email}>."]


def _total_paid_back(given: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """A payload without a total that was refunded in full shows its total in what was paid back.

    Its shipping, where none is listed, is what was paid back as shipping. Any other has nothing to add up to.
    """
    if given.get("total_price") is not None or _status(given) != "refunded":
        return given, []
    refunds = given.get("refunds") or ()
    back = [row for one in refunds for row in one.get("transactions") or () if row.get("kind") == "refund"]
    total_price = sum((amount(one.get("amount"), "amount") for one in back if one.get("status") == "success"), ZERO)
    parts = [row for one in refunds for row in one.get("order_adjustments") or () if _is_shipping(row)]
    shipping = -sum((amount(one.get("amount"), "amount") for one in parts), ZERO)
    listed = given.get("shipping_lines") or ([{"price": str(shipping)}] if shipping else [])
    said = f"The payload has no total_price; it was refunded in full, so the {total_price} paid back is its total"
    whole = {**given, "total_price": str(total_price), "shipping_lines": listed}
    return whole, [f"{said}, with shipping of {shipping} from its refunds."]


def _status(given: Mapping[str, Any]) -> str:
    return str(given.get("financial_status") or "pending").split("(")[0]


def _is_shipping(adjustment: Mapping[str, Any]) -> bool:
    return adjustment.get("kind") == "shipping_refund"


# ---------------------------------------------------------------- figures


def amount(value: Any, where: str) -> Decimal:
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or isinstance(value, bool):
        raise ValueError(f"{where} is {value!r}, which is not an amount")
    return found


def sides(given: Mapping[str, Any], name: str, money: Currencies) -> Bag:
    """`name`, from `name_set` when the payload has one; a single figure is the shop's."""
    both = given.get(f"{name}_set")
    if isinstance(both, dict):
        shop = both.get("shop_money") or {}
        shown = both.get("presentment_money") or shop
        return Bag(amount(shop.get("amount"), name), amount(shown.get("amount"), name))
    shop_side = amount(given.get(name) or "0", name)
    return Bag(shop_side, rounded(shop_side / money.rate, money.shown) if money.shop != money.shown else shop_side)


def currencies(given: Mapping[str, Any]) -> Currencies:
    shop = given.get("currency")
    if not isinstance(shop, str) or not shop:
        raise ValueError("the payload has no currency")
    shown = given.get("presentment_currency") or shop
    both = given.get("total_price_set") or {}
    if shop == shown:
        return Currencies(shop, shown)
    pair = [amount((both.get(side) or {}).get("amount"), side) for side in ("shop_money", "presentment_money")]
    if pair[1] <= ZERO:
        raise ValueError(f"the payload is in {shop} and {shown} but total_price_set gives no rate")
    return Currencies(shop, shown, pair[0] / pair[1])


def read_line(given: Mapping[str, Any], money: Currencies, whole_order: Sequence[int] = ()) -> Line:
    """One line item; discounts whose application is in `whole_order` were given on the order."""
    parts = given.get("discount_allocations") or ()
    return Line(
        id=int(given["id"]),
        title=str(given.get("title") or given.get("name") or "Item"),
        quantity=int(given["quantity"]),
        price=sides(given, "price", money),
        variant=given.get("variant_title") or None,
        sku=given.get("sku") or None,
        discounts=tuple(
            Discount(sides(one, "amount", money), one.get("discount_application_index") in whole_order) for one in parts
        ),
        taxes=_taxes(given, money),
        gift_card=bool(given.get("gift_card")),
        ships=given.get("requires_shipping") is not False,
        duty=_duty(given, money),
    )


def _taxes(given: Mapping[str, Any], money: Currencies) -> tuple[Tax, ...]:
    rows = given.get("tax_lines") or ()
    return tuple(
        Tax(str(one.get("title") or "Tax"), str(one.get("rate") or "0"), sides(one, "price", money)) for one in rows
    )


def _duty(given: Mapping[str, Any], money: Currencies) -> Bag | None:
    rows = given.get("duties") or ()
    sums = [sides(one, "price", money) for one in rows if one.get("price") is not None]
    return total(sums) if sums else None


# ---------------------------------------------------------------- the order


def _bare(given: Mapping[str, Any], store: Store) -> Order:
    if not isinstance(given.get("id"), int):
        raise ValueError("the payload has no id")
    if not given.get("line_items"):
        raise ValueError("the payload has no line_items")
    money = currencies(given)
    wide = [index for index, one in enumerate(given.get("discount_applications") or ()) if _across(one)]
    lines = tuple(_shipped(given, read_line(one, money, wide), one) for one in given["line_items"])
    number = given.get("order_number") or store.new_id() % 100_000
    return Order(
        id=int(given["id"]),
        number=int(number),
        name=str(given.get("name") or f"#{number}"),
        created=_moment(given.get("created_at"), store),
        updated=_moment(given.get("updated_at"), store),
        money=money,
        lines=lines,
        taxes_included=bool(given.get("taxes_included")),
        shipping=tuple(_shipping(one, money, store) for one in given.get("shipping_lines") or ()),
        tip=money.bag(amount(given.get("total_tip_received") or "0", "total_tip_received")),
        note=given.get("note") or None,
        codes=tuple(str(one.get("code")) for one in given.get("discount_codes") or ()),
        story="loaded from a webhook payload",
    )


def _across(one: Mapping[str, Any]) -> bool:
    return one.get("allocation_method") == "across"


def _moment(text: Any, store: Store) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC) if isinstance(text, str) else store.now()


def _shipped(given: Mapping[str, Any], line: Line, row: Mapping[str, Any]) -> Line:
    """How many units have left: all of a fulfilled line, else what neither waits nor was taken out."""
    if "fulfilled" in (row.get("fulfillment_status"), given.get("fulfillment_status")):
        return replace(line, fulfilled=line.quantity)
    waiting = row.get("fulfillable_quantity")
    if waiting is None:
        return line
    out = sum(_cancelled_units(one, line.id) for one in given.get("refunds") or ())
    return replace(line, fulfilled=max(0, line.quantity - int(waiting) - out))


def _cancelled_units(refund: Mapping[str, Any], line: int) -> int:
    rows = refund.get("refund_line_items") or ()
    return sum(int(one["quantity"]) for one in rows if one.get("line_item_id") == line and _restock(one) == "CANCEL")


def _restock(row: Mapping[str, Any]) -> str:
    return str(row.get("restock_type") or "no_restock").upper()


def _shipping(given: Mapping[str, Any], money: Currencies, store: Store) -> Shipping:
    full = sides(given, "price", money)
    price = sides(given, "discounted_price", money) if given.get("discounted_price") is not None else full
    taxes = _taxes(given, money)
    title = str(given.get("title") or "Shipping")
    return Shipping(int(given.get("id") or store.new_id()), title, price, full - price, taxes)


def _adds_up(given: Mapping[str, Any], order: Order) -> None:
    """Rule R3 on the shop's side."""
    if given.get("total_price") is None:
        raise ValueError("the payload has no total_price, so nothing shows that it adds up")
    want = amount(given["total_price"], "total_price")
    goods, shipping, tip = ledger.goods(order), ledger.shipping_price(order), order.tip
    tax = NOTHING if order.taxes_included else ledger.all_tax(order)
    have = ledger.price(order).shop
    if have != want:
        parts = f"lines {goods.shop} + shipping {shipping.shop} + tax {tax.shop} + tip {tip.shop}"
        raise ValueError(f"the order does not add up: {parts} = {have}, but total_price is {want}")


# ---------------------------------------------------------------- payments and refunds


def _with_payments(given: Mapping[str, Any], order: Order, store: Store) -> tuple[Order, list[str]]:
    status = _status(given)
    if status not in OWN_STATUSES:
        raise ValueError(f"financial_status is {status!r}; known are {', '.join(OWN_STATUSES)}")
    gateway = str((given.get("payment_gateway_names") or [given.get("gateway") or "manual"])[0])
    price = ledger.price(order)
    if status == "partially_paid":
        owed = amount(given.get("total_outstanding"), "total_outstanding")
        price = _part(order, price, owed)
    kind = "AUTHORIZATION" if status == "authorized" else "SALE"
    done = "SUCCESS" if status in (*CAPTURED, "partially_paid", "authorized") else "PENDING"
    manual = gateway == "manual" or "COD" in gateway or "deposit" in gateway.lower()
    made = Payment(store.new_id(), kind, done, gateway, price, order.created, manual=manual)
    said = f"The payload is {status}, so one {kind.lower()} of {price.shown} {order.money.shown}"
    return replace(order, payments=(made,)), [f"{said} by {gateway} was made up ({done})."]


def _part(order: Order, price: Bag, owed: Decimal) -> Bag:
    shop = price.shop - owed
    if order.money.shop == order.money.shown:
        return Bag(shop, shop)
    return Bag(shop, rounded(shop / order.money.rate, order.money.shown))


def _with_refunds(given: Mapping[str, Any], order: Order, store: Store) -> tuple[Order, list[str]]:
    for row in given.get("refunds") or ():
        refund = read_refund(row, order)
        rows = [_payment(one, order, refund, store) for one in row.get("transactions") or ()]
        order = replace(order, refunds=(*order.refunds, refund), payments=(*order.payments, *rows))
    back, came = ledger.refunded(order).shown, ledger.received(order).shown
    if back > came:
        raise ValueError(f"the payload pays back {back} of {came} {order.money.shown} it received")
    count = len(order.refunds)
    return order, [f"{count} refund(s) over {back} {order.money.shown} were taken from the payload."] if count else []


def read_refund(given: Mapping[str, Any], order: Order) -> Refund:
    money = order.money
    shipping = [one for one in given.get("order_adjustments") or () if _is_shipping(one)]
    other = [one for one in given.get("order_adjustments") or () if not _is_shipping(one)]
    created = given.get("created_at")
    return Refund(
        id=int(given["id"]),
        created=datetime.fromisoformat(created).astimezone(UTC) if created else order.created,
        note=given.get("note") or None,
        units=tuple(_units(one, order) for one in given.get("refund_line_items") or ()),
        shipping=-total(sides(one, "amount", money) for one in shipping),
        shipping_tax=-total(sides(one, "tax_amount", money) for one in shipping),
        adjustments=tuple(
            Adjustment(int(one.get("id") or 0), "REFUND_DISCREPANCY", sides(one, "amount", money)) for one in other
        ),
    )


def _units(given: Mapping[str, Any], order: Order) -> Units:
    restock, count = _restock(given), int(given["quantity"])
    line = order.line(int(given["line_item_id"]))
    if line is None:
        raise ValueError(f"a refund names line {given['line_item_id']}, which the order does not have")
    worth, tax = sides(given, "subtotal", order.money), sides(given, "total_tax", order.money)
    out = count if restock == "CANCEL" else 0
    return Units(
        int(given.get("id") or 0),
        line.id,
        count,
        restock,
        worth,
        tax,
        worth,
        tax,
        given.get("location_id"),
        out,
    )


def _payment(given: Mapping[str, Any], order: Order, refund: Refund, store: Store) -> Payment:
    kind = str(given.get("kind") or "refund").upper()
    value = order.money.bag(amount(given.get("amount"), "amount"))
    return Payment(
        id=int(given.get("id") or store.new_id()),
        kind=kind,
        status=str(given.get("status") or "success").upper(),
        gateway=str(given.get("gateway") or order.payments[0].gateway),
        amount=value,
        created=refund.created,
        parent=order.payments[0].id,
        refund=refund.id if kind == "REFUND" else None,
    )


def _cancelled(given: Mapping[str, Any], order: Order, store: Store) -> Order:
    if not given.get("cancelled_at"):
        return order
    at = _moment(given["cancelled_at"], store)
    reason = str(given.get("cancel_reason") or "other").upper()
    done = Cancellation(f"loaded-{order.id}", store.new_id(), at, reason, True, False, None, "SUCCEEDED")
    return replace(order, cancellation=done, cancelled=at)
