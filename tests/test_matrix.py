"""The crash matrix: a fault at every moment of a run, and what card, runs and ledger say afterwards."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from plugin import runtime
from plugin.points import Point
from plugin.stores.runs import SqlRuns
from tests.databases import Postgres
from tests.proofs import matrix
from tests.proofs.cells import EVERYWHERE, Cell, cells, why_not
from tests.proofs.lab import Lab
from tests.shared import ROOT

LEAST = 350
# a list of orders moves no money, nothing empties a finished run yet, and an alarm only tells of what stands already
UNVISITED = {
    Point.LISTED_WRITTEN, Point.LISTED_COMMITTED, Point.BACKFILL_WRITTEN, Point.BACKFILL_COMMITTED,
    Point.REDACTION_WRITTEN, Point.REDACTION_COMMITTED,
    Point.ALARM_WRITTEN, Point.ALARM_COMMITTED,
}  # fmt: skip
ON_POSTGRES = 3  # each pair of point and fault is played on one engine, every third on this; `make prove` plays all
OF_THE_CODE = crc32(b"".join(path.read_bytes() for path in sorted((ROOT / "plugin").rglob("*.py"))))


def on_postgres(cell: Cell) -> bool:
    """Whose turn it is changes with the code, so that in time every pair is played on both."""
    return crc32(f"{OF_THE_CODE} {cell.point.name} {cell.kind}".encode()) % ON_POSTGRES == 0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    made = Lab(f"sqlite:///{folder / 'matrix.sqlite'}")
    yield made
    made.engine.dispose()


Found = dict[str, Counter[Point]]


@pytest.fixture(scope="module")
def found(lab: Lab) -> Found:
    return matrix.traces(lab)


def wrong(lab: Lab, table: list[Cell]) -> dict[str, list[str]]:
    return {str(cell): said for cell in table if (said := matrix.play(lab, cell))}


def test_whatever_breaks_money_moves_once_and_everybody_says_the_same(lab: Lab, found: Found) -> None:
    table = cells(found, visits=1, stories=1)
    assert len(table) >= LEAST
    assert wrong(lab, [cell for cell in table if not on_postgres(cell)]) == {}


def test_the_same_holds_on_postgresql(postgres: Postgres, found: Found) -> None:
    lab = Lab(postgres.fresh())
    assert wrong(lab, [cell for cell in cells(found, visits=1, stories=1) if on_postgres(cell)]) == {}
    lab.engine.dispose()


def test_every_point_is_reached_by_a_story(found: Found) -> None:
    reached = set().union(*(trace.keys() for trace in found.values()))
    assert {point for point in Point if point not in reached} == UNVISITED


def test_a_cell_that_does_not_apply_says_why() -> None:
    every = [(point, kind, why_not(point, kind)) for point in Point for kind in EVERYWHERE]
    assert [one for one in every if one[2] == ""] == []
    assert all(len(reason) > 10 for _, _, reason in every if reason is not None)


def test_the_matrix_catches_a_lease_without_an_epoch(
    lab: Lab, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    table = [cell for cell in cells(found, visits=1) if cell.kind == "paused, lease lost"]
    late = [cell for cell in table if cell.point is Point.SENDING_COMMITTED]
    assert wrong(lab, late) == {}
    monkeypatch.setattr(SqlRuns, "_hold", lambda *given: None)
    monkeypatch.setattr(runtime, "OVERSLEPT", 1e9)  # the second guard against one that wakes late
    assert wrong(lab, late) != {}


def test_the_matrix_catches_a_second_send_after_a_person_refunded(
    lab: Lab, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    table = [cell for cell in cells(found, visits=1) if cell.kind == "a person refunds in Shopify"]
    doubt = [cell for cell in table if cell.point is Point.ANSWER_READY]
    assert wrong(lab, doubt) == {}
    monkeypatch.setattr("plugin.reconcile.same_world", lambda *given: True)
    assert wrong(lab, doubt) != {}
