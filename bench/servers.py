"""The processes that are measured: ours as an administrator starts it, the bare one, and the store."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests

from plugin.gate import THREADS
from plugin.stores.database import open_database
from tests.databases import postgres_server
from tests.shared import ROOT
from tests.world import variables

# What is measured is not how much money may leave, nor how soon a list is read from Shopify again.
NO_PACE = {"refunds_per_store": 0, "refunds_per_agent": 0, "refund_sum_per_store": "0", "refund_sum_per_agent": "0"}
SETTINGS = ",".join(f"{name}={value}" for name, value in {**NO_PACE, "snapshot_max_age": 9999999}.items())


@dataclass(frozen=True)
class Server:
    """A web server with its processes; `address` is host and port."""

    address: str
    master: int

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.master}/task/{self.master}/children")
        return [int(one) for one in children.read_text("ascii").split()]


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Both engines, waiting for the disk as in production: `{engine: URL of a database with our tables}`."""
    with tempfile.TemporaryDirectory(prefix="order-actions-bench-") as folder, postgres_server(durable=True) as server:
        sqlite = f"sqlite:///{Path(folder) / 'bench.sqlite'}"
        open_database(sqlite).dispose()
        yield {"SQLite": sqlite, "PostgreSQL": server.fresh()}


@contextmanager
def ours(database: str, store_url: str) -> Iterator[Server]:
    """`order-actions serve` with two web processes."""
    environ = {**variables(database, store_url), "ORDER_ACTIONS_SETTINGS": SETTINGS}
    with _served(["tests.proofs.process", "web"], environ) as server:
        yield server


@contextmanager
def bare(database: str) -> Iterator[Server]:
    """The same gunicorn around a bare Flask app."""
    with _served(["bench.bare", database, str(THREADS)], {}) as server:
        yield server


@contextmanager
def store(orders: int, latency: float) -> Iterator[str]:
    """A sandbox store with so many big orders, each call of whose takes `latency` seconds longer."""
    words = [sys.executable, "-m", "bench.store", str(orders), str(latency)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def _served(words: list[str], environ: dict[str, str]) -> Iterator[Server]:
    address = _free_address()
    own = {name: value for name, value in os.environ.items() if not name.startswith("ORDER_ACTIONS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", *words, address], cwd=ROOT, env={**own, **environ},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _until_it_answers(f"http://{address}/healthz")
        yield Server(address, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _until_it_answers(url: str) -> None:
    for _ in range(300):
        with suppress(requests.ConnectionError):
            if requests.get(url, timeout=5).ok:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")
