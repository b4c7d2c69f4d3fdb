"""The filters of the action language, with declared types; the only Python an action can reach."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from plugin import money as amounts
from plugin.money import Money

Json = Mapping[str, Any]
APART, END = "\u2068", "\u2069"  # Unicode's isolate, which decides its own direction, and its end
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066\u2067]")


@dataclass(frozen=True)
class LineOption:
    """A line of the order with units that may be chosen; `unshipped` of them are still to fulfil."""

    id: str
    title: str
    variant: str | None
    sku: str | None
    price: Money
    maximum: int
    unshipped: int


@dataclass(frozen=True)
class LineSelection:
    option: LineOption
    quantity: int

    @property
    def unshipped(self) -> int:
        """Units not shipped yet are taken first: cancelling them stops the parcel."""
        return min(self.quantity, self.option.unshipped)


@dataclass(frozen=True)
class PaymentOption:
    """A payment that can be paid back: `suggested` now, `maximum` at most."""

    id: str
    gateway: str
    label: str
    maximum: Money
    suggested: Money
    manual: bool


@dataclass(frozen=True)
class PaymentSelection:
    option: PaymentOption
    amount: Money


@dataclass(frozen=True)
class Choice:
    value: str
    label: str


@dataclass(frozen=True)
class Filter:
    """`takes` are GraphQL type notations, the piped value first; the last `optional` may be missing.

    `needs` names the fields, dotted inwards, that must be selected on the objects given. Opaque types
    have no fields.
    """

    call: Callable[..., Any]
    takes: tuple[str, ...]
    gives: str
    optional: int = 0
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def isolated(text: str) -> str:
    """Text from outside as it may stand among ours: its invisible marks turn nothing around it.

    Words written from right to left stand apart, so that an amount beside them keeps its place. What stands
    apart already stays so.
    """
    if text.isascii():
        return text
    plain = _TURNING.sub("", text)
    if not _closes(plain):
        plain = plain.replace(APART, "").replace(END, "")
    turned = any(unicodedata.bidirectional(one) in ("R", "AL", "AN") for one in plain)
    return f"{APART}{plain}{END}" if turned else plain


def _closes(text: str) -> bool:
    """Whether each isolate in the text ends in it, and nothing else does."""
    depth = 0
    for one in text:
        depth += (one == APART) - (one == END)
        if depth < 0:
            return False
    return depth == 0


def show_date(moment: str) -> str:
    """`3 Nov 2026`, of an ISO 8601 date and time."""
    when = datetime.fromisoformat(moment)
    return f"{when.day} {when:%b %Y}"


def clock_time(moment: datetime) -> str:
    """`14:32 UTC`, rounded up to the minute."""
    return f"{moment.astimezone(UTC) + timedelta(seconds=59):%H:%M} UTC"


def label(name: str | None) -> str:
    """`PARTIALLY_REFUNDED` as people read it: `Partially refunded`."""
    return (name or "").replace("_", " ").capitalize()


def _line_options(lines: Sequence[Json], shipped_too: bool) -> list[LineOption]:
    options = []
    for line in lines:
        refundable = int(line["refundableQuantity"])
        unshipped = min(refundable, int(line["unfulfilledQuantity"]))
        price = line["discountedUnitPriceAfterAllDiscountsSet"]["presentmentMoney"]
        maximum = refundable if shipped_too else unshipped
        option = LineOption(line["id"], line["title"], line["variantTitle"], line["sku"], price, maximum, unshipped)
        options.append(option)
    return [option for option in options if option.maximum > 0]


def _restock_rows(chosen: LineSelection, restock: bool) -> list[tuple[str, int]]:
    if not restock:
        return [("NO_RESTOCK", chosen.quantity)]
    return [("CANCEL", chosen.unshipped), ("RETURN", chosen.quantity - chosen.unshipped)]


def _refund_lines(
    chosen: Sequence[LineSelection],
    restock: bool,
    suggestion: Sequence[Json] = (),
    location: str | None = None,
) -> list[dict[str, Any]]:
    """RefundLineItemInput: CANCEL for unshipped units, RETURN for shipped ones, each with its location."""
    places = {
        (row["lineItem"]["id"], row["restockType"]): row["location"]["id"] for row in suggestion if row["location"]
    }
    rows = []
    for one in chosen:
        for kind, quantity in _restock_rows(one, restock):
            if quantity == 0:
                continue
            row: dict[str, Any] = {"lineItemId": one.option.id, "quantity": quantity, "restockType": kind}
            where = places.get((one.option.id, kind), location)
            if kind != "NO_RESTOCK" and where is not None:
                row["locationId"] = where
            rows.append(row)
    return rows


def _without_location(rows: Sequence[Json]) -> int:
    return sum(1 for row in rows if row["restockType"] in ("CANCEL", "RETURN") and row["location"] is None)


def _covers(chosen: Sequence[LineSelection], lines: Sequence[Json]) -> bool:
    """Whether every unit that is left of the order is chosen."""
    return sum(one.quantity for one in chosen) == sum(int(line["refundableQuantity"]) for line in lines)


def _lines_text(chosen: Sequence[LineSelection]) -> str:
    names = [f"{one.quantity} × {isolated(one.option.title)}" for one in chosen if one.quantity > 0]
    return f" ({', '.join(names)})" if names else ""


def _payment_options(
    full: Sequence[Json], suggested: Sequence[Json], manual: Money | None = None
) -> list[PaymentOption]:
    """Parents and maxima from the full suggestion; the amounts suggested now, or `manual` in listed order."""
    now = {row["parentTransaction"]["id"]: row for row in suggested if row["parentTransaction"]}
    options, rest = [], manual
    for row in full:
        if row["parentTransaction"] is None or row["maximumRefundableSet"] is None:
            continue
        parent = row["parentTransaction"]["id"]
        most = row["maximumRefundableSet"]["presentmentMoney"]
        amount = now[parent]["amountSet"]["presentmentMoney"] if parent in now else Money.zero(most.currency)
        if rest is not None:
            amount = min(most, rest)
            rest = rest - amount
        name = row["formattedGateway"] or row["gateway"] or "Payment"
        title = f"{name} {row['accountNumber']}" if row["accountNumber"] else name
        by_hand = bool(row["parentTransaction"]["manualPaymentGateway"])
        options.append(PaymentOption(parent, row["gateway"] or "", title, most, amount, by_hand))
    return options


def _refund_transactions(chosen: Sequence[PaymentSelection], order_id: str) -> list[dict[str, str]]:
    """OrderTransactionInput for every row above zero (rows of zero are listed by Shopify, never sent)."""
    return [
        {
            "orderId": order_id,
            "parentId": one.option.id,
            "gateway": one.option.gateway,
            "kind": "REFUND",
            "amount": one.amount.plain(),
        }
        for one in chosen
        if one.amount > 0
    ]


def _manual_gateways(chosen: Sequence[PaymentSelection]) -> list[str]:
    return [one.option.label for one in chosen if one.option.manual and one.amount > 0]


def _card_present(transactions: Sequence[Json]) -> int:
    """Card payments taken on a terminal: a point-of-sale device, and a gateway that is not cash."""
    paid = [row for row in transactions if row["kind"] in ("SALE", "CAPTURE") and row["status"] == "SUCCESS"]
    return sum(1 for row in paid if row["device"] is not None and not row["manualPaymentGateway"])


def _marked(text: str | None, marker: str) -> str:
    return f"{text} {marker}" if text else marker


_TRANSACTIONS = "[SuggestedOrderTransaction!]!"
_SUGGESTED = (
    "gateway",
    "formattedGateway",
    "accountNumber",
    "amountSet.presentmentMoney",
    "maximumRefundableSet.presentmentMoney",
    "parentTransaction.id",
    "parentTransaction.manualPaymentGateway",
)
_LINE = ("id", "title", "variantTitle", "sku", "refundableQuantity", "unfulfilledQuantity",
         "discountedUnitPriceAfterAllDiscountsSet.presentmentMoney")  # fmt: skip

FILTERS: Mapping[str, Filter] = {
    # words
    "money": Filter(Money.show, ("MoneyV2!",), "String!"),
    "minus": Filter(lambda value: (-value).show(), ("MoneyV2!",), "String!"),
    "amount": Filter(lambda value: value.plain() if value else None, ("MoneyV2",), "Money"),
    "date": Filter(show_date, ("DateTime!",), "String!"),
    "label": Filter(label, ("String",), "String!"),
    "join": Filter(", ".join, ("[String!]!",), "String!"),
    "length": Filter(len, ("[Any]!",), "Int!"),
    "marked": Filter(_marked, ("String", "String!"), "String!"),
    "prefixed": Filter(lambda text, before: before + text if text else "", ("String", "String!"), "String!"),
    # items
    "line_options": Filter(_line_options, ("[LineItem!]!", "Boolean!"), "[LineOption!]!", needs={"LineItem": _LINE}),
    "refund_lines": Filter(
        _refund_lines,
        ("[LineSelection!]!", "Boolean!", "[RefundLineItem!]!", "ID"),
        "[RefundLineItemInput!]!",
        optional=2,
        needs={"RefundLineItem": ("restockType", "location.id", "lineItem.id")},
    ),  # fmt: skip
    "units": Filter(lambda chosen: sum(one.quantity for one in chosen), ("[LineSelection!]!",), "Int!"),
    "unshipped": Filter(lambda chosen: sum(one.unshipped for one in chosen), ("[LineSelection!]!",), "Int!"),
    "covers": Filter(
        _covers,
        ("[LineSelection!]!", "[LineItem!]!"),
        "Boolean!",
        needs={"LineItem": ("refundableQuantity",)},
    ),
    "lines_text": Filter(_lines_text, ("[LineSelection!]!",), "String!"),
    "without_location": Filter(
        _without_location,
        ("[RefundLineItem!]!",),
        "Int!",
        needs={"RefundLineItem": ("restockType", "location")},
    ),
    "location_choices": Filter(
        lambda rows: [Choice(row["id"], row["name"]) for row in rows],
        ("[Location!]!",),
        "[Choice!]!",
        needs={"Location": ("id", "name")},
    ),  # fmt: skip
    # payments
    "payment_options": Filter(
        _payment_options,
        (_TRANSACTIONS, _TRANSACTIONS, "MoneyV2"),
        "[PaymentOption!]!",
        optional=1,
        needs={"SuggestedOrderTransaction": _SUGGESTED},
    ),  # fmt: skip
    "total": Filter(
        lambda chosen, currency: amounts.total([one.amount for one in chosen], currency),
        ("[PaymentSelection!]!", "CurrencyCode!"),
        "MoneyV2!",
    ),  # fmt: skip
    "edited": Filter(
        lambda chosen: any(one.amount != one.option.suggested for one in chosen),
        ("[PaymentSelection!]!",),
        "Boolean!",
    ),
    "manual_gateways": Filter(_manual_gateways, ("[PaymentSelection!]!",), "[String!]!"),
    "refund_transactions": Filter(_refund_transactions, ("[PaymentSelection!]!", "ID!"), "[OrderTransactionInput!]!"),
    "card_present": Filter(
        _card_present,
        ("[OrderTransaction!]!",),
        "Int!",
        needs={"OrderTransaction": ("kind", "status", "device", "manualPaymentGateway")},
    ),  # fmt: skip
}
