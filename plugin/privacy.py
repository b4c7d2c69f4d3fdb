"""Privacy requests of Shopify, carried out in our tables: shown to the store's owner, or forgotten.

Runs keep their ids, amounts and times: they prove what became of money. What was typed or sent is emptied.
Rules: shopify.dev/docs/apps/build/compliance/privacy-law-compliance (facts/money-safety.md §2); thirty days are given.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from plugin.app import App
from plugin.errors import NothingHere
from plugin.logs import tell
from plugin.ports_stores import Asked, Wish
from plugin.shapes import Place, Run

AGAIN = timedelta(hours=1)  # an open run, or a note that waits for the CRM, is asked after so much later


def carry_out(app: App) -> int:
    """Do what was asked and may be done now; what an open run stands in the way of waits for it."""
    finished = 0
    for one in app.privacy.due(app.tools.clock.now()):
        ready = _DO[one.wish](app, one)
        tell("privacy.done" if ready else "privacy.waits", store=one.store, topic=one.wish)
        if not ready:
            app.privacy.later(one.id, app.tools.clock.now() + AGAIN)
        finished += ready
    return finished


def _show(app: App, one: Asked) -> bool:
    places = app.privacy.places(one.store, one.customer, one.order_ids)
    report = {"orders": [_held(app, place) for place in places]}
    app.privacy.done(one.id, report, app.tools.clock.now())
    return True


def _forget(app: App, one: Asked) -> bool:
    """An order with an open run is still needed, to find out what became of its money."""
    kept = app.privacy.places(one.store, one.customer, one.order_ids)
    busy = {place for place in kept if not _emptied(app, (run.id for run in app.tools.runs.runs_of(place)))}
    app.privacy.forget(one.store, one.customer, [place for place in kept if place not in busy])
    app.privacy.forget_reports(one.store, [*one.order_ids, *(place.order for place in kept)])
    if not busy:
        app.privacy.done(one.id, None, app.tools.clock.now())
    return not busy


def _forget_store(app: App, one: Asked) -> bool:
    """A store that was connected again meanwhile is a customer once more; an old request sent anew does nothing."""
    row = app.connections.get(one.store)
    if row is None or row.state != "active":
        if not _emptied(app, app.privacy.runs_at(one.store)):
            return False
        app.privacy.forget_store(one.store)
    app.privacy.done(one.id, None, app.tools.clock.now())
    return True


_DO = {Wish.SHOW: _show, Wish.FORGET: _forget, Wish.FORGET_STORE: _forget_store}


def _emptied(app: App, run_ids: Iterable[str]) -> bool:
    """Whether all of them could be emptied; an open run and one whose note waits cannot."""
    return all([app.tools.runs.redact(one) for one in run_ids])


# ---------------------------------------------------------------- what is held


def _held(app: App, place: Place) -> Mapping[str, Any]:
    row = app.tools.orders.order(place)
    return {
        "order": place.order,
        "header": row.header if row else None,
        "snapshot": row.snapshot if row else None,
        "runs": [_of_run(run) for run in app.tools.runs.runs_of(place)],
    }


def _of_run(run: Run) -> Mapping[str, Any]:
    return {
        "id": run.id,
        "action": run.action_id,
        "agent": run.agent_name,
        "begun": run.created_at.isoformat(),
        "typed": run.texts,
        "outcome": (run.outcome or {}).get("text"),
        "sent": [step.body.decode("utf-8", "replace") for step in run.steps],
        "decided": [{"by": one.agent_name, "how": one.how, "reason": one.reason} for one in run.resolutions],
    }


# ---------------------------------------------------------------- for the command


def listed(app: App) -> Sequence[str]:
    """A line for each request: id, what, store, since, state."""
    return [f"{one.id}  {one.wish}  {one.store}  {_day(one.asked_at)}  {_state(one)}" for one in app.privacy.all()]


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"


def _state(one: Asked) -> str:
    if one.done_at is None:
        return "waits (an open run, or a note for the CRM)" if one.wish is not Wish.SHOW else "waits"
    return f"done {_day(one.done_at)}" + (": read it with `order-actions privacy show`" if one.report else "")


def report_of(app: App, id: str) -> Mapping[str, Any]:
    """What is held of a customer, for the store's owner to pass on. Raises NothingHere."""
    found = next((one for one in app.privacy.all() if one.id == id), None)
    if found is None or found.report is None:
        raise NothingHere(f"There is no report {id}. See `order-actions privacy list`.")
    return found.report
