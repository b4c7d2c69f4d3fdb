"""The program: a card, an open form, a preview, a submit. Read from top to bottom.

A form travels as a signed token that holds its run id and what the agent was shown. Nothing is sent to
Shopify that was not committed first (`runtime.carry_out`), and nothing is committed that the permission
set, the fresh order and the limit do not allow (`submit`).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from plugin import alarms, permissions, plan, views
from plugin.bundle import Action
from plugin.codec import encode
from plugin.documents import changes, fingerprint
from plugin.drafts import Draft, draft, judge, must_own, scope_of, store_of, unavailable
from plugin.errors import (
    AskAnAdmin,
    FixTheForm,
    LookAgain,
    NothingHere,
    OrderActionsError,
    WaitForRun,
)
from plugin.logs import tell
from plugin.pace import pace
from plugin.permissions import ADMIN, READ, SEARCH, check_limit, require
from plugin.points import Point, reached
from plugin.ports import AlarmKind, NewRun, Tools
from plugin.reading import Seen, kept, known, list_orders, look
from plugin.review import REVIEW
from plugin.runtime import carry_out
from plugin.shapes import FormState, Place, Plan, Run, Session, StoreInfo
from plugin.standing import may_follow, open_run, outcome, past, refunds
from plugin.telling import not_shown
from plugin.tokens import FormClaims, Tokens, new_run_id

OTHER_AMOUNT = "The amount is not the one you were shown. Nothing was done; look at it and press again."
NOT_SENT = (
    "We did not hear back. Nothing was sent to Shopify so far, and what you typed is kept. "
    "You may press again: this form is carried out once at most."
)
NOT_SHOWN = "Shopify does not show yet what was done here just now. Nothing was done; try again in a minute."
PATIENCE = 2.5  # seconds a submit waits for Shopify before the card follows the run


@dataclass(frozen=True)
class View:
    """A card template with its context, and the HTTP status it is sent with."""

    card: str
    context: Mapping[str, Any]
    status: int = 200


# ---------------------------------------------------------------- the card


def card(tools: Tools, session: Session, query: str = "", page: int = 1, *, force: bool = False) -> View:
    """The customer's orders, from our tables; Shopify is asked at first sight and when the list is old."""
    require(session.agent, READ, tools.bundle.permissions)
    customer, now = session.customer, tools.clock.now()
    problem, oldest = None, 0
    if not tools.commerce.stores():
        problem = "No store is connected here. Ask an administrator."
    elif not customer.known_by:
        problem = "The CRM has no e-mail and no certain phone number for this customer, so no orders can be found."
    for store in tools.commerce.stores() if customer.known_by else ():
        listed = tools.orders.listed_at(store.domain, customer.known_by)
        age = None if listed is None else views.seconds_since(listed, now)
        if force or age is None or age > int(store.settings["snapshot_max_age"]):
            try:
                list_orders(tools, store.domain, customer)
                age = 0
            except OrderActionsError as error:
                problem = str(error)
        oldest = max(oldest, age or 0)
    rows = tools.orders.orders_of(customer, whole=bool(query))
    stores = {one.domain: one for one in tools.commerce.stores()}
    opened = tools.runs.open_places()
    shown = [row for row in rows if row.place.store in stores]
    waiting = [place for place, waits in opened.items() if waits and place.store in stores]
    context = views.order_list(
        session.customer, shown, stores, set(opened), query, page, oldest, problem,
        len(waiting) if REVIEW in session.agent.permissions else 0,
        SEARCH in session.agent.permissions, permissions.may(session.agent, ADMIN),
    )  # fmt: skip
    return View("order_list", context)


