"""The fields of a form: their types, their order around the preview, and their fixed values."""

from collections.abc import Mapping
from typing import Any

from graphql import GraphQLEnumType, GraphQLSchema

from plugin.check.report import did_you_mean, listed
from plugin.check.tree import Lets, Unreadable, mentions
from plugin.check.types import ANY, BOOLEAN, Type, enum_values, list_of
from plugin.check.values import Reader
from plugin.expr import ExprError, Placeholder, split_template

Form = Mapping[str, Mapping[str, Any]]
_FIXED = {
    "line_items": list_of(Type("LineSelection")),
    "payments": list_of(Type("PaymentSelection")),
    "money": Type("MoneyV2", null=True),
    "text": Type("String", null=True),
    "boolean": BOOLEAN,
}


def form_types(form: Form, schema: GraphQLSchema, *, complete: bool) -> dict[str, Type]:
    """What `form.<field>` is; before the form is complete even a required choice may be missing."""
    return {name: _FIXED.get(one["type"]) or _choice(one, schema, complete) for name, one in form.items()}


def _choice(one: Mapping[str, Any], schema: GraphQLSchema, complete: bool) -> Type:
    sure = "default" in one or (complete and one.get("required", False) and "visible_when" not in one)
    options = one["options"]
    if isinstance(options, dict):
        values = enum_values(schema, options["enum"])
        return Type(options["enum"], not sure, values=values) if values else ANY
    values = tuple(each["value"] for each in options) if isinstance(options, list) else None
    return Type("String", not sure, values=values)


def after_preview(form: Form, lets: Lets) -> frozenset[str]:
    """The fields whose value waits for the preview, directly, through a `let` or through another field."""
    late: set[str] = set()
    for name, one in form.items():
        texts = [one["visible_when"]] if "visible_when" in one else []
        for key in ("options", "default", "currency"):
            texts += _placeholders(one.get(key))
        if any(_mentions(text, lets) & ({"preview"} | {f"form.{each}" for each in late}) for text in texts):
            late.add(name)
    return frozenset(late)


def _placeholders(value: Any) -> list[str]:
    if isinstance(value, list):
        return [each for item in value for each in _placeholders(item["label"])]
    if not isinstance(value, str):
        return []
    try:
        return [part.text for part in split_template(value) if isinstance(part, Placeholder)]
    except (ExprError, RecursionError):
        return []


def _mentions(text: str, lets: Lets) -> frozenset[str]:
    try:
        return mentions(text, lets)
    except Unreadable:
        return frozenset()


def check_fields(reader: Reader, form: Form) -> None:
    """The fixed choices of a form, and their defaults."""
    for name, one in form.items():
        if one["type"] == "choice":
            _check_choice(reader, name, one)


def _check_choice(reader: Reader, name: str, one: Mapping[str, Any]) -> None:
    options, report = one["options"], reader.report
    values: tuple[str, ...] = ()
    if isinstance(options, dict):
        known = [key for key, kind in reader.schema.type_map.items() if isinstance(kind, GraphQLEnumType)]
        values = enum_values(reader.schema, options["enum"]) or ()
        if not values:
            report.at(
                ("form", name, "options", "enum"),
                "unknown-type",
                f"Shopify has no enum '{options['enum']}'",
                did_you_mean(options["enum"], known),
            )
    if isinstance(options, list):
        values = tuple(each["value"] for each in options)
        for index, value in enumerate(values):
            if value in values[:index]:
                report.at(("form", name, "options", index, "value"), "wrong-value", f"'{value}' can be chosen twice")
    default = one.get("default")
    if default is not None and values and default not in values:
        cure = did_you_mean(default, values) or f"it can be {listed(values)}"
        report.at(("form", name, "default"), "enum-value", f"'{default}' cannot be chosen in '{name}'", cure)
