"""The checker: every mistake at its place with its cure, and the bundle we ship without any."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from graphql import build_schema
from graphql import parse as parse_graphql
from jsonschema import Draft202012Validator

from plugin import cards
from plugin.check import check_bundle, templates
from plugin.cost import estimate
from plugin.findings import render
from plugin.source import load

ROOT = Path(__file__).parent.parent
CASES = Path(__file__).parent / "cases"
VECTORS = Path(os.environ.get("VECTORS_DIR", ROOT.parent / "shared" / "vectors"))
SCHEMAS = sorted((ROOT / "schemas").glob("*.schema.json"))


def _bundle(folder: Path, case: Path | None = None) -> Path:
    """A copy of the small bundle with one piece of one file replaced, as the case says."""
    shutil.copytree(CASES / "bundle", folder / "bundle")
    shutil.copytree(ROOT / "schemas", folder / "bundle" / "schemas")
    if case is not None:
        change = load(case).data
        path = folder / "bundle" / change.get("file", "actions/refund.yaml")
        before = path.read_text(encoding="utf-8")
        assert before.count(change["replace"]) == 1, "the case must name one piece of the file"
        path.write_text(before.replace(change["replace"], change["with"]), encoding="utf-8")
    return folder / "bundle"


@pytest.mark.parametrize("case", sorted((CASES / "err").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_mistake_is_said_once_where_it_is(case: Path, tmp_path: Path) -> None:
    said = render(check_bundle(_bundle(tmp_path, case)))
    if "WRITE_CASES" in os.environ:
        case.with_suffix(".out").write_text(said, encoding="utf-8")
    assert said == case.with_suffix(".out").read_text(encoding="utf-8")
    assert said


@pytest.mark.parametrize("case", [None, *sorted((CASES / "ok").glob("*.yaml"))], ids=lambda path: path and path.stem)
def test_what_is_right_is_left_alone(case: Path | None, tmp_path: Path) -> None:
    assert render(check_bundle(_bundle(tmp_path, case))) == ""


def test_every_case_has_its_answer_and_no_answer_lacks_its_case() -> None:
    cases, answers = (sorted(one.stem for one in (CASES / "err").glob(kind)) for kind in ("*.yaml", "*.out"))
    assert cases == answers


def test_the_bundle_we_ship_has_no_finding() -> None:
    assert render(check_bundle(ROOT)) == ""


def test_a_typo_in_the_refund_we_ship_is_found_at_its_character(tmp_path: Path) -> None:
    for name in ("plugin.yaml", "actions", "card_templates", "schemas"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    path = tmp_path / "actions" / "refund.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("        notify: ${{ form.notify }}", "        notifiy: ${{ form.notify }}"), encoding="utf-8"
    )
    line = text[: text.index("        notify: ${{ form.notify }}")].count("\n") + 1
    assert render(check_bundle(tmp_path)) == (
        f"actions/refund.yaml:{line}:9: error: RefundInput has no field 'notifiy' [unknown-input]\n"
        "    |\n"
        f"{line} |         notifiy: ${{{{ form.notify }}}}\n"
        "    |         ^^^^^^^\n"
        "    = help: did you mean 'notify'?\n"
    )


def test_only_the_files_asked_for_are_shown(tmp_path: Path) -> None:
    root = _bundle(tmp_path, CASES / "err" / "misspelt_field.yaml")
    assert check_bundle(root, [Path("actions/cancel.yaml")]) == []
    assert len(check_bundle(root, [Path("actions/refund.yaml")])) == 1


HOSTILE = {
    "a power": "9**9**9 > 0",
    "parentheses": "(" * 900 + "1" + ")" * 900,
    "more parentheses": "(" * 5000,
    "many nots": "not " * 450 + "order.cancelledAt is none",
    "many members": "order" + ".a" * 900,
    "a long number": "9" * 1900 + " > 0",
    "an unclosed text": "'" + "a" * 1900,
    "many conditions": " and ".join(["order.name == 'x'"] * 90) + " and order.nam == 'x'",
    "another language": "import('os').system('id')",
    "a dunder": "order.__class__.__mro__",
    "a call of a filter": "order.name | attr('upper')",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_expression_is_a_finding_within_a_second(text: str, tmp_path: Path) -> None:
    path = (root := _bundle(tmp_path)) / "actions" / "cancel.yaml"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace("unless: order.cancelledAt is not none", f"unless: {text}"), encoding="utf-8")
    start = process_time()
    found = check_bundle(root)
    assert [one.path for one in found] == ["actions/cancel.yaml"]
    assert process_time() - start < 1


def test_lets_that_double_each_other_are_a_finding_within_a_second(tmp_path: Path) -> None:
    path = (root := _bundle(tmp_path)) / "actions" / "cancel.yaml"
    lets = "".join(f"  l{i}: l{i + 1} ~ l{i + 1}\n" for i in range(40)) + "  l40: order.name\n"
    before = path.read_text(encoding="utf-8")
    text = before.replace("form:\n", f"let:\n{lets}form:\n", 1).replace("Cancel order", "Cancel ${{ l0 }}")
    path.write_text(text, encoding="utf-8")
    start = process_time()
    assert {one.rule for one in check_bundle(root)} == {"let"}
    assert process_time() - start < 1


@pytest.mark.parametrize("key", ["reads: |", "query: |", "mutation: |"])
def test_hostile_graphql_is_a_finding_within_a_second(key: str, tmp_path: Path) -> None:
    path = (root := _bundle(tmp_path)) / "actions" / "refund.yaml"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace(key, key[:-1] + "'" + "{a" * 5000 + "'\nspare: |", 1), encoding="utf-8")
    start = process_time()
    assert check_bundle(root)
    assert process_time() - start < 1


@pytest.mark.parametrize("text", [
    "<a " + "a" * 200_000 + ">", "<a " * 60_000, "<a " + '"' * 100_001, "{{ " * 60_000,
    "{% raw %}" + '{{ "" ' * 30_000 + "{% endraw %}", "{{ " + "(" * 5000 + " }}",
    "{{ " + "not " * 20_000 + "a }}",
    "<a b=" + "{{ a }}" * 20_000 + ">",
    "{#" * 90_000, "{{ " + '""' * 90_000 + " }}", "<a b='" * 40_000,
], ids=lambda text: text[:12])  # fmt: skip
def test_a_hostile_template_is_seen_through_within_a_second(text: str, tmp_path: Path) -> None:
    root = _bundle(tmp_path)
    (root / "cards" / "card.html").write_text(text, encoding="utf-8")
    start = process_time()
    assert {one.path for one in check_bundle(root)} <= {"cards/card.html"}
    assert process_time() - start < 1


def test_what_the_vectors_say_to_refuse_is_refused_in_a_card(tmp_path: Path) -> None:
    path = VECTORS / "jinja_sandbox.json"
    if not path.is_file():
        pytest.skip("0 Jinja vectors: VECTORS_DIR is not here")
    root, allowed = _bundle(tmp_path), []
    vectors = json.loads(path.read_text(encoding="utf-8"))["vectors"]
    for one in vectors:
        repeat = one["template_repeat"]
        text = one["template"] or repeat["head"].ljust(repeat["length"], repeat["head"][-1])
        (root / "cards" / "card.html").write_text(text, encoding="utf-8")
        if not check_bundle(root) and one["expected"].startswith(("refuse", "lint")):
            allowed.append(one["name"])
    print(f"{len(vectors)} Jinja vectors")
    assert allowed == ["config/request"], "an unknown name is refused when the card is rendered"


@pytest.mark.parametrize("content", ["", "- a", "a", "null", "{}", "\x00", "a: [1, 2", "spec: plugin/v1\nactions: 5"])
@pytest.mark.parametrize("name", ["plugin.yaml", "actions/refund.yaml"])
def test_a_file_of_another_kind_is_a_finding(name: str, content: str, tmp_path: Path) -> None:
    root = _bundle(tmp_path)
    (root / name).write_text(content, encoding="utf-8")
    assert {one.path for one in check_bundle(root)} == {name}


def test_a_folder_without_a_bundle_is_a_finding(tmp_path: Path) -> None:
    assert [one.rule for one in check_bundle(tmp_path)] == ["missing-file"]


def test_a_broken_schema_is_a_finding(tmp_path: Path) -> None:
    root = _bundle(tmp_path)
    (root / "schemas" / "shopify-2026-10.graphql").write_text("type {", encoding="utf-8")
    assert [(one.path, one.rule) for one in check_bundle(root)] == [("plugin.yaml", "schema")]


SHOP = build_schema("""
  type Query { a(first: Int): AConnection b(first: Int): BConnection order: Order }
  type AConnection { nodes: [A!]! }
  type BConnection { nodes: [B!]! }
  type A { id: ID }
  type B { v: A p: Int w(first: Int): AConnection x(first: Int): AConnection y(first: Int): AConnection }
  type Order { b(first: Int): BConnection }
