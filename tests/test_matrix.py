"""The crash matrix: a fault at every moment of a run, and what card, runs and ledger say afterwards."""

from pathlib import Path

import pytest

from plugin.points import Point
from tests.proofs import matrix
from tests.proofs.cells import EVERYWHERE, cells, why_not
from tests.proofs.lab import Lab

LEAST = 350


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder: Path = tmp_path_factory.mktemp("matrix")
    return Lab(f"sqlite:///{folder / 'matrix.sqlite'}")


def test_whatever_breaks_money_moves_once_and_everybody_says_the_same(lab: Lab) -> None:
    table = cells(matrix.traces(lab), visits=1, stories=2)
    assert len(table) >= LEAST
    wrong = {str(cell): said for cell in table if (said := matrix.play(lab, cell))}
    assert wrong == {}


def test_every_point_is_reached_by_a_story(lab: Lab) -> None:
    reached = set().union(*(found.keys() for found in matrix.traces(lab).values()))
    assert {point for point in Point if point not in reached} == {Point.LISTED_WRITTEN, Point.LISTED_COMMITTED}


def test_a_cell_that_does_not_apply_says_why() -> None:
    every = [(point, kind, why_not(point, kind)) for point in Point for kind in EVERYWHERE]
    assert [one for one in every if one[2] == ""] == []
    assert all(len(reason) > 10 for _, _, reason in every if reason is not None)
