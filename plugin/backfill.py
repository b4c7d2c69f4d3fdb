"""Orders from before the webhooks, brought in by a bulk operation of Shopify: asked for once, then read line by line.

What a kill leaves behind is the operation and how far its result was read; the next call goes on from there.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from plugin.errors import FixTheSetup, TryLater
from plugin.phones import e164
from plugin.ports import Gone, Tools
from plugin.reading import HEADER, header, place_of
from plugin.shapes import Backfill, StoreInfo
from plugin.views import limited

EXPORT = "{ orders(query: \"created_at:>='%sT00:00:00Z'\") { edges { node { %s } } } }"
RUN = """mutation Backfill($query: String!) {
  bulkOperationRunQuery(query: $query) { bulkOperation { id } userErrors { message code } }
}"""
LOOK = "query Backfilled($id: ID!) { bulkOperation(id: $id) { id status errorCode objectCount url } }"
PAUSE = 2.0  # seconds between two looks at an operation
STRIDE = 200  # lines after which it is written down how far we are
OVER = {"CANCELED", "EXPIRED"}  # nothing is left of it: another is asked for
AGAIN = "Run the same command again; what was brought in stays."
FAILED = {
    "ACCESS_DENIED": "the app may not read orders with e-mail and phone; see docs/admins.md",
    "TIMEOUT": "it took too long; begin with a later --since",
}


@dataclass(frozen=True)
class Result:
    """A finished operation: where its lines are (None: there are none), and how many."""

    kept: Backfill
    url: str | None
    count: int


@dataclass
class Report:
    """`newer` were put into our tables, `known` were there as new; `unread` lines were no order."""

    newer: int = 0
    known: int = 0
    unread: int = 0


def warning(store: StoreInfo, since: date, today: date) -> str | None:
    """What of the wish the store will not give, in words."""
    return limited([store]) if today - since > timedelta(days=60) else None


def collect(tools: Tools, store: str, since: date, say: Callable[[int], None] = lambda count: None) -> Result:
    """Ask Shopify for the orders since that day, or go on with what was asked before, and wait until they lie ready.

    `say` hears how many there are so far. Raises FixTheSetup, TryLater.
    """
    kept = tools.orders.backfill(store)
    if kept is None or kept.since != since.isoformat():
        kept = _ask(tools, store, since)
    while True:
        found = tools.commerce.read(store, LOOK, {"id": kept.operation})["bulkOperation"]
        if found is None or found["status"] in OVER:
            kept = _ask(tools, store, since)
            continue
        if found["status"] == "FAILED":
            tools.orders.keep_backfill(store, None)
            why = FAILED.get(found["errorCode"], "it ended with an error of Shopify's own")
            raise FixTheSetup(f"Shopify could not collect the orders: {why}. {AGAIN}")
        if found["status"] == "COMPLETED":
            return Result(kept, found["url"], int(found["objectCount"]))
        say(int(found["objectCount"]))
        tools.clock.sleep(PAUSE)


def _ask(tools: Tools, store: str, since: date) -> Backfill:
    """A kill right after the answer leaves an operation nobody looks at; it changes nothing, and ends by itself."""
    query = EXPORT % (since.isoformat(), " ".join(HEADER.split()))
    answer = tools.commerce.read(store, RUN, {"query": query})["bulkOperationRunQuery"]
    if answer["bulkOperation"] is None:
        said = "; ".join(str(one["message"]) for one in answer["userErrors"])
        if any(one["code"] == "OPERATION_IN_PROGRESS" for one in answer["userErrors"]):
            raise TryLater(f"Shopify still collects something else for this app ({said}). Try again later.")
        raise FixTheSetup(f"Shopify does not collect the orders: {said}")
    kept = Backfill(since.isoformat(), answer["bulkOperation"]["id"], 0)
    tools.orders.keep_backfill(store, kept)
    return kept


def bring_in(tools: Tools, store: str, result: Result, say: Callable[[int], None] = lambda line: None) -> Report:
    """Read every line that was not read before, newer wins; `say` hears the line. Raises FixTheSetup, TryLater."""
    report, kept, number = Report(), result.kept, 0
    try:
        for number, line in enumerate(_lines(tools, store, result), 1):
            if number > kept.lines:
                _take(tools, store, line, report)
                if number % STRIDE == 0:
                    tools.orders.keep_backfill(store, replace(kept, lines=number))
            say(number)
    except Gone as error:
        tools.orders.keep_backfill(store, None)
        raise TryLater(f"Shopify no longer has what it collected. {AGAIN}") from error
    if number < result.count:
        raise TryLater(f"Shopify's answer broke off after {number} of {result.count} lines. {AGAIN}")
    tools.orders.keep_backfill(store, None)
    return report


def _lines(tools: Tools, store: str, result: Result) -> Iterator[bytes]:
    return tools.commerce.export(store, result.url) if result.url else iter(())


def _take(tools: Tools, store: str, line: bytes, report: Report) -> None:
    try:
        row = json.loads(line)
        if "__parentId" in row:  # a part of an order before it: the header has none
            return
        place, email, phone, facts = place_of(store, row), row["email"] or "", e164(row["phone"] or ""), header(row)
        taken = tools.orders.put_header(place, email, facts, webhook=None, phone=phone)
    except (ValueError, KeyError, TypeError, AttributeError):
        report.unread += 1
        return
    if not taken:
        report.known += 1
        return
    report.newer += 1
    if tools.host.keeps_orders and (email or phone):
        tools.crm.owe(place, email or phone, tools.clock.now())
