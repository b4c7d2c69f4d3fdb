"""What an admin reads of the past: runs by filters, page by page or as CSV, and what was paid back."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from plugin import views
from plugin.errors import LookAgain, NothingHere
from plugin.filters import label
from plugin.money import Money, total
from plugin.operations import OPERATIONS
from plugin.oversight import Mark, Paid, Wanted
from plugin.ports import Tools
from plugin.shapes import Run, Step, StepState
from plugin.telling import refunds_of

PAGE, AT_ONCE = 50, 500
MOST_ROWS = 10_000  # of a CSV
MOST_DAYS, USUAL_DAYS = 92, 30  # of what was paid back
MOST_REASONS = 2_000  # runs whose reasons are read, the newest
COLUMNS = (
    "run", "begun", "store", "order", "action", "agent id", "agent", "door", "state", "currency", "amount",
    "references",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full width works in a sheet too


_CHOSEN = re.compile("[A-Z]+(_[A-Z]+)*")  # one of Shopify's reasons, not a sentence


@dataclass(frozen=True)
class Query:
    """What was asked for, as it stands in an address; empty or None: all."""

    state: str = ""
    store: str = ""
    agent: str = ""
    action: str = ""
    first: date | None = None
    last: date | None = None
    after: Mark | None = None

    def address(self, path: str, **changes: Any) -> str:
        """The same with these words changed; a page always begins anew."""
        one = replace(self, **{"after": None, **changes})
        after = f"{one.after.at.isoformat()}~{one.after.run_id}" if one.after else ""
        words = {
            "state": one.state, "store": one.store, "agent": one.agent, "action": one.action,
            "first": one.first.isoformat() if one.first else "", "last": one.last.isoformat() if one.last else "",
            "after": after,
        }  # fmt: skip
        told = {name: value for name, value in words.items() if value}
        return f"{path}?{urlencode(told)}" if told else path


def asked(words: Mapping[str, str]) -> Query:
    """Raises LookAgain for what is no state or day, so that nobody reads another list than he asked for."""
    state = words.get("state", "")
    if state and state not in views.TITLES:
        raise LookAgain(f"There is no state {state[:20]!r}.")
    first, last = _day(words.get("first", "")), _day(words.get("last", ""))
    if first and last and last < first:
        raise LookAgain("The last day is before the first.")
    plain = {name: words.get(name, "")[:255] for name in ("store", "agent", "action")}
    return Query(state=state, first=first, last=last, after=_mark(words.get("after", "")), **plain)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise LookAgain(f"{text[:20]!r} is no day; write it like 2026-11-24.") from error


def _mark(text: str) -> Mark | None:
    if not text:
        return None
    at, _, run_id = text.partition("~")
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise LookAgain("This page is not there any more.") from error
    return Mark(moment if moment.tzinfo else moment.replace(tzinfo=UTC), run_id)


def wanted(query: Query, own: Sequence[str]) -> Wanted:
    """Only ever of one's own stores. Raises NothingHere."""
    if query.store and query.store not in own:
        raise NothingHere("There is no such store here.")
    return Wanted(
        stores=(query.store,) if query.store else tuple(own),
        since=datetime.combine(query.first, time(), UTC) if query.first else None,
        until=datetime.combine(query.last + timedelta(days=1), time(), UTC) if query.last else None,
        agent_id=query.agent or None,
        action_id=query.action or None,
        open=query.state in views.OPEN_STATES if query.state else None,
        ended=query.state if query.state and query.state not in views.OPEN_STATES else None,
    )


# ---------------------------------------------------------------- runs


def runs(tools: Tools, query: Query, own: Sequence[str], size: int = AT_ONCE) -> Iterator[Run]:
    """Newest first. The states of open runs are no column: they are told apart here."""
    which, mark, now = wanted(query, own), query.after, tools.clock.now()
    while page := tools.watch.page(which, mark, size):
        yield from (one for one in page if not query.state or views.run_state(one, now) == query.state)
        mark = Mark(page[-1].created_at, page[-1].id)
        if len(page) < size:
            return


def one_page(tools: Tools, query: Query, own: Sequence[str]) -> tuple[list[Run], Mark | None]:
    """A page, and where the next one begins if there is one."""
    found = list(islice(runs(tools, query, own, PAGE + 1), PAGE + 1))
    if len(found) <= PAGE:
        return found, None
    return found[:PAGE], Mark(found[PAGE - 1].created_at, found[PAGE - 1].id)


