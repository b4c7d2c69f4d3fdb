"""Text of strangers in every place that they can write to, through every page of the card, in Chromium."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Frame, Page, expect
from werkzeug.wrappers import Response

from plugin.runtime import carry_out
from plugin.sandbox.store.orders import Address, Order
from plugin.shapes import Customer, StepState
from plugin.web import create_web
from tests.browser.stage import HOST_PAGE, served, serving
from tests.browser.test_agent import choose
from tests.browser.watch import Wrongs, watch
from tests.test_reconcile import in_doubt
from tests.test_web import token
from tests.world import BASE, DOMAIN, REFUND, World, outcome, with_settings

# Each asks for something the page must not do: run, load, send, move, or take the place of what stands around it.
ASKS = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(2)>", "<svg/onload=alert(3)>", "<!--", "]]>", "\u2028",
    '" onfocus=alert(4) autofocus x="', "' onmouseover='alert(5)", "<iframe srcdoc='<script>parent.alert(6)</script>'>",
    "<a href=javascript:alert(7)>a</a>", "<base href=//evil.example/>", "<details open ontoggle=alert(8)>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>", "<style>@import'//evil.example'</style>",
    "</template></textarea></title></style></script><b id=loose>", "<link rel=stylesheet href=//evil.example>",
    "<form action=//evil.example><button>Refund</button></form>", "<video><source onerror=alert(9)>",
    "<math><mtext><table><mglyph><style><img src onerror=alert(10)>", "&lt;img src=x onerror=alert(11)&gt;",
    "<object data='data:text/html,<script>alert(12)</script>'>", "{{7*7}} ${{ 7*7 }} {% raw %} `${alert(13)}`",
    "\u202egnp.exe",
)  # fmt: skip
TEXT = " ".join(ASKS)
SHORT = "<img src=x onerror=alert(20)>{{7*7}}\"'"
SPY = """
window.reports = [];
addEventListener("securitypolicyviolation", (event) => reports.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
LOOSE = """() => [...document.querySelectorAll("#view *")].filter((one) =>
  one.matches("script, iframe, object, base, meta, link, style, img, video, math, details, #loose, [srcdoc]")
  || [...one.attributes].some(({ name, value }) => name.startsWith("on") || /^\\s*javascript:/i.test(value))
).map((one) => one.outerHTML.slice(0, 200))"""


def poisoned(order: Order) -> Order:
    return replace(
        order, name=f"#{order.number} {SHORT}", note=TEXT, tags=(TEXT,), notes=((TEXT, TEXT),), codes=(TEXT,),
        address=Address(TEXT, TEXT, TEXT, TEXT, TEXT),
        lines=tuple(
            replace(
                one, title=TEXT, variant=TEXT, sku=SHORT, notes=((TEXT, TEXT),),
                taxes=tuple(replace(tax, title=TEXT) for tax in one.taxes),
            )
            for one in order.lines
        ),
        shipping=tuple(replace(one, title=TEXT) for one in order.shipping),
        payments=tuple(replace(one, account=TEXT) for one in order.payments),
    )  # fmt: skip


class Poisoned(World):
    """A customer whose name is hostile too."""

    def customer(self, number: int) -> Customer:
        return replace(super().customer(number), name=TEXT[:400])


@dataclass
class Card:
    """The card in a host page, beside the hostile customer, and what it must never do."""

    page: Page
    frame: Frame
    wrongs: Wrongs
    seen: list[str] = field(default_factory=list)

    def look(self, name: str) -> None:
        """This page shows hostile text as text, and nothing of it became part of the page."""
        self.seen.append(name)
        assert self.frame.evaluate(LOOSE) == [], name
        assert self.frame.evaluate("reports") == [], name
        assert "{{7*7}}" in self.frame.locator("#view").inner_text(), name
        assert self.wrongs.seen == [], name


@contextmanager
def opened(browser: Browser, shop: World, order: int | None, group: str = "Support leads") -> Iterator[Card]:
    claims: dict[str, Any] = {"customer": {"id": "9001", "email": shop.ledger(1001)["email"], "name": TEXT[:400]}}
    claims |= {"name": SHORT, "order": None if order is None else {"store": DOMAIN, "id": str(BASE + order)}}
    page_of: dict[str, str] = {}
    with served(lambda request: Response(page_of["html"], content_type="text/html")) as host:
        config = replace(shop.app.config, host_origins=(host,))
        with serving(create_web(replace(shop.app, config=config))) as card:
            signed = token(groups=(group,), **claims)
            page_of["html"] = HOST_PAGE.replace("CARD", card).replace('"jwt"', json.dumps(signed))
            context = browser.new_context(viewport={"width": 600, "height": 900}, reduced_motion="reduce")
            context.add_init_script(SPY)
            page = context.new_page()
            wrongs = watch(page)
            page.goto(host)
            page.frames[1].wait_for_selector("[data-view]")
            yield Card(page, page.frames[1], wrongs)
            context.close()


def test_a_page_that_is_not_the_crms_cannot_frame_the_card(shop: World, browser: Browser) -> None:
    with serving(create_web(shop.app)) as card, served(lambda _: Response(page_of, content_type="text/html")) as host:
        page_of = HOST_PAGE.replace("CARD", card)
        page = browser.new_page()
        with page.expect_console_message(lambda line: "frame-ancestors" in line.text):
            page.goto(host)
        assert page.frames[1].url.startswith("chrome-error:")
        page.close()


@pytest.fixture
def hostile(shop: World) -> World:
    store = shop.served.world.store
    with store.lock:
        for number in (1001, 1002):
            store.orders[BASE + number] = poisoned(store.orders[BASE + number])
    with_settings(shop, snapshot_max_age=9999)
    return Poisoned(shop.app, shop.url, shop.served)


def test_on_the_pages_of_an_order_hostile_text_stays_text(hostile: World, browser: Browser) -> None:
    """From the timeline: order, form, preview, what was done, and the order's history."""
    with opened(browser, hostile, 1001) as card:
        frame = card.frame
        card.look("order")
        frame.locator("#tab-items").click()
        card.look("items")
        choose(frame, "Refund")
        frame.wait_for_selector("form[data-submit]")
        card.look("form")
        frame.locator("input[name^='lines[']").first.fill("1")
        frame.get_by_label("Reason for Refund").fill(TEXT[:200])
        expect(frame.get_by_role("button", name="Refund $25.00")).to_be_visible()
        expect(frame.locator("form[data-stale], form[data-resting]")).to_have_count(0)
        card.look("preview")
        frame.get_by_role("button", name="Refund $25.00").click()
        expect(frame.get_by_text("Refunded $25.00").first).to_be_visible()
        card.look("outcome")
        frame.locator("#to-order").click()
        expect(frame.get_by_role("button", name="Update Order")).to_be_visible()
        card.look("order after it")
    assert hostile.ledger(1001)["refunded"] == 25


def test_on_the_list_and_where_a_person_decides_hostile_text_stays_text(hostile: World, browser: Browser) -> None:
    hostile.rows(1002)
    run_id = in_doubt(hostile, 1002, REFUND, "502-before", lines=["1", "0"], reason=SHORT)
    hostile.in_admin(1002, "refund", amount="1.00", note=TEXT)
    assert carry_out(hostile.tools, run_id, 0.0).steps[0].state is StepState.REVIEW
    with_settings(hostile, settle_time=0)
    with opened(browser, hostile, None) as card:
        frame = card.frame
        card.look("list")
        frame.locator("#search").fill(SHORT)
        frame.locator("#search").press("Enter")
        expect(frame.locator("[data-view=orders] .row")).to_have_count(2)
        card.look("search")
        frame.locator("#reviews").click()
        expect(frame.get_by_role("heading", name="1 run waits for a decision")).to_be_visible()
        card.look("runs that wait")
        frame.get_by_role("button", name="#1002").click()
        frame.get_by_label("Close, not done").check()
        frame.get_by_label("Why").fill(TEXT[:200])
        expect(frame.locator("form[data-stale], form[data-resting]")).to_have_count(0)
        card.look("decision")
        frame.get_by_role("button", name="Close, not done").click()
        expect(frame.get_by_text("Closed as not done").first).to_be_visible()
        card.look("decided")


def test_on_the_pages_of_an_admin_hostile_text_stays_text(hostile: World, browser: Browser) -> None:
    outcome(hostile.act(1002, REFUND, lines=["1", "0"], reason=SHORT))
    with opened(browser, hostile, None, "Administrators") as card:
        frame = card.frame
        frame.get_by_role("button", name="Administration").click()
        for page in ("Runs", "Paid back"):
            frame.get_by_role("button", name=page, exact=True).click()
            expect(frame.locator("#view").get_by_text("{{7*7}}").first).to_be_visible()
            card.look(page)


def test_what_hostile_text_would_do_is_seen_and_stopped_by_the_policy(hostile: World, browser: Browser) -> None:
    """Markup put into the page on purpose: no dialog, and the listener of the other tests hears of it."""
    with opened(browser, hostile, 1001) as card:
        card.frame.evaluate("text => document.getElementById('view').insertAdjacentHTML('beforeend', text)", TEXT)
        card.page.wait_for_timeout(200)
        assert card.frame.evaluate("reports") != []
        assert card.frame.evaluate(LOOSE) != []
        assert [one for one in card.wrongs.seen if one.startswith("dialog")] == []
        assert card.wrongs.seen != []