def order(tools: Tools, session: Session, place: Place, *, force: bool = False) -> View:
    """One order: facts, charges, what can be done and why not, who is doing what, what was done."""
    require(session.agent, READ, tools.bundle.permissions)
    store = store_of(tools, place)
    row = tools.orders.order(place)
    if row is not None and row.legacy and (session.found == place or tools.orders.owns(row, session.customer)):
        return _legacy(store, place, row.name)
    runs = tools.runs.runs_of(place)
    opened = next((one for one in runs if one.open), None)
    seen, at, stale = known(tools, place, row, session.customer, force=force, even_old=opened is not None)
    must_own(session, seen)
    alarms.compare(tools, runs, seen.facts)
    actions = [] if opened else _actions(tools, session, seen, store)
    context = {
        "order": seen.view(tools.bundle.cards["order_view"].reads or ""),
        "store": store.data(),
        "admin_url": views.admin_url(store, place.order),
        "back_url": None if session.place else "/orders",
        "refresh_url": f"{views.order_url(place)}/refresh",
        "age_seconds": views.seconds_since(at, tools.clock.now()),
        "stale_reason": stale,
        "stranger": views.stranger(seen.facts.email) if session.found == place else None,
        "actions": actions,
        "may_act": bool(actions),
        "run": open_run(tools, session, opened, seen.facts) if opened else None,
        "refunds": refunds(tools, seen, runs),
        "history": [past(tools, one) for one in runs if not one.open],
        "shipped": seen.facts.fulfillment_status == "FULFILLED",
    }
    return View("order_view", context)


def _legacy(store: StoreInfo, place: Place, name: str) -> View:
    text = "This order came from the older Shopify app. It opens here again after its next update in Shopify."
    context = views.message(f"Order {name}", text) | {"action": None}
    return View(
        "message",
        context | {"action": {"label": f"Open {name} in Shopify", "url": views.admin_url(store, place.order)}},
    )


def _actions(tools: Tools, session: Session, seen: Seen, store: StoreInfo) -> list[dict[str, Any]]:
    """Actions the agent may use; one that is not available says why and what to do instead."""
    held = [one for one in tools.bundle.actions.values() if one.permission in session.agent.permissions]
    verdicts = {one.id: unavailable(one, scope_of(one, seen, session.agent, store), store) for one in held}
    rows = []
    for action in held:
        reason, suggest = verdicts[action.id]
        instead = tools.bundle.actions[suggest] if suggest in verdicts and suggest is not None else None
        works = instead is not None and verdicts[instead.id][0] is None
        rows.append(views.action_row(action, seen.place, reason, instead if works else None))
    return rows


# ---------------------------------------------------------------- the form


def open_form(tools: Tools, tokens: Tokens, session: Session, place: Place, action_id: str) -> View:
    """The form with its defaults, and what Shopify would do with them: one call."""
    action = _authorized(tools, session, action_id)
    _must_be_free(tools, session, place)
    filled = draft(tools, session, place, action, None, {})
    return _form(tools, tokens, session, filled, new_run_id())


def preview(
    tools: Tools,
    tokens: Tokens,
    session: Session,
    place: Place,
    action_id: str,
    raw: Mapping[str, Any],
    token: str,
) -> View:
    """The same form, with what Shopify would do now: one call; the token's time starts anew."""
    action = _authorized(tools, session, action_id)
    claims = _claims(tokens, session, place, action, token)
    _must_be_free(tools, session, place)
    filled = draft(tools, session, place, action, raw, claims.shown)
    _stand_still(claims, filled.seen)
    return _form(tools, tokens, session, filled, claims.run_id, checked=True)


def submit(
    tools: Tools,
    tokens: Tokens,
    session: Session,
    place: Place,
    action_id: str,
    raw: Mapping[str, Any],
    token: str,
) -> View:
    """Check everything again on the fresh order, commit the run, carry it out once, tell the truth.

    The same form may arrive twice at once. What the other press did must not read as a reason why
    nothing was done, so every refusal looks for that run once more.
    """
    reached(Point.POST_RECEIVED)
    action = _authorized(tools, session, action_id)
    form = _claims(tokens, session, place, action, token, even_old=True)
    try:
        return _same_again(tools, session, form, raw) or _press(
            tools, tokens, session, action, raw, _claims(tokens, session, place, action, token)
        )
    except OrderActionsError:
        told_already = _same_again(tools, session, form, raw)
        if told_already is None:
            raise
        return told_already


