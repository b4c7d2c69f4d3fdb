"""The card's script: it sends once, shows only fresh totals, admits doubt, and keeps its session."""

import threading
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Frame, Page, expect
from werkzeug.wrappers import Request, Response

from plugin.deciding import NOT_DECIDED
from plugin.flow import NOT_SENT
from plugin.gate import FULL
from plugin.rates import TOO_OFTEN
from plugin.views import message
from tests.browser.render import render
from tests.browser.samples import form_context, full_order, order_context, orders_context, row
from tests.browser.stage import Stage
from tests.browser.states import STATES, TOTALS, _cancel_fields, _refund_fields
from tests.browser.watch import open_card, until, watch

FORM = "/stores/sandbox/orders/1027/actions/shopify.order.refund"
ORDER = "/stores/sandbox/orders/1027"
AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
MUG = "q-gid://shopify/LineItem/3"


def refund_form(button: str = "Refund $98.16", fields: list[Any] | None = None, **more: Any) -> str:
    return render("form.html", form_context(fields or _refund_fields(), button, **{**TOTALS, **more}))


def open_form(page: Page, stage: Stage, first: str | None = None) -> Frame:
    stage.start_url = FORM
    stage.scripts[f"GET {FORM}"] = lambda request: (200, first or refund_form())
    stage.fragment(f"GET {ORDER}", "order.html", order_context(full_order()))
    return open_card(page, stage)


def test_a_double_click_sends_once(page: Page, stage: Stage) -> None:
    frame = open_form(page, stage)
    stage.fragment(f"POST {FORM}", *STATES["done"])
    frame.evaluate("() => { const b = document.querySelector('#submit'); b.click(); b.click(); b.click(); }")
    expect(frame.locator("h1")).to_have_text("Refunded $98.16")
    assert len(stage.posts(FORM)) == 1
    assert {"type": "order-actions:changed", "order": "#1027"} in page.evaluate("messages")


def test_only_the_newest_answer_changes_the_total_and_typing_is_never_disturbed(page: Page, stage: Stage) -> None:
    frame = open_form(page, stage)
    first_asked, let_go = threading.Event(), threading.Event()

    def preview(request: Request) -> tuple[int, str]:
        amount = request.form["shipping"]
        if amount == "1":
            first_asked.set()
            let_go.wait(5)
        return 200, refund_form(f"Refund ${amount}")

    stage.scripts[f"POST {FORM}/preview"] = preview
    box = frame.locator("#f-shipping")
    box.press_sequentially("1")
    until(page, first_asked.is_set)
    box.press_sequentially("2")
    expect(frame.locator("#submit")).to_have_text("Refund $12")
    let_go.set()
    page.wait_for_timeout(300)
    expect(frame.locator("#submit")).to_have_text("Refund $12")
    assert frame.evaluate("[document.activeElement.id, document.activeElement.value]") == ["f-shipping", "12"]


def test_a_press_while_the_total_is_unknown_sends_nothing(page: Page, stage: Stage) -> None:
    frame = open_form(page, stage)
    stage.scripts[f"POST {FORM}/preview"] = lambda request: (200, refund_form("Refund $112.66"))
    stage.fragment(f"POST {FORM}", *STATES["done"])
    frame.locator(f"[data-for='{MUG}'][data-step='1']").click()
    frame.locator("#submit").click(force=True)
    expect(frame.locator("#submit")).to_have_text("Refund $112.66")
    expect(frame.locator("form")).not_to_have_attribute("data-stale", "")
    assert stage.posts(FORM) == []
    assert [one["lines[gid://shopify/LineItem/3]"] for one in stage.posts(f"{FORM}/preview")] == ["1"]


def test_the_button_rests_after_it_changed(page: Page, stage: Stage) -> None:
    frame = open_form(page, stage)
    stage.scripts[f"POST {FORM}/preview"] = lambda request: (200, refund_form("Refund $112.66"))
    changed_then_pressed = """() => new Promise((done) => {
      const button = document.querySelector("#submit");
      const pressSoon = () => setTimeout(() => { button.click(); done(); }, 100);
      new MutationObserver((_, watcher) => { watcher.disconnect(); pressSoon(); })
        .observe(button, { subtree: true, characterData: true });
      document.querySelector("[data-step='1']").click();
    })"""
    frame.evaluate(changed_then_pressed)
    page.wait_for_timeout(300)
    assert stage.posts(FORM) == []


