"""The table of who gets which answer at which route, as `cases/access.txt` holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parent / "cases" / "access.txt"
ORDER = "/stores/<store>/orders/<order>"


@dataclass(frozen=True)
class Row:
    """`of` says whose order the address names; `answers` has a status for each who asks."""

    method: str
    rule: str
    of: str
    answers: Mapping[str, int]

    @property
    def route(self) -> str:
        return f"{self.method} {self.rule}"


def rows() -> list[Row]:
    lines = [line.split() for line in TABLE.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    who = lines[0][2:]
    return [
        Row(method, rule.replace(".", ORDER, 1), of, dict(zip(who, map(int, answers), strict=True)))
        for method, rule, of, *answers in lines[1:]
    ]
