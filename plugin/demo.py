"""The demo: sandbox store, sandbox desk and the plugin beside each other on loopback."""

import json
import secrets
import shlex
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import requests
from werkzeug.serving import WSGIRequestHandler, make_server

from plugin.app import App, build, config_from, load
from plugin.errors import FixTheSetup
from plugin.legacy import import_legacy
from plugin.sandbox import desk, store
from plugin.shapes import Grant, Way
from plugin.web import create_web
from plugin.worker import Worker

HOST = "127.0.0.1"
DOMAIN = "sandbox.myshopify.com"
PARTS = {"store": (2,), "plugin": (0, 1)}  # with the ports of each, counted from the first
TOKEN = "SANDBOX_TOKEN"  # of the store; the others of the file are variables of order-actions
_SECRETS = ("SECRET", "SHOPIFY_CLIENT_ID", "SHOPIFY_CLIENT_SECRETS", "HOST_SECRET", "NOTES_TOKEN")


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


Say = Callable[[str], None]


@contextmanager
def running(
    root: Path, port: int, loads: Sequence[Path] = (), say: Say = lambda line: None, settings: Sequence[str] = (),
    keep: Path | None = None,
) -> Iterator[Demo]:  # fmt: skip
    """Start everything on `port`, `port + 1` and `port + 2`; ends it all on leaving. Raises FixTheSetup."""
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="order-actions-")))
        place = _placed(root, free_ports(port), folder, settings)
        stack.enter_context(_store(place, loads, say))
        yield stack.enter_context(_plugin(place))


@contextmanager
def only(
    part: str, root: Path, port: int, loads: Sequence[Path], say: Say, settings: Sequence[str], keep: Path
) -> Iterator[str]:  # fmt: skip
    """One of PARTS, in a process that can fail without the other; gives its address. Raises FixTheSetup."""
    place = _placed(root, free_ports(port, PARTS[part]), keep, settings)
    if part == "store":
        with _store(place, loads, say):
            yield place.store_url
    else:
        with _plugin(place) as demo:
            yield demo.desk_url


@dataclass(frozen=True)
class _Place:
    """Where the parts of a demo find each other, and what it keeps."""

    root: Path
    ports: tuple[int, int, int]
    folder: Path
    variables: Mapping[str, str]

    @property
    def desk_url(self) -> str:
        return f"http://{HOST}:{self.ports[0]}"

    @property
    def card_url(self) -> str:
        return f"http://{HOST}:{self.ports[1]}"

    @property
    def store_url(self) -> str:
        return f"http://{HOST}:{self.ports[2]}"


def _placed(root: Path, ports: tuple[int, int, int], folder: Path, settings: Sequence[str]) -> _Place:
    """The variables stand in a file for the other commands; its secrets are those of the last start."""
    folder.mkdir(parents=True, exist_ok=True)
    file, place = folder / "env", _Place(root, ports, folder, {})
    known = dict(line.split("=", 1) for line in shlex.split(file.read_text())) if file.exists() else {}
    names = [TOKEN, *(f"ORDER_ACTIONS_{one}" for one in _SECRETS)]
    variables = {
        **{name: known.get(name) or secrets.token_urlsafe(32) for name in names},
        "ORDER_ACTIONS_DATABASE": f"sqlite:///{(folder / 'order-actions.sqlite').resolve()}",
        "ORDER_ACTIONS_PUBLIC_URL": place.card_url,
        "ORDER_ACTIONS_SANDBOX_STORE": place.store_url,
        "ORDER_ACTIONS_HOST_ISSUER": "desk",
        "ORDER_ACTIONS_HOST_ORIGINS": f"{place.desk_url},http://localhost:{ports[0]}",
        "ORDER_ACTIONS_NOTES_URL": f"{place.desk_url}/api/notes",
        "ORDER_ACTIONS_SETTINGS": ",".join(("settle_time=20", *settings)),
    }
    file.touch(0o600)
    file.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()))
    return replace(place, variables=variables)


@contextmanager
def _store(place: _Place, loads: Sequence[Path], say: Say) -> Iterator[None]:
    bundle, _ = load(place.root)
    served = store.serve(
        place.ports[2],
        token=place.variables[TOKEN],
        schema_path=place.root / bundle.schema,
        webhook_secret=place.variables["ORDER_ACTIONS_SHOPIFY_CLIENT_SECRETS"],
        keep=place.folder / "store",
    )
    try:
        _load(place.store_url, loads, say)
        yield
    finally:
        served.close()


@contextmanager
def _plugin(place: _Place) -> Iterator[Demo]:
    """The card and the desk around it."""
    known = place.variables
    with ExitStack() as stack:
        app = build(config_from(known), place.root)
        stack.callback(app.close)
        grant = Grant(known[TOKEN], None)  # of its own store, which may be down just now: nobody asks it
        app.connections.connect(DOMAIN, "Sandbox store", Way.TOKEN, (), grant, app.tools.clock.now())
        with suppress(requests.RequestException):  # a store that is down now has shown them before
            legacy = requests.get(f"{place.store_url}/_sandbox/legacy", timeout=10).text
            import_legacy(app.tools, DOMAIN, legacy, "the older app")
        stack.enter_context(_serving(app, place.ports[1]))
        secret, token = known["ORDER_ACTIONS_HOST_SECRET"], known["ORDER_ACTIONS_NOTES_TOKEN"]
        served = desk.serve(place.ports[0], f"{place.card_url}/card", secret, place.store_url, token)
        stack.callback(served.close)
        yield Demo(place.desk_url, place.card_url, place.store_url, app)


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


def _load(store_url: str, loads: Sequence[Path], say: Say) -> None:
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


def free_ports(port: int, needed: Sequence[int] = (0, 1, 2)) -> tuple[int, int, int]:
    """Three ports in a row. Raises FixTheSetup when one that is needed is taken."""
    if port == 0:
        port = _any_port()
    for one in (port + which for which in needed):
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
