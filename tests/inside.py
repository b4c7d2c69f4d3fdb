"""The whole program on a sandbox store without a wire: thousands of orders in seconds, on a clock of its own."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from graphql import GraphQLSchema

from plugin import flow
from plugin.app import App, Config, plug
from plugin.bundle import Limit
from plugin.documents import facts
from plugin.drafts import Draft, draft, judge
from plugin.errors import FixTheForm
from plugin.flow import View
from plugin.money import Money
from plugin.ports import Reply, Tools
from plugin.sandbox.store import ledger, making, refunds, schema
from plugin.sandbox.store.amounts import Bag
from plugin.sandbox.store.orders import Order, Payment
from plugin.sandbox.store.seeds import PLACES
from plugin.sandbox.store.state import Settings, Store, gid
from plugin.shapes import Agent, Customer, OrderFacts, Place, Plan, Session, StoreInfo
from plugin.tokens import new_run_id
from tests.shared import ROOT
from tests.world import DOMAIN, SECRET, _bundle, let_in, typed

EMAIL = "buyer@example.com"
ENDLESS = Limit("999999999999")


@dataclass
class Clock:
    """Both sides' time; it moves when somebody sleeps. In a far year, as forms expire by the machine's own clock."""

    at: datetime = datetime(2100, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Wireless:
    """The Commerce socket, handing each document to the store itself.

    `sends` and `reads` are what becomes of the next mutations and the next answers; empty, all goes well.
    """

    store: Store
    schema: GraphQLSchema
    info: StoreInfo
    sends: list[Callable[[bytes], Reply]] = field(default_factory=list)
    reads: list[Callable[[dict[str, Any]], None]] = field(default_factory=list)

    def stores(self) -> list[StoreInfo]:
        return [self.info]

    def read(self, store: str, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._answer(document, variables)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        if self.reads:
            self.reads.pop(0)(data)
        return data

    def send(self, store: str, body: bytes) -> Reply:
        return self.sends.pop(0)(body) if self.sends else self.carry_out(body)

    def carry_out(self, body: bytes) -> Reply:
        given = json.loads(body)
        return Reply(200, json.dumps(self._answer(given["query"], given["variables"])).encode(), None, "")

    def _answer(self, text: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        document, wrong = schema.read(self.schema, text)
        assert document is not None, wrong
        assert wrong == []
        answer: dict[str, Any] = json.loads(json.dumps(schema.run(self.store, self.schema, document, variables, None)))
        return answer


@dataclass
class Inside:
    """One app and one store, with one order at a time."""

    app: App
    store: Store
    wire: Wireless
    clock: Clock
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def tools(self) -> Tools:
        return self.app.tools

    def put(self, plan: making.Plan, refunded: Decimal = Decimal(0)) -> int:
        """The order of a plan, alone in the store; `refunded` of it was paid back by hand before."""
        made = making.make(next(self.numbers), self.clock.now(), plan)
        self.store.orders.clear()
        self.store.keys.clear()
        with self.store.lock:
            order = self.store.put(replace(made, email=EMAIL))
            if refunded > 0:
                refunds.by_hand(self.store, order, refunded, "by hand")
        return made.id

    def order(self, id: int) -> Order:
        return self.store.orders[id]

    def place(self, id: int) -> Place:
        return Place(DOMAIN, str(id))

    def session(self, limit: Limit = ENDLESS, agent: str = "ana") -> Session:
        grants = self.tools.bundle.permission_sets["supervisor"].grants
        return Session(Agent(agent, agent.title(), "supervisor", grants, limit), Customer("c1", EMAIL, "Customer"))

    def facts(self, id: int) -> OrderFacts:
        variables = {"orderId": gid("Order", id)}
        return facts(self.tools.commerce.read(DOMAIN, self.tools.query.document(), variables)["snapshot"])

    # ------------------------------------------------------------ an agent's verbs

    def plan(
        self, id: int, action: str, raw: Mapping[str, Any], limit: Limit = ENDLESS
    ) -> tuple[Draft, FixTheForm | None, Plan | None]:
        """What this form would send, and what is wrong with it."""
        session = self.session(limit)
        filled = draft(self.tools, session, self.place(id), self.tools.bundle.actions[action], raw, {})
        return (filled, *judge(self.tools, session, filled, new_run_id()))

    def open(self, id: int, action: str) -> View:
        return flow.open_form(self.tools, self.app.tokens, self.session(), self.place(id), action)

    def post(self, step: Any, id: int, action: str, opened: View, **changes: Any) -> View:
        """Post the form to `flow.preview` or `flow.submit` as the card does; a person takes a second."""
        self.clock.sleep(1.0)
        token = opened.context["form"]["token"]
        raw = typed(opened) | changes
        view: View = step(self.tools, self.app.tokens, self.session(), self.place(id), action, raw, token)
        return view

    def act(self, id: int, action: str, **changes: Any) -> View:
        """Open, change, look at the preview, send."""
        seen = self.post(flow.preview, id, action, self.open(id, action), **changes)
        return self.post(flow.submit, id, action, seen)


def inside() -> Inside:
    """A program in memory; its store knows the places of the seeds and no order yet."""
    clock = Clock()
    store = Store(settings=Settings(cancel_delay=0.5), clock=lambda: clock.at.timestamp())
    store.places = {one.id: one for one in PLACES}
    config = Config(
        secrets=(SECRET,), database="sqlite://", client_id="client", client_secrets=("hook",),
        host_secret=SECRET, host_issuer="desk", host_origins=("http://desk.test",),
        settings=(
            "refund_after_fulfillment=true", "refunds_per_store=0", "refunds_per_agent=0", "refund_sum_per_store=0",
            "refund_sum_per_agent=0",
        ),  # fmt: skip
    )  # fmt: skip
    app = plug(config, ROOT, _bundle())
    let_in(app, "Inside")
    graph = schema.load((ROOT / "schemas/shopify-2026-10.graphql").read_text(encoding="utf-8"))
    wire = Wireless(store, graph, next(iter(app.tools.commerce.stores())))
    return Inside(replace(app, tools=replace(app.tools, commerce=wire, clock=clock)), store, wire, clock)


# ---------------------------------------------------------------- the store's own books


def received(order: Order) -> dict[int, Bag]:
    """What came in, by payment."""
    return {one.id: one.amount for one, _ in ledger.sources(order)}


def back(order: Order) -> list[Payment]:
    return [one for one in order.payments if one.kind == "REFUND"]


def shown(order: Order, amount: Decimal) -> Money:
    return Money(order.money.shown, amount)