def test_an_unanswered_submit_is_told_as_doubt_and_never_sent_again(page: Page, stage: Stage) -> None:
    frame = open_form(page, stage)
    stage.scripts[f"POST {FORM}"] = lambda request: Response("bad gateway", 502, content_type="text/plain")
    frame.locator("#submit").click()
    expect(frame.locator("h1")).to_have_text("We did not hear back")
    assert "Do not repeat it" in frame.locator("main").inner_text()
    frame.get_by_role("button", name="Look at the order").click()
    expect(frame.locator("h1")).to_contain_text("Order #1027")
    assert len(stage.posts(FORM)) == 1


@pytest.mark.parametrize(("status", "told"), [(503, FULL), (429, TOO_OFTEN.format(seconds=12))])
def test_a_server_that_turns_a_form_away_says_so_on_it_and_nothing_typed_is_lost(
    page: Page, stage: Stage, status: int, told: str
) -> None:
    frame = open_form(page, stage)
    turned_away, done = render("message.html", message("Try again", told)), render(*STATES["done"])
    stage.scripts[f"POST {FORM}/preview"] = lambda request: (status, turned_away)
    frame.locator("#f-reason").fill("Broken")
    expect(frame.locator("[data-trouble]")).to_have_text(
        f"The total could not be worked out, and nothing has been sent. {told}"
    )
    stage.scripts[f"POST {FORM}/preview"] = lambda request: (200, refund_form())
    stage.scripts[f"POST {FORM}"] = lambda request: (200, done) if stage.posts(FORM)[1:] else (status, turned_away)
    frame.locator("#submit").click(force=True)
    expect(frame.locator("[data-trouble]")).to_have_text("")
    frame.locator("#submit").click()
    expect(frame.locator("[data-trouble]")).to_have_text(f"Nothing was sent. {told}")
    expect(frame.locator("#f-reason")).to_have_value("Broken")
    frame.locator("#submit").click()
    expect(frame.locator("h1")).to_have_text("Refunded $98.16")
    assert [one["reason"] for one in stage.posts(FORM)] == ["Broken", "Broken"]


def test_after_three_seconds_without_an_answer_the_agent_reads_that_it_takes_longer(page: Page, stage: Stage) -> None:
    frame, answered = open_form(page, stage), threading.Event()
    done = render(*STATES["done"])
    stage.scripts[f"POST {FORM}"] = lambda request: (answered.wait(20) and 200 or 500, done)
    frame.locator("#submit").click()
    expect(frame.locator("[data-busy]")).to_have_count(1)
    expect(frame.get_by_text("This takes longer than usual.")).to_be_hidden()
    expect(frame.get_by_text("This takes longer than usual.")).to_be_visible()
    answered.set()
    expect(frame.locator("h1")).to_have_text("Refunded $98.16")
    expect(frame.get_by_text("This takes longer than usual.")).to_be_hidden()


LOST = Response("bad gateway", 502, content_type="text/plain")


def lose(page: Page, stage: Stage) -> Frame:
    """A form with a reason whose answer was lost, and nobody to ask; time stands still."""
    page.clock.install(time=AT)
    frame = open_form(page, stage)
    stage.scripts[f"POST {FORM}/preview"] = lambda request: (200, refund_form())
    stage.scripts[f"POST {FORM}"] = lambda request: LOST
    frame.locator("#f-reason").fill("Broken")
    until(page, lambda: len(stage.posts(f"{FORM}/preview")) == 1)
    expect(frame.locator("[data-stale], [data-resting]")).to_have_count(0)
    page.clock.pause_at(AT + timedelta(minutes=1))
    frame.locator("#submit").click()
    expect(frame.locator("h1")).to_have_text("We did not hear back")
    stage.asked.clear()
    return frame


