"""Looks at everything an installation rests on: each thing is in order, or somebody is told what to do about it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from plugin.alarms import DOUBT_MINUTES
from plugin.app import App
from plugin.errors import OrderActionsError
from plugin.permissions import ADMIN, missing_scopes
from plugin.ports import Alarm, Doubt, Reply, Tools
from plugin.shapes import ConnectedStore, StepState
from plugin.store_setup import REMOVED, look_at_scopes, needed_scopes
from plugin.subscriptions import TOPICS, missing

SHOP = "query Doctor { shop { myshopifyDomain } currentAppInstallation { accessScopes { handle } } }"
SKEW = 5.0  # seconds a clock may be off: tokens are given ten
NOTES_LATE = timedelta(minutes=15)
PRIVACY_LATE = timedelta(days=14)
VERSION_YEARS, VERSION_SOON = 1, timedelta(days=60)  # Shopify serves a version for at least a year
NETWORK = "Look at the network from here, and at https://www.shopifystatus.com."
VERSION = "Shopify has dropped the version in plugin.yaml: install the newer program."
CONNECT = "Connect it again: {}"
OLD = "read_all_orders"
SECRETS = "Set ORDER_ACTIONS_SHOPIFY_CLIENT_SECRETS, or give the secret of a custom app with its token."
TIME = "Let a time service set the clock of this machine: timedatectl set-ntp true"
LIFT = "Look at what it says, then: order-actions alarms lift {} (docs/operations.md, Alarms)."
CLOSE = "Have the open runs of these orders decided about; see order-actions privacy list."
DECIDE = "Somebody with the permission decides: on the card, or order-actions runs resolve."


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `cure` is empty when it is in order. `more` grows by itself: it is no change."""

    name: str
    found: str
    cure: str = ""
    more: str = field(default="", compare=False)

    @property
    def ok(self) -> bool:
        return not self.cure


def examine(app: App) -> list[Check]:
    """Everything, with a few harmless calls to Shopify and the CRM. Without a database there is nothing more to see."""
    checks = list(of_database(app.tools))
    if all(one.ok for one in checks[:1]):
        checks += [*of_work(app.tools), *of_privacy(app), *of_crm(app.tools)]
        rows = app.connections.all()
        checks += [check for row in rows for check in of_store(app, row)]
        for row in rows:
            with suppress(OrderActionsError):  # cards and buttons then say what the check has seen
                look_at_scopes(app, row.domain)
        if not rows:
            checks.append(Check("stores", "none is connected", "Connect one: order-actions stores add DOMAIN"))
    return checks


# ---------------------------------------------------------------- the database


def of_database(tools: Tools) -> Iterator[Check]:
    problems = tools.watch.problems()
    if problems:
        yield Check("database", "; ".join(problems), "Start the database; after an upgrade run: order-actions migrate")
        return
    yield Check("database", "it answers, and has the tables of this version")
    careless = tools.watch.careless()
    cure = "What was sent may be forgotten in a power cut. Set it back in the database's configuration."
    yield Check("durability", "; ".join(careless) or "what is committed stays", cure if careless else "")


# ---------------------------------------------------------------- what waits


def of_work(tools: Tools) -> Iterator[Check]:
    """The worker, the outbox, runs in doubt, alarms: from our tables alone."""
    queue = tools.watch.queue(tools.clock.now())
    if queue.runs_overdue:
        cure = "Start order-actions worker (on SQLite: serve), and look at its log."
        more = f"{_many(queue.runs_overdue, 'run')}, for {span(queue.runs_age)}"
        yield Check("worker", "it does not look at open runs", cure, more)
    else:
        yield Check("worker", "no run waits for it")
    old = queue.notes_age is not None and queue.notes_age > NOTES_LATE
    cure = "The CRM does not take them; the log says why (note.late). Money does not wait for them."
    more = f"{_many(queue.notes, 'note')}, the oldest for {span(queue.notes_age)}" if queue.notes else ""
    yield Check("notes", "some are waiting" if queue.notes else "none is waiting", cure if old else "", more)
    if tools.host.keeps_orders:
        late = queue.orders_late > 0
        cure = "The CRM refuses them; look at its key and its app." if late else ""
        more = _many(queue.orders_late, "order") if late else ""
        yield Check("timeline", "orders could not be shown yet" if late else "up to date", cure, more)
    yield _doubts(tools, tools.watch.doubts())
    standing = tools.watch.alarms(active=True)
    yield from (_alarm(one) for one in standing)
    if not standing:
        yield Check("alarms", "none stands")


