"""What a document costs at Shopify: what we estimate before sending and what the sandbox store charges.

One small formula that gives the recorded figures. An object is 1 point; scalars, pageInfo and money are 0.
A connection is 2 and, for every row it may bring, 1 and what is nested in the row; `first: n` counts as
round(sqrt(n) + 0.4) rows, which gives what was recorded for 5, 10, 20 and 50. A connection whose `first` is not
known counts as the largest page; a list without `first` as one row. A mutation is 10, refundCreate 20, and the
objects of its payload are free. The actual cost counts the rows that came.
"""

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)

PAGE = 250
FREE = {"MoneyBag", "MoneyV2", "PageInfo", "Count", "Attribute"}
MUTATIONS = {"refundCreate": 20}
MUTATION = 10
CONNECTION = 2

Composite = GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType


def estimate(document: DocumentNode, schema: GraphQLSchema, variables: Mapping[str, Any] | None = None) -> int:
    """Points that Shopify will ask for the first operation of a valid document."""
    operation = next(one for one in document.definitions if isinstance(one, OperationDefinitionNode))
    return Price(schema, document, variables or {}).of(operation)


class Price:
    """The cost of one operation; with `data` the cost of what came, without it what may come."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self.schema = schema
        self.variables = variables
        self.fragments = {
            one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)
        }

    def of(self, operation: OperationDefinitionNode, data: Mapping[str, Any] | None = None) -> int:
        root = self.schema.get_root_type(operation.operation)
        assert root is not None
        if operation.operation.value != "mutation":
            return self._set(operation.selection_set, root, data)
        return sum(self._mutation(one, kind, data) for one, kind in self._fields(operation.selection_set, root))

    def _mutation(self, field: FieldNode, parent: Composite, data: Mapping[str, Any] | None) -> int:
        payload = _named(parent, field)
        base = MUTATIONS.get(field.name.value, MUTATION)
        inner = _at(data, field)
        if not isinstance(payload, GraphQLObjectType) or field.selection_set is None or _came_empty(data, inner):
            return base
        parts = self._fields(field.selection_set, payload)
        return base + sum(self._inside(one, kind, inner) for one, kind in parts)

    def _set(self, selection: SelectionSetNode, kind: Composite, data: Any) -> int:
        return sum(self._field(one, parent, data) for one, parent in self._fields(selection, kind))

    def _field(self, field: FieldNode, parent: Composite, data: Any) -> int:
        own = _named(parent, field)
        if own is None or own.name in FREE or field.selection_set is None:
            return 0
        inner = _at(data, field)
        if _came_empty(data, inner):
            return 0
        if own.name.endswith("Connection"):
            return CONNECTION + self._rows(field, own, inner)
        if _is_list(_type(parent, field)):
            return self._list(field, own, inner)
        return 1 + self._set(field.selection_set, own, inner)

    def _inside(self, field: FieldNode, parent: Composite, data: Any) -> int:
        """An object of a mutation's payload: free, but not what hangs below it."""
        own = _named(parent, field)
        if own is None or own.name in FREE or field.selection_set is None:
            return 0
        inner = _at(data, field)
        if _came_empty(data, inner) or isinstance(inner, list):
            return 0
        return self._set(field.selection_set, own, inner)

    def _rows(self, field: FieldNode, kind: Composite, data: Any) -> int:
        """Rows of a connection, selected as nodes or as edges; the dearer of the two counts."""
        assert field.selection_set is not None
        count = self._count(field, otherwise=PAGE)
        costs = [0]
        for one, parent in self._fields(field.selection_set, kind):
            if one.name.value not in ("nodes", "edges") or one.selection_set is None:
                continue
            own = _named(parent, one)
            assert own is not None
            costs.append(self._each(one.selection_set, own, count, _at(data, one)))
        return max(costs)

    def _each(self, selection: SelectionSetNode, kind: Composite, count: int, rows: Any) -> int:
        edge = kind.name.endswith("Edge")
        if rows is None:
            return count * ((0 if edge else 1) + self._set(selection, kind, None))
        return sum((0 if edge else 1) + self._set(selection, kind, one) for one in rows)

    def _list(self, field: FieldNode, kind: Composite, rows: Any) -> int:
        assert field.selection_set is not None
        if rows is None:
            return self._count(field, otherwise=1) * (1 + self._set(field.selection_set, kind, None))
        return max(1, sum(1 + self._set(field.selection_set, kind, one) for one in rows))

    def _count(self, field: FieldNode, otherwise: int) -> int:
        """How many rows this field may bring, as they are counted; `otherwise` where that is not said."""
        first = next((one.value for one in field.arguments if one.name.value in ("first", "last")), None)
        number: Any = otherwise
        if isinstance(first, IntValueNode):
            number = int(first.value)
        elif isinstance(first, VariableNode):
            number = self.variables.get(first.name.value)
        return counted(min(number, PAGE) if isinstance(number, int) else otherwise)

    def _fields(self, selection: SelectionSetNode, kind: Composite) -> Iterator[tuple[FieldNode, Composite]]:
        for one in selection.selections:
            if isinstance(one, FieldNode):
                if not one.name.value.startswith("__"):
                    yield one, kind
            elif isinstance(one, InlineFragmentNode | FragmentSpreadNode):
                yield from self._spread(one, kind)

    def _spread(
        self, one: InlineFragmentNode | FragmentSpreadNode, kind: Composite
    ) -> Iterator[tuple[FieldNode, Composite]]:
        if isinstance(one, FragmentSpreadNode):
            fragment = self.fragments[one.name.value]
            condition, selection = fragment.type_condition, fragment.selection_set
        else:
            condition, selection = one.type_condition, one.selection_set
        named = self.schema.type_map.get(condition.name.value) if condition else kind
        yield from self._fields(selection, named if isinstance(named, Composite) else kind)


def counted(first: int) -> int:
    """How many rows `first` counts as."""
    return max(1, int(sqrt(max(first, 0)) + 0.4 + 0.5))


def _type(parent: Composite, field: FieldNode) -> GraphQLOutputType:
    assert not isinstance(parent, GraphQLUnionType), "a union has no fields of its own"
    kind: GraphQLOutputType = parent.fields[field.name.value].type
    return kind


def _named(parent: Composite, field: FieldNode) -> Composite | None:
    own = get_named_type(_type(parent, field))
    return own if isinstance(own, Composite) else None


def _is_list(kind: GraphQLOutputType) -> bool:
    if isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
    return isinstance(kind, GraphQLList)


def _at(data: Any, field: FieldNode) -> Any:
    key = field.alias.value if field.alias else field.name.value
    return data.get(key) if isinstance(data, Mapping) else None


def _came_empty(data: Any, inner: Any) -> bool:
    """Something was executed and this part of it is null."""
    return data is not None and inner is None
