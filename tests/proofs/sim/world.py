"""One simulated world: web processes, workers and people around one order, from a seed."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any

from plugin import documents, flow, reading, reconcile, settling, sync
from plugin.drafts import Draft
from plugin.errors import OrderActionsError, TryLater
from plugin.flow import View
from plugin.plan import money_moved
from plugin.ports import Reply, Tools
from plugin.review import AGAIN, NOT_DONE, resolve
from plugin.review import DONE as DONE_SO
from plugin.shapes import Note, Plan, Run, StepState
from plugin.tokens import FormClaims
from tests.proofs.sim.clock import DAY, Hub, Killed
from tests.proofs.sim.faults import DONE, FAULTS, LATE, NAMES, NOTHING, TWICE
from tests.proofs.sim.ledger import Books, known, shown
from tests.proofs.sim.oracle import Oracle, mine, traces, variables
from tests.proofs.sim.runs import MemoryOrders, MemoryRuns
from tests.proofs.sim.scene import SLOTS, VARIANTS, Form, scene
from tests.proofs.sim.shop import Rules, Shop, parsed

WRITES = {"begin", "claim", "release", "sending", "record", "close", "note_sent", "note_later", "resolve"}


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


STORM = 8 * 3600.0
CALM = Weather(0.0, 0.0, 0.0, 0.0, 0.0)
WEATHERS = (
    CALM, Weather(0.5, 0.0, 0.0, 0.0, 0.1), Weather(0.5, 0.02, 0.01, 0.02, 0.1), Weather(0.8, 0.05, 0.03, 0.05, 0.3),
)  # fmt: skip


class World:
    """`plant` may replace sockets and rules; the code under test sees `tools` only."""

    def __init__(
        self, seed: int, *, keys: bool = True, lag: float | None = None, settle: int = 420, tracing: bool = False
    ) -> None:
        self.rng, self.hub = Random(seed), Hub()
        self.tracing, self.counts = tracing, Counter[str]()
        self.keys, self.store = keys, scene().store
        if settle != 420:
            self.store = replace(self.store, settings={**self.store.settings, "settle_time": settle})
        rng = self.rng
        self.weather = rng.choice(WEATHERS)
        rules = Rules(
            keys, rng.random() < 0.3, rng.choice((0, 0, 5, 60)) if lag is None else lag, rng.choice((1, 5, 60)),
            rng.choice((0.0, 0.0, 0.2)), rng.random() < 0.85, rng.choice((0.0, 0.3)), rng.choice((0.0, 0.2)),
        )  # fmt: skip
        self.runs, self.orders = MemoryRuns(), MemoryOrders()
        self.oracle = Oracle(self.runs, self.trace)
        self.shop = Shop(self.hub, rng, rules, self.changed)
        self.posted: Counter[str] = Counter()
        self.working = 0
        self.called: set[str] = set()

    def trace(self, said: str) -> None:
        if self.tracing:
            print(f"{timedelta(seconds=round(self.hub.now, 1))!s:>14}  {said}")

    def changed(self, books: Books) -> None:
        last = [f"{one.cents / 100:.2f} {one.status} {one.note}" for one in books.refunds]
        self.trace(f"store: refunds {last}, cancelled {books.staff_note if books.cancelled else 'no'}")
        self.oracle.changed(books)

    # ------------------------------------------------------------ who is there

    def play(self) -> list[tuple[str, str]]:
        rng, names = self.rng, tuple(VARIANTS)
        wish = rng.choice(names)
        Agent(self, 0, wish).press(rng.uniform(0, 3))
        if rng.random() < 0.3:  # a second form: another agent, maybe with another wish
            Agent(self, 1, rng.choice((wish, *names))).press(rng.uniform(0, 30))
        if rng.random() < 0.35:
            self.hub.after(rng.choice((1, 20, 120, 500, 3000)) * rng.random(), lambda: self.human(wish))
        self.hub.at(STORM, self.calm)
        self.hub.run(DAY)
        self.oracle.ends(self.shop.books, self.posted)
        for row in self.runs.rows.values():
            self.counts[str((row.run.outcome or {}).get("state", "open"))] += 1
            self.counts["sent again"] += sum(max(0, step.attempts - 1) for step in row.steps)
        return self.oracle.wrong

    def calm(self) -> None:
        """Storms end: from then on everything must come to its end."""
        self.weather = CALM

    def human(self, wish: str) -> None:
        """Somebody does it in Shopify's own admin, told not to or not knowing."""
        moves = sum(int(step.moves.amount * 100) for step in scene().forms[wish].plans[0].steps)
        what = self.rng.choice(("same", "other", "cancel"))
        if what == "cancel":
            if not self.shop.books.cancelled:
                self.counts["cancelled by a human"] += 1
                self.trace("human: cancels in Shopify")
                self.shop.cancel("", self.rng.random() < 0.5, "human")
        elif self.shop.by_hand(moves if what == "same" else 500):
            self.counts["refunded by a human"] += 1
            self.trace(f"human: refunds the {what} amount in Shopify")

    def need_work(self) -> None:
        """Workers run while there is something to do; a crashed one is started again."""
        if self.working == 0:
            self.working = self.rng.choice((1, 1, 2))
            for number in range(self.working):
                self.hub.spawn(self.rng.uniform(0.5, 2), lambda number=number: self.work(f"worker {number}"))

    def work(self, name: str) -> None:
        """`app.Worker`, with its pause stretched: an idle minute is one look instead of many."""
        process, looked, pace = Process(self, name), dict[str, datetime](), self.rng.choice((1, 3, 8))
        try:
            while (pause := self.pause()) is not None:
                self.hub.sleep(pause * self.rng.uniform(1, pace))
                try:
                    sync.carry_on(process.tools, looked)
                    sync.deliver_notes(process.tools)
                except DatabaseDown:
                    continue
            self.working -= 1
        except Killed:
            if not self.hub.over:
                self.counts["crashes"] += 1
                self.trace(f"{name}: killed")
                self.hub.spawn(self.rng.choice((1, 30, 200)), lambda: self.work(name))

    def pause(self) -> float | None:
        ages = [
            (self.hub.moment() - row.run.created_at).total_seconds() for row in self.runs.rows.values() if row.run.open
            and not any(step.state is StepState.REVIEW for step in row.steps)
        ]  # fmt: skip
        if ages:
            return next(seconds for limit, seconds in sync.PAUSES if min(ages) < limit)
        if any(not one.sent for one in self.runs.outbox.values()):
            return 10.0
        return None

    def look_after(self, run_id: str) -> None:
        """A person with permission comes when a run waits for a decision."""
        if run_id not in self.called:
            self.called.add(run_id)
            Person(self, run_id).come(self.rng.choice((600, 3600, 20000)))


