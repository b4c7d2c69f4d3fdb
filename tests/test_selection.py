"""Many files read one order in one query, and each gets its own names back."""

from decimal import Decimal

import pytest
from graphql import GraphQLError

from plugin.documents import changes, fingerprint, order_query, receipt
from plugin.money import Money
from plugin.selection import decode, merge, restore, selection, sent_key
from plugin.shapes import OrderFacts

USD5 = {"amount": "5.0", "currencyCode": "USD"}


def test_one_field_with_two_arguments_is_sent_under_two_keys() -> None:
    merged = merge(
        [selection("items: lineItems(first: 10) { nodes { id } }"), selection("lineItems(first: 20) { nodes { sku } }")]
    )
    keys = [sent_key(node) for node in merged.selections]  # type: ignore[arg-type]
    assert len(set(keys)) == 2
    assert all(key.startswith("lineItems_") for key in keys)


def test_one_alias_for_two_fields_does_not_clash() -> None:
    one, two = selection("total: netPaymentSet { presentmentMoney { amount currencyCode } }"), selection("total: name")
    data = {"netPaymentSet": {"presentmentMoney": USD5}, "name": "#1"}
    assert restore(one, data) == {"total": {"presentmentMoney": Money("USD", Decimal("5.0"))}}
    assert restore(two, data) == {"total": "#1"}


def test_fragments_are_put_in_place() -> None:
    node = selection("fragment A on Order { id ...B } fragment B on Order { name }")
    assert restore(node, {"id": "1", "name": "#1"}) == {"id": "1", "name": "#1"}


def test_an_answer_that_lacks_a_field_is_refused() -> None:
    with pytest.raises(ValueError, match="the answer has no name"):
        restore(selection("id name"), {"id": "1"})


def test_text_that_is_not_graphql_is_refused() -> None:
    with pytest.raises(GraphQLError):
        selection("id {")


def test_a_document_is_decoded_in_its_authors_names() -> None:
    assert decode("query { a: order(id: 1) { t: tip { amount currencyCode } } }", {"a": {"t": USD5}}) == {
        "a": {"t": Money("USD", Decimal("5.0"))}
    }


def test_the_merged_order_rides_in_the_payload_and_the_receipt_keeps_only_the_authors_part() -> None:
    query = order_query(["name tags"])
    mutation = "mutation M($input: RefundInput!) { refundCreate(input: $input) { refund { id } order { note } } }"
    sent = query.in_payload(mutation)
    assert "tags" in sent
    assert "note" in sent
    payload = {"refund": {"id": "r"}, "order": {"note": "n", "tags": [], "name": "#1"}}
    assert receipt(mutation, payload) == {"refund": {"id": "r"}, "order": {"note": "n"}}


def facts(**changed: object) -> OrderFacts:
    zero = Money.zero("USD")
    known: dict[str, object] = {
        "id": "1", "name": "#1", "email": "", "updated_at": "", "cancelled_at": None, "staff_note": None,
        "financial_status": "PAID", "fulfillment_status": "UNFULFILLED", "net_shop": zero, "net_presentment": zero,
        "rate_shop": zero, "rate_presentment": zero, "refunded": zero, "refunds": (), "quantities": (("l", 1, 1),),
    }  # fmt: skip
    return OrderFacts(**{**known, **changed})  # type: ignore[arg-type]


def test_a_fingerprint_says_in_words_what_changed() -> None:
    before = fingerprint(facts())
    assert changes(before, fingerprint(facts(updated_at="later"))) == []
    after = fingerprint(facts(refunded=Money("USD", Decimal(5)), cancelled_at="now", financial_status="REFUNDED"))
    assert changes(before, after) == [
        "refunded was $0.00 and is now $5.00",
        "the order was cancelled meanwhile",
        "the payment status was PAID and is now REFUNDED",
    ]
