"""The desk over HTTP: one page, a token for the card, and the notes."""

import hmac
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, jsonify, render_template, request
from werkzeug.serving import BaseWSGIServer

from ..running import start, stop
from . import shop
from .notes import Notes, parse
from .people import AGENTS, CONVERSATIONS, Customer, sign

HERE = Path(__file__).parent
MAX_BODY = 64 * 1024


@dataclass
class Running:
    """A started desk."""

    server: BaseWSGIServer
    notes: Notes
    thread: threading.Thread

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        stop(self.server, self.thread)


def serve(port: int, card_url: str, jwt_secret: str, store_url: str, notes_token: str) -> Running:
    """Start the desk on loopback, in a thread."""
    notes = Notes()
    app = _app(card_url, jwt_secret, store_url, notes_token, notes)
    server, thread = start(app, port, "sandbox-desk")
    return Running(server, notes, thread)


def _app(card_url: str, jwt_secret: str, store_url: str, notes_token: str, notes: Notes) -> Flask:
    app = Flask("desk", static_folder=str(HERE / "static"), template_folder=str(HERE / "templates"))
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    door = _Door(card_url, jwt_secret, store_url, notes_token, notes)
    routes: tuple[tuple[str, str, Callable[[], Any]], ...] = (
        ("/", "GET", door.page),
        ("/api/token", "GET", door.token),
        ("/api/orders", "GET", door.orders),
        ("/api/notes", "GET", door.list_notes),
        ("/api/notes", "POST", door.take_note),
    )
    for rule, method, view in routes:
        app.add_url_rule(rule, f"{method} {rule}", view, methods=[method])
    app.register_error_handler(shop.StoreSilent, _silent)
    card = "{0.scheme}://{0.netloc}".format(urlsplit(card_url))

    def harden(answer: Response) -> Response:
        answer.headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            f"img-src 'self' data:; frame-src {card}; base-uri 'none'; form-action 'self'; "
            "frame-ancestors 'none'"
        )
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Cache-Control"] = "no-store"
        return answer

    app.after_request(harden)
    return app


def _silent(_: Exception) -> tuple[Response, int]:
    return jsonify(message="The sandbox store does not answer."), 503


@dataclass(frozen=True)
class _Door:
    card_url: str
    jwt_secret: str
    store_url: str
    notes_token: str
    notes: Notes

    def page(self) -> str:
        agent = AGENTS.get(request.args.get("agent", ""), next(iter(AGENTS.values())))
        trouble, people, orders = None, list[Customer](), list[shop.Entry]()
        customer = None
        try:
            people = shop.customers(self.store_url)
            customer = _chosen(people, shop.number(request.args.get("customer", "")))
            orders = shop.entries(self.store_url, customer) if customer else []
        except shop.StoreSilent:
            trouble = "The sandbox store does not answer, so there are no customers here yet. Reload in a moment."
        turn = people.index(customer) if customer else 0
        return render_template(
            "desk.html",
            agents=list(AGENTS.values()),
            agent=agent,
            people=people,
            customer=customer,
            orders=orders,
            said=CONVERSATIONS[turn % len(CONVERSATIONS)],
            card_url=self.card_url,
            store_url=self.store_url,
            trouble=trouble,
        )

    def token(self) -> Response:
        agent = AGENTS.get(request.args.get("agent", ""))
        customer = self._asked_customer()
        if agent is None or customer is None:
            abort(404)
        order = request.args.get("order") or None
        return jsonify(token=sign(agent, customer, order, self.jwt_secret))

    def orders(self) -> Response:
        customer = self._asked_customer()
        if customer is None:
            abort(404)
        return jsonify([asdict(one) for one in shop.entries(self.store_url, customer)])

    def _asked_customer(self) -> Customer | None:
        wanted = shop.number(request.args.get("customer", ""))
        return next((one for one in shop.customers(self.store_url) if one.id == wanted), None)

    def list_notes(self) -> Response:
        return jsonify(self.notes.shown(request.args.get("customer")))

    def take_note(self) -> tuple[Response, int]:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self.notes_token.encode()):
            return jsonify(message="The token for notes is wrong."), 401
        try:
            note = parse(request.get_json(silent=True))
        except ValueError as wrong:
            return jsonify(message=str(wrong)), 400
        new = self.notes.keep(note)
        return jsonify(external_id=note.external_id, new=new), 201 if new else 200


def _chosen(people: list[Customer], wanted: str) -> Customer | None:
    return next((one for one in people if one.id == wanted), people[0] if people else None)
