"""Typed values to JSON and back, so that a run's texts can be written after a restart."""

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from plugin.filters import Choice, LineOption, LineSelection, PaymentOption, PaymentSelection
from plugin.money import Money

_RECORDS = {one.__name__: one for one in (Choice, LineOption, LineSelection, PaymentOption, PaymentSelection)}


def encode(value: Any) -> Any:
    """JSON data of mappings, lists, scalars, Money and the form's records. Raises TypeError for others."""
    if isinstance(value, Money):
        return {"$money": [value.currency, str(value.amount)]}
    if type(value).__name__ in _RECORDS:
        return {f"${type(value).__name__}": [encode(getattr(value, one.name)) for one in fields(value)]}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (float, Decimal)):
        return {"$decimal": str(value)}
    raise TypeError(f"{type(value).__name__} cannot be kept")


def decode(value: Any) -> Any:
    """What `encode` was given."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$money" in value:
        return Money(value["$money"][0], Decimal(value["$money"][1]))
    if "$decimal" in value:
        return Decimal(value["$decimal"])
    name = next(iter(value), "")
    if name[1:] in _RECORDS and name.startswith("$"):
        return _RECORDS[name[1:]](*(decode(item) for item in value[name]))
    return {key: decode(item) for key, item in value.items()}
