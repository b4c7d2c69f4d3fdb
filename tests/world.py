"""The whole program against a sandbox store over a socket, without the desk: what flow tests stand in."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import requests

from plugin import flow
from plugin.app import App, Config, config_from, load, plug
from plugin.bundle import Bundle, Limit
from plugin.flow import View
from plugin.money import Money
from plugin.permissions import permission_set
from plugin.ports import Tools
from plugin.rates import RATES
from plugin.sandbox import store as sandbox
from plugin.sandbox.store import ledger
from plugin.shapes import Agent, Customer, Grant, Place, Session, Way
from tests.databases import sqlite_file
from tests.shared import ROOT

DOMAIN = "sandbox.myshopify.com"
BASE = 5000000000000
REFUND, CANCEL = "shopify.order.refund", "shopify.order.cancel"
SECRET = "a secret that is long enough for the tests"


@dataclass
class World:
    """One app, one store, and the verbs of an agent."""

    app: App
    url: str
    served: sandbox.Running
    group: str = "Support leads"
    limit: Limit | None = None
    without: tuple[str, ...] = ()
    forms: dict[str, Any] = field(default_factory=dict)

    @property
    def tools(self) -> Tools:
        return self.app.tools

    # ------------------------------------------------------------ people

    def place(self, number: int) -> Place:
        return Place(DOMAIN, str(BASE + number))

    def session(self, number: int, agent: str = "ana") -> Session:
        chosen = permission_set(self.tools.bundle, [self.group])
        grants = chosen.grants - set(self.without)
        limit = self.limit or chosen.limit
        return Session(Agent(agent, agent.title(), chosen.name, grants, limit), self.customer(number))

    def customer(self, number: int) -> Customer:
        return Customer("c1", self.ledger(number)["email"], "Customer")

    # ------------------------------------------------------------ the card

    def rows(self, number: int, query: str = "") -> Mapping[str, Any]:
        return flow.card(self.tools, self.session(number), query).context

    def order(self, number: int) -> View:
        return flow.order(self.tools, self.session(number), self.place(number))

    def button(self, number: int, action: str) -> tuple[bool, str | None]:
        """Whether an action's button works, and the reason if not."""
        found = [one for one in self.order(number).context["actions"] if one["id"] == action]
        return (found[0]["available"], found[0]["reason"]) if found else (False, "no button")

    # ------------------------------------------------------------ the form

    def open(self, number: int, action: str) -> View:
        return flow.open_form(self.tools, self.app.tokens, self.session(number), self.place(number), action)

    def preview(self, number: int, action: str, opened: View, **changes: Any) -> View:
        return self._post(flow.preview, number, action, opened, changes)

    def submit(self, number: int, action: str, opened: View, agent: str = "ana", **changes: Any) -> View:
        return self._post(flow.submit, number, action, opened, changes, agent)

    def act(self, number: int, action: str, **changes: Any) -> View:
        """Open, change, look at the preview, send: what a person does."""
        opened = self.open(number, action)
        return self.submit(number, action, self.preview(number, action, opened, **changes))

    def _post(self, step: Any, number: int, action: str, opened: View, changes: Any, agent: str = "ana") -> View:
        raw = typed(opened)
        for name, value in changes.items():
            raw[name] = dict(zip(raw[name], value, strict=False)) if isinstance(value, list) else value
        token = opened.context["form"]["token"]
        view: View = step(
            self.tools, self.app.tokens, self.session(number, agent), self.place(number), action, raw, token
        )
        return view

    # ------------------------------------------------------------ the store's own truth

    def ledger(self, number: int) -> dict[str, Any]:
        """The store's own books of one order, and what was written into its last refund."""
        store = self.served.world.store
        with store.lock:
            one = store.orders[BASE + number]
            shown = ledger.refunded(one).shown
        return {
            "email": one.email,
            "cancelled": one.cancelled is not None,
            "refunded": Decimal(shown),
            "refunds": [
                {
                    "id": row.id,
                    "note": row.note,
                    "lines": [(unit.restock, unit.quantity, unit.place is not None) for unit in row.units],
                }
                for row in one.refunds
            ],
            "paid_back": [Decimal(row.amount.shown) for row in one.payments if row.kind == "REFUND"],
        }

    def notified(self, number: int) -> list[bool]:
        """Whether each call of the newest run asked Shopify to write to the customer."""
        bodies = [json.loads(step.body)["variables"] for step in self.tools.runs.runs_of(self.place(number))[0].steps]
        return [bool(one.get("notify", (one.get("input") or {}).get("notify"))) for one in bodies]

    def sent(self) -> list[str]:
        rows = requests.get(f"{self.url}/_sandbox/log", timeout=10).json()
        return [row["root_fields"][0] if row["kind"] == "mutation" else row["kind"] for row in rows]

    def calls(self) -> int:
        return len(self.sent())

    def forget_calls(self) -> None:
        requests.delete(f"{self.url}/_sandbox/log", timeout=10)

    def fault(self, kind: str, on: str = "mutation", times: int = 1, seconds: float = 1) -> None:
        answer = requests.post(
            f"{self.url}/_sandbox/faults", json={"on": on, "kind": kind, "times": times, "seconds": seconds}, timeout=10
        )
        answer.raise_for_status()

    def in_admin(self, number: int, verb: str, **body: Any) -> None:
        """Somebody works on the order in Shopify's own admin."""
        answer = requests.post(f"{self.url}/_sandbox/orders/{BASE + number}/{verb}", json=body, timeout=10)
        answer.raise_for_status()


