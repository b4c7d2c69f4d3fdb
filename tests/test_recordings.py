"""Recordings of the real Admin API, replayed against the sandbox store; what it answers must agree."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from graphql import FieldNode, GraphQLSyntaxError, OperationDefinitionNode, build_schema, parse, validate

from plugin.cost import Price
from plugin.sandbox.store.amounts import Bag, Currencies
from plugin.sandbox.store.orders import Behaviour, Line, Order, Payment, Shipping
from plugin.sandbox.store.state import Store, number_of
from tests.sandbox_client import SCHEMA, Client, started
from tests.shared import folder

CAPTURES = folder("CAPTURES_DIR", "captures")
SAMPLES = 12
ROOTS = ("refundCreate", "orderCancel", "bulkOperationRunQuery")
PLAIN_REFUND = "mutation($input: RefundInput!) { refundCreate(input: $input) SELECTION }"
PLAIN_CANCEL = """mutation($orderId: ID!, $restock: Boolean!, $reason: OrderCancelReason!, $staffNote: String,
  $notifyCustomer: Boolean) { orderCancel(orderId: $orderId, restock: $restock, reason: $reason,
  staffNote: $staffNote, notifyCustomer: $notifyCustomer) SELECTION }"""
PLAIN_ORDER = "query($id: ID!) { order(id: $id) SELECTION }"


def captured() -> list[Path]:
    return sorted(CAPTURES.glob("20*/**/*.json"))


def recordings() -> list[Path]:
    """The recordings of refunds and cancels; `left_out` names the others."""
    return [one for one in captured() if not strangers(one)]


def strangers(path: Path) -> list[str]:
    """The mutations of a recording that the store does not have, but for those that make its orders."""
    roots = {name for text in documents(json.loads(path.read_text(encoding="utf-8"))) for name in mutations(text)}
    return sorted(roots - {*ROOTS, "orderCreate"})


def left_out() -> dict[str, str]:
    return {named(one): f"the store has no {', '.join(strangers(one))}" for one in captured() if strangers(one)}


def documents(found: Any) -> Iterator[str]:
    """Every GraphQL text of a recording."""
    rows = found.items() if isinstance(found, dict) else [("", one) for one in found] if isinstance(found, list) else ()
    for key, value in rows:
        if key in ("query", "document") and isinstance(value, str):
            yield value
        yield from documents(value)


def mutations(text: str) -> list[str]:
    """The mutations a text asks for; what is not GraphQL, as a recorded mistake, asks for none."""
    try:
        named = parse(text).definitions
    except GraphQLSyntaxError:
        return []
    moves = [one for one in named if isinstance(one, OperationDefinitionNode) and one.operation.value == "mutation"]
    return [one.name.value for move in moves for one in move.selection_set.selections if isinstance(one, FieldNode)]


def documented() -> list[Path]:
    return sorted(CAPTURES.glob("docs/*.json"))


def named(path: Path) -> str:
    return "/".join(path.parts[-2:])


def missing() -> None:
    if not CAPTURES.is_dir():
        pytest.skip(f"{SAMPLES} recordings (when this was written) not replayed: {CAPTURES} is not here")


@pytest.fixture(scope="module")
def store() -> Iterator[Client]:
    with started(cancel_delay=-1.0) as client:
        client.control("POST", "settings", {"restore_rate": 1_000_000})
        yield client


# ---------------------------------------------------------------- orders of a recording


def bag(given: Mapping[str, Any]) -> Bag:
    shop = given["shopMoney"]["amount"]
    return Bag(Decimal(shop), Decimal(given.get("presentmentMoney", given["shopMoney"])["amount"]))


def hydrated(given: Mapping[str, Any], state: Store) -> Order:
    """The order a recording read before it began; one line stands for the total where it read none."""
    whole_set = given.get("totalPriceSet") or given.get("currentTotalPriceSet")
    if whole_set is None:
        return blank(number(given["id"]), state)
    money = Currencies(
        whole_set["shopMoney"]["currencyCode"],
        whole_set.get("presentmentMoney", whole_set["shopMoney"])["currencyCode"],
    )
    rows = given.get("lineItems", {}).get("nodes", [])
    lines = tuple(
        Line(number(row["id"]), row["title"], row["quantity"], bag(row["originalUnitPriceSet"])) for row in rows
    )
    whole = bag(whole_set)
    shipping = given.get("shippingLines", {}).get("nodes", [])
    paid = tuple(
        Payment(number(row["id"]), row["kind"], row["status"], row["gateway"], bag(row["amountSet"]), state.now())
        for row in given.get("transactions", ())
    )
    return replace(
        blank(number(given["id"]), state),
        name=given["name"],
        money=money,
        lines=lines or (Line(1, "Everything", 1, whole),),
        shipping=tuple(Shipping(i, "Shipping", bag(row["originalPriceSet"])) for i, row in enumerate(shipping, 1)),
        payments=paid,
    )


def blank(id: int, state: Store) -> Order:
    now, price = state.now(), Bag(Decimal("10.00"), Decimal("10.00"))
    line = Line(id, "Order", 1, price)
    return Order(id, id % 10_000, now, now, Currencies("USD", "USD"), (line,), behaviour=Behaviour())


def number(gid: str) -> int:
    return int(gid.rsplit("/", 1)[-1])


# ---------------------------------------------------------------- replay


def calls(found: Any, key: str = "", variables: Any = None) -> Iterator[tuple[str | None, Any, Any]]:
    """(document or None, variables, response) of every recorded call, in the file's order; no clean-up."""
    if isinstance(found, list) or key in ("cleanup", "upstreamCalls"):
        return
    if not isinstance(found, dict):
        return
    variables = found.get("variables", variables)
    response = found.get("response")
    if isinstance(response, dict):
        body = response.get("payload") or response.get("body") or response
        yield found.get("query"), variables, body
        return
    for name, inner in found.items():
        if name != "variables":
            yield from calls(inner, name, variables)


