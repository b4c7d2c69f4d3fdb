"""The socket of what we keep for a CRM: who is connected, what was accepted once, which orders its timeline lacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from plugin.shapes import OrderRow, Place


@dataclass(frozen=True)
class CrmGrant:
    """One agent's connection: the sealed tokens of the CRM, kept under the hash of the agent's handle."""

    user_id: str
    sealed: bytes
    created_at: datetime


@dataclass(frozen=True)
class Owed:
    """An order whose place on the CRM's timeline is older than what we know."""

    row: OrderRow
    email: str
    attempts: int


class Crm(Protocol):
    """Tables `crm_grants`, `crm_orders`, `crm_probes` and `used_once`. Every method is one transaction."""

    def once(self, kind: str, value: str, until: datetime, now: datetime) -> bool:
        """True for the first caller; the value is remembered until then. What is over is forgotten."""
        ...

    def put_grant(self, key: str, user_id: str, sealed: bytes, now: datetime) -> None: ...

    def grant(self, key: str) -> CrmGrant | None: ...

    def grants(self) -> Sequence[CrmGrant]: ...

    def take_grant(self, key: str, now: datetime, seconds: float) -> bool:
        """Take the right to refresh its tokens; one holder at a time, for so many seconds."""
        ...

    def renew_grant(self, key: str, sealed: bytes | None) -> None:
        """New tokens (None: the old ones stay), and the right to refresh is free again."""
        ...

    def drop_grant(self, key: str) -> None: ...

    def drop_grants(self, user_id: str | None) -> int:
        """Of one agent, or of all; how many."""
        ...

    def owe(self, place: Place, email: str, now: datetime) -> None:
        """The order belongs onto the timeline of this customer; due at once, then after each change."""
        ...

    def owed(self, now: datetime) -> Sequence[Owed]:
        """Some of the orders that are due. Taking them is a lease: no other worker is given them for two minutes."""
        ...

    def paid(self, row: OrderRow, now: datetime) -> None:
        """The CRM has the order like this, with or without what its snapshot holds."""
        ...

    def owe_details(self, place: Place) -> None:
        """A snapshot was kept: the CRM is owed the order again if it has been told its header only."""
        ...

    def owe_later(self, place: Place, attempts: int, at: datetime) -> None: ...

    def put_probe(self, org: str, safe: bool, now: datetime) -> None: ...

    def probe(self, org: str) -> tuple[bool, datetime] | None: ...