def typed(view: View) -> dict[str, Any]:
    """What the card would post if the agent changed nothing."""
    raw: dict[str, Any] = {}
    for one in view.context["form"]["fields"]:
        if one["type"] == "line_items":
            raw[one["name"]] = {row["id"]: str(row["quantity"]) for row in one["options"]}
        elif one["type"] == "payments":
            raw[one["name"]] = {row["id"]: row["value"] for row in one["options"]}
        elif one["type"] == "boolean":
            raw[one["name"]] = "true" if one["value"] else "false"
        else:
            raw[one["name"]] = one["value"] or ""
    return raw


def as_sent(view: View) -> dict[str, str]:
    """The same as a browser sends it, inner keys in brackets."""
    data = {"token": view.context["form"]["token"]}
    for name, value in typed(view).items():
        data |= {f"{name}[{key}]": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return data


def fields(view: View) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in view.context["form"]["fields"]}


def summary(view: View) -> dict[str, str]:
    return {row["label"]: row["value"] for row in view.context["form"]["summary"]}


def mistakes(view: View) -> list[str]:
    form = view.context["form"]
    return [*form["errors"], *(one["error"] for one in form["fields"] if one["error"])]


def outcome(view: View) -> Mapping[str, Any]:
    assert view.card == "outcome", mistakes(view)
    found: Mapping[str, Any] = view.context["outcome"]
    return found


def money(text: str, currency: str = "USD") -> Money:
    return Money(currency, Decimal(text))


def with_settings(world: World, **settings: Any) -> None:
    """Change settings of the store, as an admin would."""
    before = dict(one.partition("=")[::2] for one in world.app.connections.get(DOMAIN).settings)  # type: ignore[union-attr]
    told = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in settings.items()}
    rows = [f"{name}={value}" for name, value in {**before, **told}.items()]
    world.app.connections.set_settings(DOMAIN, rows)
    world.tools.commerce._access._known = None  # type: ignore[attr-defined]


def unhurried(app: App) -> App:
    """The same application, which may be asked as often as a test likes."""
    return replace(app, rates=replace(app.rates, most=dict.fromkeys(RATES, 0)))


@lru_cache
def _bundle() -> Bundle:
    return load(ROOT)[0]


def variables(database: str, store_url: str = "http://127.0.0.1:9999") -> dict[str, str]:
    """The environment of a command that uses this database, and the sandbox store at this address."""
    return {
        "ORDER_ACTIONS_SECRET": SECRET,
        "ORDER_ACTIONS_DATABASE": database,
        "ORDER_ACTIONS_SHOPIFY_CLIENT_ID": "client",
        "ORDER_ACTIONS_SHOPIFY_CLIENT_SECRETS": "hook",
        "ORDER_ACTIONS_SANDBOX_STORE": store_url,
        "ORDER_ACTIONS_HOST_SECRET": SECRET,
        "ORDER_ACTIONS_HOST_ISSUER": "desk",
        "ORDER_ACTIONS_HOST_ORIGINS": "http://desk.test",
        "ORDER_ACTIONS_RATES": "agent=9999999,store=9999999,address=9999999",  # a proof asks more often than people
    }


def let_in(app: App, name: str, domain: str = DOMAIN, token: str = "token", secrets: Sequence[str] = ()) -> None:
    """A store is connected by a token that Shopify is not asked about."""
    app.connections.connect(domain, name, Way.TOKEN, secrets, Grant(token, None), app.tools.clock.now())


def connected(database: str, store_url: str) -> None:
    """A database whose one store is connected, for processes that find it there."""
    app = plug(config_from(variables(database, store_url)), ROOT, _bundle())
    let_in(app, "Sandbox store")
    app.close()


@contextmanager
def world(folder: Path, *, database: str | None = None, **options: Any) -> Iterator[World]:
    """Options are the store's; without a database it is a SQLite file in the folder."""
    served = sandbox.serve(
        0, token="token", schema_path=ROOT / "schemas/shopify-2026-10.graphql",
        **{"cancel_delay": 0.2, "settle_delay": 1.0, **options},
    )  # fmt: skip
    url = f"http://127.0.0.1:{served.server.server_port}"
    config = Config(
        secrets=(SECRET,), database=database or sqlite_file(folder / "app.sqlite"), host_secret=SECRET,
        host_issuer="desk", host_origins=("http://desk.test",), client_id="client", client_secrets=("hook",),
        sandbox_store=url,
    )  # fmt: skip
    app = plug(config, ROOT, _bundle())
    let_in(app, "Sandbox store")
    try:
        yield World(app, url, served)
    finally:
        served.close()
        app.close()
