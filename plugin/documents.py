"""The GraphQL documents we send, made from the bundle's selections, and the facts the runtime reads."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    parse,
    print_ast,
)

from plugin.codec import encode
from plugin.money import Money, total
from plugin.phones import e164
from plugin.selection import merge, own_key, restore, root_selection, selection, sent_key
from plugin.shapes import OrderFacts, RefundSeen

REFUSED = {"FAILURE", "ERROR"}  # of a payment: the provider did not pay it back
MAX_REFUNDS = 50  # of an order on which something may be begun here
READ_REFUNDS = 60  # as many as the query asks for: what was begun can be followed while some are added
MAX_PAGES = 10

FACTS = """
  id name email phone updatedAt cancelledAt
  cancellation { staffNote }
  displayFinancialStatus displayFulfillmentStatus
  netPaymentSet { shopMoney { amount currencyCode } presentmentMoney { amount currencyCode } }
  totalReceivedSet { shopMoney { amount currencyCode } presentmentMoney { amount currencyCode } }
  totalRefundedSet { presentmentMoney { amount currencyCode } }
  refunds(first: 60) {
    id
    note
    totalRefundedSet { presentmentMoney { amount currencyCode } }
    transactions(first: 20) { nodes { id status amountSet { presentmentMoney { amount currencyCode } } } }
  }
  lineItems(first: 100) {
    nodes { id refundableQuantity unfulfilledQuantity }
    pageInfo { hasNextPage endCursor }
  }
"""


@dataclass(frozen=True)
class OrderQuery:
    """Everything the bundle reads of one order, merged; `text` is the selection as it is sent."""

    node: SelectionSetNode

    @cached_property
    def text(self) -> str:
        return print_ast(self.node)

    def document(self) -> str:
        return f"query Order($orderId: ID!) {{ snapshot: order(id: $orderId) {self.text} }}"

    def beside(self, query: str) -> str:
        """A preview's document with the fresh order beside it, so that both travel as one."""
        return _beside(query, self.document())

    def connections(self) -> list[FieldNode]:
        """The connections of the order itself that must be read to their end."""
        return [one for one in self.node.selections if isinstance(one, FieldNode) and _has_page_info(one)]

    def next_page(self, field: FieldNode) -> str:
        """One further page of one connection, from `$after` on."""
        inner = print_ast(field.selection_set) if field.selection_set else ""
        arguments = ", ".join([*(print_ast(one) for one in field.arguments), "after: $after"])
        call = f"{own_key(field)}: {field.name.value}({arguments}) {inner}"
        return f"query More($orderId: ID!, $after: String!) {{ snapshot: order(id: $orderId) {{ updatedAt {call} }} }}"

    def in_payload(self, mutation: str) -> str:
        """The mutation with the merged order in its payload's `order`: a new snapshot, without a call."""
        return _in_payload(mutation, self.text)

    def while_polling(self) -> str:
        """The job of a cancel, and the order once it is there."""
        return (
            "query Job($jobId: ID!) { node(id: $jobId) { ... on OrderCancelJobResult "
            f"{{ id done status errors {{ field message code }} order {self.text} }} }} }}"
        )


def order_query(reads: Sequence[str]) -> OrderQuery:
    """Merge the selections of cards and actions with what the runtime reads of every order."""
    return OrderQuery(merge([selection(FACTS), *(selection(text) for text in reads)]))


def _has_page_info(field: FieldNode) -> bool:
    inner = field.selection_set.selections if field.selection_set else ()
    return any(isinstance(one, FieldNode) and one.name.value == "pageInfo" for one in inner)


@lru_cache(maxsize=64)
def _in_payload(mutation: str, order: str) -> str:
    return print_ast(_map_payload(parse(mutation), root_selection(parse(order))))


@lru_cache(maxsize=64)
def _beside(query: str, order: str) -> str:
    """Made once for each preview of the bundle, not on every change of a form."""
    return print_ast(_joined(parse(query), parse(order)))


def _joined(document: DocumentNode, extra: DocumentNode) -> DocumentNode:
    other = extra.definitions[0]
    assert isinstance(other, OperationDefinitionNode)
    definitions = []
    for one in document.definitions:
        if isinstance(one, OperationDefinitionNode):
            one = OperationDefinitionNode(
                operation=one.operation,
                name=one.name,
                variable_definitions=(*one.variable_definitions, *other.variable_definitions),
                directives=one.directives,
                selection_set=SelectionSetNode(
                    selections=(*one.selection_set.selections, *other.selection_set.selections)
                ),
            )
        definitions.append(one)
    return DocumentNode(definitions=tuple(definitions))


def _map_payload(document: DocumentNode, order: SelectionSetNode) -> DocumentNode:
    definitions = []
    for one in document.definitions:
        if isinstance(one, OperationDefinitionNode):
            roots = tuple(_with_order(root, order) for root in one.selection_set.selections)
            one = OperationDefinitionNode(
                operation=one.operation,
                name=one.name,
                variable_definitions=one.variable_definitions,
                directives=one.directives,
                selection_set=SelectionSetNode(selections=roots),
            )
        definitions.append(one)
    return DocumentNode(definitions=tuple(definitions))


