"""Reading an order from Shopify: all of it, in one query beside a preview, or from our own snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from graphql import print_ast

from plugin.bundle import Action
from plugin.documents import MAX_PAGES, MAX_REFUNDS, facts
from plugin.errors import ActInShopify, NothingHere, TryLater
from plugin.points import Point, reached
from plugin.ports import Tools
from plugin.selection import decode, restore, selection, sent_key
from plugin.shapes import OrderFacts, Place

WITH_WEBHOOKS = 900

LIST = """query Orders($query: String!) {
  orders(first: 50, query: $query, sortKey: CREATED_AT, reverse: true) { nodes %s }
}"""


@dataclass(frozen=True)
class Seen:
    """An order as Shopify answered, under sent keys, with the runtime's facts of it."""

    place: Place
    data: Mapping[str, Any]
    facts: OrderFacts

    def view(self, reads: str) -> dict[str, Any]:
        """What one file reads, in its own names."""
        view: dict[str, Any] = restore(selection(reads), self.data, sent_key)
        return view


def look(tools: Tools, place: Place) -> Seen:
    """One query for everything the bundle reads of the order; the snapshot is kept."""
    asked_at = tools.clock.now()
    reached(Point.ORDER_ASKED)
    data = tools.commerce.read(place.store, tools.query.document(), {"orderId": place.gid})
    return keep(tools, place, data["snapshot"], asked_at)


def look_with_preview(
    tools: Tools, place: Place, action: Action, variables: Mapping[str, Any]
) -> tuple[Seen, dict[str, Any]]:
    """The preview and the fresh order, in one query."""
    assert action.preview is not None
    document = tools.query.beside(action.preview.query)
    asked_at = tools.clock.now()
    reached(Point.ORDER_ASKED)
    data = tools.commerce.read(place.store, document, {**variables, "orderId": place.gid})
    return keep(tools, place, data["snapshot"], asked_at), decode(action.preview.query, data)


def keep(tools: Tools, place: Place, data: Any, asked_at: datetime) -> Seen:
    """Read what is missing to the end, and put header and snapshot into our tables.

    A snapshot is as old as the question: what changed while the answer travelled is not in it.
    Raises NothingHere for an order the store does not have, ActInShopify for one too long to be sure of.
    """
    if data is None:
        raise NothingHere("Shopify does not have this order, or this store may not read orders that old.")
    whole = _to_the_end(tools, place, data)
    reached(Point.ORDER_ANSWERED)
    known = facts(whole)
    if len(known.refunds) >= MAX_REFUNDS:
        raise ActInShopify("This order has too many refunds to be handled safely here. Work on it in Shopify.")
    seen = Seen(place, whole, known)
    tools.orders.put_header(place, known.email, header(seen.data), webhook=None)
    tools.orders.put_snapshot(place, whole, asked_at)
    if tools.host.keeps_orders:
        tools.crm.owe_details(place)
    return seen


def _to_the_end(tools: Tools, place: Place, data: Mapping[str, Any]) -> Mapping[str, Any]:
    whole = dict(data)
    for field in tools.query.connections():
        key = sent_key(field)
        found, pages = dict(whole[key]), 1
        while found["pageInfo"]["hasNextPage"]:
            if pages == MAX_PAGES:
                raise ActInShopify("This order is too long to be handled safely here. Work on it in Shopify.")
            after = {"orderId": place.gid, "after": found["pageInfo"]["endCursor"]}
            page = tools.commerce.read(place.store, tools.query.next_page(field), after)["snapshot"]
            if page["updatedAt"] != data["updatedAt"]:
                raise TryLater("The order changed while it was read. Try again in a moment.")
            more = page[key]
            found = {**found, "nodes": [*found["nodes"], *more["nodes"]], "pageInfo": more["pageInfo"]}
            pages += 1
        whole[key] = found
    return whole


def header(data: Mapping[str, Any]) -> dict[str, Any]:
    """The few facts a row of the list shows."""
    names = (
        "name",
        "createdAt",
        "updatedAt",
        "cancelledAt",
        "displayFinancialStatus",
        "displayFulfillmentStatus",
    )
    return {
        **{name: data[name] for name in names},
        "total": data["totalPriceSet"]["presentmentMoney"],
        "refunded": data["totalRefundedSet"]["presentmentMoney"],
    }


def kept(tools: Tools, place: Place, email: str) -> Seen | None:
    """Our own snapshot of the order, however old."""
    row = tools.orders.order(place)
    if row is None or row.snapshot is None or not tools.orders.owns(row, email):
        return None
    try:
        return Seen(place, row.snapshot, facts(row.snapshot))
    except (ValueError, KeyError):
        return None  # kept by another bundle that read other fields


def snapshot(tools: Tools, place: Place, email: str) -> tuple[Seen, datetime] | None:
    """Our own snapshot when it is fresh: young enough, and not older than the last webhook."""
    row = tools.orders.order(place)
    store = tools.store(place.store)
    if row is None or row.snapshot_at is None or store is None:
        return None
    if row.webhook_at is not None and row.webhook_at > row.snapshot_at:
        return None
    longest = int(store.settings["snapshot_max_age"])
    if row.webhook_at is not None:
        longest = max(longest, WITH_WEBHOOKS)  # webhooks of this order arrive: they tell when it changes
    if (tools.clock.now() - row.snapshot_at).total_seconds() > longest:
        return None
    seen = kept(tools, place, email)
    return (seen, row.snapshot_at) if seen else None


def list_orders(tools: Tools, store: str, email: str) -> None:
    """First sight of a customer: one query by e-mail; answers with another e-mail are dropped."""
    reads = tools.bundle.cards["order_list"].reads or ""
    quoted = email.replace("\\", "\\\\").replace('"', '\\"')
    document = LIST % _selection_text(reads)
    data = tools.commerce.read(store, document, {"query": f'email:"{quoted}"'})
    for node in data["orders"]["nodes"]:
        if (node["email"] or "").casefold() != email.casefold():
            continue
        place = Place(store, node["id"].rsplit("/", 1)[-1])
        tools.orders.put_header(place, email, header(node), webhook=None)
        if tools.host.keeps_orders:
            tools.crm.owe(place, email, tools.clock.now())
    tools.orders.mark_listed(store, email, tools.clock.now())


def _selection_text(reads: str) -> str:
    return print_ast(selection(reads))
