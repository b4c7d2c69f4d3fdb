"""Decimal arithmetic of one shop: two sides of every amount, rounded as a currency demands."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

ZERO = Decimal(0)
_DIGITS = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
}
_SYMBOLS = {"USD": "$", "CAD": "$", "AUD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}


def digits(currency: str) -> int:
    return _DIGITS.get(currency, 2)


def rounded(amount: Decimal, currency: str) -> Decimal:
    """Half up, at the last digit the currency has."""
    return amount.quantize(Decimal(1).scaleb(-digits(currency)), ROUND_HALF_UP)


def written(amount: Decimal) -> str:
    """As Shopify's GraphQL writes it: `10.0`, `29.95`, `1.25`."""
    # unproven: amounts of currencies without or with three decimals
    plain = format(amount.normalize(), "f")
    if plain in ("-0", "0"):
        return "0.0"
    return plain if "." in plain else f"{plain}.0"


def spoken(amount: Decimal, currency: str) -> str:
    """As Shopify's error texts write it: `$25.00`."""
    # unproven: how an error text writes an amount in another currency than dollars
    sign = _SYMBOLS.get(currency, f"{currency} ")
    return f"{sign}{rounded(amount, currency):,}"


@dataclass(frozen=True)
class Bag:
    """One amount as the shop and as the customer sees it."""

    shop: Decimal = ZERO
    shown: Decimal = ZERO

    def __add__(self, other: "Bag") -> "Bag":
        return Bag(self.shop + other.shop, self.shown + other.shown)

    def __sub__(self, other: "Bag") -> "Bag":
        return Bag(self.shop - other.shop, self.shown - other.shown)

    def __neg__(self) -> "Bag":
        return Bag(-self.shop, -self.shown)

    def times(self, factor: int) -> "Bag":
        return Bag(self.shop * factor, self.shown * factor)

    def least(self, other: "Bag") -> "Bag":
        """The smaller of the two as the customer sees it."""
        return self if self.shown <= other.shown else other


NOTHING = Bag()


def total(parts: Any) -> Bag:
    result = NOTHING
    for part in parts:
        result = result + part
    return result


@dataclass(frozen=True)
class Currencies:
    """The two currencies of an order, and how many shop units one customer unit is worth."""

    shop: str
    shown: str
    rate: Decimal = Decimal(1)

    def bag(self, shown: Decimal) -> Bag:
        """An amount the customer sees, with the shop's side by the order's rate."""
        if self.shop == self.shown:
            return Bag(shown, shown)
        return Bag(rounded(shown * self.rate, self.shop), shown)

    def rounded_shop(self, amount: Decimal) -> Decimal:
        return rounded(amount, self.shop)

    def rounded_shown(self, amount: Decimal) -> Decimal:
        return rounded(amount, self.shown)

    def share(self, whole: Bag, units: int, of: int) -> Bag:
        """Rule R1: the part of `whole` that `units` of `of` carry, both sides rounded on their own."""
        if of == 0:
            return NOTHING
        return Bag(
            rounded(whole.shop * units / of, self.shop),
            rounded(whole.shown * units / of, self.shown),
        )
