"""What a page must never do, collected while a test runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import ConsoleMessage, Dialog, Frame, Page

from tests.browser.stage import Stage

_AXE = Axe().axe_script


@dataclass
class Wrongs:
    """Dialogs, broken security policies and script errors of one page."""

    seen: list[str] = field(default_factory=list)

    def console(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Refused to" in message.text:
            self.seen.append(message.text)

    def dialog(self, dialog: Dialog) -> None:
        self.seen.append(f"dialog: {dialog.message}")
        dialog.dismiss()


def watch(page: Page) -> Wrongs:
    wrongs = Wrongs()
    page.on("console", wrongs.console)
    page.on("dialog", wrongs.dialog)
    page.on("pageerror", lambda error: wrongs.seen.append(str(error)))
    return wrongs


def until(page: Page, holds: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for what has no element to wait for. Fails when it does not come to hold in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        page.wait_for_timeout(50)


def open_card(page: Page, stage: Stage, theme: str = "light") -> Frame:
    """The card inside its host page, once its first fragment is there."""
    page.goto(f"{stage.host}/?theme={theme}")
    frame = page.frames[1]
    frame.wait_for_selector("[data-view]")
    return frame


def complaints(frame: Frame) -> list[str]:
    """What axe finds, one line each."""
    if not frame.evaluate("'axe' in window"):
        frame.evaluate(_AXE)
    found = frame.evaluate("axe.run({ resultTypes: ['violations'] }).then(result => result.violations)")
    return [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}" for one in found for node in one["nodes"]
    ]


def overflow(frame: Frame) -> int:
    """How many pixels the card is wider than its window."""
    return int(frame.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
