"""Plugs the sockets together; the only module that knows which database, shop and CRM are used."""

import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from plugin import sync
from plugin.cards import Cards
from plugin.check import check_bundle
from plugin.commerce.access import ConnectedStores
from plugin.commerce.oauth import Client, shop_domain
from plugin.commerce.shopify import Shopify
from plugin.documents import order_query
from plugin.errors import FixTheBundle, FixTheSetup
from plugin.findings import has_errors, render
from plugin.hosts.token import TokenHost
from plugin.ports import Connections, Tools
from plugin.shapes import Bundle
from plugin.spec import load_bundle
from plugin.stores.connections import SqlConnections
from plugin.stores.keys import open_keys
from plugin.stores.orders import SqlOrders
from plugin.stores.runs import SqlRuns
from plugin.stores.tables import metadata
from plugin.tokens import Tokens

log = structlog.get_logger()
_LOOPBACK = re.compile(r"http://127\.0\.0\.1:[0-9]{2,5}")


@dataclass(frozen=True)
class Config:
    """All an installation must say, read from the environment by `config_from`."""

    secrets: tuple[str, ...]
    database: str
    host_secret: str
    host_issuer: str
    host_origins: tuple[str, ...]
    notes_url: str | None = None
    notes_token: str = ""
    url: str | None = None
    client_id: str | None = None
    client_secrets: tuple[str, ...] = ()
    sandbox_store: str | None = None
    settings: tuple[str, ...] = ()

    @property
    def client(self) -> Client | None:
        """The app as Shopify knows it, when stores are connected by OAuth or client credentials."""
        return Client(self.client_id, self.client_secrets) if self.client_id and self.client_secrets else None


# variable: (field, help); the only list of them, also behind docs/reference.md
VARIABLES: Mapping[str, tuple[str, str]] = {
    "ORDER_ACTIONS_SECRET": (
        "secrets",
        "secret of this installation, at least 32 random characters; while it is changed: new one, comma, old one",
    ),
    "ORDER_ACTIONS_DATABASE": ("database", "database URL, like sqlite:////var/lib/order-actions/db.sqlite"),
    "ORDER_ACTIONS_URL": (
        "url",
        "public address of this installation, like https://orders.example.com, for OAuth (may be left out)",
    ),
    "ORDER_ACTIONS_SHOPIFY_CLIENT_ID": ("client_id", "client id of your Shopify app (may be left out)"),
    "ORDER_ACTIONS_SHOPIFY_CLIENT_SECRETS": (
        "client_secrets",
        "client secret of your Shopify app, which also signs webhooks; two while rotating, the new one first "
        "(may be left out)",
    ),
    "ORDER_ACTIONS_SANDBOX_STORE": (
        "sandbox_store",
        "address of a sandbox store on this machine, which then plays every store (may be left out)",
    ),
    "ORDER_ACTIONS_HOST_SECRET": (
        "host_secret",
        "secret the CRM signs its tokens with, at least 32 characters",
    ),
    "ORDER_ACTIONS_HOST_ISSUER": ("host_issuer", "`iss` of the CRM's tokens"),
    "ORDER_ACTIONS_HOST_ORIGINS": ("host_origins", "addresses that may frame the card, with commas"),
    "ORDER_ACTIONS_NOTES_URL": ("notes_url", "where notes for the timeline are posted (may be left out)"),
    "ORDER_ACTIONS_NOTES_TOKEN": ("notes_token", "bearer token for notes (may be left out)"),
    "ORDER_ACTIONS_SETTINGS": (
        "settings",
        "settings of every store, like refund_after_fulfillment=true (may be left out)",
    ),
}
_OPTIONAL = {"notes_url", "notes_token", "settings", "url", "client_id", "client_secrets", "sandbox_store"}
_LISTS = {"secrets", "client_secrets", "host_origins", "settings"}


def config_from(environ: Mapping[str, str]) -> Config:
    """Raises FixTheSetup naming every variable that is missing, and unknown ones."""
    unknown = sorted(name for name in environ if name.startswith("ORDER_ACTIONS_") and name not in VARIABLES)
    missing = [name for name, (field, _) in VARIABLES.items() if field not in _OPTIONAL and not environ.get(name)]
    wrong = [f"{name} is missing: {VARIABLES[name][1]}" for name in missing]
    wrong += [f"{name} is not a variable of order-actions; take it away or mend its name" for name in unknown]
    if wrong:
        raise FixTheSetup("\n".join(wrong))
    values: dict[str, object] = {}
    for name, (field, _) in VARIABLES.items():
        text = environ.get(name)
        if text:
            values[field] = tuple(part.strip() for part in text.split(",")) if field in _LISTS else text
    return Config(**values)  # type: ignore[arg-type]