def wanted_document(query: str | None, variables: Mapping[str, Any], data: Mapping[str, Any]) -> str | None:
    """The recorded document; where only the answer was kept, one that selects what was answered."""
    if query is not None:
        return query if any(root in query for root in (*ROOTS, "order(")) else None
    for root, plain in (
        ("refundCreate", PLAIN_REFUND),
        ("orderCancel", PLAIN_CANCEL),
        ("order", PLAIN_ORDER),
    ):
        if root in data:
            return plain.replace("SELECTION", selection(data[root]))
    return None


SHAPES = {
    "refund": "{ id }",
    "nodes": "{ id }",
    "job": "{ id done }",
    "customer": "{ id }",
    "transactions": "{ id }",
    "refunds": "{ id }",
    "userErrors": "{ field message }",
    "orderCancelUserErrors": "{ field message code }",
}


def selection(value: Any, name: str = "") -> str:
    """GraphQL that selects what `value` holds."""
    if isinstance(value, list):
        return selection(value[0]) if value else SHAPES.get(name, "")
    if value is None or not isinstance(value, dict):
        return SHAPES.get(name, "") if value is None else ""
    rows = []
    for key, inner in value.items():
        page = "(first: 50)" if isinstance(inner, dict) and ({"nodes", "edges"} & inner.keys()) else ""
        rows.append(f"{key}{page} {selection(inner, key)}")
    return "{ " + " ".join(rows) + " }"


def keyed(document: str, variables: Mapping[str, Any]) -> str:
    """Older recordings know no key: add one, from the input itself."""
    if "refundCreate" not in document or "@idempotent" in document:
        return document
    key = json.dumps(json.dumps(variables))
    head, tail = document.split("refundCreate(input: $input)", 1)
    return f"{head}refundCreate(input: $input) @idempotent(key: {key}){tail}"


NEW = ("createdAt", "updatedAt", "processedAt", "cancelledAt", "closedAt", "startCursor", "endCursor")


def agrees(want: Any, have: Any, known: set[str], key: str = "") -> Any:
    """`have` with what no replay can repeat (new ids, moments) taken from `want` where both are there."""
    if isinstance(want, dict) and isinstance(have, dict):
        return {one: agrees(want.get(one), have[one], known, one) for one in have}
    if isinstance(want, list) and isinstance(have, list) and len(want) == len(have):
        return [agrees(*pair, known, key) for pair in zip(want, have, strict=True)]
    fresh = key in NEW or (key == "id" and want not in known)
    return want if fresh and (want is None) == (have is None) else have


def prepare(found: Mapping[str, Any], store: Client) -> set[str]:
    """Put the orders of a recording into the store; the ids that were there before its first call."""
    state, known = store.running.state, set()
    for call in found.get("upstreamCalls", ()):
        order = call["response"]["body"]["data"].get("order")
        if order is not None:
            with state.lock:
                state.orders[number(order["id"])] = hydrated(order, state)
            known |= ids(order)
    return known


