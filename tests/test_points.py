"""A step that commits or calls has a point on both sides, so that the crash matrix and the kills know it."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from plugin import points
from plugin.points import Point
from tests.shared import ROOT

MONEY = ("runtime.py", "settling.py", "review.py", "reading.py", "flow.py", "sync.py")
CALLS = ("commerce.send", "host.post_note", "runs.begin")
# No money hangs on who signed in where, which orders a timeline lacks, how often somebody asked, which stores
# there are.
OTHERS = ("crm.py", "counts.py", "connections.py", "keys.py", "privacy.py")
STORES = sorted(one for one in (ROOT / "plugin/stores").glob("*.py") if one.name not in OTHERS)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            found = getattr(node, name, None)
            if isinstance(found, list):
                yield found


def _is_point(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and ast.unparse(statement).startswith("reached(Point.")


def naked_transactions(tree: ast.AST) -> list[int]:
    """Lines of transactions that lack a point before their commit or after it."""
    found = []
    for block in _blocks(tree):
        for statement, after in pairwise([*block, ast.Pass()]):
            commits = isinstance(statement, ast.With) and "_engine.begin()" in ast.unparse(statement.items[0])
            if commits and not (_is_point(statement.body[-1]) and _is_point(after)):
                found.append(statement.lineno)
    return found


def naked_calls(tree: ast.AST) -> list[int]:
    """Lines of functions that send or post without a point in them."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            said = ast.unparse(node)
            if any(f"{call}(" in said for call in CALLS) and "reached(Point." not in said:
                found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", STORES, ids=lambda path: path.name)
def test_every_transaction_has_a_point_before_and_after_its_commit(path: Path) -> None:
    assert naked_transactions(_tree(path)) == []


@pytest.mark.parametrize("name", MONEY)
def test_every_call_has_a_point(name: str) -> None:
    # `flow._begin` is the call whose points stand in `submit` and in the store
    lines = naked_calls(_tree(ROOT / "plugin" / name))
    allowed = [node.lineno for node in ast.walk(_tree(ROOT / "plugin" / name))
               if isinstance(node, ast.FunctionDef) and node.name == "_begin"]  # fmt: skip
    assert [line for line in lines if line not in allowed] == []


def test_a_new_transaction_without_points_is_found() -> None:
    text = "def f(self):\n    with self._engine.begin() as tx:\n        tx.execute(1)\n    return 1\n"
    assert naked_transactions(ast.parse(text)) == [2]
    assert naked_calls(ast.parse("def f(tools):\n    tools.commerce.send('s', b'')\n")) == [1]


def test_every_point_stands_exactly_where_it_is_named() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "plugin").rglob("*.py"))
    assert [point.name for point in Point if f"reached(Point.{point.name})" not in text] == []
    assert len({point.value for point in Point}) == len(Point)


def test_a_point_does_nothing_until_a_proof_hooks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert points.hook is None
    points.reached(Point.CLOSED)
    seen: list[Point] = []
    monkeypatch.setattr(points, "hook", seen.append)
    points.reached(Point.CLOSED)
    assert seen == [Point.CLOSED]
