"""A server that is restarted while people work: nobody gets an error, and what was begun is brought to its end."""

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from plugin.app import copy_bundle
from tests.shared import ROOT
from tests.test_fleet import Crm, environment, press_twice, process, until
from tests.test_web import token
from tests.world import world


@contextmanager
def socket_of_systemd() -> Iterator[tuple[int, str]]:
    """A socket that listens all the time, whoever serves behind it; its number and its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        yield listening.fileno(), f"127.0.0.1:{listening.getsockname()[1]}"


@dataclass
class Crowd:
    """Agents who ask all the time, half of them on a connection of their own for every request."""

    told: Counter[str] = field(default_factory=Counter)
    ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self, url: str) -> Iterator[ThreadPoolExecutor]:
        """With a hand free for something else."""
        with ThreadPoolExecutor(5) as agents:
            work = [agents.submit(self._ask, url, ask) for ask in (requests.get, requests.Session().get) * 2]
            try:
                yield agents
            finally:
                self.ended.set()
            for one in work:
                one.result(timeout=60)

    def _ask(self, url: str, ask: Callable[..., requests.Response]) -> None:
        came = requests.post(f"{url}/session", headers={"Authorization": f"Bearer {token()}"}, timeout=60).json()
        headers = {"Authorization": f"Bearer {came['session']}"}
        while not self.ended.is_set():
            try:
                self.told[str(ask(f"{url}/orders", headers=headers, timeout=60).status_code)] += 1
            except requests.RequestException as error:
                self.told[repr(error)] += 1
            time.sleep(0.1)

    def more(self) -> None:
        """Wait for some more answers."""
        before = sum(self.told.values())
        until(lambda: sum(self.told.values()) > before + 10)


def test_nobody_notices_restarts_and_a_refund_on_its_way_is_paid_once(tmp_path: Path) -> None:
    database, crm, crowd = f"sqlite:///{tmp_path / 'app.sqlite'}", Crm(), Crowd()
    with world(tmp_path, database=database) as shop, crm.open(0.0), socket_of_systemd() as (fd, address):
        environ = {**environment(shop, database, crm), "PROOF_SOCKET": str(fd)}
        with crowd.asking(f"http://{address}") as agents:
            with process("web", address, fds=(fd,), **environ) as first:
                crowd.more()
                first.send_signal(signal.SIGHUP)  # other processes, the same program
                crowd.more()
                shop.fault("slow", on="refundCreate")
                pressed = agents.submit(press_twice, f"http://{address}", 1001)
                until(lambda: shop.ledger(1001)["refunds"])  # paid, and Shopify's answer is a second away
            with process("web", address, fds=(fd,), **environ):  # the first was told to end, and did
                assert set(pressed.result(timeout=60)) <= {200, 202, 409}
                until(lambda: crm.begun and not shop.tools.runs.open_runs())
                crowd.more()
                crowd.ended.set()
        runs = shop.tools.runs.runs_of(shop.place(1001))
        assert set(crowd.told) == {"200"}
        assert [one.outcome and one.outcome["state"] for one in runs] == ["done"]
        assert (len(shop.ledger(1001)["refunds"]), crm.begun) == (1, Counter({runs[0].id: 1}))


def test_a_reload_takes_the_bundle_as_it_is_now_and_one_with_an_error_changes_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    database, folder = f"sqlite:///{tmp_path / 'app.sqlite'}", tmp_path / "bundle"
    folder.mkdir()
    copy_bundle(ROOT, folder)
    style, plugin = folder / "card_templates/card.css", folder / "plugin.yaml"
    right = plugin.read_text(encoding="utf-8")
    with world(tmp_path, database=database) as shop, socket_of_systemd() as (fd, address):
        environ = {**environment(shop, database, Crm()), "PROOF_SOCKET": str(fd), "PROOF_BUNDLE": str(folder)}

        def shown() -> str:
            return requests.get(f"http://{address}/static/card.css", timeout=60).text[:9]

        with process("web", address, fds=(fd,), **environ) as server:
            until(lambda: shown() != "")
            style.write_text("/* new */ b {}", encoding="utf-8")
            assert shown() != "/* new */", "a folder that is being edited is nobody's bundle yet"
            plugin.write_text(right.replace("title:", "titel:"), encoding="utf-8")
            server.send_signal(signal.SIGHUP)
            until(lambda: "bundle.refused" in (said := capfd.readouterr().out) and "plugin.yaml:4" in said)
            assert "/* new */" not in {shown() for _ in range(10)}
            plugin.write_text(right, encoding="utf-8")
            server.send_signal(signal.SIGHUP)
            until(lambda: {shown() for _ in range(10)} == {"/* new */"})
