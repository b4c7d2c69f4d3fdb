"""Which stores may be acted on, and with which token: renewed before it ends, by one process at a time."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from plugin.commerce import oauth
from plugin.commerce.shopify import Connection
from plugin.errors import FixTheSetup, NothingHere, TryLater
from plugin.ports import Clock
from plugin.ports_stores import Connections
from plugin.shapes import ConnectedStore, Grant, StoreInfo, Way

EARLY = timedelta(minutes=5)  # a token is renewed so long before it ends
RENEWAL_SECONDS = 60.0
WAIT, TURNS = 0.25, 40  # how long another process's renewal is waited for
REMEMBER = 1.0  # seconds the list of stores may be old; a token never is
RECONNECT = "Shopify does not accept this store's connection any more. Connect it again: {}"


class ConnectedStores:
    """The Access socket over the table of connections."""

    def __init__(
        self, table: Connections, client: oauth.ShopifyApp | None,
        settings: Callable[[Sequence[str]], Mapping[str, Any]], clock: Clock, base: Callable[[str], str],
    ) -> None:  # fmt: skip
        self._table = table
        self._client = client
        self._settings = settings
        self._clock = clock
        self._base = base
        self._known: tuple[float, Sequence[StoreInfo]] | None = None

    def stores(self) -> Sequence[StoreInfo]:
        now = self._clock.now().timestamp()
        if self._known is None or not 0 <= now - self._known[0] < REMEMBER:
            self._known = (now, [self._info(one) for one in self._table.all() if one.state == "active"])
        return self._known[1]

    def _info(self, row: ConnectedStore) -> StoreInfo:
        scopes = row.grant.scopes if row.grant else None
        return StoreInfo(row.domain, row.name, self._settings(row.settings), scopes)

    def connection(self, domain: str) -> Connection:
        """The store with a token that is good for minutes. Raises NothingHere, FixTheSetup, TryLater."""
        row = self._table.get(domain)
        if row is None or row.state in ("waiting", "gone"):
            raise NothingHere("This store is not connected here.")
        if row.grant is None:
            raise FixTheSetup(row.problem or RECONNECT.format(row.again))
        grant = row.grant if not self._ending(row.grant, EARLY) else self._renewed(row, row.grant)
        return Connection(self._info(row), grant.access_token, self._base(domain))

    def _ending(self, grant: Grant, early: timedelta) -> bool:
        return grant.access_until is not None and self._clock.now() > grant.access_until - early

    def _renewed(self, row: ConnectedStore, grant: Grant) -> Grant:
        if not self._table.claim_renewal(row.domain, self._clock.now(), RENEWAL_SECONDS):
            return self._by_another(row.domain, grant)
        try:
            newest = self._table.get(row.domain)
            if newest is None or newest.grant is None:
                raise NothingHere("This store is not connected here.")
            if not self._ending(newest.grant, EARLY):
                return newest.grant
            return self._renew(newest)
        except TryLater:
            if self._ending(grant, timedelta(seconds=10)):
                raise
            return grant  # the old one still holds; the next call tries again
        finally:
            self._table.release_renewal(row.domain)

    def _renew(self, row: ConnectedStore) -> Grant:
        """Kept before it is used: a crash in between leaves the refresh token before it, which Shopify still takes."""
        client, base, now = self._client, self._base(row.domain), self._clock.now()
        if client is None:
            raise FixTheSetup("The app's client id and secret are missing: ORDER_ACTIONS_SHOPIFY_CLIENT_ID.")
        tries: Sequence[Callable[[], Grant]] = (
            [lambda: oauth.own(base, client, now)]
            if row.way is Way.OWN
            else [lambda token=token: oauth.renew(base, client, token, now) for token in row.refresh_tokens]  # type: ignore[misc]
        )
        refused: FixTheSetup | None = None
        for ask in tries:
            try:
                grant = ask()
            except FixTheSetup as error:
                refused = error
                continue
            self._table.renew(row, grant)
            return grant
        problem = RECONNECT.format(row.again)
        self._table.end(row.domain, "refused", problem)
        raise FixTheSetup(problem) from refused

    def _by_another(self, domain: str, grant: Grant) -> Grant:
        """Somebody else renews it; the old token serves as long as it holds."""
        if not self._ending(grant, timedelta(seconds=30)):
            return grant
        for _ in range(TURNS):
            self._clock.sleep(WAIT)
            row = self._table.get(domain)
            if row is not None and row.grant is not None and not self._ending(row.grant, EARLY):
                return row.grant
        raise TryLater("The store's access is being renewed. Nothing was done; try again in a minute.")
