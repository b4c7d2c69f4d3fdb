"""The admin pages: stores and their health, who may do what, runs, what was paid back, alarms and their lifting.

Only for holders of `plugin.admin`, and only of the stores that are connected here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plugin import doctor, reports, views
from plugin.app import App
from plugin.bundle import Action, PermissionSet
from plugin.errors import NothingHere
from plugin.flow import View
from plugin.operations import OPERATIONS, Moves
from plugin.panels import Cell, amount, cell, chart, choice, day, filters, table, text
from plugin.permissions import ADMIN, acting, ceiling, may, missing_scopes, require
from plugin.ports import EVERY_STORE, Alarm
from plugin.reports import MOST_REASONS, MOST_ROWS, Query, Sum
from plugin.review import REVIEW
from plugin.shapes import ConnectedStore, Run, Session, StoreInfo
from plugin.standing import action_title, waiting
from plugin.store_setup import needed_scopes

URL = views.ADMIN_URL
PAGES = {"": "Overview", "/runs": "Runs", "/refunds": "Paid back", "/permissions": "Permissions"}
SHOWN_ALARMS = 20
NEVER_SEEN = "subscriptions never seen"
NO_CURRENCY = "XXX"  # the store's own, which is not known here
STATES = {
    "active": "Connected", "waiting": "Announced, not installed yet", "refused": "Refused by Shopify", "gone": "Ended",
}  # fmt: skip
KINDS = {"pace": "Too much paid back", "doubt": "Too long in doubt", "twice": "A reference stands twice",
         "key": "A key was used twice", "restored": "Restored from a backup"}  # fmt: skip


def stores_of(app: App) -> Sequence[ConnectedStore]:
    """The stores an admin may know of, also those whose connection ended; every query names them."""
    return app.connections.all()


def domains(app: App) -> list[str]:
    return [one.domain for one in stores_of(app)]


def authorize(app: App, session: Session) -> None:
    require(session.agent, ADMIN, app.tools.bundle.permissions)


def _page(
    session: Session, here: str, title: str, sections: Sequence[Mapping[str, Any]], notice: str | None = None
) -> View:
    nav = [
        {"id": f"to-admin{path.replace('/', '-')}", "label": label, "url": URL + path, "here": path == here}
        for path, label in PAGES.items()
    ]
    back = views.order_url(session.place) if session.place else "/orders"
    return View("admin", {"title": title, "nav": nav, "back_url": back, "notice": notice, "sections": sections})


# ---------------------------------------------------------------- stores


def overview(app: App, session: Session, notice: str | None = None) -> View:
    """From our tables alone."""
    authorize(app, session)
    sections = [_stores(app), _work(app, session), *_alarms(app)]
    return _page(session, "", "Administration", sections, notice)


def _stores(app: App) -> dict[str, Any]:
    stores, now = stores_of(app), app.tools.clock.now()
    heard = app.tools.watch.heard([one.domain for one in stores])
    needed = needed_scopes(app)
    rows = []
    for one in stores:
        at, seen = heard.get(one.domain), one.webhooks_checked_at if app.config.public_url else None
        lacking = missing_scopes(one.grant.scopes if one.grant else None, needed)
        problem = one.problem or (f"not granted: {', '.join(lacking)}" if lacking else "")
        rows.append([
            cell(one.name, url=f"{URL}/stores/{one.domain}", more=one.domain),
            cell(STATES[one.state], mark="ok" if one.state == "active" and not problem else "wrong", more=problem),
            cell(f"{doctor.span(now - at)} ago" if at else "None came yet", mark="ok" if at else "",
                 more=f"subscriptions seen {doctor.span(now - seen)} ago" if seen else NEVER_SEEN),
        ])  # fmt: skip
    lead = "Open a store to ask Shopify how its connection stands, and to see its settings."
    columns = ["Store", "Connection", "Last webhook"]
    return table("Stores", columns, rows, empty="No store is connected.", lead=lead)


def _work(app: App, session: Session) -> dict[str, Any]:
    checks = [one for one in doctor.of_work(app.tools) if not one.name.startswith("alarm")]
    decides = may(session.agent, REVIEW)
    count = len(waiting(app.tools, app.tools.runs.open_runs()))
    after = (views.waiting_text(count), views.REVIEWS_URL) if decides and count else None
    return table("What waits", ["What", "How it stands"], [_check(one) for one in checks], empty="", after=after)


def _check(one: doctor.Check) -> list[Cell]:
    found = f"{one.found} ({one.more})" if one.more else one.found
    return [cell(_begin(one.name)), cell(_begin(found), mark="ok" if one.ok else "wrong", more=one.cure)]


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]


def store(app: App, session: Session, domain: str) -> View:
    """Asks Shopify."""
    authorize(app, session)
    found = next((one for one in stores_of(app) if one.domain == domain), None)
    if found is None:
        raise NothingHere("There is no such store here.")
    checks = [[cell(_begin(one.name.removeprefix(f"{domain} "))), _check(one)[1]]
              for one in doctor.of_store(app, found)]  # fmt: skip
    health = table("Its connection, asked just now", ["What", "How it stands"], checks, empty="")
    runs = app.tools.store(domain)
    return _page(session, "/stores", found.name, [health, _closed(app, runs), _settings(app, runs)])


def _closed(app: App, found: StoreInfo | None) -> dict[str, Any]:
    """What the runtime asks before any rule of the action itself."""
    rows = []
    for one in app.tools.bundle.actions.values() if found else ():
        lacking = missing_scopes(found.scopes if found else None, one.scopes)
        text = f"Closed: {', '.join(lacking)} not granted" if lacking else "Open, as far as its scopes go"
        rows.append([cell(one.title), cell(text, mark="wrong" if lacking else "ok")])
    return table("Actions in this store", ["Action", "Scopes"], rows, empty="None: the store is not connected.")


def _settings(app: App, found: StoreInfo | None) -> dict[str, Any]:
    rows = [
        [cell(name), cell(_value(value), more=f"changed from {_value(before)}" if value != before else "")]
        for name, value in (found.settings.items() if found else ())
        for before in [app.tools.bundle.settings.get(name)]
    ]
    return table("Settings", ["Setting", "In force"], rows, empty="None are in force: the store is not connected.")


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# ---------------------------------------------------------------- who may do what


def permissions(app: App, session: Session) -> View:
    """Every cell is what the runtime answers when such an agent asks."""
    authorize(app, session)
    bundle = app.tools.bundle
    sets = list(bundle.permission_sets.values())
    names = [one.title for one in sets]
    groups = [[cell(group), cell(bundle.permission_sets[name].title)] for group, name in bundle.role_groups.items()]
    actions = [[cell(one.title), *(_may_act(one, held) for held in sets)] for one in bundle.actions.values()]
    rest = [
        [cell(title, more=name), *(_holds(name, held) for held in sets)] for name, title in bundle.permissions.items()
    ]
    lead = "Amounts are the most that one agent may pay back on one order, earlier refunds of that agent included."
    return _page(session, "/permissions", "Who may do what", [
        table("Actions", ["Action", *names], actions, empty="There is none.", lead=lead),
        table("Permissions", ["Permission", *names], rest, empty="There is none."),
        table("Role groups of the CRM", ["Role group", "Permission set"], groups, empty="No group is mapped."),
    ])  # fmt: skip


def _holds(permission: str, held: PermissionSet) -> Cell:
    yes = may(acting(held, "", ""), permission)
    return cell("Yes" if yes else "No", mark="ok" if yes else "")


def _may_act(action: Action, held: PermissionSet) -> Cell:
    if not may(acting(held, "", ""), action.permission):
        return cell("No")
    pays = any(OPERATIONS[step.root].moves is not Moves.NOTHING for step in action.steps)
    return cell("Yes", mark="ok", more=_limits(held) if pays else "")


def _limits(held: PermissionSet) -> str:
    own = ceiling(held.limit, NO_CURRENCY, NO_CURRENCY)
    parts = [f"up to {own.amount:f} in the store's currency" if own > 0 else "pays nothing back"]
    parts += [f"up to {ceiling(held.limit, one, one).show()} on orders in {one}" for one in held.limit.presentment]
    return ", ".join(parts)


# ---------------------------------------------------------------- runs


def runs(app: App, session: Session, query: Query) -> View:
    authorize(app, session)
    tools, own = app.tools, domains(app)
    found, rest = reports.one_page(tools, query, own)
    path = f"{URL}/runs"
    names = {one.domain: one.name for one in stores_of(app)}
    rows = [_run(app, session, query, one, names) for one in found]
    after = ("Older runs", query.address(path, after=rest)) if rest else None
    states = {"": "Any", **views.TITLES}
    asked = filters(path, [choice("state", "State", states, query.state), *_fields(app, query)],
                    query.address(f"{path}/csv"))  # fmt: skip
    columns = ["Begun (UTC)", "Order", "Action", "Agent", "State", "Amount"]
    lead = f"The newest first. A CSV holds at most {MOST_ROWS:,} of them; narrow the days for older ones."
    listed = table("Runs", columns, rows, empty="No run fits.", lead=lead, after=after)
    return _page(session, "/runs", "Runs", [asked, listed])


def _fields(app: App, query: Query) -> list[dict[str, Any]]:
    stores = {"": "All", **{one.domain: one.name for one in stores_of(app)}}
    actions = {"": "Any", **{one.id: one.title for one in app.tools.bundle.actions.values()}}
    return [
        choice("store", "Store", stores, query.store), text("agent", "Agent, by id", query.agent),
        choice("action", "Action", actions, query.action),
        day("first", "From", query.first), day("last", "To", query.last),
    ]  # fmt: skip


def _run(app: App, session: Session, query: Query, run: Run, names: Mapping[str, str]) -> list[Cell]:
    state = views.run_state(run, app.tools.clock.now())
    money = reports.moved(run)
    opens = views.run_url(run.place, run.id) if may(session.agent, REVIEW) else None
    return [
        cell(f"{run.created_at:%Y-%m-%d %H:%M}"),
        cell(run.facts["name"], url=opens, more=names[run.place.store]),
        cell(action_title(app.tools, run)),
        cell(run.agent_name, url=query.address(f"{URL}/runs", agent=run.agent_id)),
        cell(views.TITLES[state], mark="wrong" if state in ("doubt", "review", "partly") else ""),
        amount(money) if money else cell("", number=True),
    ]


# ---------------------------------------------------------------- what was paid back


def refunds(app: App, session: Session, query: Query) -> View:
    """By day, agent and reason; money stands by its currency and is never added up over two."""
    authorize(app, session)
    tools, own = app.tools, domains(app)
    path = f"{URL}/refunds"
    query = reports.span(query, tools.clock.now().date())
    rows = reports.paid(tools, reports.wanted(query, own))
    days, agents = reports.by_day(rows), reports.by_agent(rows)
    reasons, cut = reports.by_reason(tools, query, own)
    lead = f"Of the newest {MOST_REASONS:,} runs." if cut else ""
    asked = filters(path, _fields(app, query), None)
    return _page(session, "/refunds", "Paid back", [
        asked, *_charts(query, days),
        _sums("By day", "Day", days, lead="What is proved. Runs that are pending or in doubt are not in it."),
        _sums("By agent", "Agent", agents, link=lambda one: query.address(f"{URL}/runs", agent=one.key)),
        _sums("By reason", "Reason", reasons, lead=lead),
    ])  # fmt: skip


def _charts(query: Query, days: Sequence[Sum]) -> list[dict[str, Any]]:
    assert query.first is not None
    assert query.last is not None
    by: dict[str, dict[str, Any]] = {}
    for one in days:
        by.setdefault(one.money.currency, {})[one.key] = one.money
    return [chart(f"Paid back by day, {currency}", query.first, query.last, sums) for currency, sums in by.items()]


def _sums(
    title: str, column: str, rows: Sequence[Sum], *, lead: str = "", link: Callable[[Sum], str] | None = None
) -> dict[str, Any]:  # fmt: skip
    shown = [
        [cell(one.name, url=link(one) if link else None), cell(one.count, number=True), amount(one.money)]
        for one in rows
    ]
    return table(title, [column, "Payments", "Amount"], shown, empty="Nothing was paid back.", lead=lead)


# ---------------------------------------------------------------- alarms


def _alarms(app: App) -> list[dict[str, Any]]:
    every = alarms_of(app)
    standing = [one for one in every if one.lifted_at is None]
    past = [one for one in every if one.lifted_at is not None][-SHOWN_ALARMS:][::-1]
    rows = [
        [cell(f"{one.raised_at:%Y-%m-%d %H:%M}"), cell(about(one), mark="wrong", more=one.text),
         cell(f"Lift alarm {one.id}", url=f"{URL}/alarms/{one.id}")]
        for one in standing
    ]  # fmt: skip
    lifted = [
        [
            cell(f"{one.lifted_at:%Y-%m-%d %H:%M}"),
            cell(about(one), more=one.text),
            cell(one.lifted_by or "", more=one.reason or ""),
        ]
        for one in past
    ]
    sections = [table("Alarms that stand", ["Raised (UTC)", "What", "End it"], rows, empty="None.")]
    if lifted:
        sections.append(table("Alarms that were lifted", ["Lifted (UTC)", "What", "By"], lifted, empty=""))
    return sections


def alarms_of(app: App) -> Sequence[Alarm]:
    """Those an admin may know of, and may lift."""
    known = {EVERY_STORE, *domains(app)}
    return [one for one in app.tools.watch.alarms(active=False) if one.store in known]


def about(alarm: Alarm) -> str:
    whose = f", agent {alarm.agent_id}" if alarm.agent_id else ""
    store = "every store" if alarm.store == EVERY_STORE else alarm.store
    return f"{KINDS[alarm.kind]}: {store}{whose}"
