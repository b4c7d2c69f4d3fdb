"""A stage for the card: a host page on one origin and a scripted plugin on another, with the real CSP."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import WSGIApplication

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tests.browser.render import TEMPLATES, render

NONCE = "stage-nonce"
Answer = tuple[int, str]  # status, fragment
Script = Callable[[Request], Answer | Response]

HOST_PAGE = """<!doctype html><html lang="en"><head><title>Host</title><style>
body { margin: 0 } iframe { border: 0; width: 100%; height: 100px; display: block }</style></head><body>
<iframe id="card" title="Shopify orders" src="CARD/card"></iframe>
<script>
window.messages = []; window.silent = false;
const theme = new URLSearchParams(location.search).get("theme");
addEventListener("message", (event) => {
  if (event.origin !== "CARD") return;
  messages.push(event.data);
  const { type, height } = event.data;
  if (type === "order-actions:height") document.getElementById("card").style.height = height + "px";
  const asks = ["order-actions:ready", "order-actions:token-please"].includes(type);
  const answer = { type: "order-actions:token", token: "jwt", theme };
  if (asks && !silent) event.source.postMessage(answer, "CARD");
});
</script></body></html>"""


@dataclass
class Stage:
    """What the plugin answers, by `METHOD /path`, and what it was asked."""

    host: str = ""
    card: str = ""
    start_url: str = "/start"
    scripts: dict[str, Script] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sessions: int = 0

    def fragment(self, path: str, template: str, context: dict[str, Any], status: int = 200) -> None:
        html = render(template, context)
        self.scripts[path] = lambda request: (status, html)

    def posts(self, path: str) -> list[dict[str, str]]:
        return [form for name, form in self.asked if name == f"POST {path}"]


def _csp(host: str) -> str:
    return (
        f"default-src 'none'; script-src 'nonce-{NONCE}'; style-src 'self'; connect-src 'self'; "
        f"img-src 'self' data:; frame-ancestors {host}; base-uri 'none'; form-action 'none'"
    )


def _plugin(stage: Stage) -> Callable[[Request], Response]:
    static = {
        f"/static/{name}": ((TEMPLATES / name).read_bytes(), kind)
        for name, kind in (("card.css", "text/css"), ("card.js", "text/javascript"), ("server.js", "text/javascript"))
    }
    shell = render(
        "shell.html",
        {
            "nonce": NONCE,
            "css_url": "/static/card.css",
            "js_url": "/static/card.js",
            "host_origins": json.dumps([stage.host]),
            "view": "list",
            "order_url": None,
            "crm": "token",
            "crm_script_url": "",
            "crm_app": "",
        },
    )

    def answer(request: Request) -> Response:
        if request.path in static:
            body, kind = static[request.path]
            return Response(body, content_type=kind)
        if request.path == "/card":
            return Response(shell, content_type="text/html", headers={"Content-Security-Policy": _csp(stage.host)})
        if request.path == "/session":
            stage.sessions += 1
            data = {"session": f"session-{stage.sessions}", "expires_in": 300, "start_url": stage.start_url}
            return Response(json.dumps(data), content_type="application/json")
        name = f"{request.method} {request.path}"
        stage.asked.append((name, request.form.to_dict()))
        if name not in stage.scripts:
            return Response("nothing here", 404)
        result = stage.scripts[name](request)
        if isinstance(result, Response):
            return result
        return Response(result[1], result[0], content_type="text/html")

    return answer


def served(app: Callable[[Request], Response]) -> AbstractContextManager[str]:
    return serving(Request.application(app))


@contextmanager
def serving(wsgi: WSGIApplication) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, wsgi, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Host page and plugin on two ports, so on two origins."""
    stage = Stage()
    page: dict[str, str] = {}
    with served(lambda request: Response(page["html"], content_type="text/html")) as host:
        stage.host = host
        with served(lambda request: page_plugin(request)) as card:
            stage.card = card
            page["html"] = HOST_PAGE.replace("CARD", card)
            page_plugin = _plugin(stage)
            yield stage
