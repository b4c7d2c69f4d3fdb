"""Cards and webhooks through the door, on both engines, with few and with a million stored orders."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import jwt
import requests
from sqlalchemy import Engine, text

from bench.bare import SIGNED_WITH
from bench.load import Load, Request, for_seconds, press
from bench.servers import Server, bare, ours
from plugin.sandbox.store import payloads
from plugin.shapes import Place
from plugin.stores.tables import orders
from tests.test_web import token
from tests.world import BASE, DOMAIN, SECRET, World, world

Asked = Callable[[int], Request]
THREADS = 8
ROUNDS, SECONDS = 3, 2.0
CUSTOMERS, EACH = 100, 10
FEW, MANY = CUSTOMERS * EACH, 1_000_000
# Ids, and a hash of nobody's, for the orders of strangers; all else is as in an order that is there.
NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)",
    "postgresql": "WITH n AS (SELECT generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS i)",
}
HASHES = {"sqlite": "lower(hex(randomblob(32)))", "postgresql": "md5(i::text) || md5(random()::text)"}


@dataclass(frozen=True)
class Rate:
    """What was answered in a second, ours beside the bare app's, and the time within which 99 of 100 were."""

    what: str
    engine: str
    theirs: Load
    ours: Load


@dataclass(frozen=True)
class Memory:
    """MiB of one web process: all it has mapped, and its share of what is mapped by several."""

    who: str
    engine: str
    resident: float
    share: float


@dataclass(frozen=True)
class Web:
    rates: list[Rate]
    stored: list[tuple[str, int, Load]]
    memory: list[Memory]


def measure(engine: str, database: str, many: int = MANY, seconds: float = SECONDS) -> Web:
    """The same customers are asked for among few orders, then among many."""
    with TemporaryDirectory() as folder, world(Path(folder), database=database) as shop:
        emails = fill_few(shop)
        with ours(database, shop.url) as mine, bare(database) as other:
            asked = _cards(shop.app.engine, mine, emails)
            rates = [
                _both(engine, "cards", mine, other, *asked, seconds),
                _webhooks(engine, shop, mine, other, seconds),
            ]
            memory = [_memory("bare Flask app", engine, other), _memory("ours", engine, mine)]
            few = press(mine.address, for_seconds(2 * seconds, asked[0]), THREADS)
            fill_many(shop.app.engine, many)
            lot = press(mine.address, for_seconds(2 * seconds, asked[0]), THREADS)
    return Web(rates, [(engine, FEW, few), (engine, many, lot)], memory)


# ---------------------------------------------------------------- what is stored


def fill_few(shop: World) -> list[str]:
    """Customers with some orders each, all of them read before; their e-mail addresses."""
    emails = [f"customer-{number}@example.com" for number in range(CUSTOMERS)]
    seen = shop.order(1001)
    row = shop.tools.orders.order(shop.place(1001))
    assert seen and row is not None and row.header is not None and row.snapshot is not None
    for number, email in enumerate(emails):
        place = Place(DOMAIN, str(BASE + 10_000 + number))
        shop.tools.orders.put_header(place, email, row.header, webhook=None)
        shop.tools.orders.put_snapshot(place, row.snapshot, shop.tools.clock.now())
        shop.tools.orders.mark_listed(DOMAIN, email, shop.tools.clock.now())
    _copy(shop.app.engine)
    return emails


def _copy(engine: Engine) -> None:
    """Each customer's first order again and again, under other numbers."""
    first, last = (str(BASE + 10_000 + number) for number in (0, CUSTOMERS - 1))
    made = _made_of({"order_id": "CAST(:copy AS text) || order_id"})
    own = "order_id BETWEEN :first AND :last AND length(order_id) = :length"
    with engine.begin() as tx:
        for copy in range(1, EACH):
            tx.execute(text(f"INSERT INTO orders {made} FROM orders WHERE {own}"),
                       {"copy": str(copy), "first": first, "last": last, "length": len(first)})  # fmt: skip


