"""The store over HTTP: its GraphQL endpoint with faults and limits, and what starts and stops it."""

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from graphql import DocumentNode, FieldNode, GraphQLSchema, OperationDefinitionNode
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from plugin.cost import Price

from . import cancels, control, oauth, schema, wire
from .bucket import MAXIMUM, Bucket, throttled, too_dear
from .faults import Fault, Faults
from .keeping import Kept
from .refunds import PREVIOUS_FAILED
from .seeds import seed
from .state import Settings, Shop, Store
from .webhooks import Webhooks

TICK = 0.1
KEPT = 10_000  # rows of the log
MAX_BODY = 5_000_000
REFUSALS = {
    "refused": "Transactions require a parent_id associated with the order",
    "previous-failed": PREVIOUS_FAILED,
}
BAD_TOKEN = "[API] Invalid API key or access token (unrecognized login or wrong password)"


@dataclass
class World:
    """One running store and what surrounds it."""

    store: Store
    schema: GraphQLSchema
    token: str
    bucket: Bucket
    faults: Faults = field(default_factory=Faults)
    log: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    webhooks: Webhooks | None = None
    app: oauth.App | None = None
    kept: Kept | None = None
    closing: threading.Event = field(default_factory=threading.Event)

    def reset(self) -> None:
        """Back to the seeds."""
        with self.store.lock:
            self.store.orders.clear()
            self.store.keys.clear()
            seed(self.store)
            self.bucket.left = self.store.settings.bucket
        self.faults.clear()
        self.log.clear()


@dataclass
class Running:
    """A started store. `state` may be read and changed by tests under `state.lock`."""

    server: BaseWSGIServer
    world: World
    threads: tuple[threading.Thread, ...]

    @property
    def state(self) -> Store:
        return self.world.store

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.world.closing.set()
        self.server.shutdown()
        if self.world.webhooks is not None:
            self.world.webhooks.close()
        for one in self.threads:
            one.join(timeout=5)
        self.server.server_close()


