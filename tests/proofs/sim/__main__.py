"""`make simulate RUNS=… SEED=… JOBS=… KEYS=ignored`: many worlds, one line; or one world, told step by step."""

import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.proofs.sim.oracle import DOUBLE, LOST, STUCK
from tests.proofs.sim.world import World, quick

CHUNK = 2000


def simulate(first: int, count: int, keys: bool = True) -> tuple[Counter[str], list[tuple[int, list[tuple[str, str]]]]]:
    """Counts, and the seeds with what went wrong in them."""
    counts, wrong = Counter[str](), []
    with quick():
        for seed in range(first, first + count):
            world = World(seed, keys=keys)
            found = world.play()
            counts.update(world.counts)
            if found:
                wrong.append((seed, found))
    return counts, wrong


def main() -> int:
    runs, seed, jobs = (int(os.environ.get(*one)) for one in (("RUNS", "2000"), ("SEED", "1"), ("JOBS", "1")))  # type: ignore[arg-type]
    keys = os.environ.get("KEYS", "honoured") != "ignored"
    if runs == 1:
        with quick():
            World(seed, keys=keys, tracing=True).play()
    begun, counts, wrong = time.monotonic(), Counter[str](), []
    parts = [(at, min(CHUNK, seed + runs - at), keys) for at in range(seed, seed + runs, CHUNK)]
    with ProcessPoolExecutor(jobs) as pool:
        for some, failed in pool.map(simulate, *zip(*parts, strict=True)):
            counts.update(some)
            wrong += failed
            for one, found in failed:
                print(f"seed {one}: {'; '.join(f'{kind}: {said}' for kind, said in found)}", flush=True)
    taken = time.monotonic() - begun
    print(", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())))
    print(f"{taken:.0f} s, {runs / taken:.0f} runs a second; keys {'honoured' if keys else 'ignored'}")
    kinds = Counter(kind for _, found in wrong for kind in {kind for kind, _ in found})
    print(f"{runs} runs: {kinds[DOUBLE]} double, {kinds[LOST]} lost, {kinds[STUCK]} stuck")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
