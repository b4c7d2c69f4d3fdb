"""GraphQL selections: merged so that many files read in one query, given back in each file's own names."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    NameNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    parse,
    print_ast,
)

from plugin.money import from_shopify

Key = Callable[[FieldNode], str]
_IS_FRAGMENT = re.compile(r"(?:\s|#[^\n]*\n)*fragment\s+\w+\s+on\b")


def own_key(node: FieldNode) -> str:
    """The response key as the author wrote it."""
    return node.alias.value if node.alias else node.name.value


def sent_key(node: FieldNode) -> str:
    """The key we send: two files may ask one field with different arguments, so these are in the key."""
    if not node.arguments:
        return node.name.value
    arguments = ",".join(sorted(print_ast(argument) for argument in node.arguments))
    return f"{node.name.value}_{hashlib.sha256(arguments.encode()).hexdigest()[:8]}"


@lru_cache(maxsize=256)
def selection(reads: str) -> SelectionSetNode:
    """An action's `reads`, or a file with `fragment … on Order` first; fragments are put in place.

    Parsed once for each text of the bundle: every card reads orders by it. Nobody changes a node.
    Raises GraphQLError for text that is not GraphQL.
    """
    text = reads if _IS_FRAGMENT.match(reads) else f"{{\n{reads}\n}}"
    document = parse(text)
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    first = document.definitions[0]
    if not isinstance(first, (FragmentDefinitionNode, OperationDefinitionNode)):
        raise GraphQLError("a selection or a fragment is needed here")
    return _inline(first.selection_set, fragments)


def root_selection(document: DocumentNode) -> SelectionSetNode:
    """What the only operation of a document selects, with fragments put in place."""
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if len(operations) != 1:
        raise GraphQLError("exactly one operation is needed here")
    return _inline(operations[0].selection_set, fragments)


def _inline(node: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]) -> SelectionSetNode:
    found: list[SelectionNode] = []
    for one in node.selections:
        if isinstance(one, FragmentSpreadNode):
            found.extend(_inline(fragments[one.name.value].selection_set, fragments).selections)
        elif isinstance(one, InlineFragmentNode):
            inner = _inline(one.selection_set, fragments)
            found.append(InlineFragmentNode(type_condition=one.type_condition, directives=(), selection_set=inner))
        elif isinstance(one, FieldNode):
            found.append(_field(one, one.alias, one.selection_set and _inline(one.selection_set, fragments)))
    return SelectionSetNode(selections=tuple(found))


def _field(node: FieldNode, alias: NameNode | None, inner: SelectionSetNode | None) -> FieldNode:
    return FieldNode(
        alias=alias, name=node.name, arguments=node.arguments, directives=node.directives, selection_set=inner
    )


def merge(selections: Sequence[SelectionSetNode]) -> SelectionSetNode:
    """One selection that asks everything the given ones ask, under sent keys."""
    fields: dict[str, list[FieldNode]] = {}
    typed: dict[str, list[InlineFragmentNode]] = {}
    for one in (node for each in selections for node in each.selections):
        if isinstance(one, FieldNode):
            fields.setdefault(sent_key(one), []).append(one)
        elif isinstance(one, InlineFragmentNode):
            typed.setdefault(one.type_condition.name.value, []).append(one)
    merged: list[SelectionNode] = [_merged(key, nodes) for key, nodes in fields.items()]
    for nodes in typed.values():
        inner = merge([node.selection_set for node in nodes])
        merged.append(InlineFragmentNode(type_condition=nodes[0].type_condition, directives=(), selection_set=inner))
    return SelectionSetNode(selections=tuple(merged))


def _merged(key: str, nodes: Sequence[FieldNode]) -> FieldNode:
    first = nodes[0]
    alias = NameNode(value=key) if key != first.name.value else None
    inner = [node.selection_set for node in nodes if node.selection_set]
    return _field(first, alias, merge(inner) if inner else None)


def restore(node: SelectionSetNode, data: Any, key: Key = sent_key) -> Any:
    """The part of an answer that `node` asked for, in its author's names; MoneyV2 becomes Money.

    Raises ValueError when the answer lacks what was asked.
    """
    if data is None:
        return None
    if isinstance(data, list):
        return [restore(node, item, key) for item in data]
    if not isinstance(data, Mapping):
        raise ValueError(f"an object was expected where the answer has {type(data).__name__}")
    view: dict[str, Any] = {}
    for one in node.selections:
        if isinstance(one, InlineFragmentNode):
            inner = SelectionSetNode(selections=tuple(
                each for each in one.selection_set.selections
                if isinstance(each, FieldNode) and key(each) in data
            ))  # fmt: skip
            view.update(restore(inner, data, key))
        elif isinstance(one, FieldNode):
            if key(one) not in data:
                raise ValueError(f"the answer has no {key(one)}")
            value = data[key(one)]
            view[own_key(one)] = restore(one.selection_set, value, key) if one.selection_set else value
    if view.keys() == {"amount", "currencyCode"}:
        return from_shopify(view["amount"], view["currencyCode"])
    return view


def decode(document: str, data: Any) -> Any:
    """The data of a document's only operation, MoneyV2 as Money. Raises ValueError."""
    return restore(_asked(document), data, own_key)


@lru_cache(maxsize=64)
def _asked(document: str) -> SelectionSetNode:
    return root_selection(parse(document))
