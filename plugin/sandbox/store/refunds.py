"""refundCreate: what it accepts, what it refuses and in which words, and what it writes down."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from . import ledger
from .amounts import NOTHING, ZERO, Bag, digits, spoken, total
from .orders import Adjustment, Order, Payment, Refund, Units
from .state import KeyUse, Store, number_of
from .suggestions import Ask, part_of, rows_of, shipping_of, shipping_tax

KEY_LIFE = timedelta(hours=24)
IN_PROGRESS = "This request is currently in progress, please try again."
OTHER_PARAMETERS = "The same idempotency key cannot be used with different operation parameters."
# unproven: the first half of the words for a key whose earlier attempt failed
PREVIOUS_FAILED = "The previous attempt with this key failed. Retry with a new idempotency key."


class Refused(Exception):
    """A user error: the field's path, None when Shopify names none, and its words."""

    def __init__(self, field: tuple[str, ...] | None, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@dataclass(frozen=True)
class Answer:
    order: Order | None
    refund: Refund | None = None
    refused: Refused | None = None


@dataclass(frozen=True)
class Transfer:
    """Money of one row of `transactions`; no parent for store credit."""

    parent: Payment | None
    amount: Bag
    gateway: str


def create(store: Store, given: Mapping[str, Any], key: str) -> Answer:
    """Carry out a refund once per key. Call while holding the lock."""
    order_id = number_of("Order", given["orderId"])
    parameters = json.dumps(given, sort_keys=True, default=str)
    used = store.keys.get(key)
    if used is not None and store.now() - used.at < KEY_LIFE:
        return _again(store, used, parameters)
    store.keys[key] = KeyUse(parameters, store.now())
    try:
        store.pause(store.settings.work_delay)
        order, refund = _create(store, given, order_id)
    except Refused as refused:
        # unproven: that a refused refund does not use up its key
        del store.keys[key]
        return Answer(store.orders.get(order_id or 0), refused=refused)
    store.keys[key] = KeyUse(parameters, store.now(), order.id, refund.id)
    return Answer(order, refund)


def _again(store: Store, used: KeyUse, parameters: str) -> Answer:
    if used.parameters != parameters:
        return Answer(None, refused=Refused(None, OTHER_PARAMETERS))
    if used.refund is None:
        return Answer(None, refused=Refused(None, IN_PROGRESS))
    order = store.orders[used.order or 0]
    return Answer(order, next(one for one in order.refunds if one.id == used.refund))


def _create(store: Store, given: Mapping[str, Any], order_id: int | None) -> tuple[Order, Refund]:
    order = store.orders.get(order_id or 0)
    if order is None:
        raise Refused(("orderId",), "Order does not exist")
    _check_currency(order, given)
    units = _units(store, order, given.get("refundLineItems") or ())
    shipping = _shipping(order, given.get("shipping") or {})
    transfers = _transfers(order, given)
    _check_total(order, transfers)
    return write(store, order, units, shipping, transfers, given.get("note"))


# ---------------------------------------------------------------- reading the input


def _check_currency(order: Order, given: Mapping[str, Any]) -> None:
    # unproven: the words for a missing or wrong currency
    currency = given.get("currency")
    if currency is None and order.money.shop != order.money.shown:
        raise Refused(("currency",), "Currency must be given for an order in another currency")
    if currency is not None and currency != order.money.shown:
        raise Refused(("currency",), f"Currency must be {order.money.shown}")
    if given.get("refundDuties"):
        raise Refused(("refundDuties",), "This sandbox does not refund duties")


def _units(store: Store, order: Order, rows: Any) -> tuple[Units, ...]:
    """Price the rows one after the other, so that two rows of one line do not share a cent."""
    made: list[Units] = []
    for index, row in enumerate(rows):
        seen = replace(order, refunds=(*order.refunds, Refund(0, order.created, None, tuple(made))))
        ask = _ask(store, seen, row, str(index))
        made += [replace(one, id=store.new_id()) for one in rows_of(seen, ask, None)]
    return tuple(made)


def _ask(store: Store, order: Order, row: Mapping[str, Any], index: str) -> Ask:
    line = order.line(number_of("LineItem", row["lineItemId"]) or 0)
    where = ("refundLineItems", index)
    if line is None:
        # unproven: the words for a refund of an unknown line
        raise Refused((*where, "lineItemId"), "Line item does not exist")
    if row["quantity"] < 1:
        # unproven: the words for a quantity below one
        raise Refused((*where, "quantity"), "Quantity must be greater than 0")
    if row["quantity"] > ledger.refundable(order, line):
        raise Refused((*where, "quantity"), "Quantity cannot refund more items than were purchased")
    # unproven: that a row without a restock type restocks nothing
    restock = row.get("restockType") or "NO_RESTOCK"
    if restock == "LEGACY_RESTOCK":
        # unproven: the words for LEGACY_RESTOCK
        raise Refused((*where, "restockType"), "Restock type is not accepted")
    if restock == "CANCEL" and row["quantity"] > ledger.unfulfilled(order, line):
        # unproven: that more units than wait cannot be restocked as CANCEL, and the words
        raise Refused((*where, "restockType"), "Cannot cancel items that have been fulfilled")
    return Ask(line, row["quantity"], restock, _place(store, order, row, restock, where))


def _place(store: Store, order: Order, row: Mapping[str, Any], restock: str, where: tuple[str, str]) -> int | None:
    given = row.get("locationId")
    if restock == "NO_RESTOCK":
        return None
    if given is None:
        place = store.place_for(order)
        if place is None:
            # unproven: that a restock works without a location where one is known, and the words
            raise Refused((*where, "locationId"), "Location is required to restock")
        return place
    found = number_of("Location", given)
    if found not in store.places:
        # unproven: the words for an unknown location
        raise Refused((*where, "locationId"), "Location does not exist")
    return found


def _shipping(order: Order, given: Mapping[str, Any]) -> Bag:
    left = ledger.shipping_left(order)
    if given.get("fullRefund"):
        return left
    if given.get("amount") is None:
        return NOTHING
    amount = money(order, given["amount"], ("shipping", "amount"))
    if amount > left.shown:
        # unproven: the words for more shipping than is left
        raise Refused(("shipping", "amount"), "Shipping amount is greater than the shipping that is left")
    return shipping_of(order, amount)


def money(order: Order, text: str, where: tuple[str, ...]) -> Decimal:
    try:
        amount = Decimal(str(text))
    except InvalidOperation:
        amount = Decimal("NaN")
    places = -int(amount.normalize().as_tuple().exponent) if amount.is_finite() else 0
    if not amount.is_finite() or amount < 0 or places > digits(order.money.shown):
        # unproven: the words for an amount that is no amount
        raise Refused(where, "Amount is invalid")
    return amount


def _transfers(order: Order, given: Mapping[str, Any]) -> tuple[Transfer, ...]:
    rows = given.get("transactions") or ()
    own = [_transfer(order, row, str(index)) for index, row in enumerate(rows)]
    return (*own, *(_store_credit(order, one) for one in given.get("refundMethods") or ()))


def _transfer(order: Order, row: Mapping[str, Any], index: str) -> Transfer:
    if row["kind"] != "REFUND":
        raise Refused(None, f"Kind {row['kind'].lower()} is not a valid transaction")
    parent = order.payment(number_of("OrderTransaction", row.get("parentId") or "") or 0)
    if parent is None or parent.kind not in ledger.IN or parent.status != "SUCCESS":
        raise Refused(("transactions",), "Transactions require a parent_id associated with the order")
    amount = money(order, row["amount"], ("transactions", index, "amount"))
    return Transfer(parent, part_of(order, ledger.left_on(order, parent), amount), parent.gateway)


def _store_credit(order: Order, row: Mapping[str, Any]) -> Transfer:
    if order.customer is None:
        # unproven: the words for store credit without a customer
        raise Refused(("refundMethods",), "Store credit needs a customer")
    amount = money(order, row["storeCreditRefund"]["amount"]["amount"], ("refundMethods",))
    return Transfer(None, order.money.bag(amount), "shopify_store_credit")


def _check_total(order: Order, transfers: tuple[Transfer, ...]) -> None:
    """Never more than the net payment, whatever allowOverRefunding says, nor than each payment."""
    asked, net = total(one.amount for one in transfers).shown, ledger.net(order).shown
    if asked > net:
        sides = spoken(asked, order.money.shown), spoken(net, order.money.shown)
        raise Refused(None, f"Refund amount {sides[0]} is greater than net payment received {sides[1]}")
    for parent in {one.parent for one in transfers if one.parent is not None}:
        part = total(one.amount for one in transfers if one.parent == parent).shown
        left = ledger.left_on(order, parent).shown
        if part > left:
            # unproven: the words for more than is left on one of several payments
            said = f"Refund amount {spoken(part, order.money.shown)} is greater than the payment's rest"
            raise Refused(("transactions",), f"{said} {spoken(left, order.money.shown)}")


# ---------------------------------------------------------------- writing it down


def write(
    store: Store,
    order: Order,
    units: tuple[Units, ...],
    shipping: Bag,
    transfers: tuple[Transfer, ...],
    note: str | None,
) -> tuple[Order, Refund]:
    """Put a refund and its transactions into the order and tell whoever listens."""
    refund = Refund(
        id=store.new_id(),
        created=store.now(),
        note=note or None,
        units=units,
        shipping=shipping,
        shipping_tax=shipping_tax(order, shipping),
    )
    refund = replace(refund, adjustments=_adjustments(store, order, refund, transfers))
    paid = tuple(_payment(store, order, refund, one) for one in transfers)
    changed = replace(order, refunds=(*order.refunds, refund), payments=(*order.payments, *paid))
    stored = store.put(changed)
    store.emit("refunds/create", stored, refund)
    return stored, refund


def _adjustments(store: Store, order: Order, refund: Refund, transfers: tuple[Transfer, ...]) -> tuple[Adjustment, ...]:
    """Rule R2: what lines and shipping do not explain is a discrepancy, negative when more went back."""
    if not transfers:
        return ()
    moved = total(one.amount for one in transfers)
    lines = total(one.subtotal for one in refund.units) + refund.shipping
    if not order.taxes_included:
        lines = lines + total(one.tax for one in refund.units) + refund.shipping_tax
    rest = lines - moved
    return (Adjustment(store.new_id(), "REFUND_DISCREPANCY", rest),) if rest.shown != ZERO else ()


def _payment(store: Store, order: Order, refund: Refund, transfer: Transfer) -> Payment:
    slow = order.behaviour.refund_status == "PENDING"
    return Payment(
        id=store.new_id(),
        kind="REFUND",
        status=order.behaviour.refund_status,
        gateway=transfer.gateway,
        amount=transfer.amount,
        created=store.now(),
        parent=transfer.parent.id if transfer.parent else None,
        account=transfer.parent.account if transfer.parent else None,
        manual=transfer.parent.manual if transfer.parent else False,
        refund=refund.id,
        settles=store.later(store.settings.settle_delay) if slow else None,
        then=order.behaviour.refund_then,
    )


def by_hand(store: Store, order: Order, amount: Decimal, note: str | None) -> tuple[Order, Refund]:
    """A person in the Shopify admin pays an amount back; fills the payments in listed order."""
    rows: list[Transfer] = []
    rest = amount
    for parent, left in ledger.sources(order):
        part = min(rest, left.shown)
        rest -= part
        if part > ZERO:
            rows.append(Transfer(parent, part_of(order, left, part), parent.gateway))
    if rest > ZERO or not rows:
        asked, net = spoken(amount, order.money.shown), spoken(ledger.net(order).shown, order.money.shown)
        raise Refused(None, f"Refund amount {asked} is greater than net payment received {net}")
    return write(store, order, (), NOTHING, tuple(rows), note)