def moved(run: Run) -> Money | None:
    """The money its calls were to move; None when there was none."""
    amounts = [step.moves for step in run.steps if step.moves > 0]
    return total(amounts, amounts[0].currency) if amounts else None


def as_csv(tools: Tools, query: Query, own: Sequence[str]) -> tuple[str, int]:
    """The newest rows of the list, and how many; a spreadsheet takes no cell for a formula."""
    now, text = tools.clock.now(), io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    count = 0
    for run in islice(runs(tools, query, own), MOST_ROWS):
        writer.writerow(harmless(str(one)) for one in _row(run, views.run_state(run, now)))
        count += 1
    return text.getvalue(), count


def _row(run: Run, state: str) -> tuple[object, ...]:
    money = moved(run)
    return (
        run.id, run.created_at.isoformat(timespec="seconds"), run.place.store, run.facts["name"], run.action_id,
        run.agent_id, run.agent_name, run.door, state, money.currency if money else "", money.plain() if money else "",
        " ".join(step.marker for step in run.steps),
    )  # fmt: skip


def harmless(text: str) -> str:
    """What a spreadsheet would work out gets a quote before it."""
    return f"'{text}" if text.startswith(FORMULA) else text


# ---------------------------------------------------------------- what was paid back


@dataclass(frozen=True)
class Sum:
    """One line of a report: money of one currency, never of two."""

    key: str
    name: str
    money: Money
    count: int


def span(query: Query, today: date) -> Query:
    """The asked days, else the last thirty; at most three months, as a chart shows no more."""
    last = query.last or (query.first + timedelta(days=USUAL_DAYS - 1) if query.first else today)
    first = query.first or last - timedelta(days=USUAL_DAYS - 1)
    return replace(query, first=max(first, last - timedelta(days=MOST_DAYS - 1)), last=last)


def paid(tools: Tools, which: Wanted) -> list[Paid]:
    """What was proved to be paid back; where a person took a refund as ours, its real amount counts."""
    rows = list(tools.watch.paid(which))
    for run in tools.watch.taken(which):
        day = run.created_at.date().isoformat()
        rows += [Paid(day, run.agent_id, run.agent_name, one, 1) for one in _really(run) if one > 0]
    return rows


def _really(run: Run) -> list[Money]:
    if any(step.state is not StepState.SETTLED for step in run.steps if step.moves > 0):
        return []
    return [one["amount"] for one in refunds_of(run)] or [step.moves for step in run.steps]


def by_day(rows: Sequence[Paid]) -> list[Sum]:
    return _summed([Sum(one.day, one.day, one.money, one.count) for one in rows])


def by_agent(rows: Sequence[Paid]) -> list[Sum]:
    found = _summed([Sum(one.agent_id, one.agent_name, one.money, one.count) for one in rows])
    return sorted(found, key=lambda one: (-one.count, one.name, one.money.currency))


def by_reason(tools: Tools, query: Query, own: Sequence[str]) -> tuple[list[Sum], bool]:
    """Reasons of the newest runs, as chosen or written, and whether there were more runs than were read."""
    found = list(islice(runs(tools, query, own), MOST_REASONS + 1))
    rows = [
        Sum(reason.casefold(), reason, money, 1)
        for run in found[:MOST_REASONS]
        for reason in [reason_of(run)]
        for money in _really(run)
        if money > 0
    ]
    ordered = sorted(_summed(rows), key=lambda one: (-one.count, one.name, one.money.currency))
    return ordered[:PAGE], len(found) > MOST_REASONS


def _summed(rows: Sequence[Sum]) -> list[Sum]:
    found: dict[tuple[str, str], Sum] = {}
    for one in rows:
        key = (one.key, one.money.currency)
        old = found.get(key)
        found[key] = replace(old, money=old.money + one.money, count=old.count + one.count) if old else one
    return [found[key] for key in sorted(found)]


def reason_of(run: Run) -> str:
    """Of the first call that has one."""
    return next((reason for step in run.steps if (reason := _reason(step))), "None given")


def _reason(step: Step) -> str:
    """As it was sent, without our reference. What was redacted is gone."""
    try:
        value = json.loads(step.body)["variables"]
    except (ValueError, KeyError):
        return "Redacted"
    path = OPERATIONS[step.root].reason if step.root in OPERATIONS else ()
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    text = " ".join(str(value or "").replace(step.marker, "").split()) if path else ""
    return label(text) if _CHOSEN.fullmatch(text) else text
