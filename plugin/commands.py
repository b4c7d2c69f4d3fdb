"""What the command line does with the program: rehearse an action, run it, pull the schema."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plugin import alarms, flow, plan, review, views
from plugin.app import App, build, config_from, find_bundle
from plugin.demo import running
from plugin.drafts import draft, judge
from plugin.errors import FixTheForm, FixTheSetup, NotAllowed, NothingHere
from plugin.permissions import acting, permission_set, require
from plugin.ports import Alarm
from plugin.reading import find_by_number, place_of
from plugin.schema_pull import bundle_documents
from plugin.schema_pull import pull as cut
from plugin.shapes import Agent, Customer, Place, Run, Session
from plugin.telling import paid_back
from plugin.tokens import new_run_id

FIND_BY_ID = """query FindById($id: ID!) { order(id: $id) { id name email } }"""
FOLLOW_SECONDS = 60.0
NEWEST = 100


@contextmanager
def _app(bundle: Path | None, sandbox: bool) -> Iterator[App]:
    root = find_bundle(bundle)
    if not sandbox:
        app = build(config_from(os.environ), root)
        try:
            yield app
        finally:
            app.close()
        return
    with running(root, 0) as demo:
        yield demo.app


def dry_run(
    bundle: Path | None, action_id: str, name: str, form: Mapping[str, Any] | None, agent_id: str,
    groups: Sequence[str], sandbox: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    """Every call the action would send now, unsent. Raises FixTheForm and the other refusals."""
    with _app(bundle, sandbox) as app:
        session, place = _session(app, name, agent_id, groups)
        action = app.tools.bundle.actions.get(action_id)
        if action is None:
            raise NothingHere(f"There is no action {action_id!r}. There are: {', '.join(app.tools.bundle.actions)}.")
        require(session.agent, action.permission, app.tools.bundle.permissions)
        filled = draft(app.tools, session, place, action, form, {})
        mistakes, planned = judge(app.tools, session, filled, new_run_id())
        if mistakes is not None:
            raise _by_name(mistakes)
        assert planned is not None
        return plan.as_json(planned)


def run(
    bundle: Path | None, action_id: str, name: str, form: Mapping[str, Any] | None, agent_id: str,
    groups: Sequence[str], sandbox: bool, say: Callable[[str], None],
) -> tuple[str, str]:  # fmt: skip
    """Open the form, send it, follow the run; its last state and sentence."""
    with _app(bundle, sandbox) as app:
        session, place = _session(app, name, agent_id, groups)
        opened = flow.open_form(app.tools, app.tokens, session, place, action_id)
        say(f"{opened.context['form']['title']} {opened.context['order_name']}: asking Shopify …")
        raw = form if form is not None else _defaults(opened.context["form"])
        token = opened.context["form"]["token"]
        shown = flow.preview(app.tools, app.tokens, session, place, action_id, raw, token)
        token = shown.context["form"]["token"]
        sent = flow.submit(app.tools, app.tokens, session, place, action_id, raw, token)
        if sent.card == "action_form":
            raise _of_view(sent.context["form"])
        return _followed(app, session, place, sent.context["outcome"])


def _defaults(form: Mapping[str, Any]) -> dict[str, Any]:
    """What the card would send if nothing was changed."""
    raw: dict[str, Any] = {}
    for one in form["fields"]:
        if one["type"] == "line_items":
            raw[one["name"]] = {row["id"]: str(row["quantity"]) for row in one["options"]}
        elif one["type"] == "boolean":
            raw[one["name"]] = "true" if one["value"] else "false"
        elif one["type"] != "payments":
            raw[one["name"]] = one["value"] or ""
    return raw


def _followed(app: App, session: Session, place: Place, outcome: Mapping[str, Any]) -> tuple[str, str]:
    """The command waits longer than a card: it is its own worker."""
    from plugin.runtime import carry_out

    state, url = outcome["state"], outcome["follow_url"]
    if state == "working" and url:
        run_id = url.rsplit("/", 1)[-1]
        carry_out(app.tools, run_id, FOLLOW_SECONDS)
        outcome = flow.follow(app.tools, session, place, run_id).context["outcome"]
    refunds = ", ".join(f"refund {one['id']}: {one['amount'].show()}" for one in outcome["refunds"])
    return outcome["state"], f"{outcome['title']}: {outcome['text']}{f' ({refunds})' if refunds else ''}"


def _of_view(form: Mapping[str, Any]) -> FixTheForm:
    by_field = {one["name"]: one["error"] for one in form["fields"] if one["error"]}
    return _by_name(FixTheForm(by_field, form["errors"]))


def _by_name(mistakes: FixTheForm) -> FixTheForm:
    lines = [*mistakes.others, *(f"{name}: {text}" for name, text in mistakes.by_field.items())]
    return FixTheForm({}, ["\n".join(lines)])


def _session(app: App, name: str, agent_id: str, groups: Sequence[str]) -> tuple[Session, Place]:
    place, email = _find(app, name)
    tools = app.tools
    if groups:
        chosen = permission_set(tools.bundle, groups)
    else:
        chosen = max(tools.bundle.permission_sets.values(), key=lambda one: len(one.grants))
    if not agent_id.strip():
        raise NotAllowed("Say who acts: --agent ID.")
    return Session(acting(chosen, agent_id, agent_id), Customer("", email, ""), door="cli"), place


def _find(app: App, name: str) -> tuple[Place, str]:
    """An order by its number (`#1001`) or its Shopify id; before it a store and `/`, where several have it."""
    store, _, number = name.rpartition("/") if ".myshopify.com/" in name else ("", "", name)
    stores = [one.domain for one in app.tools.commerce.stores() if store in ("", one.domain)]
    found = [one for domain in stores for one in _in_store(app, domain, number)]
    if not found:
        raise NothingHere(f"No connected store has an order {name}.")
    if len(found) > 1:
        several = " or ".join(f"{place.store}/{number}" for place, _ in found)
        raise FixTheSetup(f"Several stores have an order {name}: write {several}.")
    return found[0]


def _in_store(app: App, store: str, name: str) -> list[tuple[Place, str]]:
    if name.startswith("gid://") or (name.isdigit() and len(name) > 6):
        place = Place(store, name.rsplit("/", 1)[-1])
        found = [app.tools.commerce.read(store, FIND_BY_ID, {"id": place.gid})["order"]]
    else:
        found = find_by_number(app.tools, store, name)
    return [(place_of(store, one), one["email"] or "") for one in found if one]


def list_runs(bundle: Path | None, only_open: bool) -> Iterator[str]:
    """The newest runs, a line each: id, order, action, agent, steps with their states, since."""
    with _app(bundle, False) as app:
        found = app.tools.runs.open_runs() if only_open else app.tools.runs.newest(NEWEST)
        yield from (_line(run) for run in found)


def _line(run: Run) -> str:
    steps = ", ".join(f"{step.name} {step.state} {step.moves.show()}" for step in run.steps)
    state = "open  " if run.open else "closed"
    parts = [
        run.id,
        state,
        run.facts["name"],
        run.action_id,
        run.agent_name,
        steps,
        f"{run.created_at:%Y-%m-%d %H:%M}Z",
    ]
    return "  ".join(str(part) for part in parts)


def show_run(bundle: Path | None, run_id: str) -> dict[str, Any]:
    """Everything known of one run but what the customer and the agent wrote. Raises NothingHere."""
    with _app(bundle, False) as app:
        run = app.tools.runs.run(run_id)
    if run is None:
        raise NothingHere(f"There is no run {run_id}.")
    return {
        "id": run.id,
        "open": run.open,
        "store": run.place.store,
        "order": run.facts["name"],
        "admin": run.facts["url"],
        "action": run.action_id,
        "agent": run.agent_name,
        "door": run.door,
        "created_at": run.created_at.isoformat(),
        "outcome": (run.outcome or {}).get("state"),
        "steps": [
            {
                "name": step.name,
                "state": step.state,
                "call": step.root,
                "amount": step.moves.show(),
                "reference": step.marker,
                "key": step.key,
                "attempts": step.attempts,
                "first_sent_at": step.first_sent_at and step.first_sent_at.isoformat(),
                "last_sent_at": step.last_sent_at and step.last_sent_at.isoformat(),
                "error": step.error,
            }
            for step in run.steps
        ],
        "refunds": [{"id": one["id"], "amount": one["amount"].show()} for one in paid_back(run)],
        "decisions": [views.decision(one) for one in run.resolutions],
    }


def resolve(
    bundle: Path | None, run_id: str, how: str, reason: str, agent_id: str, groups: Sequence[str]
) -> str:  # fmt: skip
    """A person's decision about a run in doubt; how the run stands after it."""
    with _app(bundle, False) as app:
        run = review.resolve(app.tools, _person(app, agent_id, groups), run_id, how, reason)
    return _line(run)