def fill_many(engine: Engine, many: int) -> None:
    """Orders of strangers, until there are so many."""
    kind = engine.dialect.name
    made = _made_of({"order_id": "CAST(i AS text)", "name": "'#' || i", "email_hash": HASHES[kind]})
    one = f"INSERT INTO orders {NUMBERS[kind]} {made} FROM n, (SELECT * FROM orders LIMIT 1) AS o"
    with engine.begin() as tx:
        tx.execute(text(one), {"first": 1, "last": many - FEW})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as tx:
        tx.execute(text("ANALYZE"))


def _made_of(other: Mapping[str, str]) -> str:
    return "SELECT " + ", ".join(other.get(one.name, one.name) for one in orders.c)


# ---------------------------------------------------------------- what is asked


def _cards(engine: Engine, mine: Server, emails: list[str]) -> tuple[Asked, Asked]:
    """The list of orders of each customer in turn, asked of us and of the bare app."""
    with engine.connect() as tx:
        rows = tx.execute(text("SELECT DISTINCT email_hash FROM orders WHERE length(name) > 0")).scalars().all()
    end = datetime.now(UTC) + timedelta(hours=1)
    bare_tokens = [jwt.encode({"sub": one, "aud": "bare", "exp": end}, SECRET, algorithm="HS256") for one in rows]
    sessions = [session(mine, email) for email in emails]
    return _list(sessions), _list(bare_tokens)


def _list(tokens: list[str]) -> Asked:
    return lambda number: Request("GET", "/orders", {"Authorization": f"Bearer {tokens[number % len(tokens)]}"})


def session(mine: Server, email: str) -> str:
    customer = {"id": email, "email": email, "name": "Somebody"}
    headers = {"Authorization": f"Bearer {token(customer=customer)}"}
    answer = requests.post(f"{mine.url}/session", headers=headers, timeout=10)
    return str(answer.json()["session"])


def _webhooks(engine: str, shop: World, mine: Server, other: Server, seconds: float) -> Rate:
    store = shop.served.world.store
    order = store.orders[BASE + 1001]
    payload = payloads.order(order, store.people[order.customer or 0])
    body = json.dumps({**payload, "id": "@id", "updated_at": "@at"})
    begun = datetime.now(UTC)

    def delivery(number: int) -> Request:
        """Each order comes twice: new, then changed."""
        at = (begun + timedelta(seconds=number)).isoformat()
        raw = body.replace('"@id"', str(BASE * 2 + number // 2)).replace("@at", at).encode()
        signed = base64.b64encode(hmac.new(SIGNED_WITH, raw, hashlib.sha256).digest()).decode()
        headers = {
            "Content-Type": "application/json", "X-Shopify-Topic": "orders/updated", "X-Shopify-Hmac-Sha256": signed,
            "X-Shopify-Shop-Domain": DOMAIN, "X-Shopify-API-Version": "2026-10", "X-Shopify-Webhook-Id": str(uuid4()),
            "X-Shopify-Triggered-At": at,
        }  # fmt: skip
        return Request("POST", "/webhooks/shopify", headers, raw)

    numbers = iter(range(10**9))
    ours, theirs = (lambda _: delivery(next(numbers))), delivery
    return _both(engine, "durable webhooks", mine, other, ours, theirs, seconds)


def _both(
    engine: str, what: str, mine: Server, other: Server, ours: Asked, theirs: Asked, seconds: float
) -> Rate:  # fmt: skip
    """Turn and turn about, after a first round that is not counted."""
    loads = {"theirs": Load(), "ours": Load()}
    for turn in range(ROUNDS + 1):
        for name, server, make in (("theirs", other, theirs), ("ours", mine, ours)):
            load = press(server.address, for_seconds(seconds if turn else seconds / 2, make), THREADS)
            if turn:
                loads[name].add(load)
    return Rate(what, engine, loads["theirs"], loads["ours"])


def _memory(who: str, engine: str, server: Server) -> Memory:
    found = [_mapped(pid) for pid in server.workers()]
    return Memory(who, engine, *(sum(one[name] for one in found) / len(found) / 1024 for name in ("Rss", "Pss")))


def _mapped(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]
    return {name: int(rest.split()[0]) for name, rest in (line.split(":", 1) for line in lines)}
