"""Bulk operations: a query run to its end in the background, its rows written one a line (facts/shopify.md §8)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    IntValueNode,
    NameNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    parse,
    validate,
    visit,
)

AT_ONCE = 5
EVERYTHING = 1_000_000


@dataclass
class Bulk:
    """One operation; `lines` are its result once it ran, `error` the code of one that failed."""

    id: int
    query: str
    document: DocumentNode
    created: float
    lines: list[str] | None = None
    error: str | None = None


@dataclass(frozen=True)
class Wrong:
    message: str
    code: str = "INVALID"


def read(schema: GraphQLSchema, text: str, running: list[str]) -> DocumentNode | Wrong:
    """The document to run, or why it is refused."""
    try:
        document = parse(text)
    except GraphQLError as wrong:
        # unproven: the words for a bulk query that is no GraphQL, but for an empty one
        said = "syntax error, unexpected end of file" if "<EOF>" in wrong.message else wrong.message
        return Wrong(f"Invalid bulk query: {said}")
    if found := validate(schema, document):
        return Wrong(f"Invalid bulk query: {found[0].message}")
    whole, connections = _to_the_end(schema, document)
    if not connections:
        return Wrong("Bulk queries must contain at least one connection.")
    if len(running) >= AT_ONCE:
        # unproven: the words when too many bulk queries run; they are on record for bulk mutations
        said = f"A bulk query operation for this app and shop is already in progress: {', '.join(running)}."
        return Wrong(said, "OPERATION_IN_PROGRESS")
    return whole


def _to_the_end(schema: GraphQLSchema, document: DocumentNode) -> tuple[DocumentNode, int]:
    """Connections without a `first` are read whole; how many there are."""
    info, found = TypeInfo(schema), list[str]()

    class Widen(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> FieldNode | None:
            kind = info.get_type()
            if kind is None or not get_named_type(kind).name.endswith("Connection"):
                return None
            found.append(node.name.value)
            first = ArgumentNode(name=NameNode(value="first"), value=IntValueNode(value=str(EVERYTHING)))
            return FieldNode(
                alias=node.alias, name=node.name, arguments=(*node.arguments, first), directives=node.directives,
                selection_set=node.selection_set,
            )  # fmt: skip

    return visit(document, TypeInfoVisitor(info, Widen())), len(found)


def lines(data: Mapping[str, Any]) -> list[str]:
    """Every object of the answer on a line of its own; what stood in a connection names its parent."""
    rows = [row for connection in data.values() for node in _nodes(connection) for row in _rows(node, None)]
    return [json.dumps(row, ensure_ascii=False) for row in rows]


def _rows(node: Mapping[str, Any], parent: Any) -> Iterator[dict[str, Any]]:
    own = {key: value for key, value in node.items() if not _is_connection(value)}
    yield own if parent is None else {**own, "__parentId": parent}
    for value in node.values():
        if _is_connection(value):
            for child in _nodes(value):
                yield from _rows(child, node.get("id"))


def _is_connection(value: Any) -> bool:
    return isinstance(value, dict) and bool({"edges", "nodes"} & value.keys())


def _nodes(connection: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(connection.get("nodes") or [one["node"] for one in connection.get("edges") or ()])
