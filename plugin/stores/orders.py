"""Orders as the card knows them: header facts, encrypted snapshots, and which webhooks were seen."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from plugin.phones import e164
from plugin.points import Point, reached
from plugin.secrets import Keys
from plugin.shapes import Backfill, Customer, OrderRow, Place
from plugin.stores.database import aware, reads
from plugin.stores.tables import backfills, customers_seen, orders, webhooks_seen


class SqlOrders:
    """The Orders socket. The customer's e-mail and phone are kept only as keyed hashes."""

    def __init__(self, engine: Engine, keys: Keys) -> None:
        self._engine = engine
        self._reads = reads(engine)
        self._keys = keys
        self._box = keys.box()

    def order(self, place: Place) -> OrderRow | None:
        with self._reads.connect() as tx:
            row = tx.execute(select(orders).where(_at(place))).first()
        return self._row(row) if row else None

    def orders_of(self, customer: Customer) -> Sequence[OrderRow]:
        ways = self._ways(customer)
        if not ways:
            return []
        query = select(orders).where(or_(*ways))
        with self._reads.connect() as tx:
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
        with self._reads.connect() as tx:
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
        known = self.order(place)
        values: dict[str, Any] = {**self._known_by(email, phone, header), "header": json.dumps(header)}
        if known is None and self._insert(place, {**values, "legacy": False, "webhook_at": webhook}):
            return True
        known = known or self.order(place)  # somebody else wrote it at the same moment
        if known is None or values["updated_at"] < known.updated_at:
            return False
        if values["updated_at"] > known.updated_at:
            values["legacy"] = False
        if webhook is not None:
            values["webhook_at"] = webhook
        with self._engine.begin() as tx:
            tx.execute(update(orders).where(_at(place), orders.c.updated_at <= values["updated_at"]).values(**values))
            reached(Point.HEADER_WRITTEN)
        reached(Point.HEADER_COMMITTED)
        return True

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
        with self._reads.connect() as tx:
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
        with self._reads.connect() as tx:
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
