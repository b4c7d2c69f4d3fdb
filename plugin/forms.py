"""What an agent typed, parsed once into typed values, with one sentence for every mistake."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from plugin.bundle import Action, Field
from plugin.expr import Scope
from plugin.filters import Choice, LineOption, LineSelection, PaymentOption, PaymentSelection
from plugin.money import Money, parse_amount
from plugin.shapes import Agent, FormState

_QUANTITY = re.compile(r"0|[1-9][0-9]{0,5}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

Raw = Mapping[str, Any]


class _Mistake(Exception):
    """One field is wrong; the message is for the agent."""


def begin(action: Action, scope: Scope, agent: Agent, raw: Raw | None, shown: Mapping[str, Any]) -> FormState:
    """Parse every field that can be read before the preview. `raw` None opens the form with its defaults.

    `shown` has, for each payments field, the amounts suggested when the form was last rendered: an
    amount that differs from what was shown was typed by the agent.
    """
    known = {field.name for field in action.fields}
    strange = sorted(set(raw or {}) - known)
    state = FormState(raw=raw, shown=shown, errors={"": f"This form has no field {strange[0]!r}."} if strange else {})
    return _fill(action, scope, agent, state, late=False)


def complete(action: Action, scope: Scope, agent: Agent, state: FormState) -> FormState:
    """Parse what waited for the preview (`scope` has it now) and check every maximum."""
    state = _fill(action, scope, agent, state, late=True)
    inner = scope.also(form=state.values)
    errors = dict(state.errors)
    for field in action.fields:
        value = state.values.get(field.name)
        if field.maximum is None or not isinstance(value, Money) or field.name in errors:
            continue
        most = field.maximum(inner)
        if value > most:
            errors[field.name] = f"At most {most.show()}."
    return replace(state, errors=errors)


def _fill(action: Action, scope: Scope, agent: Agent, state: FormState, *, late: bool) -> FormState:
    for field in action.fields:
        if field.after_preview == late:
            state = _one(field, scope.also(form=state.values), agent, state)
    return state


def _one(field: Field, scope: Scope, agent: Agent, state: FormState) -> FormState:
    if field.permission is not None and field.permission not in agent.permissions:
        return _forbidden(field, state)
    if field.visible_when is not None and not field.visible_when.evaluate(scope):
        values = {**state.values, field.name: _hidden_value(field)}
        return replace(state, values=values, hidden=state.hidden | {field.name})
    options = _options(field, scope)
    state = replace(state, options={**state.options, field.name: options})
    if field.edit_permission is not None and field.edit_permission not in agent.permissions:
        state = replace(state, locked=state.locked | {field.name})
    if field.currency is not None:
        state = replace(state, currencies={**state.currencies, field.name: field.currency(scope)})
    try:
        value = _typed(field, state, agent, scope)
    except _Mistake as mistake:
        errors = {**state.errors, field.name: str(mistake)}
        return replace(state, errors=errors, values={**state.values, field.name: _fallback(field, options)})
    missing = dict(state.missing)
    if field.required and value in (None, "", []):
        missing[field.name] = f"Choose {_lower(field.label(scope))}." if field.type == "choice" else "Fill this in."
    return replace(state, values={**state.values, field.name: value}, missing=missing)


def _typed(field: Field, state: FormState, agent: Agent, scope: Scope) -> Any:
    if field.type == "money" and field.default is not None and (state.raw is None or field.name not in state.raw):
        return field.default(scope)
    return _PARSERS[field.type](field, state, agent)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:] if not text.endswith("?") else "one of these"


def _forbidden(field: Field, state: FormState) -> FormState:
    errors = dict(state.errors)
    if state.raw is not None and state.raw.get(field.name):
        errors[field.name] = "You do not have the permission for this field."
    values = {**state.values, field.name: _hidden_value(field)}
    return replace(state, values=values, forbidden=state.forbidden | {field.name}, errors=errors)


def _hidden_value(field: Field) -> Any:
    if field.type in ("line_items", "payments"):
        return []
    return {"boolean": False, "choice": field.default}.get(field.type)


def _fallback(field: Field, options: Any) -> Any:
    """The value other fields see while this one is wrong; the form cannot be sent then."""
    if field.type == "payments":
        return [PaymentSelection(one, one.suggested) for one in options]
    return _hidden_value(field)


def _options(field: Field, scope: Scope) -> Any:
    if field.options is None:
        return None
    if isinstance(field.options, tuple):
        return [Choice(value, words(scope)) for value, words in field.options]
    return field.options(scope)


# ---------------------------------------------------------------- one parser a type


def _line_items(field: Field, state: FormState, agent: Agent) -> list[LineSelection]:
    options: list[LineOption] = state.options[field.name]
    if state.raw is None or field.name not in state.raw:
        everything = field.default == "all" and state.raw is None
        return [LineSelection(one, one.maximum) for one in options if everything]
    typed = _mapping(state.raw[field.name], "quantities")
    by_id = {one.id: one for one in options}
    skus = [one.sku for one in options]
    by_sku = {one.sku: one for one in options if one.sku and skus.count(one.sku) == 1}
    chosen = []
    for key, text in typed.items():
        option = by_id.get(key) or by_sku.get(key)
        if option is None:
            raise _Mistake(f"{key} is not an item of this order that can be chosen.")
        chosen.append(LineSelection(option, _quantity(str(text), option)))
    if len({one.option.id for one in chosen}) != len(chosen):
        raise _Mistake("An item is listed twice.")
    return [one for one in chosen if one.quantity > 0]


def _quantity(text: str, option: LineOption) -> int:
    if not _QUANTITY.fullmatch(text):
        raise _Mistake(f"{option.title}: write a whole number from 0 to {option.maximum}.")
    if int(text) > option.maximum:
        raise _Mistake(f"{option.title}: at most {option.maximum}.")
    return int(text)


def _payments(field: Field, state: FormState, agent: Agent) -> list[PaymentSelection]:
    options: list[PaymentOption] = state.options[field.name]
    typed = _mapping((state.raw or {}).get(field.name, {}), "amounts")
    unknown = sorted(typed.keys() - {one.id for one in options})
    if unknown:
        raise _Mistake(f"{unknown[0]} is not a payment of this order that can be paid back.")
    shown = state.shown.get(field.name, {})
    may_edit = field.edit_permission is None or field.edit_permission in agent.permissions
    chosen = []
    for one in options:
        amount = one.suggested
        text = str(typed.get(one.id, ""))
        if text and text != shown.get(one.id):
            amount = _amount(text, one.maximum.currency)
            most = one.suggested if field.at_most_suggested else one.maximum
            if amount != one.suggested and not may_edit:
                raise _Mistake("You do not have the permission to change how it is paid back.")
            if amount > most:
                raise _Mistake(f"{one.label}: at most {most.show()}.")
        chosen.append(PaymentSelection(one, amount))
    return chosen


def _amount(text: str, currency: str) -> Money:
    try:
        return parse_amount(text, currency)
    except ValueError as error:
        raise _Mistake(str(error)) from error


def _money(field: Field, state: FormState, agent: Agent) -> Money | None:
    text = _text_of(field, state)
    return _amount(text, state.currencies[field.name]) if text else None


def _text(field: Field, state: FormState, agent: Agent) -> str | None:
    text = _CONTROL.sub("", _text_of(field, state).replace("\r\n", "\n")).strip()
    if field.max_length is not None and len(text) > field.max_length:
        raise _Mistake(f"At most {field.max_length} characters; this has {len(text)}.")
    return text or None


def _choice(field: Field, state: FormState, agent: Agent) -> str | None:
    value = _text_of(field, state) or None
    if value is not None and value not in {one.value for one in state.options[field.name]}:
        raise _Mistake("Choose one of the values offered.")
    return value


def _boolean(field: Field, state: FormState, agent: Agent) -> bool:
    if state.raw is None or field.name not in state.raw:
        return bool(field.default)
    if state.raw[field.name] not in ("true", "false", True, False):
        raise _Mistake("Say true or false.")
    return state.raw[field.name] in ("true", True)


def _text_of(field: Field, state: FormState) -> str:
    untouched = state.raw is None or field.name not in state.raw
    value = (None if field.type == "money" else field.default) if untouched else (state.raw or {})[field.name]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Mistake("Write this as text, in quotes.")
    return value


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _Mistake(f"A list of {what} is needed here.")
    return value


_PARSERS: Mapping[str, Callable[[Field, FormState, Agent], Any]] = {
    "line_items": _line_items,
    "payments": _payments,
    "money": _money,
    "text": _text,
    "choice": _choice,
    "boolean": _boolean,
}
