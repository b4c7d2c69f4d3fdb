"""What a query will cost at Shopify, estimated before it is ever sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import graphql as gql

MOST = 500
_MUTATION = 10
_FREE = frozenset({"MoneyBag", "MoneyV2", "PageInfo", "Count", "Attribute"})
_PLUMBING = frozenset({"nodes", "edges", "node", "pageInfo"})


def estimate(document: gql.DocumentNode, schema: gql.GraphQLSchema, variables: Mapping[str, Any] | None = None) -> int:
    """Points of the first operation of a document.

    An object costs 1, a mutation 10; scalars, money and pageInfo cost nothing. A connection costs 2 and,
    for what it holds, the cost of one entry times round(sqrt(first) + 0.4): Shopify counts entries
    sub-linearly, and this meets every requestedQueryCost on record (facts/shopify.md §5, captures). A
    connection without a readable `first` counts as 250. A plain list cut by `first` is sized alike; any
    other list counts once.
    """
    operation = next(one for one in document.definitions if isinstance(one, gql.OperationDefinitionNode))
    root = schema.get_root_type(operation.operation)
    named = [one for one in document.definitions if isinstance(one, gql.FragmentDefinitionNode)]
    if root is None:
        return 0
    start = _MUTATION if operation.operation is gql.OperationType.MUTATION else 0
    costs = _Costs(schema, {one.name.value: one for one in named}, variables or {})
    return start + round(costs.of(root.name, operation.selection_set))


def _sized(first: int) -> float:
    return round(sqrt(first) + 0.4) if first else 1.0


def _is_list(kind: gql.GraphQLOutputType) -> bool:
    return gql.is_list_type(kind.of_type if isinstance(kind, gql.GraphQLNonNull) else kind)


@dataclass(frozen=True)
class _Costs:
    """One walk over one document."""

    schema: gql.GraphQLSchema
    fragments: Mapping[str, gql.FragmentDefinitionNode]
    variables: Mapping[str, Any]

    def of(self, parent: str, node: gql.SelectionSetNode | None) -> float:
        return sum(self._one(parent, one) for one in (node.selections if node else ()))

    def _one(self, parent: str, node: Any) -> float:
        if isinstance(node, gql.InlineFragmentNode):
            return self.of(node.type_condition.name.value if node.type_condition else parent, node.selection_set)
        if isinstance(node, gql.FragmentSpreadNode):
            fragment = self.fragments[node.name.value]
            return self.of(fragment.type_condition.name.value, fragment.selection_set)
        assert isinstance(node, gql.FieldNode)
        field = getattr(self.schema.type_map.get(parent), "fields", {}).get(node.name.value)
        name = "" if field is None else gql.get_named_type(field.type).name
        if field is None or name in _FREE or not gql.is_composite_type(gql.get_named_type(field.type)):
            return 0
        inner = self.of(name, node.selection_set)
        if name.endswith("Connection"):
            return 2 + max(1.0, inner) * _sized(self._first(node))
        if node.name.value in _PLUMBING and parent.endswith(("Connection", "Edge")):
            return inner + (node.name.value in ("nodes", "node"))
        return (1 + inner) * _sized(self._first(node, 0) if _is_list(field.type) else 0)

    def _first(self, node: gql.FieldNode, otherwise: int = 250) -> int:
        for one in node.arguments:
            if one.name.value in ("first", "last"):
                if isinstance(one.value, gql.IntValueNode):
                    return min(250, max(1, int(one.value.value[:4])))
                if isinstance(one.value, gql.VariableNode):
                    given = self.variables.get(one.value.name.value)
                    return given if type(given) is int else otherwise
        return otherwise
