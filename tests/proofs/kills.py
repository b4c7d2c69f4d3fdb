"""Real kills: store and plugin are processes, a SIGKILL strikes at each point, and the store's ledger judges.

`python -m tests.proofs.kills --kills 1000 --engine sqlite` ends in a line `N kills: 0 double, 0 lost, 0 stuck`.
"""

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import cycle, product, zip_longest
from pathlib import Path
from random import Random

from sqlalchemy import Connection

from plugin.points import Point
from plugin.stores.database import connect, open_database
from plugin.stores.tables import metadata
from tests.databases import ENGINES, Postgres, postgres_server
from tests.proofs.lab import STAY, may_be_emptied
from tests.proofs.stories import STORIES, WAIT, Plugin, Scene, Story, store

LANES = 8  # shops side by side, each with a store, a plugin and a database of its own: a kill is mostly waiting
# Killed once more while the worker finds out: what it reads then is nothing, or all that was asked for.
DOUBTFUL = ("SENDING_COMMITTED", "HALF_ANSWERED")
AGAIN = (
    "RUN_DUE", "SCHEDULE_COMMITTED", "LEASE_TAKEN", "ORDER_ANSWERED", "DOUBT", "DOUBT_SEEN", "RESEND",
    "SENDING_WRITTEN", "SENDING_COMMITTED", "HALF_SENT", "SENT", "HALF_ANSWERED", "ANSWERED", "JUDGED",
    "RESULT_WRITTEN", "RESULT_COMMITTED", "CLOSE_WRITTEN", "CLOSED", "NOTE_POSTED",
)  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """One process after the other is killed at its point, the first while the story begins."""

    story: Story
    strikes: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return " ".join([self.story.name, *(f"{point}#{visit}" for point, visit in self.strikes)])


def turns(seed: int) -> list[Turn]:
    """Every turn in an order of the seed's, one of each story in each round, as long as it has any."""
    of_each = []
    for story in STORIES:
        made = [Turn(story, ((point, visit),)) for point, visit in product(story.points, (1, 2, 3))]
        if story in STORIES[:2]:
            made += [Turn(story, ((first, 1), (then, 1))) for first, then in product(DOUBTFUL, AGAIN)]
        of_each.append(sorted(made, key=lambda one: Random(f"{seed} {one}").random()))
    return [turn for some in zip_longest(*of_each) for turn in some if turn is not None]


@dataclass
class Count:
    kills: int = 0
    double: int = 0
    lost: int = 0
    stuck: int = 0
    said: list[str] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)

    def line(self) -> str:
        return f"{self.kills} kills: {self.double} double, {self.lost} lost, {self.stuck} stuck"


def unreached(count: Count) -> list[str]:
    return [one.name for one in Point if one.name not in count.reached]


# ---------------------------------------------------------------- one kill


def strike(plugin: Plugin, count: Count, turn: Turn) -> bool:
    """Begin, be killed, start again, wait until all is known, compare with the ledger. False: never came there."""
    scene, story = Scene(plugin), turn.story
    scene.asked(_empty)
    scene.control("reset")
    scene.control("settings", bulk_delay=0)
    if story.fault:
        scene.control("faults", on="refundCreate", kind=story.fault)
    struck, over = 0, False
    for point, visit in (*turn.strikes, ("-", 0)):
        plugin.start(story.work, point, visit)
        over = _live(scene, story)
        killed = plugin.killed()
        plugin.stop()
        if not killed:
            break
        struck += 1
    count.kills += struck
    count.reached |= plugin.reached()
    _judge(count, turn, scene, over)
    scene.engine.dispose()
    return struck == len(turn.strikes)


def _live(scene: Scene, story: Story) -> bool:
    """Until all is known, or the process is killed."""
    end = time.monotonic() + WAIT
    while not scene.plugin.killed() and time.monotonic() < end:
        if story.goes_on(scene):
            return True
        time.sleep(0.05)
    return False


def _judge(count: Count, turn: Turn, scene: Scene, over: bool) -> None:
    paid, states, wish = scene.moved(), scene.states(), turn.story.wish
    missing = turn.story.missing(scene)
    if not over:
        count.stuck += 1
    elif len(states) > 1 or len(paid) > 1 or sum(paid) > wish:
        count.double += 1
    elif missing or sum(paid) != (wish if states == ["done"] else 0):
        count.lost += 1
    else:
        return
    count.said.append(f"{turn}: ended as {states}, the ledger says {paid}; {missing}")


def _empty(tx: Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        if table.name not in STAY:
            tx.execute(table.delete())


def kills(
    turns: Iterable[Turn], databases: Sequence[str], most: int, say: Callable[[str], None] = lambda line: None
) -> Count:
    """Strike turn after turn until so many processes were killed, in as many lanes as there are databases."""
    left, count, never = iter(turns), Count(), set[Turn]()

    def next_turn() -> Turn | None:
        with lock:
            return next((one for one in left if one not in never), None)

    def lane(database: str) -> None:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            plugin = stack.enter_context(closing(Plugin(database, stack.enter_context(store()), folder)))
            while count.kills < most and (turn := next_turn()):
                if not strike(plugin, count, turn):
                    never.add(turn)
                say(f"{turn}: {count.line()}")

    lock = threading.Lock()
    for database in databases:
        engine = connect(database)
        may_be_emptied(engine)
        engine.dispose()
    with ThreadPoolExecutor(len(databases)) as pool:
        list(pool.map(lane, databases))
    return count


@contextmanager
def _databases(engine: str, restart: bool) -> Iterator[list[str]]:
    """One for each lane."""
    if engine == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            urls = [f"sqlite:///{Path(folder) / f'{lane}.sqlite'}" for lane in range(LANES)]
            for one in urls:
                open_database(one).dispose()
            yield urls
        return
    with postgres_server() as server, restarting(server) if restart else nullcontext():
        yield [server.fresh() for _ in range(LANES)]


@contextmanager
def restarting(server: Postgres) -> Iterator[None]:
    """The database goes away at once and comes back, every few seconds, whatever anybody is doing."""
    over = threading.Event()

    def restart() -> None:
        while not over.wait(random.uniform(4, 12)):
            server.restart()

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--kills", type=int, default=1000)
    words.add_argument("--engine", choices=ENGINES, required=True)
    words.add_argument("--seed", type=int, default=1, help="another order of the points")
    words.add_argument("--restart-database", action="store_true", help="PostgreSQL is restarted all the time")
    given = words.parse_args()
    with _databases(given.engine, given.restart_database) as urls:
        count = kills(cycle(turns(given.seed)), urls, given.kills, print)
    for one in count.said:
        print(one)
    print(f"never reached: {unreached(count)}")
    print(count.line())
    raise SystemExit(bool(count.said or unreached(count)))


if __name__ == "__main__":
    main()
