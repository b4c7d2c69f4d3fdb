"""A sample of the simulation: honest runs hold, each planted bad design is caught. The rest is `make simulate`."""

import pytest

from tests.proofs.sim.__main__ import simulate
from tests.proofs.sim.faults import FAULTS
from tests.proofs.sim.planted import PLANTS, Plant
from tests.proofs.sim.world import World, quick
from tests.shared import vectors

BUDGET = 1000


def caught(plant: Plant, budget: int) -> int | None:
    """The first seed whose world shows the plant in the kind it is expected."""
    with quick():
        for seed in range(1, budget + 1):
            found = World(seed, keys=plant.keys, lag=plant.lag, settle=plant.settle).play()
            if any(kind == plant.kind and plant.words in said for kind, said in found):
                return seed
    return None


@pytest.mark.parametrize("keys", [True, False])
def test_honest_runs_pay_once_lose_nothing_and_end(keys: bool) -> None:
    assert simulate(1, BUDGET, keys)[1] == []


@pytest.mark.parametrize("seed", [35865, 84592, 125427, 682186])
@pytest.mark.parametrize("keys", [True, False], ids=["keys honoured", "keys ignored"])
def test_cancels_that_long_simulations_found_to_end_untrue_are_closed_with_the_truth(seed: int, keys: bool) -> None:
    assert simulate(seed, 1, keys)[1] == []


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bad_design_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = PLANTS[name]
    monkeypatch.setattr(plant.where, plant.name, plant.what)
    assert caught(plant, BUDGET) is not None


def test_a_store_that_keeps_its_keys_needs_no_long_wait() -> None:
    with quick():
        assert [World(seed, settle=60).play() for seed in range(1, 501)] == [[]] * 500


def test_reads_a_minute_old_are_survived() -> None:
    with quick():
        assert [World(seed, keys=False, lag=60).play() for seed in range(1, 201)] == [[]] * 200


def test_a_seed_always_tells_the_same_story() -> None:
    with quick():
        worlds = [World(17) for _ in range(2)]
        assert [world.play() for world in worlds] == [[], []]
    assert worlds[0].counts == worlds[1].counts


def test_every_fault_of_the_vectors_can_happen() -> None:
    assert {one["fault"] for one in vectors("transport_faults.json")["vectors"]} - FAULTS.keys() == set()