def _with_order(root: SelectionNode, order: SelectionSetNode) -> SelectionNode:
    if not isinstance(root, FieldNode) or root.selection_set is None:
        return root
    inner = tuple(_replaced(one, order) for one in root.selection_set.selections)
    return FieldNode(
        alias=root.alias,
        name=root.name,
        arguments=root.arguments,
        directives=root.directives,
        selection_set=SelectionSetNode(selections=inner),
    )


def _replaced(one: SelectionNode, order: SelectionSetNode) -> SelectionNode:
    if isinstance(one, FieldNode) and one.name.value == "order" and one.alias is None:
        both = merge([order, one.selection_set]) if one.selection_set else order
        return FieldNode(alias=None, name=one.name, arguments=(), directives=(), selection_set=both)
    return one


@lru_cache(maxsize=64)
def payload_selection(mutation: str) -> SelectionSetNode:
    """What the author selected of the payload of a mutation's only field."""
    root = root_selection(parse(mutation)).selections[0]
    assert isinstance(root, FieldNode) and root.selection_set is not None
    return root.selection_set


def receipt(mutation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload in its author's names, encoded to be kept: without the order we added.

    What of it cannot be read is left out: a proved call is not undone by an odd answer.
    """
    kept: dict[str, Any] = {}
    for one in payload_selection(mutation).selections:
        assert isinstance(one, FieldNode)
        value, key = payload.get(own_key(one)), sent_key if one.name.value == "order" else own_key
        try:
            kept[own_key(one)] = encode(restore(one.selection_set, value, key) if one.selection_set else value)
        except ValueError:
            kept[own_key(one)] = None
    return kept


# ---------------------------------------------------------------- facts

_FACTS = selection(FACTS)


def facts(snapshot: Mapping[str, Any]) -> OrderFacts:
    """What the runtime knows of an order, from a snapshot under sent keys. Raises ValueError."""
    view = restore(_FACTS, snapshot, sent_key)
    received, net = view["totalReceivedSet"], view["netPaymentSet"]
    return OrderFacts(
        id=view["id"],
        name=view["name"],
        email=view["email"] or "",
        phone=e164(view["phone"] or ""),
        updated_at=view["updatedAt"],
        cancelled_at=view["cancelledAt"],
        staff_note=(view["cancellation"] or {}).get("staffNote"),
        financial_status=view["displayFinancialStatus"],
        fulfillment_status=view["displayFulfillmentStatus"],
        net_shop=net["shopMoney"],
        net_presentment=net["presentmentMoney"],
        rate_shop=received["shopMoney"],
        rate_presentment=received["presentmentMoney"],
        refunded=view["totalRefundedSet"]["presentmentMoney"],
        refunds=tuple(_refund(one) for one in view["refunds"]),
        quantities=tuple(
            (line["id"], line["refundableQuantity"], line["unfulfilledQuantity"]) for line in view["lineItems"]["nodes"]
        ),
    )


def _refund(one: Mapping[str, Any]) -> RefundSeen:
    """`refunded` is what went or may still go; what a provider refused is out, whatever Shopify's total says."""
    rows, back = one["transactions"]["nodes"], one["totalRefundedSet"]["presentmentMoney"]
    if any(row["status"] in REFUSED for row in rows):
        went = [row["amountSet"]["presentmentMoney"] for row in rows if row["status"] not in REFUSED]
        back = total(went, back.currency)
    return RefundSeen(one["id"], one["note"] or "", back, tuple(row["status"] for row in rows))


def fingerprint(seen: OrderFacts) -> dict[str, str]:
    """What must not have moved between form and submit; short, so that it fits into the form's token."""
    return {
        "refunds": _short(sorted(one.id for one in seen.refunds)),
        "refunded": _plain(seen.refunded),
        "quantities": _short(seen.quantities),
        "net": _plain(seen.net_presentment),
        "cancelled": seen.cancelled_at or "",
        "financial": seen.financial_status or "",
        "fulfillment": seen.fulfillment_status,
    }


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What changed between two fingerprints, in words for the agent."""
    said = []
    if before["refunds"] != after["refunds"] or before["refunded"] != after["refunded"]:
        said.append(f"refunded was {before['refunded']} and is now {after['refunded']}")
    elif before["net"] != after["net"]:
        said.append(f"the net payment was {before['net']} and is now {after['net']}")
    if before["cancelled"] != after["cancelled"]:
        said.append("the order was cancelled meanwhile")
    if before["quantities"] != after["quantities"]:
        said.append("quantities that can be refunded or cancelled changed")
    for key, name in (("financial", "payment"), ("fulfillment", "fulfilment")):
        if before[key] != after[key]:
            said.append(f"the {name} status was {before[key] or 'none'} and is now {after[key] or 'none'}")
    return said


def _plain(money: Money) -> str:
    return money.show()


def _short(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
