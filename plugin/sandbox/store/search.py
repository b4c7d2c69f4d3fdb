"""The search syntax of `orders(query:)` and `customers(query:)`, as far as this store reads it."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from .orders import Order, Person
from .views import moment

_TERM = re.compile(
    r'(?:(?P<field>[a-z_]+):)?(?P<sign><=|>=|<|>)?(?:"(?P<quoted>(?:\\.|[^"\\])*)"|\'(?P<single>(?:\\.|[^\'\\])*)\'|(?P<word>[^\s"\']+))'
)
Term = tuple[str, str, str]  # field ("" for any), comparison ("" for equals), text


def terms(query: str | None) -> list[Term]:
    """The words of a query; all of them must hold (AND is the only operator read)."""
    found = []
    for match in _TERM.finditer(query or ""):
        raw = next(one for one in (match["quoted"], match["single"], match["word"]) if one is not None)
        text = re.sub(r"\\(.)", r"\1", raw)
        if match["field"] is None and text == "AND":
            continue
        found.append((match["field"] or "", match["sign"] or "", text))
    return found


def orders(rows: Sequence[Order], query: str | None, sort: str | None, reverse: bool) -> list[Order]:
    wanted = terms(query)
    kept = [one for one in rows if all(_order_has(one, term) for term in wanted)]
    keys: dict[str, Any] = {
        "CREATED_AT": lambda one: one.created,
        "PROCESSED_AT": lambda one: one.created,
        "UPDATED_AT": lambda one: one.updated,
        "ORDER_NUMBER": lambda one: one.number,
    }
    key = keys.get(sort or "PROCESSED_AT", lambda one: one.id)
    return sorted(kept, key=lambda one: (key(one), one.id), reverse=reverse)


def people(rows: Sequence[Person], query: str | None) -> list[Person]:
    wanted = terms(query)
    return [one for one in rows if all(_person_has(one, term) for term in wanted)]


def _order_has(one: Order, term: Term) -> bool:
    field, sign, text = term
    if field == "email":
        return (one.email or "").casefold() == text.casefold()
    if field == "name":
        return one.name.lstrip("#") == text.lstrip("#")
    if field == "id":
        return str(one.id) == text
    if field in ("updated_at", "created_at"):
        return _compares(one.updated if field == "updated_at" else one.created, sign, text)
    # unproven: what a search word without a field finds
    return field == "" and text.casefold() in f"{one.name} {one.email or ''}".casefold()


def _compares(at: datetime, sign: str, text: str) -> bool:
    have, want = moment(at) or "", text
    return {"<": have < want, "<=": have <= want, ">": have > want, ">=": have >= want}.get(sign, have == want)


def _person_has(one: Person, term: Term) -> bool:
    field, _, text = term
    if field == "email":
        return one.email.casefold() == text.casefold()
    return field == "" and text.casefold() in f"{one.name} {one.email}".casefold()
