"""What people do while a process is killed: the stories of the kills, each with the points that it is there for.

Whoever acts in a story looks first whether it was done already, so that after every restart it simply goes on.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import requests
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import OperationalError

from plugin.points import Point
from plugin.shapes import StepState
from plugin.stores.database import connect
from plugin.stores.keys import open_keys
from plugin.stores.tables import alarms, backfills, orders, outbox, privacy_requests, runs, steps, webhooks_seen
from tests.proofs.child import WIRE
from tests.proofs.hands import HANDS, ORDER, decide, deliver, press
from tests.shared import ROOT
from tests.world import BASE, CANCEL, DOMAIN, REFUND, SECRET, connected, variables

T = TypeVar("T")
WAIT = 120.0  # seconds until a run counts as stuck; a loaded machine is slow, not wrong
CHANGED = "2030-01-01T00:00:00Z"  # the order in the webhook is newer than any that was read
TAKEN = {
    "id": BASE + ORDER, "name": f"#{ORDER}", "email": "ada@example.com", "created_at": "2026-01-01T00:00:00Z",
    "updated_at": CHANGED, "financial_status": "paid",
    "total_price_set": {"presentment_money": {"amount": "67.50", "currency_code": "USD"}},
}  # fmt: skip
FORGOTTEN = {
    "shop_domain": DOMAIN, "customer": {"id": 7, "email": "ada@example.com", "phone": None},
    "orders_to_redact": [BASE + ORDER],
}  # fmt: skip


# ---------------------------------------------------------------- the processes


@contextmanager
def store() -> Iterator[str]:
    """The sandbox store in a process of its own; it survives every kill."""
    command = [sys.executable, "-u", "-m", "plugin.sandbox.store", "--port", "0", "--token", "token",
               "--settle-delay", "0.2", "--cancel-delay", "0.2"]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split(" answers at ")[1].split(";")[0]
        process.kill()


class Plugin:
    """The plugin in a process of its own; `start` again after it was killed, on the same database."""

    def __init__(self, database: str, store_url: str, folder: Path) -> None:
        self.database, self.store_url, self.mark = database, store_url, folder / "killed"
        self.trace = folder / "reached"
        self.url, self._pid = "", 0
        connected(database, store_url)
        settings = {"ORDER_ACTIONS_SETTINGS": "settle_time=1,doubt_alarm_minutes=0"}
        own = {"PROOF_MARK": str(self.mark), "PROOF_TRACE": str(self.trace)}
        others = {name: value for name, value in os.environ.items() if not name.startswith("ORDER_ACTIONS_")}
        self._forks = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.child"], cwd=ROOT,
            env=others | variables(database, store_url) | settings | own, text=True,
            bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self, work: str, point: str = "-", visit: int = 0) -> None:
        self.mark.unlink(missing_ok=True)
        assert self._forks.stdin is not None and self._forks.stdout is not None
        self._forks.stdin.write(f"{work} {point} {visit}\n")
        pid, port = self._forks.stdout.readline().split()
        self.url, self._pid = f"http://127.0.0.1:{port}", int(pid)

    def gone(self) -> bool:
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return True
        return False

    def killed(self) -> bool:
        return self.mark.exists() and self.gone()

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        until(self.gone, WAIT)

    def reached(self) -> set[str]:
        """The points that any of these processes came to."""
        return set(self.trace.read_text(encoding="ascii").split()) if self.trace.exists() else set()

    def close(self) -> None:
        self.stop()
        self._forks.communicate()


def until(holds: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


# ---------------------------------------------------------------- what the proof sees


@dataclass
class Scene:
    """The store's own books and the database, as the proof itself looks at them."""

    plugin: Plugin
    engine: Engine = field(init=False)
    heard: set[str] = field(default_factory=set)  # the webhooks that Shopify need not send again

    def __post_init__(self) -> None:
        self.engine = connect(self.plugin.database)

    def asked(self, ask: Callable[[Connection], T]) -> T:
        """The database may be away just now."""
        end = time.monotonic() + WAIT
        while True:
            try:
                with self.engine.begin() as tx:
                    return ask(tx)
            except OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def rows(self, query: Any) -> list[Any]:
        return self.asked(lambda tx: list(tx.execute(query)))

    def runs(self) -> list[Any]:
        return self.rows(select(runs.c.id, runs.c.is_open, runs.c.outcome))

    def in_review(self) -> bool:
        return bool(self.rows(select(steps.c.run_id).where(steps.c.state == StepState.REVIEW)))

    def known(self) -> bool:
        """The run ended, its note is out and no alarm stands; asked in this order, as the first two are one write."""
        found = self.runs()
        if not found or any(row.is_open for row in found):
            return False
        waiting = self.rows(select(outbox.c.run_id).where(outbox.c.state != "sent"))
        return not waiting and not self.rows(select(alarms.c.id).where(alarms.c.lifted_at.is_(None)))

    def states(self) -> list[str]:
        return [str(json.loads(row.outcome)["state"]) for row in self.runs() if not row.is_open]

    def ledger(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = requests.get(f"{self.plugin.store_url}/_sandbox/ledger", timeout=10).json()
        return rows

    def order(self) -> dict[str, Any]:
        return next(one for one in self.ledger() if one["id"] == BASE + ORDER)

    def by_hand(self) -> list[int]:
        return [one["id"] for one in self.order()["refunds"] if one["note"] == HANDS]

    def moved(self) -> list[Decimal]:
        """The money of each refund that no person made in Shopify."""
        order, hands = self.order(), self.by_hand()
        paid = [one for one in order["transactions"] if one["kind"] == "REFUND" and one["refund"] not in hands]
        return [Decimal(one["amount"]) for one in paid]

    def control(self, path: str, **body: Any) -> None:
        requests.post(f"{self.plugin.store_url}/_sandbox/{path}", json=body, timeout=10).raise_for_status()


# ---------------------------------------------------------------- the stories


@dataclass(frozen=True)
class Story:
    """What happens, and what has to be there in the end besides a run and a ledger that agree."""

    name: str
    goes_on: Callable[[Scene], bool]  # somebody does what is to be done now; True once nothing is
    points: Sequence[str]
    wish: Decimal = Decimal(25)
    fault: str = ""  # what the store does with the first mutation
    missing: Callable[[Scene], list[str]] = lambda scene: []
    work: str = "serve"

    def __str__(self) -> str:
        return self.name


def _presses(action: str) -> Callable[[Scene], bool]:
    """An agent who sees that nothing was written presses again."""

    def goes_on(scene: Scene) -> bool:
        if not scene.runs():
            press(scene.plugin.url, action)
        return scene.known()

    return goes_on


_refunds = _presses(REFUND)


def _decides(scene: Scene) -> bool:
    """Nobody knows whether it was paid, a person refunds in Shopify, and another decides that ours is sent again."""
    known = _refunds(scene)
    found = scene.runs()
    if found and not scene.by_hand():
        scene.control(f"orders/{BASE + ORDER}/refund", amount="5.00", note=HANDS)
    elif scene.in_review():
        decide(scene.plugin.url, found[0].id, "again")
    return known


def _hears(topic: str, payload: dict[str, Any], *, once: Callable[[Scene], bool]) -> Callable[[Scene], bool]:
    """Shopify tells something, and again until it is told that we have it."""

    def goes_on(scene: Scene) -> bool:
        known = _refunds(scene)
        if topic not in scene.heard and once(scene) and deliver(scene.plugin.url, topic, payload):
            scene.heard.add(topic)
        return known and topic in scene.heard

    return goes_on


def _forgets(scene: Scene) -> bool:
    done = _hears("customers/redact", FORGOTTEN, once=Scene.known)(scene)
    return done and not scene.rows(select(privacy_requests.c.id).where(privacy_requests.c.done_at.is_(None)))


def _collects(scene: Scene) -> bool:
    """The command came to its end, which is the end of its process."""
    return scene.plugin.gone() and not scene.plugin.mark.exists()


def _not_told(scene: Scene) -> list[str]:
    kept = scene.rows(select(orders.c.updated_at).where(orders.c.order_id == str(BASE + ORDER)))
    marks = scene.rows(select(webhooks_seen.c.webhook_id))
    return [] if ([one.updated_at for one in kept], len(marks)) == ([CHANGED], 1) else [f"kept {kept}, marked {marks}"]


def _not_forgotten(scene: Scene) -> list[str]:
    box = open_keys(scene.engine, (SECRET,)).box()
    texts = [box.decrypt(row.texts) for row in scene.rows(select(runs.c.texts))]
    kept = scene.rows(select(orders.c.order_id))
    left = [f"{len(text)} bytes of a run" for text in texts if text != b"{}"]
    return [*left, *(f"order {row.order_id}" for row in kept)]


def _not_collected(scene: Scene) -> list[str]:
    there, left = {str(one["id"]) for one in scene.ledger()}, scene.rows(select(backfills.c.store))
    kept = {one.order_id for one in scene.rows(select(orders.c.order_id))}
    return [] if (kept, left) == (there, []) else [f"{len(kept)} of {len(there)} orders, still to do: {left}"]


def _named(*words: str) -> tuple[str, ...]:
    return tuple(one.name for one in Point if one.name.startswith(words))


_OTHERS = (
    Story("refund refused", _refunds, _named("REFUSED"), fault="refused"),
    Story("a person decides", _decides, _named("REVIEW", "DECISION", "ALARM"), fault="502-before"),
    Story("webhook", _hears("orders/updated", TAKEN, once=lambda scene: bool(scene.runs())), _named("WEBHOOK"),
          fault="502-after", missing=_not_told),  # fmt: skip
    Story("customer forgotten", _forgets, _named("REDACTION"), missing=_not_forgotten),
    Story("orders collected", _collects, _named("BACKFILL"), missing=_not_collected, work="collect"),
)
# A doubt and a call that is sent again are met by whoever is killed twice.
_TWICE = _named("DOUBT", "RESEND")
_ONCE = (*WIRE, *(one for one in _named("") if not any(one in some for some in (_TWICE, *(o.points for o in _OTHERS)))))
STORIES = (
    Story("refund", _refunds, _ONCE),
    Story("cancel", _presses(CANCEL), _ONCE, wish=Decimal("67.5")),
    *_OTHERS,
)
