"""Every figure of an order that follows from its lines, payments and refunds; pure functions."""

from .amounts import NOTHING, ZERO, Bag, total
from .orders import Line, Order, Payment, Refund, Shipping, Units

IN = ("SALE", "CAPTURE")
COUNTS_AS_BACK = ("SUCCESS", "PENDING")  # unproven: that a pending refund already lowers the net payment
OPEN_RETURNS = {"REQUESTED": "RETURN_REQUESTED", "OPEN": "IN_PROGRESS", "CLOSED": "RETURNED"}


# ---------------------------------------------------------------- quantities


def taken(order: Order, line: Line) -> tuple[Units, ...]:
    return tuple(one for refund in order.refunds for one in refund.units if one.line == line.id)


def refundable(order: Order, line: Line) -> int:
    return line.quantity - sum(one.quantity for one in taken(order, line))


def unfulfilled(order: Order, line: Line) -> int:
    if order.cancelled is not None:
        return 0
    return line.quantity - line.fulfilled - sum(one.unshipped for one in taken(order, line))


# ---------------------------------------------------------------- what things are worth


def subtotal(line: Line) -> Bag:
    return line.price.times(line.quantity) - line.discount


def line_tax(line: Line) -> Bag:
    return total(one.amount for one in line.taxes)


def worth(order: Order, line: Line, units: int) -> tuple[Bag, Bag]:
    """Rule R1 for the next `units` of a line: subtotal and tax; the last units take what is left."""
    # unproven: which units of a line get the odd cent
    gone = taken(order, line)
    rest = refundable(order, line)
    return (
        _next(order, subtotal(line), total(one.worth for one in gone), units, rest, line.quantity),
        _next(order, line_tax(line), total(one.worth_tax for one in gone), units, rest, line.quantity),
    )


def cart_share(order: Order, line: Line, units: int) -> Bag:
    """The part of order-wide discounts the next `units` of a line carry."""
    before = line.quantity - refundable(order, line)
    upto = order.money.share(line.cart_discount, before + units, line.quantity)
    return upto - order.money.share(line.cart_discount, before, line.quantity)


def _next(order: Order, whole: Bag, gone: Bag, units: int, rest: int, of: int) -> Bag:
    left = whole - gone
    if units >= rest:
        return left
    part = order.money.share(whole, units, of)
    return Bag(min(part.shop, left.shop), min(part.shown, left.shown))


def goods(order: Order) -> Bag:
    return total(subtotal(one) for one in order.lines)


def shipping_price(order: Order) -> Bag:
    return total(one.price for one in order.shipping)


def shipping_tax(one: Shipping) -> Bag:
    return total(tax.amount for tax in one.taxes)


def all_shipping_tax(order: Order) -> Bag:
    return total(shipping_tax(one) for one in order.shipping)


def all_tax(order: Order) -> Bag:
    return total(line_tax(one) for one in order.lines) + all_shipping_tax(order)


def duties(order: Order) -> Bag:
    return total(one.duty for one in order.lines if one.duty is not None)


def price(order: Order) -> Bag:
    """Rule R3: what the order cost when it was placed."""
    tax = NOTHING if order.taxes_included else all_tax(order)
    return goods(order) + shipping_price(order) + tax + order.tip + duties(order)


# ---------------------------------------------------------------- refunds


def of_refund(order: Order, refund: Refund) -> tuple[Payment, ...]:
    return tuple(one for one in order.payments if one.refund == refund.id)


def paid_back_by(order: Order, refund: Refund) -> Bag:
    rows = (one for one in of_refund(order, refund) if one.kind == "REFUND")
    return total(one.amount for one in rows if one.status in COUNTS_AS_BACK)


def value(order: Order, refund: Refund) -> Bag:
    """What a refund takes off the order: lines, their tax when it was added, shipping."""
    lines = total(one.worth for one in refund.units) + refund.shipping
    # unproven: that a refund adds no tax where prices include it
    if order.taxes_included:
        return lines
    return lines + total(one.worth_tax for one in refund.units) + refund.shipping_tax


