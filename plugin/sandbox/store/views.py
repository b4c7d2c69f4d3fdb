"""How an order looks through GraphQL: plain values, and calls for what costs or takes arguments."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from . import ledger
from .amounts import NOTHING, ZERO, Bag, Currencies, rounded, total, written
from .orders import Address, Line, Order, Payment, Person, Place, Shipping, Tax
from .state import Shop, Store, gid

View = Mapping[str, Any]
GATEWAYS = {
    "bogus": "(For Testing) Bogus Gateway",
    "gift_card": "Gift Card",
    "shopify_payments": "Shopify Payments",
    "paypal": "PayPal",
    "manual": "Manual",
}


def moment(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def bag(money: Currencies, amount: Bag) -> View:
    return {
        "shopMoney": {"amount": written(amount.shop), "currencyCode": money.shop},
        "presentmentMoney": {"amount": written(amount.shown), "currencyCode": money.shown},
    }


def tax_line(money: Currencies, tax: Tax) -> View:
    rate = float(tax.rate)
    return {
        "title": tax.title,
        "rate": rate,
        "ratePercentage": round(rate * 100, 4),
        "priceSet": bag(money, tax.amount),
    }


def connection(nodes: Sequence[View]) -> Callable[..., View]:
    """A connection over `nodes`, with first/after/last/before/reverse and cursors."""

    def page(**given: Any) -> View:
        rows = list(enumerate(nodes))
        if given.get("reverse"):
            rows.reverse()
        keys = [_cursor(index) for index, _ in rows]
        low = keys.index(given["after"]) + 1 if given.get("after") in keys else 0
        high = keys.index(given["before"]) if given.get("before") in keys else len(rows)
        if given.get("last") is not None:
            start, end = max(low, high - int(given["last"])), high
        else:
            start, end = low, min(high, low + int(given.get("first") or 0))
        chosen = rows[start:end]
        return {
            "nodes": [node for _, node in chosen],
            "edges": [{"cursor": _cursor(index), "node": node} for index, node in chosen],
            "pageInfo": {
                "hasNextPage": end < len(rows),
                "hasPreviousPage": start > 0,
                "startCursor": _cursor(chosen[0][0]) if chosen else None,
                "endCursor": _cursor(chosen[-1][0]) if chosen else None,
            },
        }

    return page


def _cursor(index: int) -> str:
    return f"sandbox{index:06d}"


def first(nodes: Iterable[View]) -> Callable[..., list[View]]:
    """A plain list field that takes `first`."""
    rows = list(nodes)
    return lambda first=None, **_: rows if first is None else rows[:first]


def person(one: Person | None) -> View | None:
    if one is None:
        return None
    return {
        "__typename": "Customer",
        "id": gid("Customer", one.id),
        "displayName": one.name,
        "firstName": one.first_name,
        "lastName": one.last_name,
        "email": one.email or None,
        "phone": one.phone,
        "defaultEmailAddress": {"emailAddress": one.email} if one.email else None,
    }


def place(one: Place | None) -> View | None:
    if one is None:
        return None
    return {
        "__typename": "Location",
        "id": gid("Location", one.id),
        "name": one.name,
        "isActive": one.active,
    }


def address(one: Address | None, id: int) -> View | None:
    if one is None:
        return None
    given, _, family = one.name.rpartition(" ")
    return {
        "id": gid("MailingAddress", id),
        "name": one.name,
        "firstName": given,
        "lastName": family,
        "address1": one.address1,
        "city": one.city,
        "zip": one.zip,
        "country": one.country,
        "countryCodeV2": one.country_code,
    }


def line(order: Order, one: Line) -> View:
    money = order.money
    left, waiting = ledger.refundable(order, one), ledger.unfulfilled(order, one)
    after_line = one.price.times(one.quantity) - (one.discount - one.cart_discount)
    return {
        "id": gid("LineItem", one.id),
        "name": f"{one.title} - {one.variant}" if one.variant else one.title,
        "title": one.title,
        "variantTitle": one.variant,
        "sku": one.sku,
        "vendor": "Sandbox Outfitters",
        "quantity": one.quantity,
        "currentQuantity": left,
        "refundableQuantity": left,
        "unfulfilledQuantity": waiting,
        "nonFulfillableQuantity": one.quantity - one.fulfilled - waiting,
        "restockable": one.ships,
        "isGiftCard": one.gift_card,
        "requiresShipping": one.ships,
        "taxable": bool(one.taxes),
        "customAttributes": [{"key": key, "value": value} for key, value in one.notes],
        "originalUnitPriceSet": bag(money, one.price),
        "originalTotalSet": bag(money, one.price.times(one.quantity)),
        "discountedUnitPriceSet": bag(money, _unit(money, after_line, one.quantity)),
        "discountedUnitPriceAfterAllDiscountsSet": bag(money, _unit(money, ledger.subtotal(one), one.quantity)),
        "discountedTotalSet": lambda withCodeDiscounts=False, **_: bag(
            money, ledger.subtotal(one) if withCodeDiscounts else after_line
        ),
        "totalDiscountSet": bag(money, one.discount - one.cart_discount),
        "discountAllocations": [{"allocatedAmountSet": bag(money, part.amount)} for part in one.discounts],
        "taxLines": first(tax_line(money, tax) for tax in one.taxes),
        "duties": [] if one.duty is None else [{"id": gid("Duty", one.id), "price": bag(money, one.duty)}],
    }


def _unit(money: Currencies, whole: Bag, units: int) -> Bag:
    return money.share(whole, 1, units)


def shipping(order: Order, one: Shipping) -> View:
    money = order.money
    gone = total(refund.shipping for refund in order.refunds)
    return {
        "id": gid("ShippingLine", one.id),
        "title": one.title,
        "code": one.title,
        "isRemoved": False,
        "originalPriceSet": bag(money, one.price + one.discount),
        "discountedPriceSet": bag(money, one.price),
        "currentDiscountedPriceSet": bag(
            money, Bag(_floor(one.price.shop, gone.shop), _floor(one.price.shown, gone.shown))
        ),
        "discountAllocations": [{"allocatedAmountSet": bag(money, one.discount)}] if one.discount.shown else [],
        "taxLines": [tax_line(money, tax) for tax in one.taxes],
    }


def _floor(price: Decimal, gone: Decimal) -> Decimal:
    return max(ZERO, price - gone)


def payment(order: Order, one: Payment) -> View:
    parent = order.payment(one.parent) if one.parent is not None else None
    return {
        "__typename": "OrderTransaction",
        "id": gid("OrderTransaction", one.id),
        "kind": one.kind,
        "status": one.status,
        "gateway": one.gateway,
        "formattedGateway": GATEWAYS.get(one.gateway, one.gateway),
        "accountNumber": one.account,
        "test": order.test,
        "manualPaymentGateway": one.manual,
        "errorCode": one.error,
        "createdAt": moment(one.created),
        "processedAt": moment(one.created),
        "amountSet": bag(order.money, one.amount),
        "totalUnsettledSet": bag(order.money, ledger.held(order) if one.kind == "AUTHORIZATION" else NOTHING),
        "parentTransaction": None if parent is None else payment(order, parent),
        "device": None if one.device is None else {"id": gid("PointOfSaleDevice", one.device)},
    }


def shop(one: Shop) -> View:
    return {
        "id": gid("Shop", 1),
        "name": one.name,
        "myshopifyDomain": one.domain,
        "currencyCode": one.currency,
    }


def taxes_of(order: Order) -> tuple[Tax, ...]:
    """Taxes of all lines and of shipping, added up by title and rate."""
    rows = [tax for one in order.lines for tax in one.taxes]
    rows += [tax for one in order.shipping for tax in one.taxes]
    sums: dict[tuple[str, str], Bag] = {}
    for tax in rows:
        sums[tax.title, tax.rate] = sums.get((tax.title, tax.rate), NOTHING) + tax.amount
    return tuple(Tax(title, rate, amount) for (title, rate), amount in sums.items())


def current_taxes(order: Order) -> tuple[Tax, ...]:
    """The same after refunds, in proportion to the tax that is left."""
    whole = ledger.all_tax(order)
    gone = total(one.worth_tax for refund in order.refunds for one in refund.units)
    left = whole - gone - total(refund.shipping_tax for refund in order.refunds)
    if order.cancelled is not None:
        left = NOTHING
    rows = taxes_of(order)
    return tuple(Tax(one.title, one.rate, _part(order.money, one.amount, left, whole)) for one in rows)


def _part(money: Currencies, amount: Bag, left: Bag, whole: Bag) -> Bag:
    if whole.shop == ZERO or whole.shown == ZERO:
        return NOTHING
    return Bag(
        rounded(amount.shop * left.shop / whole.shop, money.shop),
        rounded(amount.shown * left.shown / whole.shown, money.shown),
    )


def lookup(store: Store, one: Order) -> View | None:
    """The customer of an order."""
    return person(store.people.get(one.customer)) if one.customer is not None else None
