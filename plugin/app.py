"""Plugs the sockets together; the only module that knows which database, shop and CRM are used."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from plugin import alarms, sync
from plugin.cards import Cards
from plugin.check import check_bundle
from plugin.commerce.shopify import Connection, Shopify
from plugin.documents import order_query
from plugin.errors import FixTheBundle, FixTheSetup
from plugin.findings import has_errors, render
from plugin.hosts.token import TokenHost
from plugin.logs import tell
from plugin.pace import pace
from plugin.ports import Tools
from plugin.secrets import Keys
from plugin.shapes import Bundle, StoreInfo
from plugin.spec import load_bundle
from plugin.stores.database import connect, migrate, open_database
from plugin.stores.orders import SqlOrders
from plugin.stores.runs import SqlRuns
from plugin.stores.watch import SqlWatch
from plugin.tokens import Tokens


@dataclass(frozen=True)
class Config:
    """All an installation must say, read from the environment by `config_from`."""

    secret: str
    database: str
    store_domain: str
    store_name: str
    store_token: str
    webhook_secrets: tuple[str, ...]
    host_secret: str
    host_issuer: str
    host_origins: tuple[str, ...]
    notes_url: str | None = None
    notes_token: str = ""
    store_url: str | None = None
    settings: tuple[str, ...] = ()
    metrics_token: str | None = None


# variable: (field, help); the only list of them, also behind docs/reference.md
VARIABLES: Mapping[str, tuple[str, str]] = {
    "ORDER_ACTIONS_SECRET": ("secret", "secret of this installation, at least 32 random characters"),
    "ORDER_ACTIONS_DATABASE": (
        "database",
        "database URL: sqlite:////var/lib/order-actions/db.sqlite, or postgresql://user@host/name",
    ),
    "ORDER_ACTIONS_STORE_DOMAIN": ("store_domain", "the store, like my-shop.myshopify.com"),
    "ORDER_ACTIONS_STORE_NAME": ("store_name", "the store's name as agents know it"),
    "ORDER_ACTIONS_STORE_TOKEN": ("store_token", "Admin API access token of the store"),
    "ORDER_ACTIONS_WEBHOOK_SECRETS": (
        "webhook_secrets",
        "app secret that signs webhooks; two while rotating, with a comma",
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
        "settings of the store, like refund_after_fulfillment=true (may be left out)",
    ),
    "ORDER_ACTIONS_METRICS_TOKEN": (
        "metrics_token",
        "bearer token that opens /metrics, at least 16 characters (left out: /metrics is closed)",
    ),
}
_OPTIONAL = {"notes_url", "notes_token", "settings", "metrics_token"}
_LISTS = {"webhook_secrets", "host_origins", "settings"}


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
    engine: Engine

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()


def build(config: Config, root: Path) -> App:
    """Check, load and plug in. Raises FixTheBundle, FixTheSetup."""
    bundle, _warnings = load(root)
    return plug(config, root, bundle)


def plug(config: Config, root: Path, bundle: Bundle) -> App:
    """The program on a loaded bundle. Raises FixTheSetup."""
    if len(config.host_secret) < 32:
        raise FixTheSetup("ORDER_ACTIONS_HOST_SECRET needs at least 32 characters.")
    if config.metrics_token is not None and len(config.metrics_token) < 16:
        raise FixTheSetup("ORDER_ACTIONS_METRICS_TOKEN needs at least 16 characters.")
    keys = Keys(config.secret)
    engine = open_database(config.database)
    store = StoreInfo(config.store_domain, config.store_name, settings_of(bundle, config.settings))
    pace(store.settings)  # a sum that is no amount stops the start, not the first refund
    reads = [(root / card.reads).read_text(encoding="utf-8") for card in bundle.cards.values() if card.reads]
    tools = Tools(
        bundle=_with_reads(bundle, root),
        query=order_query([*reads, *(action.reads for action in bundle.actions.values())]),
        commerce=Shopify([Connection(store, config.store_token, config.store_url)], bundle.api_version),
        host=TokenHost(config.host_secret, config.host_issuer, config.notes_url, config.notes_token),
        runs=SqlRuns(engine, keys.box()),
        orders=SqlOrders(engine, keys),
        watch=SqlWatch(engine),
        clock=SystemClock(),
    )
    templates = {name: card.template for name, card in bundle.cards.items()}
    return App(tools, Tokens(keys), Cards(root, templates), root, config, engine)


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


def migrate_database(environ: Mapping[str, str]) -> str:
    """Bring the database to this version; what was done. Needs no other variable. Raises FixTheSetup."""
    url = environ.get("ORDER_ACTIONS_DATABASE")
    if not url:
        raise FixTheSetup(f"ORDER_ACTIONS_DATABASE is missing: {VARIABLES['ORDER_ACTIONS_DATABASE'][1]}")
    engine = connect(url)
    try:
        return migrate(engine)
    finally:
        engine.dispose()


class Worker:
    """Carries on open runs and delivers notes until stopped; only while it is its turn, if there are several."""

    def __init__(self, app: App, pause: float = 1.0, turn: Callable[[], bool] = lambda: True) -> None:
        self._app = app
        self._pause = pause
        self._turn = turn
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.work, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The run and the notes in hand are finished first."""
        self.end()
        self._thread.join(timeout=25)

    def end(self) -> None:
        """Ask `work` to return; it does so after the run or the notes in hand."""
        self._stop.set()

    def work(self) -> None:
        tell("worker.started")
        while not self._stop.wait(self._pause):
            if not self._turn():
                continue
            try:
                sync.carry_on(self._app.tools, self._stop.is_set)
                sync.deliver_notes(self._app.tools)
                alarms.watch(self._app.tools)
            except Exception as error:  # noqa: BLE001 - the door of the background: one bad run must not stop the others
                tell("worker.failed", raised=error)
        tell("worker.stopped")
