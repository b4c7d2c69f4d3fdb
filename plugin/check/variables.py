"""Variables of an operation, walked in step with the input types of Shopify's schema."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import graphql as gql

from plugin.check.expressions import Facts, Known
from plugin.check.report import did_you_mean, listed, nearest
from plugin.check.types import misfit, noted
from plugin.check.values import Reader, facts_of
from plugin.source import Pointer

_AMOUNT = re.compile(r"-?\d+(\.\d+)?\Z")


@dataclass(frozen=True)
class Variables:
    """One walk; `known` is what the expressions may name."""

    reader: Reader
    known: Known

    def check(
        self, pointer: Pointer, given: Mapping[str, Any], operation: gql.OperationDefinitionNode, facts: Facts
    ) -> None:
        """Every declared variable gets a value that fits, and nothing else is given."""
        report, schema = self.reader.report, self.reader.schema
        declared = {one.variable.name.value: one for one in operation.variable_definitions}
        for name in given:
            if name not in declared:
                cure = did_you_mean(name, declared) or f"declare ${name} in the operation, or delete this"
                message = f"the operation declares no variable ${name}"
                report.at((*pointer, name), "undeclared-variable", message, cure, key=True)
        for name, node in declared.items():
            kind = gql.type_from_ast(schema, node.type)
            needed = isinstance(kind, gql.GraphQLNonNull) and node.default_value is None
            if name in given and kind is not None:
                self._value((*pointer, name), given[name], kind, f"${name}", facts, needed)  # type: ignore[arg-type]
            elif name not in given and needed and not _misspelt(name, set(given) - set(declared)):
                report.at(
                    pointer, "missing-variable", f"${name} is {kind} and gets no value", f"add `{name}:`", key=True
                )

    def _value(
        self, pointer: Pointer, raw: Any, kind: gql.GraphQLInputType, name: str, facts: Facts, needed: bool
    ) -> None:
        if isinstance(raw, dict) and ("$when" in raw or "$value" in raw):
            return self._optional(pointer, raw, kind, name, facts, needed)
        report = self.reader.report
        if raw is None:
            if needed:
                report.at(pointer, "maybe-null", f"{name} is {kind}, so null cannot be sent")
            return None
        bare = kind.of_type if isinstance(kind, gql.GraphQLNonNull) else kind
        if isinstance(raw, str) and "${{" in raw:
            self._expression(pointer, raw, kind, name, facts, needed)
        elif isinstance(bare, gql.GraphQLList):
            self._list(pointer, raw, bare, name, facts)
        elif isinstance(bare, gql.GraphQLInputObjectType):
            self._object(pointer, raw, bare, name, facts)
        else:
            self._constant(pointer, raw, bare, name)
        return None

    def _optional(
        self,
        pointer: Pointer,
        raw: dict[str, Any],
        kind: gql.GraphQLInputType,
        name: str,
        facts: Facts,
        needed: bool,
    ) -> None:
        """`$when` may leave the value out, and proves something about what stands beside it."""
        report = self.reader.report
        if "$when" not in raw:
            message = "`$value` stands only beside `$when`"
            return report.at((*pointer, "$value"), "unknown-key", message, key=True)
        self.reader.condition((*pointer, "$when"), raw["$when"], self.known, facts)
        inner = facts | facts_of(raw["$when"], True, self.known)
        if needed:
            message = f"{name} is {kind}, so it cannot be left out"
            report.at((*pointer, "$when"), "maybe-null", message, key=True)
        rest = {key: value for key, value in raw.items() if key not in ("$when", "$value")}
        if "$value" in raw and rest:
            return report.at(
                (*pointer, next(iter(rest))), "unknown-key", "nothing else stands beside `$value`", key=True
            )
        if "$value" in raw:
            return self._value((*pointer, "$value"), raw["$value"], kind, name, inner, needed)
        return self._value(pointer, rest, kind, name, inner, needed)

    def _expression(
        self, pointer: Pointer, raw: str, kind: gql.GraphQLInputType, name: str, facts: Facts, needed: bool
    ) -> None:
        found = self.reader.value(pointer, raw, self.known, facts)
        wanted = noted(str(kind), self.reader.schema)
        problem = misfit(found, replace(wanted, null=not needed))
        if problem:
            rule, said = problem
            cure = "use a filter that gives it" if rule == "type" and found.fields is not None else None
            if found.name == "MoneyV2":
                cure = "the filter `amount` gives Shopify the amount"
            if rule == "maybe-null":
                cure = f"test `is not none` first; {wanted} can neither be null nor left out"
            message, width = f"{name} is {kind}, but this {said}", len(raw.strip().split("\n")[0])
            self.reader.report.inside(pointer, raw.find("${{"), rule, message, cure, width=width)

    def _list(self, pointer: Pointer, raw: Any, kind: "gql.GraphQLList[Any]", name: str, facts: Facts) -> None:
        if not isinstance(raw, list):
            return self.reader.report.at(pointer, "type", f"{name} is {kind}, a list")
        for index, item in enumerate(raw):
            element = kind.of_type
            self._value(
                (*pointer, index), item, element, f"an entry of {name}", facts, isinstance(element, gql.GraphQLNonNull)
            )
        return None

    def _object(self, pointer: Pointer, raw: Any, kind: gql.GraphQLInputObjectType, name: str, facts: Facts) -> None:
        report = self.reader.report
        if not isinstance(raw, dict):
            return report.at(pointer, "type", f"{name} is {kind}, a mapping")
        unknown = [key for key in raw if key not in kind.fields]
        for key in unknown:
            cure = did_you_mean(key, kind.fields) or f"{kind} has {listed(kind.fields)}"
            report.at((*pointer, key), "unknown-input", f"{kind} has no field '{key}'", cure, key=True)
        for key, field in kind.fields.items():
            if key in raw:
                self._field((*pointer, key), raw[key], field, f"{kind}.{key}", facts, _one_of(kind))
            elif gql.is_required_input_field(field) and not _misspelt(key, unknown):
                report.at(
                    pointer, "missing-input", f"{kind} needs '{key}', which is {field.type}", f"add `{key}:`", key=True
                )
        if _one_of(kind) and len(raw) - len(unknown) != 1:
            report.at(pointer, "one-of", f"{kind} takes exactly one of {listed(kind.fields)}", key=True)
        return None

    def _field(
        self, pointer: Pointer, raw: Any, field: gql.GraphQLInputField, name: str, facts: Facts, sole: bool
    ) -> None:
        """One field of an input; the `sole` one of a @oneOf is never null."""
        if field.deprecation_reason:
            self.reader.report.at(
                pointer, "deprecated", f"{name} is deprecated", field.deprecation_reason, key=True, severity="warning"
            )
        kind: gql.GraphQLInputType = gql.GraphQLNonNull(field.type) if sole else field.type
        self._value(pointer, raw, kind, name, facts, sole or gql.is_required_input_field(field))

    def _constant(self, pointer: Pointer, raw: Any, kind: Any, name: str) -> None:
        report = self.reader.report
        if isinstance(kind, gql.GraphQLEnumType):
            shown = raw if isinstance(raw, str) else "that"
            if shown not in kind.values:
                near = did_you_mean(shown, kind.values) or f"it has {listed(kind.values)}"
                report.at(pointer, "enum-value", f"{kind} has no value '{shown}'", near)
            return
        fits = {"Boolean": type(raw) is bool, "Int": type(raw) is int}.get(kind.name, isinstance(raw, str))
        if kind.name in ("Money", "Decimal"):
            fits = isinstance(raw, str) and bool(_AMOUNT.match(raw))
        if not fits:
            shown = f"'{raw}'" if isinstance(raw, str) else str(raw).lower()
            shown = "that" if isinstance(raw, (dict, list)) else shown
            cure = "write it in quotes" if type(raw) is int and kind.name not in ("Boolean", "Int") else None
            report.at(pointer, "type", f"{name} is {kind}, not {shown}", cure)


def _misspelt(name: str, unknown: Iterable[str]) -> bool:
    """Whether one of these was probably meant to be `name`; then only that is reported."""
    return any(nearest(one, [name]) for one in unknown)


def _one_of(kind: gql.GraphQLInputObjectType) -> bool:
    """Whether the schema says `@oneOf`, which older releases of graphql-core keep only in the syntax tree."""
    node = kind.ast_node
    return node is not None and any(one.name.value == "oneOf" for one in node.directives)
