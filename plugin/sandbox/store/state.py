"""The one shop: its orders, people, places and settings, behind one lock."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from .bulk import Bulk
from .orders import Order, Person, Place, Refund

GID = "gid://shopify/"


@dataclass
class Settings:
    """What a test or a demo may turn; `work_delay` holds a refund inside, so that two can meet."""

    settle_delay: float = 3.0
    cancel_delay: float = 1.0
    work_delay: float = 0.0
    bulk_delay: float = 1.0
    bucket: float = 2000.0
    restore_rate: float = 100.0
    served_version: str | None = None
    denied: frozenset[str] = frozenset()  # fields of protected customer data the app may not read


@dataclass(frozen=True)
class Shop:
    domain: str = "sandbox.myshopify.com"
    name: str = "Sandbox Outfitters"
    currency: str = "USD"
    version: str = "2026-10"


@dataclass
class KeyUse:
    """One idempotency key: which parameters it was used with, and the refund it made (None while it runs)."""

    parameters: str
    at: datetime
    order: int | None = None
    refund: int | None = None


def _unheard(topic: str, order: Order, refund: Refund | None) -> None:
    """Nobody listens."""


@dataclass
class Store:
    """Everything that changes. Read and change it only while holding `lock`."""

    shop: Shop = field(default_factory=Shop)
    settings: Settings = field(default_factory=Settings)
    clock: Callable[[], float] = time.time
    emit: Callable[[str, Order, Refund | None], None] = _unheard
    lock: threading.Condition = field(default_factory=lambda: threading.Condition(threading.RLock()))
    orders: dict[int, Order] = field(default_factory=dict)
    people: dict[int, Person] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)
    keys: dict[str, KeyUse] = field(default_factory=dict)
    scopes: frozenset[str] = frozenset(
        {"read_orders", "read_all_orders", "write_orders", "read_locations", "read_customers"}
    )
    bulks: dict[int, Bulk] = field(default_factory=dict)
    bulk_fails: str | None = None  # the error code of the next bulk operation
    address: str = ""
    subscriptions: dict[int, tuple[str, str]] = field(default_factory=dict)  # id: topic, uri
    last_id: int = 7_000_000_000_000

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    def later(self, seconds: float) -> datetime:
        return self.now() + timedelta(seconds=seconds)

    def new_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def put(self, order: Order) -> Order:
        """Remember a changed order, touched now."""
        changed = replace(order, updated=self.now())
        self.orders[order.id] = changed
        self.lock.notify_all()
        self.emit("orders/updated", changed, None)
        return changed

    def place_for(self, order: Order) -> int | None:
        """Where goods of this order go back to, if the store knows."""
        if order.behaviour.no_place:
            return None
        return next((one.id for one in self.places.values() if one.active), None)

    def pause(self, seconds: float) -> None:
        """Let others work for a while; must be called holding the lock."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.lock.wait(left)


def gid(kind: str, id: int | str) -> str:
    return f"{GID}{kind}/{id}"


def number_of(kind: str, value: str) -> int | None:
    """The number in a gid of this kind; None when it is another kind or no gid."""
    prefix = f"{GID}{kind}/"
    rest = value.removeprefix(prefix)
    return int(rest) if value.startswith(prefix) and rest.isascii() and rest.isdigit() else None
