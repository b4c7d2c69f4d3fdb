"""The crash matrix: every moment of a run, every kind of fault, judged by the store's own ledger.

`python -m tests.proofs.matrix --engine sqlite` plays every cell; the tests play the same ones.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from plugin import alarms, flow, points, sync, webhooks
from plugin.errors import OrderActionsError
from plugin.flow import View
from plugin.points import Point
from plugin.review import resolve
from plugin.sandbox.store import payloads
from plugin.shapes import Place, Run, StepState
from plugin.stores.tables import outbox
from tests.databases import ENGINES
from tests.proofs.cells import STORIES, WRITTEN, Cell, Story, cells
from tests.proofs.lab import Died, Lab
from tests.proofs.races import database_of
from tests.world import BASE, CANCEL, DOMAIN

PAUSES = (1, 2, 4, 10, 20, 60, 90, 180, 240, 300, 600, 1200, 3600, 3600, 7200, 14400, 43200)
UNFORESEEN = "Look at the order again before you repeat anything."  # what the web says of an error of ours


class Broke(Exception):
    """An error nobody foresaw."""


@dataclass
class Told:
    """What the agent was told, and whether it was an answer about the run."""

    text: str
    state: str = ""


class Play:
    """One story with at most one fault."""

    def __init__(self, lab: Lab, story: Story, cell: Cell | None = None) -> None:
        self.lab, self.story, self.cell = lab, story, cell
        self.place = Place(DOMAIN, str(BASE + story.number))
        self.trace: Counter[Point] = Counter()
        self.struck = False
        self.full_until = 0.0
        self.told: list[Told] = []
        self.held: Run | None = None
        self.held_until = 0.0
        self.wrong: list[str] = []
        self.entries: Sequence[Mapping[str, Any]] = ()
        self.by_hand = Decimal(0)

    def run(self) -> None:
        form = self.lab.form(self.story)
        self.lab.empty()
        self.lab.shop.send_faults += self.story.lost
        points.hook = self._reached
        try:
            with capture_logs() as self.entries:
                self._live(form)
        finally:
            points.hook = None
            self.lab.dead = False

    def _live(self, form: tuple[dict[str, Any], str]) -> None:
        if self.story.webhook:
            self._webhook()
        else:
            self._press(form)
            self._meanwhile()
        self._until_known()
        if self.story.decides:
            self._decide()
            self._until_known()

    # ------------------------------------------------------------ the fault

    def _reached(self, point: Point) -> None:
        if self.lab.dead:
            raise Died
        self.trace[point] += 1
        if self.lab.time.at < self.full_until and point in WRITTEN:
            raise _database("database or disk is full")
        cell = self.cell
        if cell is None or self.struck or (point, self.trace[point]) != (cell.point, cell.visit):
            return
        self.struck = True
        self._strike(cell.kind)

    def _strike(self, kind: str) -> None:
        lab, (family, _, what) = self.lab, kind.partition(": ")
        if family == "read":
            lab.shop.read_fault = what
        elif family == "call":
            lab.shop.send_faults.insert(0, what)
        elif family == "note":
            lab.desk.faults.append(what)
        else:
            STRIKES[kind](self)

    def dies(self) -> None:
        self.lab.dead = True
        raise Died

    def breaks(self, what: str = "") -> None:
        raise _database(what) if what else Broke

    def fills(self) -> None:
        self.full_until = self.lab.time.at + 300
        raise _database("database or disk is full")

    def clock_jumps(self, seconds: float) -> None:
        self.lab.clock.wrong += seconds

    def person_refunds(self, amount: str = "5.00") -> None:
        self.lab.shop.refund_by_hand(self.story.number, amount)
        self.by_hand += Decimal(amount)

    def is_paused(self) -> None:
        """Two minutes: longer than any lease. Another worker does what is there to do meanwhile."""
        hook, points.hook = points.hook, None
        self.lab.shop.pass_by(120)
        other = self.lab.worker()
        for _ in range(3):
            sync.carry_on(other)
            sync.deliver_notes(other)
            self.lab.shop.pass_by(5)
        for run in other.runs.open_runs():
            if other.runs.claim(run.id, "other", other.clock.now(), 90) is not None:
                self.held, self.held_until = other.runs.run(run.id), self.lab.time.at + 90
        points.hook = hook

    def _woke_up(self) -> None:
        """While the other worker held the run, whoever woke up late must not have written into it."""
        held, self.held = self.held, None
        if held is not None and self.lab.time.at < self.held_until and self.lab.tools.runs.run(held.id) != held:
            self.wrong.append("a worker that had lost its lease wrote")

    # ------------------------------------------------------------ what people and workers do

    def _guarded(self, act: Callable[[], View | None]) -> None:
        """One request: what comes back is what the agent is told, and a death is followed by a restart."""
        try:
            view = act()
            self._woke_up()
        except Died:
            self.lab.restart()
            self.told.append(self._order_says())
            return
        except Exception as error:  # noqa: BLE001 - the door's own translation is what is looked at
            self._woke_up()
            self.told.append(Told(str(error) if isinstance(error, OrderActionsError) else UNFORESEEN))
            return
        if view is not None:
            self.told.append(_said(view))

    def _press(self, form: tuple[dict[str, Any], str]) -> None:
        def press() -> View:
            session = self.lab.session(self.story.number)
            return flow.submit(self.lab.tools, self.lab.tokens, session, self.place, self.story.action, *form)

        self._guarded(press)

    def _order_says(self) -> Told:
        hook, points.hook = points.hook, None
        try:
            view = flow.order(self.lab.tools, self.lab.session(self.story.number), self.place)
        finally:
            points.hook = hook
        run = view.context["run"]
        if run:
            return Told(run["text"], run["state"])
        past = view.context["history"]
        return Told(past[0]["text"], past[0]["state"]) if past else Told("There is no run.", "nothing")

    def _meanwhile(self) -> None:
        if self.story.meanwhile:
            self.person_refunds(self.story.meanwhile)

    def _decide(self) -> None:
        runs = self.lab.tools.runs.runs_of(self.place)

        def decide() -> None:
            agent = self.lab.session(self.story.number).agent
            resolve(self.lab.tools, agent, runs[0].id, "again", "looked in Shopify")

        for _ in range(6):  # nothing may be decided while Shopify could still carry it out, or while a lease holds
            self.lab.shop.pass_by(900)
            now = self.lab.tools.runs.runs_of(self.place)
            if now and now[0].open and any(one.state is StepState.REVIEW for one in now[0].steps):
                self._guarded(decide)

    def _webhook(self) -> None:
        """Shopify delivers until it is told 200."""
        self.lab.shop.pass_by(1)
        if not self.by_hand:
            self.person_refunds()
        order = self.lab.shop.order(self.story.number)
        body = json.dumps(payloads.order(order, None)).encode()
        names = {"Shop-Domain": DOMAIN, "Topic": "orders/updated", "Webhook-Id": "w1", "Hmac-Sha256": "of the door"}
        headers = {f"X-Shopify-{name}": value for name, value in names.items()}
        for _ in range(5):
            try:
                inbox = webhooks.Inbox(self.lab.tools, self.lab.connections, self.lab.privacy)
                webhooks.take(inbox, webhooks.delivery_of(headers), body)
                return
            except Died:
                self.lab.restart()
            except Exception:  # noqa: BLE001 - answered with 500, so Shopify delivers again
                pass
            self.lab.shop.pass_by(200)
        raise AssertionError("the webhook was never taken")

    def _until_known(self) -> None:
        for pause in PAUSES:
            self.lab.shop.pass_by(pause)
            try:
                sync.carry_on(self.lab.tools)
                self._woke_up()
                sync.deliver_notes(self.lab.tools)
                alarms.watch(self.lab.tools)
            except Died:
                self.lab.restart()
            except Exception:  # noqa: BLE001 - the worker's door goes on with the next round
                continue
            if self._known():
                return

    def _known(self) -> bool:
        """Nothing is on its way any more: not at Shopify, not here, not to the CRM."""
        runs = self.lab.tools.runs
        waiting = [run for run in runs.open_runs() if StepState.REVIEW not in {step.state for step in run.steps}]
        with self.lab.engine.connect() as tx:
            notes = tx.execute(select(outbox.c.run_id).where(outbox.c.state == "waiting")).first()
        return not waiting and notes is None and not self.lab.shop.late

    # ------------------------------------------------------------ the judgement

    def judge(self) -> list[str]:
        """Every invariant that does not hold, in words."""
        shop, number = self.lab.shop, self.story.number
        runs, moved = self.lab.tools.runs.runs_of(self.place), shop.moved(number)
        cancelled = shop.order(number).cancelled is not None
        wrong = list(self.wrong)
        if self.cell is not None and not self.struck:
            wrong.append("the fault never struck")
        if len(moved) > 1 or sum(moved) > Decimal(self.story.wish):
            wrong.append(f"moved {moved} for a wish of {self.story.wish}")
        if len(runs) > 1:
            wrong.append(f"{len(runs)} runs for one form")
        wrong += [said for run in runs for said in self._of_run(run, moved, cancelled)]
        logged = {entry.get("run") for entry in self.entries}
        wrong += [f"the log says nothing of run {run.id}" for run in runs if run.id not in logged]
        if not runs and (moved or cancelled):
            wrong.append("money moved without a run")
        committed = {step.body for run in runs for step in run.steps}
        if any(body not in committed for body, _ in shop.sent):
            wrong.append("other bytes were sent than were committed")
        if len(set(shop.sent)) > len(committed) and not self.story.decides:
            wrong.append("sent again although a refund by a person had been read")
        notes = [run.id for run in runs if not run.open and (run.outcome or {}).get("state") != "failed"]
        if sorted(self.lab.desk.shown) != sorted(notes):
            wrong.append(f"notes {list(self.lab.desk.shown)} for {notes}")
        return wrong + self._of_sentences(runs, moved)

    def _of_run(self, run: Run, moved: list[Decimal], cancelled: bool) -> Iterator[str]:
        state = str((run.outcome or {}).get("state"))
        if run.open:
            if StepState.REVIEW not in {step.state for step in run.steps}:
                yield f"stuck: {[step.state.value for step in run.steps]}"
            return
        wish = self.story.wish if not self._less_was_left(run) else str(sum(moved))
        if state == "done" and sum(moved) != Decimal(wish):
            yield f"the card says done, the ledger says {moved}"
        if state == "failed" and (moved or cancelled):
            yield f"the card says failed, the ledger says {moved}, cancelled {cancelled}"
        if state == "partly" and (moved or not cancelled):
            yield f"the card says partly, the ledger says {moved}, cancelled {cancelled}"

    def _less_was_left(self, run: Run) -> bool:
        """A cancel pays back what is left, so a person's refund in the same moment makes it less; never more."""
        return self.by_hand > 0 and self.story.action == CANCEL

    def _of_sentences(self, runs: Any, moved: list[Decimal]) -> list[str]:
        wrong = [f"no clear sentence: {told.text!r}" for told in self.told if len(told.text) < 15]
        if not self.story.webhook and not self.told:
            wrong.append("the agent was told nothing")
        for told in self.told[:1]:
            nothing = "Nothing was done" in told.text or "Nothing was sent" in told.text
            if nothing and moved:
                wrong.append(f"told {told.text!r}, yet {moved} moved")
            if told.state == "done" and not moved:
                wrong.append(f"told {told.text!r}, yet nothing moved")
        return wrong


