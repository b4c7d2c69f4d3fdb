"""The browser's way through Shopify's permission page: two addresses outside of the card, with their own cookie."""

from typing import Any

from flask import Flask, Response, make_response, redirect, request
from markupsafe import Markup

from plugin import connecting
from plugin.app import App

COOKIE = "order_actions_state"
PATH = "/shopify/callback"
_PAGE = Markup(
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    "<main><h1>{title}</h1><p>{text}</p></main></html>"
)


def add_install(web: Flask, app: App) -> None:
    """Put both addresses behind the door."""
    secure = not app.config.sandbox_store

    def install() -> Any:
        target, state = connecting.begin_install(app, request.args.get("shop", ""))
        answer = redirect(target, 302)
        answer.set_cookie(COOKIE, state, max_age=600, httponly=True, secure=secure, samesite="Lax", path=PATH)
        return answer

    def callback() -> Response:
        raw = request.query_string.decode("latin-1")
        row, missing = connecting.finish_install(app, raw, request.cookies.get(COOKIE, ""))
        answer = make_response(_PAGE.format(title=f"{row.name} is connected", text=_told(missing)))
        answer.delete_cookie(COOKIE, path=PATH)
        return answer

    web.add_url_rule("/shopify/install", "GET /shopify/install", install, methods=["GET"])
    web.add_url_rule(PATH, f"GET {PATH}", callback, methods=["GET"])


def _told(missing: list[str]) -> str:
    if not missing:
        return "Its orders appear beside your customers from now on. You may close this page."
    return (
        f"Shopify did not grant {', '.join(missing)}. Actions that need it stay closed and say so. "
        "Give the app these access scopes, then open the link once more."
    )
