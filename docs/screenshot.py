"""Takes the two pictures of the documentation from the demo: `make screenshot`."""

from pathlib import Path

from playwright.sync_api import Browser, FrameLocator, Page, sync_playwright

from plugin.demo import running

HERE = Path(__file__).parent
ROOT = HERE.parent
CHROMIUM = "/usr/bin/chromium"
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
MOST = 250_000
ORDER = "#1001"
CUSTOMER = "9001"  # Ada Fairweather, with the plain orders


def _refund_form(page: Page) -> FrameLocator:
    """The desk's insight card, led from the list of orders to a refund of one item."""
    card = page.frame_locator("#insight iframe")
    card.locator(".row-body", has_text=ORDER).click()
    card.locator("[data-view=order] #update").click()
    card.locator(".menu-item", has_text="Refund").click()
    form = card.locator("[data-view=form]")
    form.get_by_label("One more of Cotton T-shirt").click()
    form.locator("#submit:not([aria-disabled])", has_text="$25.00").wait_for()
    return card


def _desk(browser: Browser, url: str, *, width: int, height: int, scale: float) -> Page:
    page = browser.new_page(
        viewport={"width": width, "height": height}, device_scale_factor=scale,
        color_scheme="light", reduced_motion="reduce",
    )  # fmt: skip
    page.goto(f"{url}/?customer={CUSTOMER}&agent=sam")
    return page


def main() -> None:
    with running(ROOT, 0) as demo, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = _desk(browser, demo.desk_url, width=1280, height=1272, scale=1)
        _refund_form(page)
        page.wait_for_timeout(600)
        page.screenshot(path=HERE / "card.png")
        page.close()
        page = _desk(browser, demo.desk_url, width=1280, height=1400, scale=2)
        card = _refund_form(page)
        page.wait_for_timeout(600)
        card.locator("#card").screenshot(path=HERE / "refund-form.png")
        browser.close()
    for name in ("card.png", "refund-form.png"):
        size = (HERE / name).stat().st_size
        assert size < MOST, f"docs/{name} has {size} bytes, more than {MOST}"


if __name__ == "__main__":
    main()