def serve(
    port: int = 0,
    *,
    token: str,
    schema_path: Path,
    webhook_url: str | None = None,
    webhook_secret: str = "",
    settle_delay: float = 3.0,
    cancel_delay: float = 1.0,
    shop: Shop | None = None,
    app: oauth.App | None = None,
    keep: Path | None = None,
) -> Running:
    """Start a seeded store on the loopback; port 0 takes a free one. What `keep` holds is taken up again."""
    settings = Settings(settle_delay=settle_delay, cancel_delay=cancel_delay)
    store = Store(shop=shop or Shop(), settings=settings)
    seed(store)
    kept = None if keep is None else Kept(keep, store)
    bucket = Bucket(settings, store.clock(), settings.bucket)
    world = World(store, schema.load(schema_path.read_text(encoding="utf-8")), token, bucket, app=app, kept=kept)
    if webhook_url is not None or webhook_secret:
        world.webhooks = Webhooks(webhook_url, webhook_secret, store)
        store.emit = world.webhooks.emit
    server = make_server(
        "127.0.0.1",
        port,
        lambda environ, start: _answer(world, environ, start),
        threaded=True,
        request_handler=_Quiet,
    )
    store.address = f"http://127.0.0.1:{server.server_port}"
    threads = (
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True),
        threading.Thread(target=_ticking, args=(world,), daemon=True),
    )
    for one in threads:
        one.start()
    return Running(server, world, threads)


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: the log of requests is at /_sandbox/log."""

    def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
        """A fault closed the socket; there is no next request on it."""
        self.close_connection = True


def _ticking(world: World) -> None:
    while not world.closing.wait(TICK):
        with world.store.lock:
            cancels.tick(world.store)
        if world.kept is not None:
            world.kept.write()


def _answer(world: World, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
    request = Request(environ)
    if request.path.startswith("/bulk/"):
        return _result(world, request)(environ, start)
    if request.path.startswith("/admin/api/") and request.path.endswith("/graphql.json"):
        response = _graphql(world, request)
    else:
        response = oauth.answer(world, request) or control.answer(world, request)
    if world.kept is not None:
        world.kept.write()
    return response(environ, start)


def _result(world: World, request: Request) -> Response:
    """What a bulk operation left, to whoever knows the address; elsewhere at Shopify, and for seven days."""
    name = request.path.removeprefix("/bulk/").removesuffix(".jsonl")
    with world.store.lock:
        found = world.store.bulks.get(int(name)) if name.isdigit() else None
        lines = None if found is None else found.lines
    if not lines:
        return Response("", 404)
    return Response("".join(f"{one}\n" for one in lines), content_type="application/jsonl")


# ---------------------------------------------------------------- GraphQL


@dataclass(frozen=True)
class Call:
    """One request, read."""

    document: DocumentNode
    operation: OperationDefinitionNode
    variables: dict[str, Any]
    name: str | None

    @property
    def kind(self) -> str:
        return self.operation.operation.value

    @property
    def roots(self) -> tuple[str, ...]:
        rows = self.operation.selection_set.selections
        return tuple(one.name.value for one in rows if isinstance(one, FieldNode))


def _graphql(world: World, request: Request) -> Response:
    if request.method != "POST":
        return Response("", 405)
    given = request.headers.get("X-Shopify-Access-Token")
    if given != world.token and not oauth.accepts(world.app, given, world.store.clock()):
        return _json(world, {"errors": BAD_TOKEN}, 401)
    try:
        body = json.loads(request.get_data(cache=False)[:MAX_BODY])
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return _json(world, {"errors": {"query": "Required parameter missing or invalid"}}, 400)
    document, wrong = schema.read(world.schema, body.get("query"))
    name = body.get("operationName")
    chosen = None if document is None else schema.operation(document, name)
    if wrong or document is None or chosen is None:
        world.log.append(_entry(world, name, "invalid", (), 0, 200))
        errors = wrong or [{"message": "An operation name is required", "extensions": {"code": "BAD_REQUEST"}}]
        return _json(world, {"errors": errors})
    variables = body.get("variables")
    call = Call(document, chosen, variables if isinstance(variables, dict) else {}, name)
    return _faulty(world, request, call, world.faults.take(call.kind, call.roots))


def _faulty(world: World, request: Request, call: Call, fault: Fault | None) -> Response:
    """Carry out what the fault lets through, then answer as it says."""
    answered = None
    if fault is None or fault.carries_out:
        answered = _carry_out(world, call)
    else:
        world.log.append(_entry(world, call.name, call.kind, call.roots, 0, f"fault {fault.kind}"))
    if fault is None:
        assert answered is not None
        return answered
    return wire.spoil(request, fault, answered, world.closing, lambda: _spoken(world, call, fault))


def _spoken(world: World, call: Call, fault: Fault) -> Response:
    """The faults that are GraphQL answers."""
    root = {one: None for one in call.roots}
    if fault.kind == "throttled":
        requested = Price(world.schema, call.document, call.variables).of(call.operation)
        status = world.bucket.shown(world.store.clock())
        return _json(world, throttled(requested, {**status, "currentlyAvailable": 0}))
    if fault.kind in REFUSALS:
        payload = {"refund": None, "order": None, "userErrors": [{"field": None, "message": REFUSALS[fault.kind]}]}
        return _json(world, {"data": {one: payload for one in call.roots}})
    said = (
        "Internal error. Looks like something went wrong on our end.\n"
        "Request ID: 00000000-0000-4000-8000-000000000000-0 (include this in support requests)."
    )
    error = {"message": said, "extensions": {"code": "INTERNAL_SERVER_ERROR", "requestId": "sandbox"}}
    return _json(world, {"data": root, "errors": [error]})


def _carry_out(world: World, call: Call) -> Response:
    price = Price(world.schema, call.document, call.variables)
    requested = price.of(call.operation)
    now = world.store.clock()
    if requested > MAXIMUM:
        world.log.append(_entry(world, call.name, call.kind, call.roots, requested, "MAX_COST_EXCEEDED"))
        return _json(world, too_dear(requested, MAXIMUM))
    if not world.bucket.take(requested, now):
        world.log.append(_entry(world, call.name, call.kind, call.roots, requested, "THROTTLED"))
        return _json(world, throttled(requested, world.bucket.shown(now)))
    result = schema.run(world.store, world.schema, call.document, call.variables, call.name)
    actual = min(requested, price.of(call.operation, result.get("data") or {}))
    world.bucket.give_back(requested - actual, world.store.clock())
    status = world.bucket.shown(world.store.clock())
    cost = {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}
    world.log.append(_entry(world, call.name, call.kind, call.roots, requested, 200))
    return _json(world, {**result, "extensions": {"cost": cost}})


def _entry(
    world: World, name: str | None, kind: str, roots: tuple[str, ...], cost: int, status: int | str
) -> dict[str, Any]:
    at = datetime.fromtimestamp(world.store.clock(), UTC).isoformat()
    row = {"at": at, "operation": name, "kind": kind, "root_fields": list(roots)}
    return {**row, "cost": cost, "status": status}


def _json(world: World, body: Any, status: int = 200) -> Response:
    version = world.store.settings.served_version or world.store.shop.version
    headers = {"X-Shopify-API-Version": version, "X-Request-Id": "sandbox"}
    return Response(json.dumps(body), status, headers, content_type="application/json; charset=utf-8")
