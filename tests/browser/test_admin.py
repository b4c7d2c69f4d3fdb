"""An admin in Chromium, on the whole demo: filters, a file, and an alarm lifted by keyboard."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from plugin.demo import Demo, running
from plugin.ports import AlarmKind, Doubt
from plugin.shapes import StepState
from tests.browser.test_agent import desk
from tests.browser.test_deciding import Staged, settled
from tests.browser.watch import complaints, overflow, watch
from tests.shared import ROOT
from tests.world import DOMAIN, REFUND, outcome


@pytest.fixture
def demo() -> Iterator[Demo]:
    with running(ROOT, 0) as started:
        yield started


def test_an_admin_filters_runs_saves_them_and_lifts_an_alarm_by_keyboard(demo: Demo, page: Page) -> None:
    shop = Staged(demo.app, demo.store_url, served=None, forms={"demo": demo})  # type: ignore[arg-type]
    outcome(shop.act(1001, REFUND, lines=["1", "0"], reason="Broken"))
    run = shop.tools.runs.newest(1)[0]
    doubt = Doubt(run.id, 0, DOMAIN, StepState.UNKNOWN, datetime.now(UTC), "")
    shop.tools.watch.raise_once(AlarmKind.TWICE, doubt, "twice", datetime.now(UTC))
    wrongs = watch(page)
    frame = desk(page, demo, "ada@example.com", "adele")
    frame.get_by_role("button", name="Administration").click()
    expect(frame.get_by_role("heading", name="Administration")).to_be_focused()
    assert complaints(frame) == []
    frame.get_by_role("button", name="Runs", exact=True).press("Enter")
    frame.get_by_label("State").select_option("failed")
    frame.get_by_label("From").press("Enter")
    expect(frame.get_by_text("No run fits.")).to_be_visible()
    frame.get_by_label("State").select_option("done")
    frame.get_by_role("button", name="Show").click()
    expect(frame.get_by_role("button", name="#1001")).to_be_visible()
    assert (complaints(frame), overflow(frame)) == ([], 0)
    with page.expect_download() as saving:
        frame.get_by_role("button", name="Save as CSV").click()
    saved = Path(saving.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert (saving.value.suggested_filename, len(saved), run.id in saved[1]) == ("runs.csv", 2, True)
    frame.get_by_role("button", name="Overview", exact=True).click()
    frame.get_by_role("button", name="Lift alarm 1").press("Enter")
    expect(frame.get_by_role("heading", name="Lift alarm 1")).to_be_focused()
    page.keyboard.press("Tab")
    expect(frame.get_by_label("Why")).to_be_focused()
    page.keyboard.type("Looked at it")
    button = frame.get_by_role("button", name="Lift alarm 1")
    expect(button).not_to_have_attribute("aria-disabled", "true")
    settled(frame)
    assert complaints(frame) == []
    for key in ("Tab", "Tab", "Enter"):
        page.keyboard.press(key)
    expect(frame.get_by_text("Alarm 1 is lifted.")).to_be_visible()
    expect(frame.get_by_text("Looked at it")).to_be_visible()
    assert (overflow(frame), wrongs.seen) == (0, [])
