"""The plug is pulled: server and store are killed in the middle of refunds, and somebody refunds in Shopify."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Frame, Page, expect

from plugin.demo import free_ports
from tests.browser.test_agent import choose, settled
from tests.shared import ROOT

# The demo as it is, but for the lease: nobody waits a minute for a test.
DEMO = "from plugin import cli, runtime; runtime.LEASE_SECONDS = 1.0; cli.main()"


@dataclass(frozen=True)
class Plug:
    """A demo in two processes that go on with what is in the folder, however they ended."""

    folder: Path
    port: int

    def url(self, which: int) -> str:
        return f"http://127.0.0.1:{self.port + which}"

    @contextmanager
    def running(self, part: str) -> Iterator[Callable[[], None]]:
        """Started and answering; gives the way to kill it at once."""
        words = ["demo", "--no-open", "--port", str(self.port), "--keep", str(self.folder), "--only", part,
                 "--set", "settle_time=90"]  # fmt: skip
        with subprocess.Popen([sys.executable, "-c", DEMO, *words], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            try:
                _until(lambda: self.answers({"plugin": 0, "store": 2}[part]))
                yield process.kill
            finally:
                process.kill()

    def answers(self, which: int) -> bool:
        with suppress(requests.RequestException):
            return requests.get(self.url(which), timeout=5).ok
        return False

    def ledger(self, number: int) -> dict[str, Any]:
        rows = requests.get(f"{self.url(2)}/_sandbox/ledger", timeout=10).json()
        return dict(next(row for row in rows if row["name"] == f"#{number}"))

    def refunds(self, number: int) -> list[str]:
        return [one["amount"] for one in self.ledger(number)["transactions"] if one["kind"] == "REFUND"]

    def runs(self) -> dict[str, str]:
        """What `order-actions runs list` says of each order."""
        command = '. "$0"/env && exec "$1" -m plugin runs list'
        shell = ["sh", "-ac", command, str(self.folder), sys.executable]
        told = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=True, env=_clean()).stdout
        rows = [line.split("  ") for line in told.splitlines()]
        return {row[-5]: f"{row[1]} {row[-2]}" for row in rows}


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ORDER_ACTIONS_")}


def _until(holds: Callable[[], bool], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.05)


def press(page: Page, plug: Plug, number: int, fault: str) -> Frame:
    """Refund the first item of an order, which Shopify does not answer."""
    row = plug.ledger(number)
    people = requests.get(f"{plug.url(2)}/_sandbox/customers", timeout=10).json()
    customer = next(one["id"] for one in people if one["email"] == row["email"])
    page.goto(f"{plug.url(0)}/?customer={customer}&agent=sam")
    frame = page.locator("aside iframe, iframe").last.element_handle().content_frame()
    assert frame is not None
    frame.get_by_text(f"#{number}").first.click()
    choose(frame, "Refund")
    frame.locator("input[name^='lines[']").first.fill("1")
    button = frame.get_by_role("button", name="Refund $")
    expect(button).to_be_visible()
    settled(frame)
    body = {"on": "refundCreate", "kind": fault, "seconds": 60}
    requests.post(f"{plug.url(2)}/_sandbox/faults", json=body, timeout=10)
    button.click(no_wait_after=True)
    _until(lambda: requests.get(f"{plug.url(2)}/_sandbox/faults", timeout=10).json() == [])
    return frame


def test_after_the_plug_was_pulled_card_runs_and_ledger_tell_one_story(page: Page, tmp_path: Path) -> None:
    """#1001 was refunded and nobody was told; #1003 was not, and a person refunds it by phone while all is down."""
    plug, other = Plug(tmp_path, free_ports(0)[0]), page.context.new_page()
    with plug.running("store") as kill_store, plug.running("plugin") as kill_plugin:
        moved = press(other, plug, 1003, "timeout-not-done")
        done = press(page, plug, 1001, "done-then-timeout")
        kill_plugin()
        kill_store()
        for frame in (done, moved):
            expect(frame.get_by_text("We did not hear back")).to_be_visible()
        with plug.running("plugin"):
            for frame in (done, moved):  # by themselves: nobody presses anything
                expect(frame.get_by_role("heading", name="In doubt - do not repeat")).to_be_visible()
            assert {name: text.split()[:2] for name, text in plug.runs().items()} == {
                "#1001": ["open", "refund"], "#1003": ["open", "refund"],
            }  # fmt: skip
            with plug.running("store"):
                order = plug.ledger(1003)["id"]
                by_phone = {"amount": "5.00", "note": "by phone"}
                requests.post(f"{plug.url(2)}/_sandbox/orders/{order}/refund", data=by_phone, timeout=10)
                expect(done.get_by_text("Refunded $25.00 on #1001.").first).to_be_visible()
                expect(moved.get_by_role("heading", name="A person must decide - do not repeat")).to_be_visible()
                assert plug.runs() == {"#1001": "closed refund settled $25.00", "#1003": "open refund review $21.00"}
                assert (plug.refunds(1001), plug.refunds(1003)) == (["25.00"], ["5.00"])