class Process:
    """One operating-system process: when it is killed, nothing of it does anything any more."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.dead = world, name, False
        self.seen: Books | None = None
        self.by_hand = False
        self.agent: Agent | None = None
        place = scene()
        self.tools = Tools(
            place.bundle, place.query, Line(self), Desk(self), Database(self), world.orders, ProcessClock(self)
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
        process.gate("send")
        rng, shop = world.rng, world.shop
        world.oracle.sends(body, process.seen, shop.books, process.by_hand)
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


@dataclass
class Agent:
    """Opens a form, presses it once or twice, and tries again after a proved failure."""

    world: World
    slot: int
    wish: str
    tries: int = 0
    claims: FormClaims | None = field(default=None, repr=False)

    @property
    def form(self) -> Form:
        return scene().forms[self.wish]

    def press(self, seconds: float) -> None:
        world = self.world
        world.hub.spawn(seconds, lambda: self._alone(self._open, f"web {self.slot}"))

    def _alone(self, work: Callable[[Process], None], name: str) -> None:
        process = Process(self.world, name)
        try:
            work(process)
        except (OrderActionsError, DatabaseDown) as error:
            self.world.trace(f"{name}: {type(error).__name__} {error}")
        except Killed:
            if not self.world.hub.over:
                self.world.counts["crashes"] += 1
                self.world.trace(f"{name}: killed")

    def _open(self, process: Process) -> None:
        seen = reading.look(process.tools, scene().place)
        plan = planned(self.form, self.slot, seen)
        action = self.form.draft.action
        self.claims = FormClaims(
            plan.run_id, scene().session.agent.id, scene().place, action.id, action.digest,
            settling.fingerprint(seen.facts), flow.plan.moves(plan), {},
        )  # fmt: skip
        rng, hub = self.world.rng, self.world.hub
        think = rng.uniform(1, 40)
        for extra in (0.0, rng.uniform(0, 3)) if rng.random() < 0.3 else (0.0,):
            hub.spawn(think + extra, lambda: self._alone(self._submit, f"web {self.slot}"))

    def _submit(self, process: Process) -> None:
        claims = self.claims
        assert claims is not None
        process.agent = self
        view = flow.submit(
            process.tools, Opened(claims), scene().session, scene().place, claims.action_id, self.form.raw, ""
        )  # type: ignore[arg-type]
        if view.card == "failed" and self.slot + 2 < SLOTS and self.tries < 1:
            Agent(self.world, self.slot + 2, self.wish, self.tries + 1).press(5)


@dataclass(frozen=True)
class Opened:
    """The seal on a form's token, already opened."""

    claims: FormClaims

    def open_form(self, token: str) -> FormClaims:
        return self.claims