def list_alarms(bundle: Path | None, every: bool) -> Iterator[str]:
    """Alarms, a line each: id, kind, what it is about, since, text, and how it ended."""
    with _app(bundle, False) as app:
        yield from (_alarm_line(one) for one in app.tools.watch.alarms(active=not every))


def _alarm_line(alarm: Alarm) -> str:
    about = f"run {alarm.run_id}" if alarm.run_id else f"agent {alarm.agent_id}" if alarm.agent_id else "all refunds"
    line = f"{alarm.id}  {alarm.kind}  {alarm.store}  {about}  {alarm.raised_at:%Y-%m-%d %H:%M}Z  {alarm.text}"
    if alarm.lifted_at is None:
        return line
    return f"{line}  (lifted {alarm.lifted_at:%Y-%m-%d %H:%M}Z by {alarm.lifted_by}: {alarm.reason})"


def lift_alarm(bundle: Path | None, alarm_id: int, reason: str, agent_id: str, groups: Sequence[str]) -> str:
    """A person ends an alarm. Raises NotAllowed, NothingHere, LookAgain."""
    with _app(bundle, False) as app:
        return _alarm_line(alarms.lift(app.tools, _person(app, agent_id, groups), alarm_id, reason))


def _person(app: App, agent_id: str, groups: Sequence[str]) -> Agent:
    return acting(permission_set(app.tools.bundle, groups), agent_id, agent_id)


def pull(root: Path, text: str, say: Callable[[str], None]) -> Path:
    """Write the schema subset that the bundle and the sandbox need."""
    from plugin.source import load

    say("Reading Shopify's schema; this takes some seconds …")
    path = root / str(load(root / "plugin.yaml").data["shopify"]["schema"])
    path.write_text(cut(text, bundle_documents(root)), encoding="utf-8")
    return path