def shipping_left(order: Order) -> Bag:
    return shipping_price(order) - total(one.shipping for one in order.refunds)


def shipping_tax_left(order: Order) -> Bag:
    return all_shipping_tax(order) - total(one.shipping_tax for one in order.refunds)


def discrepancy(order: Order) -> Bag:
    return total(one.amount for refund in order.refunds for one in refund.adjustments)


# ---------------------------------------------------------------- payments


def received(order: Order) -> Bag:
    return total(one.amount for one in order.payments if one.kind in IN and one.status == "SUCCESS")


def refunded(order: Order) -> Bag:
    rows = (one for one in order.payments if one.kind == "REFUND" and one.status in COUNTS_AS_BACK)
    return total(one.amount for one in rows)


def net(order: Order) -> Bag:
    return received(order) - refunded(order)


def held(order: Order) -> Bag:
    """Authorized and neither captured nor voided."""
    return total(_open_hold(order, one) for one in order.payments if one.kind == "AUTHORIZATION")


def _open_hold(order: Order, hold: Payment) -> Bag:
    children = [one for one in order.payments if one.parent == hold.id and one.status == "SUCCESS"]
    if hold.status != "SUCCESS" or any(one.kind == "VOID" for one in children):
        return NOTHING
    return hold.amount - total(one.amount for one in children if one.kind == "CAPTURE")


def sources(order: Order) -> tuple[tuple[Payment, Bag], ...]:
    """Payments money can go back to, in listed order, with what is left on each."""
    rows = [one for one in order.payments if one.kind in IN and one.status == "SUCCESS"]
    return tuple((one, left_on(order, one)) for one in rows)


def left_on(order: Order, parent: Payment) -> Bag:
    back = (one for one in order.payments if one.kind == "REFUND" and one.parent == parent.id)
    return parent.amount - total(one.amount for one in back if one.status in COUNTS_AS_BACK)


def current_price(order: Order) -> Bag:
    if order.cancelled is not None:
        return NOTHING
    return price(order) - total(value(order, one) for one in order.refunds)


def outstanding(order: Order) -> Bag:
    """What is still owed; negative when the customer is owed."""
    # unproven: what is owed after a refund without transactions
    if order.cancelled is not None:
        return NOTHING
    dropped = total(_drop(order, one) for one in order.refunds)
    return price(order) - dropped - net(order)


def _drop(order: Order, refund: Refund) -> Bag:
    back = paid_back_by(order, refund)
    return back if back.shown > ZERO else value(order, refund)


# ---------------------------------------------------------------- statuses


def financial_status(order: Order) -> str | None:
    """None for an order without any transaction, as recorded."""
    if not order.payments:
        return None
    came, back = received(order).shown, refunded(order).shown
    if back > 0:
        return "REFUNDED" if back >= came else "PARTIALLY_REFUNDED"
    if came > 0:
        return "PAID" if came >= price(order).shown or outstanding(order).shown <= 0 else "PARTIALLY_PAID"
    if any(one.kind == "VOID" for one in order.payments):
        return "VOIDED"
    return "AUTHORIZED" if held(order).shown > 0 else "PENDING"


def fulfillment_status(order: Order) -> str:
    shipped = sum(one.fulfilled for one in order.lines)
    waiting = sum(unfulfilled(order, one) for one in order.lines)
    if shipped and waiting:
        return "PARTIALLY_FULFILLED"
    if shipped:
        return "FULFILLED"
    if order.fulfilment is not None and order.cancelled is None:
        return order.fulfilment
    return "RESTOCKED" if order.fulfilment == "RESTOCKED" else "UNFULFILLED"


def return_status(order: Order) -> str:
    states = [OPEN_RETURNS[status] for _, status in order.returns]
    for one in ("RETURN_REQUESTED", "IN_PROGRESS", "RETURNED"):
        if one in states:
            return one
    return "NO_RETURN"