def planned(form: Form, slot: int, seen: reading.Seen) -> Plan:
    """The real plan, with the money it moves counted on the order as it is now."""
    plan = form.plans[slot]
    steps = []
    for step in plan.steps:
        moves, shop = money_moved(step.root, parsed(step.body)[1], seen.facts)
        steps.append(replace(step, moves=moves, moves_shop=shop))
    return replace(plan, steps=tuple(steps))


def _agent(tools: Tools) -> Agent:
    """Whose press this is: the real submit passes its tools along, and they belong to one process."""
    agent = tools.clock.process.agent  # type: ignore[attr-defined]
    assert agent is not None
    return agent  # type: ignore[no-any-return]


_fingerprint = lru_cache(maxsize=20_000)(documents.fingerprint)


@contextmanager
def quick() -> Iterator[None]:
    """What is pure and slow - filling a form, printing documents - is worked out once; the gates stay real."""

    def draft(tools: Tools, *given: Any) -> Draft:
        return replace(_agent(tools).form.draft, seen=reading.look(tools, scene().place))

    def judge(tools: Tools, session: Any, filled: Draft, run_id: str) -> tuple[None, Plan]:
        one = _agent(tools)
        return None, planned(one.form, one.slot, filled.seen)

    scene()
    old = {
        (flow, "draft"): draft, (flow, "judge"): judge,
        (flow, "_proved_failure"): lambda *given: View("failed", {}, 422),
        (flow, "_outcome_view"): lambda tools, run: View("outcome", {}),
        (flow, "encode"): lambda value: next(
            form.texts for form in scene().forms.values() if form.draft.scope.given().get("form") is value.get("form")
        ),
        (reading, "facts"): known,
        (reading, "selection"): lru_cache(reading.selection),
        (documents, "payload_selection"): lru_cache(documents.payload_selection),
        **{(module, "fingerprint"): _fingerprint for module in (flow, reconcile, settling)},
    }  # fmt: skip
    kept = {place: getattr(*place) for place in old}
    for (module, name), new in old.items():
        setattr(module, name, new)
    try:
        yield
    finally:
        for (module, name), was in kept.items():
            setattr(module, name, was)


@dataclass
class Person:
    """Looks at the order in Shopify and decides; comes again when told that it is too early."""

    world: World
    run_id: str
    visits: int = 0

    def come(self, seconds: float) -> None:
        if self.visits < 60:
            self.world.hub.spawn(seconds, self._decide)

    def _decide(self) -> None:
        """Comes back until the run is closed: what is open in the evening was not decided."""
        self.visits += 1
        world, row = self.world, self.world.runs.rows[self.run_id]
        if not row.run.open:
            return
        doubtful = [one for one in row.steps if one.state is StepState.REVIEW]
        if doubtful:
            self._resolve(Process(world, "person"), self._choice(row.shown(), doubtful[0].position))
        self.come(900)

    def _resolve(self, process: Process, how: str) -> None:
        process.by_hand = True
        self.world.trace(f"person: decides {how}")
        try:
            resolve(process.tools, scene().session.agent, self.run_id, how, "looked in Shopify")
            self.world.counts["decided by a person"] += 1
        except (OrderActionsError, DatabaseDown) as error:
            self.world.trace(f"person: {type(error).__name__} {error}")
        except Killed:
            self.world.counts["crashes"] += 1

    def _choice(self, run: Run, position: int) -> str:
        step, books = run.steps[position], self.world.shop.books
        if step.receipt is not None and not any(one.counts for one in mine(step, books)):
            return NOT_DONE  # recorded, and the money did not go: it is paid in another way
        made = [one for one in mine(step, books) if one.counts]
        if traces(step, books):
            accepted = "$refunds" in (step.receipt or {}) or step.root != "orderCancel"
            return made[0].id.rsplit("/", 1)[-1] if accepted and made else DONE_SO
        young = step.first_sent_at and (self.world.hub.moment() - step.first_sent_at).total_seconds() < 22 * 3600
        still = step.receipt is None and not any(one.by == "human" for one in books.refunds) and not books.cancelled
        return AGAIN if young and still and self.world.rng.random() < 0.5 else NOT_DONE
