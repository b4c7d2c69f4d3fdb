"""Steps of runs that were committed, beside what the engine commits when nothing else is done."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

from bench.bare import opened
from bench.load import Load
from bench.web import Rate
from plugin.shapes import Note, Place, StepState
from plugin.stores.database import open_database
from plugin.stores.runs import SqlRuns
from tests.test_stores import KEYS, new

THREADS = 4
SECONDS = 3.0
COMMITS = 6  # of a step: begun, leased, being sent, confirmed, settled, closed
TABLE = "CREATE TABLE IF NOT EXISTS bare_steps (id TEXT PRIMARY KEY, body TEXT NOT NULL)"
INSERT = "INSERT INTO bare_steps VALUES ({0}, {0})"


def measure(engine: str, database: str, seconds: float = SECONDS) -> Rate:
    """Both wait for the disk in the same way; ours counts as many commits as a step has."""
    orders = count()

    def steps() -> Callable[[], None]:
        runs = SqlRuns(ours, KEYS.box())
        return lambda: _step(runs, Place("sandbox.myshopify.com", f"9{next(orders)}"))

    def inserts() -> Callable[[], None]:
        connection, mark = opened(database)
        return lambda: connection.execute(INSERT.format(mark), (str(uuid4()), "x" * 1000))

    connection, _ = opened(database)
    connection.execute(TABLE)
    ours = open_database(database)
    theirs, mine = _together(inserts, seconds), _together(steps, seconds)
    ours.dispose()
    mine.seconds /= COMMITS
    return Rate(f"commits, {COMMITS} a step of a run", engine, theirs, mine)


def _step(runs: SqlRuns, place: Place) -> None:
    run_id, now = str(uuid4()), datetime.now(UTC)
    run = runs.begin(replace(new(run_id), place=place), now)
    epoch = runs.claim(run_id, "bench", now, 60)
    assert epoch is not None
    runs.sending(run.steps[0], epoch, now)
    for state in (StepState.CONFIRMED, StepState.SETTLED):
        runs.record(run.steps[0], epoch, state, receipt={"refund": {"id": "gid://shopify/Refund/1"}})
    runs.close(run_id, epoch, {"state": "done"}, Note(run_id, "c", None, "#1", "ana", "Ana", "Refunded.", ""), now)
    runs.release(run_id, epoch)


def _together(make: Callable[[], Callable[[], None]], seconds: float) -> Load:
    """Again and again from several threads, each with what it made for itself."""
    load, lock, end = Load({200: []}), threading.Lock(), time.perf_counter() + seconds

    def work() -> None:
        do, took = make(), []
        while (start := time.perf_counter()) < end:
            do()
            took.append(time.perf_counter() - start)
        with lock:
            load.took[200] += took

    start = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    load.seconds = time.perf_counter() - start
    return load
