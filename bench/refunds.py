"""Refunds pressed through the door until Shopify confirmed them, and how quickly a full server says so."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode
from uuid import uuid4

import requests

from bench.load import Load, Request, press
from bench.servers import Server, ours, store
from bench.store import EMAIL, FIRST
from bench.web import Rate, session
from plugin.shapes import Place
from tests.world import BASE, DOMAIN, REFUND, World, world

THREADS = 8
ORDERS = 48
LATENCIES = (0.0, 0.1)
_TOKEN = re.compile(r'name="token"[^>]* value="([^"]+)"')


@dataclass(frozen=True)
class Pressed:
    """Refunds beside their two calls, and what a wave of presses met that was too big."""

    rate: Rate
    wave: Load


def measure(engine: str, database: str, latency: float, orders: int = ORDERS, rounds: int = 2) -> Pressed:
    """A refund beside its two calls, which are all that Shopify needs; then a press for each order, all at once."""
    numbers, mine, theirs = range(FIRST, FIRST + orders), Load(), Load()
    with _shop(database, 2 * orders + 1, latency) as (shop, url, server):
        calls = _two_calls(shop, server, FIRST + 2 * orders)
        for _ in range(rounds):
            mine.add(press(server.address, iter(_forms(server, numbers)), THREADS))
            theirs.add(_bare(url, calls, [number + orders for number in numbers]))
        wave = press(server.address, iter(_forms(server, numbers)), orders, expected=(200, 503))
    return Pressed(Rate(f"refunds, store takes {latency * 1000:.0f} ms", engine, theirs, mine), wave)


@contextmanager
def _shop(database: str, orders: int, latency: float) -> Iterator[tuple[World, str, Server]]:
    """The program's parts on this database, a store in a process of its own, and our server before it."""
    with (
        TemporaryDirectory() as folder, world(Path(folder), database=database) as shop,
        store(orders, latency) as url, ours(database, url) as server,
    ):  # fmt: skip
        yield shop, url, server


# ---------------------------------------------------------------- ours


def _forms(server: Server, numbers: Iterable[int]) -> list[Request]:
    """A form that was opened and looked at, ready to be pressed, for each order."""
    headers = {"Authorization": f"Bearer {session(server, EMAIL)}"}
    with ThreadPoolExecutor(THREADS) as agents:
        return list(agents.map(lambda number: _form(server, number, headers), numbers))


def _form(server: Server, number: int, headers: dict[str, str]) -> Request:
    path = f"/stores/{DOMAIN}/orders/{BASE + number}/actions/{REFUND}"
    typed = {f"lines[gid://shopify/LineItem/{BASE + number}002]": "1", "restock": "true"}
    opened = requests.get(server.url + path, headers=headers, timeout=30).text
    typed["token"] = _TOKEN.findall(opened)[0]
    shown = requests.post(f"{server.url}{path}/preview", data=typed, headers=headers, timeout=30).text
    typed["token"] = _TOKEN.findall(shown)[0]
    form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", path, form, urlencode(typed).encode())


# ---------------------------------------------------------------- the bare two calls


def _two_calls(shop: World, server: Server, number: int) -> tuple[str, str]:
    """The query and the mutation of one refund of ours, as they were sent."""
    press(server.address, iter(_forms(server, [number])), 1)
    preview = shop.tools.bundle.actions[REFUND].preview
    assert preview is not None
    gid = f"gid://shopify/Order/{BASE + number}"
    query = {"query": shop.tools.query.beside(preview.query), "variables": {"id": gid, "orderId": gid}}
    mutation = shop.tools.runs.runs_of(Place(DOMAIN, str(BASE + number)))[0].steps[0].body
    return json.dumps(query), mutation.decode()


def _bare(url: str, calls: tuple[str, str], numbers: Sequence[int]) -> Load:
    """The two calls of each order, by requests."""
    load = Load()
    first = str(BASE + FIRST + 2 * len(numbers))

    def refund(number: int) -> float:
        query, mutation = (one.replace(first, str(BASE + number)) for one in calls)
        body = json.loads(mutation)
        body["variables"]["key"] = str(uuid4())
        start = time.perf_counter()
        _call(url, query.encode())
        _call(url, json.dumps(body).encode())
        return time.perf_counter() - start

    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as agents:
        load.took[200] = list(agents.map(refund, numbers))
    load.seconds = time.perf_counter() - start
    return load


def _call(url: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "X-Shopify-Access-Token": "token"}
    answer = requests.post(f"{url}/admin/api/2026-10/graphql.json", data=body, headers=headers, timeout=60).json()
    assert "errors" not in answer, answer
    refund = answer["data"].get("refundCreate")
    assert refund is None or not refund["userErrors"], refund
