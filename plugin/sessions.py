"""Who works with the card: the session an identity of the CRM is given, and what it may do at each request."""

from dataclasses import replace

from plugin import permissions, views
from plugin.errors import NotAllowed, SignInAgain
from plugin.logs import tell
from plugin.permissions import READ, SEARCH, permission_set
from plugin.points import Point, reached
from plugin.ports import Tools
from plugin.shapes import Identity, Place, Session
from plugin.tokens import FoundClaims, SessionClaims, Tokens


def sign_in(tools: Tools, tokens: Tokens, identity: Identity) -> tuple[str, str]:
    """A session token for this agent and customer, and where the card starts. Raises NotAllowed."""
    chosen = permission_set(tools.bundle, identity.role_groups)
    place = None
    if identity.store is not None and identity.order is not None:
        place = Place(identity.store, identity.order)
    claims = SessionClaims(
        identity.agent_id, identity.agent_name, chosen.name, permissions.fingerprint(chosen), identity.customer,
        identity.conversation, place, identity.read_only,
    )  # fmt: skip
    start = views.order_url(place) if place else "/orders"
    return tokens.seal_session(claims, tools.clock.now()), start


def session_of(
    tools: Tools, claims: SessionClaims, door: str = "card", proof: FoundClaims | None = None
) -> Session:  # fmt: skip
    """The permission set is looked up at every request, so that a changed bundle holds at once.

    `proof` of an order found by its number counts for the agent who found it, beside the same customer.
    """
    reached(Point.SESSION_OPEN)
    found = tools.bundle.permission_sets.get(claims.permission_set)
    if found is None:
        raise NotAllowed("Your permission set no longer exists. Ask an administrator.")
    if permissions.fingerprint(found) != claims.permission_hash:
        raise SignInAgain("What you may do has changed. Open the card again.")
    chosen = replace(found, grants=found.grants & {READ}) if claims.read_only else found
    agent = permissions.acting(chosen, claims.agent_id, claims.agent_name)
    lent = None
    if proof and (proof.agent_id, proof.customer_id) == (agent.id, claims.customer.id) and SEARCH in chosen.grants:
        lent = proof.place
        tell("order.lent", agent=agent.id, store=lent.store, order=lent.order)
    return Session(agent, claims.customer, claims.conversation, claims.place, door, lent)
