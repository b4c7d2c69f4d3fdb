"""The loopback-only side of the store: log, faults, ledger, a person's refunds and a small admin page."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from . import admin, ledger
from .amounts import rounded
from .faults import Fault
from .load import load
from .orders import Order
from .refunds import Refused, by_hand
from .views import moment

if TYPE_CHECKING:
    from .server import World

SETTINGS = ("settle_delay", "cancel_delay", "work_delay", "bulk_delay", "bucket", "restore_rate", "served_version")


def answer(world: "World", request: Request) -> Response:
    """One control request; wrong input is 400 with a sentence, an unknown place 404."""
    route = ROUTES.get((request.method, request.path))
    try:
        if route is not None:
            return route(world, request)
        return _of_order(world, request)
    except (ValueError, KeyError, TypeError, InvalidOperation) as wrong:
        return _json({"message": str(wrong)}, 400)
    except Refused as refused:
        return _json({"message": refused.message}, 422)


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body), status, content_type="application/json; charset=utf-8")


def _body(request: Request) -> dict[str, Any]:
    if request.mimetype == "application/x-www-form-urlencoded":
        return dict(request.form.items())
    text = request.get_data(cache=False)
    made = json.loads(text) if text else {}
    if not isinstance(made, dict):
        raise ValueError("a JSON object is expected")
    return made


# ---------------------------------------------------------------- the whole store


def _page(world: "World", _: Request) -> Response:
    with world.store.lock:
        page = admin.orders(list(world.store.orders.values()))
    return Response(page, content_type="text/html; charset=utf-8", headers=admin.HEADERS)


def _log(world: "World", _: Request) -> Response:
    return _json(list(world.log))


def _clear_log(world: "World", _: Request) -> Response:
    world.log.clear()
    return _json([])


def _faults(world: "World", _: Request) -> Response:
    return _json(world.faults.shown())


def _add_fault(world: "World", request: Request) -> Response:
    given = _body(request)
    seconds = float(given.get("seconds", 60))
    world.faults.add(Fault(str(given["on"]), str(given["kind"]), int(given.get("times", 1)), seconds))
    return _json(world.faults.shown())


def _clear_faults(world: "World", _: Request) -> Response:
    world.faults.clear()
    return _json([])


def _settings(world: "World", request: Request) -> Response:
    """Change what is named in the body; numbers, or a version string."""
    given = _body(request)
    with world.store.lock:
        for name, value in given.items():
            if name not in SETTINGS:
                raise ValueError(f"unknown setting {name!r}; known are {', '.join(SETTINGS)}")
            setattr(world.store.settings, name, value if name == "served_version" else float(value))
        world.bucket.left = min(world.bucket.left, world.store.settings.bucket)
        return _json({name: getattr(world.store.settings, name) for name in SETTINGS})


def _customers(world: "World", _: Request) -> Response:
    people = world.store.people.values()
    return _json([{"id": one.id, "name": one.name, "email": one.email, "phone": one.phone or ""} for one in people])


def _legacy(world: "World", _: Request) -> Response:
    """What the older app left behind: orders known by their header alone."""
    with world.store.lock:
        rows = [one for one in world.store.orders.values() if one.legacy]
    return _json(
        [
            {
                "id": one.id,
                "name": one.name,
                "created_at": moment(one.created),
                "updated_at": moment(one.updated),
                "email": one.email,
                "phone": one.phone,
            }
            for one in rows
        ]
    )


def _load(world: "World", request: Request) -> Response:
    with world.store.lock:
        order, sentences = load(_body(request), world.store)
        world.store.put(order)
    return _json({"id": order.id, "name": order.name, "sentences": sentences})


def _ledger(world: "World", _: Request) -> Response:
    with world.store.lock:
        return _json([_account(one) for one in world.store.orders.values()])


def _account(one: Order) -> dict[str, Any]:
    """One order's money as plain decimal strings in the customer's currency."""

    def plain(amount: Decimal) -> str:
        return str(rounded(amount, one.money.shown))

    return {
        "id": one.id,
        "name": one.name,
        "email": one.email,
        "phone": one.phone,
        "items": sum(line.quantity for line in one.lines),
        "story": one.story,
        "currency": one.money.shown,
        "price": plain(ledger.price(one).shown),
        "captured": plain(ledger.received(one).shown),
        "refunded": plain(ledger.refunded(one).shown),
        "financial_status": ledger.financial_status(one),
        "fulfillment_status": ledger.fulfillment_status(one),
        "cancelled_at": moment(one.cancelled),
        "refunds": [{"id": row.id, "note": row.note} for row in one.refunds],
        "transactions": [
            {
                "id": row.id,
                "kind": row.kind,
                "status": row.status,
                "gateway": row.gateway,
                "amount": plain(row.amount.shown),
                "parent": row.parent,
                "refund": row.refund,
            }
            for row in one.payments
        ],
    }


def _reset(world: "World", _: Request) -> Response:
    world.reset()
    return _json({"orders": len(world.store.orders)})


def _webhooks(world: "World", _: Request) -> Response:
    """The webhooks sent: topic and the status they met, 0 for nobody there."""
    sent = world.webhooks.delivered if world.webhooks is not None else []
    return _json([{"topic": topic, "status": status} for topic, status in sent])


Route = Callable[["World", Request], Response]
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/"): _page,
    ("GET", "/_sandbox/log"): _log,
    ("DELETE", "/_sandbox/log"): _clear_log,
    ("GET", "/_sandbox/faults"): _faults,
    ("POST", "/_sandbox/faults"): _add_fault,
    ("DELETE", "/_sandbox/faults"): _clear_faults,
    ("POST", "/_sandbox/settings"): _settings,
    ("GET", "/_sandbox/customers"): _customers,
    ("GET", "/_sandbox/legacy"): _legacy,
    ("GET", "/_sandbox/ledger"): _ledger,
    ("GET", "/_sandbox/webhooks"): _webhooks,
    ("POST", "/_sandbox/load"): _load,
    ("POST", "/_sandbox/reset"): _reset,
}


# ---------------------------------------------------------------- one order


def _of_order(world: "World", request: Request) -> Response:
    parts = request.path.strip("/").split("/")
    if len(parts) == 2 and parts[0] == "orders" and request.method == "GET":
        return _order_page(world, parts[1])
    if len(parts) != 4 or parts[:2] != ["_sandbox", "orders"] or request.method != "POST":
        return _json({"message": "There is nothing here."}, 404)
    with world.store.lock:
        order = world.store.orders.get(int(parts[2]))
        if order is None:
            return _json({"message": f"There is no order {parts[2]}."}, 404)
        change = CHANGES.get(parts[3])
        if change is None:
            return _json({"message": "There is nothing here."}, 404)
        made = change(world, order, _body(request))
    if request.mimetype == "application/x-www-form-urlencoded":
        return Response("", 303, {"Location": f"/orders/{order.id}"})
    return _json(made)


def _order_page(world: "World", number: str) -> Response:
    with world.store.lock:
        order = world.store.orders.get(int(number))
        page = None if order is None else admin.order(order)
    if page is None:
        return _json({"message": f"There is no order {number}."}, 404)
    return Response(page, content_type="text/html; charset=utf-8", headers=admin.HEADERS)


def _refund(world: "World", order: Order, given: dict[str, Any]) -> Any:
    """A person in the Shopify admin refunds an amount."""
    changed, refund = by_hand(world.store, order, Decimal(str(given["amount"])), given.get("note") or None)
    return {"id": refund.id, "order": changed.id}


def _touch(world: "World", order: Order, given: dict[str, Any]) -> Any:
    """Somebody edits the order's note; a legacy order becomes a whole one by that."""
    note = given.get("note", order.note)
    changed = world.store.put(replace(order, note=note, legacy=False))
    return {"id": changed.id, "updated_at": moment(changed.updated)}


def _ship(world: "World", order: Order, _: dict[str, Any]) -> Any:
    """Everything that waits is shipped."""
    lines = tuple(replace(one, fulfilled=one.fulfilled + ledger.unfulfilled(order, one)) for one in order.lines)
    changed = world.store.put(replace(order, lines=lines))
    return {"id": changed.id, "status": ledger.fulfillment_status(changed)}


def _behave(world: "World", order: Order, given: dict[str, Any]) -> Any:
    """Change how the order's refunds settle and its cancel ends; keys as in Behaviour."""
    changed = world.store.put(replace(order, behaviour=replace(order.behaviour, **given)))
    return {"id": changed.id}


CHANGES: dict[str, Callable[["World", Order, dict[str, Any]], Any]] = {
    "refund": _refund,
    "touch": _touch,
    "ship": _ship,
    "behave": _behave,
}
