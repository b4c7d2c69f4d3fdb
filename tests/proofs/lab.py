"""One database, one shop and one CRM in which every cell of the crash matrix is played."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, event, text

from plugin import flow, permissions, points, sessions
from plugin.app import Config, plug
from plugin.permissions import permission_set
from plugin.ports import Tools
from plugin.shapes import Customer, Place, Session
from plugin.stores.keys import open_keys
from plugin.stores.orders import SqlOrders
from plugin.stores.rules import RULES
from plugin.stores.runs import SqlRuns
from plugin.stores.tables import metadata
from plugin.stores.watch import SqlWatch
from plugin.tokens import SessionClaims
from tests.proofs.cells import Story
from tests.proofs.shop import Desk, ProcessClock, Shop, Time
from tests.shared import ROOT
from tests.world import BASE, DOMAIN, SECRET, _bundle, let_in, typed

AGENT = "ana"
STAY = {"connections", "sealed_keys"}  # of the installation, not of a cell


class Died(BaseException):
    """The process is gone: nothing after this line of it happens."""


class Lab:
    """One database, one shop, one desk, emptied for each cell; `restart` makes new objects on the same database."""

    def __init__(self, database: str) -> None:
        config = Config(
            secrets=(SECRET,), database=database, client_id="client", client_secrets=("hook",), host_secret=SECRET,
            host_issuer="desk", host_origins=("http://desk.test",),
        )  # fmt: skip
        app = plug(config, ROOT, _bundle())
        let_in(app, "Sandbox store")
        self.engine, self.connections, self.privacy = app.engine, app.connections, app.privacy
        self.keys, self.tokens = open_keys(app.engine, (SECRET,)), app.tokens
        self.dead = False
        may_be_emptied(self.engine)
        if self.engine.dialect.name == "sqlite":  # power cuts are not the matter here, and a sync is slow
            event.listen(self.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
        self.engine.dispose()
        event.listen(self.engine, "before_cursor_execute", lambda *_: self._alive())
        self.time = Time()
        self.shop = Shop(app.tools.commerce.stores()[0], self.time, self._alive)
        self.desk = Desk(self._alive)
        self.base = replace(app.tools, commerce=self.shop, host=self.desk)
        self.clock = ProcessClock(self.time)
        self.tools = self.worker()
        self.forms: dict[str, tuple[dict[str, Any], str]] = {}

    def _alive(self) -> None:
        if self.dead:
            raise Died

    def worker(self) -> Tools:
        """Another process on the same database."""
        return replace(
            self.base, clock=ProcessClock(self.time),
            runs=SqlRuns(self.engine, self.keys.box()), orders=SqlOrders(self.engine, self.keys),
            watch=SqlWatch(self.engine, self.keys.box()),
        )  # fmt: skip

    def restart(self) -> None:
        if self.dead:
            self.engine.dispose()
        self.dead = False
        self.clock = ProcessClock(self.time)
        self.tools = replace(self.worker(), clock=self.clock)

    def empty(self) -> None:
        points.hook = None
        self.restart()
        self.shop.reset()
        self.desk.faults.clear()
        self.desk.shown.clear()
        with self.engine.begin() as tx:
            for table in reversed(metadata.sorted_tables):
                if table.name not in STAY:
                    tx.execute(table.delete())

    # ------------------------------------------------------------ people

    def session(self, number: int) -> Session:
        chosen = permission_set(self.base.bundle, ["Support leads"])
        customer = Customer("c1", str(self.shop.order(number).email), "Customer")
        seal = permissions.fingerprint(chosen)
        return sessions.session_of(self.tools, SessionClaims(AGENT, "Ana", chosen.name, seal, customer, None, None))

    def form(self, story: Story) -> tuple[dict[str, Any], str]:
        """What the agent has on the screen: the same for every cell of a story."""
        if story.name not in self.forms:
            self.empty()
            session, place = self.session(story.number), Place(DOMAIN, str(BASE + story.number))
            opened = flow.open_form(self.tools, self.tokens, session, place, story.action)
            raw = _filled(typed(opened), story)
            token = opened.context["form"]["token"]
            shown = flow.preview(self.tools, self.tokens, session, place, story.action, raw, token)
            raw = _filled(typed(shown), story)
            self.forms[story.name] = raw, shown.context["form"]["token"]
        return self.forms[story.name]


def _filled(raw: dict[str, Any], story: Story) -> dict[str, Any]:
    """The form on the screen with what the agent types into it."""
    changed = dict(story.changes)
    for name, value in changed.items():
        raw[name] = dict(zip(raw[name], value, strict=False)) if isinstance(value, list) else value
    return raw


def may_be_emptied(engine: Engine) -> None:
    """The rule that nothing is ever deleted gives way between two cells; every other rule stays in force."""
    with engine.begin() as tx:
        for table in {one.table for one in RULES if one.event == "delete"}:
            on = "" if engine.dialect.name == "sqlite" else f" ON {table}"
            tx.execute(text(f"DROP TRIGGER IF EXISTS rules_{table}_delete{on}"))
