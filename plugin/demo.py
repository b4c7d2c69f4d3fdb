"""The demo: sandbox store, sandbox desk and the plugin beside each other on loopback."""

import json
import secrets
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from werkzeug.serving import WSGIRequestHandler, make_server

from plugin.app import App, Config, build
from plugin.errors import FixTheSetup
from plugin.legacy import import_legacy
from plugin.sandbox import desk, store
from plugin.store_setup import connect_token
from plugin.web import create_web
from plugin.worker import Worker

HOST = "127.0.0.1"
DOMAIN = "sandbox.myshopify.com"


@dataclass(frozen=True)
class Demo:
    """Three addresses that run until the context ends."""

    desk_url: str
    card_url: str
    store_url: str
    app: App


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Requests are not worth a line each."""


@contextmanager
def running(
    root: Path, port: int, loads: Sequence[Path] = (), say: Callable[[str], None] = lambda line: None,
    settings: Sequence[str] = (), data: Path | None = None,
) -> Iterator[Demo]:  # fmt: skip
    """Start everything on `port`, `port + 1` and `port + 2`; ends it all on leaving. Raises FixTheSetup."""
    ports = free_ports(port)
    desk_url, card_url, store_url = (f"http://{HOST}:{one}" for one in ports)
    webhook, jwt_secret, notes, token, client = (secrets.token_urlsafe(32) for _ in range(5))
    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="order-actions-")))
        config = Config(
            secrets=(secrets.token_urlsafe(32),),
            database=f"sqlite:///{folder / 'order-actions.sqlite'}",
            host_secret=jwt_secret,
            host_issuer="desk",
            host_origins=(desk_url, f"http://localhost:{ports[0]}"),
            notes_url=f"{desk_url}/api/notes",
            notes_token=notes,
            public_url=card_url,
            client_id=client,
            client_secrets=(webhook,),
            sandbox_store=store_url,
            settings=("settle_time=20", *settings),
        )
        app = build(config, root)
        stack.callback(app.close)
        connect_token(app, DOMAIN, "Sandbox store", token)
        served = store.serve(
            ports[2],
            token=token,
            schema_path=root / app.tools.bundle.schema,
            webhook_secret=webhook,
        )
        stack.callback(served.close)
        _load(store_url, loads, say)
        legacy = requests.get(f"{store_url}/_sandbox/legacy", timeout=10).text
        import_legacy(app.tools, DOMAIN, legacy, "the older app")
        stack.enter_context(_serving(app, ports[1]))
        stack.callback(desk.serve(ports[0], f"{card_url}/card", jwt_secret, store_url, notes).close)
        yield Demo(desk_url, card_url, store_url, app)


@contextmanager
def _serving(app: App, port: int) -> Iterator[None]:
    server = make_server(HOST, port, create_web(app), threaded=True, request_handler=_Quiet)
    worker = Worker(app)
    threading.Thread(target=server.serve_forever, name="plugin", daemon=True).start()
    worker.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        worker.stop()


def _load(store_url: str, loads: Sequence[Path], say: Callable[[str], None]) -> None:
    for path in loads:
        try:
            payload = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FixTheSetup(f"{path} cannot be loaded: {error}") from error
        answer = requests.post(f"{store_url}/_sandbox/load", json=payload, timeout=30)
        told = answer.json()
        if answer.status_code != 200:
            raise FixTheSetup(f"{path} cannot be loaded: {told.get('message', answer.status_code)}")
        for sentence in told["sentences"]:
            say(f"{path.name}: {sentence}")


def free_ports(port: int) -> tuple[int, int, int]:
    """Three ports in a row. Raises FixTheSetup when one is taken."""
    if port == 0:
        port = _any_port()
    for one in (port, port + 1, port + 2):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, one))
            except (OSError, OverflowError) as error:
                raise FixTheSetup(
                    f"Port {one} is taken. The demo needs {port}, {port + 1} and {port + 2}; "
                    f"choose others with PORT={port + 10} make demo, or --port {port + 10}."
                ) from error
    return port, port + 1, port + 2


def _any_port() -> int:
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        try:
            return free_ports(port)[0]
        except FixTheSetup:
            continue
    raise FixTheSetup("No three free ports in a row were found.")


def open_browser(url: str) -> None:
    webbrowser.open(url)
