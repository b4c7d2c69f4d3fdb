"""The records that travel between the floors: people, forms, orders, plans, runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from plugin.bundle import Limit
from plugin.money import Money

# ---------------------------------------------------------------- people and places


@dataclass(frozen=True)
class Agent:
    """Who acts; `permissions` and `limit` come from the permission set mapped on our side."""

    id: str
    name: str
    permission_set: str
    permissions: frozenset[str]
    limit: Limit

    def data(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "permissions": sorted(self.permissions)}


@dataclass(frozen=True)
class Customer:
    """The customer the CRM shows; e-mail and phone (E.164, or empty) match orders; only keyed hashes are stored."""

    id: str
    email: str
    name: str
    phone: str = ""

    @property
    def known_by(self) -> str:
        """What orders are looked for by: the e-mail, else the phone; empty when the CRM has neither."""
        return self.email or self.phone

    def bought(self, email: str, phone: str) -> bool:
        """Whether an order with these is this customer's: the e-mail decides where both have one, else the phone."""
        if self.email and email:
            return self.email.casefold() == email.casefold()
        return bool(self.phone) and self.phone == phone


@dataclass(frozen=True)
class Identity:
    """What a CRM says of the person before the card, proved by its token or by asking the CRM.

    `read_only`: the proof is good enough to read by, and not to move money.
    """

    agent_id: str
    agent_name: str
    role_groups: tuple[str, ...]
    customer: Customer
    conversation: str | None = None
    store: str | None = None
    order: str | None = None
    read_only: bool = False


@dataclass(frozen=True)
class Session:
    """An agent looking at one customer; `place` is set when the card starts on one order.

    `found` is somebody else's order that this agent found by its number, and may open beside this customer.
    """

    agent: Agent
    customer: Customer
    conversation: str | None = None
    place: "Place | None" = None
    door: str = "card"
    found: "Place | None" = None


@dataclass(frozen=True)
class Place:
    """One order of one store. `order` is Shopify's numeric id as text."""

    store: str
    order: str

    @property
    def gid(self) -> str:
        return f"gid://shopify/Order/{self.order}"


@dataclass(frozen=True)
class StoreInfo:
    """A store one may act on; `scopes` are what Shopify granted, None while that is not known."""

    domain: str
    name: str
    settings: Mapping[str, Any]
    scopes: frozenset[str] | None = None

    @property
    def admin_name(self) -> str:
        return self.domain.removesuffix(".myshopify.com")

    def data(self) -> dict[str, Any]:
        return {"domain": self.domain, "name": self.name}


@dataclass(frozen=True)
class Grant:
    """Tokens as Shopify gave them; a time of None means that they do not expire."""

    access_token: str
    scopes: frozenset[str] | None
    access_until: datetime | None = None
    refresh_token: str | None = None
    refresh_until: datetime | None = None


class Way(StrEnum):
    """How a store was connected: asked in the browser, by an app of its own organisation, by a token typed in."""

    OAUTH = "oauth"
    OWN = "own"
    TOKEN = "token"


_FLAGS = {Way.OAUTH: "", Way.OWN: " --own", Way.TOKEN: " --token < FILE"}


@dataclass(frozen=True)
class ConnectedStore:
    """A row of `connections`, tokens in the clear; `refresh_tokens` newest first, the older kept until it is sure.

    `state` is `waiting` (announced, not installed), `active`, `refused` (Shopify took the token away) or `gone`.
    One that is `invited` may come by OAuth, and works as before until it did. A renewal does not move `connected_at`.
    """

    domain: str
    name: str
    way: Way
    state: str
    grant: Grant | None
    refresh_tokens: tuple[str, ...]
    app_secrets: tuple[str, ...]
    settings: tuple[str, ...]
    problem: str | None
    invited: bool
    connected_at: datetime | None
    webhooks_checked_at: datetime | None

    @property
    def again(self) -> str:
        """The command that connects it anew, in the way it was connected."""
        return f"order-actions stores add {self.domain}{_FLAGS[self.way]}"


# ---------------------------------------------------------------- what a form holds