def _said(view: View) -> Told:
    if view.card == "outcome":
        found = view.context["outcome"]
        return Told(str(found["text"]), str(found["state"]))
    form = view.context["form"]
    said = [*form["errors"], *(one["error"] for one in form["fields"] if one["error"])]
    return Told(" ".join(said), "form")


def _database(what: str) -> OperationalError:
    return OperationalError("statement", {}, Exception(what))


STRIKES: Mapping[str, Callable[[Play], None]] = {
    "process dies": Play.dies,
    "exception": Play.breaks,
    "clock an hour forward": lambda play: play.clock_jumps(3600),
    "clock an hour back": lambda play: play.clock_jumps(-3600),
    "a person refunds in Shopify": Play.person_refunds,
    "paused, lease lost": Play.is_paused,
    "commit fails": lambda play: play.breaks("commit failed"),
    "database locked": lambda play: play.breaks("database is locked"),
    "disk full": Play.fills,
    "commit succeeds, reports failure": lambda play: play.breaks("connection lost"),
}


def traces(lab: Lab) -> dict[str, Counter[Point]]:
    """How often each story reaches each point when nothing goes wrong; and nothing does."""
    found = {}
    for story in STORIES:
        play = Play(lab, story)
        play.run()
        assert play.judge() == [], (story.name, play.judge(), play.told)
        assert sum(lab.shop.moved(story.number)) == Decimal(story.moves), (story.name, play.told)
        found[story.name] = play.trace
    return found


def play(lab: Lab, cell: Cell) -> list[str]:
    played = Play(lab, cell.story, cell)
    try:
        played.run()
        return played.judge()
    except AssertionError as error:
        return [str(error)]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--engine", choices=ENGINES, required=True)
    words.add_argument("--visits", type=int, default=99)
    words.add_argument("--stories", type=int, default=99)
    given = words.parse_args()
    with database_of(given.engine) as url:
        lab = Lab(url)
        table = cells(traces(lab), given.visits, given.stories)
        wrong = 0
        for done, cell in enumerate(table, 1):
            if said := play(lab, cell):
                wrong += 1
                print(f"{cell}: {'; '.join(said)}", flush=True)
            if done % 500 == 0:
                print(f"{done} of {len(table)} cells, {wrong} wrong", flush=True)
    pairs = len({(cell.point, cell.kind) for cell in table})
    print(f"{len(table)} cells ({pairs} pairs of point and kind) on {given.engine}: {wrong} wrong")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
