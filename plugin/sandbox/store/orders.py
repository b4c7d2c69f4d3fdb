"""What the store remembers, as records that are replaced and never changed."""

from dataclasses import dataclass, field
from datetime import datetime

from .amounts import NOTHING, Bag, Currencies, total


@dataclass(frozen=True)
class Person:
    id: int
    first_name: str
    last_name: str
    email: str
    phone: str | None = None

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


@dataclass(frozen=True)
class Address:
    name: str
    address1: str = "1 Example Street"
    city: str = "Springfield"
    zip: str = "00000"
    country: str = "United States"
    country_code: str = "US"


@dataclass(frozen=True)
class Place:
    """A location that can take goods back."""

    id: int
    name: str
    active: bool = True


@dataclass(frozen=True)
class Tax:
    title: str
    rate: str
    amount: Bag


@dataclass(frozen=True)
class Discount:
    """A part of a discount on one line; `across` when it was given on the whole order."""

    amount: Bag
    across: bool = False


@dataclass(frozen=True)
class Line:
    """`price` is one unit's; `discount` and `taxes` are the whole line's, refunded units included."""

    id: int
    title: str
    quantity: int
    price: Bag
    variant: str | None = None
    sku: str | None = None
    discounts: tuple[Discount, ...] = ()
    taxes: tuple[Tax, ...] = ()
    fulfilled: int = 0
    gift_card: bool = False
    ships: bool = True
    notes: tuple[tuple[str, str], ...] = ()
    duty: Bag | None = None

    @property
    def discount(self) -> Bag:
        return total(one.amount for one in self.discounts)

    @property
    def cart_discount(self) -> Bag:
        return total(one.amount for one in self.discounts if one.across)


@dataclass(frozen=True)
class Shipping:
    """`price` is after discounts."""

    id: int
    title: str
    price: Bag
    discount: Bag = NOTHING
    taxes: tuple[Tax, ...] = ()


@dataclass(frozen=True)
class Payment:
    """A transaction; `settles` is the moment a PENDING one becomes `then`."""

    id: int
    kind: str
    status: str
    gateway: str
    amount: Bag
    created: datetime
    parent: int | None = None
    account: str | None = None
    manual: bool = False
    device: int | None = None
    refund: int | None = None
    settles: datetime | None = None
    then: str = "SUCCESS"
    error: str | None = None


@dataclass(frozen=True)
class Units:
    """Units of one line in a refund.

    `worth` and `worth_tax` are what R1 gives; `subtotal` and `tax` what is recorded, which can be zero.
    `unshipped` of them no longer wait to be fulfilled.
    """

    id: int
    line: int
    quantity: int
    restock: str
    worth: Bag
    worth_tax: Bag
    subtotal: Bag
    tax: Bag
    place: int | None = None
    unshipped: int = 0


@dataclass(frozen=True)
class Adjustment:
    id: int
    reason: str
    amount: Bag
    tax: Bag = NOTHING
    kind: str = "refund_discrepancy"


@dataclass(frozen=True)
class Refund:
    id: int
    created: datetime
    note: str | None
    units: tuple[Units, ...] = ()
    shipping: Bag = NOTHING
    shipping_tax: Bag = NOTHING
    adjustments: tuple[Adjustment, ...] = ()


@dataclass(frozen=True)
class Cancellation:
    """A cancel that was accepted: its job runs until `due`."""

    job: str
    result: int
    due: datetime
    reason: str
    restock: bool
    refund: bool
    staff_note: str | None
    status: str = "STARTED"
    error: str | None = None


@dataclass(frozen=True)
class Behaviour:
    """What this order does that others do not: how its refunds settle, and whether a cancel goes through."""

    refund_status: str = "SUCCESS"
    refund_then: str = "SUCCESS"
    cancel_fails: str | None = None
    warehouse_refuses: bool = False
    no_place: bool = False


@dataclass(frozen=True)
class Order:
    id: int
    number: int
    created: datetime
    updated: datetime
    money: Currencies
    lines: tuple[Line, ...]
    email: str | None = None
    phone: str | None = None
    customer: int | None = None
    name: str = ""
    taxes_included: bool = False
    shipping: tuple[Shipping, ...] = ()
    payments: tuple[Payment, ...] = ()
    refunds: tuple[Refund, ...] = ()
    cancellation: Cancellation | None = None
    cancelled: datetime | None = None
    fulfilment: str | None = None
    returns: tuple[tuple[int, str], ...] = ()
    tip: Bag = NOTHING
    note: str | None = None
    tags: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    codes: tuple[str, ...] = ()
    address: Address | None = None
    legacy: bool = False
    test: bool = True
    story: str = ""
    behaviour: Behaviour = field(default_factory=Behaviour)

    def line(self, id: int) -> Line | None:
        return next((one for one in self.lines if one.id == id), None)

    def payment(self, id: int) -> Payment | None:
        return next((one for one in self.payments if one.id == id), None)
