"""The sandbox store over its socket: money, refusals, keys, cancels, search, pages."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.sandbox_client import (
    REFUND,
    SUGGEST,
    Client,
    line_id,
    order_id,
    payment_id,
    started,
    transfer,
    units,
)


@pytest.fixture(scope="module")
def running() -> Iterator[Client]:
    with started(cancel_delay=0.1, settle_delay=0.2) as client:
        yield client


@pytest.fixture
def store(running: Client) -> Client:
    running.control("POST", "reset")
    return running


def until(look: Any, wanted: Any) -> None:
    """Ask again until `look()` is `wanted`, for at most three seconds."""
    waiting = threading.Event()
    for _ in range(60):
        if look() == wanted:
            return
        waiting.wait(0.05)
    assert look() == wanted


# ---------------------------------------------------------------- suggestions


def test_one_line_of_a_plain_order(store: Client) -> None:
    assert store.suggest(1001, [(1, 1)]) == {
        "amountSet": {"presentmentMoney": "25.0", "shopMoney": "25.0"},
        "maximumRefundableSet": "67.5",
        "subtotalSet": "25.0",
        "discountedSubtotalSet": "25.0",
        "totalCartDiscountAmountSet": "0.0",
        "totalTaxSet": "0.0",
        "shipping": {"amountSet": "0.0", "taxSet": "0.0", "maximumRefundableSet": "5.0"},
        "refundLineItems": [
            {
                "quantity": 1,
                "restockType": "CANCEL",
                "location": {"id": "gid://shopify/Location/6001"},
                "subtotalSet": "25.0",
            }
        ],
        "suggestedTransactions": [
            {
                "kind": "SUGGESTED_REFUND",
                "gateway": "shopify_payments",
                "amountSet": "25.0",
                "maximumRefundableSet": "67.5",
                "parentTransaction": {"id": payment_id(1001)},
            }
        ],
    }


def sums(made: Any) -> tuple[str, ...]:
    names = ("subtotalSet", "totalCartDiscountAmountSet", "totalTaxSet")
    return (*(made[name] for name in names), made["amountSet"]["presentmentMoney"])


@pytest.mark.parametrize(
    ("number", "lines", "more", "wanted"),
    [
        (1002, [(1, 1)], {}, ("20.0", "0.0", "0.0", "20.0")),  # discount on the line
        (1003, [(1, 1), (2, 1)], {}, ("37.5", "6.0", "0.0", "31.5")),  # discount on the order
        (1004, [(2, 1)], {}, ("25.0", "2.5", "1.86", "24.36")),  # code, tax added
        (1004, [], {"shipping": "2.50"}, ("0.0", "0.0", "0.21", "2.71")),  # shipping with its tax
        (1005, [(1, 1)], {"shipping": "5.00"}, ("129.0", "0.0", "10.64", "144.64")),
        (1006, [(1, 1)], {}, ("39.95", "0.0", "6.66", "39.95")),  # tax is inside
        (1007, [(1, 1), (2, 1)], {"shipping": "5"}, ("37.5", "0.0", "0.0", "42.5")),  # what is left
        (1001, [], {"shipping": "99.00"}, ("0.0", "0.0", "0.0", "5.0")),  # no more than the shipping
        (1001, [], {"full": True}, ("62.5", "0.0", "0.0", "67.5")),
        (1025, [(1, 1)], {"shipping": "300"}, ("3700.0", "0.0", "0.0", "4000.0")),  # yen
        (1026, [(1, 2)], {"shipping": "0.125"}, ("24.69", "0.0", "0.0", "24.815")),  # dinar
        (1039, [(1, 1)], {}, ("12.5", "0.0", "0.0", "0.0")),  # nothing is left
        (1020, [(1, 1)], {}, ("129.0", "0.0", "0.0", "0.0")),  # nothing was captured
    ],
)
def test_sums_of_a_suggestion(store: Client, number: int, lines: Any, more: Any, wanted: Any) -> None:
    assert sums(store.suggest(number, lines, **more)) == wanted


def test_a_suggestion_fills_gift_card_then_card(store: Client) -> None:
    rows = store.suggest(1021, [(1, 2)])["suggestedTransactions"]
    assert [(one["gateway"], one["amountSet"], one["maximumRefundableSet"]) for one in rows] == [
        ("gift_card", "30.0", "30.0"),
        ("shopify_payments", "20.0", "64.95"),
    ]


def test_a_mixed_line_becomes_two_rows(store: Client) -> None:
    rows = store.suggest(1018, [(1, 3)])["refundLineItems"]
    assert [(one["quantity"], one["restockType"], one["subtotalSet"]) for one in rows] == [
        (2, "CANCEL", "79.9"),
        (1, "RETURN", "39.95"),
    ]


def test_no_location_is_suggested_where_the_warehouse_is_closed(store: Client) -> None:
    assert [one["location"] for one in store.suggest(1038, [(1, 1)])["refundLineItems"]] == [None]


def test_both_sides_of_a_euro_order(store: Client) -> None:
    made = store.suggest(1024, [(1, 1)])
    assert made["amountSet"] == {"presentmentMoney": "21.19", "shopMoney": "25.0"}


def test_units_of_a_line_refunded_one_by_one_sum_up_exactly(store: Client) -> None:
    paid = []
    for key in ("a", "b", "c"):
        amount = store.suggest(1035, [(1, 1)])["amountSet"]["presentmentMoney"]
        made = store.refund(1035, amount, key, refundLineItems=[units(1035, 1, 1)])
        assert made["userErrors"] == []
        paid.append(amount)
    assert paid == ["3.33", "3.33", "3.34"]


# ---------------------------------------------------------------- refundCreate


def test_a_refund_moves_money_restocks_and_is_recorded(store: Client) -> None:
    rows = [units(1001, 1, 1)]
    made = store.refund(1001, "30.00", "k", refundLineItems=rows, shipping={"amount": "5.00"}, note="torn")
    identity = made["refund"].pop("id")
    assert made == {
        "refund": {
            "note": "torn",
            "totalRefundedSet": "30.0",
            "refundLineItems": [{"quantity": 1, "restockType": "CANCEL", "restocked": True, "subtotalSet": "25.0"}],
            "transactions": [{"status": "SUCCESS", "gateway": "shopify_payments", "amountSet": "30.0"}],
            "orderAdjustments": [],
        },
        "order": {"displayFinancialStatus": "PARTIALLY_REFUNDED", "totalRefundedSet": "30.0"},
        "userErrors": [],
    }
    order = store.order(1001)
    assert [one["id"] for one in order["refunds"]] == [identity]
    assert order["lineItems"][0] == {
        "id": line_id(1001),
        "currentQuantity": 1,
        "refundableQuantity": 1,
        "unfulfilledQuantity": 1,
    }
    assert (order["currentTotalPriceSet"], order["totalOutstandingSet"]) == ("37.5", "0.0")


def test_units_not_restocked_stay_to_be_fulfilled(store: Client) -> None:
    store.refund(1001, "25.00", "k", refundLineItems=[units(1001, 1, 1, "NO_RESTOCK")])
    line = store.order(1001)["lineItems"][0]
    assert (line["currentQuantity"], line["refundableQuantity"], line["unfulfilledQuantity"]) == (1, 1, 2)


def test_no_transactions_move_no_money(store: Client) -> None:
    made = store.refund(1001, None, "k", refundLineItems=[units(1001, 1, 1)], transactions=[])
    assert (made["refund"]["totalRefundedSet"], made["userErrors"]) == ("0.0", [])
    assert store.order(1001)["netPaymentSet"]["presentmentMoney"] == "67.5"


@pytest.mark.parametrize(
    ("amount", "reason"), [("20.00", [{"reason": "REFUND_DISCREPANCY", "amountSet": "5.0"}]), ("25.00", [])]
)
def test_less_than_the_lines_is_a_discrepancy(store: Client, amount: str, reason: Any) -> None:
    made = store.refund(1001, amount, "k", refundLineItems=[units(1001, 1, 1)])
    assert made["refund"]["orderAdjustments"] == reason


def test_an_amount_alone_is_a_negative_discrepancy(store: Client) -> None:
    made = store.refund(1001, "5.00", "k")
    assert made["refund"]["orderAdjustments"] == [{"reason": "REFUND_DISCREPANCY", "amountSet": "-5.0"}]


REFUSED = [
    (
        1001,
        {"transactions": [transfer(1001, "999.00")]},
        None,
        "Refund amount $999.00 is greater than net payment received $67.50",
    ),
    (
        1001,
        {"transactions": [transfer(1001, "999.00")], "allowOverRefunding": True},
        None,
        "Refund amount $999.00 is greater than net payment received $67.50",
    ),
    (
        1001,
        {"refundLineItems": [units(1001, 1, 3)]},
        ["refundLineItems", "0", "quantity"],
        "Quantity cannot refund more items than were purchased",
    ),
    (
        1001,
        {"refundLineItems": [units(1001, 1, 1), units(1001, 1, 2)]},
        ["refundLineItems", "1", "quantity"],
        "Quantity cannot refund more items than were purchased",
    ),
    (
        1001,
        {"transactions": [{**transfer(1001, "1.00"), "kind": "AUTHORIZATION"}]},
        None,
        "Kind authorization is not a valid transaction",
    ),
    (
        1001,
        {"transactions": [{**transfer(1001, "1.00"), "parentId": payment_id(1002)}]},
        ["transactions"],
        "Transactions require a parent_id associated with the order",
    ),
    (9999, {}, ["orderId"], "Order does not exist"),
]


@pytest.mark.parametrize(("number", "given", "field", "message"), REFUSED)
def test_refused_in_recorded_words(store: Client, number: int, given: Any, field: Any, message: str) -> None:
    made = store.refund(number, None, "k", **given)
    assert made["refund"] is None
    assert made["userErrors"] == [{"field": field, "message": message}]


def test_each_of_several_payments_has_its_own_maximum(store: Client) -> None:
    made = store.refund(1021, "31.00", "k", parent=0)
    assert [one["field"] for one in made["userErrors"]] == [["transactions"]]
    both = [transfer(1021, "30.00", 0), transfer(1021, "10.00", 1)]
    assert store.refund(1021, None, "l", transactions=both)["refund"]["totalRefundedSet"] == "40.0"


def test_another_currency_must_be_named(store: Client) -> None:
    assert [one["field"] for one in store.refund(1024, "21.19", "k")["userErrors"]] == [["currency"]]
    assert store.refund(1024, "21.19", "k", currency="EUR")["userErrors"] == []
    order = store.order(1024)
    assert order["totalRefundedSet"] == {
        "presentmentMoney": "21.19",
        "shopMoney": "25.0",
    }


def test_everything_back_in_another_currency_leaves_nothing_on_either_side(store: Client) -> None:
    store.refund(1024, "10.00", "a", currency="EUR")
    store.refund(1024, "47.21", "b", currency="EUR")
    assert store.order(1024)["netPaymentSet"] == {
        "presentmentMoney": "0.0",
        "shopMoney": "0.0",
    }


def test_a_pending_refund_settles(store: Client) -> None:
    made = store.refund(1031, "10.00", "k")
    assert [one["status"] for one in made["refund"]["transactions"]] == ["PENDING"]
    assert made["refund"]["orderAdjustments"][-1] == {
        "reason": "PENDING_REFUND_DISCREPANCY",
        "amountSet": "10.0",
    }
    until(lambda: store.order(1031)["transactions"][-1]["status"], "SUCCESS")


def test_a_refund_that_fails_gives_its_money_back_to_the_order(store: Client) -> None:
    store.refund(1032, "10.00", "k")
    until(lambda: store.order(1032)["transactions"][-1]["status"], "FAILURE")
    assert store.order(1032)["netPaymentSet"]["presentmentMoney"] == "67.5"


# ---------------------------------------------------------------- keys


def test_without_a_key_nothing_is_done(store: Client) -> None:
    given = {"orderId": order_id(1001), "transactions": [transfer(1001, "1.00")]}
    query = "mutation($in: RefundInput!) { refundCreate(input: $in) { refund { id } userErrors { message } } }"
    assert store.ask(query, {"in": given}) == {
        "data": {"refundCreate": None},
        "errors": [
            {
                "message": "The @idempotent directive is required for this mutation but was not provided.",
                "extensions": {"code": "BAD_REQUEST"},
                "path": ["refundCreate"],
            }
        ],
    }
    assert store.order(1001)["refunds"] == []


def test_the_same_key_gives_the_first_refund_as_it_is_now(store: Client) -> None:
    first = store.refund(1001, "10.00", "k")
    store.refund(1001, "5.00", "other")
    again = store.refund(1001, "10.00", "k")
    assert again["refund"] == first["refund"]
    assert again["order"]["totalRefundedSet"] == "15.0"


def test_the_same_key_with_other_parameters_is_refused(store: Client) -> None:
    store.refund(1001, "10.00", "k")
    made = store.refund(1001, "11.00", "k")
    said = "The same idempotency key cannot be used with different operation parameters."
    assert (made["refund"], [one["message"] for one in made["userErrors"]]) == (None, [said])


def test_a_refused_refund_does_not_use_up_its_key(store: Client) -> None:
    assert store.refund(1001, "999.00", "k")["refund"] is None
    assert store.refund(1001, "9.00", "k")["userErrors"] == []


def test_a_key_is_forgotten_after_a_day(store: Client) -> None:
    state, clock = store.running.state, store.running.state.clock
    first = store.refund(1001, "10.00", "k")["refund"]["id"]
    with state.lock:
        state.clock = lambda: clock() + 24 * 3600 + 1
    try:
        assert store.refund(1001, "10.00", "k")["refund"]["id"] != first
    finally:
        state.clock = clock


def test_two_at_once_with_one_key_make_one_refund(store: Client) -> None:
    store.control("POST", "settings", {"work_delay": 0.3})
    made: list[Any] = []
    threads = [threading.Thread(target=lambda: made.append(store.refund(1001, "10.00", "k"))) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    store.control("POST", "settings", {"work_delay": 0})
    said = sorted(error["message"] for one in made for error in one["userErrors"])
    assert said == ["This request is currently in progress, please try again."]
    assert len(store.order(1001)["refunds"]) == 1


# ---------------------------------------------------------------- orderCancel


def test_a_cancel_is_a_job_that_refunds_and_restocks(store: Client) -> None:
    made = store.cancel(1001, method={"originalPaymentMethodsRefund": True}, note="[ref ABC123]")
    assert (made["job"]["done"], made["jobResult"]["status"]) == (False, "STARTED")
    assert store.order(1001)["cancelledAt"] is None
    query = "query($id: ID!) { node(id: $id) { ... on OrderCancelJobResult { status order { name } } } }"
    result = {"id": made["jobResult"]["id"]}
    until(lambda: store.data(query, result)["node"], {"status": "SUCCEEDED", "order": {"name": "#1001"}})
    order = store.order(1001)
    assert order["cancellation"] == {"staffNote": "[ref ABC123]"}
    assert order["displayFinancialStatus"] == "REFUNDED"
    assert (order["cancelReason"], order["currentTotalPriceSet"]) == ("CUSTOMER", "0.0")
    assert [one["note"] for one in order["refunds"]] == ["Order canceled"]
    assert {one["unfulfilledQuantity"] for one in order["lineItems"]} == {0}


def test_a_cancel_without_refund_leaves_the_money_for_a_later_amount(store: Client) -> None:
    store.cancel(1001)
    until(lambda: store.order(1001)["cancelledAt"] is None, False)
    assert store.order(1001)["netPaymentSet"]["presentmentMoney"] == "67.5"
    assert store.refund(1001, "20.00", "k")["userErrors"] == []
    assert store.order(1001)["displayFinancialStatus"] == "PARTIALLY_REFUNDED"


def test_a_cancel_releases_a_hold(store: Client) -> None:
    store.cancel(1020)
    until(lambda: store.order(1020)["displayFinancialStatus"], "VOIDED")
    order = store.order(1020)
    assert [one["kind"] for one in order["transactions"]] == ["AUTHORIZATION", "VOID"]
    assert order["totalCapturableSet"] == "0.0"


def test_a_cancel_can_fail_after_it_was_accepted(store: Client) -> None:
    made = store.cancel(1040, method={"originalPaymentMethodsRefund": True})
    query = "query($id: ID!) { node(id: $id) { ... on OrderCancelJobResult { status errors { code } } } }"
    result = {"id": made["jobResult"]["id"]}
    until(lambda: store.data(query, result)["node"], {"status": "FAILED", "errors": [{"code": "INVALID"}]})
    order = store.order(1040)
    assert (order["cancelledAt"], order["refunds"]) == (None, [])


@pytest.mark.parametrize(
    ("number", "given", "field", "message", "code"),
    [
        (1008, {}, ["orderId"], "Cannot cancel an order that has outstanding fulfillments", "INVALID"),
        (1009, {}, ["orderId"], "Cannot cancel an order that has outstanding fulfillments", "INVALID"),
        (1016, {}, ["orderId"], "Cannot cancel an order that has outstanding fulfillments", "INVALID"),
        (1028, {}, ["orderId"], "Cannot cancel an order that has already been canceled", "INVALID"),
        (1033, {}, ["orderId"], "Cannot cancel an order that has returns", "INVALID"),
        (
            1001,
            {"note": "x" * 256},
            ["staffNote"],
            "Staff note is too long. Maximum length is 255 characters.",
            "INVALID",
        ),
        (9999, {}, ["orderId"], "Order does not exist", "NOT_FOUND"),
    ],
)
def test_cancels_that_are_refused(store: Client, number: int, given: Any, field: Any, message: str, code: str) -> None:
    assert store.cancel(number, **given) == {
        "job": None,
        "jobResult": None,
        "orderCancelUserErrors": [{"field": field, "message": message, "code": code}],
    }


def test_a_second_cancel_meets_the_first(store: Client) -> None:
    store.control("POST", "settings", {"cancel_delay": 5})
    store.cancel(1001)
    said = [one["message"] for one in store.cancel(1001)["orderCancelUserErrors"]]
    store.control("POST", "settings", {"cancel_delay": 0.1})
    assert said == ["Cancellation is already in progress"]


# ---------------------------------------------------------------- search and pages

NAMES = "query($q: String, $n: Int) { orders(first: $n, query: $q, reverse: true) { nodes { name } } }"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('email:"edna@example.com"', ["#1041"]),
        ('email:"EDNA@example.com"', ["#1041"]),
        ('email:"fritz@example.com"', []),
        ('email:"hostile+\\"x\\"@example.com"', ["#1030"]),
        ('name:"#1005"', ["#1005"]),
        ("name:1005", ["#1005"]),
        ('email:"ada@example.com" AND name:#1005', ["#1005"]),
        ('email:"x" OR email:"edna@example.com"', []),
    ],
)
def test_orders_are_found_by_email_and_name(store: Client, query: str, names: list[str]) -> None:
    found = store.data(NAMES, {"q": query, "n": 10})["orders"]
    assert [one["name"] for one in found] == names


def test_a_customer_has_a_list_of_orders_and_one_has_exactly_one(store: Client) -> None:
    counts = {
        one["email"]: len(store.data(NAMES, {"q": f'email:"{quoted(one["email"])}"', "n": 50})["orders"])
        for one in store.control("GET", "customers")
        if one["email"]
    }
    assert counts == {
        "ada@example.com": 10,
        "bilal@example.com": 9,
        "chen@example.com": 8,
        "dolores@example.com": 12,
        "edna@example.com": 1,
        "fritz@example.com": 0,
        'hostile+"x"@example.com': 1,
    }


def quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def test_a_long_order_is_read_page_by_page(store: Client) -> None:
    query = """query($id: ID!, $after: String) { order(id: $id) { lineItems(first: 100, after: $after) {
        nodes { sku } pageInfo { hasNextPage endCursor } } } }"""
    after, pages = None, []
    while True:
        page = store.data(query, {"id": order_id(1027), "after": after})["order"]["lineItems"]
        pages.append([one["sku"] for one in page["nodes"]])
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert [len(one) for one in pages] == [100, 20]
    assert len({sku for page in pages for sku in page}) == 120


# ---------------------------------------------------------------- statuses


def test_every_fulfilment_status_has_an_order(store: Client) -> None:
    found = {one["fulfillment_status"] for one in store.control("GET", "ledger")}
    assert found == {
        "FULFILLED",
        "FULFILLMENT_NOT_REQUIRED",
        "IN_PROGRESS",
        "ON_HOLD",
        "OPEN",
        "PARTIALLY_FULFILLED",
        "PENDING_FULFILLMENT",
        "REQUEST_DECLINED",
        "RESTOCKED",
        "SCHEDULED",
        "UNFULFILLED",
    }


def test_payment_statuses_follow_from_the_transactions(store: Client) -> None:
    found = {one["name"]: one["financial_status"] for one in store.control("GET", "ledger")}
    wanted = {
        "#1001": "PAID",
        "#1007": "PARTIALLY_REFUNDED",
        "#1019": "PENDING",
        "#1020": "AUTHORIZED",
        "#1028": "PARTIALLY_REFUNDED",
        "#1039": "REFUNDED",
    }
    assert {name: found[name] for name in wanted} == wanted


def test_whoever_has_no_token_reads_nothing(store: Client) -> None:
    answer = store.post("{ shop { name } }", token="wrong")
    assert (answer.status_code, list(answer.json())) == (401, ["errors"])


def test_a_shape_the_schema_does_not_have_is_refused_in_recorded_words(store: Client) -> None:
    query = REFUND.replace("userErrors { field message }", "userErrors { field message code }")
    answer = store.ask(query, {"input": {"orderId": order_id(1001)}, "key": "k"})
    assert answer == {
        "errors": [
            {
                "message": "Field 'code' doesn't exist on type 'UserError'",
                "extensions": {"code": "undefinedField", "typeName": "UserError", "fieldName": "code"},
            }
        ]
    }


def test_the_admin_page_shows_hostile_text_as_text(store: Client) -> None:
    page = requests.get(f"{store.url}/orders/{5_000_000_001_030}", timeout=5).text
    assert "&lt;script&gt;" in page
    assert "<script" not in page


def test_two_rows_of_one_line_do_not_share_an_odd_cent(store: Client) -> None:
    rows = [
        {"lineItemId": line_id(1035), "quantity": count, "restockType": kind}
        for count, kind in ((2, "CANCEL"), (1, "NO_RESTOCK"))
    ]
    made = store.data(SUGGEST, {"id": order_id(1035), "lines": rows})["order"]["suggestedRefund"]
    assert [one["subtotalSet"] for one in made["refundLineItems"]] == ["6.67", "3.33"]
    assert made["subtotalSet"] == "10.0"
