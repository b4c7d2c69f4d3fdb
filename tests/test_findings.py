"""Findings as a person reads them."""

from dataclasses import replace

from plugin.findings import Finding, has_errors, in_order, render

ONE = Finding("a.yaml", 128, 7, "error", "unknown-input", "RefundInput has no field 'notifiy'",
              "did you mean 'notify'?", "      notifiy: ${{ form.notify }}", 7)  # fmt: skip


def test_a_finding_shows_its_line_the_mistake_and_the_cure() -> None:
    assert (
        render([ONE])
        == """\
a.yaml:128:7: error: RefundInput has no field 'notifiy' [unknown-input]
    |
128 |       notifiy: ${{ form.notify }}
    |       ^^^^^^^
    = help: did you mean 'notify'?
"""
    )


def test_a_finding_without_a_line_is_one_sentence() -> None:
    assert render([replace(ONE, snippet_line=None, help=None)]) == (
        "a.yaml:128:7: error: RefundInput has no field 'notifiy' [unknown-input]\n"
    )


def test_findings_are_sorted_and_each_is_said_once() -> None:
    later = replace(ONE, line=129)
    other = replace(ONE, path="b.yaml", line=1)
    assert in_order([other, later, ONE, ONE, replace(ONE, help=None)]) == [ONE, later, other]
    assert render([other, ONE]).count("\n\n") == 1


def test_wide_characters_and_tabs_keep_the_mark_in_its_place() -> None:
    shown = render([replace(ONE, line=1, column=5, width=2, snippet_line="\t漢é ab", help=None)])
    assert shown.splitlines()[2:] == ["  1 |  漢é ab", "    |      ^^"]


def test_a_long_line_is_cut_around_the_mistake() -> None:
    shown = render([replace(ONE, column=301, width=3, snippet_line="x" * 300 + "abc" + "y" * 300, help=None)])
    line, mark = shown.splitlines()[2:]
    assert (len(line), line[mark.index("^") : mark.rindex("^") + 1]) == (128, "abc")


def test_what_would_move_a_terminal_is_not_printed() -> None:
    shown = render([replace(ONE, message="a\x1b[2Jb", snippet_line="\x1b]0;x\x07 y", help="\x9b1m")])
    assert all(char.isprintable() for char in shown.replace("\n", ""))


def test_warnings_are_not_errors() -> None:
    assert has_errors([ONE])
    assert not has_errors([replace(ONE, severity="warning")])
