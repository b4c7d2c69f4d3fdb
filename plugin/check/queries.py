"""GraphQL in the bundle: validated against the pinned schema, each problem at its place in the file."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import graphql as gql

from plugin.check.report import Report
from plugin.selection import selection
from plugin.source import Pointer

_TOKENS = 6000
_READS_HEAD = "query Reads { order(id: 0) "
_RULES = (
    (re.compile(r"^Cannot query field '(\w+)'"), "unknown-field"),
    (re.compile(r"^Unknown argument '(\w+)'"), "unknown-argument"),
    (re.compile(r"^Unknown type '(\w+)'"), "unknown-type"),
    (re.compile(r"is never used in operation"), "unused-variable"),
    (re.compile(r"is not defined by operation"), "undeclared-variable"),
    (re.compile(r"is deprecated"), "deprecated"),
)
_PULL = "if Shopify has it, run `order-actions schema pull` to add it to the committed part of the schema"


@lru_cache(maxsize=4)
def schema_of(sdl: str) -> gql.GraphQLSchema:
    """The schema, trusted as Shopify wrote it. Raises gql.GraphQLError, RecursionError."""
    return gql.build_schema(sdl, assume_valid=True)


@dataclass(frozen=True)
class Query:
    """One valid document of a file; `start` is what was put in front of the file's own text."""

    document: gql.DocumentNode
    operation: gql.OperationDefinitionNode
    start: int = 0


def parse_operation(report: Report, pointer: Pointer, text: str, kind: str) -> Query | None:
    """One query or mutation, not validated yet; None, and a finding, when it is not one."""
    document = _parse(report, pointer, text, 0)
    if document is None:
        return None
    operations = [one for one in document.definitions if isinstance(one, gql.OperationDefinitionNode)]
    if len(operations) != 1 or operations[0].operation.value != kind:
        report.at(pointer, "one-operation", f"exactly one {kind} belongs here", key=True)
        return None
    query = Query(document, operations[0])
    kinds = (gql.FragmentDefinitionNode, gql.FragmentSpreadNode)
    message = "fragments are not part of the language"
    return query if _refuse(report, pointer, query, kinds, "fragments", message, "write the fields out") else None


def is_valid(report: Report, schema: gql.GraphQLSchema, pointer: Pointer, query: Query) -> bool:
    """Whether the pinned schema knows all of it, and money is read whole; findings when not."""
    return _validate(report, schema, pointer, query) and _whole_money(report, schema, pointer, query)


def read_selection(report: Report, schema: gql.GraphQLSchema, pointer: Pointer, text: str) -> Query | None:
    """What is read of an order: `reads` of an action, or the file of a card, a fragment on Order."""
    found = re.match(r"(?:\s|#[^\n]*\n)*fragment\s+\w+\s+on\s+Order\b", text)
    head = found.end() if found else 0
    front, behind = (_READS_HEAD, "}") if found else (_READS_HEAD + "{", "\n}}")
    wrapped, start = front + text[head:] + behind, len(front) - head
    document = _parse(report, pointer, wrapped, start)
    if document is None or not _reads_alike(report, pointer, text):
        return None
    operation = document.definitions[0]
    assert isinstance(operation, gql.OperationDefinitionNode), "the text starts with our own head"
    if len(document.definitions) != 1 or len(operation.selection_set.selections) != 1:
        report.at(pointer, "graphql", "only fields of Order belong here", key=True)
        return None
    query = Query(document, operation, start)
    kinds = (
        gql.VariableNode,
        gql.DirectiveNode,
        gql.FragmentDefinitionNode,
        gql.FragmentSpreadNode,
        gql.InlineFragmentNode,
    )
    message = "what is read of an order has no variables, directives or fragments"
    fine = _refuse(report, pointer, query, kinds, "plain-reads", message, "write the fields out")
    fine = fine and is_valid(report, schema, pointer, query)
    return query if fine and _whole_connections(report, schema, pointer, query) else None


def order_fields(query: Query) -> gql.SelectionSetNode:
    """The selection on Order of a `reads`."""
    root = query.operation.selection_set.selections[0]
    assert isinstance(root, gql.FieldNode) and root.selection_set is not None
    return root.selection_set


# ---------------------------------------------------------------- one idea each


def _reads_alike(report: Report, pointer: Pointer, text: str) -> bool:
    """Whether the runtime takes the text for the same thing."""
    try:
        selection(text)
    except (gql.GraphQLError, KeyError, RecursionError):
        report.at(pointer, "graphql", "this is neither fields of Order nor a `fragment … on Order`", key=True)
        return False
    return True


def _parse(report: Report, pointer: Pointer, text: str, start: int) -> gql.DocumentNode | None:
    try:
        return gql.parse(text, max_tokens=_TOKENS)
    except gql.GraphQLError as error:
        offset = next(iter(error.positions or [0])) - start
        own = len(text) - start - (1 if start else 0)
        message = error.message.removeprefix("Syntax Error: ").rstrip(".")
        report.inside(pointer, max(0, min(offset, own - 1)), "graphql", f"this is not GraphQL: {message}")
    except RecursionError:
        report.at(pointer, "graphql", "this is nested too deeply", key=True)
    return None