def find_bundle(chosen: Path | None) -> Path:
    """The bundle to use: the one named, else the folder we stand in, else the one we came with."""
    if chosen is not None:
        if not (chosen / "plugin.yaml").is_file():
            raise FixTheSetup(f"{chosen} has no plugin.yaml, so it is not a bundle.")
        return chosen
    if Path("plugin.yaml").is_file():
        return Path(".")
    shipped = Path(__file__).parent / "_bundle"
    return shipped if (shipped / "plugin.yaml").is_file() else Path(__file__).parent.parent


def load(root: Path) -> tuple[Bundle, str]:
    """Check the bundle, then compile it; and its warnings. Raises FixTheBundle with every finding."""
    findings = check_bundle(root)
    if has_errors(findings):
        raise FixTheBundle(render(findings))
    return load_bundle(root), render(findings)


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class App:
    """The program, ready to be put behind a door."""

    tools: Tools
    tokens: Tokens
    cards: Cards
    root: Path
    config: Config
    connections: Connections
    engine: Engine


def build(config: Config, root: Path) -> App:
    """Check, load and plug in. Raises FixTheBundle, FixTheSetup."""
    bundle, _warnings = load(root)
    return plug(config, root, bundle)


def plug(config: Config, root: Path, bundle: Bundle) -> App:
    """The program on a loaded bundle. Raises FixTheSetup."""
    if len(config.host_secret) < 32:
        raise FixTheSetup("ORDER_ACTIONS_HOST_SECRET needs at least 32 characters.")
    engine = open_database(config.database)
    keys = open_keys(engine, config.secrets)
    connections = SqlConnections(engine, keys.box())
    clock = SystemClock()
    settings_of(bundle, config.settings)
    access = ConnectedStores(
        connections,
        config.client,
        lambda own: settings_of(bundle, [*config.settings, *own]),
        clock,
        lambda domain: store_address(config, domain),
    )
    reads = [(root / card.reads).read_text(encoding="utf-8") for card in bundle.cards.values() if card.reads]
    tools = Tools(
        bundle=_with_reads(bundle, root),
        query=order_query([*reads, *(action.reads for action in bundle.actions.values())]),
        commerce=Shopify(access, bundle.api_version),
        host=TokenHost(config.host_secret, config.host_issuer, config.notes_url, config.notes_token),
        runs=SqlRuns(engine, keys.box()),
        orders=SqlOrders(engine, keys),
        clock=clock,
    )
    templates = {name: card.template for name, card in bundle.cards.items()}
    return App(tools, Tokens(keys), Cards(root, templates), root, config, connections, engine)


def store_address(config: Config, domain: str) -> str:
    """Where a store is reached: its own checked domain, or the sandbox on this machine. Raises FixTheSetup."""
    checked = shop_domain(domain)
    if config.sandbox_store is None:
        return f"https://{checked}"
    if not _LOOPBACK.fullmatch(config.sandbox_store):
        raise FixTheSetup("ORDER_ACTIONS_SANDBOX_STORE must be like http://127.0.0.1:9100, on this machine.")
    return config.sandbox_store


def settings_of(bundle: Bundle, chosen: Sequence[str]) -> dict[str, object]:
    """The bundle's defaults with a store's own values over them, `name=value` each. Raises FixTheSetup."""
    settings: dict[str, object] = dict(bundle.settings)
    for text in chosen:
        name, _, value = text.partition("=")
        if name not in settings:
            raise FixTheSetup(f"There is no setting {name!r}. There are: {', '.join(bundle.settings)}.")
        default = settings[name]
        if isinstance(default, bool):
            if value not in ("true", "false"):
                raise FixTheSetup(f"The setting {name} is true or false, not {value!r}.")
            settings[name] = value == "true"
        elif isinstance(default, int):
            if not (value.isascii() and value.isdigit() and len(value) < 8):
                raise FixTheSetup(f"The setting {name} is a whole number, not {value!r}.")
            settings[name] = int(value)
        else:
            settings[name] = value
    return settings


def _with_reads(bundle: Bundle, root: Path) -> Bundle:

    cards = {
        name: replace(card, reads=(root / card.reads).read_text(encoding="utf-8") if card.reads else None)
        for name, card in bundle.cards.items()
    }
    return replace(bundle, cards=cards)


def open_database(url: str) -> Engine:
    """An engine with its tables. SQLite: WAL, synchronous FULL, one writer at a time."""
    engine = create_engine(url, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    metadata.create_all(engine)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class Worker:
    """Carries on open runs and delivers notes, in a thread, until stopped."""

    def __init__(self, app: App, pause: float = 1.0) -> None:
        self._app = app
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        looked: dict[str, datetime] = {}
        while not self._stop.wait(self._pause):
            try:
                sync.carry_on(self._app.tools, looked)
                sync.deliver_notes(self._app.tools)
            except Exception:  # noqa: BLE001 - the door of the background: one bad run must not stop the others
                log.exception("worker.failed")
