"""Money: a currency and an exact decimal, parsed strictly and never rounded in silence."""

import re
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Self

from babel.numbers import format_currency, get_currency_precision, get_currency_symbol

_PLAIN = re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,3}))?")
_CODE = re.compile(r"[A-Z]{3}")


# Where CLDR shows fewer digits than ISO 4217 gives the currency; Shopify's amounts follow ISO (unproven).
_ISO = {
    **dict.fromkeys(("AFN", "ALL", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SLL", "SOS", "SYP", "YER"), 2),
    "IQD": 3,
}


def decimals(currency: str) -> int:
    """How many digits a currency has behind the point: JPY 0, USD 2, KWD 3 (ISO 4217, by Babel's CLDR)."""
    return _ISO.get(currency, get_currency_precision(currency))


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency; only the number 0 may stand beside it in a comparison."""

    currency: str
    amount: Decimal

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.currency):
            raise ValueError(f"{self.currency!r} is not a currency code")
        if not self.amount.is_finite():
            raise ValueError("an amount must be a finite number")

    @classmethod
    def zero(cls, currency: str) -> Self:
        return cls(currency, Decimal(0))

    def _other(self, other: object) -> Decimal:
        if isinstance(other, Money):
            if other.currency != self.currency:
                raise ValueError(f"{self.currency} and {other.currency} cannot be put together")
            return other.amount
        if type(other) is int and other == 0:
            return Decimal(0)
        raise TypeError(f"money cannot be compared with {other!r}")

    def __add__(self, other: "Money") -> "Money":
        return Money(self.currency, self.amount + self._other(other))

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.currency, self.amount - self._other(other))

    def __neg__(self) -> "Money":
        return Money(self.currency, -self.amount)

    def __lt__(self, other: object) -> bool:
        return self.amount < self._other(other)

    def __le__(self, other: object) -> bool:
        return self.amount <= self._other(other)

    def __gt__(self, other: object) -> bool:
        return self.amount > self._other(other)

    def __ge__(self, other: object) -> bool:
        return self.amount >= self._other(other)

    def __eq__(self, other: object) -> bool:
        if type(other) is int and other == 0:
            return self.amount == 0
        return isinstance(other, Money) and (self.currency, self.amount) == (other.currency, other.amount)

    def __hash__(self) -> int:
        return hash((self.currency, self.amount))

    def plain(self) -> str:
        """The decimal string Shopify takes: `29.95`, `1000`, `1.250`; refuses what would be rounded."""
        step = Decimal(1).scaleb(-decimals(self.currency))
        exact = self.amount.quantize(step)
        if exact != self.amount:
            raise ValueError(f"{self.amount} has more decimals than {self.currency} knows")
        return format(exact, "f")

    def show(self) -> str:
        """For people: `$29.95`, `¥1,000`, `KWD 1.250`."""
        digits = decimals(self.currency)
        gap = "\xa0" if get_currency_symbol(self.currency, "en_US")[-1:].isalpha() else ""
        pattern = f"¤{gap}#,##0" + ("." + "0" * digits if digits else "")
        return format_currency(self.amount, self.currency, pattern, locale="en_US", currency_digits=False)


def parse_amount(text: str, currency: str) -> Money:
    """An amount a person typed, in `currency`; zero is allowed here, a rule refuses it where it must.

    Raises ValueError with the sentence for the person.
    Rule: vectors/money_bad_inputs.json (plain ASCII digits, no sign, spaces, exponent or grouping).
    """
    match = _PLAIN.fullmatch(text)
    digits = decimals(currency)
    example = Money(currency, Decimal(5)).plain()
    if match is None:
        raise ValueError(f"Write the amount with digits and a point only, like {example}.")
    if len(match[2] or "") > digits:
        kind = "no decimals" if digits == 0 else f"at most {digits} decimals"
        raise ValueError(f"{currency} has {kind}: write it like {example}.")
    return Money(currency, Decimal(text))


def from_shopify(amount: str, currency: str) -> Money:
    """A MoneyV2 of an answer; Shopify writes `10.0` as well as `10.00`. Raises ValueError."""
    if not isinstance(amount, str) or not re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,6})?", amount):
        raise ValueError(f"{amount!r} is not an amount of money")
    return Money(currency, Decimal(amount))


def at_rate(money: Money, seen: Money, same: Money) -> Money:
    """`money` in the currency of `same`, by two figures Shopify gave for one thing; rounded up.

    Only for comparing with a limit, never for what is sent.
    """
    if money.currency == same.currency:
        return money
    if seen.currency != money.currency or seen.amount <= 0:
        raise ValueError(f"no rate from {money.currency} to {same.currency}")
    step = Decimal(1).scaleb(-decimals(same.currency))
    return Money(same.currency, (money.amount * same.amount / seen.amount).quantize(step, ROUND_UP))


def total(parts: list[Money], currency: str) -> Money:
    """The sum, zero in `currency` when there are no parts; another currency among them is an error."""
    result = Money.zero(currency)
    for part in parts:
        result = result + part
    return result
