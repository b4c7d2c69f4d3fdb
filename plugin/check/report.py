"""Collects findings about one file, each at the exact character it is about."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from plugin.findings import Finding, Severity
from plugin.source import Pointer, Source

MOST = 50


@dataclass(frozen=True)
class Report:
    """The findings so far about one source."""

    source: Source
    findings: list[Finding] = field(default_factory=list)

    def at(
        self,
        pointer: Pointer,
        rule: str,
        message: str,
        cure: str | None = None,
        *,
        key: bool = False,
        severity: Severity = "error",
    ) -> None:
        """About a value, or about the key in front of it."""
        place = self.source.position(pointer, key)
        width = len(str(pointer[-1])) if key and pointer and pointer in self.source else 0
        self._add(place, rule, message, cure, severity, width or self._rest_of_line(place))

    def inside(
        self,
        pointer: Pointer,
        offset: int,
        rule: str,
        message: str,
        cure: str | None = None,
        *,
        width: int = 1,
        severity: Severity = "error",
    ) -> None:
        """About one place in a text value."""
        self._add(self.source.text_position(pointer, offset), rule, message, cure, severity, width)

    def _add(
        self, place: tuple[int, int], rule: str, message: str, cure: str | None, severity: Severity, width: int
    ) -> None:
        if len(self.findings) < MOST:
            line = self.source.line(place[0])
            self.findings.append(Finding(self.source.path, *place, severity, rule, message, cure, line, width))

    def _rest_of_line(self, place: tuple[int, int]) -> int:
        rest = self.source.line(place[0])[place[1] - 1 :]
        return max(1, len(rest.split(" #")[0].rstrip()))


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A cure for a misspelt word: the nearest known one, or None."""
    near = nearest(word, known)
    return f"did you mean '{near}'?" if near else None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most alike, or None."""
    candidates = [one for one in known if abs(len(one) - len(word)) <= max(3, len(word) // 2)]
    found = get_close_matches(word[:80], candidates, n=1, cutoff=0.6)
    return found[0] if found else None


def listed(words: Iterable[Any]) -> str:
    """`a, b or c`, at most eight of them."""
    shown = [str(one) for one in words]
    if len(shown) > 8:
        return f"{', '.join(shown[:8])}, …"
    return f"{', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else "".join(shown)
