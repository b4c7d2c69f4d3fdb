"""The shop as it starts: people, places and orders, each order telling one story."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from . import cancels
from .amounts import Currencies
from .making import BASE, CARD, Item, Paid, Plan, make
from .orders import Address, Behaviour, Order, Person, Place
from .refunds import by_hand, create
from .state import Store, gid

PEOPLE = (
    Person(9001, "Ada", "Fairweather", "ada@example.com"),
    Person(9002, "Bilal", "Okafor", "bilal@example.com"),
    Person(9003, "Chen", "Lindqvist", "chen@example.com"),
    Person(9004, "Dolores", "Nunez", "dolores@example.com"),
    Person(9005, "Edna", "Single", "edna@example.com"),
    Person(9006, "Fritz", "Empty", "fritz@example.com"),
    Person(9008, "Gita", "Ringer", "", "+15550101008"),
    Person(9007, "<script>alert(1)</script>", "{{7*7}} ${{ agent }}", 'hostile+"x"@example.com'),
)
PLACES = (
    Place(6001, "Main warehouse"),
    Place(6002, "High Street shop"),
    Place(6003, "Old depot", active=False),
)

SHIRT = Item("Cotton T-shirt", "25.00", 2, "Navy / M", "TS-NVY-M")
MUG = Item("Enamel mug", "12.50", 1, "White", "MUG-WHT")
SCARF = Item("Wool scarf", "39.95", 1, "Grey", "SCF-GRY")
BOOTS = Item("Walking boots", "129.00", 1, "42", "BOT-042")
EUR = Currencies("USD", "EUR", Decimal("1.18"))
JPY = Currencies("USD", "JPY", Decimal("0.0067"))
KWD = Currencies("USD", "KWD", Decimal("3.2541"))
GIFT = Paid("gift_card", "30.00", account="•••• 9c2f")
COD = Paid("Cash on Delivery (COD)", manual=True)
WAITING_COD = Paid("Cash on Delivery (COD)", status="PENDING", manual=True)
HELD = Paid(kind="AUTHORIZATION", account="•••• •••• •••• 4242")
NASTY = (
    "<script>alert('note')</script> {{7*7}} ${{ agent }} </title><img src=x onerror=alert(1)> "
    'javascript:alert(1) \u202egnp.exe 🧨 O\'Neil & "Sons"'
)


def _shipped(item: Item, units: int | None = None) -> Item:
    return replace(item, fulfilled=item.quantity if units is None else units)


def _status(name: str, item: Item = SHIRT, behaviour: Behaviour | None = None) -> Plan:
    said = f"fulfilment status {name}"
    items = (item, MUG) if item.ships else (item,)
    return Plan(said, items, fulfilment=name, behaviour=behaviour or Behaviour())


# number: (customer's e-mail or phone, plan). Names, ids and amounts never depend on the day the store starts.
PLANS: dict[int, tuple[str, Plan]] = {
    1001: ("ada@example.com", Plan("plain and paid, nothing shipped", (SHIRT, MUG))),
    1002: ("ada@example.com", Plan("a discount on one line", (replace(SHIRT, off="10.00"), MUG))),
    1003: (
        "ada@example.com",
        Plan("a discount on the whole order", (replace(SHIRT, cart_off="8.00"), replace(MUG, cart_off="2.00"))),
    ),
    1004: (
        "ada@example.com",
        Plan(
            "a discount code, tax added",
            (replace(SCARF, cart_off="4.00", tax="0.0825"), replace(SHIRT, cart_off="5.00", tax="0.0825")),
            codes=("WELCOME10",),
            ship_tax="0.0825",
        ),
    ),
    1005: ("ada@example.com", Plan("tax added to the price", (replace(BOOTS, tax="0.0825"), MUG))),
    1006: (
        "ada@example.com",
        Plan("tax included in the price", (replace(SCARF, tax="0.20"),), taxes_included=True, ship_tax="0.20"),
    ),
    1007: ("ada@example.com", Plan("partly refunded: one of two shirts", (SHIRT, MUG))),
    1008: ("ada@example.com", Plan("shipped in full", (_shipped(SHIRT), _shipped(MUG)))),
    1009: ("ada@example.com", Plan("partly shipped: the shirts are on their way", (_shipped(SHIRT), MUG))),
    1010: ("bilal@example.com", _status("OPEN")),
    1011: ("bilal@example.com", _status("ON_HOLD")),
    1012: ("bilal@example.com", _status("SCHEDULED")),
    1013: ("bilal@example.com", _status("REQUEST_DECLINED")),
    1014: (
        "bilal@example.com",
        replace(_status("FULFILLMENT_NOT_REQUIRED", Item("E-book", "9.00", ships=False)), ship="0"),
    ),
    1015: ("bilal@example.com", _status("IN_PROGRESS")),
    1016: ("bilal@example.com", _status("PENDING_FULFILLMENT", behaviour=Behaviour(warehouse_refuses=True))),
    1017: ("bilal@example.com", _status("RESTOCKED")),
    1018: (
        "bilal@example.com",
        Plan("a mixed line: one of three scarves has shipped", (_shipped(replace(SCARF, quantity=3), 1),)),
    ),
    1019: (
        "chen@example.com",
        Plan("not paid at all", (SHIRT,), paid=(Paid("bank_deposit", status="PENDING", manual=True),)),
    ),
    1020: ("chen@example.com", Plan("authorized only, nothing captured", (BOOTS,), paid=(HELD,))),
    1021: ("chen@example.com", Plan("paid by gift card and card", (SHIRT, SCARF), paid=(GIFT, CARD))),
    1022: ("chen@example.com", Plan("cash on delivery, marked as paid", (SHIRT,), paid=(COD,))),
    1023: ("chen@example.com", Plan("cash on delivery, not paid yet", (MUG,), paid=(WAITING_COD,))),
    1024: (
        "chen@example.com",
        Plan(
            "customer pays in euro",
            (replace(SHIRT, price="21.19"), replace(MUG, price="10.59")),
            "4.24",
            money=EUR,
        ),
    ),
    1025: (
        "chen@example.com",
        Plan(
            "customer pays in yen",
            (Item("Cotton T-shirt", "3700", 3, "Navy / M", "TS-NVY-M"),),
            "800",
            money=JPY,
        ),
    ),
    1026: (
        "chen@example.com",
        Plan(
            "customer pays in dinar",
            (Item("Wool scarf", "12.345", 3, "Grey", "SCF-GRY"),),
            "1.500",
            money=KWD,
        ),
    ),
    1027: (
        "dolores@example.com",
        Plan(
            "one hundred and twenty lines",
            tuple(
                Item(f"Bead no. {index}", f"{index % 9 + 1}.{index % 10}5", 1, sku=f"BEAD-{index:03d}")
                for index in range(1, 121)
            ),
        ),
    ),
    1028: ("dolores@example.com", Plan("cancelled, and part of the money is still here", (SHIRT, BOOTS))),
    1029: ("dolores@example.com", Plan("stored by the older app", (SHIRT,), legacy=True)),
    1030: (
        'hostile+"x"@example.com',
        Plan(
            "hostile text in everything a customer can write",
            (
                Item(
                    f"Shirt {NASTY}",
                    "20.00",
                    1,
                    "'\"><b>L</b>",
                    "${{ agent }}",
                    notes=(("Engraving", NASTY),),
                ),
            ),
            note=NASTY,
            tags=("</title>", "{{7*7}}"),
        ),
    ),
    1031: (
        "dolores@example.com",
        Plan("refunds stay pending for a while", (SHIRT, MUG), behaviour=Behaviour("PENDING", "SUCCESS")),
    ),
    1032: (
        "dolores@example.com",
        Plan("refunds are pending and fail later", (SHIRT, MUG), behaviour=Behaviour("PENDING", "FAILURE")),
    ),
    1033: ("dolores@example.com", Plan("a return is open", (SHIRT, MUG), returns=("OPEN",))),
    1034: (
        "dolores@example.com",
        Plan("a big order, above an agent's limit", (replace(BOOTS, quantity=3), replace(SHIRT, quantity=6))),
    ),
    1035: (
        "dolores@example.com",
        Plan("three units and an odd cent", (Item("Set of hooks", "5.00", 3, sku="HOOK", off="5.00"),)),
    ),
    1036: ("dolores@example.com", Plan("a tip was paid", (SHIRT,), tip="6.00")),
    1037: (
        "dolores@example.com",
        Plan("paid on a terminal in the shop", (MUG, SCARF), "0", paid=(replace(CARD, device=4001),)),
    ),
    1038: (
        "dolores@example.com",
        Plan("its warehouse is closed: no location is suggested", (SHIRT,), behaviour=Behaviour(no_place=True)),
    ),
    1039: ("dolores@example.com", Plan("already refunded in full", (MUG,))),
    1040: (
        "ada@example.com",
        Plan(
            "a cancel is accepted and then fails",
            (SHIRT,),
            behaviour=Behaviour(cancel_fails="Inventory cannot be restocked at a deactivated location"),
        ),
    ),
    1041: ("edna@example.com", Plan("the only order of this customer", (SCARF, MUG))),
    1042: ("+15550101008", Plan("bought with a phone number alone", (SHIRT, MUG))),
}


def seed(store: Store) -> None:
    """Fill an empty store; the history of an order is made by the same code that answers requests."""
    emit, store.emit = store.emit, lambda topic, order, refund: None
    store.last_id = BASE * 1000 + 1_000_000_000
    store.people = {one.id: one for one in PEOPLE}
    store.places = {one.id: one for one in PLACES}
    reached = {one.email or one.phone: one for one in PEOPLE}
    with store.lock:
        for number, (contact, plan) in PLANS.items():
            created = (store.now() - timedelta(days=_age(number), hours=number % 7)).replace(microsecond=0)
            order = make(number, created, plan)
            store.orders[order.id] = _of(order, reached[contact])
        _history(store)
    store.emit = emit


def _age(number: int) -> int:
    """Days before today; orders with higher numbers are younger."""
    return max(PLANS) - number + 1


def _of(order: Order, one: Person) -> Order:
    hostile = order.number == 1030
    place = Address(f"{one.name} {NASTY}" if hostile else one.name, address1=NASTY if hostile else "1 Example Street")
    return replace(order, customer=one.id, email=one.email or None, phone=one.phone, address=place)


def _history(store: Store) -> None:
    """What happened before the store opened, each a day after its order was made."""
    clock = store.clock
    for number, happen in HISTORY.items():
        order = store.orders[BASE + number]
        store.clock = (order.created + timedelta(days=1)).timestamp
        happen(store, order)
    store.clock = clock
    store.keys.clear()


def _one_shirt_back(store: Store, order: Order) -> None:
    parent, line = order.payments[0], gid("LineItem", order.lines[0].id)
    transfer = {
        "orderId": gid("Order", order.id),
        "parentId": gid("OrderTransaction", parent.id),
        "kind": "REFUND",
        "gateway": parent.gateway,
        "amount": "25.00",
    }
    given = {
        "orderId": gid("Order", order.id),
        "note": "Arrived with a hole",
        "refundLineItems": [{"lineItemId": line, "quantity": 1, "restockType": "CANCEL"}],
        "transactions": [transfer],
    }
    create(store, given, f"seed-{order.number}")


def _all_back(store: Store, order: Order) -> None:
    by_hand(store, order, Decimal("17.50"), "Goodwill")


def _cancelled_with_rest(store: Store, order: Order) -> None:
    """An amount paid back, then cancelled without a refund."""
    by_hand(store, order, Decimal("54.00"), "Sorry")
    delay, store.settings.cancel_delay = store.settings.cancel_delay, -1.0
    given = {
        "orderId": gid("Order", order.id),
        "reason": "CUSTOMER",
        "restock": True,
        "staffNote": "Too late",
    }
    cancels.cancel(store, given)
    cancels.tick(store)
    store.settings.cancel_delay = delay


HISTORY: dict[int, Callable[[Store, Order], None]] = {
    1007: _one_shirt_back,
    1028: _cancelled_with_rest,
    1039: _all_back,
}
