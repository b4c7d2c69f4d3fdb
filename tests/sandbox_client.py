"""A small client of the sandbox store, for tests that talk to it over its socket."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from plugin.sandbox.store import Running, serve
from tests.shared import ROOT

SCHEMA = ROOT / "schemas" / "shopify-2026-10.graphql"
TOKEN = "sandbox-token"
BASE = 5_000_000_000_000

REFUND = """
mutation Refund($input: RefundInput!, $key: String!) {
  refundCreate(input: $input) @idempotent(key: $key) {
    refund {
      id note totalRefundedSet { presentmentMoney { amount } }
      refundLineItems(first: 5) {
        nodes { quantity restockType restocked subtotalSet { presentmentMoney { amount } } }
      }
      transactions(first: 5) { nodes { status gateway amountSet { presentmentMoney { amount } } } }
      orderAdjustments(first: 5) { nodes { reason amountSet { presentmentMoney { amount } } } }
    }
    order { displayFinancialStatus totalRefundedSet { presentmentMoney { amount } } }
    userErrors { field message }
  }
}
"""
CANCEL = """
mutation Cancel(
  $id: ID!, $reason: OrderCancelReason!, $restock: Boolean!
  $method: OrderCancelRefundMethodInput, $note: String
) {
  orderCancel(orderId: $id, reason: $reason, restock: $restock, refundMethod: $method, staffNote: $note) {
    job { id done }
    jobResult { id done status }
    orderCancelUserErrors { field message code }
  }
}
"""
ORDER = """
query Order($id: ID!) {
  order(id: $id) {
    id name cancelledAt cancelReason cancellation { staffNote }
    displayFinancialStatus displayFulfillmentStatus
    netPaymentSet { presentmentMoney { amount } shopMoney { amount } }
    totalRefundedSet { presentmentMoney { amount } shopMoney { amount } }
    totalOutstandingSet { presentmentMoney { amount } }
    totalCapturableSet { presentmentMoney { amount } }
    currentTotalPriceSet { presentmentMoney { amount } }
    refunds(first: 10) { id note }
    transactions(first: 20) { id kind status gateway }
    lineItems(first: 10) { nodes { id currentQuantity refundableQuantity unfulfilledQuantity } }
  }
}
"""
SUGGEST = """
query Suggest($id: ID!, $lines: [RefundLineItemInput!], $shipping: Money, $full: Boolean) {
  order(id: $id) {
    suggestedRefund(refundLineItems: $lines, shippingAmount: $shipping, suggestFullRefund: $full) {
      amountSet { presentmentMoney { amount } shopMoney { amount } }
      maximumRefundableSet { presentmentMoney { amount } }
      subtotalSet { presentmentMoney { amount } }
      discountedSubtotalSet { presentmentMoney { amount } }
      totalCartDiscountAmountSet { presentmentMoney { amount } }
      totalTaxSet { presentmentMoney { amount } }
      shipping {
        amountSet { presentmentMoney { amount } }
        taxSet { presentmentMoney { amount } }
        maximumRefundableSet { presentmentMoney { amount } }
      }
      refundLineItems { quantity restockType location { id } subtotalSet { presentmentMoney { amount } } }
      suggestedTransactions {
        kind gateway
        amountSet { presentmentMoney { amount } }
        maximumRefundableSet { presentmentMoney { amount } }
        parentTransaction { id }
      }
    }
  }
}
"""


class Client:
    """One store and the questions tests ask it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.url = running.url

    def post(self, query: str, variables: dict[str, Any] | None = None, **more: Any) -> requests.Response:
        headers = {"X-Shopify-Access-Token": more.pop("token", TOKEN)}
        version = more.pop("version", "2026-10")
        body = {"query": query, "variables": variables or {}}
        address = f"{self.url}/admin/api/{version}/graphql.json"
        return requests.post(address, json=body, headers=headers, timeout=more.pop("timeout", 10))

    def ask(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        """The whole answer; its extensions taken out."""
        answer = self.post(query, variables).json()
        answer.pop("extensions", None)
        return answer

    def data(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        answer = self.ask(query, variables)
        assert "errors" not in answer, answer
        return flat(answer["data"])

    def order(self, number: int) -> Any:
        return self.data(ORDER, {"id": order_id(number)})["order"]

    def suggest(self, number: int, lines: Any = (), **more: Any) -> Any:
        rows = [{"lineItemId": line_id(number, line), "quantity": units} for line, units in lines]
        given = {"id": order_id(number), "lines": rows, **more}
        return self.data(SUGGEST, given)["order"]["suggestedRefund"]

    def refund(self, number: int, amount: str | None, key: str, parent: int = 0, **more: Any) -> Any:
        given = {"orderId": order_id(number), **more}
        if amount is not None:
            given["transactions"] = [transfer(number, amount, parent)]
        return self.data(REFUND, {"input": given, "key": key})["refundCreate"]

    def cancel(self, number: int, **more: Any) -> Any:
        given = {"id": order_id(number), "reason": "CUSTOMER", "restock": True, **more}
        return self.data(CANCEL, given)["orderCancel"]

    def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(method, f"{self.url}/_sandbox/{path}", json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()


def order_id(number: int) -> str:
    return f"gid://shopify/Order/{BASE + number}"


def line_id(number: int, line: int = 1) -> str:
    return f"gid://shopify/LineItem/{(BASE + number) * 1000 + line}"


def payment_id(number: int, index: int = 0) -> str:
    return f"gid://shopify/OrderTransaction/{(BASE + number) * 1000 + 900 + index}"


def transfer(number: int, amount: str, parent: int = 0) -> dict[str, str]:
    place = {"orderId": order_id(number), "parentId": payment_id(number, parent)}
    return {**place, "kind": "REFUND", "gateway": "whatever", "amount": amount}


def units(number: int, line: int, count: int, restock: str = "CANCEL") -> dict[str, Any]:
    return {"lineItemId": line_id(number, line), "quantity": count, "restockType": restock}


def flat(value: Any) -> Any:
    """Bags of one amount read as that amount, connections of nodes alone as lists."""
    if isinstance(value, list):
        return [flat(one) for one in value]
    if not isinstance(value, dict):
        return value
    for wrapper in ("presentmentMoney", "nodes", "amount"):
        if list(value) == [wrapper]:
            return flat(value[wrapper])
    return {key: flat(one) for key, one in value.items()}


@contextmanager
def started(**more: Any) -> Iterator[Client]:
    running = serve(0, token=TOKEN, schema_path=SCHEMA, **more)
    try:
        yield Client(running)
    finally:
        running.close()
