"""Sixteen processes want the same thing at the same moment, round after round: one may have it.

`python -m tests.proofs.races --rounds 200 --engine sqlite`
"""

import argparse
import multiprocessing
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from plugin.errors import WaitForRun
from plugin.shapes import Note, Place
from plugin.stores.database import open_database
from plugin.stores.runs import SqlRuns
from tests.databases import ENGINES, postgres_server
from tests.test_stores import KEYS, new

PROCESSES = 16
WANTED = ("the order", "the look", "the lease", "the note")
START = datetime(2026, 11, 24, tzinfo=UTC)
Answer = tuple[int, str, str]

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["tests.test_stores", "tests.databases"])


def race(url: str, rounds: int) -> list[str]:
    """What did not have exactly one winner; nothing when all is well."""
    gate, answers = context.Barrier(PROCESSES), context.Queue()
    processes = [
        context.Process(target=_contend, args=(url, name, rounds, gate, answers), daemon=True)
        for name in range(PROCESSES)
    ]
    for one in processes:
        one.start()
    won: Counter[tuple[int, str]] = Counter()
    for _ in range(PROCESSES * rounds * len(WANTED)):
        number, what, answer = answers.get(timeout=120)
        if answer not in ("won", "lost"):
            return [f"round {number}, {what}: {answer}"]
        won[number, what] += answer == "won"
    for one in processes:
        one.join(30)
    every = [(number, what) for number in range(rounds) for what in WANTED]
    return [f"round {number}: {won[number, what]} have {what}" for number, what in every if won[number, what] != 1]


def _contend(url: str, name: int, rounds: int, gate: Barrier, answers: "Queue[Answer]") -> None:
    engine = open_database(url)
    runs = SqlRuns(engine, KEYS.box())
    for number in range(rounds):
        for what, answer in zip(WANTED, _tries(runs, name, number, gate), strict=True):
            answers.put((number, what, answer))
    engine.dispose()


def _tries(runs: SqlRuns, name: int, number: int, gate: Barrier) -> Iterator[str]:
    """One round of one process: every try begins when all are ready for it."""
    place, now = Place("sandbox.myshopify.com", str(number)), START + timedelta(hours=number)
    mine = replace(new(f"{number:08}-0000-4000-8000-{name:012}", agent=str(name)), place=place, read_at=now)
    gate.wait(60)
    try:
        won = runs.begin(mine, now).id == mine.plan.run_id
    except WaitForRun:
        won = False
    yield _word(won)
    gate.wait(60)
    run = runs.open_run(place)
    assert run is not None
    gate.wait(60)
    yield _word(runs.look_later(run.id, now, now + timedelta(hours=9)))
    gate.wait(60)
    epoch = runs.claim(run.id, str(name), now, 60)
    yield _word(epoch is not None)
    if epoch is not None:
        note = Note(run.id, "c", None, "#1", "ana", "Ana", "Refunded.", "https://x")
        runs.close(run.id, epoch, {"state": "done"}, note, now)
    gate.wait(60)
    taken = runs.due_notes(now)
    yield _word([note.id for note, _ in taken] == [run.id])
    gate.wait(60)
    if taken:
        runs.note_sent(run.id)


def _word(won: bool) -> str:
    return "won" if won else "lost"


@contextmanager
def database_of(engine: str) -> Iterator[str]:
    if engine == "postgres":
        with postgres_server() as server:
            yield server.fresh()
        return
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'races.sqlite'}"
        open_database(url).dispose()
        yield url


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--engine", choices=ENGINES, required=True)
    given = parser.parse_args(words)
    with database_of(given.engine) as url:
        wrong = race(url, given.rounds)
    print("\n".join(wrong or [f"{given.rounds} rounds of {PROCESSES} processes on {given.engine}: one winner each"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
