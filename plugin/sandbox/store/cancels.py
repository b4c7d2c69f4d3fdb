"""orderCancel and its job, and everything else that happens by itself after a while."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from . import ledger
from .amounts import NOTHING, ZERO, Bag
from .orders import Cancellation, Order, Payment, Units
from .refunds import Transfer, write
from .state import Store, number_of
from .suggestions import all_asks, rows_of

NOTE_LENGTH = 255
RECORDED_NOTE = "Order canceled"


@dataclass(frozen=True)
class CancelError:
    """A refusal: path, words and code."""

    field: tuple[str, ...] | None
    message: str
    code: str = "INVALID"


@dataclass(frozen=True)
class Accepted:
    order: Order | None
    cancellation: Cancellation | None = None
    errors: tuple[CancelError, ...] = ()


def cancel(store: Store, given: Mapping[str, Any]) -> Accepted:
    """Accept or refuse a cancel; the work itself is a job. Call while holding the lock."""
    order = store.orders.get(number_of("Order", given["orderId"]) or 0)
    if order is None:
        # unproven: the words of a cancel of an unknown order
        return Accepted(None, errors=(CancelError(("orderId",), "Order does not exist", "NOT_FOUND"),))
    error = _refusal(order, given)
    if error is not None:
        return Accepted(order, errors=(error,))
    accepted = Cancellation(
        job=str(uuid4()),
        result=store.new_id(),
        due=store.later(store.settings.cancel_delay),
        reason=given["reason"],
        restock=given["restock"],
        refund=_wants_refund(given),
        staff_note=given.get("staffNote"),
    )
    changed = store.orders[order.id] = replace(order, cancellation=accepted)
    return Accepted(changed, accepted)


def _wants_refund(given: Mapping[str, Any]) -> bool:
    method = given.get("refundMethod") or {}
    return bool(given.get("refund") or method.get("originalPaymentMethodsRefund"))


def _refusal(order: Order, given: Mapping[str, Any]) -> CancelError | None:
    if len(given.get("staffNote") or "") > NOTE_LENGTH:
        said = f"Staff note is too long. Maximum length is {NOTE_LENGTH} characters."
        return CancelError(("staffNote",), said)
    method = given.get("refundMethod")
    if method is not None and given.get("refund") is not None:
        said = "Only one of the arguments `refund` or `refund_method` is allowed."
        return CancelError(("refund",), said)
    if method is not None and "storeCreditRefund" in method:
        # unproven: the words when store credit is not available for a cancel
        return CancelError(("refundMethod",), "Store credit is not available", "INVALID")
    return _state_refusal(order)


def _state_refusal(order: Order) -> CancelError | None:
    where = ("orderId",)
    if order.cancelled is not None:
        return CancelError(where, "Cannot cancel an order that has already been canceled")
    if order.cancellation is not None and order.cancellation.status == "STARTED":
        return CancelError(None, "Cancellation is already in progress")
    if any(status in ("OPEN", "REQUESTED") for _, status in order.returns):
        return CancelError(where, "Cannot cancel an order that has returns")
    if any(one.fulfilled for one in order.lines) or order.behaviour.warehouse_refuses:
        return CancelError(where, "Cannot cancel an order that has outstanding fulfillments")
    if any(one.kind == "AUTHORIZATION" and one.status == "PENDING" for one in order.payments):
        # unproven: the words for a pending payment authorization
        return CancelError(where, "Cannot cancel an order that has a pending payment authorization")
    return None


# ---------------------------------------------------------------- what happens by itself


def tick(store: Store) -> None:
    """Finish the jobs and settle the payments whose time has come. Call while holding the lock."""
    now = store.now()
    for order in list(store.orders.values()):
        if any(one.settles is not None and one.settles <= now for one in order.payments):
            order = _settle(store, order)
        job = order.cancellation
        if job is not None and job.status == "STARTED" and job.due <= now:
            _finish(store, order, job)


def _settle(store: Store, order: Order) -> Order:
    now = store.now()
    settled = tuple(
        replace(one, status=one.then, settles=None, error="GENERIC_ERROR" if one.then == "FAILURE" else None)
        if one.settles is not None and one.settles <= now
        else one
        for one in order.payments
    )
    return store.put(replace(order, payments=settled))


def _finish(store: Store, order: Order, job: Cancellation) -> None:
    problem = order.behaviour.cancel_fails
    if problem is not None and job.restock and ledger.received(order).shown > ZERO:
        # unproven: how a failed cancel job words its error
        store.orders[order.id] = replace(order, cancellation=replace(job, status="FAILED", error=problem))
        return
    units = _left_units(store, order, job)
    transfers = _money_back(order) if job.refund else ()
    done = replace(job, status="SUCCEEDED")
    order = replace(_void(store, order), cancellation=done, cancelled=store.now())
    # unproven: that a cancel without a refund, or of an unpaid order, writes the lines into a refund too
    write(store, order, units, _shipping_back(order, job), transfers, RECORDED_NOTE)


def _shipping_back(order: Order, job: Cancellation) -> Bag:
    return ledger.shipping_left(order) if job.refund else NOTHING


def _left_units(store: Store, order: Order, job: Cancellation) -> tuple[Units, ...]:
    restock = "CANCEL" if job.restock else "NO_RESTOCK"
    rows = (row for ask in all_asks(order) for row in rows_of(order, replace(ask, restock=restock), None))
    place = store.place_for(order) if job.restock else None
    return tuple(replace(one, id=store.new_id(), place=place, subtotal=one.worth, tax=one.worth_tax) for one in rows)


def _money_back(order: Order) -> tuple[Transfer, ...]:
    rows = ((parent, left) for parent, left in ledger.sources(order) if left.shown > ZERO)
    return tuple(Transfer(parent, left, parent.gateway) for parent, left in rows)


def _void(store: Store, order: Order) -> Order:
    """Holds are released; a payment that was only expected (cash on delivery) is marked void with 0.00."""
    now = store.now()
    made = []
    for one in order.payments:
        hold = one.kind == "AUTHORIZATION" and ledger.held(order).shown > ZERO
        expected = one.kind == "SALE" and one.status == "PENDING"
        if not hold and not expected:
            continue
        amount = one.amount if hold else NOTHING
        made.append(Payment(store.new_id(), "VOID", "SUCCESS", one.gateway, amount, now, one.id, manual=one.manual))
    return replace(order, payments=(*order.payments, *made))
