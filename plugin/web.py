"""The HTTP door: the card and its fragments, the session, and Shopify's webhooks."""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from plugin import deciding, flow, searching, sessions, views, webhooks
from plugin.admin_door import routes as admin_routes
from plugin.app import App
from plugin.connecting import routes as connecting_routes
from plugin.errors import (
    ActInShopify,
    AskAnAdmin,
    FixTheSetup,
    LookAgain,
    NotAllowed,
    NothingHere,
    OrderActionsError,
    SignInAgain,
    TooBusy,
    TooOften,
    TryLater,
    WaitForRun,
)
from plugin.flow import View
from plugin.gate import MOST, RETRY_AFTER, Gate
from plugin.guard import Guard
from plugin.install import routes as install_routes
from plugin.logs import tell
from plugin.monitoring import Monitoring, bounded, count_requests
from plugin.shapes import Place, Session
from plugin.tokens import SESSION_SECONDS

STATIC = frozenset({"card.css", "card.js", "server.js", "kustomer.js"})
MAX_BODY = 512 * 1024
MAX_WEBHOOK = 8 * 1024 * 1024  # an order of hundreds of lines has megabytes; Shopify gives up an address that refuses
_ITEM = re.compile(r"([a-z_][a-z0-9_]*)\[([^\[\]]+)\]")

# error: (HTTP status, title of the message)
STATUS: Mapping[type[OrderActionsError], tuple[int, str]] = {
    SignInAgain: (401, "Sign in again"),
    NotAllowed: (403, "Not allowed"),
    NothingHere: (404, "Not found"),
    LookAgain: (409, "Look again"),
    WaitForRun: (409, "Somebody is working on this order"),
    ActInShopify: (409, "Work on this order in Shopify"),
    AskAnAdmin: (403, "Refunds are stopped"),
    TooOften: (429, "Too many requests"),
    TooBusy: (503, "Try again in some seconds"),
    TryLater: (503, "Try again in a minute"),
    FixTheSetup: (503, "This needs an administrator"),
}


def create_web(app: App) -> Flask:
    """The WSGI application."""
    web = Flask("order-actions", static_folder=None)
    web.url_map.merge_slashes = False  # an address is ours or it is not; nothing is sent on to another
    web.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    web.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY
    gates = {name: Gate(name) for name in MOST}
    web.extensions["gates"] = gates
    guard = Guard(app)
    door = _Door(app, gates["submits"], guard)
    rules = [*door.routes(), *Monitoring(app).routes(), *connecting_routes(app), *install_routes(app)]
    for rule, method, view in rules:
        name = f"{method} {rule}"
        guarded = guard.before(name, bounded(rule, view, gates["requests"]))
        web.add_url_rule(rule, name, guarded, methods=[method])
    count_requests(web)
    web.register_error_handler(Exception, door.failed)
    web.after_request(_harden)
    return web


def _harden(answer: Response) -> Response:
    answer.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


