"""Cut the small schema a bundle needs out of Shopify's whole one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from graphql import (
    DefinitionNode,
    DirectiveDefinitionNode,
    DocumentNode,
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    FieldNode,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLSchema,
    GraphQLUnionType,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    ListTypeNode,
    NamedTypeNode,
    Node,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    OperationDefinitionNode,
    ScalarTypeDefinitionNode,
    SchemaDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    TypeNode,
    UnionTypeDefinitionNode,
    VariableDefinitionNode,
    Visitor,
    build_ast_schema,
    parse,
    print_ast,
    visit,
)

KEPT_DIRECTIVES = ("idempotent", "oneOf")
EVERYTHING = "Node"  # the interface nearly every type has; it brings none of them along
SANDBOX = Path(__file__).parent / "sandbox" / "store" / "operations.graphql"

_NodeT = TypeVar("_NodeT", bound=Node)
_Fielded = ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode


@dataclass
class _Wanted:
    """What the documents touch: the fields of each type, and the types themselves."""

    fields: dict[str, set[str]] = field(default_factory=dict)
    types: set[str] = field(default_factory=set)

    def take(self, type_name: str, field_name: str) -> bool:
        """Note one field; whether it is new."""
        self.types.add(type_name)
        known = self.fields.setdefault(type_name, set())
        if field_name in known:
            return False
        known.add(field_name)
        return True


def pull(full_sdl: str, documents: Sequence[str]) -> str:
    """The schema with exactly what `documents` select; the same bytes for the same input.

    Raises GraphQLError for a text that is not GraphQL, ValueError for a name the schema does not have.
    """
    document = parse(full_sdl, no_location=True)
    schema = build_ast_schema(document, assume_valid=True)
    wanted = _Wanted()
    for text in documents:
        _collect(schema, text, wanted)
    _close(schema, wanted)
    return _render(document, wanted)


def bundle_documents(root: Path) -> list[str]:
    """Every GraphQL text of a bundle, each whole enough to be parsed, with what the sandbox store answers."""
    return [*_action_documents(root), *_card_documents(root), SANDBOX.read_text(encoding="utf-8")]


def _action_documents(root: Path) -> Iterator[str]:
    manifest = _mapping(root / "plugin.yaml")
    for name in manifest.get("actions") or ():
        action = _mapping(root / str(name))
        if reads := action.get("reads"):
            yield f"fragment Reads on Order {{ {reads} }}"
        if query := (action.get("preview") or {}).get("query"):
            yield str(query)
        for step in action.get("steps") or ():
            yield str(step["mutation"])


def _card_documents(root: Path) -> Iterator[str]:
    for path in sorted((root / "card_templates").glob("*.graphql")):
        yield path.read_text(encoding="utf-8")


def _mapping(path: Path) -> Mapping[str, Any]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded if isinstance(loaded, dict) else {}


class _Collector(Visitor):
    def __init__(self, schema: GraphQLSchema, info: TypeInfo, wanted: _Wanted) -> None:
        super().__init__()
        self.schema = schema
        self.info = info
        self.wanted = wanted

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        parent, definition = self.info.get_parent_type(), self.info.get_field_def()
        name = node.name.value
        if parent is None or name.startswith("__"):
            return
        if definition is None:
            raise ValueError(f"{parent.name} has no field {name!r} in this schema")
        self.wanted.take(parent.name, name)

    def enter_named_type(self, node: NamedTypeNode, *_: Any) -> None:
        self.wanted.types.add(node.name.value)

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
        self.wanted.types.add(_named(node.type))

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> None:
        root = self.schema.get_root_type(node.operation)
        if root is not None:
            self.wanted.types.add(root.name)


def _collect(schema: GraphQLSchema, text: str, wanted: _Wanted) -> None:
    info = TypeInfo(schema)
    visit(parse(text, no_location=True), TypeInfoVisitor(info, _Collector(schema, info, wanted)))


def _close(schema: GraphQLSchema, wanted: _Wanted) -> None:
    """Follow types, arguments, interfaces and implementations until nothing new turns up."""
    if schema.query_type is not None:
        wanted.types.add(schema.query_type.name)
    done: set[tuple[str, int]] = set()
    while open_types := [name for name in sorted(wanted.types) if _mark(wanted, name) not in done]:
        for name in open_types:
            done.add(_mark(wanted, name))
            kind = schema.type_map.get(name)
            if kind is None:
                raise ValueError(f"this schema has no type {name!r}")
            _follow(schema, kind, wanted)


def _mark(wanted: _Wanted, name: str) -> tuple[str, int]:
    return name, len(wanted.fields.get(name, ()))


def _follow(schema: GraphQLSchema, kind: GraphQLNamedType, wanted: _Wanted) -> None:
    node = kind.ast_node
    if isinstance(node, InputObjectTypeDefinitionNode):
        wanted.types.update(_named(one.type) for one in node.fields)
    elif isinstance(node, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode):
        _follow_fields(schema, node, wanted)
    if isinstance(kind, GraphQLInterfaceType | GraphQLUnionType):
        _follow_members(schema, kind, wanted)


def _follow_fields(schema: GraphQLSchema, node: _Fielded, wanted: _Wanted) -> None:
    name = node.name.value
    chosen = wanted.fields.setdefault(name, set())
    known = {one.name.value: one for one in node.fields}
    if "id" in known:
        chosen.add("id")
    for parent in node.interfaces:
        chosen |= wanted.fields.get(parent.name.value, set())
    for one in chosen:
        wanted.types.add(_named(known[one].type))
        wanted.types.update(_named(argument.type) for argument in known[one].arguments)


def _follow_members(schema: GraphQLSchema, kind: GraphQLInterfaceType | GraphQLUnionType, wanted: _Wanted) -> None:
    members = schema.get_possible_types(kind)
    if kind.name == EVERYTHING:
        members = [one for one in members if one.name in wanted.types]
    for member in members:
        wanted.types.add(member.name)
        for name in wanted.fields.get(kind.name, ()):
            wanted.take(member.name, name)


def _named(node: TypeNode) -> str:
    while isinstance(node, ListTypeNode | NonNullTypeNode):
        node = node.type
    assert isinstance(node, NamedTypeNode)
    return node.name.value


def _render(document: DocumentNode, wanted: _Wanted) -> str:
    kept = [one for node in document.definitions if (one := _cut(node, wanted)) is not None]
    ordered = sorted(kept, key=_place)
    return "\n\n".join(print_ast(one) for one in ordered) + "\n"


def _place(node: DefinitionNode) -> tuple[int, str]:
    if isinstance(node, SchemaDefinitionNode):
        return 0, ""
    name: str = node.name.value  # type: ignore[attr-defined]
    return (1 if isinstance(node, DirectiveDefinitionNode) else 2), name


def _cut(node: DefinitionNode, wanted: _Wanted) -> DefinitionNode | None:
    """One definition without descriptions and without what nobody selects; None when nobody needs it."""
    if isinstance(node, SchemaDefinitionNode):
        return _copy(node, operation_types=_roots(node, wanted))
    if isinstance(node, DirectiveDefinitionNode):
        keep = node.name.value in KEPT_DIRECTIVES
        return _copy(node, arguments=_plain(node.arguments)) if keep else None
    if getattr(node, "name", None) is None or node.name.value not in wanted.types:  # type: ignore[attr-defined]
        return None
    return _cut_type(node, wanted)


def _roots(node: SchemaDefinitionNode, wanted: _Wanted) -> tuple[Any, ...]:
    return tuple(one for one in node.operation_types if one.type.name.value in wanted.types)


def _cut_type(node: DefinitionNode, wanted: _Wanted) -> DefinitionNode | None:
    if isinstance(node, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode):
        chosen = wanted.fields.get(node.name.value, set())
        return _copy(
            node,
            interfaces=tuple(one for one in node.interfaces if one.name.value in wanted.types),
            fields=tuple(_field(one) for one in node.fields if one.name.value in chosen),
        )
    if isinstance(node, UnionTypeDefinitionNode):
        return _copy(node, types=tuple(one for one in node.types if one.name.value in wanted.types))
    if isinstance(node, EnumTypeDefinitionNode):
        return _copy(node, values=tuple(_copy(one) for one in node.values))
    if isinstance(node, InputObjectTypeDefinitionNode):
        return _copy(node, fields=_plain(node.fields))
    assert isinstance(node, ScalarTypeDefinitionNode)
    return _copy(node)


def _field(node: FieldDefinitionNode) -> FieldDefinitionNode:
    return _copy(node, arguments=_plain(node.arguments))


def _plain(nodes: Iterable[InputValueDefinitionNode]) -> tuple[InputValueDefinitionNode, ...]:
    return tuple(_copy(one) for one in nodes)


def _copy(node: _NodeT, **changes: Any) -> _NodeT:
    """The node without its description, with `changes`; the source tree stays as it is."""
    values = {key: getattr(node, key, None) for key in node.keys} | {"description": None} | changes
    values = {key: value for key, value in values.items() if key in node.keys}
    return type(node)(**values)
