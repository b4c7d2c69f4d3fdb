"""How the runs and refunds of an order stand, as the card shows them."""

from collections.abc import Sequence
from typing import Any

from plugin import views
from plugin.ports import Tools
from plugin.reading import Seen
from plugin.review import REVIEW, decided_by, foreign
from plugin.shapes import OrderFacts, Run, Session, StepState
from plugin.telling import calls, paid_back, past_refunds, told


def outcome(tools: Tools, session: Session, run: Run, order: OrderFacts | None = None) -> dict[str, Any]:
    """Context of outcome.html; the way back leads to the order, or to the runs when the order is another customer's."""
    state = views.run_state(run, tools.clock.now())
    action = tools.bundle.actions.get(run.action_id)
    text = str((run.outcome or {}).get("text", ""))
    if run.open and state == "pending" and action is not None:
        text = str(told(run, action, "pending")["text"])
    others = foreign(tools, run, order) if order is not None else None
    text = views.run_text(run, state, text, decided_by(tools, run), others)
    rows = [
        {"label": "Order", "value": str(run.facts["name"])},
        *([] if state == "done" else calls(run)),
        {"label": "Reference", "value": " ".join(step.marker for step in run.steps)},
    ]
    return views.outcome(run, state, text, paid_back(run), rows, way_back(tools, session, run))


def way_back(tools: Tools, session: Session, run: Run) -> tuple[str, str]:
    """Where a page about the run leads back to: label and address."""
    if concerns(tools, session, run):
        return "Back to the order", views.order_url(run.place)
    return "Back to the runs", views.REVIEWS_URL


def concerns(tools: Tools, session: Session, run: Run) -> bool:
    """Whether the run is of the customer shown: a run of the command line names none, but its order has one."""
    if run.customer_id and run.customer_id == session.customer.id:
        return True
    row = tools.orders.order(run.place)
    return row is not None and tools.orders.owns(row, session.customer)


def may_follow(tools: Tools, session: Session, run: Run) -> bool:
    return REVIEW in session.agent.permissions or concerns(tools, session, run)


def waiting(tools: Tools, runs: Sequence[Run]) -> list[Run]:
    """Those of the runs that a person must decide about, in stores connected here."""
    return [
        run for run in runs
        if tools.store(run.place.store) is not None and any(one.state is StepState.REVIEW for one in run.steps)
    ]  # fmt: skip


def open_run(tools: Tools, session: Session, run: Run, order: OrderFacts) -> dict[str, Any]:
    view = outcome(tools, session, run, order)["outcome"]
    decides = view["state"] == "review" and REVIEW in session.agent.permissions
    return {
        "state": view["state"],
        "title": f"{run.agent_name}: {action_title(tools, run)} - {view['title']}",
        "text": view["text"],
        "calls": calls(run),
        "since": run.created_at.isoformat(),
        "agent": run.agent_name,
        "follow_url": views.run_url(run.place, run.id),
        "order_url": views.order_url(run.place),
        "decide_url": views.review_url(run.place, run.id) if decides else None,
    }


def past(tools: Tools, run: Run) -> dict[str, Any]:
    outcome = run.outcome or {}
    state = str(outcome.get("state", "done"))
    return {
        "title": action_title(tools, run) + (f" - {views.TITLES[state]}" if state != "done" else ""),
        "text": outcome.get("text", ""),
        "at": run.created_at.isoformat(),
        "agent": run.agent_name,
        "state": outcome.get("state", ""),
        "decisions": [views.decision(one) for one in run.resolutions],
    }


def action_title(tools: Tools, run: Run) -> str:
    action = tools.bundle.actions.get(run.action_id)
    return action.title if action else run.action_id


def refunds(tools: Tools, seen: Seen, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Each refund of the order and of its runs, with its date as far as the order view reads it."""
    rows = seen.view(tools.bundle.cards["order_view"].reads or "").get("refunds") or []
    dates = {one["id"]: one.get("createdAt") for one in rows if "id" in one}
    return past_refunds(seen.facts, dates, runs)
