"""What an admin asks of the past: which runs, and what they paid back; always of named stores, always bounded."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from plugin.money import Money


@dataclass(frozen=True)
class Wanted:
    """Which runs. `stores` has no default, so that nobody sees a store by leaving it out."""

    stores: tuple[str, ...]
    since: datetime | None = None
    until: datetime | None = None
    agent_id: str | None = None
    action_id: str | None = None
    open: bool | None = None
    ended: str | None = None


@dataclass(frozen=True)
class Mark:
    """A place in the list of runs, newest first: the next page begins behind it."""

    at: datetime
    run_id: str


@dataclass(frozen=True)
class Paid:
    """What was proved to be paid back on one day by one agent in one currency, in `count` calls."""

    day: str
    agent_id: str
    agent_name: str
    money: Money
    count: int


@dataclass(frozen=True)
class Queue:
    """What waits for the worker and the CRM; ages are those of the longest waiting, None when nothing waits."""

    notes: int
    notes_age: timedelta | None
    orders_late: int
    runs_overdue: int
    runs_age: timedelta | None


@dataclass(frozen=True)
class Health:
    """What a CRM said to one harmless question: what is wrong (None: nothing), its clock as a header tells it,
    and its role groups (None when it does not tell)."""

    problem: str | None
    date: str | None
    groups: frozenset[str] | None = None