def later(frame: Frame, seconds: float) -> None:
    """Some seconds later, when what was asked by then has its answer."""
    frame.page.clock.run_for(int(seconds * 1000))
    frame.evaluate("fetch('/static/card.css').then((answer) => answer.text())")


def test_after_a_lost_answer_the_card_asks_ever_more_rarely_until_it_knows_and_follows_it(
    page: Page, stage: Stage
) -> None:
    frame = lose(page, stage)
    for seconds in (1, 2, 4, 8, 10, 10):
        later(frame, seconds - 0.1)
        assert stage.asked == []
        later(frame, 0.1)
        assert [name for name, _ in stage.asked] == [f"POST {FORM}/sent"]
        stage.asked.clear()
    stage.fragment(f"POST {FORM}/sent", *STATES["doubt"], status=202)
    stage.fragment("GET /hold", *STATES["done"])
    later(frame, 10)
    expect(frame.locator("[data-view]")).to_have_attribute("data-state", "doubt")
    later(frame, 1)
    expect(frame.locator("h1")).to_have_text("Refunded $98.16")
    later(frame, 60)
    assert [name for name, _ in stage.asked] == [f"POST {FORM}/sent", "GET /hold"]


def test_once_the_browser_is_online_again_the_card_asks_at_once(page: Page, stage: Stage) -> None:
    frame = lose(page, stage)
    stage.fragment(f"POST {FORM}/sent", *STATES["done"])
    page.context.set_offline(True)
    page.context.set_offline(False)
    expect(frame.locator("h1")).to_have_text("Refunded $98.16")
    assert [name for name, _ in stage.asked] == [f"POST {FORM}/sent"]


def test_a_form_that_did_not_arrive_so_far_is_kept_and_still_asked_after(page: Page, stage: Stage) -> None:
    frame = lose(page, stage)
    busy = render("message.html", message("Try again", FULL))
    stage.scripts[f"POST {FORM}/sent"] = lambda request: (503, busy)
    frame.get_by_role("button", name="Ask now").click()
    expect(frame.locator("[data-trouble]")).to_contain_text("still no answer")
    stage.fragment(f"POST {FORM}/sent", "message.html", message("Not sent", NOT_SENT))
    frame.get_by_role("button", name="Ask now").click()
    expect(frame.locator("[data-trouble]")).to_have_text(NOT_SENT)
    expect(frame.locator("#f-reason")).to_have_value("Broken")
    stage.scripts[f"POST {FORM}"] = lambda request: (503, busy)
    frame.locator("#submit").click()
    expect(frame.locator("[data-trouble]")).to_have_text(f"This press sent nothing. {FULL}")
    stage.fragment(f"POST {FORM}/sent", *STATES["done"])
    later(frame, 10)
    expect(frame.locator("h1")).to_have_text("Refunded $98.16")
    assert len(stage.posts(FORM)) == 1


def test_while_the_order_cannot_be_shown_either_a_lost_form_stays_in_doubt(page: Page, stage: Stage) -> None:
    frame = lose(page, stage)
    stage.scripts[f"GET {ORDER}"] = lambda request: LOST
    frame.get_by_role("button", name="Look at the order").click()
    until(page, lambda: ("GET " + ORDER, {}) in stage.asked)
    expect(frame.locator("h1")).to_have_text("We did not hear back")
    stage.fragment(f"POST {FORM}/sent", *STATES["done"])
    later(frame, 1)
    expect(frame.locator("h1")).to_have_text("Refunded $98.16")


def test_a_decision_that_is_turned_away_or_not_answered_keeps_its_reason(page: Page, stage: Stage) -> None:
    url = f"{ORDER}/runs/1/review"
    stage.start_url = url
    for path in (f"GET {url}", f"POST {url}/preview"):
        stage.fragment(path, *STATES["review"])
    frame = open_card(page, stage)
    frame.locator("#f-reason").fill("Compared with Shopify")
    expect(frame.locator("[data-stale], [data-resting]")).to_have_count(0)
    for status, told in ((429, TOO_OFTEN.format(seconds=12)), (503, FULL)):
        stage.fragment(f"POST {url}", "message.html", message("Wait", told), status)
        frame.locator("#submit").click()
        expect(frame.locator("[data-trouble]")).to_have_text(f"Nothing was sent. {told}")
    stage.scripts[f"POST {url}"] = lambda request: LOST
    stage.fragment(f"POST {url}/sent", "message.html", message("Not decided", NOT_DECIDED))
    frame.locator("#submit").click()
    expect(frame.locator("[data-trouble]")).to_have_text(NOT_DECIDED)
    expect(frame.locator("#f-reason")).to_have_value("Compared with Shopify")
    assert [one["reason"] for one in stage.posts(url)] == ["Compared with Shopify"] * 3


