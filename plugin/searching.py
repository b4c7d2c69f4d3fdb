"""An order looked up by its number, whoever bought it: for agents with a permission of its own, each use in the log."""

from collections.abc import Mapping
from typing import Any

from plugin import views
from plugin.errors import OrderActionsError
from plugin.flow import View
from plugin.logs import tell
from plugin.permissions import READ, SEARCH, require
from plugin.phones import e164
from plugin.ports import Tools
from plugin.reading import find_by_number, header, place_of
from plugin.shapes import Session, StoreInfo
from plugin.tokens import FoundClaims, Tokens


def search(tools: Tools, tokens: Tokens, session: Session, number: str) -> View:
    """Orders of every connected store with exactly this number; one call a store. What is somebody else's says so."""
    for permission in (READ, SEARCH):
        require(session.agent, permission, tools.bundle.permissions)
    rows, problems = list[dict[str, Any]](), list[str]()
    stores = tools.commerce.stores()
    for store in stores:
        try:
            rows += [_found(tools, tokens, session, store, one) for one in find_by_number(tools, store.domain, number)]
        except OrderActionsError as error:
            problems.append(f"{store.name}: {error}")
    if not rows:
        tell("order.searched", agent=session.agent.id)
    return View("found", views.found(number, rows, problems, views.limited(stores)))


def _found(
    tools: Tools, tokens: Tokens, session: Session, store: StoreInfo, node: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """A row of the answer; somebody else's order comes with a proof that opens it for this agent, here and soon."""
    place, email = place_of(store.domain, node), node["email"] or ""
    own = session.customer.bought(email, e164(node["phone"] or ""))
    tell("order.searched", agent=session.agent.id, store=place.store, order=place.order)
    claims = FoundClaims(session.agent.id, session.customer.id, place)
    proof = None if own else tokens.seal_found(claims, tools.clock.now())
    return views.found_row(store, place, header(node), views.whose(own, email), proof)
