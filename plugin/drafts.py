"""A form filled in on the fresh order: what Shopify would do, what is wrong with it, what it would send."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugin import forms, plan
from plugin.bundle import Action
from plugin.documents import MAX_REFUNDS
from plugin.errors import ActInShopify, FixTheForm, NotAllowed, NothingHere, TryLater
from plugin.expr import ExprError, Scope
from plugin.permissions import check_limit, missing_scopes
from plugin.ports import Tools
from plugin.reading import TOO_MANY, Seen, kept, look, look_with_preview
from plugin.shapes import Agent, FormState, Place, Plan, Session, StoreInfo

REDRAFTS = 3


@dataclass(frozen=True)
class Draft:
    """A form with Shopify's fresh answer to it."""

    action: Action
    seen: Seen
    scope: Scope
    state: FormState


def draft(
    tools: Tools, session: Session, place: Place, action: Action, raw: Mapping[str, Any] | None,
    shown: Mapping[str, Any],
) -> Draft:  # fmt: skip
    """Fill the form from the order we know, ask for preview and fresh order at once, fill it again.

    When the fresh order would have asked Shopify something else, ask again: the preview shown is
    always the preview of the form shown.
    """
    store, agent = store_of(tools, place), session.agent
    row = tools.orders.order(place)
    if row is not None and row.legacy:
        raise ActInShopify("This order came from the older Shopify app. Work on it in Shopify until its next update.")
    seen = kept(tools, row, session.customer) or look(tools, place)
    try:
        for _ in range(REDRAFTS):
            must_own(session, seen)
            asked = _variables(action, scope_of(action, seen, agent, store), agent, raw, shown)
            answer: dict[str, Any] = {}
            if action.preview is None:
                seen = look(tools, place)
            else:
                seen, answer = look_with_preview(tools, place, action, asked)
            scope = scope_of(action, seen, agent, store)
            reason, _ = unavailable(action, scope, store)
            if reason is not None:
                raise ActInShopify(reason)
            must_own(session, seen)
            if len(seen.facts.refunds) >= MAX_REFUNDS:
                raise ActInShopify(TOO_MANY)
            if asked == _variables(action, scope, agent, raw, shown):
                begun = forms.begin(action, scope, agent, raw, shown)
                scope = scope.also(preview=answer)
                state = forms.complete(action, scope, agent, begun)
                return Draft(action, seen, scope.also(form=state.values), state)
    except (ExprError, ValueError, KeyError) as error:
        raise ActInShopify(f"Shopify's answer cannot be used here ({error}). Work on this order in Shopify.") from error
    raise TryLater("The order keeps changing. Try again in a moment.")


def _variables(
    action: Action, scope: Scope, agent: Agent, raw: Mapping[str, Any] | None, shown: Mapping[str, Any]
) -> dict[str, Any]:
    if action.preview is None:
        return {}
    state = forms.begin(action, scope, agent, raw, shown)
    variables: dict[str, Any] = action.preview.variables(scope.also(form=state.values))
    return variables


def scope_of(action: Action, seen: Seen, agent: Agent, store: StoreInfo) -> Scope:
    values = {
        "order": seen.view(action.reads),
        "agent": agent.data(),
        "store": store.data(),
        "settings": dict(store.settings),
    }
    return Scope(values, action.lets)


def judge(tools: Tools, session: Session, filled: Draft, run_id: str) -> tuple[FixTheForm | None, Plan | None]:
    """Everything that is wrong with the form, the limit included; and its plan when that can be made."""
    by_field, others = dict(filled.state.errors), list[str]()
    for guard in filled.action.guards:
        if not by_field and not guard.condition.evaluate(filled.scope):
            by_field.setdefault(guard.target or "", str(guard.text(filled.scope)))
    planned = None
    if not by_field:
        planned = _plan(tools, filled, run_id)
        try:
            check_limit(session.agent, planned, *tools.runs.moved(session.agent.id, filled.seen.place))
        except NotAllowed as error:
            others.append(str(error))
        if not planned.steps:
            others.append("There is nothing to do with these values.")
    for name, sentence in filled.state.missing.items():
        by_field.setdefault(name, sentence)
    others += [by_field.pop("")] if "" in by_field else []
    return (FixTheForm(by_field, others) if by_field or others else None), planned


def _plan(tools: Tools, filled: Draft, run_id: str) -> Plan:
    try:
        return plan.build(filled.action, filled.scope, run_id, filled.seen.facts, tools.query)
    except (ExprError, ValueError, KeyError) as error:
        words = f"The calls of {filled.action.title} cannot be made here ({error}). Work on this order in Shopify."
        raise ActInShopify(words) from error


def unavailable(action: Action, scope: Scope, store: StoreInfo) -> tuple[str | None, str | None]:
    """Why an action is closed: a scope that Shopify did not grant, else its first rule that holds; and what to do."""
    lacking = missing_scopes(store.scopes, action.scopes)
    if lacking:
        return f"{store.name} did not grant {', '.join(lacking)}. An administrator must connect the store again.", None
    try:
        for rule in action.availability:
            if rule.condition.evaluate(scope):
                return str(rule.text(scope)), rule.target
    except ExprError as error:
        return f"This order cannot be judged here ({error}). Work on it in Shopify.", None
    return None, None


def store_of(tools: Tools, place: Place) -> StoreInfo:
    found = tools.store(place.store)
    if found is None:
        raise NothingHere("This store is not connected here.")
    return found


def must_own(session: Session, seen: Seen) -> None:
    """An order is shown only beside its own customer, or to who found it by its number.

    The command line has no customer before it.
    """
    if session.door == "cli" or session.found == seen.place:
        return
    if not session.customer.bought(seen.facts.email, seen.facts.phone):
        raise NothingHere("This customer has no such order.")
