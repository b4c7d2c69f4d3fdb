"""Plugs the sockets together; the only module that knows which database, shop and CRM are used."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from plugin.around import origins_of, proxies_of
from plugin.bundle import Bundle, settings_of
from plugin.cards import Cards
from plugin.check import check_bundle
from plugin.check.report import nearest
from plugin.commerce.access import ConnectedStores
from plugin.commerce.oauth import ShopifyApp, shop_domain
from plugin.commerce.shopify import Shopify
from plugin.documents import order_query
from plugin.errors import FixTheBundle, FixTheSetup
from plugin.findings import has_errors, render
from plugin.hosts.kustomer import Client, KustomerHost, OAuthApp, Org, Proxy, org_id_of
from plugin.hosts.token import KeySet, TokenHost
from plugin.pace import pace
from plugin.ports import Clock, Host, Tools
from plugin.ports_stores import Connections, Privacy
from plugin.rates import RATES, Rates, rates_of, written
from plugin.secrets import Keys
from plugin.spec import load_bundle
from plugin.stores.connections import SqlConnections
from plugin.stores.counts import SqlCounts
from plugin.stores.crm import SqlCrm
from plugin.stores.database import connect, migrate, open_database
from plugin.stores.keys import open_keys
from plugin.stores.orders import SqlOrders
from plugin.stores.privacy import SqlPrivacy
from plugin.stores.runs import SqlRuns
from plugin.stores.watch import SqlWatch
from plugin.tokens import Tokens
from plugin.wire import is_on_this_machine, is_safe_address

PREFIX = "ORDER_ACTIONS_"
PARTS = ("plugin.yaml", "actions", "schemas", "card_templates")  # of a bundle
KUSTOMER_SCRIPT = "https://cdn.kustomerapp.com/card-js/latest/kustomer-card.min.js"


@dataclass(frozen=True)
class Config:
    """All an installation must say, read from the environment by `config_from`."""

    secrets: tuple[str, ...]
    database: str
    host_secret: str = ""
    host_issuer: str = ""
    host_origins: tuple[str, ...] = ()
    notes_url: str | None = None
    notes_token: str = ""
    client_id: str | None = None
    client_secrets: tuple[str, ...] = ()
    sandbox_store: str | None = None
    settings: tuple[str, ...] = ()
    metrics_token: str | None = None
    rates: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    jwks_url: str = ""
    public_url: str = ""
    kustomer_org: str = ""
    kustomer_key: str = ""
    kustomer_client_id: str = ""
    kustomer_client_secret: str = ""
    kustomer_command_secret: str = ""
    kustomer_app: str = ""
    sandbox_kustomer: str | None = None

    @property
    def kustomer_script(self) -> str:
        """Where the card loads Kustomer's own script from."""
        return f"{self.sandbox_kustomer}/card.js" if self.sandbox_kustomer else KUSTOMER_SCRIPT

    @property
    def kustomer(self) -> Org:
        """Raises FixTheSetup."""
        if self.sandbox_kustomer is not None and not is_on_this_machine(self.sandbox_kustomer):
            raise FixTheSetup("ORDER_ACTIONS_SANDBOX_KUSTOMER must be like http://127.0.0.1:9101, on this machine.")
        return Org(self.kustomer_org, self.sandbox_kustomer)

    @property
    def shopify_app(self) -> ShopifyApp | None:
        """The app as Shopify knows it, when stores are connected by OAuth or client credentials."""
        return ShopifyApp(self.client_id, self.client_secrets) if self.client_id and self.client_secrets else None


