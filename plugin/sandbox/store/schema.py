"""Execution: one GraphQL request against the store, answered as Shopify words it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    execute_sync,
    get_directive_values,
    parse,
    validate,
)

from . import bulk, cancels, installed, search
from .order_view import job, job_result, order, refund
from .orders import Order
from .refunds import Answer, create
from .state import Store, gid, number_of
from .views import View, connection, moment, payment, person, place, shop

NO_KEY = "The @idempotent directive is required for this mutation but was not provided."
_UNKNOWN_FIELD = re.compile(r"Cannot query field '(\w+)' on type '(\w+)'")
_UNKNOWN_INPUT = re.compile(r"Variable '\$(\w+)' got invalid value")
_MISSING = re.compile(r"Field '(\w+)' argument '(\w+)' of type '[^']+' is required")


@lru_cache(maxsize=4)
def load(sdl: str) -> GraphQLSchema:
    """The schema with our root resolvers; everything below is plain data and calls. Several stores share it."""
    schema = build_schema(sdl, assume_valid=True)
    roots = {schema.query_type: QUERIES, schema.mutation_type: MUTATIONS}
    for kind, table in roots.items():
        if isinstance(kind, GraphQLObjectType):
            for name, definition in kind.fields.items():
                definition.resolve = table.get(name)
    return schema


def read(schema: GraphQLSchema, text: Any) -> tuple[DocumentNode | None, list[dict[str, Any]]]:
    """The parsed document, or the top-level errors for it."""
    if not isinstance(text, str) or not text.strip():
        return None, [_error("A query is required", "BAD_REQUEST")]
    return _checked(schema, text)


@lru_cache(maxsize=256)
def _checked(schema: GraphQLSchema, text: str) -> tuple[DocumentNode | None, list[dict[str, Any]]]:
    """Parsing and validating take longer than the answer; the same text comes again and again."""
    try:
        document = parse(text)
    except GraphQLError as wrong:
        return None, [_error(wrong.message, "parseError")]
    return document, [_validation(one) for one in validate(schema, document)]


def operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    """The operation to run; None when the name picks none."""
    found = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    if name is None:
        return found[0] if len(found) == 1 else None
    return next((one for one in found if one.name is not None and one.name.value == name), None)


def run(
    store: Store, schema: GraphQLSchema, document: DocumentNode, given: Mapping[str, Any], name: str | None
) -> dict[str, Any]:
    """Execute while the store stands still; `errors` only when there are some."""
    with store.lock:
        cancels.tick(store)
        result = execute_sync(
            schema,
            document,
            context_value=store,
            variable_values=dict(given),
            operation_name=name,
            field_resolver=_plain,
        )
    assert isinstance(result, ExecutionResult)
    errors = [_executed(one) for one in result.errors or ()]
    if result.data is None:
        return {"errors": errors}
    return {"data": result.data, "errors": errors} if errors else {"data": result.data}


def _plain(source: Any, info: GraphQLResolveInfo, **given: Any) -> Any:
    """A field of a view: its value, or what its call makes of the arguments; null for the unknown."""
    if info.field_name in _store(info).settings.denied:
        # unproven: the words for a field of protected customer data that is denied
        said = f"This app is not approved to use the {info.field_name} field."
        raise GraphQLError(said, extensions={"code": "ACCESS_DENIED"})
    value = source.get(info.field_name)
    return value(**given) if callable(value) else value


# ---------------------------------------------------------------- errors


def _error(message: str, code: str, path: Any = None) -> dict[str, Any]:
    made: dict[str, Any] = {"message": message, "extensions": {"code": code}}
    return made if path is None else {**made, "path": path}


def _validation(wrong: GraphQLError) -> dict[str, Any]:
    """graphql-core's words turned into Shopify's, where the recordings show them."""
    if found := _UNKNOWN_FIELD.match(wrong.message):
        said = f"Field '{found[1]}' doesn't exist on type '{found[2]}'"
        made = _error(said, "undefinedField")
        made["extensions"] |= {"typeName": found[2], "fieldName": found[1]}
        return made
    if found := _MISSING.match(wrong.message):
        return _error(f"Field '{found[1]}' is missing required arguments: {found[2]}", "missingRequiredArguments")
    # unproven: the words and codes of most validation errors
    return _error(wrong.message, "argumentLiteralsIncompatible")


def _executed(wrong: GraphQLError) -> dict[str, Any]:
    code = (wrong.extensions or {}).get("code")
    if code is None and _UNKNOWN_INPUT.match(wrong.message):
        code = "INVALID_VARIABLE"
    return _error(wrong.message, str(code or "INTERNAL_SERVER_ERROR"), wrong.path)


# ---------------------------------------------------------------- bulk operations


def _bulk_run(_: Any, info: GraphQLResolveInfo, query: str, **given: Any) -> View:
    store = _store(info)
    running = [gid("BulkOperation", one.id) for one in store.bulks.values() if not _over(info, one)]
    read_in = bulk.read(info.schema, query, running)
    if isinstance(read_in, bulk.Wrong):
        error = {"field": ["query"], "message": read_in.message, "code": read_in.code}
        return {"bulkOperation": None, "userErrors": [error]}
    made = bulk.Bulk(store.new_id(), query, read_in, store.clock())
    store.bulks[made.id] = made
    return {"bulkOperation": {**_bulk_view(info, made), "status": "CREATED"}, "userErrors": []}


def _bulk(_: Any, info: GraphQLResolveInfo, id: str) -> View | None:
    found = _store(info).bulks.get(number_of("BulkOperation", id) or 0)
    return None if found is None else _bulk_view(info, found)


def _over(info: GraphQLResolveInfo, one: bulk.Bulk) -> bool:
    """Whether it has ended; it runs when its time has come and somebody looks."""
    store = _store(info)
    if one.lines is None and one.error is None and store.clock() - one.created >= store.settings.bulk_delay:
        one.error, store.bulk_fails = store.bulk_fails, None
        if one.error is None:
            one.lines = bulk.lines(run(store, info.schema, one.document, {}, None)["data"])
    return one.lines is not None or one.error is not None


def _bulk_view(info: GraphQLResolveInfo, one: bulk.Bulk) -> View:
    over, count = _over(info, one), len(one.lines or ())
    status = ("FAILED" if one.error else "COMPLETED") if over else "RUNNING"
    return {
        "id": gid("BulkOperation", one.id),
        "status": status,
        "errorCode": one.error,
        "objectCount": str(count),
        "rootObjectCount": str(sum('"__parentId"' not in row for row in one.lines or ())),
        "url": f"{_store(info).address}/bulk/{one.id}.jsonl" if count else None,
        "partialDataUrl": None,
        "query": one.query,
        "createdAt": moment(datetime.fromtimestamp(one.created, UTC)),
        "completedAt": moment(_store(info).now()) if status == "COMPLETED" else None,
    }


# ---------------------------------------------------------------- queries


def _store(info: GraphQLResolveInfo) -> Store:
    found = info.context
    assert isinstance(found, Store)
    return found


def _order(_: Any, info: GraphQLResolveInfo, id: str) -> View | None:
    store = _store(info)
    key = number_of("Order", id)
    if key is None:
        raise GraphQLError(f"Invalid id: {id}", extensions={"code": "RESOURCE_NOT_FOUND"})
    found = store.orders.get(key)
    return None if found is None or not _shown(store, found) else order(store, found)


def _shown(store: Store, one: Order) -> bool:
    """Without `read_all_orders` an app sees the orders of the last 60 days."""
    return "read_all_orders" in store.scopes or store.now() - one.created <= timedelta(days=60)


def _orders(_: Any, info: GraphQLResolveInfo, **given: Any) -> View:
    store = _store(info)
    shown = [one for one in store.orders.values() if _shown(store, one)]
    rows = search.orders(shown, given.get("query"), given.get("sortKey"), False)
    if given.get("first") is None and given.get("last") is None:
        raise GraphQLError("you must provide one of first or last", extensions={"code": "BAD_REQUEST"})
    return connection([order(store, one) for one in rows])(**given)


def _customers(_: Any, info: GraphQLResolveInfo, **given: Any) -> View:
    store = _store(info)
    found = search.people(list(store.people.values()), given.get("query"))
    return connection([_customer_view(store, one.id) or {} for one in found])(**given)


def _customer(_: Any, info: GraphQLResolveInfo, id: str) -> View | None:
    return _customer_view(_store(info), number_of("Customer", id) or 0)


def _customer_view(store: Store, id: int) -> View | None:
    known = person(store.people.get(id))
    if known is None:
        return None
    own = [one for one in store.orders.values() if one.customer == id and _shown(store, one)]
    return {**known, "orders": lambda **given: connection([order(store, one) for one in own])(**given)}


def _customer_by(_: Any, info: GraphQLResolveInfo, identifier: dict[str, str]) -> View | None:
    """By the phone number alone; the other identifiers are not played."""
    store, phone = _store(info), identifier.get("phoneNumber")
    found = next((one.id for one in store.people.values() if phone and one.phone == phone), 0)
    return _customer_view(store, found)


def _locations(_: Any, info: GraphQLResolveInfo, **given: Any) -> View:
    rows = [place(one) for one in _store(info).places.values() if one.active]
    return connection([one for one in rows if one is not None])(**given)


def _shop(_: Any, info: GraphQLResolveInfo) -> View:
    return shop(_store(info).shop)


def _job(_: Any, info: GraphQLResolveInfo, id: str) -> View | None:
    for one in _store(info).orders.values():
        if one.cancellation is not None and id == f"gid://shopify/Job/{one.cancellation.job}":
            return job(one.cancellation)
    return None


def _node(_: Any, info: GraphQLResolveInfo, id: str) -> View | None:
    store = _store(info)
    if (key := number_of("Customer", id)) is not None:
        return _customer_view(store, key)
    if (key := number_of("Location", id)) is not None:
        return place(store.places.get(key))
    if (key := number_of("Order", id)) is not None:
        found = store.orders.get(key)
        return None if found is None else order(store, found)
    return _node_of_order(store, id)


def _node_of_order(store: Store, id: str) -> View | None:
    result = number_of("OrderCancelJobResult", id)
    refunded, paid = number_of("Refund", id), number_of("OrderTransaction", id)
    for one in store.orders.values():
        if one.cancellation is not None and one.cancellation.result == result:
            return job_result(store, one, one.cancellation)
        for back in one.refunds:
            if back.id == refunded:
                return refund(store, one, back)
        for row in one.payments:
            if row.id == paid:
                return payment(one, row)
    return None


# ---------------------------------------------------------------- mutations


def _refund_create(_: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> View:
    store = _store(info)
    answer = create(store, input, _key(info))
    return _refund_payload(store, answer)


def _key(info: GraphQLResolveInfo) -> str:
    """The idempotency key; its absence is a top-level error, as recorded for other mutations."""
    directive = info.schema.get_directive("idempotent")
    assert directive is not None
    values = get_directive_values(directive, info.field_nodes[0], info.variable_values)
    if values is None:
        raise GraphQLError(NO_KEY, extensions={"code": "BAD_REQUEST"})
    key = str(values["key"])
    if not key.strip():
        # unproven: the words for an empty idempotency key
        raise GraphQLError("The idempotency key cannot be empty.", extensions={"code": "BAD_REQUEST"})
    return key


def _refund_payload(store: Store, answer: Answer) -> View:
    errors = []
    if answer.refused is not None:
        path = answer.refused.field
        errors = [{"field": None if path is None else list(path), "message": answer.refused.message}]
    made = answer.order
    return {
        "refund": refund(store, made, answer.refund) if made and answer.refund else None,
        "order": order(store, made) if made else None,
        "userErrors": errors,
    }


def _order_cancel(_: Any, info: GraphQLResolveInfo, **given: Any) -> View:
    store = _store(info)
    for name in ("refundMethod",):
        method = given.get(name)
        if method is not None and len([one for one in method.values() if one is not None]) != 1:
            said = f"Argument '{name}' must have exactly one key"
            raise GraphQLError(said, extensions={"code": "INVALID_VARIABLE"})
    made = cancels.cancel(store, given)
    errors = [
        {"field": None if one.field is None else list(one.field), "message": one.message, "code": one.code}
        for one in made.errors
    ]
    started = made.cancellation
    return {
        "job": job(started) if started else None,
        "jobResult": job_result(store, made.order, started) if started and made.order else None,
        "orderCancelUserErrors": errors,
        "userErrors": errors,
    }


QUERIES = {
    "order": _order,
    "orders": _orders,
    "customer": _customer,
    "customers": _customers,
    "customerByIdentifier": _customer_by,
    "locations": _locations,
    "shop": _shop,
    "currentAppInstallation": installed.installation,
    "webhookSubscriptions": installed.subscriptions,
    "job": _job,
    "node": _node,
    "bulkOperation": _bulk,
}
MUTATIONS = {
    "refundCreate": _refund_create,
    "orderCancel": _order_cancel,
    "bulkOperationRunQuery": _bulk_run,
    "webhookSubscriptionCreate": installed.subscribe,
}