def _press(
    tools: Tools, tokens: Tokens, session: Session, action: Action, raw: Mapping[str, Any], claims: FormClaims
) -> View:  # fmt: skip
    read_at = tools.clock.now()
    filled = draft(tools, session, claims.place, action, raw, claims.shown)
    _stand_still(claims, filled.seen)
    mistakes, planned = judge(tools, session, filled, claims.run_id)
    if mistakes or planned is None:
        form = _form(tools, tokens, session, filled, claims.run_id, checked=True, sent=True)
        return _same_again(tools, session, claims, raw) or form
    if plan.moves(planned) != claims.moves:
        return _form(tools, tokens, session, filled, claims.run_id, refused=FixTheForm({}, [OTHER_AMOUNT]))
    reached(Point.VALIDATED)
    _begin(tools, session, filled, planned, raw, read_at)
    run = carry_out(tools, claims.run_id, PATIENCE, looked_at=read_at)
    reached(Point.ANSWER_READY)
    if not run.open and (run.outcome or {}).get("state") == "failed":
        return _proved_failure(tools, tokens, session, filled, run)
    return outcome_view(tools, session, run)


def _begin(
    tools: Tools, session: Session, filled: Draft, planned: Plan, raw: Mapping[str, Any], read_at: datetime
) -> None:  # fmt: skip
    """The last gate before the run is written: permission and limit are checked here again."""
    agent, place, action = session.agent, filled.seen.place, filled.action
    require(agent, action.permission, tools.bundle.permissions)
    check_limit(agent, planned, *tools.runs.moved(agent.id, place))
    store = store_of(tools, place)
    seen = filled.seen.facts
    if any(not_shown(one, seen) for one in tools.runs.runs_of(place)):
        raise LookAgain(NOT_SHOWN)
    new = NewRun(
        plan=planned,
        place=place,
        agent_id=agent.id,
        agent_name=agent.name,
        customer_id=session.customer.id,
        conversation=session.conversation,
        door=session.door,
        read_at=read_at,
        facts={
            "name": seen.name,
            "currency": seen.net_presentment.currency,
            "refunds": [one.id for one in seen.refunds],
            "fingerprint": fingerprint(seen),
            "url": views.admin_url(store, place.order),
            "raw": _digest(raw),
            "permission_set": agent.permission_set,
            "found_by_number": session.found == place,
        },
        texts=encode(filled.scope.given()),
        pace=pace(store.settings),
    )
    try:
        run = tools.runs.begin(new, tools.clock.now())
    except AskAnAdmin as stop:
        if stop.raised:
            tell("alarm.raised", alarm=stop.alarm_id, kind=AlarmKind.PACE, store=place.store, agent=agent.id)
        raise
    if run is not None:
        tell("run.begun", run)


def sent(tools: Tools, tokens: Tokens, session: Session, place: Place, action_id: str, token: str) -> View:
    """What became of a form whose answer was lost. Pressed again it is still the same run, so it happens once."""
    claims = _claims(tokens, session, place, _authorized(tools, session, action_id), token, even_old=True)
    run = tools.runs.run(claims.run_id)
    return outcome_view(tools, session, run) if run else View("message", views.message("Not sent", NOT_SENT))


def follow(tools: Tools, session: Session, place: Place, run_id: str) -> View:
    """How a run stands now, from our tables."""
    require(session.agent, READ, tools.bundle.permissions)
    run = tools.runs.run(run_id)
    if run is None or run.place != place or not may_follow(tools, session, run):
        raise NothingHere("There is no such run on this order.")
    return outcome_view(tools, session, run)


# ---------------------------------------------------------------- the parts


def _authorized(tools: Tools, session: Session, action_id: str) -> Action:
    """Permission before anything is read."""
    require(session.agent, READ, tools.bundle.permissions)
    action = tools.bundle.actions.get(action_id)
    if action is None:
        raise NothingHere(f"There is no action {action_id!r}.")
    require(session.agent, action.permission, tools.bundle.permissions)
    return action


