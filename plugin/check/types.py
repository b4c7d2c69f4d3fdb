"""The types of the language: GraphQL's names, travelling with the fields that were selected."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import graphql as gql

from plugin.selection import own_key

# Where the runtime itself ends the work when Shopify answers null, so that no expression has to ask.
PRESENT = frozenset({("QueryRoot", "order"), ("Order", "suggestedRefund")})
TEXTS = frozenset({"String", "ID", "URL", "HTML", "FormattedString"})
NUMBERS = frozenset({"Int", "Float", "Decimal"})


@dataclass(frozen=True)
class Type:
    """`of` is set for lists, `fields` for objects, `values` for text that can only be one of these."""

    name: str
    null: bool = False
    of: "Type | None" = None
    fields: Mapping[str, "Type"] | None = None
    values: tuple[str, ...] | None = None

    def __str__(self) -> str:
        inner = f"[{self.of}]" if self.of else self.name
        return inner if self.null or self.name == "Any" else f"{inner}!"

    @property
    def present(self) -> "Type":
        return replace(self, null=False) if self.null else self

    @property
    def textual(self) -> bool:
        return self.of is None and self.fields is None and (self.name in TEXTS or self.values is not None)


ANY = Type("Any", null=True)
NULL = Type("Null", null=True)
BOOLEAN = Type("Boolean")
STRING = Type("String")
INT = Type("Int")
MONEY = Type("MoneyV2")


def list_of(element: Type, null: bool = False) -> Type:
    return Type("List", null, of=element)


def record(name: str, fields: Mapping[str, Type], null: bool = False) -> Type:
    return Type(name, null, fields=fields)


def noted(notation: str, schema: gql.GraphQLSchema) -> Type:
    """A type from GraphQL notation, for instance `[LineItem!]!`."""
    null = not notation.endswith("!")
    bare = notation.removesuffix("!")
    if bare.startswith("["):
        return list_of(noted(bare[1:-1], schema), null)
    if bare == "Any":
        return ANY
    return Type(bare, null, values=enum_values(schema, bare))


def enum_values(schema: gql.GraphQLSchema, name: str) -> tuple[str, ...] | None:
    found = schema.type_map.get(name)
    return tuple(found.values) if isinstance(found, gql.GraphQLEnumType) else None


def selected(schema: gql.GraphQLSchema, parent: str, node: gql.SelectionSetNode | None) -> dict[str, Type]:
    """The fields of an object as they were selected; fields of a narrower type may be missing."""
    fields: dict[str, Type] = {}
    owner = schema.type_map.get(parent)
    for one in node.selections if node else ():
        if isinstance(one, gql.InlineFragmentNode):
            inner = selected(schema, one.type_condition.name.value if one.type_condition else parent, one.selection_set)
            fields.update({key: replace(found, null=True) for key, found in inner.items()})
        elif isinstance(one, gql.FieldNode):
            field = getattr(owner, "fields", {}).get(one.name.value)
            answer = _of_output(schema, field.type, one) if field else Type("String")
            present = (parent, one.name.value) in PRESENT
            fields[own_key(one)] = answer.present if present else answer
    return fields


def _of_output(schema: gql.GraphQLSchema, kind: gql.GraphQLOutputType, node: gql.FieldNode) -> Type:
    if gql.is_non_null_type(kind):
        assert isinstance(kind, gql.GraphQLNonNull)
        return _of_output(schema, kind.of_type, node).present
    if gql.is_list_type(kind):
        assert isinstance(kind, gql.GraphQLList)
        return list_of(_of_output(schema, kind.of_type, node), null=True)
    name = gql.get_named_type(kind).name
    if name == "MoneyV2" or not gql.is_composite_type(kind):
        return Type(name, True, values=enum_values(schema, name))
    return Type(name, True, fields=selected(schema, name, node.selection_set))


# ---------------------------------------------------------------- fitting one type to another


def misfit(given: Type, wanted: Type) -> tuple[str, str] | None:
    """Rule and words for why `given` cannot stand where `wanted` is needed, or None."""
    if given.name == "Any" or wanted.name == "Any":
        return None
    if given.null and not wanted.null:
        return ("maybe-null", "is null") if given == NULL else ("maybe-null", "may be null")
    if given == NULL:
        return None
    if wanted.of or given.of:
        if wanted.of and given.of:
            return misfit(given.of, wanted.of) and ("type", f"is {given}")
        return "type", f"is {given}"
    return _misfit_named(given, wanted)


def _misfit_named(given: Type, wanted: Type) -> tuple[str, str] | None:
    same = given.name == wanted.name
    if wanted.values is not None and given.textual and not same:
        wrong = [one for one in given.values or () if one not in wanted.values]
        if given.name == "String" and wrong:
            return "enum-value", f"can be '{wrong[0]}', which {wanted.name} does not have"
        return None if given.values and not wrong else ("type", f"is {given}")
    text = wanted.name in TEXTS and given.textual
    fits = text and (wanted.name == "String" or given.name in ("String", "ID"))
    number = wanted.name in ("Float", "Decimal") and given.name in NUMBERS
    return None if same or fits or number else ("type", f"is {given}")


def united(left: Type, right: Type) -> Type | None:
    """What is known of a value that is one of two; None when they have nothing in common."""
    null = left.null or right.null
    if ANY in (left, right):
        return ANY
    if NULL in (left, right):
        return replace(right if left == NULL else left, null=True)
    return _united_values(left, right, null)


def _united_values(left: Type, right: Type, null: bool) -> Type | None:
    if left.of and right.of:
        element = united(left.of, right.of)
        return list_of(element, null) if element else None
    if left.fields is not None and right.fields is not None and left.name == right.name:
        shared = left.fields.keys() & right.fields.keys()
        both = {key: united(left.fields[key], right.fields[key]) for key in left.fields if key in shared}
        return Type(left.name, null, fields={key: found for key, found in both.items() if found})
    same = left.name if left.name == right.name else None
    if left.textual and right.textual:
        values = (*left.values, *right.values) if left.values and right.values else None
        return Type(same or "String", null, values=values and tuple(dict.fromkeys(values)))
    if left.name in NUMBERS and right.name in NUMBERS:
        return Type(same or "Decimal", null)
    return replace(left, null=null) if left.name == right.name and not left.of and not right.of else None
