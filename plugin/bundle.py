"""A bundle as it is loaded: its actions compiled, its permission sets, its settings and its cards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plugin.errors import FixTheSetup
from plugin.expr import Expression, Value


@dataclass(frozen=True)
class Rule:
    """A condition and the sentence it leads to; `target` is the suggested action or the field to mark."""

    condition: Expression
    text: Value
    target: str | None = None


@dataclass(frozen=True)
class Field:
    """One field of a form; the keys a type does not have are None."""

    name: str
    type: str
    label: Value
    help: Value | None
    visible_when: Expression | None
    permission: str | None
    required: bool
    default: Any
    options: Value | tuple[tuple[str, Value], ...] | None
    currency: Value | None
    maximum: Value | None
    max_label: Value | None
    max_length: int | None
    edit_permission: str | None
    at_most_suggested: bool
    after_preview: bool


@dataclass(frozen=True)
class SummaryRow:
    label: Value
    value: Value
    when: Expression | None
    strong: bool


@dataclass(frozen=True)
class Preview:
    query: str
    variables: Value
    summary: tuple[SummaryRow, ...]


@dataclass(frozen=True)
class Poll:
    job: Value
    every: float
    limit: float


@dataclass(frozen=True)
class ErrorRule:
    """Which refusals of Shopify get which words; all None matches any."""

    codes: tuple[str, ...] | None
    field_path: tuple[str, ...] | None
    message: str | None
    mark: str | None
    words: Value


@dataclass(frozen=True)
class StepSpec:
    name: str
    when: Expression | None
    mutation: str
    root: str
    variables: Value
    idempotency: str
    settled_when: Expression | None
    poll: Poll | None
    errors: tuple[ErrorRule, ...]


@dataclass(frozen=True)
class Action:
    """One action file, compiled. `digest` is the SHA-256 of the file: which rules were in force."""

    id: str
    title: str
    icon: str
    position: int
    permission: str
    scopes: tuple[str, ...]
    reads: str
    availability: tuple[Rule, ...]
    lets: Mapping[str, Expression]
    fields: tuple[Field, ...]
    preview: Preview | None
    warnings: tuple[Rule, ...]
    guards: tuple[Rule, ...]
    sentence: Value
    button: Value
    steps: tuple[StepSpec, ...]
    success: Value
    pending: Value
    note: Value
    digest: str


@dataclass(frozen=True)
class Limit:
    """Money one agent may move on one order: in the store's currency, and by presentment currency."""

    shop: str | None = None
    presentment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PermissionSet:
    name: str
    title: str
    grants: frozenset[str]
    limit: Limit


@dataclass(frozen=True)
class Card:
    template: str
    reads: str | None


@dataclass(frozen=True)
class Bundle:
    """A folder with plugin.yaml in it, loaded."""

    name: str
    api_version: str
    schema: str
    permissions: Mapping[str, str]
    permission_sets: Mapping[str, PermissionSet]
    settings: Mapping[str, Any]
    actions: Mapping[str, Action]
    cards: Mapping[str, Card]
    role_groups: Mapping[str, str]
    host: str = "token"
    identity: str = "oauth"
    scopes: tuple[str, ...] = ()  # asked for beside those of the actions


def settings_of(bundle: Bundle, chosen: Sequence[str]) -> dict[str, object]:
    """The bundle's defaults with a store's own values over them, `name=value` each; an empty one is the bundle's.

    Raises FixTheSetup.
    """
    settings: dict[str, object] = dict(bundle.settings)
    for text in chosen:
        name, _, value = text.partition("=")
        if name not in settings:
            raise FixTheSetup(f"There is no setting {name!r}. There are: {', '.join(bundle.settings)}.")
        default = bundle.settings[name]
        if not value:
            settings[name] = default
        elif isinstance(default, bool):
            if value not in ("true", "false"):
                raise FixTheSetup(f"The setting {name} is true or false, not {value!r}.")
            settings[name] = value == "true"
        elif isinstance(default, int):
            if not (value.isascii() and value.isdigit() and len(value) < 8):
                raise FixTheSetup(f"The setting {name} is a whole number, not {value!r}.")
            settings[name] = int(value)
        else:
            settings[name] = value
    return settings
