"""Orders for hypothesis: lines, discounts, taxes, shipping, payments, currencies, drawn as integers of minor units."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import strategies as st

from plugin.money import decimals
from plugin.sandbox.store import ledger
from plugin.sandbox.store.amounts import Currencies
from plugin.sandbox.store.making import CARD, Item, Paid, Plan, make
from tests.shared import ROOT

_ENUM = re.compile(r"enum CurrencyCode \{(.*?)\}", re.DOTALL)
_SDL = (ROOT / "schemas/shopify-2026-10.graphql").read_text(encoding="utf-8")
CURRENCIES = re.findall(r"^  ([A-Z]{3})$", _ENUM.search(_SDL)[1], re.MULTILINE)  # type: ignore[index]
EVERY_DAY = ["USD", "EUR", "JPY", "KWD"]
RATES = ["1.18", "0.0067", "3.2541", "151.37", "0.333333", "1"]
TAXES = ["0", "0.07", "0.19", "0.0825", "0.2"]


def amount(minor: int, currency: str) -> Decimal:
    return Decimal(minor).scaleb(-decimals(currency))


def written(minor: int, currency: str) -> str:
    return format(amount(minor, currency), "f")


def price(plan: Plan) -> Decimal:
    """What the whole order costs its customer."""
    return ledger.price(make(1, datetime(2026, 1, 1, tzinfo=UTC), plan)).shown


def minor(value: Decimal, currency: str) -> int:
    return int(value.scaleb(decimals(currency)))


@st.composite
def moneys(draw: st.DrawFn) -> Currencies:
    """The customer's currency, half of the time another one than the store's, at an odd rate."""
    codes = st.sampled_from(EVERY_DAY) | st.sampled_from(CURRENCIES)
    shown = draw(codes)
    if draw(st.booleans()):
        return Currencies(shown, shown)
    shop = draw(codes.filter(lambda one: one != shown))
    return Currencies(shop, shown, Decimal(draw(st.sampled_from(RATES))))


@st.composite
def items(draw: st.DrawFn, currency: str, shipped: bool) -> Item:
    each, quantity = draw(st.integers(1, 30_000)), draw(st.integers(1, 5))
    off = draw(st.integers(0, each * quantity // 3))
    across = draw(st.integers(0, each * quantity // 3))
    return Item(
        draw(st.sampled_from(["Shirt", "Mug"])), written(each, currency), quantity,
        off=written(off, currency) if draw(st.booleans()) else "0",
        cart_off=written(across, currency) if draw(st.booleans()) else "0",
        tax=draw(st.sampled_from(TAXES)),
        fulfilled=draw(st.integers(0, quantity)) if shipped else 0,
    )  # fmt: skip


@st.composite
def plans(draw: st.DrawFn, *, shipped: bool = True) -> Plan:
    """A paid order; payments in any order, the last one takes what the others left open."""
    money = draw(moneys())
    plan = Plan(
        "made by hypothesis",
        tuple(draw(st.lists(items(money.shown, shipped and draw(st.booleans())), min_size=1, max_size=3))),
        ship=written(draw(st.integers(0, 2_000)), money.shown),
        ship_tax=draw(st.sampled_from(TAXES)),
        money=money,
        taxes_included=draw(st.booleans()),
        tip=written(draw(st.sampled_from([0, 0, 0, 101])), money.shown),
        codes=("SAVE",) if draw(st.booleans()) else (),
    )
    return replace(plan, paid=_payments(draw, minor(price(plan), money.shown), money.shown))


def _payments(draw: st.DrawFn, whole: int, currency: str) -> tuple[Paid, ...]:
    kinds = [CARD, Paid("gift_card", account="•••• 9c2f"), Paid("Bank deposit", manual=True)]
    count = draw(st.integers(1, min(3, whole))) if whole > 1 else 1
    chosen, left = [], whole
    for index in range(count):
        one = draw(st.sampled_from(kinds))
        last = index == count - 1
        part = left if last else draw(st.integers(1, left - (count - 1 - index)))
        left -= part
        chosen.append(one if last else replace(one, amount=written(part, currency)))
    return tuple(chosen)