def _must_be_free(tools: Tools, session: Session, place: Place) -> None:
    """While a run is open, its state is shown instead of any form (money-safety R9), beside its own customer only."""
    run = tools.runs.open_run(place)
    if run is None:
        return
    must_own(session, kept(tools, tools.orders.order(place), session.customer) or look(tools, place))
    title = views.TITLES[views.run_state(run, tools.clock.now())]
    raise WaitForRun(f"{run.agent_name} is working on this order: {title}. Go back to the order.", run.id)


def _claims(
    tokens: Tokens, session: Session, place: Place, action: Action, token: str, *, even_old: bool = False
) -> FormClaims:  # fmt: skip
    """`even_old`: what became of a form may be asked when it could not be sent any more."""
    claims = tokens.open_form(token, even_old=even_old)
    same = (claims.agent_id, claims.place, claims.action_id) == (session.agent.id, place, action.id)
    if not same or (claims.action_digest != action.digest and not even_old):
        raise LookAgain("This form is not of this order and action any more. Nothing was done; open it again.")
    return claims


def _form(
    tools: Tools, tokens: Tokens, session: Session, filled: Draft, run_id: str, *,
    checked: bool = False, sent: bool = False, refused: FixTheForm | None = None,
) -> View:  # fmt: skip
    """The rendered form. Mistakes are shown once the agent has typed; missing fields once it was sent."""
    mistakes, planned = judge(tools, session, filled, run_id)
    shown = refused or (mistakes if checked else None) or FixTheForm({})
    quiet = {} if sent else filled.state.missing
    claims = FormClaims(
        run_id, session.agent.id, filled.seen.place, filled.action.id, filled.action.digest,
        fingerprint(filled.seen.facts), plan.moves(planned) if planned else "", _suggested(filled.state),
    )  # fmt: skip
    context = views.form(
        filled.action, filled.seen.place, filled.seen.facts.name, filled.state, filled.scope,
        tokens.seal_form(claims, tools.clock.now()),
        errors=shown.others,
        by_field={name: text for name, text in shown.by_field.items() if name not in quiet},
        ready=mistakes is None,
    )  # fmt: skip
    return View("action_form", context, 422 if sent or refused else 200)


def _suggested(state: FormState) -> dict[str, dict[str, str]]:
    """What the payments fields suggest now; a posted amount that differs was typed."""
    return {
        name: {one.option.id: one.option.suggested.plain() for one in value}
        for name, value in state.values.items()
        if isinstance(value, list) and value and hasattr(value[0], "amount")
    }


def _proved_failure(tools: Tools, tokens: Tokens, session: Session, filled: Draft, run: Run) -> View:
    """Shopify refused, and nothing moved: the form again, with the reason at its field and a new run id."""
    outcome = run.outcome or {}
    field, text = outcome.get("field"), str(outcome.get("text"))
    visible = field is not None and field not in filled.state.hidden | filled.state.forbidden
    refused = FixTheForm({field: text}) if visible and field else FixTheForm({}, [text])
    return _form(tools, tokens, session, filled, new_run_id(), checked=True, refused=refused)


def _stand_still(claims: FormClaims, seen: Seen) -> None:
    changed = changes(claims.fingerprint, fingerprint(seen.facts))
    if changed:
        raise LookAgain(f"The order changed since you opened this form: {'; '.join(changed)}. Nothing was done.")


def _same_again(
    tools: Tools, session: Session, claims: FormClaims, raw: Mapping[str, Any]
) -> View | None:  # fmt: skip
    """The same form sent twice gets the same answer; another form under its id is refused."""
    run = tools.runs.run(claims.run_id)
    if run is None:
        return None
    if run.facts["raw"] != _digest(raw):
        raise LookAgain("This form was already sent with other values. Look at the order again.")
    return outcome_view(tools, session, run)


def _digest(raw: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()


def outcome_view(tools: Tools, session: Session, run: Run) -> View:
    return View("outcome", outcome(tools, session, run), 202 if run.open else 200)
