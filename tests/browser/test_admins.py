"""docs/admins.md, followed word for word from an empty folder to a refund in Kustomer, against the sandbox."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from playwright.sync_api import Browser, BrowserContext, FrameLocator, expect

from plugin.cli import cli
from tests.shared import ROOT
from tests.test_fleet import answers, free_address, until

PAGE = (ROOT / "docs/admins.md").read_text(encoding="utf-8")
WALK = PAGE[PAGE.index("## From nothing") : PAGE.index("### Practise without accounts")]
# what a reader with accounts has, and what the sandbox prints instead
PUBLIC, KUSTOMER = "https://orders.example.com", "https://acme.api.kustomerapp.com"


STEPS = re.split(r"^### ", WALK, flags=re.MULTILINE)


def blocks(kind: str, step: int) -> list[str]:
    """The fenced blocks of one step of the page."""
    assert STEPS[step].startswith(f"{step}. ")
    return re.findall(rf"^```{kind}\n(.*?)^```", STEPS[step], re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[tuple[str, str]]:
    """Every command with what it prints."""
    return [tuple(one.split("\n", 1)) for one in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]  # type: ignore[misc]


def same(told: str, printed: str) -> bool:
    """`…` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in told.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


class Admin:
    """Somebody who does what the page says, in a folder of their own."""

    def __init__(self, folder: Path, public: str) -> None:
        self.folder, self.public = folder, public
        self.run = 0

    def follow(self, step: int, which: int = 0) -> None:
        for command, told in commands(blocks("console", step)[which]):
            name, *args = shlex.split(command)
            assert name == "order-actions"
            done = CliRunner(env=self.variables()).invoke(cli, args)
            assert done.exit_code == 0, done.output
            assert same(told.replace(PUBLIC, self.public), done.output), done.output
            self.run += 1

    def variables(self) -> dict[str, str | None]:
        path = self.folder / "order-actions.env"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return dict(line.split("=", 1) for line in lines)  # type: ignore[misc]

    def write(self, **values: str) -> None:
        """Into the file of variables, which the page has with values left open."""
        with (self.folder / "order-actions.env").open("a", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in values.items())

    def edit_bundle(self) -> None:
        path = self.folder / "plugin.yaml"
        text = path.read_text(encoding="utf-8")
        (part,) = blocks("yaml", 2)
        path.write_text(text[: text.index("crm:")] + part, encoding="utf-8")

    def ask_for_the_secret(self, crm: str) -> dict[str, str]:
        """The three lines of step 5, from what Kustomer answers."""
        asked = re.search(rf"{KUSTOMER}(/v1/\S+)", blocks("sh", 5)[0])
        key = {"Authorization": f"Bearer {self.variables()['ORDER_ACTIONS_KUSTOMER_KEY']}"}
        app = requests.get(f"{crm}/v1/apps/available", headers=key, timeout=10).json()["data"][0]["attributes"]
        assert asked and app["app"].startswith("shopify_order_actions_")
        path = asked[1].replace("shopify_order_actions_…", app["app"])
        secret = requests.post(f"{crm}{path}", headers=key, timeout=10).json()["data"]["attributes"]["clientSecret"]
        return dict(zip(names(5), (app["app"], app["clientId"], secret), strict=True))


def names(step: int) -> list[str]:
    """The variables the page has written down in a step."""
    return re.findall(r"^(ORDER_ACTIONS_\w+)=", STEPS[step], re.MULTILINE)