def _doubts(tools: Tools, doubts: Sequence[Doubt]) -> Check:
    """A short doubt is the program's to end; a long one, and a review, are a person's."""
    if not doubts:
        return Check("runs in doubt", "none")
    age = tools.clock.now() - min(one.since for one in doubts)
    waiting = sum(1 for one in doubts if one.state is StepState.REVIEW)
    if waiting:
        return Check("runs in doubt", f"{_many(waiting, 'run')} waiting for a person", DECIDE, f"for {span(age)}")
    more = f"{_many(len(doubts), 'run')}, the oldest for {span(age)}"
    if age > timedelta(minutes=DOUBT_MINUTES):
        return Check("runs in doubt", "for too long", "Is Shopify reachable, and a worker running?", more)
    return Check("runs in doubt", "the program is finding out", "", more)


def _alarm(alarm: Alarm) -> Check:
    whose = f" of agent {alarm.agent_id}" if alarm.agent_id else ""
    return Check(f"alarm {alarm.id}", f"{alarm.kind}, {alarm.store}{whose}: {alarm.text}", LIFT.format(alarm.id))


def of_privacy(app: App) -> Iterator[Check]:
    """Nothing while none waits; thirty days are given to carry one out."""
    waiting = [one.asked_at for one in app.privacy.all() if one.done_at is None]
    if waiting:
        age = app.tools.clock.now() - min(waiting)
        cure = CLOSE if age > PRIVACY_LATE else ""
        more = f"{_many(len(waiting), 'request')}, the oldest for {span(age)}"
        yield Check("privacy", "requests wait for open runs or notes", cure, more)


# ---------------------------------------------------------------- the CRM


def of_crm(tools: Tools) -> Iterator[Check]:
    health = tools.host.health()
    yield Check("crm", health.problem or "it answers", "Look at the CRM's key and address." if health.problem else "")
    if health.date is not None:
        yield _clock("crm clock", health.date, tools.clock.now())
    if not any(ADMIN in tools.bundle.permission_sets[one].grants for one in tools.bundle.role_groups.values()):
        cure = f"Map a role group of yours in crm.role_groups to a permission set with {ADMIN}."
        yield Check("administrators", "nobody sees the admin page, and nobody can lift an alarm", cure)
    if health.groups is not None:
        strange = sorted(set(tools.bundle.role_groups) - health.groups)
        cure = "Mend crm.role_groups in plugin.yaml: whoever is in such a group gets nothing."
        found = f"the CRM has no role group called {', '.join(strange)}" if strange else "all are known to the CRM"
        yield Check("role groups", found, cure if strange else "")


# ---------------------------------------------------------------- a store


def of_store(app: App, row: ConnectedStore) -> Iterator[Check]:
    """Asks Shopify, if the store is connected."""
    name = row.domain
    if row.state != "active":
        cure = "" if row.problem == REMOVED else CONNECT.format(row.again)
        yield Check(f"{name} connection", row.problem or "announced, and not installed in Shopify yet", cure)
        return
    reply = app.tools.commerce.ask(name, SHOP)
    found, cure = _answered(reply, row)
    yield Check(f"{name} token", found, cure)
    if cure:
        return
    yield _version(name, app.tools.bundle.api_version, app.tools.clock.now())
    if reply.date is not None:
        yield _clock(f"{name} clock", reply.date, app.tools.clock.now())
    yield from _scopes(app, row, _json(reply.body))
    yield _webhooks(app, row)