def test_enter_in_a_box_sends_no_money(page: Page, stage: Stage) -> None:
    frame = open_form(page, stage)
    stage.scripts[f"POST {FORM}/preview"] = lambda request: (200, refund_form("Refund $1.00"))
    frame.locator("#f-shipping").press_sequentially("1")
    expect(frame.locator("#submit")).to_have_text("Refund $1.00")
    page.wait_for_timeout(400)
    frame.locator("#f-shipping").press("Enter")
    page.wait_for_timeout(300)
    assert (len(stage.posts(f"{FORM}/preview")), stage.posts(FORM)) == (1, [])


def test_payments_are_sent_only_when_edited_and_manual_spreads_them_again(page: Page, stage: Stage) -> None:
    frame = open_form(page, stage)
    stage.scripts[f"POST {FORM}/preview"] = lambda request: (200, refund_form())
    visa = "payments[gid://shopify/OrderTransaction/2]"
    frame.locator("#f-reason").fill("Broken")
    until(page, lambda: len(stage.posts(f"{FORM}/preview")) == 1)
    expect(frame.locator("form[data-stale]")).to_have_count(0)
    frame.locator(f"[name='{visa}']").fill("50.00")
    until(page, lambda: len(stage.posts(f"{FORM}/preview")) == 2)
    expect(frame.locator("form[data-stale]")).to_have_count(0)
    expect(frame.locator(f"[name='{visa}']")).to_have_value("50.00")
    frame.locator("#f-amount").fill("60")
    until(page, lambda: len(stage.posts(f"{FORM}/preview")) == 3)
    expect(frame.locator(f"[name='{visa}']")).to_have_value("58.16")
    assert [one.get(visa) for one in stage.posts(f"{FORM}/preview")] == [None, "50.00", None]


def test_unticked_boxes_are_said_and_hidden_fields_come_with_the_servers_value(page: Page, stage: Stage) -> None:
    hidden = deepcopy(_refund_fields())
    hidden[5].update(visible=False, label="")
    frame = open_form(page, stage, refund_form(fields=hidden))
    stage.scripts[f"POST {FORM}/preview"] = lambda request: (200, refund_form())
    frame.locator("#f-notify").uncheck()
    expect(frame.locator("#f-restock")).to_be_visible()
    assert frame.locator("#f-restock").is_checked()
    assert not frame.locator("#f-notify").is_checked()
    assert [one["notify"] for one in stage.posts(f"{FORM}/preview")] == ["false"]


def test_a_refusal_leads_to_the_mistake_and_keeps_what_was_typed(page: Page, stage: Stage) -> None:
    frame = open_form(page, stage)
    wrong = deepcopy(_refund_fields())
    wrong[1].update(value="12,00", error="Write the amount with digits and a point only, like 5.00.")
    stage.scripts[f"POST {FORM}"] = lambda request: (422, refund_form(fields=wrong, ready=False))
    frame.locator("#submit").click()
    expect(frame.locator("#f-shipping")).to_be_focused()
    expect(frame.locator("#f-shipping")).to_have_value("12,00")
    described = frame.locator("#f-shipping").get_attribute("aria-describedby") or ""
    assert "f-shipping-error" in described.split()
    expect(frame.locator("#f-shipping")).to_have_attribute("aria-invalid", "true")


def test_a_button_that_is_not_ready_says_what_is_missing(page: Page, stage: Stage) -> None:
    frame = open_form(page, stage, refund_form("Choose what is meant", _cancel_fields(), ready=False))
    frame.locator("#submit").click(force=True)
    expect(frame.locator("#f-decision")).to_be_focused()
    expect(frame.locator("#f-decision .field-missing")).to_be_visible()
    assert stage.posts(FORM) == []


