"""Agents who press forms, and the person who decides about runs in doubt."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from plugin import flow, reading, settling
from plugin.errors import LookAgain, OrderActionsError
from plugin.plan import money_moved
from plugin.review import AGAIN, CANCELLED, NOT_DONE, resolve
from plugin.review import DONE as DONE_SO
from plugin.shapes import Plan, Run, StepState
from plugin.tokens import FormClaims
from tests.proofs.sim.clock import Killed
from tests.proofs.sim.oracle import mine, traces
from tests.proofs.sim.process import DatabaseDown, Process
from tests.proofs.sim.scene import SLOTS, Form, scene
from tests.proofs.sim.shop import parsed

if TYPE_CHECKING:
    from tests.proofs.sim.world import World


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

    def open_form(self, token: str, *, even_old: bool = False) -> FormClaims:
        return self.claims


def planned(form: Form, slot: int, seen: reading.Seen) -> Plan:
    """The real plan, with the money it moves counted on the order as it is now."""
    plan = form.plans[slot]
    steps = []
    for step in plan.steps:
        body = step.body if seen.facts.net_presentment > 0 else unpaid(step.body)
        moves, shop = money_moved(step.root, parsed(body)[1], seen.facts)
        steps.append(replace(step, body=body, moves=moves, moves_shop=shop))
    return replace(plan, steps=tuple(steps))


@lru_cache(maxsize=64)
def unpaid(body: bytes) -> bytes:
    """What the action sends while nothing is paid: its cancel asks for no refund."""
    document = json.loads(body)
    document["variables"].pop("refundMethod", None)
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


@dataclass
class Person:
    """Looks at the order in Shopify and decides; comes again when told that it is too early."""

    world: World
    run_id: str
    visits: int = 0
    refused: int = 0

    def come(self, seconds: float) -> None:
        if self.visits < 160:  # every quarter of an hour until the day is over
            self.world.hub.spawn(seconds, self._decide)

    def _decide(self) -> None:
        """Comes back until the run is closed: what is open in the evening was not decided."""
        self.visits += 1
        world, row = self.world, self.world.runs.rows[self.run_id]
        if not row.run.open:
            return
        doubtful = [one for one in row.steps if one.state is StepState.REVIEW]
        if doubtful:
            ways = self._true(row.shown(), doubtful[0].position)
            self._resolve(Process(world, "person"), ways[self.refused % len(ways)])
        self.come(900)

    def _resolve(self, process: Process, how: str) -> None:
        process.by_hand = True
        self.world.trace(f"person: decides {how}")
        try:
            resolve(process.tools, scene().session.agent, self.run_id, how, "looked in Shopify")
            self.world.counts["decided by a person"] += 1
        except (OrderActionsError, DatabaseDown) as error:
            self.refused += isinstance(error, LookAgain)
            self.world.trace(f"person: {type(error).__name__} {error}")
        except Killed:
            self.world.counts["crashes"] += 1

    def _true(self, run: Run, position: int) -> tuple[str, ...]:
        """What is true, as somebody sees it who looks at the order and its payments in Shopify: what is refused is
        closed on the page, and a person takes the next. A cancel that found nothing left, because a human had paid
        all of it back, ends with the human's refund."""
        step, books = run.steps[position], self.world.shop.books
        paid = tuple(one.id.rsplit("/", 1)[-1] for one in mine(step, books) if one.counts and one.cents)
        if step.root == "orderCancel" and traces(step, books):
            return (DONE_SO, *paid) if paid or not step.moves > 0 else (CANCELLED, DONE_SO)
        if paid:
            return paid
        young = step.first_sent_at and (self.world.hub.moment() - step.first_sent_at).total_seconds() < 22 * 3600
        still = step.receipt is None and not any(one.by == "human" for one in books.refunds) and not books.cancelled
        return (AGAIN, NOT_DONE) if young and still and self.world.rng.random() < 0.5 else (NOT_DONE,)
