"""What watches the server from outside: is the process up, can it work, how is it doing; and every request counted."""

import hmac
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.serving import WSGIRequestHandler, make_server

from plugin import metrics
from plugin.app import App
from plugin.errors import FixTheSetup
from plugin.gate import Gate

TEXT = "text/plain; version=0.0.4; charset=utf-8"
_ALWAYS = {"/healthz", "/readyz", "/metrics", "/webhooks/shopify"}  # answered however full the cards are

View = Callable[..., Response]


class Monitoring:
    """The routes for machines; nothing here is for agents."""

    def __init__(self, app: App) -> None:
        self._app = app

    def routes(self) -> list[tuple[str, str, View]]:
        return [
            ("/healthz", "GET", self.health),
            ("/readyz", "GET", self.ready),
            ("/metrics", "GET", self.metrics),
        ]

    def health(self) -> Response:
        return _plain("ok\n")

    def ready(self) -> Response:
        problems = self._app.tools.watch.problems()
        return _plain("\n".join(problems) + "\n", 503) if problems else _plain("ok\n")

    def metrics(self) -> Response:
        """Only with the token. The sender's address proves nothing: behind a proxy everybody is 127.0.0.1."""
        wanted = self._app.config.metrics_token
        if wanted is None:
            return _plain("closed: ORDER_ACTIONS_METRICS_TOKEN is not set\n", 404)
        given = request.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, f"Bearer {wanted}".encode()):
            return _plain("the bearer token is missing or wrong\n", 401)
        tools = self._app.tools
        body = metrics.exposed(tools.watch.figures(tools.clock.now()))
        return Response(body, content_type=TEXT)


@contextmanager
def watched(app: App, bind: str) -> Iterator[int]:
    """Health and figures of a process that serves nothing else, at `host:port`; gives the port. Raises FixTheSetup."""
    web = Flask("order-actions", static_folder=None)
    for rule, method, view in Monitoring(app).routes():
        web.add_url_rule(rule, rule, view, methods=[method])
    host, _, port = bind.rpartition(":")
    try:
        if not host:
            raise ValueError("no host")  # an empty one would listen to everybody
        server = make_server(host, int(port), web, threaded=True, request_handler=_Quiet)
    except (ValueError, OSError, SystemExit) as error:  # werkzeug leaves the program when a port is taken
        raise FixTheSetup(f"Nothing can listen at {bind!r}. Write a free address like 127.0.0.1:8101.") from error
    thread = threading.Thread(target=server.serve_forever, name="monitoring", daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Scrapes are no news."""


def _plain(text: str, status: int = 200) -> Response:
    return Response(text, status, mimetype="text/plain")


def bounded(rule: str, view: View, gate: Gate) -> View:
    """The view behind the gate that keeps threads free; monitors and webhooks are never shed."""
    if rule in _ALWAYS:
        return view

    def enter(**names: str) -> Response:
        with gate.entered():
            return view(**names)

    return enter


def count_requests(web: Flask) -> None:
    """Every answer is counted under its route's pattern, so that no address becomes a label."""

    def begin() -> None:
        g.began = time.monotonic()

    def end(answer: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        method = request.method if request.url_rule else "any"
        metrics.count("http_requests", route=route, method=method, status=str(answer.status_code))
        if "began" in g:
            metrics.took("http_seconds", time.monotonic() - g.began, route=route)
        return answer

    web.before_request(begin)
    web.after_request(end)