def test_an_ended_session_is_renewed_in_silence(page: Page, stage: Stage) -> None:
    frame = open_form(page, stage)
    done = render(*STATES["done"])

    def submit(request: Request) -> tuple[int, str]:
        if request.headers["Authorization"] == "Bearer session-1":
            return 401, render(*STATES["message"])
        return 200, done

    stage.scripts[f"POST {FORM}"] = submit
    frame.locator("#submit").click()
    expect(frame.locator("h1")).to_have_text("Refunded $98.16")
    assert (stage.sessions, len(stage.posts(FORM))) == (2, 2)


def test_when_the_crm_does_not_vouch_nothing_was_sent_and_the_form_stays(page: Page, stage: Stage) -> None:
    page.clock.install()
    frame = open_form(page, stage)
    page.evaluate("silent = true")
    stage.fragment(f"POST {FORM}", *STATES["message"], status=401)
    frame.locator("#submit").click()
    until(page, lambda: len(stage.posts(FORM)) == 1)
    for _ in range(4):
        later(frame, 2)
    expect(frame.locator("[data-trouble]")).to_contain_text("Nothing was sent.")
    expect(frame.locator("#submit")).to_be_enabled()


@pytest.mark.parametrize("end", ["done", "partly"])
def test_a_run_is_followed_to_its_end(page: Page, stage: Stage, end: str) -> None:
    page.clock.install()
    stage.fragment("GET /start", *STATES["working"])
    answers = [STATES["working"], STATES["doubt"], STATES[end]]
    stage.scripts["GET /hold"] = lambda request: (200, render(*(answers.pop(0) if answers else STATES[end])))
    frame = open_card(page, stage)
    for _ in range(3):
        later(frame, 1)
    expect(frame.locator("[data-view]")).to_have_attribute("data-state", end)
    assert frame.locator("[data-follow]").count() == 0


def test_going_back_returns_to_the_list_and_the_row_one_came_from(page: Page, stage: Stage) -> None:
    rows = [row("#1019", "Paid", None), row("#1027", "Paid", None)]
    stage.start_url = "/orders"
    stage.fragment("GET /orders", "orders.html", orders_context(rows))
    stage.fragment(f"GET {ORDER}", "order.html", order_context(full_order()))
    frame = open_card(page, stage)
    assert frame.evaluate("document.activeElement === document.body")  # the card takes no focus unasked
    frame.locator("#search").fill("tent")
    frame.locator("#search").press("Enter")
    expect(frame.locator("#search")).to_be_focused()
    frame.locator(f"[data-get='{ORDER}']").click()
    expect(frame.locator("h1")).to_be_focused()
    frame.get_by_role("button", name="Orders", exact=True).click()
    expect(frame.locator(f"[data-get='{ORDER}']")).to_be_focused()
    assert [name for name, _ in stage.asked] == ["GET /orders", "GET /orders", f"GET {ORDER}", "GET /orders"]


def test_the_card_tells_its_height_and_an_open_menu_fits(page: Page, stage: Stage) -> None:
    stage.fragment("GET /start", *STATES["order_unavailable"])
    frame = open_card(page, stage)
    frame.locator("#update").click()

    def menu_fits() -> bool:
        heights = [one["height"] for one in page.evaluate("messages") if one["type"] == "order-actions:height"]
        bottom = frame.evaluate("document.querySelector('#update-menu').getBoundingClientRect().bottom")
        return bool(bottom > 0 and heights and heights[-1] >= bottom)

    until(page, menu_fits)


def test_messages_from_elsewhere_are_not_believed(page: Page, stage: Stage) -> None:
    wrongs = watch(page)
    stage.fragment("GET /start", *STATES["order"])
    frame = open_card(page, stage)
    frame.evaluate("postMessage({type: 'order-actions:token', token: 'x', theme: 'dark'}, '*')")
    page.wait_for_timeout(200)
    assert frame.evaluate("document.documentElement.dataset.theme") == "light"
    assert (stage.sessions, wrongs.seen) == (1, [])