class _Door:
    """Parses requests, calls the flow, renders what it gives."""

    def __init__(self, app: App, submits: Gate, guard: Guard) -> None:
        self._app = app
        self._guard = guard
        self._tools = app.tools
        self._submits = submits

    def routes(self) -> list[tuple[str, str, Callable[..., Response]]]:
        one = "/stores/<store>/orders/<order>"
        form = f"{one}/actions/<action>"
        return [
            ("/card", "GET", self.shell),
            ("/static/<name>", "GET", self.static),
            ("/session", "POST", self.session),
            ("/orders", "GET", self.orders),
            ("/orders/refresh", "POST", self.refresh_orders),
            ("/orders/find", "GET", self.find),
            (one, "GET", self.order),
            (f"{one}/refresh", "POST", self.refresh_order),
            (form, "GET", self.open_form),
            (f"{form}/preview", "POST", self.preview),
            (form, "POST", self.submit),
            (f"{form}/sent", "POST", self.sent),
            (f"{one}/runs/<run>", "GET", self.follow),
            (f"{one}/runs/<run>/review", "GET", self.review),
            (f"{one}/runs/<run>/review/preview", "POST", self.preview_review),
            (f"{one}/runs/<run>/review", "POST", self.decide),
            (f"{one}/runs/<run>/review/sent", "POST", self.sent_review),
            ("/reviews", "GET", self.reviews),
            ("/webhooks/shopify", "POST", self.webhook),
            *admin_routes(self._app, self._session, self._show, lambda: posted(self._app, "")),
        ]

    # ------------------------------------------------------------ pages

    def shell(self) -> Response:
        nonce = secrets.token_urlsafe(16)
        config, crm = self._app.config, self._app.tools.bundle.host
        origins = config.host_origins
        script = config.kustomer_script if crm == "kustomer" else ""
        html = self._app.cards.render("shell", {
            "nonce": nonce, "css_url": "/static/card.css", "js_url": "/static/card.js",
            "host_origins": json.dumps(list(origins)), "view": "list", "order_url": None,
            "crm": crm, "crm_script_url": script, "crm_app": config.kustomer_app,
        })  # fmt: skip
        answer = Response(html, mimetype="text/html")
        answer.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'nonce-{nonce}' {script}; style-src 'self'; connect-src 'self'; "
            f"img-src 'self' data:; frame-ancestors {' '.join(origins)}; base-uri 'none'; form-action 'none'"
        )
        return answer

    def static(self, name: str) -> Response:
        if name not in STATIC:
            raise NothingHere("There is no such file.")
        body = (self._app.root / "card_templates" / name).read_bytes()
        answer = Response(body, mimetype="text/css" if name.endswith(".css") else "text/javascript")
        answer.headers["Cache-Control"] = "no-cache"
        answer.add_etag()
        answer.make_conditional(request)
        return answer

    def session(self) -> Response:
        identity = self._tools.host.identify(_bearer(), self._guard.count)
        token, start = sessions.sign_in(self._tools, self._app.tokens, identity)
        return _json({"session": token, "expires_in": SESSION_SECONDS, "start_url": start})

    # ------------------------------------------------------------ fragments

    def orders(self) -> Response:
        page = request.args.get("page", "1")
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 5 else 1
        return self._show(flow.card(self._tools, self._session(), request.args.get("q", "")[:100], number))

    def refresh_orders(self) -> Response:
        return self._show(flow.card(self._tools, self._session(), force=True))

    def find(self) -> Response:
        number = request.args.get("number", "")[:100]
        return self._show(searching.search(self._tools, self._app.tokens, self._session(), number))

    def order(self, store: str, order: str) -> Response:
        return self._show(flow.order(self._tools, self._session(), _place(store, order)))

    def refresh_order(self, store: str, order: str) -> Response:
        return self._show(flow.order(self._tools, self._session(), _place(store, order), force=True))

    def open_form(self, store: str, order: str, action: str) -> Response:
        place = _place(store, order)
        return self._show(flow.open_form(self._tools, self._app.tokens, self._session(), place, action))

    def preview(self, store: str, order: str, action: str) -> Response:
        return self._show(self._with_form(flow.preview, store, order, action))

    def submit(self, store: str, order: str, action: str) -> Response:
        with self._submits.entered():
            return self._show(self._with_form(flow.submit, store, order, action))

    def sent(self, store: str, order: str, action: str) -> Response:
        _, token = posted(self._app, action)
        place = _place(store, order)
        return self._show(flow.sent(self._tools, self._app.tokens, self._session(), place, action, token))

    def follow(self, store: str, order: str, run: str) -> Response:
        return self._show(flow.follow(self._tools, self._session(), _place(store, order), run))

    def reviews(self) -> Response:
        return self._show(deciding.reviews(self._tools, self._session()))

    def review(self, store: str, order: str, run: str) -> Response:
        place = _place(store, order)
        return self._show(deciding.open_review(self._tools, self._app.tokens, self._session(), place, run))

    def preview_review(self, store: str, order: str, run: str) -> Response:
        return self._show(self._with_form(deciding.preview, store, order, run))

    def decide(self, store: str, order: str, run: str) -> Response:
        with self._submits.entered():
            return self._show(self._with_form(deciding.decide, store, order, run))

    def sent_review(self, store: str, order: str, run: str) -> Response:
        _, token = posted(self._app, run)
        place = _place(store, order)
        return self._show(deciding.sent(self._tools, self._app.tokens, self._session(), place, run, token))

    def _with_form(self, step: Callable[..., View], store: str, order: str, name: str) -> View:
        """`name` is the action whose form it is, or the run that is decided about."""
        session = self._session()
        raw, token = posted(self._app, name)
        return step(self._tools, self._app.tokens, session, _place(store, order), name, raw, token)

    def _session(self) -> Session:
        claims = self._app.tokens.open_session(_bearer())
        self._guard.count(claims.agent_id)
        proof = self._app.tokens.open_found(request.headers.get("X-Order-Found", ""))
        return sessions.session_of(self._tools, claims, proof=proof)

    def _show(self, view: View) -> Response:
        return Response(self._app.cards.render(view.card, view.context), view.status, mimetype="text/html")

    # ------------------------------------------------------------ webhooks

    def webhook(self) -> Response:
        request.max_content_length = MAX_WEBHOOK
        body = request.get_data()
        headers = dict(request.headers.items())
        try:
            delivery = webhooks.delivery_of(headers)
            webhooks.verify(body, headers, webhook_secrets(self._app, delivery.store))
            inbox = webhooks.Inbox(self._tools, self._app.connections, self._app.privacy)
            result = webhooks.take(inbox, delivery, body)
        except SignInAgain as error:
            tell("webhook.refused", error=type(error).__name__)
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            tell("webhook.refused", error=type(error).__name__)
            return Response("not what its topic says\n", 400, mimetype="text/plain")
        return Response(f"{result}\n", mimetype="text/plain")

    # ------------------------------------------------------------ errors

    def failed(self, error: Exception) -> Response:
        status, title, text = self._told(error)
        if request.path in ("/session", "/webhooks/shopify", "/kustomer/commands/open"):
            answer = _json({"message": text}, status)
        else:
            context = views.message(title, text)
            answer = Response(self._app.cards.render("message", context), status, mimetype="text/html")
        if isinstance(error, TooBusy | TooOften):
            answer.headers["Retry-After"] = str(RETRY_AFTER if isinstance(error, TooBusy) else error.seconds)
        return answer

    def _told(self, error: Exception) -> tuple[int, str, str]:
        """Status, title and sentence of anything that went wrong; what we did not foresee says nothing inner."""
        if isinstance(error, OrderActionsError):
            status, title = STATUS.get(type(error), (500, "Something went wrong"))
            if status >= 500 and not isinstance(error, TooBusy):
                _failed(error, status, self._form_run())
            return status, title, str(error)
        code = getattr(error, "code", None)
        if isinstance(code, int) and 400 <= code < 500:
            return code, HTTPStatus(code).phrase, "This request cannot be answered."
        _failed(error, 500, self._form_run())
        return 500, "Something went wrong", "Look at the order again before you repeat anything."

    def _form_run(self) -> str | None:
        """The run that the form which came is, or would be."""
        try:
            return self._app.tokens.open_form(request.form.get("token", ""), even_old=True).run_id
        except (OrderActionsError, HTTPException):
            return None


