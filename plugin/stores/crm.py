"""What we keep for a CRM: who is connected, what was accepted once, and which orders its timeline lacks."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Engine, Row, and_, delete, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from plugin.logs import tell
from plugin.ports_crm import CrmGrant, Owed
from plugin.secrets import Keys
from plugin.shapes import OrderRow, Place
from plugin.stores.database import aware, reads
from plugin.stores.orders import SqlOrders
from plugin.stores.rows import BROKEN
from plugin.stores.tables import crm_grants, crm_orders, crm_probes, orders, used_once

ORDERS_AT_ONCE = 5
ORDER_LEASE = timedelta(seconds=120)  # longer than the CRM may take for so many
WITH_DETAILS = "+"  # behind the moment that was told: greater than it, and less than any later one
_KEY = (crm_orders.c.store, crm_orders.c.order_id)


class SqlCrm:
    """The Crm socket. E-mail addresses are encrypted, and are kept only to find the customer in the CRM."""

    def __init__(self, engine: Engine, keys: Keys) -> None:
        self._engine = engine
        self._reads = reads(engine)
        self._box = keys.box()
        self._orders = SqlOrders(engine, keys)

    def once(self, kind: str, value: str, until: datetime, now: datetime) -> bool:
        digest = sha256(value.encode()).hexdigest()
        try:
            with self._engine.begin() as tx:
                tx.execute(delete(used_once).where(used_once.c.until < now))
                tx.execute(insert(used_once).values(kind=kind, value=digest, until=until))
        except IntegrityError:
            return False
        return True

    # ------------------------------------------------------------ connected agents

    def put_grant(self, key: str, user_id: str, sealed: bytes, now: datetime) -> None:
        with self._engine.begin() as tx:
            tx.execute(insert(crm_grants).values(handle_hash=key, user_id=user_id, sealed=sealed, created_at=now))

    def grant(self, key: str) -> CrmGrant | None:
        found = self._grants(crm_grants.c.handle_hash == key)
        return found[0] if found else None

    def grants(self) -> Sequence[CrmGrant]:
        return self._grants()

    def _grants(self, *where: Any) -> list[CrmGrant]:
        query = select(crm_grants).where(*where).order_by(crm_grants.c.created_at)
        with self._reads.connect() as tx:
            return [CrmGrant(row.user_id, row.sealed, aware(row.created_at)) for row in tx.execute(query)]

    def take_grant(self, key: str, now: datetime, seconds: float) -> bool:
        free = or_(crm_grants.c.busy_until.is_(None), crm_grants.c.busy_until < now)
        until = datetime.fromtimestamp(now.timestamp() + seconds, UTC)
        take = update(crm_grants).where(crm_grants.c.handle_hash == key, free).values(busy_until=until)
        with self._engine.begin() as tx:
            return tx.execute(take).rowcount == 1

    def renew_grant(self, key: str, sealed: bytes | None) -> None:
        values: dict[str, Any] = {"busy_until": None} | ({} if sealed is None else {"sealed": sealed})
        with self._engine.begin() as tx:
            tx.execute(update(crm_grants).where(crm_grants.c.handle_hash == key).values(**values))

    def drop_grant(self, key: str) -> None:
        with self._engine.begin() as tx:
            tx.execute(delete(crm_grants).where(crm_grants.c.handle_hash == key))

    def drop_grants(self, user_id: str | None) -> int:
        which = delete(crm_grants) if user_id is None else delete(crm_grants).where(crm_grants.c.user_id == user_id)
        with self._engine.begin() as tx:
            return tx.execute(which).rowcount

    # ------------------------------------------------------------ orders on the timeline

    def owe(self, place: Place, email: str, now: datetime) -> None:
        row = {"store": place.store, "order_id": place.order, "email": self._box.encrypt(email.encode())}
        with self._reads.connect() as tx:
            if tx.execute(select(crm_orders.c.store).where(_at(place))).first():
                return
        try:
            with self._engine.begin() as tx:
                tx.execute(insert(crm_orders).values(**row, told="", next_at=now))
        except IntegrityError:
            return  # somebody else wrote it at the same moment

    def owed(self, now: datetime) -> Sequence[Owed]:
        same = and_(orders.c.store == crm_orders.c.store, orders.c.order_id == crm_orders.c.order_id)
        newer = and_(orders.c.header.is_not(None), orders.c.updated_at > crm_orders.c.told)
        due = select(*_KEY).join(orders, same).where(newer, crm_orders.c.next_at <= now)
        first = due.order_by(crm_orders.c.next_at).limit(ORDERS_AT_ONCE)
        take = (
            update(crm_orders)
            .where(
                tuple_(*_KEY).in_(first.with_for_update(of=crm_orders, skip_locked=True)), crm_orders.c.next_at <= now
            )
            .values(next_at=now + ORDER_LEASE)
            .returning(*_KEY, crm_orders.c.email, crm_orders.c.attempts)
        )
        with self._engine.begin() as tx:
            taken = tx.execute(take).all()
        return [owed for one in taken if (owed := self._owed(one)) is not None]

    def _owed(self, taken: Row[Any]) -> Owed | None:
        """One that cannot be read keeps no other waiting."""
        try:
            row = self._orders.order(Place(taken.store, taken.order_id))
            return None if row is None else Owed(row, self._box.decrypt(taken.email).decode(), taken.attempts)
        except BROKEN as error:
            tell("order.unreadable", store=taken.store, order=taken.order_id, raised=error)
            return None

    def paid(self, row: OrderRow, now: datetime) -> None:
        told = row.updated_at + (WITH_DETAILS if row.current else "")
        self._owing(row.place, told=told, attempts=0, next_at=now)

    def owe_details(self, place: Place) -> None:
        header_only = crm_orders.c.told.not_like(f"%{WITH_DETAILS}")
        with self._engine.begin() as tx:
            tx.execute(update(crm_orders).where(_at(place), header_only).values(told=""))

    def owe_later(self, place: Place, attempts: int, at: datetime) -> None:
        self._owing(place, attempts=attempts, next_at=at)

    def _owing(self, place: Place, **values: Any) -> None:
        with self._engine.begin() as tx:
            tx.execute(update(crm_orders).where(_at(place)).values(**values))

    # ------------------------------------------------------------ the probe of the command proxy

    def put_probe(self, org: str, safe: bool, now: datetime) -> None:
        with self._engine.begin() as tx:
            tx.execute(delete(crm_probes).where(crm_probes.c.org == org))
            tx.execute(insert(crm_probes).values(org=org, safe=safe, probed_at=now))

    def probe(self, org: str) -> tuple[bool, datetime] | None:
        with self._reads.connect() as tx:
            row = tx.execute(select(crm_probes).where(crm_probes.c.org == org)).first()
        return None if row is None else (row.safe, aware(row.probed_at))


def _at(place: Place) -> Any:
    return and_(crm_orders.c.store == place.store, crm_orders.c.order_id == place.order)
