"""Values of the YAML: bare conditions, placeholders that keep their type, and text around them."""

import re
from dataclasses import dataclass, field

from graphql import GraphQLSchema

from plugin.check.expressions import EVERYTHING, Facts, Known, Mistake, Typing
from plugin.check.report import Report
from plugin.check.tree import Unreadable, proven, tree
from plugin.check.types import ANY, BOOLEAN, STRING, Type
from plugin.expr import ExprError, Placeholder, split_template
from plugin.source import Pointer

_BRACES = re.compile(r"(?<!\$)\{\{|\{%")


@dataclass(frozen=True)
class Reader:
    """Checks the values of one file, and gathers the form fields and `let` names they use."""

    report: Report
    schema: GraphQLSchema
    used: set[str] = field(default_factory=set)

    def condition(self, pointer: Pointer, text: str, known: Known, facts: Facts, wanted: Type = BOOLEAN) -> bool:
        """A bare expression; True when something is wrong with it."""
        found = re.search(r"\$?\{\{", text)
        if found:
            self.report.inside(
                pointer,
                found.start(),
                "braces",
                "an expression stands here bare, without ${{ }}",
                "delete ${{ and }}",
                width=len(found.group()),
            )
            return True
        typing = Typing(known, self.schema)
        typing.needs(text, wanted, facts)
        return self._take(pointer, 0, typing)

    def value(self, pointer: Pointer, text: str, known: Known, facts: Facts, wanted: Type | None = None) -> Type:
        """`${{ x }}` alone has the type of x; text around it makes text. Any when something is wrong."""
        parts = self._parts(pointer, text)
        if parts is None:
            return ANY
        whole = [one for one in parts if not (isinstance(one, str) and not one.strip())]
        if len(whole) == 1 and isinstance(whole[0], Placeholder):
            typing = Typing(known, self.schema)
            one = whole[0]
            found = typing.needs(one.text, wanted, facts) if wanted else typing.of(one.text, facts)
            return ANY if self._take(pointer, one.start, typing) else found
        if wanted is not None and wanted.name != "String":
            self.report.at(pointer, "type", f"one ${{{{ … }}}} alone is needed here, that gives {wanted}")
            return ANY
        self._text_parts(pointer, parts, known, facts)
        return STRING if len(parts) > 1 or not parts else Type("String", values=(text,))

    def text(self, pointer: Pointer, text: str, known: Known, facts: Facts) -> None:
        """Text for people, with placeholders in it."""
        parts = self._parts(pointer, text)
        if parts is not None:
            self._text_parts(pointer, parts, known, facts)

    def _parts(self, pointer: Pointer, text: str) -> list[str | Placeholder] | None:
        try:
            parts = split_template(text)
        except (ExprError, RecursionError) as error:
            self.report.inside(pointer, max(0, text.find("${{")), "expression", str(error), width=3)
            return None
        offset = 0
        for one in parts:
            if isinstance(one, Placeholder):
                offset = one.start + len(one.text) + 2
                continue
            if found := _BRACES.search(one):
                self.report.inside(
                    pointer,
                    offset + found.start(),
                    "braces",
                    f"`{found.group()}` is not a placeholder here",
                    "write ${{ … }} for a value",
                    width=2,
                )
                return None
            offset += len(one)
        return parts

    def _text_parts(self, pointer: Pointer, parts: list[str | Placeholder], known: Known, facts: Facts) -> None:
        for one in parts:
            if isinstance(one, Placeholder):
                typing = Typing(known, self.schema)
                found = typing.of(one.text, facts)
                if not typing.mistakes:
                    typing.text(tree(one.text), found)
                self._take(pointer, one.start, typing)

    def _take(self, pointer: Pointer, start: int, typing: Typing) -> bool:
        """Hand on what was used and what was wrong; True when something was."""
        self.used.update(typing.used)
        for one in typing.mistakes:
            self.mistake(pointer, start, one)
        return bool(typing.mistakes)

    def mistake(self, pointer: Pointer, start: int, one: Mistake) -> None:
        severity = "warning" if one.rule == "never-null" else "error"
        self.report.inside(
            pointer,
            start + one.offset,
            one.rule,
            one.message,
            one.help,
            width=one.width,
            severity="warning" if severity == "warning" else "error",
        )


def facts_of(text: str, truth: bool, known: Known) -> Facts:
    """What a condition proves when it comes out as `truth`; anything, when it cannot be read."""
    try:
        return proven(tree(text), truth, known.lets)
    except Unreadable:
        return EVERYTHING