def _answered(reply: Reply, row: ConnectedStore) -> tuple[str, str]:
    """What the answer tells, and the cure; Shopify's own words are kept."""
    if reply.fault is not None:
        return reply.detail or "no answer", VERSION if "served version" in reply.detail else NETWORK
    if reply.status in (401, 403):
        return f"Shopify refuses it (HTTP {reply.status})", CONNECT.format(row.again)
    if reply.status != 200:
        return f"Shopify answers HTTP {reply.status}", "Is the store frozen or closed? Look at its admin page."
    data = _json(reply.body)
    shop = (data.get("data") or {}).get("shop") or {}
    if shop.get("myshopifyDomain") != row.domain:
        said = "; ".join(str(one.get("message")) for one in data.get("errors") or []) or f"it opens {shop or 'nothing'}"
        return said, f"This is another store's token, or one that may not look. {CONNECT.format(row.again)}"
    return "Shopify takes it", ""


def _scopes(app: App, row: ConnectedStore, body: Mapping[str, Any]) -> Iterator[Check]:
    """What is granted now, whatever was granted when the store was connected."""
    installed = (body.get("data") or {}).get("currentAppInstallation") or {}
    granted = frozenset(str(one.get("handle")) for one in installed.get("accessScopes") or [])
    lacking = missing_scopes(granted, needed_scopes(app))
    cure = f"Actions that need them are closed. Give the app these scopes in Shopify. {CONNECT.format(row.again)}"
    found = f"not granted: {', '.join(lacking)}" if lacking else "all that the actions need are granted"
    yield Check(f"{row.domain} scopes", found, cure if lacking else "")
    if OLD not in granted:
        yield Check(f"{row.domain} old orders", f"Shopify shows those of the last 60 days only; {OLD} opens the others")


def _webhooks(app: App, row: ConnectedStore) -> Check:
    """Shopify drops an address that does not answer; the worker asks for it again every day."""
    name, heard = f"{row.domain} webhooks", app.tools.watch.heard([row.domain]).get(row.domain)
    more = f"the last came {span(app.tools.clock.now() - heard)} ago" if heard else "none came yet"
    if not (row.app_secrets or app.config.client_secrets):
        return Check(name, "nobody here can tell whether they are Shopify's", SECRETS, more)
    try:
        lacking = missing(app, row.domain)
    except OrderActionsError as error:
        return Check(name, str(error), "The card works without them, and asks Shopify more often.", more)
    if lacking:
        found = f"Shopify does not send {len(lacking)} of {len(TOPICS)}: {', '.join(lacking)}"
        return Check(name, found, "The worker asks for them once a day: start it, and look at its log.", more)
    return Check(name, "Shopify sends them all here", "", more)


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _version(name: str, version: str, now: datetime) -> Check:
    """Facts: one version a quarter, served for at least a year from the first of its month."""
    year, month = (int(part) for part in version.split("-"))
    ends = date(year + VERSION_YEARS, month, 1)
    soon = ends - now.date() < VERSION_SOON
    cure = "Install the newer program, or order-actions schema pull for a newer version." if soon else ""
    return Check(f"{name} API version", f"{version} is served, at least until {ends}", cure)


def _clock(name: str, header: str, now: datetime) -> Check:
    """A Date header has whole seconds, and came a moment ago."""
    try:
        theirs = parsedate_to_datetime(header).astimezone(UTC)
    except (ValueError, TypeError):
        return Check(name, "its answer has no readable date")
    ahead = (now - theirs).total_seconds()
    if -SKEW <= ahead <= SKEW + 1:
        return Check(name, "ours is the same")
    return Check(name, f"ours is {'ahead' if ahead > 0 else 'behind'}", TIME, f"{abs(ahead):.0f} seconds")


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def span(age: timedelta | None) -> str:
    """`40 seconds`, `3 minutes`, `2 days`: rounded down."""
    seconds = int(age.total_seconds()) if age is not None else 0
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return _many(seconds // size, name)
    return _many(seconds, "second")
