"""Webhooks in a burst: each is answered in time, and afterwards the database knows the newest of every order.

`python -m tests.proofs.burst --webhooks 10000 --engine sqlite`. Shopify gives five seconds (facts/shopify.md §7).
"""

import argparse
import base64
import hashlib
import hmac
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import local
from typing import Any

import requests
from sqlalchemy import func, select

from plugin.stores.database import open_database
from plugin.stores.tables import orders, webhooks_seen
from tests.databases import ENGINES
from tests.proofs.races import database_of
from tests.test_fleet import answers, free_address, process, until
from tests.world import DOMAIN, variables, world

SENDERS = 32
IN_TIME = 5.0
PER_ORDER = 4  # updates of one order
AGAIN = 0.1  # of the deliveries come twice
START = datetime(2026, 11, 1, tzinfo=UTC)
_own = local()


@dataclass(frozen=True)
class Delivery:
    id: str
    order: int
    updated_at: str
    body: bytes


def deliveries(count: int, seed: int = 1) -> list[Delivery]:
    """Updates of many orders, shuffled, some of them twice; so many in all."""
    made = [_delivery(number) for number in range(count - int(count * AGAIN))]
    random = Random(seed)
    made += random.sample(made, count - len(made))
    random.shuffle(made)
    return made


def _delivery(number: int) -> Delivery:
    order, moment = 1 + number // PER_ORDER, (START + timedelta(seconds=number)).isoformat()
    total = {"presentment_money": {"amount": "10.00", "currency_code": "USD"}}
    payload = {
        "id": order, "name": f"#{order}", "email": f"{order}@example.com", "created_at": START.isoformat(),
        "updated_at": moment, "total_price_set": total, "financial_status": "paid",
    }  # fmt: skip
    return Delivery(f"w{number}", order, moment, json.dumps(payload).encode())


def deliver(url: str, one: Delivery) -> tuple[int, float]:
    """The status, 0 for none, and the seconds it took."""
    signature = base64.b64encode(hmac.new(b"hook", one.body, hashlib.sha256).digest()).decode()
    headers = {
        "X-Shopify-Hmac-Sha256": signature, "X-Shopify-Topic": "orders/updated", "X-Shopify-Shop-Domain": DOMAIN,
        "X-Shopify-Webhook-Id": one.id, "Content-Type": "application/json",
    }  # fmt: skip
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
    began = time.monotonic()
    try:
        status = _own.session.post(url, data=one.body, headers=headers, timeout=60).status_code
    except requests.RequestException:
        status = 0
    return status, time.monotonic() - began


def burst(database: str, folder: Path, count: int) -> tuple[list[str], float]:
    """What went wrong, and the slowest answer in seconds."""
    sent = deliveries(count)
    with ExitStack() as stack:
        shop = stack.enter_context(world(folder, database=database))
        address = free_address()
        stack.enter_context(process("web", address, **variables(database, shop.url)))
        until(lambda: answers(f"http://{address}/readyz"))
        url = f"http://{address}/webhooks/shopify"
        with ThreadPoolExecutor(SENDERS) as senders:
            found = list(senders.map(lambda one: deliver(url, one), sent))
    late = sum(seconds > IN_TIME for _, seconds in found)
    refused = [status for status, _ in found if status != 200]
    wrong = [f"{late} were answered after {IN_TIME} s"] if late else []
    wrong += [f"{len(refused)} were not taken: {sorted(set(refused))}"] if refused else []
    return wrong + _lost(database, sent), max(seconds for _, seconds in found)


def _lost(database: str, sent: Sequence[Delivery]) -> list[str]:
    newest: dict[str, str] = {}
    for one in sorted(sent, key=lambda one: one.updated_at):
        newest[str(one.order)] = one.updated_at
    engine = open_database(database)
    with engine.connect() as tx:
        seen = tx.execute(select(func.count()).select_from(webhooks_seen)).scalar_one()
        rows: Any = tx.execute(select(orders.c.order_id, orders.c.updated_at)).all()
    engine.dispose()
    kept = {row.order_id: datetime.fromisoformat(row.updated_at) for row in rows}
    old = [one for one, moment in newest.items() if kept.get(one) != datetime.fromisoformat(moment)]
    wrong = [f"{len(old)} orders are not as they were last told"] if old else []
    unique = len({one.id for one in sent})
    return wrong + ([f"{unique - seen} of {unique} webhooks are not marked"] if seen != unique else [])


def main() -> int:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--webhooks", type=int, default=10_000)
    given.add_argument("--engine", choices=ENGINES, default="sqlite")
    chosen = given.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="order-actions-burst-")))
        database = stack.enter_context(database_of(chosen.engine))
        began = time.monotonic()
        wrong, slowest = burst(database, folder, chosen.webhooks)
        seconds = time.monotonic() - began
    for line in wrong:
        print(line)
    said = f"slowest {slowest:.2f} s, {len(wrong)} faults"
    print(f"{chosen.webhooks} webhooks on {chosen.engine} in {seconds:.0f} s: {said}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
