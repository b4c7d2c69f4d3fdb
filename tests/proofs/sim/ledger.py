"""The fake store's own books of one order: the truth that the code under test sees only through its sockets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from graphql import FieldNode

from plugin.documents import OrderFacts, facts
from plugin.selection import selection, sent_key
from tests.proofs.sim.scene import scene

CURRENCY = "USD"
PAID = 6750  # cents captured


@dataclass(frozen=True)
class Refund:
    """`by` is the job that brought it about, for a cancel; `status` of its one transaction."""

    id: str
    note: str
    cents: int
    status: str
    by: str | None = None

    @property
    def counts(self) -> bool:
        return self.status != "FAILURE"


@dataclass(frozen=True)
class Books:
    """One version of the order; a change makes the next."""

    refunds: tuple[Refund, ...] = ()
    cancelled: str | None = None
    staff_note: str | None = None
    left: tuple[tuple[int, int], ...] = ((2, 2), (1, 1))  # refundable and unfulfilled units of each line

    @property
    def refunded(self) -> int:
        return sum(one.cents for one in self.refunds if one.counts)

    def settled(self, refund_id: str, status: str) -> "Books":
        return replace(
            self, refunds=tuple(replace(one, status=status) if one.id == refund_id else one for one in self.refunds)
        )


def text(cents: int) -> str:
    return f"{cents / 100:.2f}"


def bag(cents: int) -> dict[str, Any]:
    amount = {"amount": text(cents), "currencyCode": CURRENCY}
    return {"shopMoney": amount, "presentmentMoney": amount}


_SHOWN: dict[Books, Mapping[str, Any]] = {}
_KNOWN: dict[int, OrderFacts] = {}
_NUMBERS = count()
_TRANSACTIONS = next(
    sent_key(one)
    for one in selection("transactions(first: 20) { nodes { id } }").selections
    if isinstance(one, FieldNode)
)


def shown(books: Books) -> Mapping[str, Any]:
    """The order as a query would answer it: the sandbox's answer with what has moved since."""
    if books not in _SHOWN:
        if len(_SHOWN) > 50_000:
            _SHOWN.clear()
            _KNOWN.clear()
        _SHOWN[books] = _shown(books)
    return _SHOWN[books]


def known(snapshot: Mapping[str, Any]) -> OrderFacts:
    """The real `facts`, worked out once for each version of the books."""
    number = snapshot["$version"]
    if number not in _KNOWN:
        _KNOWN[number] = facts(snapshot)
    return _KNOWN[number]


def _shown(books: Books) -> dict[str, Any]:
    order = dict(scene().order)
    lines, refunds = (next(key for key in order if key.startswith(name)) for name in ("lineItems_", "refunds_"))
    rows = zip(order[lines]["nodes"], books.left, strict=True)
    nodes = [
        {**node, "refundableQuantity": refundable, "unfulfilledQuantity": waiting, "currentQuantity": refundable}
        for node, (refundable, waiting) in rows
    ]
    net = PAID - books.refunded
    status = "PAID" if net == PAID else "PARTIALLY_REFUNDED" if net else "REFUNDED"
    return order | {
        "$version": next(_NUMBERS),
        "cancelledAt": books.cancelled,
        "cancellation": {"staffNote": books.staff_note} if books.cancelled else None,
        "displayFinancialStatus": status,
        "netPaymentSet": bag(net),
        "totalRefundedSet": bag(books.refunded),
        lines: {**order[lines], "nodes": nodes},
        refunds: [_refund(one) for one in books.refunds],
    }


def _refund(one: Refund) -> dict[str, Any]:
    payment = {"id": f"{one.id}/t", "status": one.status, "amountSet": bag(one.cents)}
    return {
        "id": one.id,
        "note": one.note,
        "totalRefundedSet": bag(one.cents),
        _TRANSACTIONS: {"nodes": [payment] if one.cents else []},
    }