@dataclass(frozen=True)
class FormState:
    """A form as far as it is known.

    `values` is what expressions see as `form`; `raw` what the agent typed; `missing` are required
    fields left empty, told only when the form is sent.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    currencies: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()
    locked: frozenset[str] = frozenset()
    errors: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    raw: Mapping[str, Any] | None = None
    shown: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


# ---------------------------------------------------------------- orders and runs


@dataclass(frozen=True)
class RefundSeen:
    id: str
    note: str
    refunded: Money
    statuses: tuple[str, ...]


@dataclass(frozen=True)
class OrderFacts:
    """What the runtime itself reads of every order, whatever the actions read."""

    id: str
    name: str
    email: str
    updated_at: str
    cancelled_at: str | None
    staff_note: str | None
    financial_status: str | None
    fulfillment_status: str
    net_shop: Money
    net_presentment: Money
    rate_shop: Money
    rate_presentment: Money
    refunded: Money
    refunds: tuple[RefundSeen, ...]
    quantities: tuple[tuple[str, int, int], ...]
    phone: str = ""


class StepState(StrEnum):
    INTENT = "intent"
    SENDING = "sending"
    CONFIRMED = "confirmed"
    SETTLED = "settled"
    FAILED = "failed"
    UNKNOWN = "unknown"
    REVIEW = "review"


@dataclass(frozen=True)
class PlannedStep:
    """One call as it will be sent: `body` are the exact bytes of every attempt."""

    name: str
    key: str
    marker: str
    root: str
    body: bytes
    moves: Money
    moves_shop: Money


@dataclass(frozen=True)
class Plan:
    """What one pressed form will do; `digest` tells another plan under the same run id apart."""

    run_id: str
    action_id: str
    action_digest: str
    steps: tuple[PlannedStep, ...]
    digest: str


@dataclass(frozen=True)
class Step:
    """A row of `steps`; `receipt` is the payload of the mutation's root field."""

    run_id: str
    position: int
    name: str
    key: str
    marker: str
    root: str
    body: bytes
    moves: Money
    moves_shop: Money
    state: StepState
    attempts: int
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    receipt: dict[str, Any] | None
    error: str | None
    error_field: str | None


@dataclass(frozen=True)
class Resolution:
    """What a person decided about a run; `id` is the press, `how` is as in `review.resolve`."""

    id: str
    run_id: str
    agent_id: str
    agent_name: str
    how: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class Run:
    """A row of `runs`; `seen` is the data its texts are made from: order before, preview, form."""

    id: str
    place: Place
    action_id: str
    agent_id: str
    agent_name: str
    customer_id: str
    conversation: str | None
    door: str
    digest: str
    open: bool
    created_at: datetime
    facts: Mapping[str, Any]
    texts: Mapping[str, Any]
    outcome: Mapping[str, Any] | None
    steps: tuple[Step, ...]
    resolutions: tuple[Resolution, ...] = ()


@dataclass(frozen=True)
class Backfill:
    """A row of `backfills`: orders since a day, asked for by an operation of Shopify's and read so many lines far."""

    since: str
    operation: str
    lines: int


@dataclass(frozen=True)
class Note:
    """A line for the CRM's timeline; `id` is the run id, so that it is written once."""

    id: str
    customer_id: str
    conversation: str | None
    order_name: str
    agent_id: str
    agent_name: str
    body: str
    url: str
    store: str = ""
    order: str = ""


@dataclass(frozen=True)
class OrderRow:
    """A row of `orders`: header facts, and the snapshot when there is one."""

    place: Place
    name: str
    created_at: str
    updated_at: str
    email_hash: str
    phone_hash: str
    header: Mapping[str, Any] | None
    legacy: bool
    snapshot: Mapping[str, Any] | None
    snapshot_at: datetime | None
    webhook_at: datetime | None

    @property
    def current(self) -> Mapping[str, Any] | None:
        """The snapshot, while it shows the order as of `updated_at`."""
        shown = self.snapshot and self.snapshot.get("updatedAt")
        same = shown and datetime.fromisoformat(shown) == datetime.fromisoformat(self.updated_at)
        return self.snapshot if same else None
