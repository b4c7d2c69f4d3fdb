"""The calls of an action: known mutations, sent once, with every refusal put into words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import graphql as gql

from plugin.check.queries import Query, at_node, names
from plugin.check.report import Report, did_you_mean, listed, nearest
from plugin.operations import OPERATIONS, Moves, Operation
from plugin.source import Pointer


@dataclass(frozen=True)
class Call:
    """One step with its valid mutation: the root field and what Shopify says about it."""

    report: Report
    pointer: Pointer
    raw: Mapping[str, Any]
    root: gql.FieldNode
    field: gql.GraphQLField

    def find(self, node: Any, rule: str, message: str, cure: str | None = None) -> None:
        at_node(self.report, (*self.pointer, "mutation"), node, rule, message, cure)

    @property
    def name(self) -> str:
        return self.root.name.value


def check_root(report: Report, pointer: Pointer, query: Query) -> bool:
    """Whether a step calls one mutation the runtime knows, with a key where it needs one."""
    where = (*pointer, "mutation")
    root = query.operation.selection_set.selections[0]
    if len(query.operation.selection_set.selections) != 1 or not isinstance(root, gql.FieldNode):
        report.at(where, "one-operation", "a step is one call: its mutation has one root field", key=True)
        return False
    name = root.name.value
    known = OPERATIONS.get(name)
    if known is None:
        cure = did_you_mean(name, OPERATIONS) or f"there is {listed(OPERATIONS)}"
        message = f"the runtime does not know what '{name}' proves"
        at_node(report, where, root, "unknown-operation", message, cure)
        return False
    if known.keyed and _key_variable(root) is None:
        cure = "declare $key: String! and add @idempotent(key: $key)"
        message = f"{name} needs @idempotent with a variable as its key"
        at_node(report, where, root, "idempotent", message, cure)
        return False
    return True


def _key_variable(root: gql.FieldNode) -> str | None:
    directive = next((one for one in root.directives if one.name.value == "idempotent"), None)
    values = [one.value for one in directive.arguments if one.name.value == "key"] if directive else []
    return values[0].name.value if values and isinstance(values[0], gql.VariableNode) else None


def check_call(
    report: Report, schema: gql.GraphQLSchema, pointer: Pointer, raw: Mapping[str, Any], query: Query
) -> None:
    """Everything about one step with a valid mutation that is not an expression."""
    root = query.operation.selection_set.selections[0]
    assert schema.mutation_type is not None and isinstance(root, gql.FieldNode)
    call = Call(report, pointer, raw, root, schema.mutation_type.fields[root.name.value])
    known = OPERATIONS[call.name]
    if _plain(call, known):
        _answers(call, known)
        _once(call, known)
        _bound(call, query)
    _waiting(call, known)
    _refusals(call, known)


# ---------------------------------------------------------------- written so that its money can be counted

COUNTED: Mapping[Moves, tuple[str, ...]] = {
    Moves.NOTHING: (),
    Moves.TRANSACTIONS: ("input",),
    Moves.NET_PAYMENT: ("refundMethod", "refund"),
}
UNCOUNTED = {
    "refundMethods": "pay back by `transactions`",
    "allowOverRefunding": "Shopify refuses more than was paid anyway; delete it",
}


def _plain(call: Call, known: Operation) -> bool:
    """The runtime counts money in variables and reads proofs by name: nothing may hide either."""
    aliased = next((one for one in (call.root, *_fields(call.root)) if one.alias), None)
    if aliased is not None:
        call.find(aliased, "plain-call", "an alias here hides what proves the call", f"write {aliased.name.value}")
        return False
    for one in call.root.arguments:
        if one.name.value not in COUNTED[known.moves]:
            continue
        if not isinstance(one.value, gql.VariableNode) or one.value.name.value != one.name.value:
            message = f"the money of {call.name} is counted in the variable ${one.name.value}"
            call.find(call.root, "plain-call", message, f"write {one.name.value}: ${one.name.value}")
            return False
    given = call.raw["variables"].get("input")
    for name in UNCOUNTED if known.moves is Moves.TRANSACTIONS and isinstance(given, Mapping) else ():
        if name in given:
            where = (*call.pointer, "variables", "input", name)
            call.report.at(where, "uncounted-money", f"'{name}' moves money no limit counts", UNCOUNTED[name], key=True)
    if known.moves is Moves.TRANSACTIONS and not isinstance(given, Mapping):
        message = "the refund's input must be written out, so that its transactions can be counted"
        call.report.at((*call.pointer, "variables"), "uncounted-money", message, "write input: as a mapping", key=True)
    return True


def _bound(call: Call, query: Query) -> None:
    """The key comes from the run, never from a default in the document."""
    name = _key_variable(call.root)
    for one in query.operation.variable_definitions:
        if one.variable.name.value == name and one.default_value is not None:
            call.find(call.root, "idempotent", "a default key would serve every refund", f"declare ${name}: String!")


# ---------------------------------------------------------------- what is read of the answer


def _answers(call: Call, known: Operation) -> None:
    below = {one.name.value: one for one in _fields(call.root)}
    wanted = ["field", "message", *(["code"] if known.coded else [])]
    errors = below.get(known.user_errors)
    shown = f"{known.user_errors} {{ {' '.join(wanted)} }}"
    if errors is None or not set(wanted) <= set(names(errors)) or errors.alias:
        call.find(
            errors or call.root, "user-errors", f"refusals of {call.name} would look like success", f"select {shown}"
        )
    if not any(name in below and "id" in names(below[name]) for name in known.proof):
        call.find(
            call.root,
            "proof",
            f"nothing in the answer proves that {call.name} happened",
            f"select {listed(f'{name} {{ id }}' for name in known.proof)}",
        )


def _fields(node: gql.FieldNode) -> list[gql.FieldNode]:
    inner = node.selection_set.selections if node.selection_set else ()
    return [one for one in inner if isinstance(one, gql.FieldNode)]


# ---------------------------------------------------------------- sent twice, done once


def _once(call: Call, known: Operation) -> None:
    kind, pointer = call.raw["idempotency"], (*call.pointer, "idempotency")
    if known.keyed and kind != "key":
        call.report.at(
            pointer, "idempotency", f"{call.name} is repeated safely only with a key", "write idempotency: key"
        )
    elif not known.keyed and kind != "by_state":
        call.report.at(
            pointer,
            "idempotency",
            f"{call.name} takes no key; whether it happened is seen on the order",
            "write idempotency: by_state, and settled_when:",
        )
    elif known.keyed:
        _keyed(call)
    elif "settled_when" not in call.raw:
        call.report.at(
            pointer,
            "idempotency",
            "by_state needs `settled_when`: what on the order proves that it happened",
            "add settled_when:",
        )
    if known.moves is not Moves.NOTHING and "run.marker" not in str(call.raw["variables"]):
        call.report.at(
            (*call.pointer, "variables"),
            "marker",
            f"without run.marker in its note this {call.name} could not be found again",
            "put `| marked(run.marker)` on the note",
            key=True,
        )


def _keyed(call: Call) -> None:
    name = _key_variable(call.root) or ""
    bound = call.raw["variables"].get(name)
    if bound is not None and str(bound).replace(" ", "") != "${{run.key}}":
        message = "the key of a call is the one its run was given"
        call.report.at((*call.pointer, "variables", name), "idempotent", message, "write ${{ run.key }}")


def _waiting(call: Call, known: Operation) -> None:
    starts_job = "job" in known.proof
    if starts_job and "poll" not in call.raw:
        message = f"{call.name} only starts a job; without `poll` nobody waits for it"
        call.report.at(call.pointer, "poll", message, "add poll:", key=True)
    if not starts_job and "poll" in call.raw:
        call.report.at(
            (*call.pointer, "poll"),
            "poll",
            f"{call.name} answers at once; there is no job to wait for",
            "delete it",
            key=True,
        )


# ---------------------------------------------------------------- words for refusals


def _refusals(call: Call, known: Operation) -> None:
    rules = call.raw["errors"]
    pointer = (*call.pointer, "errors")
    codes = _codes(call, known) if known.coded else ()
    mapped: set[str] = set()
    for index, rule in enumerate(rules):
        here = (*pointer, index, "match")
        if rule["match"] == "any":
            if index < len(rules) - 1:
                call.report.at(here, "match-any", "the rules below `any` are never reached", "put it last")
            continue
        _codes_of_rule(call, here, rule["match"], codes, mapped)
        _fields_of_rule(call, here, rule["match"])
    if all(rule["match"] != "any" for rule in rules):
        call.report.at(
            pointer, "match-any", "a refusal nobody thought of would have no words", "end with `match: any`", key=True
        )
    left = [code for code in codes if code not in mapped]
    if left:
        call.report.at(
            pointer,
            "unmapped-codes",
            f"{call.name} can also answer {listed(left)}",
            "give them words of their own above `any`",
            key=True,
            severity="warning",
        )


def _codes(call: Call, known: Operation) -> tuple[str, ...]:
    payload: Any = gql.get_named_type(call.field.type)
    errors: Any = gql.get_named_type(payload.fields[known.user_errors].type)
    code = gql.get_named_type(errors.fields["code"].type) if "code" in errors.fields else None
    return tuple(code.values) if isinstance(code, gql.GraphQLEnumType) else ()


def _codes_of_rule(
    call: Call, pointer: Pointer, match: Mapping[str, Any], codes: tuple[str, ...], mapped: set[str]
) -> None:
    if "code" not in match:
        return
    if not codes:
        call.report.at(
            (*pointer, "code"),
            "error-code",
            f"the refusals of {call.name} carry no code",
            "match by field or message",
            key=True,
        )
        return
    listed_here = match["code"] if isinstance(match["code"], list) else [match["code"]]
    for index, code in enumerate(listed_here):
        where = (*pointer, "code", index) if isinstance(match["code"], list) else (*pointer, "code")
        if code not in codes:
            cure = did_you_mean(code, codes) or f"it has {listed(codes)}"
            call.report.at(where, "error-code", f"{call.name} never answers '{code}'", cure)
            mapped.add(nearest(code, codes) or "")
        elif code in mapped and set(match) == {"code"}:
            call.report.at(where, "error-code", f"'{code}' has its words further up already", "delete it here")
        mapped.add(code)


def _fields_of_rule(call: Call, pointer: Pointer, match: Mapping[str, Any]) -> None:
    known = _input_names(call.field)
    for index, name in enumerate(match.get("field", ())):
        if name not in known and not name.isdecimal():
            cure = did_you_mean(name, known)
            call.report.at(
                (*pointer, "field", index), "unknown-input", f"{call.name} has no input field '{name}'", cure
            )


def _input_names(field: gql.GraphQLField) -> set[str]:
    found = set(field.args)
    pending: list[Any] = [gql.get_named_type(one.type) for one in field.args.values()]
    seen: set[str] = set()
    while pending:
        kind = pending.pop()
        if isinstance(kind, gql.GraphQLInputObjectType) and kind.name not in seen:
            seen.add(kind.name)
            found.update(kind.fields)
            pending.extend(gql.get_named_type(one.type) for one in kind.fields.values())
    return found
