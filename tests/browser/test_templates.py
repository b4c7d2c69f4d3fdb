"""Every state of the card: accessible, never too wide, deaf to hostile text, usable by keyboard."""

import pytest
from playwright.sync_api import Frame, Page, expect

from plugin.expr import Scope, compile_value
from plugin.views import message
from tests.browser.samples import form_context, full_order, order_context
from tests.browser.stage import Stage
from tests.browser.states import STATES, TOTALS, _refund_fields
from tests.browser.watch import complaints, open_card, overflow, watch


def put(stage: Stage, name: str) -> None:
    template, context = STATES[name]
    stage.start_url = "/orders" if name.startswith("orders") else "/start"
    stage.fragment(f"GET {stage.start_url}", template, context)


def open_everything(frame: Frame) -> None:
    """Both tabs and the menu at once, so that axe and the ruler see all of it."""
    frame.evaluate(
        "() => { for (const one of document.querySelectorAll('[role=tabpanel], .menu')) one.hidden = false }"
    )


@pytest.mark.parametrize("name", STATES)
def test_every_state_is_accessible_and_keeps_to_itself(page: Page, stage: Stage, name: str) -> None:
    put(stage, name)
    wrongs = watch(page)
    frame = open_card(page, stage)
    found = []
    for theme, width in (("light", 320), ("dark", 600)):  # colours do not depend on the width
        frame.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"{theme} {width}: {one}" for one in complaints(frame)]
    open_everything(frame)
    for theme in ("light", "dark") if name.startswith("order_") else ():
        frame.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        found += [f"open {theme}: {one}" for one in complaints(frame)]
    page.set_viewport_size({"width": 280, "height": 900})
    assert (found, overflow(frame), wrongs.seen) == ([], 0, [])


@pytest.mark.parametrize("name", [name for name in STATES if "hostile" in name])
def test_hostile_text_is_shown_as_text(page: Page, stage: Stage, name: str) -> None:
    put(stage, name)
    frame = open_card(page, stage)
    shown = frame.locator("main").inner_text() + "".join(frame.locator("textarea").all_inner_texts())
    assert ("<script>alert(2)</script>" in shown, "{{ 7 * 7 }}" in shown) == (True, True)
    assert frame.locator("main img, main script, main [onerror], main [onfocus], main [style]").count() == 0


def test_an_amount_keeps_its_place_beside_a_title_that_runs_from_right_to_left(page: Page, stage: Stage) -> None:
    context = message("Look again", "")
    scope = Scope({"order": {"title": "כובע 7 \u202e"}}, {})
    context["text"] = compile_value("Refund 2 × ${{ order.title }} 3 for $25.00.")(scope)
    stage.fragment("GET /start", "message.html", context)
    frame = open_card(page, stage)
    expect(frame.locator("p").first).to_contain_text("$25.00")
    left_edges = """() => {
      const node = document.querySelector("#view p").firstChild;
      return ["Refund", "2", "כובע", "3 for", "$25.00."].map((word) => {
        const range = document.createRange(), at = node.data.indexOf(word);
        range.setStart(node, at);
        range.setEnd(node, at + word.length);
        return range.getBoundingClientRect().left;
      });
    }"""
    edges = frame.evaluate(left_edges)
    assert edges == sorted(edges)


def test_the_dark_theme_of_the_crm_is_taken_over(page: Page, stage: Stage) -> None:
    put(stage, "orders")
    frame = open_card(page, stage, theme="dark")
    assert frame.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(28, 32, 39)"


def test_tabs_menu_and_form_work_by_keyboard_alone(page: Page, stage: Stage) -> None:
    stage.fragment("GET /start", "order.html", order_context(full_order(), back_url=None))
    form = "/stores/sandbox/orders/1027/actions/shopify.order.refund"
    stage.fragment(f"GET {form}", "form.html", form_context(_refund_fields(), "Refund $98.16", **TOTALS))
    stage.fragment(f"POST {form}/preview", "form.html", form_context(_refund_fields(), "Refund $98.16", **TOTALS))
    stage.fragment(f"POST {form}", *STATES["done"])
    frame = open_card(page, stage)
    focused = "document.activeElement.id || document.activeElement.textContent.trim().replace(/\\s+/g, ' ')"

    def keys(*names: str) -> str:
        for name in names:
            page.keyboard.press(name)
        return str(frame.evaluate(focused))

    frame.locator("body").evaluate("() => window.focus()")
    assert keys("Tab", "Enter", "Tab") == "Refund"
    assert keys("Tab", "Escape") == "update"
    assert keys("Tab", "ArrowRight") == "tab-items"
    assert frame.locator("#panel-items").is_visible()
    keys("Shift+Tab", "Enter", "Tab", "Enter")
    frame.wait_for_selector("[data-form]")
    assert frame.evaluate(focused) == "Refund #1027"
    assert keys("Tab", "Tab", "Tab") == "q-gid://shopify/LineItem/1"
    keys("ArrowUp")
    frame.wait_for_selector("[data-form]:not([data-stale])")
    frame.locator("#submit").focus()
    keys("Enter")
    frame.wait_for_selector("[data-view=outcome]")
    assert frame.evaluate(focused) == "Refunded $98.16"
    sent = stage.posts(form)
    assert [one["lines[gid://shopify/LineItem/1]"] for one in sent] == ["1"]
