"""The sockets of what an installation keeps about its stores: the way into them, and what they ask us to forget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from plugin.shapes import ConnectedStore, Customer, Grant, Place, Way


class Connections(Protocol):
    """Tables `connections` and `oauth_states`. Tokens are sealed at rest; every method is one transaction."""

    def all(self) -> Sequence[ConnectedStore]: ...

    def get(self, domain: str) -> ConnectedStore | None: ...

    def announce(self, domain: str, name: str) -> None:
        """Write down that this store may come by OAuth. What is connected stays so until it came."""
        ...

    def connect(
        self, domain: str, name: str, way: Way, app_secrets: Sequence[str], grant: Grant, now: datetime
    ) -> None:
        """Keep a store with a grant that Shopify was seen to take: way, secrets and tokens at once."""
        ...

    def renew(self, row: ConnectedStore, grant: Grant) -> None:
        """Keep new tokens, before anybody uses them; the refresh token before them stays for one more renewal.

        Nothing is kept for a store that ended or was connected anew since `row` was read.
        """
        ...

    def end(self, domain: str, state: str, problem: str) -> None: ...

    def set_settings(self, domain: str, settings: Sequence[str]) -> None: ...

    def set_scopes(self, domain: str, scopes: frozenset[str]) -> None: ...

    def webhooks_checked(self, domain: str, now: datetime | None) -> None: ...

    def claim_renewal(self, domain: str, now: datetime, seconds: float) -> bool:
        """Single flight: True for one process at a time, until it releases or the seconds are over."""
        ...

    def release_renewal(self, domain: str) -> None: ...

    def keep_state(self, state: str, domain: str, now: datetime) -> None: ...

    def use_state(self, state: str, domain: str, now: datetime) -> bool:
        """True once for each state that was kept for this store and is not too old."""
        ...


class Wish(StrEnum):
    """What Shopify's privacy topics ask for."""

    SHOW = "customers/data_request"
    FORGET = "customers/redact"
    FORGET_STORE = "shop/redact"


@dataclass(frozen=True)
class Asked:
    """A row of `privacy_requests`; customer and orders are gone once it is done. `report` answers a `SHOW`."""

    id: str
    wish: Wish
    store: str
    customer: Customer
    order_ids: tuple[str, ...]
    asked_at: datetime
    done_at: datetime | None
    report: Mapping[str, Any] | None


class Privacy(Protocol):
    """Table `privacy_requests`, and what is deleted of the others."""

    def ask(self, wish: Wish, store: str, customer: Customer, order_ids: Sequence[str], now: datetime) -> None: ...

    def all(self) -> Sequence[Asked]:
        """Oldest first."""
        ...

    def due(self, now: datetime) -> Sequence[Asked]:
        """Those nobody works on now; they are leased by this call."""
        ...

    def later(self, id: str, at: datetime) -> None: ...

    def done(self, id: str, report: Mapping[str, Any] | None, now: datetime) -> None: ...

    def drop(self, id: str) -> bool:
        """Forget a request that is done, its report with it; False when there is none."""
        ...

    def places(self, store: str, customer: Customer, order_ids: Sequence[str]) -> Sequence[Place]:
        """Orders we keep something of: those named, and those of the customer."""
        ...

    def runs_at(self, store: str) -> Sequence[str]:
        """Ids of every run of a store."""
        ...

    def forget(self, store: str, customer: Customer, places: Sequence[Place]) -> None:
        """Delete these orders, and that this customer was looked at."""
        ...

    def forget_reports(self, store: str, order_ids: Sequence[str]) -> None:
        """Delete what was written for the store's owner about any of these orders."""
        ...

    def forget_store(self, store: str) -> None:
        """Delete all of a store but its runs and alarms."""
        ...
