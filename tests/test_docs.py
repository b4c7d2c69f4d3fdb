"""The documents: generated ones are up to date, links lead somewhere, commands exist."""

import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugin.check import check_bundle
from plugin.cli import cli
from plugin.findings import render
from tests.shared import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
GENERATED = runpy.run_path(str(ROOT / "docs/generate.py"))["texts"]()


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_a_generated_document_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == GENERATED[path], "run `python docs/generate.py`"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert [link for link in _links(page) if not _leads_somewhere(page, link)] == []


def test_the_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert (named - targets, {"demo", "test"} - named) == (set(), set())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shown = set(re.findall(r"(?:^|`)order-actions ([a-z][a-z-]*)", text, re.MULTILINE))
    assert shown - cli.commands.keys() == set()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("        notify: ${{ form.notify }}", "        notifiy: ${{ form.notify }}"),
        ("order.netPaymentSet.presentmentMoney <= 0", "order.netPaymentSet.presentmentMony <= 0"),
    ],
)
def test_the_mistakes_of_the_walk_through_are_told_as_printed(tmp_path: Path, right: str, wrong: str) -> None:
    for name in ("actions", "schemas", "card_templates"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "plugin.yaml", tmp_path)
    action = tmp_path / "actions/refund.yaml"
    text = action.read_text(encoding="utf-8")
    assert text.count(right) == 1
    action.write_text(text.replace(right, wrong), encoding="utf-8")
    page = (ROOT / "docs/integrators.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(actions/.*?)\n```", page, re.DOTALL | re.MULTILINE)
    assert [render(check_bundle(tmp_path)).strip()] == [one for one in blocks if wrong.strip() in one]


def test_every_document_is_linked_from_another() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in _links(page)}
    assert [page.name for page in PAGES if page.resolve() not in linked] == ["README.md"]


def test_every_example_that_security_names_exists() -> None:
    named = re.findall(r"`(test_\w+)(?:\.py)?`", (ROOT / "docs/security.md").read_text(encoding="utf-8"))
    files = [path.stem for path in ROOT.glob("tests/**/test_*.py")]
    there = {*files, *re.findall(r"^def (test_\w+)", "".join(_tests()), re.MULTILINE)}
    assert (sorted(set(named) - there), len(set(named)) > 15) == ([], True)


def _tests() -> Iterator[str]:
    yield from (path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py"))


def test_the_pictures_are_small_enough_to_load() -> None:
    assert [one.name for one in ROOT.glob("docs/*.png") if one.stat().st_size > 250_000] == []


def _links(page: Path) -> Iterator[str]:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith(("http://", "https://", "mailto:")):
            yield link


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, heading = link.partition("#")
    target = page.parent / name if name else page
    if not target.is_file():
        return False
    return not heading or heading in _headings(target)


def _headings(page: Path) -> set[str]:
    """Anchors as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