@contextmanager
def started(folder: Path, variables: dict[str, str | None], *args: str) -> Iterator[subprocess.Popen[str]]:
    """A command of the page that goes on until it is ended, well."""
    own = {name: one for name, one in os.environ.items() if not name.startswith("ORDER_ACTIONS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "plugin", *args], cwd=folder, stdout=subprocess.PIPE, text=True,
        env={**own, **{name: one or "" for name, one in variables.items()}, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def printed(process: subprocess.Popen[str]) -> dict[str, str]:
    """The variables that the sandbox offers."""
    assert process.stdout is not None
    found: dict[str, str] = {}
    for line in process.stdout:
        if match := re.match(r"(ORDER_ACTIONS_\w+)=(.*)", line):
            found[match[1]] = match[2]
        if line.startswith("Press"):
            break
    return found


def card(context: BrowserContext, crm: str, who: str) -> FrameLocator:
    page = context.new_page()
    page.goto(crm)
    page.get_by_role("button", name=f"Sign in as {who}").click()
    page.get_by_role("link", name="Ada Fairweather").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_text("Connect your Kustomer account to this card.")).to_be_visible()
    with context.expect_page():
        frame.get_by_role("button", name="Connect your Kustomer account to act").click()
    return frame


def administers(browser: Browser, crm: str) -> str:
    context = browser.new_context()
    frame = card(context, crm, "Adele Brandt")
    frame.get_by_role("button", name="Administration").click()
    expect(frame.get_by_role("navigation", name="Administration")).to_be_visible()
    shown = frame.locator("body").inner_text()
    context.close()
    return shown


def test_the_page_leads_from_an_empty_folder_to_a_refund_with_its_note_on_the_timeline(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    address = free_address()
    admin, seen = Admin(tmp_path, f"http://{address}"), []
    with started(tmp_path, {}, "sandbox", "--port", "0", "--plugin", admin.public) as sandbox:
        given = printed(sandbox)
        crm = given["ORDER_ACTIONS_SANDBOX_KUSTOMER"]
        admin.follow(1)
        admin.edit_bundle()
        own = {"ORDER_ACTIONS_SECRET": "s" * 32, "ORDER_ACTIONS_DATABASE": f"sqlite:///{tmp_path / 'db.sqlite'}"}
        assert set(names(4)) == {*own, *(name for name in given if "SANDBOX" not in name)}
        admin.write(**own, **given)
        admin.follow(5)
        admin.write(**admin.ask_for_the_secret(crm))
        with started(tmp_path, admin.variables(), "serve", "--bind", address):
            until(lambda: answers(f"{admin.public}/healthz"))
            admin.follow(7)
            context = browser.new_context()
            page = context.new_page()
            page.goto(f"{admin.public}/shopify/install?shop=my-shop.myshopify.com")
            seen.append(page.inner_text("body"))
            page.get_by_role("button", name="Install").click()
            seen.append(page.inner_text("body"))
            admin.follow(7, 1)
            admin.follow(8)

            frame = card(context, crm, "Nemo Quist")
            expect(frame.get_by_text("None of your role groups")).to_be_visible()
            expect(frame.get_by_role("button", name="Update Order").or_(frame.get_by_text("#1001"))).to_have_count(0)
            seen.append(frame.locator("body").inner_text())
            context.close()

            seen.append(administers(browser, crm))
            context = browser.new_context()
            frame = card(context, crm, "Sam Okafor")
            frame.get_by_text("#1001").first.click()
            expect(frame.get_by_role("heading", name="Order #1001")).to_be_visible()
            frame.get_by_role("button", name="Update Order").click()
            frame.get_by_role("button", name="Refund", exact=True).click()
            frame.locator("input[name^='lines[']").first.fill("1")
            expect(frame.locator("form[data-stale]")).to_have_count(0)
            frame.get_by_role("button", name="Refund $25.00").click()
            expect(frame.get_by_text("Refunded $25.00 on #1001.").first).to_be_visible()
            note = context.pages[0].locator("#timeline li")
            expect(note).to_have_count(1)
            seen += [frame.locator("body").inner_text(), note.inner_text()]
            context.close()
    assert admin.run == len(re.findall(r"^\$ ", WALK, re.MULTILINE)), "every command of the page was run"
    screens = " ".join(" ".join(seen).split())
    wanted = re.findall(r"\*([A-Z][^*]+)\*", "".join(STEPS[7:]))
    buttons = {"Update Order", "Refund", "Refund $25.00", "Connect your Kustomer account to act",
               "Connect your Kustomer account to this card.", "Shopify orders of Ada Fairweather"}  # fmt: skip
    assert [one for one in wanted if one not in screens and one not in buttons] == []