# variable: (field, help); the only list of them, also behind docs/reference.md
VARIABLES: Mapping[str, tuple[str, str]] = {
    "ORDER_ACTIONS_SECRET": (
        "secrets",
        "secret of this installation, at least 32 random characters; while it is changed: new one, comma, old one",
    ),
    "ORDER_ACTIONS_DATABASE": (
        "database",
        "database URL: sqlite:////var/lib/order-actions/db.sqlite, or postgresql://user@host/name",
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
        "`crm.host: token`: secret the CRM signs its tokens with, at least 32 characters",
    ),
    "ORDER_ACTIONS_HOST_JWKS_URL": (
        "jwks_url",
        "`crm.host: token`, instead of the secret: address of the CRM's public keys",
    ),
    "ORDER_ACTIONS_HOST_ISSUER": ("host_issuer", "`crm.host: token`: `iss` of the CRM's tokens"),
    "ORDER_ACTIONS_HOST_ORIGINS": (
        "host_origins",
        "addresses that may frame the card, with commas; for Kustomer the organisation's own when left out",
    ),
    "ORDER_ACTIONS_PUBLIC_URL": (
        "public_url",
        "`crm.host: kustomer`: address of this service, like https://orders.example.com",
    ),
    "ORDER_ACTIONS_KUSTOMER_ORG": (
        "kustomer_org",
        "`crm.host: kustomer`: the organisation's name, the part before .kustomerapp.com",
    ),
    "ORDER_ACTIONS_KUSTOMER_KEY": ("kustomer_key", "`crm.host: kustomer`: API key of the organisation"),
    "ORDER_ACTIONS_KUSTOMER_CLIENT_ID": ("kustomer_client_id", "`crm.host: kustomer`: the app's OAuth client id"),
    "ORDER_ACTIONS_KUSTOMER_CLIENT_SECRET": (
        "kustomer_client_secret",
        "`crm.host: kustomer`: the app's OAuth client secret",
    ),
    "ORDER_ACTIONS_KUSTOMER_COMMAND_SECRET": (
        "kustomer_command_secret",
        "`crm.host: kustomer`: the app's setting `commandSecret`, at least 32 characters (may be left out)",
    ),
    "ORDER_ACTIONS_KUSTOMER_APP": (
        "kustomer_app",
        "`crm.host: kustomer`: the name of the installed app, as `connect kustomer` prints it",
    ),
    "ORDER_ACTIONS_SANDBOX_KUSTOMER": (
        "sandbox_kustomer",
        "`crm.host: kustomer`: address of a sandbox Kustomer on this machine (may be left out)",
    ),
    "ORDER_ACTIONS_NOTES_URL": ("notes_url", "where notes for the timeline are posted (may be left out)"),
    "ORDER_ACTIONS_NOTES_TOKEN": ("notes_token", "bearer token for notes (may be left out)"),
    "ORDER_ACTIONS_SETTINGS": (
        "settings",
        "settings of every store, like refund_after_fulfillment=true (may be left out)",
    ),
    "ORDER_ACTIONS_RATES": (
        "rates",
        f"requests a minute, like {written(RATES)} (these, when left out); 0: any number",
    ),
    "ORDER_ACTIONS_PROXIES": (
        "proxies",
        "addresses of reverse proxies on other machines, whose `X-Forwarded-For` is believed (may be left out)",
    ),
    "ORDER_ACTIONS_METRICS_TOKEN": (
        "metrics_token",
        "bearer token that opens /metrics, at least 16 characters (left out: /metrics is closed)",
    ),
}
_REQUIRED = {"secrets", "database"}
# CRM: what it needs besides; each entry is one of these fields
_NEEDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "token": (("host_secret", "jwks_url"), ("host_issuer",), ("host_origins",)),
    "kustomer": (
        ("public_url",), ("kustomer_org",), ("kustomer_key",), ("kustomer_client_id",), ("kustomer_client_secret",),
        ("kustomer_app",),
    ),
}  # fmt: skip
_LISTS = {"secrets", "client_secrets", "host_origins", "settings", "rates", "proxies"}


def config_from(environ: Mapping[str, str]) -> Config:
    """Raises FixTheSetup naming every variable that is missing, and unknown ones."""
    _must_name(environ, _REQUIRED)
    values: dict[str, object] = {}
    for name, (field, _) in VARIABLES.items():
        text = environ.get(name)
        if text:
            values[field] = tuple(filter(None, map(str.strip, text.split(",")))) if field in _LISTS else text
    return Config(**values)  # type: ignore[arg-type]


def database_url(environ: Mapping[str, str]) -> str:
    """All that a command for the database needs. Raises FixTheSetup."""
    _must_name(environ, {"database"})
    return environ["ORDER_ACTIONS_DATABASE"]


def _must_name(environ: Mapping[str, str], required: set[str]) -> None:
    missing = [(name, text) for name, (field, text) in VARIABLES.items() if field in required and not environ.get(name)]
    wrong = [f"{name} is missing: {text}" for name, text in missing]
    wrong += [_unknown(name) for name in sorted(environ) if name.startswith(PREFIX) and name not in VARIABLES]
    if wrong:
        raise FixTheSetup("\n".join(wrong))


def _unknown(name: str) -> str:
    near = nearest(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in VARIABLES])
    cure = f"did you mean {PREFIX}{near}?" if near else "take it away or mend its name"
    return f"{name} is not a variable of order-actions; {cure}"


def find_bundle(chosen: Path | None) -> Path:
    """The bundle to use: the one named, else the folder we stand in, else the one we came with."""
    if chosen is not None:
        if not (chosen / "plugin.yaml").is_file():
            raise FixTheSetup(f"{chosen} has no plugin.yaml, so it is not a bundle.")
        return chosen
    if Path("plugin.yaml").is_file():
        return Path(".")
    return shipped_bundle()


def shipped_bundle() -> Path:
    """The bundle we came with: inside of the wheel, or the checkout itself."""
    shipped = Path(__file__).parent / "_bundle"
    return shipped if (shipped / "plugin.yaml").is_file() else Path(__file__).parent.parent


def copy_bundle(source: Path, folder: Path) -> None:
    for name in PARTS:
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
        else:
            shutil.copy(source / name, folder / name)


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
    privacy: Privacy
    engine: Engine
    rates: Rates

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()


def build(config: Config, root: Path) -> App:
    """Check, load and plug in. Raises FixTheBundle, FixTheSetup."""
    bundle, _warnings = load(root)
    return plug(config, root, bundle)


