"""What customers and stores ask us to show or to forget, and the forgetting of whole rows."""

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, delete, insert, select, tuple_, update

from plugin.ports_stores import Asked, Wish
from plugin.secrets import Keys
from plugin.shapes import Customer, Place
from plugin.stores.database import aware, reads
from plugin.stores.tables import (
    backfills,
    connections,
    crm_orders,
    customers_seen,
    oauth_states,
    orders,
    privacy_requests,
    runs,
    webhooks_seen,
)

LEASE = timedelta(minutes=10)
AT_ONCE = 500  # orders of one statement
_OF_A_STORE = (orders, crm_orders, customers_seen, webhooks_seen, backfills)


class SqlPrivacy:
    """The Privacy socket."""

    def __init__(self, engine: Engine, keys: Keys) -> None:
        self._engine = engine
        self._reads = reads(engine)
        self._keys = keys
        self._box = keys.box()

    # ------------------------------------------------------------ the requests

    def ask(self, wish: Wish, store: str, customer: Customer, order_ids: Sequence[str], now: datetime) -> None:
        asked = self._sealed({"email": customer.email, "phone": customer.phone, "orders": list(order_ids)})
        row = {"id": secrets.token_hex(4), "wish": wish, "store": store, "asked": asked, "asked_at": now}
        with self._engine.begin() as tx:
            tx.execute(insert(privacy_requests).values(**row, next_at=now))

    def all(self) -> Sequence[Asked]:
        with self._reads.connect() as tx:
            found = tx.execute(select(privacy_requests).order_by(privacy_requests.c.asked_at)).all()
        return [self._asked(row) for row in found]

    def due(self, now: datetime) -> Sequence[Asked]:
        waits = and_(privacy_requests.c.done_at.is_(None), privacy_requests.c.next_at <= now)
        with self._reads.connect() as tx:
            if tx.execute(select(privacy_requests.c.id).where(waits)).first() is None:
                return []
        take = update(privacy_requests).where(waits).values(next_at=now + LEASE).returning(privacy_requests)
        with self._engine.begin() as tx:
            return [self._asked(row) for row in tx.execute(take).all()]

    def later(self, id: str, at: datetime) -> None:
        self._change(id, next_at=at)

    def done(self, id: str, report: Mapping[str, Any] | None, now: datetime) -> None:
        self._change(id, asked=None, report=None if report is None else self._sealed(report), done_at=now)

    def drop(self, id: str) -> bool:
        mine = and_(privacy_requests.c.id == id, privacy_requests.c.done_at.is_not(None))
        with self._engine.begin() as tx:
            return tx.execute(delete(privacy_requests).where(mine)).rowcount == 1

    def _change(self, id: str, **values: Any) -> None:
        with self._engine.begin() as tx:
            tx.execute(update(privacy_requests).where(privacy_requests.c.id == id).values(**values))

    # ------------------------------------------------------------ what is kept, and its end

    def places(self, store: str, customer: Customer, order_ids: Sequence[str]) -> Sequence[Place]:
        named: set[str] = set()
        with self._reads.connect() as tx:
            for some in _portions(order_ids):
                for table in (orders, runs):
                    kept = select(table.c.order_id).where(table.c.store == store, table.c.order_id.in_(some))
                    named.update(tx.execute(kept).scalars())
            for own in self._ways(customer):
                named.update(tx.execute(select(orders.c.order_id).where(orders.c.store == store, own)).scalars())
        return [Place(store, one) for one in sorted(named)]

    def _ways(self, customer: Customer) -> list[ColumnElement[bool]]:
        """By e-mail; by phone only orders that have no e-mail, which might be somebody else's."""
        none, ways = self._keys.email_hash(""), list[ColumnElement[bool]]()
        if customer.email:
            ways.append(orders.c.email_hash == self._keys.email_hash(customer.email))
        if customer.phone:
            by_phone = orders.c.phone_hash == self._keys.phone_hash(customer.phone)
            ways.append(and_(by_phone, orders.c.email_hash == none))
        return ways

    def runs_at(self, store: str) -> Sequence[str]:
        with self._reads.connect() as tx:
            return tx.execute(select(runs.c.id).where(runs.c.store == store)).scalars().all()

    def forget(self, store: str, customer: Customer, places: Sequence[Place]) -> None:
        with self._engine.begin() as tx:
            for some in _portions([one.order for one in places]):
                for table in (orders, crm_orders):
                    mine = tuple_(table.c.store, table.c.order_id).in_([(store, one) for one in some])
                    tx.execute(delete(table).where(mine))
            looked = [self._keys.email_hash(one) for one in (customer.email, customer.phone) if one]
            seen = and_(customers_seen.c.store == store, customers_seen.c.email_hash.in_(looked))
            tx.execute(delete(customers_seen).where(seen))

    def forget_reports(self, store: str, order_ids: Sequence[str]) -> None:
        with self._engine.begin() as tx:
            shown = tx.execute(select(privacy_requests).where(_reports(store))).all()
            held = {row.id: {one["order"] for one in (self._opened(row.report) or {})["orders"]} for row in shown}
            mine = [id for id, orders in held.items() if orders.intersection(order_ids)]
            tx.execute(delete(privacy_requests).where(privacy_requests.c.id.in_(mine)))

    def forget_store(self, store: str) -> None:
        with self._engine.begin() as tx:
            tx.execute(delete(privacy_requests).where(_reports(store)))
            for table in _OF_A_STORE:
                tx.execute(delete(table).where(table.c.store == store))
            for other in (oauth_states, connections):
                tx.execute(delete(other).where(other.c.domain == store))

    # ------------------------------------------------------------ rows

    def _sealed(self, value: Mapping[str, Any]) -> bytes:
        return self._box.encrypt(json.dumps(value).encode())

    def _opened(self, sealed: bytes | None) -> dict[str, Any] | None:
        return None if sealed is None else json.loads(self._box.decrypt(sealed))

    def _asked(self, row: Row[Any]) -> Asked:
        asked = self._opened(row.asked) or {"email": "", "phone": "", "orders": []}
        return Asked(
            id=row.id,
            wish=Wish(row.wish),
            store=row.store,
            customer=Customer("", asked["email"], "", asked["phone"]),
            order_ids=tuple(asked["orders"]),
            asked_at=aware(row.asked_at),
            done_at=row.done_at and aware(row.done_at),
            report=self._opened(row.report),
        )


def _reports(store: str) -> ColumnElement[bool]:
    return and_(privacy_requests.c.store == store, privacy_requests.c.report.is_not(None))


def _portions(order_ids: Sequence[str]) -> list[Sequence[str]]:
    return [order_ids[start : start + AT_ONCE] for start in range(0, len(order_ids), AT_ONCE)]
