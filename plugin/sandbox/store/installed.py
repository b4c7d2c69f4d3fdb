"""The app as it is installed in the store: its scopes, and which webhooks it has asked for."""

from typing import Any

from graphql import GraphQLResolveInfo

from .state import Store, gid
from .views import View, connection

TAKEN = "Address for this topic has already been taken"


def _store(info: GraphQLResolveInfo) -> Store:
    found = info.context
    assert isinstance(found, Store)
    return found


def installation(_: Any, info: GraphQLResolveInfo) -> View:
    return {"accessScopes": [{"handle": one} for one in sorted(_store(info).scopes)]}


def subscriptions(_: Any, info: GraphQLResolveInfo, **given: Any) -> View:
    rows = [_view(number, *one) for number, one in _store(info).subscriptions.items()]
    return connection(rows)(**given)


def subscribe(_: Any, info: GraphQLResolveInfo, topic: str, **given: Any) -> View:
    """A topic goes to an address once."""
    store, uri = _store(info), str(given["webhookSubscription"].get("uri") or "")
    # unproven: the words for an address that is taken or is no address
    if (topic, uri) in store.subscriptions.values() or not uri.startswith("http"):
        said = TAKEN if uri.startswith("http") else "Address is invalid"
        error = {"field": ["webhookSubscription", "uri"], "message": said}
        return {"webhookSubscription": None, "userErrors": [error]}
    number = store.new_id()
    store.subscriptions[number] = (topic, uri)
    return {"webhookSubscription": _view(number, topic, uri), "userErrors": []}


def _view(number: int, topic: str, uri: str) -> View:
    return {"id": gid("WebhookSubscription", number), "topic": topic, "uri": uri}
