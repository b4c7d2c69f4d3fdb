"""Money is parsed strictly, never rounded in silence, never mixed."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin.money import Money, at_rate, decimals, from_shopify, parse_amount, total
from tests.shared import vectors

USD = "USD"


def usd(text: str) -> Money:
    return Money(USD, Decimal(text))


def test_every_amount_of_the_vectors_is_taken_or_refused_as_they_say() -> None:
    wrong = []
    for one in vectors("money_bad_inputs.json")["strings"]:
        repeat = one["input_repeat"]
        text = one["input"] if one["input"] is not None else (repeat["prefix"] * repeat["length"])[: repeat["length"]]
        try:
            parse_amount(text, USD)
            taken = True
        except ValueError:
            taken = False
        by_a_rule = "by rule" in one["expected"]  # taken here, refused by the form's rules
        if taken != (one["expected"].startswith("accept") or by_a_rule):
            wrong.append((text[:40], one["expected"]))
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "currency", "said"),
    [
        ("10.5", "JPY", "JPY has no decimals: write it like 5."),
        ("1.234", "USD", "USD has at most 2 decimals: write it like 5.00."),
        ("1.2345", "KWD", "Write the amount with digits and a point only, like 5.000."),
        ("5,00", "EUR", "Write the amount with digits and a point only, like 5.00."),
    ],
)
def test_a_refused_amount_says_how_to_write_it(text: str, currency: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        parse_amount(text, currency)


def test_each_currency_keeps_its_decimals() -> None:
    assert [decimals(one) for one in ("JPY", "USD", "KWD")] == [0, 2, 3]
    assert [Money(c, Decimal("7")).plain() for c in ("JPY", "USD", "KWD")] == ["7", "7.00", "7.000"]
    assert [Money(c, Decimal("1234.5")).show() for c in ("USD", "KWD")] == ["$1,234.50", "KWD\xa01,234.500"]
    assert Money("JPY", Decimal(1000)).show() == "¥1,000"


def test_two_currencies_are_never_put_together() -> None:
    with pytest.raises(ValueError, match="USD and EUR cannot be put together"):
        usd("1") + Money("EUR", Decimal(1))
    with pytest.raises(ValueError, match="cannot be put together"):
        _ = usd("1") < Money("EUR", Decimal(1))
    assert usd("1") != Money("EUR", Decimal(1))


def test_money_is_compared_with_the_number_zero_only() -> None:
    assert usd("0.01") > 0
    assert usd("0.00") == 0
    with pytest.raises(TypeError):
        _ = usd("1") > 1
    with pytest.raises(TypeError):
        _ = usd("1") > 0.0


def test_more_decimals_than_the_currency_has_are_refused_not_rounded() -> None:
    with pytest.raises(ValueError, match="more decimals"):
        usd("1.005").plain()


@pytest.mark.parametrize(
    ("currency", "amount", "said"),
    [("usd", "1", "'usd' is not a currency code"), ("USD", "NaN", "a finite number"), ("USD", "Infinity", "finite")],
)
def test_what_is_no_amount_of_a_currency_is_never_money(currency: str, amount: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Money(currency, Decimal(amount))


def test_equal_amounts_are_one_key_however_they_are_written() -> None:
    assert {usd("1.0"): "one"}[usd("1.00")] == "one"
    assert usd("1.00") >= usd("1.0")


def test_money_below_zero_is_less_than_nothing() -> None:
    assert usd("0.50") - usd("1.50") == -usd("1.00")
    assert -usd("1.00") < 0 <= usd("0.00")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e3", "", " 1", "1_0", "٣"])
def test_an_answer_with_an_odd_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        from_shopify(text, USD)


def test_a_rate_rounds_up_and_is_only_made_of_the_same_thing() -> None:
    assert at_rate(Money("EUR", Decimal("7.00")), Money("EUR", Decimal("7.00")), usd("8.26")) == usd("8.26")
    assert at_rate(Money("EUR", Decimal("0.01")), Money("EUR", Decimal("7.00")), usd("8.26")) == usd("0.02")
    with pytest.raises(ValueError, match="no rate"):
        at_rate(Money("EUR", Decimal(1)), Money("EUR", Decimal(0)), usd("8.26"))


@given(st.lists(st.decimals(min_value=0, max_value=10**9, places=2), max_size=20))
def test_a_total_loses_no_cent(parts: list[Decimal]) -> None:
    assert total([Money(USD, one) for one in parts], USD).amount == sum(parts, Decimal(0))


@given(st.sampled_from(["JPY", "USD", "KWD"]), st.integers(min_value=0, max_value=10**12 - 1))
def test_what_is_written_plain_is_read_back(currency: str, minor: int) -> None:
    money = Money(currency, Decimal(minor).scaleb(-decimals(currency)))
    assert parse_amount(money.plain(), currency) == money


def test_decimals_follow_iso_where_cldr_shows_fewer() -> None:
    assert Money("RSD", Decimal("1250.50")).plain() == "1250.50"
    assert Money("IQD", Decimal("1.250")).show() == "IQD\xa01.250"
    assert parse_amount("1250.50", "RSD").amount == Decimal("1250.50")
