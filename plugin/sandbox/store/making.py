"""Short descriptions of orders, for seeds and loaded payloads, made into whole ones."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from . import ledger
from .amounts import ZERO, Bag, Currencies, rounded, total
from .orders import Behaviour, Discount, Line, Order, Payment, Shipping, Tax

BASE = 5_000_000_000_000
PARTS = 1_000


@dataclass(frozen=True)
class Item:
    """A line as the customer sees it; `tax` is a rate of the discounted price."""

    title: str
    price: str
    quantity: int = 1
    variant: str | None = None
    sku: str | None = None
    off: str = "0"
    cart_off: str = "0"
    tax: str = "0"
    fulfilled: int = 0
    gift_card: bool = False
    ships: bool = True
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Paid:
    """A payment; `amount` None is whatever the ones before it left open."""

    gateway: str = "shopify_payments"
    amount: str | None = None
    kind: str = "SALE"
    status: str = "SUCCESS"
    account: str | None = None
    manual: bool = False
    device: int | None = None


CARD = Paid(account="•••• •••• •••• 4242")


@dataclass(frozen=True)
class Plan:
    """Everything about a seeded order that is not its number, its customer or its date."""

    story: str
    items: tuple[Item, ...]
    ship: str = "5.00"
    ship_tax: str = "0"
    paid: tuple[Paid, ...] = (CARD,)
    money: Currencies = Currencies("USD", "USD")
    taxes_included: bool = False
    tip: str = "0"
    fulfilment: str | None = None
    codes: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()
    note: str | None = None
    tags: tuple[str, ...] = ()
    legacy: bool = False
    behaviour: Behaviour = Behaviour()


def make(number: int, created: datetime, plan: Plan) -> Order:
    """The order of a plan with deterministic ids: BASE + number, parts in the thousands below it."""
    id = BASE + number
    money = plan.money
    order = Order(
        id=id,
        number=number,
        name=f"#{number}",
        created=created,
        updated=created,
        money=money,
        lines=tuple(_line(id * PARTS + index, money, one, plan) for index, one in enumerate(plan.items, 1)),
        taxes_included=plan.taxes_included,
        shipping=_shipping(id, money, plan),
        tip=money.bag(Decimal(plan.tip)),
        fulfilment=plan.fulfilment,
        codes=plan.codes,
        returns=tuple((id + index, status) for index, status in enumerate(plan.returns)),
        note=plan.note,
        tags=plan.tags,
        legacy=plan.legacy,
        story=plan.story,
        behaviour=plan.behaviour,
    )
    return replace(order, payments=payments(order, plan.paid, id * PARTS + 900))


def _line(id: int, money: Currencies, one: Item, plan: Plan) -> Line:
    parts = [Discount(money.bag(Decimal(one.off))), Discount(money.bag(Decimal(one.cart_off)), across=True)]
    line = Line(
        id=id,
        title=one.title,
        quantity=one.quantity,
        price=money.bag(Decimal(one.price)),
        variant=one.variant,
        sku=one.sku,
        discounts=tuple(part for part in parts if part.amount.shown),
        fulfilled=one.fulfilled,
        gift_card=one.gift_card,
        ships=one.ships,
        notes=one.notes,
    )
    tax = _tax(money, ledger.subtotal(line), one.tax, plan.taxes_included)
    return replace(line, taxes=tax)


def _tax(money: Currencies, price: Bag, rate: str, included: bool) -> tuple[Tax, ...]:
    share = Decimal(rate)
    if share == ZERO:
        return ()
    factor = share / (1 + share) if included else share
    amount = Bag(rounded(price.shop * factor, money.shop), rounded(price.shown * factor, money.shown))
    return (Tax("VAT" if included else "Sales tax", rate, amount),)


def _shipping(id: int, money: Currencies, plan: Plan) -> tuple[Shipping, ...]:
    price = money.bag(Decimal(plan.ship))
    if price.shown == ZERO:
        return ()
    taxes = _tax(money, price, plan.ship_tax, plan.taxes_included)
    return (Shipping(id * PARTS + 800, "Standard shipping", price, taxes=taxes),)


def payments(order: Order, paid: tuple[Paid, ...], first_id: int) -> tuple[Payment, ...]:
    made: list[Payment] = []
    for index, one in enumerate(paid):
        open_amount = ledger.price(order) - total(row.amount for row in made if row.kind != "AUTHORIZATION")
        amount = open_amount if one.amount is None else order.money.bag(Decimal(one.amount))
        made.append(
            Payment(
                id=first_id + index,
                kind=one.kind,
                status=one.status,
                gateway=one.gateway,
                amount=amount,
                created=order.created,
                account=one.account,
                manual=one.manual,
                device=one.device,
            )
        )
    return tuple(made)
