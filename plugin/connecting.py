"""The HTTP door that only Kustomer needs: connecting an agent's account, and the command behind its proxy."""

import secrets
from collections.abc import Callable
from typing import Any

from flask import Response, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from plugin.app import App
from plugin.hosts.kustomer import KustomerHost
from plugin.wire import parsed

COOKIE = "order-actions-connect"
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Connected</title></head>
<body data-handle="{handle}"><h1>Connected</h1><p>You can close this window and go on in Kustomer.</p>
<script nonce="{nonce}">
window.opener?.postMessage({{ handle: document.body.dataset.handle }}, location.origin);
window.close();
</script></body></html>"""


def routes(app: App) -> list[tuple[str, str, Callable[..., Any]]]:
    """Nothing where another CRM is used."""
    host = app.tools.host
    if not isinstance(host, KustomerHost):
        return []
    door = _Door(host, app.config.public_url.startswith("https:"))
    return [
        ("/kustomer/connect", "GET", door.connect),
        ("/kustomer/callback", "GET", door.callback),
        ("/kustomer/commands/open", "POST", door.command),
    ]


class _Door:
    """The popup is a page of ours alone, so it may keep a cookie; the card never does."""

    def __init__(self, host: KustomerHost, secure: bool) -> None:
        self._host = host
        self._secure = secure

    def connect(self) -> AnyResponse:
        url, cookie = self._host.accounts.start()
        answer = redirect(url)
        answer.set_cookie(
            COOKIE, cookie, max_age=600, path="/kustomer", httponly=True, samesite="Lax", secure=self._secure
        )
        return answer

    def callback(self) -> AnyResponse:
        """The handle goes to the card that opened this window, and to no other origin."""
        asked = {name: request.args.getlist(name) for name in ("state", "code")}
        state, code = (values[0] if len(values) == 1 else "" for values in asked.values())
        handle = self._host.accounts.finish(request.cookies.get(COOKIE, ""), state, code)
        nonce = secrets.token_urlsafe(16)
        answer = Response(PAGE.format(handle=handle, nonce=nonce), mimetype="text/html")
        answer.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; "
            "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        )
        answer.delete_cookie(COOKIE, path="/kustomer")
        return answer

    def command(self) -> AnyResponse:
        secret = request.headers.get("Authorization", "").removeprefix("Bearer ")
        org, user = (request.headers.get(f"X-Kustomer-{one}-Id", "") for one in ("Org", "User"))
        return jsonify(self._host.command(secret, org, user, parsed(request.get_data())))
