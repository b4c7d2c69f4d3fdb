"""What ours is measured against: the least Flask app that checks a token or a signature and uses the database.

`python -m bench.bare DATABASE THREADS ADDRESS` serves it by the same gunicorn, with as many processes and threads.
"""

import hashlib
import hmac
import json
import sqlite3
import sys
import threading
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
from flask import Flask, Response, request
from gunicorn.app.base import BaseApplication
from jinja2 import Environment

ROOT = Path(__file__).parents[1]
SECRET = "a secret that is long enough for the tests"
SIGNED_WITH = b"hook"
FILTERS = {"money": "${:,.2f}".format, "date": lambda moment: moment[:10], "ago": "{} seconds ago".format}
ORDERS = "SELECT name, created_at, header FROM orders WHERE email_hash = {} ORDER BY created_at DESC"
TABLE = "CREATE TABLE IF NOT EXISTS bare_inbox (id TEXT PRIMARY KEY, topic TEXT NOT NULL, body {} NOT NULL)"
INSERT = "INSERT INTO bare_inbox VALUES ({0}, {0}, {0})"
BYTES = {"?": "BLOB", "%s": "BYTEA"}


def opened(database: str) -> tuple[Any, str]:
    """A connection of the bare driver that is as durable as ours, and the mark of its parameters."""
    if database.startswith("sqlite"):
        connection = sqlite3.connect(database.removeprefix("sqlite:///"), timeout=10, isolation_level=None)
        for one in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {one}")
        return connection, "?"
    import psycopg

    return psycopg.connect(database, autocommit=True), "%s"


def create_bare(database: str) -> Flask:
    web = Flask("bare")
    of_this_thread = threading.local()

    def execute(sentence: str, *values: Any) -> Any:
        if not hasattr(of_this_thread, "connection"):
            of_this_thread.connection, of_this_thread.mark = opened(database)
        return of_this_thread.connection.execute(sentence.format(of_this_thread.mark), values)

    connection, mark = opened(database)
    connection.execute(TABLE.format(BYTES[mark]))
    connection.close()
    template = _template()

    @web.get("/orders")
    def orders() -> Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="bare", options={"require": ["exp"]})
        return Response(template(execute(ORDERS, claims["sub"]).fetchall()), mimetype="text/html")

    @web.post("/webhooks/shopify")
    def webhook() -> tuple[str, int]:
        body = request.get_data()
        good = b64encode(hmac.new(SIGNED_WITH, body, hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(good, request.headers["X-Shopify-Hmac-Sha256"]):
            return "no", 401
        execute(INSERT, request.headers["X-Shopify-Webhook-Id"], request.headers["X-Shopify-Topic"], body)
        return "ok", 200

    @web.get("/healthz")
    def health() -> str:
        return "ok"

    return web


def _template() -> Callable[[Any], str]:
    """The card's own template in plain Jinja2, given what it needs and no more. Nothing of ours is imported here."""
    plain = Environment(autoescape=True)
    plain.filters |= FILTERS
    template = plain.from_string((ROOT / "card_templates/orders.html").read_text("utf-8"))

    def row(name: str, date: str, header: str) -> dict[str, Any]:
        facts = json.loads(header)
        return {"store_name": "Sandbox store", "url": f"/{name}", "name": name, "date": date,
                "amount": float(facts["total"]["amount"]), "status": facts["displayFulfillmentStatus"]}  # fmt: skip

    def render(rows: Any) -> str:
        return template.render(
            rows=[row(*one) for one in rows], customer={"name": "Somebody"}, query="", reviews=None, problem=None,
            age_seconds=0, pages=1, search_url="/orders", refresh_url="/orders",
        )  # fmt: skip

    return render


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(self, database: str, threads: str, bind: str) -> None:
        self._database = database
        self._options = {"bind": bind, "workers": 2, "worker_class": "gthread", "threads": int(threads),
                         "control_socket_disable": True}  # fmt: skip
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_bare(self._database)


if __name__ == "__main__":
    _Gunicorn(*sys.argv[1:]).run()
