"""Looks on, knows the store's books and our tables, and says what is wrong the moment it happens."""

import json
from collections.abc import Callable
from typing import Any

from plugin.operations import OPERATIONS, Moves
from plugin.shapes import Run, Step, StepState
from tests.proofs.sim.ledger import PAID, Books
from tests.proofs.sim.runs import MemoryRuns
from tests.proofs.sim.shop import parsed

DOUBLE, LOST, STUCK = "double", "lost", "stuck"


class Oracle:
    """`wrong` holds (kind, sentence); a world goes on after a finding, so that all its kinds show."""

    def __init__(self, runs: MemoryRuns, trace: Callable[[str], None]) -> None:
        self.runs, self.trace = runs, trace
        self.wrong: list[tuple[str, str]] = []

    def find(self, kind: str, sentence: str) -> None:
        if (kind, sentence) not in self.wrong:
            self.trace(f"!! {kind}: {sentence}")
            self.wrong.append((kind, sentence))

    # ------------------------------------------------------------ all the time

    def changed(self, books: Books) -> None:
        """Every version of the books: never above what was paid, each run's money at most once."""
        if books.refunded > PAID:
            self.find(DOUBLE, "more was refunded than captured")
        for row in self.runs.rows.values():
            for step in row.steps:
                if sum(step.marker in one.note for one in books.refunds if one.counts) > 1:
                    self.find(DOUBLE, f"{step.name} of {row.run.id[-2:]} stands in two refunds")

    def sends(self, body: bytes, seen: Books | None, long_ago: Books, by_hand: bool) -> None:
        """A send starts: committed bytes, in order, and not on an order that looked different when it was read, or so
        long ago that it should have been read again."""
        found = [(row.run, step) for row in self.runs.rows.values() for step in row.steps if step.body == body]
        if not found:
            return self.find(DOUBLE, "bytes were sent that nobody committed")
        run, step = self.runs.rows[found[0][0].id].shown(), found[0][1]
        if step.attempts == 0:
            self.find(DOUBLE, "a send started that was not committed")
        if step.position and run.steps[0].state is not StepState.SETTLED:
            self.find(DOUBLE, "step 2 left before step 1 was proved")
        if by_hand:
            return None
        if seen is None:
            return self.find(DOUBLE, "a send started without a look at the order")
        if foreign(run, seen) or foreign(run, long_ago):
            self.find(DOUBLE, f"{step.name} was sent though somebody else had already acted")
        return None

    def closed(self, run: Run, books: Books) -> None:
        """What we say of a closed run is what the books say, now and for ever."""
        for step in run.steps:
            if step.state is StepState.SETTLED and not there(step, books):
                self.find(LOST, f"{step.name} of {run.id[-2:]} is told as done and is not there")
            if step.state is StepState.FAILED and traces(step, books):
                self.find(LOST, f"{step.name} of {run.id[-2:]} is told as not done and is there")
            if step.state not in (StepState.SETTLED, StepState.FAILED):
                self.find(LOST, f"{run.id[-2:]} is closed with {step.name} {step.state}")
        states = [step.state for step in run.steps]
        said = "done" if StepState.FAILED not in states else "failed" if states[0] is StepState.FAILED else "partly"
        if (run.outcome or {}).get("state") != said:
            self.find(LOST, f"{run.id[-2:]} says {(run.outcome or {}).get('state')} and is {said}")

    def ends(self, books: Books, notes: dict[str, Any]) -> None:
        for row in self.runs.rows.values():
            run = row.shown()
            if run.open:
                self.find(STUCK, f"{run.id[-2:]} is open for ever: {[str(one.state) for one in run.steps]}")
                continue
            self.closed(run, books)
            wanted = 0 if (run.outcome or {}).get("state") == "failed" else 1
            if notes.get(run.id, 0) != wanted:
                self.find(LOST, f"{run.id[-2:]} has {notes.get(run.id, 0)} notes instead of {wanted}")


def mine(step: Step, books: Books) -> list[Any]:
    """Refunds that are this step's: by its reference, or made by its cancel's job."""
    if OPERATIONS[step.root].moves is Moves.NET_PAYMENT:
        ours = step.marker in (books.staff_note or "")
        return [one for one in books.refunds if ours and one.by not in (None, "human")]
    return [one for one in books.refunds if step.marker in one.note]


def there(step: Step, books: Books) -> bool:
    """Done is true: the cancel is ours, and what is told as paid back is in the books as paid, in that amount.

    A cancel's refund carries no reference. So of a cancel it is promised that the refunds told exist and add
    up to the amount told, not that a refund of the same amount was not a human's.
    """
    if step.root == "orderCancel" and step.marker not in (books.staff_note or ""):
        return False
    told = {one["id"] for one in (step.receipt or {}).get("$refunds", [])}
    paid = [one for one in books.refunds if one.id in told and one.status == "SUCCESS"]
    if "$accepted" in (step.receipt or {}):  # a person said that it is this: told with its real amount, and all of it
        return len(paid) == len(told) and {one.id for one in mine(step, books) if one.counts and one.cents} <= told
    own = step.root == "orderCancel" or [one.id for one in mine(step, books)] == [one.id for one in paid]
    return bool(own and sum(one.cents for one in paid) == int(step.moves.amount * 100))


def traces(step: Step, books: Books) -> bool:
    """Not done is untrue: our cancel is there, whatever became of its money, or a refund of ours that pays."""
    if step.root == "orderCancel":
        return bool(books.cancelled and step.marker in (books.staff_note or ""))
    return any(one.counts for one in mine(step, books))


def foreign(run: Run, seen: Books) -> bool:
    """Whether the order, as it was read, showed a refund or a cancel that is neither ours nor of before."""
    before = set(run.facts["refunds"])
    own = {one.id for step in run.steps for one in mine(step, seen)}
    if {one.id for one in seen.refunds if one.cents} - before - own:
        return True
    was = run.facts["fingerprint"]["cancelled"]
    return bool(seen.cancelled and not was and not any(step.marker in (seen.staff_note or "") for step in run.steps))


def variables(body: bytes) -> str:
    root, given = parsed(body)
    return f"{root} {json.dumps(given)[:60]}"
