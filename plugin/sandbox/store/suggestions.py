"""What Shopify would suggest to pay back: Order.suggestedRefund."""

from dataclasses import dataclass, replace
from decimal import Decimal

from . import ledger
from .amounts import NOTHING, ZERO, Bag, total
from .orders import Line, Order, Payment, Refund, Units


@dataclass(frozen=True)
class Ask:
    """One row of refundLineItems; `restock` None leaves the choice to the store."""

    line: Line
    quantity: int
    restock: str | None = None
    place: int | None = None


@dataclass(frozen=True)
class Row:
    """Money that could go back to one payment."""

    parent: Payment
    amount: Bag
    most: Bag


@dataclass(frozen=True)
class Suggestion:
    units: tuple[Units, ...]
    subtotal: Bag
    cart_discount: Bag
    tax: Bag
    duties: Bag
    shipping: Bag
    shipping_tax: Bag
    shipping_most: Bag
    amount: Bag
    most: Bag
    rows: tuple[Row, ...]
    store_credit: Bag | None = None

    @property
    def discounted(self) -> Bag:
        return self.subtotal - self.cart_discount


@dataclass(frozen=True)
class Wish:
    """The arguments of suggestedRefund, read."""

    asks: tuple[Ask, ...] = ()
    shipping: Decimal | None = None
    all_shipping: bool = False
    everything: bool = False
    store_credit: bool = False
    duties: Bag = NOTHING


def suggest(order: Order, wish: Wish, place: int | None) -> Suggestion:
    asks = all_asks(order) if wish.everything else wish.asks
    units, cart = _priced(order, asks, place)
    shipping = ledger.shipping_left(order) if wish.everything else _shipping(order, wish)
    tax_on_shipping = shipping_tax(order, shipping)
    most = total(left for _, left in ledger.sources(order))
    tax = total(one.worth_tax for one in units) + tax_on_shipping
    goods = total(one.worth for one in units)
    added = NOTHING if order.taxes_included else tax
    # unproven: that a full suggestion is everything left, with a tip and after amounts without lines
    amount = most if wish.everything else (goods + added + shipping + wish.duties).least(most)
    return Suggestion(
        units=units,
        # unproven: that the subtotal is before discounts on the whole order
        subtotal=goods + cart,
        cart_discount=cart,
        tax=tax,
        duties=wish.duties,
        shipping=shipping,
        shipping_tax=tax_on_shipping,
        shipping_most=ledger.shipping_left(order),
        amount=amount,
        most=most,
        rows=_split(order, NOTHING if wish.store_credit else amount),
        store_credit=amount if wish.store_credit else None,
    )


def _priced(order: Order, asks: tuple[Ask, ...], place: int | None) -> tuple[tuple[Units, ...], Bag]:
    """Rows and order-wide discounts, one ask after the other, so that two of one line do not share a cent."""
    made: tuple[Units, ...] = ()
    cart = NOTHING
    for ask in asks:
        seen = replace(order, refunds=(*order.refunds, Refund(0, order.created, None, made)))
        made = (*made, *rows_of(seen, ask, place))
        cart = cart + ledger.cart_share(seen, ask.line, ask.quantity)
    return made, cart


def all_asks(order: Order) -> tuple[Ask, ...]:
    rows = ((line, ledger.refundable(order, line)) for line in order.lines)
    return tuple(Ask(line, units) for line, units in rows if units > 0)


def rows_of(order: Order, ask: Ask, place: int | None) -> tuple[Units, ...]:
    """One row, or two for a line of which a part has shipped when the store may choose."""
    if ask.restock is not None:
        return (_row(order, ask, ask.restock, place, *ledger.worth(order, ask.line, ask.quantity)),)
    waiting = min(ask.quantity, ledger.unfulfilled(order, ask.line))
    shipped = ask.quantity - waiting
    worth, tax = ledger.worth(order, ask.line, ask.quantity)
    if waiting == 0 or shipped == 0:
        return (_row(order, ask, "CANCEL" if waiting else "RETURN", place, worth, tax),)
    first_worth, first_tax = ledger.worth(order, ask.line, waiting)
    return (
        _row(order, Ask(ask.line, waiting), "CANCEL", place, first_worth, first_tax),
        _row(order, Ask(ask.line, shipped), "RETURN", place, worth - first_worth, tax - first_tax),
    )


def _row(order: Order, ask: Ask, restock: str, place: int | None, worth: Bag, tax: Bag) -> Units:
    """The row as it would be written; a refund without restock of units that wait to ship records zero."""
    waiting = ledger.unfulfilled(order, ask.line)
    shipped_left = max(0, ledger.refundable(order, ask.line) - waiting)
    leaves = {"CANCEL": ask.quantity, "RETURN": max(0, ask.quantity - shipped_left)}.get(restock, 0)
    # recorded once (refund-create-full-parity); zero only where nothing of the line has shipped
    zero = restock == "NO_RESTOCK" and shipped_left == 0 and waiting > 0
    return Units(
        id=0,
        line=ask.line.id,
        quantity=ask.quantity,
        restock=restock,
        worth=worth,
        worth_tax=tax,
        subtotal=NOTHING if zero else worth,
        tax=NOTHING if zero else tax,
        place=None if restock == "NO_RESTOCK" else ask.place or place,
        unshipped=min(leaves, waiting),
    )


def _shipping(order: Order, wish: Wish) -> Bag:
    left = ledger.shipping_left(order)
    if wish.shipping is not None:
        # unproven: that more shipping than is left is suggested as what is left
        return shipping_of(order, min(wish.shipping, left.shown))
    return left if wish.all_shipping else NOTHING


def shipping_of(order: Order, shown: Decimal) -> Bag:
    """An amount of shipping with the shop's side; all that is left is exact on both sides."""
    left = ledger.shipping_left(order)
    return left if shown == left.shown else order.money.bag(shown)


def shipping_tax(order: Order, shipping: Bag) -> Bag:
    """The tax that goes with a part of the shipping."""
    left = ledger.shipping_left(order)
    if shipping.shown == left.shown:
        return ledger.shipping_tax_left(order) if shipping.shown > ZERO else NOTHING
    # unproven: that tax on a part of the shipping goes back in proportion
    whole, tax = ledger.shipping_price(order), ledger.all_shipping_tax(order)
    if whole.shown == ZERO or tax.shown == ZERO:
        return NOTHING
    return Bag(
        order.money.rounded_shop(tax.shop * shipping.shown / whole.shown),
        order.money.rounded_shown(tax.shown * shipping.shown / whole.shown),
    )


def _split(order: Order, amount: Bag) -> tuple[Row, ...]:
    """Fill the payments in listed order, each at most to what is left on it."""
    # unproven: in which order several payments are filled
    rows, open_amount = [], amount.shown
    for parent, most in ledger.sources(order):
        if most.shown <= ZERO:
            continue
        part = min(open_amount, most.shown)
        open_amount -= part
        rows.append(Row(parent, part_of(order, most, part), most))
    return tuple(rows)


def part_of(order: Order, most: Bag, shown: Decimal) -> Bag:
    """`shown` of what is left on a payment, with the shop's side; the whole is exact on both."""
    return most if shown == most.shown else order.money.bag(shown)
