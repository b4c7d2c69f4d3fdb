"""The bundle's files, already checked, compiled into records."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from graphql import EnumTypeDefinitionNode, FieldNode, OperationDefinitionNode, parse

from plugin.bundle import (
    Action,
    Bundle,
    Card,
    ErrorRule,
    Field,
    Limit,
    PermissionSet,
    Poll,
    Preview,
    Rule,
    StepSpec,
    SummaryRow,
)
from plugin.expr import Expression, Value, compile_expression, compile_value, expressions
from plugin.filters import label
from plugin.source import load

Raw = Mapping[str, Any]
Enums = Mapping[str, tuple[str, ...]]


def load_bundle(root: Path) -> Bundle:
    """Compile a bundle that the checker found without errors."""
    manifest = load(root / "plugin.yaml").data
    enums = _enums((root / manifest["shopify"]["schema"]).read_text(encoding="utf-8"))
    actions = [load_action(root / path, enums) for path in manifest["actions"]]
    return Bundle(
        name=manifest["name"],
        api_version=manifest["shopify"]["api_version"],
        schema=manifest["shopify"]["schema"],
        permissions={name: one["title"] for name, one in manifest["permissions"].items()},
        permission_sets={name: _permission_set(name, one) for name, one in manifest["permission_sets"].items()},
        settings={name: one["default"] for name, one in manifest.get("settings", {}).items()},
        actions={one.id: one for one in sorted(actions, key=lambda one: one.position)},
        cards={name: Card(one["template"], one.get("reads")) for name, one in manifest["cards"].items()},
        role_groups=manifest["crm"]["role_groups"],
        host=manifest["crm"]["host"],
        identity=manifest["crm"].get("identity", "oauth"),
        scopes=tuple(manifest["shopify"].get("scopes", ())),
    )


def _permission_set(name: str, raw: Raw) -> PermissionSet:
    limit = raw.get("limit", {})
    return PermissionSet(
        name, raw["title"], frozenset(raw["grants"]), Limit(limit.get("shop"), limit.get("presentment", {}))
    )


def load_action(path: Path, enums: Enums) -> Action:
    """Compile one action file."""
    raw = load(path).data
    lets = {name: compile_expression(text) for name, text in raw.get("let", {}).items()}
    return Action(
        id=raw["id"],
        title=raw["title"],
        icon=raw["icon"],
        position=raw["position"],
        permission=raw["permission"],
        scopes=tuple(raw["scopes"]),
        reads=raw["reads"],
        availability=tuple(_rule(one, "unless", "reason", "suggest") for one in raw["availability"]),
        lets=lets,
        fields=_fields(raw["form"], lets, enums),
        preview=_preview(raw.get("preview")),
        warnings=tuple(_rule(one, "when", "text", None) for one in raw.get("warnings", [])),
        guards=tuple(_rule(one, "require", "reason", "field") for one in raw.get("guards", [])),
        sentence=compile_value(raw["confirm"]["sentence"]),
        button=compile_value(raw["confirm"]["button"]),
        steps=tuple(_step(one) for one in raw["steps"]),
        success=compile_value(raw["result"]["success"]),
        pending=compile_value(raw["result"]["pending"]),
        note=compile_value(raw["note"]),
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _rule(raw: Raw, condition: str, text: str, target: str | None) -> Rule:
    return Rule(compile_expression(raw[condition]), compile_value(raw[text]), target and raw.get(target))


def _maybe(raw: Raw, key: str) -> Expression | None:
    return compile_expression(raw[key]) if key in raw else None


def _fields(raw: Raw, lets: Mapping[str, Expression], enums: Enums) -> tuple[Field, ...]:
    late: set[str] = set()
    fields = []
    for name, one in raw.items():
        used = expressions({key: value for key, value in one.items() if key in ("options", "default", "currency")})
        used += [compile_expression(one["visible_when"])] if "visible_when" in one else []
        if _needs_preview(used, lets, late):
            late.add(name)
        fields.append(_field(name, one, name in late, enums))
    return tuple(fields)


def _needs_preview(used: Iterable[Expression], lets: Mapping[str, Expression], late: set[str]) -> bool:
    pending, seen = list(used), set[str]()
    while pending:
        one = pending.pop()
        if "preview" in one.names or one.form_fields & late:
            return True
        for name in one.names & lets.keys() - seen:
            seen.add(name)
            pending.append(lets[name])
    return False


def _field(name: str, raw: Raw, after_preview: bool, enums: Enums) -> Field:
    return Field(
        name=name,
        type=raw["type"],
        label=compile_value(raw["label"]),
        help=compile_value(raw["help"]) if "help" in raw else None,
        visible_when=_maybe(raw, "visible_when"),
        permission=raw.get("permission"),
        required=raw.get("required", False),
        default=compile_value(raw["default"]) if raw["type"] == "money" and "default" in raw else raw.get("default"),
        options=_options(raw.get("options"), enums),
        currency=compile_value(raw["currency"]) if "currency" in raw else None,
        maximum=compile_value(raw["max"]) if "max" in raw else None,
        max_label=compile_value(raw["max_label"]) if "max_label" in raw else None,
        max_length=raw.get("max_length"),
        edit_permission=raw.get("edit_permission"),
        at_most_suggested=raw.get("at_most") == "suggested",
        after_preview=after_preview,
    )


def _options(raw: Any, enums: Enums) -> Value | tuple[tuple[str, Value], ...] | None:
    if isinstance(raw, list):
        return tuple((one["value"], compile_value(one["label"])) for one in raw)
    if isinstance(raw, Mapping):
        return tuple((value, compile_value(label(value))) for value in enums[raw["enum"]])
    return compile_value(raw) if raw is not None else None


def _enums(sdl: str) -> Enums:
    found = [one for one in parse(sdl).definitions if isinstance(one, EnumTypeDefinitionNode)]
    return {one.name.value: tuple(value.name.value for value in one.values) for one in found}


def _preview(raw: Raw | None) -> Preview | None:
    if raw is None:
        return None
    rows = [
        SummaryRow(
            compile_value(one["label"]),
            compile_value(one["value"]),
            _maybe(one, "when"),
            one.get("strong", False),
        )
        for one in raw["summary"]
    ]
    return Preview(raw["query"], compile_value(raw["variables"]), tuple(rows))


def _step(raw: Raw) -> StepSpec:
    poll = raw.get("poll")
    return StepSpec(
        name=raw["name"],
        when=_maybe(raw, "when"),
        mutation=raw["mutation"],
        root=root_field(raw["mutation"]),
        variables=compile_value(raw["variables"]),
        idempotency=raw["idempotency"],
        settled_when=_maybe(raw, "settled_when"),
        poll=Poll(compile_value(poll["job"]), _seconds(poll["every"]), _seconds(poll["for"])) if poll else None,
        errors=tuple(_error_rule(one) for one in raw["errors"]),
    )


def root_field(mutation: str) -> str:
    """The name of the one field a mutation document calls."""
    operation = parse(mutation).definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    field = operation.selection_set.selections[0]
    assert isinstance(field, FieldNode)
    return field.name.value


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def _error_rule(raw: Raw) -> ErrorRule:
    match = raw["match"]
    words = compile_value(raw["message"])
    if match == "any":
        return ErrorRule(None, None, None, raw.get("field"), words)
    codes = match.get("code")
    return ErrorRule(
        codes=(codes,) if isinstance(codes, str) else tuple(codes) if codes else None,
        field_path=tuple(match["field"]) if "field" in match else None,
        message=match.get("message"),
        mark=raw.get("field"),
        words=words,
    )
