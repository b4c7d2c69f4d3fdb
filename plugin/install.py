"""The browser's way through Shopify's permission page: two addresses outside of the card, with their own cookie."""

from collections.abc import Callable
from typing import Any

from flask import Response, make_response, redirect, request
from markupsafe import Markup

from plugin import store_setup, subscriptions
from plugin.app import App

COOKIE = "order_actions_state"
PATH = "/shopify/callback"
_PAGE = Markup(
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    "<main><h1>{title}</h1><p>{text}</p></main></html>"
)


def routes(app: App) -> list[tuple[str, str, Callable[..., Any]]]:
    """Where the browser begins, and where Shopify sends it back."""
    secure = not app.config.sandbox_store

    def install() -> Any:
        target, state = store_setup.begin_install(app, request.args.get("shop", ""))
        answer = redirect(target, 302)
        answer.set_cookie(COOKIE, state, max_age=600, httponly=True, secure=secure, samesite="Lax", path=PATH)
        return answer

    def callback() -> Response:
        raw = request.query_string.decode("latin-1")
        row, missing = store_setup.finish_install(app, raw, request.cookies.get(COOKIE, ""))
        subscriptions.begin(app, row.domain)
        answer = make_response(_PAGE.format(title=f"{row.name} is connected", text=_told(missing)))
        answer.delete_cookie(COOKIE, path=PATH)
        return answer

    return [("/shopify/install", "GET", install), (PATH, "GET", callback)]


def _told(missing: list[str]) -> str:
    if not missing:
        return "Its orders appear beside your customers from now on. You may close this page."
    return (
        f"Shopify did not grant {', '.join(missing)}. Actions that need it stay closed and say so. "
        "Give the app these access scopes, then open the link once more."
    )
