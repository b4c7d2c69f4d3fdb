"""Orders as the card knows them: header facts, encrypted snapshots, and which webhooks were seen."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, delete, func, insert, null, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from plugin.phones import e164
from plugin.points import Point, reached
from plugin.secrets import Keys
from plugin.shapes import Backfill, Customer, OrderRow, Place
from plugin.stores.database import aware, glance
from plugin.stores.tables import backfills, customers_seen, orders, webhooks_seen

# The same words in both, but each engine has a class of its own.
_UPSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class SqlOrders:
    """The Orders socket. The customer's e-mail and phone are kept only as keyed hashes."""

    def __init__(self, engine: Engine, keys: Keys) -> None:
        self._engine = engine
        self._glance = glance(engine)
        self._upsert = _UPSERTS[engine.dialect.name]
        self._keys = keys
        self._box = keys.box()

    def order(self, place: Place) -> OrderRow | None:
        with self._glance.connect() as tx:
            row = tx.execute(select(orders).where(_at(place))).first()
        return self._row(row) if row else None

    def orders_of(self, customer: Customer, *, whole: bool = False) -> Sequence[OrderRow]:
        ways = self._ways(customer)
        if not ways:
            return []
        columns = [one if whole or one is not orders.c.snapshot else null().label(one.name) for one in orders.c]
        query = select(*columns).where(or_(*ways))
        with self._glance.connect() as tx:
            rows = tx.execute(query.order_by(orders.c.created_at.desc(), orders.c.order_id.desc())).all()
        return [self._row(row) for row in rows]

    def owns(self, row: OrderRow, customer: Customer) -> bool:
        if customer.email and row.email_hash != self._keys.email_hash(""):
            return row.email_hash == self._keys.email_hash(customer.email)
        return bool(customer.phone) and row.phone_hash == self._keys.phone_hash(customer.phone)

    def _ways(self, customer: Customer) -> list[ColumnElement[bool]]:
        """The rule of `Customer.bought` over hashes."""
        hashed, ways = self._keys.email_hash, list[ColumnElement[bool]]()
        if customer.email:
            ways.append(orders.c.email_hash == hashed(customer.email))
        if customer.phone:
            same = orders.c.phone_hash == self._keys.phone_hash(customer.phone)
            ways.append(and_(same, orders.c.email_hash == hashed("")) if customer.email else same)
        return ways

    def _row(self, row: Row[Any]) -> OrderRow:
        return OrderRow(
            place=Place(row.store, row.order_id),
            name=row.name,
            created_at=row.created_at,
            updated_at=row.updated_at,
            email_hash=row.email_hash,
            phone_hash=row.phone_hash,
            header=json.loads(row.header) if row.header else None,
            legacy=row.legacy,
            snapshot=json.loads(self._box.decrypt(row.snapshot)) if row.snapshot else None,
            snapshot_at=row.snapshot_at and aware(row.snapshot_at),
            webhook_at=row.webhook_at and aware(row.webhook_at),
        )

    def listed_at(self, store: str, email: str) -> datetime | None:
        key = self._keys.email_hash(email)
        query = select(customers_seen.c.listed_at).where(
            customers_seen.c.store == store, customers_seen.c.email_hash == key
        )
        with self._glance.connect() as tx:
            found = tx.execute(query).scalar()
        return found and aware(found)

    def mark_listed(self, store: str, email: str, now: datetime) -> None:
        key = {"store": store, "email_hash": self._keys.email_hash(email)}
        with self._engine.begin() as tx:
            tx.execute(
                delete(customers_seen).where(
                    customers_seen.c.store == store, customers_seen.c.email_hash == key["email_hash"]
                )
            )
            tx.execute(insert(customers_seen).values(**key, listed_at=now))
            reached(Point.LISTED_WRITTEN)
        reached(Point.LISTED_COMMITTED)

    def put_header(
        self, place: Place, email: str, header: Mapping[str, Any], *, webhook: datetime | None, phone: str = ""
    ) -> bool:  # fmt: skip
        values = {**self._known_by(email, phone, header), "header": json.dumps(header)}
        new = self._upsert(orders).values(
            store=place.store, order_id=place.order, legacy=False, webhook_at=webhook, **values
        )
        given = new.excluded
        change = {name: given[name] for name in values} | {
            "legacy": and_(orders.c.legacy, given.updated_at == orders.c.updated_at),
            "webhook_at": func.coalesce(given.webhook_at, orders.c.webhook_at),
        }
        newer = orders.c.updated_at <= given.updated_at
        put = new.on_conflict_do_update(index_elements=[orders.c.store, orders.c.order_id], set_=change, where=newer)
        with self._engine.begin() as tx:
            taken = tx.execute(put.returning(orders.c.store)).first() is not None
            reached(Point.HEADER_WRITTEN)
        reached(Point.HEADER_COMMITTED)
        return taken

    def put_snapshot(self, place: Place, snapshot: Mapping[str, Any], now: datetime) -> None:
        sealed = self._box.encrypt(json.dumps(snapshot).encode())
        with self._engine.begin() as tx:
            older = or_(orders.c.snapshot_at.is_(None), orders.c.snapshot_at <= now)
            tx.execute(update(orders).where(_at(place), older).values(snapshot=sealed, snapshot_at=now))
            reached(Point.SNAPSHOT_WRITTEN)
        reached(Point.SNAPSHOT_COMMITTED)

    def make_old(self, place: Place, now: datetime) -> None:
        with self._engine.begin() as tx:
            tx.execute(update(orders).where(_at(place)).values(webhook_at=now))
            reached(Point.HEADER_WRITTEN)
        reached(Point.HEADER_COMMITTED)

    def put_legacy(self, place: Place, email: str, header: Mapping[str, Any], *, phone: str = "") -> bool:
        return self._insert(place, {**self._known_by(email, phone, header), "legacy": True})

    def _known_by(self, email: str, phone: str, header: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "name": header["name"],
            "created_at": _utc(header["createdAt"]),
            "updated_at": _utc(header["updatedAt"]),
            "email_hash": self._keys.email_hash(email),
            "phone_hash": self._keys.phone_hash(e164(phone)),
        }

    def _insert(self, place: Place, values: Mapping[str, Any]) -> bool:
        try:
            with self._engine.begin() as tx:
                tx.execute(insert(orders).values(store=place.store, order_id=place.order, **values))
                reached(Point.HEADER_WRITTEN)
            reached(Point.HEADER_COMMITTED)
        except IntegrityError:
            return False
        return True

    def backfill(self, store: str) -> Backfill | None:
        with self._glance.connect() as tx:
            row = tx.execute(select(backfills).where(backfills.c.store == store)).first()
        return Backfill(row.since, row.operation, row.lines) if row else None

    def keep_backfill(self, store: str, kept: Backfill | None) -> None:
        with self._engine.begin() as tx:
            tx.execute(delete(backfills).where(backfills.c.store == store))
            if kept is not None:
                tx.execute(insert(backfills).values(store=store, **asdict(kept)))
            reached(Point.BACKFILL_WRITTEN)
        reached(Point.BACKFILL_COMMITTED)

    def webhook_seen(self, store: str, webhook_id: str, topic: str) -> bool:
        seen = webhooks_seen.c
        same = and_(seen.store == store, seen.topic == topic, seen.webhook_id == webhook_id)
        with self._glance.connect() as tx:
            return tx.execute(select(seen.store).where(same)).first() is not None

    def mark_webhook(self, store: str, webhook_id: str, topic: str, now: datetime) -> None:
        row = insert(webhooks_seen).values(store=store, topic=topic, webhook_id=webhook_id, received_at=now)
        try:
            with self._engine.begin() as tx:
                tx.execute(row)
                reached(Point.WEBHOOK_WRITTEN)
            reached(Point.WEBHOOK_COMMITTED)
        except IntegrityError:
            return  # the same delivery came twice at once


def _at(place: Place) -> Any:
    return and_(orders.c.store == place.store, orders.c.order_id == place.order)


def _utc(moment: str) -> str:
    """ISO times compared as text: one zone, one precision."""
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
