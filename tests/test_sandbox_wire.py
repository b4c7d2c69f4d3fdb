"""The sandbox store's faults, limits, log, webhooks and the routes a person uses."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from graphql import build_schema, parse

from plugin.cost import Price, counted
from plugin.sandbox.store import UNPROVEN, seeds
from tests.sandbox_client import BASE, REFUND, SCHEMA, Client, order_id, started, transfer
from tests.shared import ROOT


@pytest.fixture(scope="module")
def running() -> Iterator[Client]:
    with started(cancel_delay=0.1, settle_delay=0.2) as client:
        yield client


@pytest.fixture
def store(running: Client) -> Iterator[Client]:
    running.control("POST", "reset")
    yield running
    running.control("POST", "settings", {"bucket": 2000, "restore_rate": 100, "served_version": None})


def send(store: Client, timeout: float = 5) -> requests.Response:
    given = {"orderId": order_id(1001), "transactions": [transfer(1001, "10.00")]}
    return store.post(REFUND, {"input": given, "key": "k"}, timeout=timeout)


def fault(store: Client, kind: str, on: str = "refundCreate", **more: Any) -> None:
    store.control("POST", "faults", {"on": on, "kind": kind, **more})


def refunds(store: Client) -> int:
    return len(store.order(1001)["refunds"])


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("kind", "wrong", "done"),
    [
        ("done-then-timeout", requests.ReadTimeout, 1),
        ("timeout-not-done", requests.ReadTimeout, 0),
        ("cut-body", requests.exceptions.ChunkedEncodingError, 1),
        ("reset", requests.ConnectionError, 0),
    ],
)
def test_faults_without_an_answer(store: Client, kind: str, wrong: type[Exception], done: int) -> None:
    fault(store, kind, seconds=1)
    with pytest.raises(wrong):
        send(store, timeout=0.4)
    assert refunds(store) == done
    assert send(store).json()["data"]["refundCreate"]["userErrors"] == []
    assert refunds(store) == 1


@pytest.mark.parametrize(
    ("kind", "status", "kind_of_body", "done"),
    [
        ("502-before", 502, "text/html", 0),
        ("502-after", 502, "text/html", 1),
        ("html", 200, "text/html", 0),
        ("slow", 200, "application/json", 1),
        ("data-null", 200, "application/json", 1),
        ("throttled", 200, "application/json", 0),
        ("refused", 200, "application/json", 0),
        ("previous-failed", 200, "application/json", 0),
    ],
)
def test_faults_with_an_answer(store: Client, kind: str, status: int, kind_of_body: str, done: int) -> None:
    fault(store, kind, seconds=0.1)
    answer = send(store)
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (status, kind_of_body)
    assert refunds(store) == done


@pytest.mark.parametrize(("kind", "wanted"), [("throttled", "THROTTLED"), ("data-null", "INTERNAL_SERVER_ERROR")])
def test_faults_that_are_graphql_errors(store: Client, kind: str, wanted: str) -> None:
    fault(store, kind)
    assert [one["extensions"]["code"] for one in send(store).json()["errors"]] == [wanted]


def test_a_fault_strikes_as_often_as_told_and_only_what_it_is_for(store: Client) -> None:
    fault(store, "502-before", on="mutation", times=2)
    assert store.post("{ shop { name } }").status_code == 200
    assert [send(store).status_code for _ in range(3)] == [502, 502, 200]
    fault(store, "502-before", on="query")
    store.control("DELETE", "faults")
    assert store.post("{ shop { name } }").status_code == 200


def test_an_unknown_fault_is_named(store: Client) -> None:
    answer = requests.post(f"{store.url}/_sandbox/faults", json={"on": "query", "kind": "flood"}, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("unknown kind 'flood'; known are done-then-timeout, ")


# ---------------------------------------------------------------- limits and log


def test_an_empty_bucket_throttles_and_refills(store: Client) -> None:
    store.control("POST", "settings", {"bucket": 30, "restore_rate": 1})
    query = "{ orders(first: 50) { nodes { customer { id } } } }"
    first, second = store.post(query).json(), store.post(query.replace("50", "250")).json()
    assert first["extensions"]["cost"]["requestedQueryCost"] == 16
    assert second["errors"] == [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]
    cost = second["extensions"]["cost"]
    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (34, None)
    store.control("POST", "settings", {"bucket": 1000, "restore_rate": 100000})
    assert "data" in store.post(query).json()


def test_one_query_above_a_thousand_points_is_refused(store: Client) -> None:
    query = """{ orders(first: 250) { nodes { lineItems(first: 250) { nodes { id duties { id } } }
      fulfillmentOrders(first: 250) { nodes { id lineItems(first: 250) { nodes { id } } } } } } }"""
    errors = store.post(query).json()["errors"]
    assert [one["extensions"]["code"] for one in errors] == ["MAX_COST_EXCEEDED"]


@pytest.mark.parametrize(("first", "rows"), [(1, 1), (5, 3), (10, 4), (20, 5), (50, 7), (250, 16)])
def test_rows_count_as_recorded(first: int, rows: int) -> None:
    assert counted(first) == rows


def test_a_variable_counts_like_a_number() -> None:
    schema = build_schema(SCHEMA.read_text(encoding="utf-8"), assume_valid=True)
    document = parse("query($n: Int) { orders(first: $n) { edges { node { id } } } }")
    operation = document.definitions[0]
    assert Price(schema, document, {"n": 20}).of(operation) == 7  # type: ignore[arg-type]


def test_the_log_says_what_was_asked(store: Client) -> None:
    store.control("DELETE", "log")
    store.post("query Mine { shop { name } }")
    send(store)
    rows = store.control("GET", "log")
    assert [{key: row[key] for key in row if key != "at"} for row in rows] == [
        {"operation": None, "kind": "query", "root_fields": ["shop"], "cost": 1, "status": 200},
        {"operation": None, "kind": "mutation", "root_fields": ["refundCreate"], "cost": 35, "status": 200},
    ]


def test_the_served_version_can_fall_forward(store: Client) -> None:
    assert store.post("{ shop { name } }", version="2024-01").headers["X-Shopify-API-Version"] == "2026-10"
    store.control("POST", "settings", {"served_version": "2027-01"})
    assert store.post("{ shop { name } }").headers["X-Shopify-API-Version"] == "2027-01"


# ---------------------------------------------------------------- webhooks


class Inbox:
    """A receiver that keeps what it gets; the first `failing` deliveries are answered 500."""

    def __init__(self, failing: int) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.arrived = threading.Condition()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with inbox.arrived:
                    inbox.got.append((dict(self.headers.items()), body))
                    inbox.arrived.notify_all()
                self.send_response(500 if len(inbox.got) <= failing else 200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def wait(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        with self.arrived:
            self.arrived.wait_for(lambda: len(self.got) >= count, timeout=5)
            return list(self.got)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox(failing=1)
    yield made
    made.close()


def test_a_refund_sends_two_signed_webhooks_and_tries_again(inbox: Inbox) -> None:
    url = f"http://127.0.0.1:{inbox.server.server_port}/hook"
    with started(webhook_url=url, webhook_secret="hush") as store:
        made = store.refund(1001, "10.00", "k", note="why")
        got = inbox.wait(3)
    topics = [headers["X-Shopify-Topic"] for headers, _ in got]
    assert topics == ["orders/updated", "orders/updated", "refunds/create"]
    assert got[0][0]["X-Shopify-Webhook-Id"] == got[1][0]["X-Shopify-Webhook-Id"]
    for headers, body in got:
        digest = hmac.new(b"hush", body, hashlib.sha256).digest()
        assert headers["X-Shopify-Hmac-Sha256"] == base64.b64encode(digest).decode()
        assert headers["X-Shopify-Shop-Domain"] == "sandbox.myshopify.com"
    order, refund = json.loads(got[1][1]), json.loads(got[2][1])
    assert (order["id"], order["financial_status"]) == (BASE + 1001, "partially_refunded")
    assert (refund["order_id"], refund["note"]) == (BASE + 1001, "why")
    assert refund["admin_graphql_api_id"] == made["refund"]["id"]


# ---------------------------------------------------------------- what a person does


def test_a_person_refunds_by_hand(store: Client) -> None:
    store.control("POST", f"orders/{BASE + 1001}/refund", {"amount": "7.50", "note": "by hand"})
    order = store.order(1001)
    assert [one["note"] for one in order["refunds"]] == ["by hand"]
    assert order["totalRefundedSet"]["presentmentMoney"] == "7.5"


def test_the_form_of_the_admin_page_refunds(store: Client) -> None:
    address = f"{store.url}/_sandbox/orders/{BASE + 1001}/refund"
    answer = requests.post(address, data={"amount": "7.50", "note": ""}, timeout=5)
    assert (answer.status_code, refunds(store)) == (200, 1)
    assert "<h1>Order #1001</h1>" in answer.text


def test_a_person_cannot_refund_more_than_is_there(store: Client) -> None:
    address = f"{store.url}/_sandbox/orders/{BASE + 1001}/refund"
    answer = requests.post(address, json={"amount": "99"}, timeout=5)
    said = "Refund amount $99.00 is greater than net payment received $67.50"
    assert (answer.status_code, answer.json()) == (422, {"message": said})


def test_a_touched_legacy_order_is_one_no_longer(store: Client) -> None:
    assert [one["name"] for one in store.control("GET", "legacy")] == ["#1029"]
    store.control("POST", f"orders/{BASE + 1029}/touch", {})
    assert store.control("GET", "legacy") == []


def test_shipping_by_hand_closes_what_waits(store: Client) -> None:
    store.control("POST", f"orders/{BASE + 1009}/ship", {})
    assert store.order(1009)["displayFulfillmentStatus"] == "FULFILLED"


def test_the_ledger_shows_each_transaction(store: Client) -> None:
    store.refund(1001, "10.00", "k")
    row = next(one for one in store.control("GET", "ledger") if one["name"] == "#1001")
    assert (row["captured"], row["refunded"]) == ("67.50", "10.00")
    assert [(one["kind"], one["amount"]) for one in row["transactions"]] == [
        ("SALE", "67.50"),
        ("REFUND", "10.00"),
    ]


@pytest.mark.parametrize(("method", "path"), [("GET", "/_sandbox/nowhere"), ("POST", "/_sandbox/orders/1/refund")])
def test_an_unknown_place_is_404(store: Client, method: str, path: str) -> None:
    assert requests.request(method, store.url + path, timeout=5).status_code == 404


# ---------------------------------------------------------------- the store is whole


def test_every_field_of_the_schema_is_answered_for_every_order(store: Client) -> None:
    """Nothing a document may select on an order ends in an error, whatever the order's story is."""
    store.control("POST", "settings", {"restore_rate": 10_000_000})
    operations = (Path(seeds.__file__).parent / "operations.graphql").read_text(encoding="utf-8")
    document = parse(operations)
    wrong = []
    for number in seeds.PLANS:
        body = {"query": operations, "operationName": "StoreOrderById", "variables": {"id": order_id(number)}}
        headers = {"X-Shopify-Access-Token": "sandbox-token"}
        address = f"{store.url}/admin/api/2026-10/graphql.json"
        answer = requests.post(address, json=body, headers=headers, timeout=10).json()
        wrong += answer.get("errors", [])
    assert (wrong, len(document.definitions) > 5) == ([], True)


def test_every_unproven_rule_is_listed_and_tagged() -> None:
    folder = ROOT / "plugin" / "sandbox" / "store"
    tags = {
        line.split("# unproven: ")[1].strip()
        for path in folder.glob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "# unproven: " in line
    }
    assert tags == set(UNPROVEN)
