"""Reading an order from Shopify: all of it, in one query beside a preview, or from our own snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from graphql import print_ast

from plugin.bundle import Action
from plugin.documents import MAX_PAGES, READ_REFUNDS, facts
from plugin.errors import ActInShopify, FixTheSetup, NothingHere, TryLater
from plugin.permissions import missing_scopes
from plugin.phones import e164
from plugin.points import Point, reached
from plugin.ports import Tools
from plugin.selection import decode, merge, restore, selection, sent_key
from plugin.shapes import Customer, OrderFacts, OrderRow, Place

WITH_WEBHOOKS = 900
TOO_MANY = "This order has too many refunds to be handled safely here. Work on it in Shopify."
AWAY = "Shopify does not answer just now. This is the order as we last saw it."

HEADER = """
  id name email phone createdAt updatedAt cancelledAt displayFinancialStatus displayFulfillmentStatus
  totalPriceSet { presentmentMoney { amount currencyCode } }
  totalRefundedSet { presentmentMoney { amount currencyCode } }
"""
LIST = """query Orders($query: String!) {
  orders(first: 50, query: $query, sortKey: CREATED_AT, reverse: true) { nodes %s }
}"""
# `orders` has no filter by phone; a customer's phone is unique in a store.
LIST_BY_PHONE = """query OrdersByPhone($phone: String!) {
  customerByIdentifier(identifier: {phoneNumber: $phone}) {
    orders(first: 50, sortKey: CREATED_AT, reverse: true) { nodes %s }
  }
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
        raise NothingHere(
            "Shopify does not show this order: it was deleted, or it is older than 60 days and the app lacks the "
            "access scope read_all_orders."
        )
    whole = _to_the_end(tools, place, data)
    reached(Point.ORDER_ANSWERED)
    known = facts(whole)
    if len(known.refunds) >= READ_REFUNDS:
        raise ActInShopify(TOO_MANY)
    seen = Seen(place, whole, known)
    tools.orders.put_header(place, known.email, header(seen.data), webhook=None, phone=known.phone)
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


def kept(tools: Tools, row: OrderRow | None, customer: Customer) -> Seen | None:
    """Our own snapshot of the order, however old."""
    if row is None or row.snapshot is None or not tools.orders.owns(row, customer):
        return None
    try:
        return Seen(row.place, row.snapshot, facts(row.snapshot))
    except (ValueError, KeyError):
        return None  # kept by another bundle that read other fields


def snapshot(tools: Tools, row: OrderRow | None, customer: Customer) -> tuple[Seen, datetime] | None:
    """Our own snapshot when it is fresh: young enough, and not older than the last webhook."""
    store = tools.store(row.place.store) if row else None
    if row is None or row.snapshot_at is None or store is None:
        return None
    if row.webhook_at is not None and row.webhook_at > row.snapshot_at:
        return None
    longest = int(store.settings["snapshot_max_age"])
    if row.webhook_at is not None:
        longest = max(longest, WITH_WEBHOOKS)  # webhooks of this order arrive: they tell when it changes
    if (tools.clock.now() - row.snapshot_at).total_seconds() > longest:
        return None
    seen = kept(tools, row, customer)
    return (seen, row.snapshot_at) if seen else None


def known(
    tools: Tools, place: Place, row: OrderRow | None, customer: Customer, *, force: bool, even_old: bool
) -> tuple[Seen, datetime, str | None]:  # fmt: skip
    """The order, since when we know it, and why that is long ago: from our snapshot while fresh, else from Shopify;
    `even_old`: rather an old one than none while Shopify is away. Raises TryLater."""
    fresh = None if force else snapshot(tools, row, customer)
    if fresh is not None:
        return *fresh, None
    try:
        return look(tools, place), tools.clock.now(), None
    except TryLater:
        old = kept(tools, row, customer) if even_old else None
        if row is None or row.snapshot_at is None or old is None:
            raise
        return old, row.snapshot_at, AWAY


def list_orders(tools: Tools, store: str, customer: Customer) -> None:
    """First sight of a customer: one query by e-mail, by phone if that finds nothing; others' orders are dropped."""
    nodes = _listed(tools, store, f"email:{quoted(customer.email)}") if customer.email else []
    if not nodes and customer.phone and _may_look_by_phone(tools, store, customer):
        nodes = _by_phone(tools, store, customer.phone)
    for node in nodes:
        email, phone = node["email"] or "", e164(node["phone"] or "")
        if not customer.bought(email, phone):
            continue
        place = place_of(store, node)
        tools.orders.put_header(place, email, header(node), webhook=None, phone=phone)
        if tools.host.keeps_orders:
            tools.crm.owe(place, customer.known_by, tools.clock.now())
    tools.orders.mark_listed(store, customer.known_by, tools.clock.now())


def _may_look_by_phone(tools: Tools, store: str, customer: Customer) -> bool:
    """Raises FixTheSetup where that is the only way to this customer's orders."""
    info = tools.store(store)
    if info is None or not missing_scopes(info.scopes, ["read_customers"]):
        return True
    if not customer.email:
        raise FixTheSetup(f"To find orders by phone the app needs the access scope read_customers for {info.name}.")
    return False


def _by_phone(tools: Tools, store: str, phone: str) -> list[dict[str, Any]]:
    document = LIST_BY_PHONE % _row(tools)
    found = tools.commerce.read(store, document, {"phone": phone})["customerByIdentifier"]
    return list(found["orders"]["nodes"]) if found else []


def find_by_number(tools: Tools, store: str, number: str) -> list[dict[str, Any]]:
    """Orders whose number is exactly this, whoever bought them; `#` may be left out."""
    wanted = number.strip().lstrip("#").casefold()
    nodes = _listed(tools, store, f"name:{quoted(wanted)}") if wanted else []
    return [one for one in nodes if one["name"].lstrip("#").casefold() == wanted]


def _listed(tools: Tools, store: str, query: str) -> list[dict[str, Any]]:
    return list(tools.commerce.read(store, LIST % _row(tools), {"query": query})["orders"]["nodes"])


def _row(tools: Tools) -> str:
    return print_ast(merge([selection(HEADER), selection(tools.bundle.cards["order_list"].reads or "")]))


def quoted(text: str) -> str:
    """A value of Shopify's search syntax that stays a value."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def place_of(store: str, node: Mapping[str, Any]) -> Place:
    return Place(store, str(node["id"]).rsplit("/", 1)[-1])
