"""Bad designs, each planted into the real code in a few lines; the same invariants must catch every one."""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from plugin import runtime
from plugin.bundle import StepSpec
from plugin.ports import Reply
from plugin.reconcile import Decision
from plugin.reconcile import Kind as Next
from plugin.settling import Work
from plugin.shapes import OrderFacts, Run, Step, StepState
from tests.proofs.sim.oracle import DOUBLE, LOST
from tests.proofs.sim.process import Line
from tests.proofs.sim.runs import MemoryRuns, Row

TWICE = "stands in two refunds"
_advance, _send, _decide, _step = runtime.advance, Line.send, runtime.decide, runtime._send


@dataclass(frozen=True)
class Plant:
    """What is replaced, where; in which worlds it bites; the kind in which it shows, and with which words."""

    where: Any
    name: str
    what: Callable[..., Any]
    kind: str
    keys: bool = True
    lag: float | None = None
    words: str = ""
    settle: int = 420


def new_key_per_try(line: Line, store: str, body: bytes) -> Reply:
    """Every attempt makes a key of its own."""
    document = json.loads(body)
    if "key" in document["variables"]:
        own = uuid.UUID(document["variables"]["key"])
        document["variables"]["key"] = str(uuid.uuid5(own, str(line.process.world.hub.now)))
    return _send(line, store, json.dumps(document).encode())


def retry_on_any_error(line: Line, store: str, body: bytes) -> Reply:
    """What an HTTP library does that is told to retry."""
    reply = _send(line, store, body)
    for _ in range(2):
        if reply.fault is None and reply.status == 200:
            break
        reply = _send(line, store, body)
    return reply


def no_lease_epoch(runs: MemoryRuns, run_id: str, epoch: int) -> Row:
    """Whoever wakes late writes."""
    return runs.rows[run_id]


def proof_outside_the_transaction(work: Work, fresh: bool) -> None:
    """The send is not committed before; after a crash the step looks as if nothing had been sent."""
    for step in work.run.steps:
        if step.state is StepState.SENDING:
            work.record(step, StepState.FAILED, error="nothing was sent")
    _advance(work, fresh)


def settled_from_the_first_send(run: Run, step: Step, order: OrderFacts, now: Any, seconds: float) -> Decision:
    return _decide(run, replace(step, last_sent_at=step.first_sent_at), order, now, seconds)


def read_then_new_key(run: Run, step: Step, order: OrderFacts, now: Any, seconds: float) -> Decision:
    """No trace in one look is taken for "not done". A store that ignores keys stands for the new key."""
    found = _decide(run, step, order, now, 0.0)
    return Decision(Next.RESEND) if found.kind is Next.WAIT else found


def without_comparing(run: Run, step: Step, order: OrderFacts, now: Any, seconds: float) -> Decision:
    """Only our reference is looked for; what else moved is not compared."""
    decision = _decide(run, step, order, now, seconds)
    waited = step.last_sent_at is None or (now - step.last_sent_at).total_seconds() >= seconds
    return Decision(Next.RESEND) if decision.kind is Next.REVIEW and waited else decision


def second_step_lost(work: Work, step: Step, spec: StepSpec, looked: bool) -> bool:
    """The worker that takes a crashed run over takes its last step for done."""
    if step.position > 0 and work.until <= work.tools.clock.now().timestamp():
        work.record(step, StepState.SETTLED, receipt={})
        return True
    return _step(work, step, spec, looked)


PLANTS: Mapping[str, Plant] = {
    "new key per try": Plant(Line, "send", new_key_per_try, DOUBLE, words=TWICE, settle=60),
    "retry on any error": Plant(Line, "send", retry_on_any_error, DOUBLE, keys=False, words=TWICE),
    "no lease epoch": Plant(MemoryRuns, "held", no_lease_epoch, LOST),
    "result outside the transaction": Plant(runtime, "advance", proof_outside_the_transaction, LOST),
    "settle counted from the first send": Plant(
        runtime, "decide", settled_from_the_first_send, DOUBLE, keys=False, words=TWICE
    ),
    "read, then new key": Plant(runtime, "decide", read_then_new_key, DOUBLE, keys=False, lag=60, words=TWICE),
    "re-send without comparing fingerprints": Plant(runtime, "decide", without_comparing, DOUBLE),
    "step 2 lost after a crash": Plant(runtime, "_send", second_step_lost, LOST),
}
