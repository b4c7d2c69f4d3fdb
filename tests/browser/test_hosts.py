"""The card in Kustomer's page, and in the example page of the docs, in Chromium."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from plugin.sandbox import kustomer
from plugin.sync import deliver_orders
from plugin.web import create_web
from tests.shared import ROOT
from tests.test_hosts import SECRET
from tests.test_kustomer import in_kustomer
from tests.world import World


@pytest.fixture
def crm() -> Iterator[kustomer.Running]:
    running = kustomer.serve()
    yield running
    running.close()


@contextmanager
def desk(shop: World, crm: kustomer.Running, browser: Browser, more: str = "") -> Iterator[tuple[Page, list[str]]]:
    """Kustomer's page with the card in it, before Sam, and what the browser complained about."""
    server = make_server("127.0.0.1", 0, lambda *call: web(*call), threaded=True)
    url = f"http://127.0.0.1:{server.server_port}"
    web = create_web(in_kustomer(shop, crm, url))
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    crm.state.command_url, crm.state.command_secret = f"{url}/kustomer/commands/open", SECRET
    crm.state.access["sam's session"] = crm.state.signed_in = "u-sam"
    context = browser.new_context()
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    try:
        page.goto(f"{crm.url}/desk?card={url}/card&customer=c-ada&conversation=t-ada&token=sam's session{more}")
        yield page, complaints
    finally:
        context.close()
        server.shutdown()
        server.server_close()


def connect(page: Page) -> None:
    button = page.frame_locator("iframe").get_by_role("button", name="Connect your Kustomer account to act")
    with page.context.expect_page():
        button.click()
    expect(button).to_be_hidden()


def test_the_card_reads_then_connects_then_acts_in_chromium(
    shop: World, crm: kustomer.Running, browser: Browser
) -> None:  # fmt: skip
    """Proxy, popup, stored handle, change of customer; the policy of the card stops nothing it needs."""
    with desk(shop, crm, browser) as (page, complaints):
        frame = page.frame_locator("iframe")
        frame.get_by_text("#1001").first.click()
        expect(frame.get_by_role("heading", name="Order #1001")).to_be_visible()
        expect(frame.get_by_role("button", name="Update Order")).to_have_count(0)
        connect(page)
        frame.get_by_text("#1001").first.click()
        expect(frame.get_by_role("button", name="Update Order")).to_be_visible()
        page.evaluate("change('c-bilal')")
        expect(frame.get_by_text("#1001")).to_have_count(0)
        assert complaints == []


def test_an_entry_of_the_timeline_opens_the_card_at_its_order_and_acts_there(
    shop: World, crm: kustomer.Running, browser: Browser
) -> None:
    place = shop.place(1001)
    shop.rows(1001)
    tools = in_kustomer(shop, crm).tools
    tools.crm.owe(place, "ada@example.com", tools.clock.now())
    assert deliver_orders(tools) == 1
    with desk(shop, crm, browser, f"&order={place.order}") as (page, complaints):
        frame = page.frame_locator("iframe")
        expect(frame.get_by_role("heading", name="Order #1001")).to_be_visible()
        expect(frame.get_by_role("button", name="Update Order")).to_have_count(0)
        connect(page)
        frame.get_by_role("button", name="Update Order").click()
        frame.get_by_role("button", name="Refund", exact=True).click()
        expect(frame.get_by_role("heading", name="Refund #1001")).to_be_visible()
        assert (frame.get_by_role("button", name="Orders", exact=True).count(), complaints) == (0, [])


def test_the_example_page_of_the_docs_holds_the_card(
    shop: World, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs/hosts.md").read_text(encoding="utf-8"), re.DOTALL)[0]
    page_server = make_server("127.0.0.1", 0, lambda *call: example["app"](*call), threaded=True)
    card_server = make_server("127.0.0.1", 0, lambda *call: web(*call), threaded=True)
    page_url, card_url = (f"http://127.0.0.1:{one.server_port}" for one in (page_server, card_server))
    monkeypatch.setenv("CARD", card_url)
    monkeypatch.setenv("ORDER_ACTIONS_HOST_SECRET", shop.app.config.host_secret)
    example: dict[str, Any] = {}
    exec(code, example)
    web = create_web(replace(shop.app, config=replace(shop.app.config, host_origins=(page_url,))))
    for one in (page_server, card_server):
        Thread(target=one.serve_forever, args=(0.02,), daemon=True).start()
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(page_url)
        frame = page.frame_locator("iframe")
        frame.get_by_text("#1001").first.click()
        expect(frame.get_by_role("button", name="Update Order")).to_be_visible()
    finally:
        context.close()
        for one in (page_server, card_server):
            one.shutdown()
            one.server_close()