def plug(config: Config, root: Path, bundle: Bundle) -> App:
    """The program on a loaded bundle. Raises FixTheSetup."""
    _must_have(config, bundle.host)
    proxies_of(config.proxies)
    config = replace(config, host_origins=_origins(config))
    if config.metrics_token is not None and len(config.metrics_token) < 16:
        raise FixTheSetup("ORDER_ACTIONS_METRICS_TOKEN needs at least 16 characters.")
    most = rates_of(config.rates)
    clock = SystemClock()
    engine = open_database(config.database)
    keys = open_keys(engine, config.secrets)
    crm = SqlCrm(engine, keys)
    connections = SqlConnections(engine, keys.box())
    pace(settings_of(bundle, config.settings))  # a sum that is no amount stops the start, not the first refund
    access = ConnectedStores(
        connections,
        config.shopify_app,
        lambda own: settings_of(bundle, [*config.settings, *own]),
        clock,
        lambda domain: store_address(config, domain),
    )
    reads = [(root / card.reads).read_text(encoding="utf-8") for card in bundle.cards.values() if card.reads]
    tools = Tools(
        bundle=_with_reads(bundle, root),
        query=order_query([*reads, *(action.reads for action in bundle.actions.values())]),
        commerce=Shopify(access, bundle.api_version),
        host=HOSTS[bundle.host](config, bundle, crm, keys, clock),
        runs=SqlRuns(engine, keys.box()),
        orders=SqlOrders(engine, keys),
        watch=SqlWatch(engine, keys.box()),
        crm=crm,
        clock=clock,
    )
    templates = {name: card.template for name, card in bundle.cards.items()}
    rates = Rates(most, SqlCounts(engine, keys), clock)
    own = SqlPrivacy(engine, keys)
    return App(tools, Tokens(keys), Cards(root, templates), root, config, connections, own, engine, rates)


def _must_have(config: Config, host: str) -> None:
    """Raises FixTheSetup naming every variable this CRM needs and does not have."""
    names = {field: name for name, (field, _) in VARIABLES.items()}
    missing = [one for one in _NEEDS[host] if not any(getattr(config, field) for field in one)]
    if missing:
        wanted = "\n".join(f"{' or '.join(names[field] for field in one)} is missing: it is needed for crm.host: {host}"
                           for one in missing)  # fmt: skip
        raise FixTheSetup(wanted)
    for field in ("host_secret", "kustomer_command_secret"):
        if getattr(config, field) and len(getattr(config, field)) < 32:
            raise FixTheSetup(f"{names[field]} needs at least 32 characters.")


def _origins(config: Config) -> tuple[str, ...]:
    """Who may frame the card: what is configured, else the organisation in Kustomer. Raises FixTheSetup."""
    return origins_of(config.host_origins) or (config.kustomer.web,)


def _token_host(config: Config, _bundle: Bundle, crm: SqlCrm, _keys: Keys, clock: Clock) -> Host:
    published = KeySet(config.jwks_url) if config.jwks_url else None
    if published and config.host_secret:
        raise FixTheSetup("Set ORDER_ACTIONS_HOST_SECRET or ORDER_ACTIONS_HOST_JWKS_URL, not both.")
    return TokenHost(
        config.host_secret, config.host_issuer, crm, clock, published, config.notes_url, config.notes_token
    )


def _kustomer_host(config: Config, bundle: Bundle, crm: SqlCrm, keys: Keys, clock: Clock) -> Host:
    if not is_safe_address(config.public_url):
        raise FixTheSetup("ORDER_ACTIONS_PUBLIC_URL is not an https address.")
    client = Client(config.kustomer, config.kustomer_key, clock)
    redirect = f"{config.public_url.rstrip('/')}/kustomer/callback"
    oauth = OAuthApp(config.kustomer_client_id, config.kustomer_client_secret, redirect)
    proxy = Proxy(config.kustomer_command_secret, org_id_of(config.kustomer_key), bundle.identity == "proxy")
    return KustomerHost(client, oauth, proxy, crm, keys, clock)


# crm.host: what is plugged in
HOSTS: Mapping[str, Callable[[Config, Bundle, SqlCrm, Keys, Clock], Host]] = {
    "token": _token_host,
    "kustomer": _kustomer_host,
}


def store_address(config: Config, domain: str) -> str:
    """Where a store is reached: its own checked domain, or the sandbox on this machine. Raises FixTheSetup."""
    checked = shop_domain(domain)
    if config.sandbox_store is None:
        return f"https://{checked}"
    if not is_on_this_machine(config.sandbox_store):
        raise FixTheSetup("ORDER_ACTIONS_SANDBOX_STORE must be like http://127.0.0.1:9100, on this machine.")
    return config.sandbox_store


def _with_reads(bundle: Bundle, root: Path) -> Bundle:

    cards = {
        name: replace(card, reads=(root / card.reads).read_text(encoding="utf-8") if card.reads else None)
        for name, card in bundle.cards.items()
    }
    return replace(bundle, cards=cards)


def migrate_database(environ: Mapping[str, str]) -> str:
    """Bring the database to this version; what was done. Needs no other variable. Raises FixTheSetup."""
    engine = connect(database_url(environ))
    try:
        return migrate(engine)
    finally:
        engine.dispose()
