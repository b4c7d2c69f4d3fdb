"""The processes of a simulated world, and the sockets of each: where it dies, sleeps, is refused or lied to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plugin.errors import TryLater
from plugin.ports import Reply, Tools
from plugin.runtime import OVERSLEPT
from plugin.shapes import Note, StepState
from tests.proofs.sim.clock import Killed
from tests.proofs.sim.faults import DONE, FAULTS, LATE, NAMES, NOTHING, TWICE
from tests.proofs.sim.ledger import Books, shown
from tests.proofs.sim.oracle import variables
from tests.proofs.sim.scene import scene
from tests.proofs.sim.shop import parsed

if TYPE_CHECKING:
    from tests.proofs.sim.people import Agent
    from tests.proofs.sim.world import World

OLD = 2 * OVERSLEPT  # seconds: a look may be so old when a call is handed over to the wire, and no older
WRITES = {"begin", "claim", "release", "sending", "record", "close", "note_sent", "note_later", "resolve",
          "look_later", "due_notes"}


class DatabaseDown(Exception):
    """The database refused, or its answer was lost."""


@dataclass(frozen=True)
class Weather:
    """How rough one world is."""

    faults: float
    crashes: float
    database: float
    pauses: float
    reads: float


CALM = Weather(0.0, 0.0, 0.0, 0.0, 0.0)
WEATHERS = (
    CALM, Weather(0.5, 0.0, 0.0, 0.0, 0.1), Weather(0.5, 0.02, 0.01, 0.02, 0.1), Weather(0.8, 0.05, 0.03, 0.05, 0.3),
)  # fmt: skip


class Process:
    """One operating-system process: when it is killed, nothing of it does anything any more."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.dead = world, name, False
        self.seen: Books | None = None
        self.by_hand = False
        self.agent: Agent | None = None
        place = scene()
        self.tools = Tools(
            place.bundle, place.query, Line(self), Desk(self), Database(self), world.orders, None, None,
            ProcessClock(self),
        )  # type: ignore[arg-type]

    def gate(self, name: str) -> None:
        """Before and after each socket call: the process may die here, or sleep while others run."""
        world = self.world
        if self.dead or world.hub.over:
            raise Killed
        weather, luck = world.weather, world.rng.random()
        if luck < weather.crashes:
            self.dead = True
            world.trace(f"{self.name}: dies at {name}")
            raise Killed
        if luck < weather.crashes + weather.pauses:
            longest = (1, 20, 110, 600) if world.keys else (1, 20, 110)
            seconds = world.rng.choice(longest)
            world.trace(f"{self.name}: sleeps {seconds} s at {name}")
            world.hub.sleep(seconds)


class ProcessClock:
    def __init__(self, process: Process) -> None:
        self.process = process
        self.now, self.sleep = process.world.hub.moment, process.world.hub.sleep


class Database:
    """Runs, as one process reaches them: refusing, or losing its answer after the commit."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def __getattr__(self, name: str) -> Callable[..., Any]:
        process, world = self._process, self._process.world
        real = getattr(world.runs, name)
        if name not in WRITES:
            return real  # type: ignore[no-any-return]

        def call(*given: Any, **more: Any) -> Any:
            process.gate(name)
            luck = world.rng.random()
            if luck < world.weather.database / 2:
                world.trace(f"{process.name}: the database refuses {name}")
                raise DatabaseDown
            answer = real(*given, **more)
            self._told(name, given, more, answer)
            if luck < world.weather.database:
                world.trace(f"{process.name}: the database's answer to {name} is lost")
                raise DatabaseDown
            process.gate(f"after {name}")
            return answer

        setattr(self, name, call)
        return call

    def _told(self, name: str, given: tuple[Any, ...], more: Mapping[str, Any], answer: Any) -> None:
        process, world = self._process, self._process.world
        if name == "claim" and not process.name.startswith("web"):
            process.seen = None
        elif name == "record":
            world.trace(f"{process.name}: {given[0].name} is {given[2]} {more.get('error') or ''}")
            if given[2] is StepState.REVIEW:
                world.counts["reviewed"] += 1
                world.look_after(given[0].run_id)
        elif name == "sending":
            world.trace(f"{process.name}: {given[0].name} is sending")
        elif name == "close":
            world.trace(f"{process.name}: closed, {given[2]['state']}: {given[2]['text']}")
            world.oracle.closed(world.runs.rows[given[0]].shown(), world.shop.books)
        if name in ("begin", "close", "record", "sending"):
            world.need_work()


class Line:
    """The Commerce socket of one process, and everything that can happen on the way."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def stores(self) -> list[Any]:
        return [self.process.world.store]

    def read(self, store: str, document: str, given: Mapping[str, Any]) -> dict[str, Any]:
        process, world = self.process, self.process.world
        process.gate("read")
        rng, shop = world.rng, world.shop
        world.hub.sleep(0.05)
        if rng.random() < world.weather.reads:
            raise TryLater("Shopify does not answer just now.")
        lag = rng.choice((0.0, shop.rules.lag))
        if document == "job":
            node = shop.node(given["jobId"], lag)
            process.seen = shop.read(lag)
            answer: dict[str, Any] = {"node": node}
        else:
            process.seen = shop.read(lag)
            answer = {"snapshot": shown(process.seen)}
        process.gate("after read")
        return answer

    def send(self, store: str, body: bytes) -> Reply:
        process, world = self.process, self.process.world
        rng, shop = world.rng, world.shop
        long_ago = shop.read(OLD + shop.rules.lag)
        process.gate("send")
        world.oracle.sends(body, process.seen, long_ago, process.by_hand)
        world.counts["sends"] += 1
        fault = FAULTS[rng.choice(NAMES)] if rng.random() < world.weather.faults else FAULTS["slow"]
        seconds = rng.uniform(0.05, fault.seconds)
        behind = rng.choice(fault.behind)
        if behind == TWICE and (not world.keys or parsed(body)[0] == "orderCancel"):
            behind = DONE
        world.trace(f"{process.name}: sends {variables(body)}; {fault.reply or 'answered'}, behind it {behind}")
        world.hub.sleep(seconds / 2)
        answer = fault.reply
        if behind in (DONE, TWICE):
            own = shop.execute(body)
            answer = answer or own
        if behind == TWICE:
            world.hub.after(rng.uniform(0, 200), lambda: shop.execute(body))
        if behind == LATE:
            shop.later(body, rng.uniform(1, 300))
        world.hub.sleep(seconds / 2)
        process.gate("after send")
        assert answer is not None or behind == NOTHING
        return answer or Reply(None, b"", "cut", "nothing came back")


class Desk:
    """The Host socket: a CRM that is away at times, and writes a note once for its id."""

    keeps_orders = False

    def __init__(self, process: Process) -> None:
        self.process = process
        self.sent: set[str] = set()

    def post_note(self, note: Note) -> None:
        world = self.process.world
        self.process.gate("post note")
        if world.rng.random() < world.weather.faults / 2:
            raise TryLater("The CRM is away.")
        world.posted[note.id] = 1
        self.process.gate("after post note")