def ids(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["id"]} if isinstance(value.get("id"), str) else set()
        return own.union(*(ids(one) for one in value.values()))
    return set().union(*(ids(one) for one in value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("path", recordings(), ids=named)
def test_the_store_answers_as_shopify_did(store: Client, path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    known = prepare(found, store)
    compared = 0
    for query, variables, response in calls(found):
        document = wanted_document(query, variables, response.get("data") or {})
        if document is None:
            remember_created(response, store, known)
            continue
        place_unknown(variables, response, store)
        have = store.ask(keyed(document, variables), variables)
        want = {key: response[key] for key in response if key != "extensions"}
        assert agrees(want, have, known) == want, f"{path.name}: {variables}"
        compared += 1
    assert compared > 0


def remember_created(response: Mapping[str, Any], store: Client, known: set[str]) -> None:
    """Orders a recording made by calls the store does not have."""
    known |= {one for one in ids(response.get("data")) if number_of("Order", one) is not None}


def place_unknown(variables: Mapping[str, Any], response: Mapping[str, Any], store: Client) -> None:
    """A recording that did not read its order first gets a small unpaid one."""
    state, given = store.running.state, variables.get("orderId") or variables.get("id")
    id = number_of("Order", given) if isinstance(given, str) else None
    if id is not None and id not in state.orders and "does not exist" not in json.dumps(response):
        with state.lock:
            state.orders[id] = blank(id, state)


def test_recordings_are_here_and_those_left_out_are_of_mutations_the_store_does_not_have(
    record_property: Callable[[str, object], None],
) -> None:
    missing()
    for name, why in left_out().items():
        record_property("not replayed", f"{name}: {why}")
    has = build_schema(SCHEMA.read_text(encoding="utf-8"), assume_valid=True).mutation_type
    assert has is not None
    assert [one for path in captured() for one in strangers(path) if one in has.fields] == []
    assert len(recordings()) > 0


# ---------------------------------------------------------------- costs


def priced() -> list[tuple[str, str, Mapping[str, Any], int]]:
    """(where, document, variables, requested cost) of every recorded call our schema can read."""
    schema = build_schema(SCHEMA.read_text(encoding="utf-8"), assume_valid=True)
    rows: dict[str, tuple[str, str, Mapping[str, Any], int]] = {}
    for path in captured():
        for query, variables, response in every_call(json.loads(path.read_text(encoding="utf-8"))):
            cost = (response.get("extensions") or {}).get("cost")
            if query and cost and not validate(schema, parse(query)):
                rows[query] = (path.name, query, variables or {}, cost["requestedQueryCost"])
    return list(rows.values())


def every_call(found: Any, variables: Any = None) -> Iterator[tuple[str | None, Any, Any]]:
    if isinstance(found, list):
        for one in found:
            yield from every_call(one)
    elif isinstance(found, dict):
        response = found.get("response")
        if isinstance(response, dict) and found.get("query"):
            yield (
                found["query"],
                found.get("variables"),
                response.get("payload") or response.get("body") or response,
            )
        for one in found.values():
            yield from every_call(one)


def test_the_price_of_recorded_documents() -> None:
    missing()
    schema = build_schema(SCHEMA.read_text(encoding="utf-8"), assume_valid=True)
    wrong = []
    for where, text, variables, cost in priced():
        document = parse(text)
        operation = next(one for one in document.definitions if isinstance(one, OperationDefinitionNode))
        mine = Price(schema, document, variables).of(operation)
        if mine != cost:
            wrong.append((where, mine, cost))
    assert (wrong, len(priced()) > 3) == ([], True)


# ---------------------------------------------------------------- documentation samples: shapes only


def shape(value: Any) -> Any:
    """The keys of an answer, without its values; a list is its first row, an empty one nothing."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None


@pytest.mark.parametrize("path", documented(), ids=named)
def test_documentation_samples_have_our_shape(store: Client, path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    variables = found["variables"]
    sample_order(variables, store)
    document = keyed(found["query"], {**variables, "_": path.name})
    assert shape(store.ask(document, variables)) == shape({"data": found["response"]})


def sample_order(variables: Mapping[str, Any], store: Client) -> None:
    """An order with the ids a sample names: five units at 20.00, paid."""
    given = variables.get("input", variables)
    state = store.running.state
    rows = given.get("refundLineItems") or ()
    lines = {number(row["lineItemId"]) for row in rows} or {1}
    parents = {number(row["parentId"]) for row in given.get("transactions") or ()} or {2}
    price = Bag(Decimal("20.00"), Decimal("20.00"))
    id = number(given.get("orderId") or given["id"])
    order = blank(id, state)
    with state.lock:
        state.orders[id] = replace(
            order,
            lines=tuple(Line(one, "Sample", 5, price) for one in sorted(lines)),
            shipping=(Shipping(1, "Shipping", Bag(Decimal("9.99"), Decimal("9.99"))),),
            payments=tuple(
                Payment(one, "SALE", "SUCCESS", "bogus", Bag(Decimal(90), Decimal(90)), state.now())
                for one in sorted(parents)
            ),
            customer=9001,
        )
