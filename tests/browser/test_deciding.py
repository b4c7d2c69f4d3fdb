"""A supervisor decides about a run in doubt, in Chromium, on the whole demo: each of the three ways."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Frame, Page, expect

from plugin.demo import Demo, running
from plugin.shapes import StepState
from tests.browser.test_agent import card, desk, ledger
from tests.browser.watch import complaints, overflow, until, watch
from tests.shared import ROOT
from tests.test_reconcile import in_doubt
from tests.world import REFUND, World, with_settings


class Staged(World):
    """The demo's own program, with the verbs of an agent."""

    def ledger(self, number: int) -> dict[str, Any]:
        return ledger(self.forms["demo"], number)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running(ROOT, 0) as started:
        yield started


def waits(page: Page, demo: Demo, number: int) -> None:
    """A refund of one item that needs a person: somebody refunded the same in Shopify meanwhile."""
    shop = Staged(demo.app, demo.store_url, served=None, forms={"demo": demo})  # type: ignore[arg-type]
    with_settings(shop, settle_time=20)
    run_id = in_doubt(shop, number, REFUND, "502-before", lines=["1", "0"])
    shop.in_admin(number, "refund", amount="25.00", note="by hand")

    def in_review() -> bool:
        run = shop.tools.runs.run(run_id)
        return run is not None and run.steps[0].state is StepState.REVIEW

    until(page, in_review)
    with_settings(shop, settle_time=0)


def settled(frame: Frame) -> None:
    expect(frame.locator("form[data-stale], form[data-resting]")).to_have_count(0)


def test_a_supervisor_sends_again_from_the_list_beside_another_customer(demo: Demo, page: Page) -> None:
    wrongs = watch(page)
    waits(page, demo, 1001)
    frame = desk(page, demo, "edna@example.com", "sam")
    frame.get_by_role("button", name="1 run waits for a decision").click()
    expect(frame.get_by_role("heading", name="1 run waits for a decision")).to_be_focused()
    assert complaints(frame) == []
    frame.get_by_role("button", name="#1001").click()
    expect(frame.get_by_text("Made outside of this app")).to_be_visible()
    frame.get_by_label("Send again: refund $25.00").check()
    frame.get_by_label("Why").press_sequentially("The other refund was for the mug", delay=10)
    button = frame.get_by_role("button", name="Send again: refund $25.00")
    expect(button).to_be_enabled()
    settled(frame)
    assert complaints(frame) == []
    button.dblclick()
    expect(frame.get_by_text("Refunded $25.00 on #1001.").first).to_be_visible()
    expect(frame.get_by_text("send it again. The other refund was for the mug")).to_be_visible()
    assert ledger(demo, 1001)["refunded"] == "50.00"
    frame.get_by_role("button", name="Back to the runs").click()
    expect(frame.get_by_role("heading", name="No run waits for a decision")).to_be_visible()
    assert (overflow(frame), wrongs.seen) == (0, [])


def test_a_supervisor_takes_the_refund_by_keyboard_alone(demo: Demo, page: Page) -> None:
    waits(page, demo, 1007)
    frame = card(page, demo, 1007)
    frame.get_by_role("button", name="Decide").press("Enter")
    expect(frame.get_by_role("heading", name="Decide: Refund on #1007")).to_be_focused()
    frame.locator("input[name=how]:enabled").first.focus()
    for key in ("Space", "ArrowDown", "Tab"):
        page.keyboard.press(key)
    expect(frame.get_by_label("Why")).to_be_focused()
    page.keyboard.type("Made in Shopify for us")
    button = frame.get_by_role("button", name="It is this refund: $25.00")
    expect(button).to_be_enabled()
    settled(frame)
    for key in ("Tab", "Tab", "Enter"):
        page.keyboard.press(key)
    expect(frame.get_by_text("Refunded $25.00 on #1007.").first).to_be_visible()
    assert ledger(demo, 1007)["refunded"] == "50.00", "one of before, and the one by hand"


def test_a_supervisor_closes_it_and_the_order_is_free_again(demo: Demo, page: Page) -> None:
    waits(page, demo, 1006)
    agent = card(page, demo, 1006, "ana")
    expect(agent.get_by_text("a supervisor decides").first).to_be_visible()
    expect(agent.get_by_role("button", name="Decide")).to_have_count(0)
    frame = card(page, demo, 1006)
    frame.get_by_role("button", name="Decide").click()
    frame.get_by_label("Close, not done").check()
    button = frame.get_by_role("button", name="Close, not done")
    expect(button).to_be_visible()
    settled(frame)
    button.press("Enter")
    expect(frame.get_by_label("Why")).to_be_focused()
    expect(frame.get_by_text("Fill this in.")).to_be_visible()
    page.keyboard.type("Paid by hand")
    settled(frame)
    expect(button).not_to_have_attribute("aria-disabled", "true")
    button.click()
    expect(frame.get_by_text("Closed as not done by Sam Okafor.").first).to_be_visible()
    frame.get_by_role("button", name="Back to the order").click()
    expect(frame.get_by_role("button", name="Update Order")).to_be_visible()
    expect(frame.get_by_text("close it, not done. Paid by hand")).to_be_visible()
    assert ledger(demo, 1006)["refunded"] == "25.00"
