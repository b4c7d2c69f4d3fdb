"""YAML as the bundle reads it: plain values, exact places, and a finding for every surprise."""

import json
import os
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from plugin.source import load, load_text, parse

VECTORS = Path(os.environ.get("VECTORS_DIR", Path(__file__).parent.parent.parent / "shared" / "vectors"))


def test_plain_values_are_what_they_look_like() -> None:
    source = parse("a: 1\nb: true\nc: null\nd: text\ne: '5'\nf: [x, -3]\ng: {h: \"i\"}\n", "x.yaml")
    assert source.findings == ()
    assert source.data == {"a": 1, "b": True, "c": None, "d": "text", "e": "5", "f": ["x", -3], "g": {"h": "i"}}


@pytest.mark.parametrize(("value", "rule"), [
    ("NO", "yaml-value"), ("yes", "yaml-value"), ("On", "yaml-value"), ("True", "yaml-value"), ("~", "yaml-value"),
    ("0100", "yaml-value"), ("0x1F", "yaml-value"), ("1:30", "yaml-value"), ("1_000", "yaml-value"),
    ("+5", "yaml-value"), ("1.5", "yaml-value"), ("1e3", "yaml-value"), (".inf", "yaml-value"),
    (".NaN", "yaml-value"), ("2026-10-01", "yaml-value"), ("9" * 5000, "yaml-value"), ("&a 1", "yaml"),
    ("*a", "yaml"), ("!x 1", "yaml"), ("{{ order.note }}", "yaml-braces"), ("{[a]: 1}", "yaml-key"),
    ("{1: a}", "yaml-key"), ("{a: 1, a: 2}", "duplicate-key"), ("{<<: {a: 1}}", "yaml"), ("a: b", "yaml"),
    ("[" * 100, "yaml"), ("\u202eb", "yaml-character"), ("\x07", "yaml-character"), ("b\x85c", "yaml-character"),
    ("1\n---\na: 2", "yaml"), ("1\nb: \ud800", "yaml-character"),
])  # fmt: skip
def test_a_surprise_is_one_finding(value: str, rule: str) -> None:
    assert [one.rule for one in parse(f"a: {value}", "x.yaml").findings] == [rule]


@pytest.mark.parametrize("value", ["'NO'", '"1.5"', "'2026-10-01'", "2026-10", "north", "1s", "1.2.3", "a_1", "10%"])
def test_what_is_quoted_or_plainly_text_is_text(value: str) -> None:
    source = parse(f"a: {value}", "x.yaml")
    assert (source.data, source.findings) == ({"a": value.strip("'\"")}, ())


@pytest.mark.parametrize("text", ["", "# x", "---", "null", "---\n...\n"])
def test_an_empty_file_is_a_finding(text: str) -> None:
    assert [one.message for one in parse(text, "x.yaml").findings] == ["this file is empty"]


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    source = parse("\ufeffa: 1\r\nb: |\r\n  c\r\n  d\r\n", "x.yaml")
    assert (source.data, source.findings) == ({"a": 1, "b": "c\nd"}, ())


@pytest.mark.parametrize("text", [
    "a: " + "[" * 200_000, "- " * 100_000, "? " * 100_000, "a: 1\n" * 40_000, "a: &a [1]\n" + "b: [*a, *a]\n" * 9_000,
    "a: " + "1" * 200_000 + "x", "a: \"" + "\\x41" * 50_000, "a: " + "1_" * 100_000, "x" * 300_000, "{" * 250_000,
], ids=lambda text: text[:8])  # fmt: skip
def test_a_hostile_file_is_a_finding_within_a_second(text: str) -> None:
    start = process_time()
    assert parse(text, "x.yaml").findings or len(text) < 220_000
    assert process_time() - start < 1


@pytest.mark.parametrize(("text", "offset", "place"), [
    ("a: word", 2, (1, 6)),
    ("a: 'it''s x'", 5, (1, 11)),
    ('a: "\\u2014 x"', 2, (1, 12)),
    ("😀: é x", 2, (1, 6)),
    ("a: |\n  one\n    two\n  three", 6, (3, 5)),
    ("a: |\n  one\n    two\n  three", 12, (4, 5)),
    ("a: |\n\n  one", 1, (3, 3)),
    ("a: >-\n  one\n  two\n\n  three", 4, (3, 3)),
    ("a: >-\n  one\n  two\n\n  three", 10, (5, 5)),
    ("a: one\n  two", 4, (2, 3)),
    ("a: 'one\n\n  two'", 4, (3, 3)),
    ('a: "one\\\n  two"', 3, (2, 3)),
])  # fmt: skip
def test_a_character_of_a_value_has_its_place_in_the_file(text: str, offset: int, place: tuple[int, int]) -> None:
    assert parse(text, "x.yaml").text_position(("a",) if text[0] == "a" else ("😀",), offset) == place


def test_keys_and_values_have_their_places() -> None:
    source = parse("a:\n  - b: 1\n    c: x\n", "x.yaml")
    assert source.position(("a", 0, "c"), key=True) == (3, 5)
    assert source.position(("a", 0, "c")) == (3, 8)
    assert source.position(("a", 0, "d", 5)) == (2, 5), "the nearest thing around what is not there"


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"a: 1\nb: \xff")
    (tmp_path / "big.yaml").write_bytes(b"#" * 300_000)
    found = [load(tmp_path / name, name).findings[0] for name in ("none.yaml", "bytes.yaml", "big.yaml", ".")]
    assert [(one.path, one.line, one.rule) for one in found] == [
        ("none.yaml", 1, "missing-file"), ("bytes.yaml", 2, "yaml"), ("big.yaml", 1,
                                                                      "too-big"), (".", 1, "missing-file"),
    ]  # fmt: skip


def test_a_text_file_keeps_every_place(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("one\n  two\n", encoding="utf-8")
    source = load_text(tmp_path / "a.html", "a.html")
    assert (source.data, source.text_position((), 6)) == ("one\n  two\n", (2, 3))


def _vectors() -> list[Any]:
    path = VECTORS / "yaml_hostile.json"
    return json.loads(path.read_text(encoding="utf-8"))["vectors"] if path.is_file() else []


def test_the_hostile_vectors_are_refused_or_read_plainly() -> None:
    vectors = _vectors()
    if not vectors:
        pytest.skip("0 hostile YAML vectors: VECTORS_DIR is not here")
    print(f"{len(vectors)} hostile YAML vectors")
    plain = {"BOM": {"a": 1}, "prototype key": {"__proto__": {"admin": True}}}
    for one in vectors:
        text, repeat = one["document"], one["document_repeat"]
        text = repeat["head"].ljust(repeat["length"], repeat["head"][-1]) if text is None else text
        source = parse(text, "x.yaml")
        assert source.findings or source.data == plain[one["name"]], one["name"]
