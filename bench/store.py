"""The sandbox store in a process of its own: `python -m bench.store ORDERS SECONDS` prints its address.

Its orders are big enough for many small refunds, and each answer of its API waits for so many seconds first.
"""

import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from plugin.sandbox import store
from plugin.sandbox.store.making import Item, Plan, make
from tests.shared import ROOT
from tests.world import BASE

FIRST = 100_001  # the number of the first of them
EMAIL = "ada@example.com"
PLAN = Plan("many small refunds", (Item("Walking boots", "129.00", 20, sku="BOT"), Item("Mug", "12.50", 20, sku="MUG")))


def main(orders: int, latency: float) -> None:
    running = store.serve(token="token", schema_path=ROOT / "schemas/shopify-2026-10.graphql")
    ada = next(one for one in running.state.people.values() if one.email == EMAIL)
    with running.state.lock:
        for number in range(FIRST, FIRST + orders):
            made = make(number, datetime.now(UTC), PLAN)
            running.state.orders[BASE + number] = replace(made, customer=ada.id, email=EMAIL)
    running.state.settings.bucket = running.state.settings.restore_rate = running.world.bucket.left = 1e9
    inner = running.server.app

    def slow(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/admin/api/"):
            time.sleep(latency)
        return inner(environ, start)

    running.server.app = slow
    print(running.url, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