""")


@pytest.mark.parametrize(("query", "points"), [
    ("{ a(first: 10) { nodes { id } } }", 6),
    ("{ a(first: 20) { nodes { id } } }", 7),
    ("{ order { b(first: 50) { nodes { v { id } p } } } }", 17),
    ("query Q($n: Int) { a(first: $n) { nodes { id } } }", 7),
    ("{ a { nodes { id } } }", 18),
    ("query Q { ...F } fragment F on Query { order { b(first: 1) { nodes { p ... on B { p } } } } }", 4),
])  # fmt: skip
def test_a_query_costs_what_shopify_asked_for_its_like(query: str, points: int) -> None:
    assert estimate(parse_graphql(query), SHOP, {"n": 20}) == points


# ---------------------------------------------------------------- the schemas themselves


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema inside a schema."""
    if isinstance(schema, dict):
        yield schema
        for key in ("properties", "patternProperties", "$defs"):
            for inner in schema.get(key, {}).values():
                yield from _parts(inner)
        for inner in (schema.get("items"), *schema.get("allOf", ())):
            yield from _parts(inner)


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_a_schema_is_a_schema_closed_and_described(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    for part in _parts(schema):
        if "if" in part:
            continue
        assert part.get("description") or "$ref" in part, part
        if "object" in part.get("type", ()) and "allOf" not in part:
            assert part.get("additionalProperties") is False, part


def test_every_annotation_can_be_used() -> None:
    names = {"order", "agent", "store", "settings", "form", "preview", "run", "result", "outcome", "error"}
    schema = json.loads((ROOT / "schemas" / "action.schema.json").read_text(encoding="utf-8"))
    notes = [part["x-expr"] for part in _parts(schema) if "x-expr" in part]
    assert len(notes) > 20
    for note in notes:
        assert set(note) == {"mode", "context", "type"}
        assert note["mode"] in ("condition", "value", "text")
        assert set(note["context"]) <= names


@pytest.mark.parametrize("form", [
    {"lines": {"MUG-1": 2}, "payments": {"gid://shopify/OrderTransaction/5": "29.95"}, "reason": "broken",
     "restock": True},
])  # fmt: skip
def test_a_filled_form_has_a_schema(form: Mapping[str, Any]) -> None:
    schema = json.loads((ROOT / "schemas" / "case.schema.json").read_text(encoding="utf-8"))
    assert list(Draft202012Validator(schema).iter_errors(form)) == []
    assert len(list(Draft202012Validator(schema).iter_errors({"amount": 5.5}))) == 1


def test_the_checker_knows_the_filters_cards_have() -> None:
    assert sorted(templates.FILTERS) == sorted(cards.FILTERS)
