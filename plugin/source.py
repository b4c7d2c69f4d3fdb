"""YAML as the bundle reads it: plain values, an exact place for each, and findings for every surprise."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from plugin.findings import Finding

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40
_MOST_FINDINGS = 50
Pointer = tuple[str | int, ...]
Place = tuple[int, int]

_FORBIDDEN = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
_DIGITS = re.compile(r"[-+]?\d[\d_]*\Z")
_SURPRISES = (
    (re.compile(r"(?i:y|n|yes|no|on|off|true|false)\Z"), "older YAML reads `{0}` as true or false",
     "write true or false, or quote it: '{0}'"),
    (re.compile(r"(?i:null|~)\Z"), "`{0}` stands for nothing in YAML", "write null, or quote it: '{0}'"),
    (re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt ].*)?\Z"), "older YAML reads `{0}` as a date", "quote it: '{0}'"),
    (re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?\Z"), "older YAML reads `{0}` as a number in base 60",
     "quote it: '{0}'"),
    (re.compile(r"[-+]?0[0-9_]+\Z|[-+]?0[bBoOxX][0-9a-fA-F_]+\Z"),
     "`{0}` is a number that not everybody reads alike",
     "write it in plain decimal digits, or quote it: '{0}'"),
    (_DIGITS, "`{0}` is no plain whole number", "write only digits, at most 18, or quote it"),
    (re.compile(r"(?i:[-+]?(\d[\d_]*)?\.?\d[\d_]*\.?(e[-+]?\d+)?|[-+]?\.inf|\.nan)\Z"),
     "`{0}` is a fraction, which a computer does not keep exactly", "quote it: '{0}'"),
)  # fmt: skip
_QUOTE_HELP = "put the whole value in quotes, or start it with >- on a line of its own"


@dataclass(frozen=True)
class _Scalar:
    """Where the value of a scalar stands: how it is quoted, and where its raw text begins and ends."""

    style: str
    start: int
    end: int
    value: str


@dataclass(frozen=True)
class Source:
    """One parsed file. `data` is None when the file could not be read to the end."""

    path: str
    text: str
    data: Any
    findings: tuple[Finding, ...]
    _values: dict[Pointer, Place] = field(default_factory=dict, repr=False, compare=False)
    _keys: dict[Pointer, Place] = field(default_factory=dict, repr=False, compare=False)
    _scalars: dict[Pointer, _Scalar] = field(default_factory=dict, repr=False, compare=False)

    def __contains__(self, pointer: Pointer) -> bool:
        return pointer in self._values

    def position(self, pointer: Pointer, key: bool = False) -> Place:
        """Line and column of a value or of its key; of the nearest thing around it when it is not there."""
        while pointer not in self._values:
            if not pointer:
                return (1, 1)
            pointer, key = pointer[:-1], True
        return self._keys.get(pointer, self._values[pointer]) if key else self._values[pointer]

    def text_position(self, pointer: Pointer, offset: int) -> Place:
        """Line and column of one character of a text value, through quotes, folding and indentation."""
        scalar = self._scalars.get(pointer)
        if scalar is None:
            return self.position(pointer)
        if scalar.style == "|":
            return self._in_literal(scalar, offset)
        index = offset if scalar.style == "raw" else _raw_index(self.text, scalar, offset)
        line = self.text.count("\n", 0, index) + 1
        return line, index - (self.text.rfind("\n", 0, index) + 1) + 1

    def _in_literal(self, scalar: _Scalar, offset: int) -> Place:
        before = scalar.value[:offset]
        first = self.text.count("\n", 0, scalar.start) + 1
        value_lines, source_lines = scalar.value.split("\n"), self.text.split("\n")
        indent = next((len(s) - len(v) for v, s in zip(value_lines, source_lines[first:], strict=False) if v), 0)
        return first + 1 + before.count("\n"), indent + len(before) - (before.rfind("\n") + 1) + 1

    def line(self, number: int) -> str:
        lines = self.text.split("\n")
        return lines[number - 1] if 0 < number <= len(lines) else ""


def load(path: Path, name: str | None = None) -> Source:
    """Read and parse a YAML file that findings call `name`. A file that cannot be read is a finding."""
    found = load_text(path, name)
    return found if found.findings else parse(found.text, found.path)


def load_text(path: Path, name: str | None = None) -> Source:
    """Read a file that is not YAML: `data` is its text, and `text_position((), offset)` is exact."""
    shown = name or path.as_posix()
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        return _unread(shown, "missing-file", f"this file cannot be read: {error.strerror or error}")
    if len(raw) > MAX_BYTES:
        return _unread(shown, "too-big", f"a file has at most {MAX_BYTES // 1024} KiB")
    try:
        text = raw.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return _unread(shown, "yaml", f"byte {error.start + 1} is not UTF-8", line)
    return Source(shown, text, text, (), {(): (1, 1)}, {}, {(): _Scalar("raw", 0, len(text), text)})


def _unread(path: str, rule: str, message: str, line: int = 1) -> Source:
    return Source(path, "", None, (Finding(path, line, 1, "error", rule, message, None, None),))


def parse(text: str, path: str) -> Source:
    """Parse YAML text. Whatever the text is, the answer comes at once and is a Source."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        return _unread(path, "too-big", f"a file has at most {MAX_BYTES // 1024} KiB")
    return _Reader(text, path).read()


class _Stop(Exception):
    """Nothing sensible can be read after this."""


class _Reader:
    """Walks the events of libyaml, which needs no recursion before the depth is known to be harmless."""

    def __init__(self, text: str, path: str) -> None:
        self.source = Source(path, text, None, ())
        self.findings: list[Finding] = []
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.events: Iterator[yaml.Event] = yaml.parse(text, Loader=loader)

    def read(self) -> Source:
        data = None
        try:
            self._refuse_odd_characters()
            data = self._document()
        except _Stop:
            data = None
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            self._find((1, 1), "yaml", f"this is not YAML: {error}", None)
        one = self.source
        return Source(one.path, one.text, data, tuple(self.findings), one._values, one._keys, one._scalars)

    def _find(self, place: Place, rule: str, message: str, cure: str | None, width: int = 1) -> None:
        line = self.source.line(place[0])
        self.findings.append(Finding(self.source.path, *place, "error", rule, message, cure, line, width))
        if len(self.findings) >= _MOST_FINDINGS:
            raise _Stop

    def _refuse_odd_characters(self) -> None:
        odd = _FORBIDDEN.search(self.source.text)
        if odd is None:
            return
        before = self.source.text[: odd.start()]
        place = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        self._find(place, "yaml-character",
                   f"the invisible character U+{ord(odd.group()):04X} may not stand here",
                   "delete it, or write it as an escape in double quotes")  # fmt: skip
        raise _Stop

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = error.problem or "unreadable"
        line = self.source.line(place[0])
        quote = "{{" in line or ": " in line[place[1] - 1 :] or "mapping values" in problem
        cure = _QUOTE_HELP if quote else None
        if "token" in problem and "\t" in line:
            cure = "indent with spaces, not tabs"
        self._find(place, "yaml", f"this is not YAML: {problem}", cure)

    def _document(self) -> Any:
        data, documents = None, 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._find(
                        _place(event), "yaml", "a file holds one document", "delete this line and what follows", 3
                    )
                    raise _Stop
                if event.version or event.tags:
                    self._find((1, 1), "yaml", "a file has no % directives", "delete the line")
                data = self._value(next(self.events), (), 0)
        if data is None and not self.findings:
            self._find((1, 1), "yaml", "this file is empty", None)
        return data

    def _value(self, event: yaml.Event, pointer: Pointer, depth: int) -> Any:
        self.source._values[pointer] = _place(event)
        if depth > MAX_DEPTH:
            self._find(_place(event), "yaml", f"nested deeper than {MAX_DEPTH} levels", None)
            raise _Stop
        self._refuse_extras(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, pointer, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(inner := next(self.events), yaml.SequenceEndEvent):
                items.append(self._value(inner, (*pointer, len(items)), depth + 1))
            return items
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, pointer)
        return None

    def _refuse_extras(self, event: yaml.Event) -> None:
        anchor = getattr(event, "anchor", None) or ""
        if isinstance(event, yaml.AliasEvent):
            message, cure = "an alias (*) hides what stands here", "write the value out"
            self._find(_place(event), "yaml", message, cure, len(anchor) + 1)
        elif anchor:
            message = "an anchor (&) is not part of the language"
            self._find(_place(event), "yaml", message, "delete it", len(anchor) + 1)
        if getattr(event, "tag", None):
            self._find(_place(event), "yaml", "a tag (!) is not part of the language", "delete it")

    def _mapping(self, event: yaml.MappingStartEvent, pointer: Pointer, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(inner := next(self.events), yaml.MappingEndEvent):
            key = self._key(inner)
            below = (*pointer, key)
            if key in mapping:
                first = self.source._keys[below][0]
                self._find(_place(inner), "duplicate-key",
                           f"'{key}' stands here twice, first on line {first}",
                           "keep one of them", len(key))  # fmt: skip
            if key == "<<":
                self._find(_place(inner), "yaml", "a merge (<<) is not part of the language", "write the keys out", 2)
            self.source._keys.setdefault(below, _place(inner))
            mapping[key] = self._value(next(self.events), below, depth + 1)
        return mapping

    def _key(self, event: yaml.Event) -> str:
        self._refuse_extras(event)
        if isinstance(event, yaml.ScalarEvent):
            if not isinstance(_plain(event), str):
                self._find(_place(event), "yaml-key", f"the key `{event.value}` is not text",
                           f"quote it: '{event.value}'", len(event.value))  # fmt: skip
            elif event.implicit[0]:
                self._refuse_surprise(event)
            return str(event.value)
        at = _index(event.start_mark)
        if self.source.text[max(0, at - 1) : at + 1] == "{{":
            line, column = _place(event)
            self._find((line, column - 1), "yaml-braces",
                       "`{{` without quotes is a YAML mapping, not a placeholder",
                       "write ${{ … }} for a value", 2)  # fmt: skip
        else:
            self._find(_place(event), "yaml-key", "a key must be plain text", None)
        raise _Stop

    def _scalar(self, event: yaml.ScalarEvent, pointer: Pointer) -> Any:
        value = _plain(event)
        if not isinstance(value, str):
            return value
        if event.implicit[0]:
            self._refuse_surprise(event)
        style = event.style or ""
        value = value.rstrip("\n ") if style in ("|", ">") else value
        self.source._scalars[pointer] = _Scalar(style, _index(event.start_mark), _index(event.end_mark), value)
        return value

    def _refuse_surprise(self, event: yaml.ScalarEvent) -> None:
        shown = event.value if len(event.value) <= 30 else event.value[:27] + "..."
        rules = _SURPRISES if len(event.value) <= 64 else [one for one in _SURPRISES if one[0] is _DIGITS]
        for pattern, message, cure in rules:
            if pattern.match(event.value):
                self._find(_place(event), "yaml-value", message.format(shown), cure.format(shown), len(event.value))
                return


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    assert mark is not None
    return mark.line + 1, mark.column + 1


def _index(mark: Any) -> int:
    return int(mark.index)


def _plain(event: yaml.ScalarEvent) -> Any:
    """The value of a scalar: null, true, false and whole numbers when plain, else its text."""
    if not event.implicit[0]:
        return event.value
    if event.value in ("", "null"):
        return None
    if event.value in ("true", "false"):
        return event.value == "true"
    return int(event.value) if _INTEGER.match(event.value) else event.value


def _raw_index(text: str, scalar: _Scalar, offset: int) -> int:
    """Where the character at `offset` of a plain, quoted or folded value stands in the raw text."""
    index = scalar.start + (1 if scalar.style in ("'", '"') else 0)
    if scalar.style == ">":
        index = text.find("\n", scalar.start) + 1
    for char in scalar.value[:offset]:
        index = _after(text, index, char, scalar.style)
    if offset < len(scalar.value) and not scalar.value[offset].isspace():
        index = _skip_blank(text, _continued(text, index, scalar.style))
    return min(index, scalar.end)


def _continued(text: str, index: int, style: str) -> int:
    """Behind a line of double quotes that ends in a backslash."""
    return _skip_blank(text, index + 2) if style == '"' and text[index : index + 2] == "\\\n" else index


def _after(text: str, index: int, char: str, style: str) -> int:
    """The index behind the raw form of one character of a value."""
    index = _continued(text, index, style)
    if style == '"' and text[index : index + 1] == "\\":
        return index + 2 + {"x": 2, "u": 4, "U": 8}.get(text[index + 1 : index + 2], 0)
    if style == "'" and text[index : index + 2] == "''":
        return index + 2
    if char.isspace():
        if text[index : index + 1] == char != "\n":
            return index + 1
        return _skip_blank(text, index)
    return _skip_blank(text, index) + 1


def _skip_blank(text: str, index: int) -> int:
    while index < len(text) and text[index] in " \n":
        index += 1
    return index