def webhook_secrets(app: App, domain: str) -> tuple[str, ...]:
    """A custom app signs with a secret of its own; the header only says whose to try."""
    row = app.connections.get(domain)
    return row.app_secrets if row is not None and row.app_secrets else app.config.client_secrets


def _failed(error: Exception, status: int, form_run: str | None) -> None:
    """The log's entry, with the order and the run that address or form name, and the trace of what was not foreseen."""
    args = {"run": form_run, **(request.view_args or {})}
    named = {name: args[name] for name in ("store", "order", "action", "run") if name in args}
    route = request.url_rule.rule if request.url_rule else "none"
    unforeseen = None if isinstance(error, OrderActionsError) else error
    tell(
        "request.failed", raised=unforeseen, error=type(error).__name__, route=route, method=request.method,
        status=status, **named,
    )  # fmt: skip


def _json(data: Mapping[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(data), status, mimetype="application/json")


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise SignInAgain("Your session has ended. Open the card again.")
    return token


def _place(store: str, order: str) -> Place:
    if not re.fullmatch(r"[0-9]{1,20}", order):
        raise NothingHere("There is no such order.")
    return Place(store, order)


def posted(app: App, action_id: str) -> tuple[dict[str, Any], str]:
    """The posted form as `{field: text | {key: text}}`, and its token. A name sent twice is refused."""
    raw: dict[str, Any] = {}
    token = ""
    for name, values in request.form.lists():
        if len(values) != 1:
            raise LookAgain(f"The form sent {name} twice. Nothing was done.")
        item = _ITEM.fullmatch(name)
        if name == "token":
            token = values[0]
        elif item:
            inner = raw.setdefault(item[1], {})
            if isinstance(inner, dict):
                inner[item[2]] = values[0]
        else:
            raw[name] = values[0]
    action = app.tools.bundle.actions.get(action_id)
    for field in action.fields if action else ():
        if field.type == "boolean":
            raw.setdefault(field.name, "false")  # an unticked box is not sent
    return raw, token
