"""Findings: what is wrong with a file, where exactly, and what would be right; values, never exceptions."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from unicodedata import combining, east_asian_width

Severity = Literal["error", "warning"]
_WIDEST = 120


@dataclass(frozen=True, order=True)
class Finding:
    """One mistake. `line` and `column` count from 1; `width` characters are underlined in `snippet_line`.

    `help` is None where the message says it all, `snippet_line` where there is no line to show.
    """

    path: str
    line: int
    column: int
    severity: Severity
    rule: str
    message: str
    help: str | None
    snippet_line: str | None
    width: int = 1


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """By file and place, each finding once, and only the first help for one mistake."""
    seen: dict[tuple[str, int, int, str, str, str], Finding] = {}
    for one in findings:
        seen.setdefault((one.path, one.line, one.column, one.severity, one.rule, one.message), one)
    return [seen[key] for key in sorted(seen)]


def has_errors(findings: Iterable[Finding]) -> bool:
    return any(one.severity == "error" for one in findings)


def render(findings: Iterable[Finding]) -> str:
    """Every finding as a person reads it: place, words, the line with the mistake underlined, the cure."""
    return "\n".join(_render_one(one) for one in in_order(findings))


def _render_one(one: Finding) -> str:
    lines = [f"{one.path}:{one.line}:{one.column}: {one.severity}: {_printable(one.message)} [{one.rule}]"]
    edge = " " * max(3, len(str(one.line)))
    if one.snippet_line is not None:
        text, before, under = _window(one.snippet_line, one.column - 1, max(1, one.width))
        lines += [f"{edge} |", f"{one.line:>3} | {text}".rstrip(), f"{edge} | {' ' * before}{'^' * under}"]
    if one.help:
        lines.append(f"{edge} = help: {_printable(one.help)}")
    return "\n".join(lines) + "\n"


def _window(line: str, start: int, width: int) -> tuple[str, int, int]:
    """The part of a line worth showing, the cells before the mistake, and the cells to underline."""
    line = _printable(line)
    width = max(1, min(width, len(line) - start, _WIDEST))
    if len(line) <= _WIDEST:
        return line, _cells(line[:start]), max(1, _cells(line[start : start + width]))
    left = max(0, min(start - 40, len(line) - _WIDEST))
    shown = line[left : left + _WIDEST]
    head, tail = "…" if left else "", "…" if left + _WIDEST < len(line) else ""
    before = _cells(head + shown[: start - left])
    return head + shown + tail, before, max(1, _cells(shown[start - left : start - left + width]))


def _printable(text: str) -> str:
    """Nothing in a file may move the cursor of the terminal it is shown on."""
    text = text.replace("\t", " ").replace("\n", " ")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _cells(text: str) -> int:
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)
