"""A shop, a CRM and a clock in this process, for proofs: the sandbox store without HTTP, and a bad network."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from plugin.commerce.shopify import _data
from plugin.errors import TryLater
from plugin.ports import Reply
from plugin.sandbox.store import schema
from plugin.sandbox.store.cancels import tick
from plugin.sandbox.store.orders import Order
from plugin.sandbox.store.refunds import by_hand
from plugin.sandbox.store.seeds import seed
from plugin.sandbox.store.state import Settings, Store
from plugin.shapes import Identity, Note, StoreInfo
from tests.shared import ROOT
from tests.world import BASE

START = datetime(2100, 1, 4, 12, tzinfo=UTC).timestamp()  # form tokens are dated by it and judged by the real clock
LATE = 300.0
LOST = Reply(None, b"", "cut", "ReadTimeout")
HANDS = "by hand"
READS = ("no answer", "HTTP 502", "THROTTLED", "garbled", "HTML", "data: null", "slow", "a minute old")
SENDS = (
    "not sent", "timeout, not done", "timeout, done", "done late", "502, not done", "502, done", "HTTP 429",
    "THROTTLED", "cut", "garbled", "HTML", "data: null", "slow", "user errors", "key in progress", "delivered twice",
    "keys ignored",
)  # fmt: skip
NOTES = ("not sent", "timeout, not done", "timeout, done", "HTTP 502", "delivered twice")


@dataclass
class Time:
    """The one real time; each process has its own idea of it."""

    at: float = START


@dataclass
class ProcessClock:
    time: Time
    wrong: float = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time.at + self.wrong, UTC)

    def sleep(self, seconds: float) -> None:
        self.time.at += seconds


@lru_cache
def _schema() -> Any:
    return schema.load((ROOT / "schemas/shopify-2026-10.graphql").read_text(encoding="utf-8"))


@dataclass
class Shop:
    """The Commerce socket onto the sandbox store's own rules; `store.orders` is the ledger that judges."""

    info: StoreInfo
    time: Time
    alive: Callable[[], None] = lambda: None
    read_fault: str | None = None
    send_faults: list[str] = field(default_factory=list)
    ignores_keys: bool = False
    late: list[tuple[float, bytes]] = field(default_factory=list)
    known_hands: int = 0
    sent: list[tuple[bytes, int]] = field(default_factory=list)  # with the refunds by hand we had read of

    def __post_init__(self) -> None:
        self.store = Store(settings=Settings(settle_delay=3.0, cancel_delay=1.0), clock=lambda: self.time.at)
        seed(self.store)
        numbers = (1001, 1031)
        self._seeds = {BASE + number: self.store.orders[BASE + number] for number in numbers}
        self._last = self.store.last_id
        self.reset()

    def reset(self) -> None:
        self.time.at = START
        self.store.orders = dict(self._seeds)
        self.store.last_id = self._last
        self.store.keys.clear()
        self.read_fault, self.ignores_keys, self.known_hands = None, False, 0
        for one in (self.send_faults, self.late, self.sent):
            one.clear()

    # ------------------------------------------------------------ the socket

    def stores(self) -> Sequence[StoreInfo]:
        return [self.info]

    def read(self, store: str, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        self.alive()
        fault, self.read_fault = self.read_fault, None
        self._catch_up()
        refunds = [row for one in self.store.orders.values() for row in one.refunds]
        self.known_hands = sum(row.note == HANDS for row in refunds)
        body = json.dumps({"query": document, "variables": variables}).encode()
        data, _ = _data(self._reading(fault, body))
        if data is None:
            raise TryLater("Shopify does not answer just now. Nothing was done; try again in a minute.")
        return data

    def _reading(self, fault: str | None, body: bytes) -> Reply:
        if fault == "a minute old":
            return self._as_it_was(body)
        if fault == "slow":
            self.time.at += 40
        if fault in (None, "slow"):
            return self.run(body)
        if fault == "no answer":
            return LOST
        return _spoken(fault, self.run(body))

    def _as_it_was(self, body: bytes) -> Reply:
        """A replica that lags by the whole life of the run so far, which is at most a minute."""
        young = self.time.at - START <= 60
        now = self.store.orders
        self.store.orders = dict(self._seeds) if young else now
        answer = self.run(body)
        self.store.orders = now
        return answer

    def send(self, store: str, body: bytes) -> Reply:
        self.alive()
        self._catch_up()
        self.sent.append((body, self.known_hands))
        fault = self.send_faults.pop(0) if self.send_faults else None
        self.ignores_keys |= fault == "keys ignored"
        if fault is None:
            return self.run(body)
        if fault in ("not sent", "timeout, not done"):
            return Reply(None, b"", "not_sent" if fault == "not sent" else "cut", fault)
        if fault == "done late":
            self.late.append((self.time.at + LATE, body))
            return LOST
        if fault in ("502, not done", "HTTP 429", "THROTTLED", "HTML", "user errors", "key in progress"):
            return _spoken(fault, None)
        if fault == "slow":
            self.time.at += 40
        answer = self.run(body)
        if fault == "delivered twice":
            self.run(body)
        return answer if fault in ("delivered twice", "slow") else _spoken(fault, answer)

    def run(self, body: bytes) -> Reply:
        """One request as the store carries it out."""
        if self.ignores_keys:
            self.store.keys.clear()
        asked = json.loads(body)
        document, wrong = schema.read(_schema(), asked["query"])
        assert document is not None and not wrong, wrong
        made = schema.run(self.store, _schema(), document, asked["variables"], None)
        return Reply(200, json.dumps(made).encode(), None, "")

    def _catch_up(self) -> None:
        """What was delayed on its way arrives when its time has come, and never twice."""
        due = [one for one in self.late if one[0] <= self.time.at]
        self.late = [one for one in self.late if one[0] > self.time.at]
        for _, body in due:
            self.run(body)
        with self.store.lock:
            tick(self.store)

    # ------------------------------------------------------------ the world

    def pass_by(self, seconds: float) -> None:
        self.time.at += seconds
        self._catch_up()

    def refund_by_hand(self, number: int, amount: str) -> None:
        with self.store.lock:
            by_hand(self.store, self.order(number), Decimal(amount), HANDS)

    def order(self, number: int) -> Order:
        return self.store.orders[BASE + number]

    def moved(self, number: int) -> list[Decimal]:
        """The money of each refund that no person made in Shopify."""
        one = self.order(number)
        ours = [refund.id for refund in one.refunds if refund.note != HANDS]
        sums = [sum((row.amount.shown for row in one.payments if row.refund == made), Decimal(0)) for made in ours]
        return [amount for amount in sums if amount > 0]


def _spoken(fault: str, answer: Reply | None) -> Reply:
    """The faults that are answers."""
    body = answer.body if answer else b""
    table = {
        "timeout, done": LOST,
        "keys ignored": LOST,
        "cut": Reply(None, b"", "cut", "ChunkedEncodingError"),
        "garbled": Reply(200, body[: len(body) // 2], None, ""),
        "HTTP 429": Reply(429, b"{}", None, ""),
        "HTML": Reply(200, b"<!doctype html><p>Something went wrong.", None, ""),
        "data: null": _json({"data": None, "errors": [_error("Internal error", "INTERNAL_SERVER_ERROR")]}),
        "THROTTLED": _json({"errors": [_error("Throttled", "THROTTLED")]}),
    }
    if fault in ("user errors", "key in progress"):
        busy = "This request is currently in progress, please try again."
        return _refusal(busy if fault == "key in progress" else "Refund amount is greater than net payment received")
    return table.get(fault, Reply(502, b"", None, ""))


def _error(message: str, code: str) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": code}}


def _json(answer: Any) -> Reply:
    return Reply(200, json.dumps(answer).encode(), None, "")


def _refusal(message: str) -> Reply:
    errors = [{"field": None, "message": message, "code": "INVALID"}]
    empty = {"refund": None, "job": None, "jobResult": None, "order": None}
    payload = {**empty, "userErrors": errors, "orderCancelUserErrors": errors}
    return _json({"data": {"refundCreate": payload, "orderCancel": payload}})


@dataclass
class Desk:
    """The Host socket; shows one note for each id, as a CRM that dedupes by it does."""

    keeps_orders = False

    alive: Callable[[], None] = lambda: None
    faults: list[str] = field(default_factory=list)
    shown: dict[str, str] = field(default_factory=dict)

    def identify(self, token: str, count: Any = None) -> Identity:
        raise NotImplementedError  # sessions are made by the proof itself

    def post_note(self, note: Note) -> None:
        self.alive()
        fault = self.faults.pop(0) if self.faults else None
        if fault not in ("not sent", "timeout, not done"):
            assert self.shown.setdefault(note.id, note.body) == note.body
        if fault not in (None, "delivered twice"):
            raise TryLater("The CRM does not answer.")


def with_settings(info: StoreInfo, **settings: Any) -> StoreInfo:
    return replace(info, settings={**info.settings, **settings})
