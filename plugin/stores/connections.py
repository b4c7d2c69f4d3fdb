"""Connected stores and their tokens, sealed at rest; one renewal of a token at a time."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.fernet import MultiFernet
from sqlalchemy import Engine, Row, and_, case, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from plugin.shapes import ConnectedStore, Grant, Way
from plugin.stores.database import glance
from plugin.stores.tables import connections, oauth_states

STATE_SECONDS = 600


class SqlConnections:
    """The Connections socket."""

    def __init__(self, engine: Engine, box: MultiFernet) -> None:
        self._engine = engine
        self._glance = glance(engine)
        self._box = box

    def all(self) -> Sequence[ConnectedStore]:
        with self._glance.connect() as tx:
            return [self._store(row) for row in tx.execute(select(connections).order_by(connections.c.domain))]

    def get(self, domain: str) -> ConnectedStore | None:
        with self._glance.connect() as tx:
            row = tx.execute(select(connections).where(connections.c.domain == domain)).first()
        return self._store(row) if row else None

    def announce(self, domain: str, name: str) -> None:
        """What works now is not touched before the store came by OAuth; without a name it keeps its own."""
        known = {"invited": True} | ({"name": name} if name else {})
        fresh = {"name": domain, **known, "domain": domain, "way": Way.OAUTH, "state": "waiting", "settings": "[]"}
        idle = case((connections.c.state == "active", connections.c.way), else_=Way.OAUTH)
        try:
            with self._engine.begin() as tx:
                tx.execute(insert(connections).values(fresh))
        except IntegrityError:
            self._change(domain, {**known, "way": idle})

    def connect(
        self, domain: str, name: str, way: Way, app_secrets: Sequence[str], grant: Grant, now: datetime
    ) -> None:  # fmt: skip
        """The way, its secrets and its tokens at once. A custom app whose secret is not told again keeps it."""
        before = self.get(domain)
        same = before if before and before.way is way else None
        kept = same.app_secrets if same and way is Way.TOKEN else ()
        last = same.refresh_tokens[:1] if same and same.state == "active" else ()
        values = self._granted(grant, last) | {
            "name": name or (before.name if before else domain), "way": way, "state": "active", "problem": None,
            "app_secrets": self._sealed(list(app_secrets or kept)), "connected_at": now, "invited": way is Way.OAUTH,
        }  # fmt: skip
        if before is None:
            with self._engine.begin() as tx:
                tx.execute(insert(connections).values({**values, "domain": domain, "settings": "[]"}))
        else:
            self._change(domain, values)

    def renew(self, row: ConnectedStore, grant: Grant) -> None:
        mine = and_(connections.c.domain == row.domain, connections.c.state == "active",
                    connections.c.connected_at == row.connected_at)  # fmt: skip
        with self._engine.begin() as tx:
            tx.execute(update(connections).where(mine).values(self._granted(grant, row.refresh_tokens[:1])))

    def _granted(self, grant: Grant, last: Sequence[str]) -> dict[str, Any]:
        """The refresh token before these tokens stays until they were renewed."""
        return {
            "tokens": self._sealed(_plain(grant)), "tokens_until": grant.access_until,
            "refresh_before": self._sealed(list(last)), "renewing_until": None,
        }  # fmt: skip

    def end(self, domain: str, state: str, problem: str) -> None:
        """`refused` or `gone`: nothing is sent to this store any more, and its tokens are forgotten."""
        self._change(domain, {
            "state": state, "problem": problem, "tokens": None, "tokens_until": None, "refresh_before": None,
            "renewing_until": None, "webhooks_checked_at": None,
        })  # fmt: skip

    def set_settings(self, domain: str, settings: Sequence[str]) -> None:
        """Settings of one store, `name=value` each, over the bundle's."""
        self._change(domain, {"settings": json.dumps(list(settings))})

    def set_scopes(self, domain: str, scopes: frozenset[str]) -> None:
        """What Shopify says is granted now."""
        row = self.get(domain)
        if row is not None and row.grant is not None and row.grant.scopes != scopes:
            plain = {**_plain(row.grant), "scopes": sorted(scopes)}
            self._change(domain, {"tokens": self._sealed(plain)})

    def webhooks_checked(self, domain: str, now: datetime | None) -> None:
        self._change(domain, {"webhooks_checked_at": now})

    def claim_renewal(self, domain: str, now: datetime, seconds: float) -> bool:
        """Whether this process is the one that renews the store's token now."""
        free = or_(connections.c.renewing_until.is_(None), connections.c.renewing_until < now)
        take = update(connections).where(connections.c.domain == domain, connections.c.state == "active", free)
        with self._engine.begin() as tx:
            return tx.execute(take.values(renewing_until=now + timedelta(seconds=seconds))).rowcount == 1

    def release_renewal(self, domain: str) -> None:
        self._change(domain, {"renewing_until": None})

    # ------------------------------------------------------------ the state of an installation

    def keep_state(self, state: str, domain: str, now: datetime) -> None:
        """Remember a state that goes out to Shopify, and forget old ones."""
        row = {"state_hash": _hash(state), "domain": domain, "expires_at": now + timedelta(seconds=STATE_SECONDS)}
        with self._engine.begin() as tx:
            tx.execute(delete(oauth_states).where(oauth_states.c.expires_at < now))
            tx.execute(insert(oauth_states).values(row))

    def use_state(self, state: str, domain: str, now: datetime) -> bool:
        """Whether this state went out for this store and comes back for the first time."""
        states = oauth_states.c
        mine = delete(oauth_states).where(
            states.state_hash == _hash(state), states.domain == domain, states.expires_at >= now
        )
        with self._engine.begin() as tx:
            return tx.execute(mine).rowcount == 1

    # ------------------------------------------------------------ rows

    def _change(self, domain: str, values: dict[str, Any]) -> None:
        with self._engine.begin() as tx:
            tx.execute(update(connections).where(connections.c.domain == domain).values(values))

    def _sealed(self, value: Any) -> bytes:
        return self._box.encrypt(json.dumps(value).encode())

    def _opened(self, sealed: bytes | None) -> Any:
        return None if sealed is None else json.loads(self._box.decrypt(sealed))

    def _store(self, row: Row[Any]) -> ConnectedStore:
        grant = _grant(self._opened(row.tokens))
        newest = [grant.refresh_token] if grant and grant.refresh_token else []
        return ConnectedStore(
            domain=row.domain,
            name=row.name,
            way=Way(row.way),
            state=row.state,
            grant=grant,
            refresh_tokens=(*newest, *(self._opened(row.refresh_before) or [])),
            app_secrets=tuple(self._opened(row.app_secrets) or []),
            settings=tuple(json.loads(row.settings)),
            problem=row.problem,
            invited=row.invited,
            connected_at=_aware(row.connected_at),
            webhooks_checked_at=_aware(row.webhooks_checked_at),
        )


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _plain(grant: Grant) -> dict[str, Any]:
    return {
        "access": grant.access_token,
        "access_until": grant.access_until and grant.access_until.isoformat(),
        "refresh": grant.refresh_token,
        "refresh_until": grant.refresh_until and grant.refresh_until.isoformat(),
        "scopes": None if grant.scopes is None else sorted(grant.scopes),
    }


def _grant(data: dict[str, Any] | None) -> Grant | None:
    if data is None:
        return None
    scopes = None if data["scopes"] is None else frozenset(data["scopes"])
    return Grant(data["access"], scopes, _moment(data["access_until"]), data["refresh"], _moment(data["refresh_until"]))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
