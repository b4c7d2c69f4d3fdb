"""How a store is let in: announced by an admin, then by OAuth, by its own organisation's app, or by a token."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from plugin.app import App, store_address
from plugin.commerce import oauth
from plugin.commerce.shopify import Connection, Shopify
from plugin.errors import FixTheSetup, NothingHere, SignInAgain
from plugin.permissions import missing_scopes
from plugin.ports import Commerce
from plugin.shapes import ConnectedStore, Grant, StoreInfo, Way
from plugin.wire import is_safe_address

SCOPES = """query GrantedScopes { currentAppInstallation { accessScopes { handle } } }"""
REMOVED = "An admin removed this store."


def needed_scopes(app: App) -> list[str]:
    """What the bundle's actions declare, once each, in order."""
    actions = app.tools.bundle.actions.values()
    return sorted({scope for action in actions for scope in action.scopes})


def announce(app: App, domain: str, name: str) -> None:
    """Write down which store may come by OAuth. Nothing else lets one in. Raises FixTheSetup."""
    oauth.shop_domain(domain)
    _client(app)
    app.connections.announce(domain, name.strip())


def connect_token(app: App, domain: str, name: str, token: str, app_secrets: Sequence[str] = ()) -> list[str]:
    """A custom app's own token, which does not expire; gives the scopes that are missing. Raises as `_keep`."""
    return _keep(app, domain, name, Way.TOKEN, app_secrets, Grant(token, None))


def connect_own(app: App, domain: str, name: str) -> list[str]:
    """An app of the store's own organisation: its id and secret are enough. Raises as `_keep`."""
    grant = oauth.own(store_address(app.config, domain), _client(app), app.tools.clock.now())
    return _keep(app, domain, name, Way.OWN, (), grant)


def _client(app: App) -> oauth.ShopifyApp:
    if app.config.shopify_app is None:
        raise FixTheSetup(
            "The Shopify app is not known here: set ORDER_ACTIONS_SHOPIFY_CLIENT_ID and "
            "ORDER_ACTIONS_SHOPIFY_CLIENT_SECRETS, or give the token of a custom app with --token."
        )
    return app.config.shopify_app


def _keep(app: App, domain: str, name: str, way: Way, app_secrets: Sequence[str], grant: Grant) -> list[str]:
    """Shopify is asked with the new token first: what works now stays until this is seen to work.

    Raises FixTheSetup, TryLater.
    """
    address = store_address(app.config, domain)
    trial = Shopify(
        _Trial(Connection(StoreInfo(domain, name, {}), grant.access_token, address)), app.tools.bundle.api_version
    )
    granted = _granted(trial, domain)
    app.connections.connect(
        domain, name.strip(), way, app_secrets, replace(grant, scopes=granted), app.tools.clock.now()
    )
    return missing_scopes(granted, needed_scopes(app))


def look_at_scopes(app: App, domain: str) -> None:
    """Keep what Shopify says is granted now, whatever it told or did not tell us. Raises FixTheSetup, TryLater."""
    app.connections.set_scopes(domain, _granted(app.tools.commerce, domain))


def _granted(commerce: Commerce, domain: str) -> frozenset[str]:
    data = commerce.read(domain, SCOPES, {})
    return frozenset(str(one["handle"]) for one in data["currentAppInstallation"]["accessScopes"])


@dataclass(frozen=True)
class _Trial:
    """The Access socket for one token that is not kept yet."""

    one: Connection

    def stores(self) -> Sequence[StoreInfo]:
        return [self.one.info]

    def connection(self, domain: str) -> Connection:
        return self.one


# ---------------------------------------------------------------- in the browser


def install_url(app: App, domain: str) -> str:
    """Where an admin's browser begins. Raises FixTheSetup."""
    return f"{public_address(app)}/shopify/install?shop={domain}"


def begin_install(app: App, domain: str) -> tuple[str, str]:
    """Shopify's permission page and the state that must come back. Raises NothingHere, FixTheSetup."""
    row = _announced(app, domain)
    client = app.config.shopify_app
    if client is None:
        raise FixTheSetup("The Shopify app is not known here. Ask whoever runs this installation.")
    state = secrets.token_hex(32)
    app.connections.keep_state(state, row.domain, app.tools.clock.now())
    base, back = store_address(app.config, row.domain), f"{public_address(app)}/shopify/callback"
    scopes = sorted({*needed_scopes(app), *app.tools.bundle.scopes})
    return oauth.authorize_url(base, client.id, scopes, back, state), state


def finish_install(app: App, raw_query: str, browser_state: str) -> tuple[ConnectedStore, list[str]]:
    """Shopify sent the browser back: check all of it, take the tokens, and say which scopes are missing.

    Raises SignInAgain for a callback that is forged, old, used or of another browser; FixTheSetup, TryLater.
    """
    client, now = app.config.shopify_app, app.tools.clock.now()
    if client is None:
        raise SignInAgain("The Shopify app is not known here.")
    told = oauth.read_callback(raw_query, client.secrets, now)
    same_browser = browser_state and secrets.compare_digest(browser_state.encode(), told.state.encode())
    if not same_browser or not app.connections.use_state(told.state, told.shop, now):
        raise SignInAgain("This installation was begun elsewhere or is too old. Open the link once more.")
    _announced(app, told.shop)
    grant = oauth.exchange(store_address(app.config, told.shop), client, told.code, now)
    app.connections.connect(told.shop, "", Way.OAUTH, (), grant, now)
    row = app.connections.get(told.shop)
    assert row is not None
    return row, missing_scopes(grant.scopes, needed_scopes(app))


def _announced(app: App, domain: str) -> ConnectedStore:
    row = app.connections.get(domain) if oauth.SHOP.fullmatch(domain) else None
    if row is None or not row.invited:
        raise NothingHere("This store was not announced here. An admin does that with: order-actions stores add")
    return row


def public_address(app: App) -> str:
    if not is_safe_address(app.config.public_url):
        raise FixTheSetup("ORDER_ACTIONS_PUBLIC_URL is missing or not an https address.")
    return app.config.public_url.rstrip("/")
