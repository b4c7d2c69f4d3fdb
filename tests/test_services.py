"""The plugin, the store and Kustomer, each pulled out while an agent works: nothing is lost, nothing is done twice."""

import contextlib
import os
import re
import selectors
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from plugin.sandbox import kustomer
from tests.shared import ROOT
from tests.test_fleet import answers, free_address, press_twice, until
from tests.test_hosts import shown
from tests.world import World, variables, world

AWAY = 2.0  # seconds
ORDERS = (1001, 1002, 1003)


class _Cable(socketserver.BaseRequestHandler):
    """One connection, both ways, until one end or the plug is gone."""

    server: "_Strip"

    def handle(self) -> None:
        with contextlib.suppress(OSError), socket.create_connection(self.server.target) as there:
            ends = {self.request: there, there: self.request}
            self.server.live.update(ends)
            with selectors.DefaultSelector() as ready:
                for one in ends:
                    ready.register(one, selectors.EVENT_READ)
                while all(self._pump(key.fileobj, ends) for key, _ in ready.select(1.0)):
                    pass

    @staticmethod
    def _pump(source: object, ends: dict[socket.socket, socket.socket]) -> bool:
        assert isinstance(source, socket.socket)
        came = source.recv(65536)
        ends[source].sendall(came)
        return came != b""


class _Strip(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int, target: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", port), _Cable)
        self.target = target
        self.live: set[socket.socket] = set()


@dataclass
class Plug:
    """A service behind a cable that can be pulled out: what is on its way is cut, and nobody answers."""

    target: str
    _strip: _Strip = field(init=False)

    def __post_init__(self) -> None:
        self._put_in(0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._strip.server_address[1]}"

    def _put_in(self, port: int) -> None:
        self._strip = _Strip(port, ("127.0.0.1", int(self.target.rsplit(":", 1)[1])))
        threading.Thread(target=self._strip.serve_forever, args=(0.02,), daemon=True).start()

    def pull(self) -> None:
        self._strip.shutdown()
        self._strip.server_close()
        for one in list(self._strip.live):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def out(self) -> Iterator[None]:
        self.pull()
        try:
            yield
            time.sleep(AWAY)
        finally:
            self._put_in(int(self._strip.server_address[1]))


def bundle_of(folder: Path) -> Path:
    """Our bundle as an admin of Kustomer has it."""
    for name in ("actions", "schemas", "card_templates"):
        shutil.copytree(ROOT / name, folder / name)
    text = (ROOT / "plugin.yaml").read_text(encoding="utf-8")
    (folder / "plugin.yaml").write_text(text.replace("host: token", "host: kustomer"), encoding="utf-8")
    return folder


def handle(url: str) -> str:
    """What the card keeps once its agent has connected the account they are signed in to."""
    with requests.Session() as browser:
        page = browser.get(f"{url}/kustomer/connect", timeout=30)
    found = re.search(r'data-handle="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


@dataclass
class Plugin:
    """The real processes of a server."""

    address: str
    environ: dict[str, str]
    _master: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.proofs.process", "web", self.address]
        own = {name: value for name, value in os.environ.items() if not name.startswith("ORDER_ACTIONS_")}
        self._master = subprocess.Popen(command, cwd=ROOT, env={**own, **self.environ}, start_new_session=True)
        until(lambda: answers(f"{self.url}/healthz"))

    def kill(self) -> None:
        assert self._master is not None
        os.killpg(self._master.pid, signal.SIGKILL)
        self._master.wait()


def look_at_orders(url: str, card: str) -> None:
    """The first thing any card does."""
    session = requests.post(f"{url}/session", headers={"Authorization": f"Bearer {card}"}, timeout=30).json()
    listed = requests.get(f"{url}/orders", headers={"Authorization": f"Bearer {session['session']}"}, timeout=30)
    assert "#1003" in listed.text


def paid(shop: World, number: int) -> bool:
    return bool(shop.ledger(number)["refunds"])


def refunded_on_timeline(crm: kustomer.Running, order: str) -> bool:
    found = crm.state.kobjects.get(order)
    return found is not None and found["custom"]["hasBeenRefundedBool"]


def test_pulling_any_of_the_three_services_loses_nothing(tmp_path: Path) -> None:
    database, address = f"sqlite:///{tmp_path / 'app.sqlite'}", free_address()
    with ExitStack() as stack:
        shop = stack.enter_context(world(tmp_path, database=database, webhook_secret="hook"))
        crm = kustomer.serve()
        stack.callback(crm.close)
        crm.state.signed_in = "u-sam"
        store_plug, crm_plug, agent = Plug(shop.url), Plug(crm.url), stack.enter_context(ThreadPoolExecutor(1))
        stack.callback(store_plug.pull)
        stack.callback(crm_plug.pull)
        plugin = Plugin(address, {
            **{name: one for name, one in variables(database, store_plug.url).items() if "_HOST_" not in name},
            "PROOF_BUNDLE": str(bundle_of(tmp_path / "bundle")), "PROOF_LEASE": "1",
            "ORDER_ACTIONS_PUBLIC_URL": f"http://{address}", "ORDER_ACTIONS_KUSTOMER_ORG": "acme",
            "ORDER_ACTIONS_KUSTOMER_KEY": crm.state.key, "ORDER_ACTIONS_KUSTOMER_APP": "shopify_order_actions",
            "ORDER_ACTIONS_KUSTOMER_CLIENT_ID": "client", "ORDER_ACTIONS_KUSTOMER_CLIENT_SECRET": "client-secret",
            "ORDER_ACTIONS_SANDBOX_KUSTOMER": crm_plug.url, "ORDER_ACTIONS_SETTINGS": "settle_time=20",
        })  # fmt: skip
        plugin.start()
        stack.callback(plugin.kill)
        card = shown(handle=handle(plugin.url))
        look_at_orders(plugin.url, card)

        assert set(press_twice(plugin.url, 1001, card)) <= {200, 202, 409}
        with crm_plug.out():
            pass  # the note of the first refund has to wait
        shop.fault("slow", on="refundCreate", times=2, seconds=10)
        pressed = agent.submit(press_twice, plugin.url, 1002, card)
        until(lambda: paid(shop, 1002))  # and Shopify's answer is seconds away
        with store_plug.out():
            assert set(pressed.result(60)) <= {200, 202, 409}
        lost = agent.submit(press_twice, plugin.url, 1003, card)
        until(lambda: paid(shop, 1003))
        plugin.kill()
        time.sleep(AWAY)
        plugin.start()
        assert isinstance(lost.exception(60), requests.RequestException)

        runs = {number: lambda number=number: shop.tools.runs.runs_of(shop.place(number)) for number in ORDERS}
        until(lambda: all(not one.open for number in ORDERS for one in runs[number]()))
        until(lambda: len(crm.state.notes) == len(ORDERS))
        told = [[(one.outcome or {})["state"] for one in runs[number]()] for number in ORDERS]
        assert told == [["done"]] * len(ORDERS)
        assert [len(shop.ledger(number)["refunds"]) for number in ORDERS] == [1] * len(ORDERS)
        noted = sorted(one["externalId"] for one in crm.state.notes)
        assert noted == sorted(runs[number]()[0].id for number in ORDERS)
        until(lambda: all(refunded_on_timeline(crm, shop.place(number).order) for number in ORDERS))
