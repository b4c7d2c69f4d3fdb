"""The background of an installation: what one duty waits for keeps no other waiting."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from plugin.errors import SignInAgain, TryLater
from plugin.oversight import Health
from plugin.shapes import Identity, Note, OrderRow
from plugin.worker import Worker
from tests.world import REFUND, World, outcome, with_settings


@dataclass
class Hanging:
    """A CRM that takes what it is given, and answers nobody until it is let go."""

    keeps_orders: bool = True
    taken: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def identify(self, token: str, count: object = None) -> Identity:
        raise SignInAgain("It does not answer.")

    def post_note(self, note: Note) -> None:
        self.taken.set()
        self.let_go.wait()
        raise TryLater("It did not answer.")

    def put_order(self, row: OrderRow, email: str, store_name: str) -> None:
        self.let_go.wait()

    def health(self) -> Health:
        return Health("It does not answer.", None)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.02)


def test_a_doubt_is_looked_at_while_the_crm_hangs(shop: World) -> None:
    with_settings(shop, settle_time=0)
    outcome(shop.act(1001, REFUND, lines=["1", "0"]))
    crm = Hanging()
    worker = Worker(replace(shop.app, tools=replace(shop.tools, host=crm)), pause=0.02)
    worker.start()
    try:
        assert crm.taken.wait(30), "the note of the first refund"
        shop.fault("502-before", on="refundCreate")
        assert outcome(shop.act(1003, REFUND, lines=["1"]))["state"] == "doubt"
        until(lambda: not shop.tools.runs.open_runs())
    finally:
        crm.let_go.set()
        worker.stop()
    assert [len(shop.ledger(number)["refunds"]) for number in (1001, 1003)] == [1, 1]
