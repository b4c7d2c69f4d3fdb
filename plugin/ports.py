"""The sockets: what the program needs of a shop, a CRM and a database, and what each must promise."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from plugin.bundle import Bundle
from plugin.documents import OrderQuery
from plugin.errors import NothingHere
from plugin.metrics import Figures
from plugin.money import Money
from plugin.oversight import Health, Mark, Paid, Queue, Wanted
from plugin.pace import Pace
from plugin.ports_crm import Crm
from plugin.shapes import (
    Backfill,
    Customer,
    Identity,
    Note,
    OrderRow,
    Place,
    Plan,
    Resolution,
    Run,
    Step,
    StepState,
    StoreInfo,
)


@dataclass(frozen=True)
class Reply:
    """What came back for one call, unjudged.

    `fault` is None for an HTTP answer, `not_sent` when the request provably never left (refused, no
    name, no TLS), else `cut`: anything may have happened. `date` is the shop's clock, as the header tells it.
    """

    status: int | None
    body: bytes
    fault: str | None
    detail: str
    date: str | None = None


class Commerce(Protocol):
    """A shop's Admin API."""

    def read(self, store: str, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The `data` of a query; retried on throttling. Raises TryLater, FixTheSetup."""
        ...

    def send(self, store: str, body: bytes) -> Reply:
        """Send one mutation once, these exact bytes; never raises for what the network does."""
        ...

    def ask(self, store: str, document: str) -> Reply:
        """One query, once, unjudged: for whoever looks after the connection."""
        ...

    def export(self, store: str, url: str) -> Iterator[bytes]:
        """The lines of a bulk operation's result. Raises Gone, FixTheSetup for an address not Shopify's, TryLater."""
        ...

    def stores(self) -> Sequence[StoreInfo]: ...


class Gone(Exception):
    """What Shopify collected is not there any more; it keeps it for seven days."""


class Host(Protocol):
    """A CRM. `keeps_orders`: it has a place for orders on its timeline, filled by `put_order`."""

    keeps_orders: bool

    def identify(self, token: str, count: Callable[[str], None] = ...) -> Identity:
        """Who holds this token and which customer is shown; `count` hears the agent, before the CRM is asked.

        Raises SignInAgain on any doubt, TryLater when the CRM cannot be asked.
        """
        ...

    def post_note(self, note: Note) -> None:
        """Write the note once for its id. Raises TryLater when it must be tried again."""
        ...

    def put_order(self, row: OrderRow, email: str, store_name: str) -> None:
        """Show the order as it stands on the timeline of the customer with this e-mail, or phone; safe to repeat.

        Raises TryLater when it must be tried again.
        """
        ...

    def health(self) -> Health: ...


@dataclass(frozen=True)
class NewRun:
    """All that is committed before the first call."""

    plan: Plan
    place: Place
    agent_id: str
    agent_name: str
    customer_id: str
    conversation: str | None
    door: str
    read_at: datetime
    facts: Mapping[str, Any]
    texts: Mapping[str, Any]
    pace: Pace | None = None  # None: payments are not counted


@dataclass(frozen=True)
class Doubt:
    """A step of an open run whose fate nobody knows: `since` is its first send."""

    run_id: str
    position: int
    store: str
    state: StepState
    since: datetime
    error: str


class Runs(Protocol):
    """Tables `runs`, `steps` and `outbox`. Every method is one committed transaction.

    A run that cannot be read raises Unreadable where it was asked for, or its order; lists leave it out.
    """

    def begin(self, new: NewRun, now: datetime) -> Run | None:
        """Write run and steps as `intent`. None when the same form wrote them before: nothing is begun anew.

        Raises WaitForRun when another run is open on the order (a unique index, not a look), LookAgain
        when one was closed after `read_at`: what the form was judged by may be old; AskAnAdmin when an alarm
        stops the store's or the agent's refunds, or this run would be too much (the alarm is committed then);
        TryLater when the database is held up.
        """
        ...

    def run(self, run_id: str) -> Run | None: ...

    def open_run(self, place: Place) -> Run | None: ...

    def runs_of(self, place: Place) -> Sequence[Run]: ...

    def open_runs(self) -> Sequence[Run]: ...

    def open_places(self) -> Mapping[Place, bool]:
        """Orders with an open run, and whether a person must decide about it: for cards, which come often."""
        ...

    def newest(self, count: int) -> Sequence[Run]: ...

    def moved(self, agent_id: str, place: Place) -> tuple[tuple[Money, ...], tuple[Money, ...]]:
        """Amounts that the agent's steps moved or may have moved: in the order's, the store's currency."""
        ...

    def claim(self, run_id: str, owner: str, now: datetime, seconds: float) -> int | None:
        """Take the lease if it is free or ended; its epoch, or None. Only this epoch may write then."""
        ...

    def release(self, run_id: str, epoch: int) -> None: ...

    def sending(self, step: Step, epoch: int, now: datetime) -> None:
        """Commit that the step is about to be sent. Raises LostLease."""
        ...

    def record(
        self, step: Step, epoch: int, state: StepState, *, receipt: Mapping[str, Any] | None = None,
        error: str | None = None, error_field: str | None = None,
    ) -> None:  # fmt: skip
        """Commit what is known of the step. Raises LostLease."""
        ...

    def resolve(self, resolution: Resolution, epoch: int) -> None:
        """Commit what a person decided, before it is carried out; never edited. Raises LostLease."""
        ...

    def close(self, run_id: str, epoch: int, outcome: Mapping[str, Any], note: Note | None, now: datetime) -> None:
        """Close the run, with its note in the outbox, in one transaction; steps never sent are failed.

        Raises LostLease.
        """
        ...

    # The schedule of looking at open runs, shared by all workers.

    def due_runs(self, now: datetime) -> Sequence[Run]:
        """Open runs whose time has come and that nobody holds, the longest due first; a new run is due at once."""
        ...

    def look_later(self, run_id: str, now: datetime, at: datetime) -> bool:
        """Move the next look of a due run to `at`. True for one worker only, which looks now."""
        ...

    def unreadable(self, now: datetime) -> Sequence[Doubt]:
        """Open runs that `due_runs` had to leave out."""
        ...

    def wake(self, place: Place, now: datetime) -> None:
        """Make the order's open run due at once: something about the order was heard."""
        ...

    def redact(self, run_id: str) -> bool:
        """Replace what was sent by its hash, and drop texts and note, of a closed run whose note is delivered.

        False, and nothing changed, for any other run. The only change of something sent that the schema allows.
        """
        ...

    # The outbox.

    def due_notes(self, now: datetime) -> Sequence[tuple[Note, int]]:
        """Take a few notes that are due, with how often each was tried; no other worker gets them for two minutes."""
        ...

    def note_sent(self, note_id: str) -> None: ...

    def note_later(self, note_id: str, attempts: int, at: datetime) -> None: ...


class Unreadable(ValueError):
    """A run's row is not what was written, or is sealed with a secret we do not have: nothing may follow from it."""


class LostLease(Exception):
    """Another worker holds the run now; what we know may be old, so nothing is written."""


class Orders(Protocol):
    """Tables `orders`, `backfills`, `customers_seen` and `webhooks_seen`."""

    def order(self, place: Place) -> OrderRow | None: ...

    def orders_of(self, customer: Customer, *, whole: bool = False) -> Sequence[OrderRow]:
        """Newest first, by the rule of `Customer.bought`; without their snapshots unless `whole`."""
        ...

    def owns(self, row: OrderRow, customer: Customer) -> bool: ...

    def listed_at(self, store: str, email: str) -> datetime | None: ...

    def mark_listed(self, store: str, email: str, now: datetime) -> None: ...

    def put_header(
        self, place: Place, email: str, header: Mapping[str, Any], *, webhook: datetime | None, phone: str = ""
    ) -> bool:  # fmt: skip
        """Insert, or replace what is older by `updatedAt`; an update heals a legacy order. True if taken."""
        ...

    def put_snapshot(self, place: Place, snapshot: Mapping[str, Any], now: datetime) -> None:
        """Keep the whole order, encrypted; its header must have been put before."""
        ...

    def make_old(self, place: Place, now: datetime) -> None:
        """Something of this order changed: its snapshot is not fresh any more."""
        ...

    def put_legacy(self, place: Place, email: str, header: Mapping[str, Any], *, phone: str = "") -> bool:
        """Insert what an older app knew of an order; an order that is known stays as it is. True if taken."""
        ...

    def backfill(self, store: str) -> Backfill | None:
        """The one that was begun and not finished."""
        ...

    def keep_backfill(self, store: str, kept: Backfill | None) -> None:
        """How far it is; None when it is finished, or cannot go on."""
        ...

    def webhook_seen(self, store: str, webhook_id: str, topic: str) -> bool: ...

    def mark_webhook(self, store: str, webhook_id: str, topic: str, now: datetime) -> None:
        """After its effect: a delivery that failed half-way is taken again."""
        ...


class AlarmKind(StrEnum):
    PACE = "pace"
    DOUBT = "doubt"
    TWICE = "twice"
    KEY = "key"
    LATE = "late"
    RESTORED = "restored"
    UNREADABLE = "unreadable"


EVERY_STORE = "*"  # instead of a store's domain in an alarm


@dataclass(frozen=True)
class Alarm:
    """A row of `alarms`. PACE belongs to a store, or one agent of it; RESTORED to every store; the others to a step."""

    id: int
    kind: AlarmKind
    store: str
    agent_id: str | None
    run_id: str | None
    position: int | None
    raised_at: datetime
    text: str
    lifted_at: datetime | None
    lifted_by: str | None
    reason: str | None


class Watch(Protocol):
    """Table `alarms`, and what an operator watches of the others."""

    def alarms(self, *, active: bool) -> Sequence[Alarm]:
        """Oldest first; all of them, or those nobody has lifted."""
        ...

    def raise_once(self, kind: AlarmKind, doubt: Doubt, text: str, now: datetime) -> int | None:
        """The alarm's id; None when this step has had one of this kind, lifted or not."""
        ...

    def lift(self, alarm_id: int, by: str, reason: str, now: datetime) -> Alarm | None:
        """The alarm as lifted; None when there is no such alarm, or it was lifted before."""
        ...

    def doubts(self) -> Sequence[Doubt]: ...

    def lingering(self, before: datetime) -> Sequence[Doubt]: ...  # accepted by Shopify, and begun before then

    def figures(self, now: datetime) -> Figures: ...

    def page(self, wanted: Wanted, before: Mark | None, count: int) -> Sequence[Run]:
        """Runs without their texts, newest first; at most so many."""
        ...

    def paid(self, wanted: Wanted) -> Sequence[Paid]:
        """What these runs paid back by settled calls, but for those of `taken`."""
        ...

    def taken(self, wanted: Wanted) -> Sequence[Run]:
        """Those of which a person said that Shopify shows what they did: only their receipts know the amount."""
        ...

    def queue(self, now: datetime) -> Queue: ...

    def heard(self, stores: Sequence[str]) -> Mapping[str, datetime]:
        """When the last webhook of each store came; a store that sent none is left out."""
        ...

    def careless(self) -> Sequence[str]:
        """Settings of the database under which a committed send may be forgotten, a line each."""
        ...

    def problems(self) -> Sequence[str]:
        """Why the database cannot be used, a line each; nothing when all is well."""
        ...


class Counts(Protocol):
    """Table `request_counts`, shared by all processes."""

    def take(self, kind: str, who: str, minute: int, portion: int, most: int) -> bool:
        """Take so many of this minute's requests, if the sum of all that were taken stays within `most`."""
        ...


class Clock(Protocol):
    def now(self) -> datetime: ...

    def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class Tools:
    """Everything the program works with, plugged in once by `app`."""

    bundle: Bundle
    query: OrderQuery
    commerce: Commerce
    host: Host
    runs: Runs
    orders: Orders
    watch: Watch
    crm: Crm
    clock: Clock

    def store(self, domain: str) -> StoreInfo | None:
        return next((one for one in self.commerce.stores() if one.domain == domain), None)

    def store_named(self, domain: str | None) -> StoreInfo:
        """The store a command names; the only one when it names none. Raises NothingHere."""
        stores = self.commerce.stores()
        found = [one for one in stores if domain in (None, one.domain)]
        if len(found) != 1:
            raise NothingHere(
                f"Name one connected store: {', '.join(one.domain for one in stores) or 'there is none'}."
            )
        return found[0]
