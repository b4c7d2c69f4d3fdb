"""What an agent does, in Chromium, on the whole demo: desk, card, plugin and store."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Frame, Page, expect

from plugin.demo import Demo, running
from tests.browser.watch import complaints, overflow, until, watch
from tests.shared import ROOT

BASE = 5000000000000


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running(ROOT, 0) as started:
        yield started


@pytest.fixture(autouse=True)
def fresh_store(demo: Demo) -> None:
    """Each test has orders of its own; no order is used twice."""
    requests.delete(f"{demo.store_url}/_sandbox/log", timeout=10)


def desk(page: Page, demo: Demo, email: str, agent: str) -> Frame:
    """The desk at one customer, and the insight card in it."""
    people = requests.get(f"{demo.store_url}/_sandbox/customers", timeout=10).json()
    customer = next(one["id"] for one in people if one["email"] == email)
    page.set_viewport_size({"width": 1300, "height": 1700})
    page.goto(f"{demo.desk_url}/?customer={customer}&agent={agent}")
    frame = page.locator("aside iframe, iframe").last.element_handle().content_frame()
    assert frame is not None
    frame.wait_for_selector("[data-view]")
    return frame


def card(page: Page, demo: Demo, number: int, agent: str = "sam") -> Frame:
    """The insight card at one order, as this agent sees it."""
    frame = desk(page, demo, ledger(demo, number)["email"], agent)
    frame.get_by_text(f"#{number}").first.click()
    expect(frame.get_by_role("heading", name=f"Order #{number}")).to_be_visible()
    return frame


def choose(frame: Frame, action: str) -> None:
    frame.get_by_role("button", name="Update Order").click()
    frame.get_by_role("menuitem", name=action).or_(frame.get_by_role("link", name=action)).or_(
        frame.get_by_role("button", name=action, exact=True)
    ).first.click()


def settled(frame: Frame) -> None:
    """The preview is the preview of what stands in the form; until then no press sends anything."""
    expect(frame.locator("form[data-stale]")).to_have_count(0)


def ledger(demo: Demo, number: int) -> dict[str, Any]:
    rows: list[dict[str, Any]] = requests.get(f"{demo.store_url}/_sandbox/ledger", timeout=10).json()
    return next(row for row in rows if row["name"] == f"#{number}")


def test_a_refund_by_hand(demo: Demo, page: Page) -> None:
    wrongs = watch(page)
    frame = card(page, demo, 1001)
    choose(frame, "Refund")
    frame.locator("input[name^='lines[']").first.fill("1")
    button = frame.get_by_role("button", name="Refund $25.00")
    expect(button).to_be_visible()
    assert complaints(frame) == []
    settled(frame)
    button.dblclick()
    expect(frame.get_by_text("Refunded $25.00 on #1001.").first).to_be_visible()
    assert complaints(frame) == []
    assert ledger(demo, 1001)["refunded"] == "25.00"
    expect(page.get_by_text("Sam Okafor refunded $25.00 on #1001 (1 × Cotton T-shirt).")).to_be_visible()
    frame.locator("#to-order").click()
    expect(frame.get_by_text("Partially refunded").first).to_be_visible()
    assert (overflow(frame), wrongs.seen) == (0, [])


def test_a_lowered_cancel_asks_what_is_meant(demo: Demo, page: Page) -> None:
    frame = card(page, demo, 1002)
    choose(frame, "Cancel")
    paid = frame.locator("input[name^='payments[']")
    expect(paid).to_have_value("57.50")
    paid.press("ControlOrMeta+a")
    paid.press_sequentially("10.00", delay=40)
    expect(frame.get_by_text("You lowered the amount. What is meant?").first).to_be_visible()
    expect(paid).to_have_value("10.00")
    expect(paid).to_be_focused()
    assert complaints(frame) == []
    frame.get_by_label("Cancel the whole order, refund $10.00").check()
    button = frame.get_by_role("button", name="Cancel order, refund $10.00")
    expect(button).to_be_visible()
    settled(frame)
    button.click()
    expect(frame.get_by_text("#1002 is cancelled. Refunded $10.00.").first).to_be_visible(timeout=15000)
    books = ledger(demo, 1002)
    assert (books["refunded"], books["cancelled_at"] is not None) == ("10.00", True)


def test_a_part_cancel_follows_the_quantities(demo: Demo, page: Page) -> None:
    frame = card(page, demo, 1003)
    choose(frame, "Cancel")
    frame.locator("input[name^='lines[']").nth(1).fill("0")
    button = frame.get_by_role("button", name="Cancel items, refund")
    expect(button).to_be_visible()
    expect(frame.get_by_text("The order stays open.").first).to_be_visible()
    settled(frame)
    button.click()
    expect(frame.get_by_text("Items of #1003 are cancelled.").first).to_be_visible()


def test_by_keyboard_alone(demo: Demo, page: Page) -> None:
    frame = card(page, demo, 1005)
    frame.get_by_role("button", name="Update Order").focus()
    for key in ("Enter", "Tab", "Enter"):
        page.keyboard.press(key)
    first = frame.locator("input[name^='lines[']").first
    expect(first).to_be_visible()
    first.focus()
    page.keyboard.press("ArrowUp")
    expect(frame.get_by_role("button", name="Refund $").last).to_contain_text("Refund $")
    submit = frame.locator("button[type=submit]")
    expect(submit).not_to_contain_text("$0.00")
    first.press("Enter")  # pays nothing: only the button does
    page.wait_for_timeout(1000)  # a look at the form that this key began would replace the button under the next one
    settled(frame)
    submit.focus()
    expect(submit).to_be_focused()
    page.keyboard.press("Enter")
    expect(frame.get_by_text("Refunded $").first).to_be_visible()


def test_a_mistake_is_told_at_its_field(demo: Demo, page: Page) -> None:
    frame = card(page, demo, 1004)
    choose(frame, "Refund")
    shipping = frame.locator("input[name='shipping']")
    shipping.fill("9.00")
    expect(frame.get_by_text("At most $5.00.").first).to_be_visible()
    expect(shipping).to_have_attribute("aria-invalid", "true")
    expect(shipping).to_be_focused()
    assert complaints(frame) == []


def test_doubt_is_shown_and_locks_the_order(demo: Demo, page: Page) -> None:
    frame = card(page, demo, 1006)
    choose(frame, "Refund")
    frame.locator("input[name^='lines[']").first.fill("1")
    button = frame.locator("button[type=submit]")
    expect(button).not_to_contain_text("$0.00")
    fault = {"on": "refundCreate", "kind": "502-before", "times": 1}
    requests.post(f"{demo.store_url}/_sandbox/faults", json=fault, timeout=10).raise_for_status()
    settled(frame)
    button.click()
    expect(frame.get_by_text("In doubt - do not repeat").first).to_be_visible()
    assert complaints(frame) == []
    frame.locator("#to-order").click()
    expect(frame.get_by_text("Sam Okafor: Refund").first).to_be_visible()
    expect(frame.get_by_role("button", name="Update Order")).to_have_count(0)


@pytest.mark.parametrize("agent", ["rita", "nemo"])
def test_without_permission_there_is_nothing_to_press(demo: Demo, page: Page, agent: str) -> None:
    if agent == "rita":
        expect(card(page, demo, 1041, agent).get_by_role("button", name="Update Order")).to_have_count(0)
        return
    frame = desk(page, demo, "edna@example.com", agent)
    expect(frame.get_by_text("None of your role groups").first).to_be_visible()


def test_hostile_texts_never_run(demo: Demo, page: Page) -> None:
    wrongs = watch(page)
    frame = card(page, demo, 1030)
    frame.get_by_role("tab", name="Items").click()
    choose(frame, "Refund")
    expect(frame.locator("input[name^='lines[']").first).to_be_visible()
    assert wrongs.seen == []


def test_a_timeline_entry_opens_its_own_order(demo: Demo, page: Page) -> None:
    desk(page, demo, "edna@example.com", "sam")
    page.get_by_role("button", name="Update Order").first.click()
    entry: list[Frame] = []

    def opened() -> bool:
        frames = [one for one in page.frames if one.url.startswith(demo.card_url) and one.parent_frame]
        entry[:] = [one for one in frames if one.get_by_role("heading", name="Order #1041").count()]
        return len(entry) == 1

    until(page, opened)
    expect(entry[0].get_by_role("button", name="Update Order")).to_be_visible()


def test_doubt_ends_by_itself_on_the_card_that_follows_it(demo: Demo, page: Page) -> None:
    frame = card(page, demo, 1007)
    choose(frame, "Refund")
    frame.locator("input[name^='lines[']").first.fill("1")
    button = frame.locator("button[type=submit]")
    expect(button).not_to_contain_text("$0.00")
    fault = {"on": "refundCreate", "kind": "502-after", "times": 1}
    requests.post(f"{demo.store_url}/_sandbox/faults", json=fault, timeout=10).raise_for_status()
    settled(frame)
    button.click()
    expect(frame.get_by_text("Refunded $25.00 on #1007.").first).to_be_visible(timeout=20000)
    assert ledger(demo, 1007)["refunded"] == "50.00"


def test_an_order_is_found_by_its_number_and_opened_by_keyboard_alone(demo: Demo, page: Page) -> None:
    wrongs = watch(page)
    frame = desk(page, demo, "edna@example.com", "sam")
    frame.get_by_label("Find by order number").focus()
    page.keyboard.type("1042")
    page.keyboard.press("Enter")
    found = frame.get_by_role("button", name="#1042")
    expect(found).to_contain_text("Of somebody else: no e-mail")
    expect(frame.get_by_role("heading", name="Orders with the number 1042")).to_be_focused()
    assert (complaints(frame), overflow(frame)) == ([], 0)
    found.focus()
    page.keyboard.press("Enter")
    expect(frame.get_by_role("heading", name="Order #1042")).to_be_focused()
    expect(frame.get_by_text("This order is not of the customer before you")).to_be_visible()
    assert complaints(frame) == []
    choose(frame, "Refund")
    expect(frame.locator("input[name^='lines[']").first).to_be_visible()
    assert wrongs.seen == []


def test_without_the_permission_nobody_else_is_looked_for(demo: Demo, page: Page) -> None:
    frame = desk(page, demo, "edna@example.com", "ana")
    expect(frame.get_by_label("Search for an order")).to_be_visible()
    expect(frame.get_by_label("Find by order number")).to_have_count(0)
