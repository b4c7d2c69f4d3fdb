"""The store's OAuth side: the page that asks the merchant, and the token endpoint with all its grants."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from markupsafe import Markup
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from .server import World

PAGE = Markup(
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Install app</title><main><h1>Install app</h1>'
    "<p>The app {client} asks {shop} for: {scope}.</p>"
    '<form method="post"><button>Install</button></form></main></html>'
)


@dataclass
class App:
    """The app this store knows, and what it gave it. `scopes` None grants whatever is asked for."""

    id: str
    secret: str
    expires_in: int = 3600
    scopes: str | None = None
    codes: dict[str, str] = field(default_factory=dict)
    access: dict[str, tuple[float, str]] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    spare: dict[str, str] = field(default_factory=dict)
    renewals: int = 0
    silent: bool = False


def accepts(app: App | None, token: str | None, now: float) -> bool:
    """Whether an access token that this store gave still holds; its first use ends the refresh token before it."""
    if app is None or token not in app.access or now >= app.access[token][0]:
        return False
    app.refresh.pop(app.spare.pop(token, ""), None)
    return True


def answer(world: "World", request: Request) -> Response | None:
    """One OAuth request; None for any other."""
    app = world.app
    if app is None or not request.path.startswith("/admin/oauth/"):
        return None
    if request.path == "/admin/oauth/authorize":
        return _ask(world, app, request)
    if request.path == "/admin/oauth/access_token" and request.method == "POST":
        with world.store.lock:
            return _token(world, app, request.form)
    return Response("", 404)


def _ask(world: "World", app: App, request: Request) -> Response:
    given = request.args
    if given.get("client_id") != app.id or not urlsplit(given.get("redirect_uri", "")).netloc:
        return Response("Oauth error invalid_request", 400)
    scope = given.get("scope", "") if app.scopes is None else app.scopes
    if request.method != "POST":
        page = PAGE.format(client=app.id, shop=world.store.shop.domain, scope=scope)
        return Response(page, content_type="text/html; charset=utf-8")
    code = secrets.token_hex(16)
    app.codes[code] = scope
    back = {"code": code, "host": "c2FuZGJveA", "shop": world.store.shop.domain, "state": given.get("state", ""),
            "timestamp": str(int(world.store.clock()))}  # fmt: skip
    signed = urlencode(sorted(back.items()))
    mark = hmac.new(app.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
    return Response("", 302, {"Location": f"{given['redirect_uri']}?{signed}&hmac={mark}"})


def _token(world: "World", app: App, form: Mapping[str, str]) -> Response:
    if app.silent:
        return _json({}, 503)
    if (form.get("client_id"), form.get("client_secret")) != (app.id, app.secret):
        return _json({"error": "invalid_client"}, 401)
    kind = form.get("grant_type")
    if kind == "client_credentials":
        return _json(_given(world, app, app.scopes or "read_orders,write_orders,read_locations", 86399, None))
    if kind == "refresh_token":
        return _renewed(world, app, form.get("refresh_token", ""))
    scope = app.codes.pop(form.get("code", ""), None)
    if scope is None:
        return _json({"error": "invalid_request"}, 400)
    lasting = form.get("expiring") != "1"
    return _json(_given(world, app, scope, None if lasting else app.expires_in, None))


def _renewed(world: "World", app: App, token: str) -> Response:
    """Rotated on use; the old one holds until the new access token was used (facts/shopify.md §6)."""
    scope = app.refresh.get(token)
    if scope is None:
        return _json({"error": "invalid_grant"}, 400)
    app.renewals += 1
    return _json(_given(world, app, scope, app.expires_in, token))


def _given(world: "World", app: App, scope: str, seconds: int | None, before: str | None) -> dict[str, object]:
    access = f"shpat_{secrets.token_hex(16)}"
    world.store.scopes = frozenset(scope.replace(" ", "").split(","))
    until = world.store.clock() + (seconds if seconds is not None else 10**9)
    app.access[access] = (until, scope)
    made: dict[str, object] = {"access_token": access, "scope": scope}
    if seconds is None or seconds > app.expires_in:
        return made if seconds is None else {**made, "expires_in": seconds}
    refresh = f"shprt_{secrets.token_hex(16)}"
    app.refresh[refresh] = scope
    if before is not None:
        app.spare[access] = before
    return {**made, "expires_in": seconds, "refresh_token": refresh, "refresh_token_expires_in": 7776000}


def _json(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
