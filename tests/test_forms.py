"""What an agent may type, and the one sentence for every mistake. On the real refund form, without a shop."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from plugin import forms
from plugin.bundle import Action, Limit
from plugin.expr import Scope
from plugin.money import Money
from plugin.shapes import Agent, FormState
from plugin.spec import load_bundle
from tests.shared import ROOT

BUNDLE = load_bundle(ROOT)
REFUND: Action = BUNDLE.actions["shopify.order.refund"]
LEAD = Agent("sam", "Sam", "supervisor", BUNDLE.permission_sets["supervisor"].grants, Limit("100"))
AGENT = replace(LEAD, permissions=BUNDLE.permission_sets["agent"].grants)


def usd(text: str) -> Money:
    return Money("USD", Decimal(text))


def bag(text: str) -> dict[str, Money]:
    return {"presentmentMoney": usd(text)}


def line(id: str, refundable: int, unfulfilled: int) -> dict[str, Any]:
    return {
        "id": id, "title": f"Item {id}", "variantTitle": None, "sku": f"SKU-{id}", "quantity": 9,
        "refundableQuantity": refundable, "unfulfilledQuantity": unfulfilled,
        "discountedUnitPriceAfterAllDiscountsSet": bag("5.00"),
    }  # fmt: skip


def paid(id: str, most: str, now: str) -> dict[str, Any]:
    return {
        "gateway": "bogus", "formattedGateway": f"Card {id}", "accountNumber": None, "amountSet": bag(now),
        "maximumRefundableSet": bag(most), "parentTransaction": {"id": id, "manualPaymentGateway": False},
    }  # fmt: skip


ORDER = {
    "id": "gid://shopify/Order/1", "name": "#1", "cancelledAt": None, "displayFulfillmentStatus": "UNFULFILLED",
    "presentmentCurrencyCode": "USD", "lineItems": {"nodes": [line("a", 3, 3), line("b", 0, 0), line("c", 2, 1)]},
    "transactions": [],
}  # fmt: skip
PREVIEW = {
    "order": {
        "suggestedRefund": {
            "shipping": {"maximumRefundableSet": bag("4.00")}, "suggestedTransactions": [paid("p1", "10.00", "6.00")],
            "refundLineItems": [],
        },
        "full": {
            "maximumRefundableSet": bag("30.00"),
            "suggestedTransactions": [paid("p1", "10.00", "10.00"), paid("p2", "20.00", "20.00")],
        },
    },
    "locations": {"nodes": []},
}  # fmt: skip


def fill(raw: dict[str, Any] | None, agent: Agent = LEAD, shown: dict[str, Any] | None = None) -> FormState:
    values = {"order": ORDER, "agent": agent.data(), "store": {}, "settings": {"refund_after_fulfillment": False}}
    scope = Scope(values, REFUND.lets)
    state = forms.begin(REFUND, scope, agent, raw, shown or {})
    return forms.complete(REFUND, scope.also(preview=PREVIEW), agent, state)


def chosen(state: FormState) -> dict[str, int]:
    return {one.option.id: one.quantity for one in state.values["lines"]}


def split(state: FormState) -> dict[str, Money]:
    return {one.option.id: one.amount for one in state.values["payments"]}


def test_a_form_opens_with_its_defaults() -> None:
    state = fill(None)
    assert (chosen(state), state.values["notify"], state.values["shipping"], state.errors) == ({}, True, None, {})
    assert [one.id for one in state.options["lines"]] == ["a", "c"]


def test_quantities_become_selections() -> None:
    assert chosen(fill({"lines": {"a": "2", "c": "0"}})) == {"a": 2}
    assert chosen(fill({"lines": {"SKU-a": 1}})) == {"a": 1}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ({"a": "4"}, "Item a: at most 3."),
        ({"c": "2"}, "Item c: at most 1."),
        ({"a": "-1"}, "Item a: write a whole number from 0 to 3."),
        ({"a": "1.0"}, "Item a: write a whole number from 0 to 3."),
        ({"a": "٣"}, "Item a: write a whole number from 0 to 3."),
        ({"a": "01"}, "Item a: write a whole number from 0 to 3."),
        ({"a": ""}, "Item a: write a whole number from 0 to 3."),
        ({"a": "1" * 5000}, "Item a: write a whole number from 0 to 3."),
        ({"b": "1"}, "b is not an item of this order that can be chosen."),
        (
            {"gid://shopify/LineItem/9": "1"},
            "gid://shopify/LineItem/9 is not an item of this order that can be chosen.",
        ),
        ({"a": "1", "SKU-a": "1"}, "An item is listed twice."),
        ("a", "A list of quantities is needed here."),
    ],
)
def test_a_wrong_quantity_is_refused_with_its_cure(lines: Any, said: str) -> None:
    assert fill({"lines": lines}).errors == {"lines": said}


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("shipping", "4.01", "At most $4.00."),
        ("shipping", "1,00", "Write the amount with digits and a point only, like 5.00."),
        ("amount", "30.01", "At most $30.00."),
        ("amount", "1e3", "Write the amount with digits and a point only, like 5.00."),
        ("reason", "x" * 243, "At most 242 characters; this has 243."),
        ("restock", "maybe", "Say true or false."),
        ("amount", 5.0, "Write this as text, in quotes."),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(field: str, text: Any, said: str) -> None:
    raw = {"lines": {"a": "1"}, field: text}
    assert fill(raw).errors == {field: said}


def test_an_unknown_field_is_refused() -> None:
    assert fill({"allowOverRefunding": "true"}).errors == {"": "This form has no field 'allowOverRefunding'."}


def test_a_manual_amount_is_filled_in_listed_order() -> None:
    assert split(fill({"amount": "12.00"})) == {"p1": usd("10.00"), "p2": usd("2.00")}
    assert split(fill({})) == {"p1": usd("6.00"), "p2": usd("0")}


def test_an_amount_that_was_shown_was_not_typed() -> None:
    shown = {"payments": {"p1": "5.00", "p2": "0.00"}}
    assert split(fill({"payments": {"p1": "5.00", "p2": "0.00"}}, shown=shown)) == {"p1": usd("6.00"), "p2": usd("0")}
    assert split(fill({"payments": {"p1": "4.00"}}, shown=shown))["p1"] == usd("4.00")


@pytest.mark.parametrize(
    ("payments", "said"),
    [
        ({"p1": "10.01"}, "Card p1: at most $10.00."),
        ({"p9": "1.00"}, "p9 is not a payment of this order that can be paid back."),
        ({"p1": "-1"}, "Write the amount with digits and a point only, like 5.00."),
    ],
)
def test_a_wrong_payment_is_refused(payments: dict[str, str], said: str) -> None:
    assert fill({"payments": payments}).errors == {"payments": said}


def test_without_the_permission_the_field_is_not_there_and_refused_when_sent() -> None:
    state = fill({"amount": "5.00"}, AGENT)
    assert (state.errors, state.values["amount"]) == (
        {"amount": "You do not have the permission for this field."},
        None,
    )
    assert fill({"payments": {"p1": "5.00"}}, AGENT).errors == {
        "payments": "You do not have the permission to change how it is paid back."
    }


def test_text_is_kept_as_typed_without_control_characters() -> None:
    assert fill({"reason": " a\x00b\r\nc ${{ agent }} "}).values["reason"] == "ab\nc ${{ agent }}"


def test_a_hidden_field_has_no_value() -> None:
    state = fill({"restock": "true"})
    assert (state.values["restock"], "restock" in state.hidden) == (False, True)
