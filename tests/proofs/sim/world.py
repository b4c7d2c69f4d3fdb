"""One simulated world: web processes, workers and people around one order, from a seed."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from random import Random
from typing import Any

from plugin import documents, flow, reading, reconcile, review, runtime, settling, sync
from plugin.drafts import Draft
from plugin.flow import View
from plugin.ports import Tools
from plugin.shapes import Plan, StepState
from tests.proofs.sim.clock import DAY, Hub, Killed
from tests.proofs.sim.ledger import Books, known
from tests.proofs.sim.oracle import Oracle
from tests.proofs.sim.people import Agent, Person, planned
from tests.proofs.sim.process import CALM, WEATHERS, DatabaseDown, Process
from tests.proofs.sim.runs import MemoryOrders, MemoryRuns
from tests.proofs.sim.scene import VARIANTS, scene
from tests.proofs.sim.shop import Rules, Shop

STORM = 8 * 3600.0


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
            keys, rng.random() < 0.3, rng.choice((0, 0, 5, 60)) if lag is None else lag,
            rng.choice((1, 5, 60, 3.5 * settle)),
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
        process, pace = Process(self, name), self.rng.choice((1, 3, 8))
        try:
            while (pause := self.pause()) is not None:
                self.hub.sleep(pause * self.rng.uniform(1, pace))
                try:
                    sync.carry_on(process.tools)
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
        (flow, "outcome_view"): lambda tools, session, run: View("outcome", {}),
        (flow, "encode"): lambda value: next(
            form.texts for form in scene().forms.values() if form.draft.scope.given().get("form") is value.get("form")
        ),
        (reading, "facts"): known,
        **{(module, "fingerprint"): _fingerprint for module in (flow, reconcile, settling)},
        **{(module, "tell"): lambda *event, **known: None for module in (flow, review, runtime, settling, sync)},
    }  # fmt: skip
    kept = {place: getattr(*place) for place in old}
    for (module, name), new in old.items():
        setattr(module, name, new)
    try:
        yield
    finally:
        for (module, name), was in kept.items():
            setattr(module, name, was)