def at_node(
    report: Report,
    pointer: Pointer,
    node: gql.Node | None,
    rule: str,
    message: str,
    cure: str | None = None,
    *,
    start: int = 0,
    warning: bool = False,
    word: str | None = None,
) -> None:
    """A finding at the first character of a node."""
    offset = node.loc.start - start if node and node.loc else 0
    if offset < 0:
        return report.at(pointer, rule, message, cure, key=True)
    width = len(word) if word else 1
    if isinstance(node, gql.FieldNode):
        width = len((node.alias or node.name).value)
    report.inside(pointer, offset, rule, message, cure, width=width, severity="warning" if warning else "error")
    return None


def _refuse(
    report: Report,
    pointer: Pointer,
    query: Query,
    kinds: tuple[type[gql.Node], ...],
    rule: str,
    message: str,
    cure: str,
) -> bool:
    """No node of these kinds; only the first is reported."""
    found: list[gql.Node] = []

    class _All(gql.Visitor):
        def enter(self, node: gql.Node, *_rest: object) -> None:
            if isinstance(node, kinds):
                found.append(node)

    gql.visit(query.document, _All())
    if found:
        at_node(report, pointer, found[0], rule, message, cure, start=query.start)
    return not found


def _validate(report: Report, schema: gql.GraphQLSchema, pointer: Pointer, query: Query) -> bool:
    """The rules of GraphQL, then deprecations as warnings."""
    try:
        errors = gql.validate(schema, query.document, gql.specified_rules, max_errors=20)
        rules = [] if errors else [gql.NoDeprecatedCustomRule]
        noted = gql.validate(schema, query.document, rules, max_errors=20) if rules else []
    except RecursionError:
        report.at(pointer, "graphql", "this is nested too deeply", key=True)
        return False
    for one in [*errors, *noted]:
        _explain(report, pointer, one, query.start, warning=one in noted)
    return not errors


def _explain(report: Report, pointer: Pointer, error: gql.GraphQLError, start: int, *, warning: bool) -> None:
    message, _asked, guess = error.message.partition(" Did you mean ")
    rule, word = "graphql", None
    for pattern, name in _RULES:
        if found := pattern.search(message):
            rule, word = name, found.group(1) if found.groups() else None
            break
    cure = f"did you mean {guess.rstrip('?').split(',')[0].split(' or ')[0]}?" if guess else None
    if rule in ("unknown-field", "unknown-type", "unknown-argument"):
        cure = cure or _PULL
    elif rule == "deprecated":
        message, _dot, reason = message.partition(". ")
        cure = reason or None
    node = error.nodes[0] if error.nodes else None
    at_node(report, pointer, node, rule, message.rstrip("."), cure, start=start, warning=warning, word=word)


def _typed_fields(
    schema: gql.GraphQLSchema, document: gql.DocumentNode, look: Callable[[gql.FieldNode, str], None]
) -> None:
    """`look` at each field with the name of its type."""
    info = gql.TypeInfo(schema)

    class _Fields(gql.Visitor):
        def enter_field(self, node: gql.FieldNode, *_rest: object) -> None:
            if (own := info.get_type()) is not None:
                look(node, gql.get_named_type(own).name)

    gql.visit(document, gql.TypeInfoVisitor(info, _Fields()))


def names(node: gql.FieldNode) -> list[str]:
    """The plain fields selected below a field."""
    inner = node.selection_set.selections if node.selection_set else ()
    return [one.name.value for one in inner if isinstance(one, gql.FieldNode) and not one.alias]


def _whole_money(report: Report, schema: gql.GraphQLSchema, pointer: Pointer, query: Query) -> bool:
    wrong: list[gql.FieldNode] = []

    def look(node: gql.FieldNode, own: str) -> None:
        if own == "MoneyV2" and (sorted(names(node)) != ["amount", "currencyCode"] or len(_below(node)) != 2):
            wrong.append(node)

    _typed_fields(schema, query.document, look)
    cure = "write { amount currencyCode }"
    for node in wrong:
        at_node(report, pointer, node, "whole-money", "a money is read as a whole", cure, start=query.start)
    return not wrong


def _below(node: gql.FieldNode) -> Sequence[Any]:
    return node.selection_set.selections if node.selection_set else ()


def _whole_connections(report: Report, schema: gql.GraphQLSchema, pointer: Pointer, query: Query) -> bool:
    """Every connection in `reads` says whether there is more, and how much is asked at once."""
    wrong: list[tuple[gql.FieldNode, str, str]] = []

    def look(node: gql.FieldNode, own: str) -> None:
        if not own.endswith("Connection"):
            return
        inner = [one for one in _below(node) if isinstance(one, gql.FieldNode)]
        page = next((one for one in inner if one.name.value == "pageInfo"), None)
        if page is None or not {"hasNextPage", "endCursor"} <= set(names(page)):
            wrong.append(
                (node, f"'{node.name.value}' would not be read to its end", "add pageInfo { hasNextPage endCursor }")
            )
        elif not any(one.name.value == "first" for one in node.arguments):
            wrong.append((node, f"'{node.name.value}' does not say how many are read at once", "add (first: 100)"))

    _typed_fields(schema, query.document, look)
    for node, message, cure in wrong:
        at_node(report, pointer, node, "page-info", message, cure, start=query.start)
    return not wrong
