"""A fake Shopify of one order: keys, jobs, late execution, stale reads; driven by the seed."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any

from plugin.ports import Reply
from tests.proofs.sim.clock import Hub
from tests.proofs.sim.ledger import PAID, Books, Refund, shown, text

KEY_LIFE = 24 * 3600.0
BUSY = "This request is currently in progress, please try again."
OTHER = "The same idempotency key cannot be used with different operation parameters."
FAILED_BEFORE = "The previous attempt with this key failed. Retry with a new idempotency key."
ALREADY = "Cannot cancel an order that has already been canceled"


@dataclass
class Rules:
    """How this store behaves, drawn once for each seed."""

    keys: bool = True
    refusals_kept: bool = False
    lag: float = 0.0
    job_seconds: float = 2.0
    jobs_fail: float = 0.1
    job_result: bool = True
    pending: float = 0.3
    money_fails: float = 0.15


@dataclass
class Key:
    at: float
    body: bytes
    refund: str | None = None
    failed: bool = False


@dataclass
class Job:
    id: str
    status: str = "STARTED"
    errors: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def parsed(body: bytes) -> tuple[str, Mapping[str, Any]]:
    document = json.loads(body)
    root = "refundCreate" if "refundCreate(" in document["query"] else "orderCancel"
    return root, document["variables"]


class Shop:
    """`changed` is told each version of the books: the oracle looks at every one of them."""

    def __init__(self, hub: Hub, rng: Random, rules: Rules, changed: Callable[[Books], None]) -> None:
        self.hub, self.rng, self.rules, self.changed = hub, rng, rules, changed
        self.history: list[tuple[float, Books]] = [(float("-inf"), Books())]
        self.keys: dict[str, Key] = {}
        self.jobs: dict[str, Job] = {}
        self._ids = 0

    @property
    def books(self) -> Books:
        return self.history[-1][1]

    def read(self, lag: float) -> Books:
        """The books as they were `lag` seconds ago."""
        return next(books for at, books in reversed(self.history) if at <= self.hub.now - lag)

    def put(self, books: Books) -> None:
        self.history.append((self.hub.now, books))
        self.changed(books)

    def new_id(self, kind: str) -> str:
        self._ids += 1
        return f"gid://shopify/{kind}/{900000 + self._ids}"

    # ------------------------------------------------------------ mutations

    def execute(self, body: bytes) -> Reply:
        """Carry one delivered request out now, and answer it."""
        root, given = parsed(body)
        payload = self._refund(body, given) if root == "refundCreate" else self._cancel(given)
        return Reply(200, json.dumps({"data": {root: payload}}).encode(), None, "")

    def later(self, body: bytes, seconds: float) -> None:
        """Carry it out when the caller is long gone; from its arrival on the key may be busy."""
        root, given = parsed(body)
        key = given.get("key", "")
        if root == "refundCreate" and self.rules.keys and key not in self.keys and self.rng.random() < 0.5:
            busy = self.keys[key] = Key(self.hub.now, body)

            def land() -> None:
                if self.keys.get(key) is busy:
                    del self.keys[key]
                self.execute(body)

            self.hub.after(seconds, land)
        else:
            self.hub.after(seconds, lambda: self.execute(body))

    def _refund(self, body: bytes, given: Mapping[str, Any]) -> dict[str, Any]:
        key, used = given["key"], self.keys.get(given["key"])
        if self.rules.keys and used is not None and self.hub.now - used.at < KEY_LIFE:
            return self._again(used, body)
        refused = self._refusal(given["input"])
        if refused:
            if self.rules.refusals_kept:
                self.keys[key] = Key(self.hub.now, body, failed=True)
            return _said(refused)
        made = self._write(given["input"])
        self.keys[key] = Key(self.hub.now, body, made.id)
        return self._proof(made.id)

    def _again(self, used: Key, body: bytes) -> dict[str, Any]:
        if used.body != body:
            return _said(OTHER)
        if used.failed:
            return _said(FAILED_BEFORE)
        return _said(BUSY) if used.refund is None else self._proof(used.refund)

    def _proof(self, refund_id: str) -> dict[str, Any]:
        books = self.books
        one = next(each for each in books.refunds if each.id == refund_id)
        amount = {"presentmentMoney": {"amount": text(one.cents), "currencyCode": "USD"}}
        rows = {"nodes": [{"id": f"{one.id}/t", "status": one.status}]}
        refund = {"id": one.id, "totalRefundedSet": amount, "transactions": rows}
        return {"refund": refund, "order": shown(books) if self.rng.random() < 0.8 else None, "userErrors": []}

    def _refusal(self, given: Mapping[str, Any]) -> str | None:
        asked, net = _cents(given), PAID - self.books.refunded
        if asked > net:
            return f"Refund amount ${text(asked)} is greater than net payment received ${text(net)}"
        if any(units > self.books.left[line][0] for line, units, _ in _lines(given)):
            return "Quantity cannot refund more items than were purchased"
        return None

    def _write(self, given: Mapping[str, Any]) -> Refund:
        left = list(self.books.left)
        for line, units, restock in _lines(given):
            refundable, waiting = left[line]
            left[line] = (refundable - units, waiting - units if restock == "CANCEL" else waiting)
        made = self._paid(_cents(given), given.get("note") or "")
        self.put(replace(self.books, refunds=(*self.books.refunds, made), left=tuple(left)))
        return made

    def _paid(self, cents: int, note: str, by: str | None = None) -> Refund:
        slow = self.rng.random() < self.rules.pending
        made = Refund(self.new_id("Refund"), note, cents, "PENDING" if slow else "SUCCESS", by)
        if slow:
            end = "FAILURE" if self.rng.random() < self.rules.money_fails else "SUCCESS"
            self.hub.after(self.rng.choice((2, 60, 3600, 40000)), lambda: self.put(self.books.settled(made.id, end)))
        return made

    def _cancel(self, given: Mapping[str, Any]) -> dict[str, Any]:
        refused = ALREADY if self.books.cancelled else None
        if any(job.status == "STARTED" for job in self.jobs.values()):
            refused = "Cancellation is already in progress"
        if refused:
            return {
                "job": None, "jobResult": None,
                "orderCancelUserErrors": [{"field": ["orderId"], "message": refused, "code": "INVALID"}],
            }  # fmt: skip
        job = Job(self.new_id("OrderCancelJobResult"))
        self.jobs[job.id] = job
        self.hub.after(self.rng.uniform(0.2, self.rules.job_seconds), lambda: self._finish(job, given))
        shown_job = {"id": job.id, "done": False, "status": "STARTED", "errors": []}
        result = shown_job if self.rules.job_result else None
        return {"job": {"id": f"{job.id}/job", "done": False}, "jobResult": result, "orderCancelUserErrors": []}

    def _finish(self, job: Job, given: Mapping[str, Any]) -> None:
        if self.books.cancelled or self.rng.random() < self.rules.jobs_fail:
            job.status, job.errors = "FAILED", (ALREADY if self.books.cancelled else "Something went wrong",)
            return
        job.status = "SUCCEEDED"
        self.cancel(given.get("staffNote") or "", bool(given.get("refundMethod")), job.id)

    def node(self, job_id: str, lag: float) -> dict[str, Any] | None:
        job = self.jobs.get(job_id)
        if job is None:
            return None
        errors = [{"field": None, "message": said, "code": "INVALID"} for said in job.errors]
        done = job.status != "STARTED"
        return {
            "id": job.id, "done": done, "status": job.status, "errors": errors, "order": shown(self.read(lag)),
        }  # fmt: skip

    # ------------------------------------------------------------ people in Shopify's own admin

    def cancel(self, staff_note: str, with_refund: bool, by: str) -> None:
        rest, books = PAID - self.books.refunded, self.books
        restocked = Refund(self.new_id("Refund"), "Order canceled", 0, "SUCCESS", by)
        made = (self._paid(rest, "Order canceled", by) if with_refund and rest else restocked,)
        left = tuple((refundable, 0) for refundable, _ in books.left)
        moment = self.hub.moment().strftime("2026-11-23T12:00:00Z")
        self.put(Books((*books.refunds, *made), moment, staff_note, left))

    def by_hand(self, cents: int) -> bool:
        if cents > PAID - self.books.refunded:
            return False
        made = self._paid(cents, "by hand", "human")
        self.put(replace(self.books, refunds=(*self.books.refunds, made)))
        return True


def _said(message: str) -> dict[str, Any]:
    return {"refund": None, "order": None, "userErrors": [{"field": None, "message": message}]}


def _cents(given: Mapping[str, Any]) -> int:
    return sum(int(row["amount"].replace(".", "")) for row in given.get("transactions") or ())


def _lines(given: Mapping[str, Any]) -> list[tuple[int, int, str]]:
    rows = given.get("refundLineItems") or ()
    return [(int(row["lineItemId"][-3:]) - 1, row["quantity"], row["restockType"]) for row in rows]
