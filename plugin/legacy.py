"""Orders of an older app, read from the file it left: known by their number until Shopify changes them next."""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from plugin.findings import Finding
from plugin.phones import e164
from plugin.ports import Tools
from plugin.shapes import Place

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n,\[\]]*")  # an array, JSON Lines, or orders behind each other
_ID = re.compile(r"(?:gid://shopify/Order/)?([1-9][0-9]{0,18})")
_NUMBER = re.compile(r"\S(?:.{0,98}\S)?")


@dataclass(frozen=True)
class Entry:
    """One order of the file as it stands there: its values, and where each begins and ends."""

    at: int
    values: Mapping[str, Any]
    spans: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class LegacyOrder:
    """What the older app knew of an order, as far as it is needed."""

    order: str
    email: str
    phone: str
    header: Mapping[str, Any]


@dataclass
class Report:
    """What became of the orders of a file; `unmatched` were taken and have neither e-mail nor certain phone;
    `refused` are the mistakes in those that are `wrong`, or in the file."""

    taken: int = 0
    known: int = 0
    unmatched: int = 0
    wrong: int = 0
    refused: list[Finding] = field(default_factory=list)


def import_file(
    tools: Tools, store: str, raw: bytes, path: str, say: Callable[[int], None] = lambda at: None
) -> Report:  # fmt: skip
    """The same from the bytes of a file."""
    try:
        return import_legacy(tools, store, raw.decode("utf-8").removeprefix("\ufeff"), path, say)
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        wrong = _Lines(before, path).finding(len(before), "this is not UTF-8; nothing was read", "save it as UTF-8")
        return Report(refused=[wrong])


def import_legacy(
    tools: Tools, store: str, text: str, path: str, say: Callable[[int], None] = lambda at: None
) -> Report:  # fmt: skip
    """Take every order that can be read and is not known yet; safe to repeat. `say` hears how far it is."""
    report, lines = Report(), _Lines(text, path)
    try:
        for entry in entries(text):
            say(entry.at)
            found = _read(entry, lines)
            if isinstance(found, LegacyOrder):
                _take(tools, store, found, report)
            else:
                report.wrong += 1
                report.refused += found
    except (ValueError, RecursionError) as error:
        at, why = (error.pos, error.msg) if isinstance(error, json.JSONDecodeError) else (0, "it cannot be read")
        message = f"this is not JSON: {why}; what follows was not read"
        report.refused.append(lines.finding(at, message, "mend it here and import the file again"))
    return report


def _take(tools: Tools, store: str, one: LegacyOrder, report: Report) -> None:
    if not tools.orders.put_legacy(Place(store, one.order), one.email, one.header, phone=one.phone):
        report.known += 1
        return
    report.taken += 1
    report.unmatched += not (one.email or one.phone)


# ---------------------------------------------------------------- the file


def entries(text: str, at: int = 0, end: int | None = None) -> Iterator[Entry]:
    """Every order of the text, one at a time. Raises JSONDecodeError where the text breaks off."""
    end = len(text) if end is None else end
    while (at := _after(_BETWEEN, text, at)) < end:
        if text[at] != "{":
            raise json.JSONDecodeError("an order is expected, in braces", text, at)
        entry, at = _entry(text, at)
        wraps = [name for name in ("order", "orders") if name in entry.values and "id" not in entry.values]
        if wraps:  # the envelopes of Shopify's own answers
            yield from entries(text, *entry.spans[wraps[0]])
        else:
            yield entry


def _entry(text: str, start: int) -> tuple[Entry, int]:
    """The object at `start`, and where it ends."""
    values, spans = dict[str, Any](), dict[str, tuple[int, int]]()
    at = _after(_BLANK, text, start + 1)
    while text[at : at + 1] != "}":
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("a name in double quotes is expected", text, at)
        name, at = _DECODER.raw_decode(text, at)
        at = _after(_BLANK, text, at)
        if text[at : at + 1] != ":":
            raise json.JSONDecodeError("a colon is expected", text, at)
        begin = _after(_BLANK, text, at + 1)
        values[name], at = _DECODER.raw_decode(text, begin)
        spans[name] = begin, at
        at = _after(_BLANK, text, at)
        if text[at : at + 1] == ",":
            at = _after(_BLANK, text, at + 1)
        elif text[at : at + 1] != "}":
            raise json.JSONDecodeError("a comma or a closing brace is expected", text, at)
    return Entry(start, values, spans), at + 1


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


class _Lines:
    """Line and column of a place in the text. What stands there is not shown: it may be somebody's data."""

    def __init__(self, text: str, path: str) -> None:
        self._path = path
        self._starts = [0, *(one.end() for one in re.finditer("\n", text))]

    def finding(self, at: int, message: str, cure: str) -> Finding:
        line = bisect_right(self._starts, at)
        column = at - self._starts[line - 1] + 1
        return Finding(self._path, line, column, "error", "legacy-order", message, cure, None)


# ---------------------------------------------------------------- one order


def _read(entry: Entry, lines: _Lines) -> LegacyOrder | list[Finding]:
    """The order, or everything that is wrong with it."""
    wrong, read = list[Finding](), dict[str, Any]()
    for name, (parse, message, cure) in _VALUES.items():
        try:
            read[name] = parse(entry.values.get(name))
        except (ValueError, TypeError, OverflowError):
            where, _ = entry.spans.get(name, (entry.at, 0))
            wrong.append(lines.finding(where, message if name in entry.values else f"`{name}` is missing", cure))
    if wrong:
        return wrong
    header = {"name": read["name"], "createdAt": read["created_at"], "updatedAt": read["updated_at"]}
    return LegacyOrder(read["id"], read["email"], read["phone"], header)


def _id(value: Any) -> str:
    found = _ID.fullmatch(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if found is None:
        raise ValueError("no id")
    return found[1]


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value) or not value.isprintable():
        raise ValueError("no number")
    return value


def _moment(value: Any) -> str:
    if datetime.fromisoformat(value).tzinfo is None:
        raise ValueError("no time zone")
    return str(value)


def _email(value: Any) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or len(value) > 320 or value.strip().count("@") != 1:
        raise ValueError("no address")
    return value.strip()


def _phone(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise ValueError("no text")
    return e164(value or "")


_WHEN = "write it like 2024-03-01T12:00:00Z, with its time zone"
# value of the webhooks' form: (how it is read, what is wrong otherwise, what would be right)
_VALUES: Mapping[str, tuple[Callable[[Any], Any], str, str]] = {
    "id": (_id, "this is no id of an order", "write Shopify's whole number, in quotes where a program rounds it"),
    "name": (_name, "this is no number of an order", 'write it as Shopify shows it, like "#1001"'),
    "created_at": (_moment, "this is no time", _WHEN),
    "updated_at": (_moment, "this is no time", _WHEN),
    "email": (_email, "this is no e-mail address", "write one address, or null"),
    "phone": (_phone, "this is no phone number", "write it in quotes, with its country code, or null"),
}
