"""The type of an expression, or what is wrong with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLSchema
from jinja2 import nodes

from plugin.check.report import did_you_mean, listed
from plugin.check.tree import Lets, Unreadable, path, proven, span, tree, words
from plugin.check.types import (
    ANY,
    BOOLEAN,
    INT,
    NULL,
    NUMBERS,
    STRING,
    Type,
    list_of,
    misfit,
    noted,
    united,
)
from plugin.filters import FILTERS, Filter

Facts = frozenset[str]
# What a condition with a mistake proves: whatever its neighbours need, so that one mistake is one finding.
EVERYTHING: Facts = frozenset({"*"})
_TRUTH = "true or false"
_ONLY_ZERO = "the only number a money is compared with is 0"
_ORDERING = {"gt", "gteq", "lt", "lteq"}


@dataclass(frozen=True)
class Mistake:
    """Something wrong at an offset of an expression."""

    offset: int
    width: int
    rule: str
    message: str
    help: str | None = None


@dataclass(frozen=True)
class Known:
    """What an expression may name: `roots` here, `lets`, and why other names and paths cannot be used."""

    roots: Mapping[str, Type]
    lets: Lets
    broken: frozenset[str] = frozenset()
    elsewhere: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Typing:
    """One walk over one expression; `used` gathers the `form.x` paths and `let` names it met."""

    known: Known
    schema: GraphQLSchema
    mistakes: list[Mistake] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    _inner: dict[tuple[str, Facts], tuple[Type, Mistake | None]] = field(default_factory=dict)

    def of(self, text: str, facts: Facts = frozenset()) -> Type:
        """The type of an expression; Any, and at least one mistake, when it has none."""
        try:
            return self._visit(tree(text), facts)
        except Unreadable as error:
            self.mistakes.append(Mistake(error.offset, error.width, "expression", error.message))
            return ANY

    def needs(self, text: str, wanted: Type, facts: Facts = frozenset()) -> Type:
        """As `of`, and it must fit."""
        before = len(self.mistakes)
        found = self.of(text, facts)
        if len(self.mistakes) == before:
            self._fit(tree(text), found, wanted, f"{_TRUTH if wanted == BOOLEAN else wanted} is needed")
        return found

    # ------------------------------------------------------------ nodes

    def _visit(self, node: nodes.Node, facts: Facts) -> Type:
        found = _VISITS[type(node)](self, node, facts)
        if not found.null or found == NULL or not facts:
            return found
        return found.present if facts == EVERYTHING or path(node, self.known.lets) in facts else found

    def _wrong(self, node: nodes.Node, rule: str, message: str, cure: str | None = None) -> Type:
        self.mistakes.append(Mistake(*span(node), rule, message, cure))
        return ANY

    def _fit(self, node: nodes.Node, given: Type, wanted: Type, why: str) -> bool:
        problem = misfit(given, wanted)
        if problem is None:
            return True
        cure = "test `is not none` first" if problem[0] == "maybe-null" else None
        if problem[0] == "type" and given.name == "MoneyV2" and wanted.name in ("Money", "String"):
            cure = "a money goes through a filter: `money` for people, `amount` for Shopify"
        self._wrong(node, problem[0], f"{words(node)} {problem[1]}; {why}", cure)
        return False

    def _name(self, node: nodes.Name, facts: Facts) -> Type:
        if node.name in self.known.roots:
            return self.known.roots[node.name]
        if node.name in self.known.lets or node.name in self.known.broken:
            return self._let(node, facts)
        if node.name in self.known.elsewhere:
            return self._wrong(node, "not-here", f"'{node.name}' cannot be used here", self.known.elsewhere[node.name])
        everything = [*self.known.roots, *self.known.lets]
        cure = did_you_mean(node.name, everything) or f"known here: {listed(everything)}"
        return self._wrong(node, "unknown-name", f"nothing is called '{node.name}'", cure)

    def _let(self, node: nodes.Name, facts: Facts) -> Type:
        """A `let` name has the type of its expression where it is used."""
        self.used.add(node.name)
        if node.name in self.known.broken:
            return ANY
        key = (node.name, facts)
        if key not in self._inner:
            outer, self.mistakes = self.mistakes, []
            found = self._visit(tree(self.known.lets[node.name]), facts)
            first = self.mistakes[0] if self.mistakes else None
            self.mistakes = outer
            self._inner[key] = (found, first)
        found, first = self._inner[key]
        if first is None:
            return found
        return self._wrong(node, first.rule, f"'{node.name}' cannot be used here: {first.message}", first.help)

    def _const(self, node: nodes.Const, facts: Facts) -> Type:
        if node.value is None:
            return NULL
        if isinstance(node.value, str):
            return Type("String", values=(node.value,))
        return BOOLEAN if isinstance(node.value, bool) else INT

    def _getattr(self, node: nodes.Getattr, facts: Facts) -> Type:
        return self._member(node, node.node, node.attr, facts)

    def _getitem(self, node: nodes.Getitem, facts: Facts) -> Type:
        assert isinstance(node.arg, nodes.Const)
        if isinstance(node.arg.value, str):
            return self._member(node, node.node, node.arg.value, facts)
        return self._wrong(node, "no-index", "lists are read by filters, not by number", "use a filter")

    def _member(self, node: nodes.Expr, owner: nodes.Expr, name: str, facts: Facts) -> Type:
        whole = path(node, self.known.lets)
        if whole and whole.startswith("form."):
            self.used.add(whole)
        given = self._visit(owner, facts)
        if given.name == "Any":
            return ANY
        start = node.lineno + 1
        if whole is not None and whole in self.known.elsewhere:
            self.mistakes.append(
                Mistake(start, len(name), "not-here", f"'{whole}' cannot be used here", self.known.elsewhere[whole])
            )
            return ANY
        if given.null:
            return self._wrong(
                owner, "maybe-null", f"{words(owner)} may be null; '{name}' is read from it", "test `is not none` first"
            )
        if given.fields is None or name not in given.fields:
            self.mistakes.append(Mistake(start, len(name), *self._no_member(owner, given, name)))
            return ANY
        return given.fields[name]

    def _no_member(self, owner: nodes.Expr, given: Type, name: str) -> tuple[str, str, str | None]:
        if given.name == "MoneyV2":
            return "unknown-field", "a money is one value without fields", "use the filter `money`"
        if given.of:
            return "unknown-field", f"{words(owner)} is a list and has no field '{name}'", "use a filter"
        if given.fields is None:
            return "unknown-field", f"{words(owner)} is {given} and has no fields", None
        there = getattr(self.schema.type_map.get(given.name), "fields", {})
        if name in there:
            return (
                "not-selected",
                f"'{name}' exists on {given.name} but the query does not select it",
                f"add `{name}` to the query",
            )
        shown = given.name if given.name in self.schema.type_map else words(owner)
        cure = did_you_mean(name, [*given.fields, *there]) or f"there is {listed(given.fields)}"
        return "unknown-field", f"{shown} has no field '{name}'", cure

    def _condition(self, node: nodes.Expr, facts: Facts) -> None:
        found = self._visit(node, facts)
        self._fit(node, found, BOOLEAN, f"{_TRUTH} is needed")

    def _and(self, node: nodes.And, facts: Facts) -> Type:
        self._condition(node.left, facts)
        self._condition(node.right, facts | proven(node.left, True, self.known.lets))
        return BOOLEAN

    def _or(self, node: nodes.Or, facts: Facts) -> Type:
        self._condition(node.left, facts)
        self._condition(node.right, facts | proven(node.left, False, self.known.lets))
        return BOOLEAN

    def _not(self, node: nodes.Not, facts: Facts) -> Type:
        self._condition(node.node, facts)
        return BOOLEAN

    def _if(self, node: nodes.CondExpr, facts: Facts) -> Type:
        assert node.expr2 is not None
        self._condition(node.test, facts)
        left = self._visit(node.expr1, facts | proven(node.test, True, self.known.lets))
        right = self._visit(node.expr2, facts | proven(node.test, False, self.known.lets))
        found = united(left, right)
        if found is None:
            return self._wrong(
                node.expr2,
                "type",
                f"one side of the `if` is {left}, the other {right}",
                "both sides must be of one kind",
            )
        return found

    def _test(self, node: nodes.Test, facts: Facts) -> Type:
        found = self._visit(node.node, frozenset())
        if not found.null:
            self._wrong(node.node, "never-null", f"{words(node.node)} is never null, so this test says nothing")
        return BOOLEAN

    def _concat(self, node: nodes.Concat, facts: Facts) -> Type:
        for one in node.nodes:
            self.text(one, self._visit(one, facts))
        return STRING

    def text(self, node: nodes.Node, found: Type) -> None:
        """Only text and whole numbers may be put into text."""
        if not found.null and (found.textual or found.name == "Int"):
            return
        self._fit(node, found, STRING, "text is needed here")

    def _list(self, node: nodes.List, facts: Facts) -> Type:
        element: Type | None = None
        for item in node.items:
            found = self._visit(item, facts)
            both = united(element, found) if element else found
            if both is None:
                return self._wrong(item, "type", f"the list mixes {element} and {found}")
            element = both
        return list_of(element or ANY)

    # ------------------------------------------------------------ comparisons

    def _compare(self, node: nodes.Compare, facts: Facts) -> Type:
        left_node, left = node.expr, self._visit(node.expr, facts)
        for operand in node.ops:
            right = self._visit(operand.expr, facts)
            if operand.op in ("in", "notin"):
                self._member_of(left_node, left, operand.expr, right)
            elif ANY not in (left, right):
                self._comparable(operand.op, left_node, left, operand.expr, right)
            left_node, left = operand.expr, right
        return BOOLEAN

    def _member_of(self, left_node: nodes.Expr, left: Type, right_node: nodes.Expr, right: Type) -> None:
        if ANY in (left, right):
            return
        if right.of is None:
            self._wrong(right_node, "comparison", f"`in` needs a list, {words(right_node)} is {right}")
        elif isinstance(right_node, nodes.List):
            for item in right_node.items:
                self._comparable("eq", left_node, left, item, self._visit(item, frozenset()))
        else:
            self._comparable("eq", left_node, left, right_node, right.of)

    def _comparable(self, op: str, left_node: nodes.Expr, left: Type, right_node: nodes.Expr, right: Type) -> None:
        if NULL in (left, right):
            node = left_node if left == NULL else right_node
            cure = "write `is none` or `is not none`"
            self._wrong(node, "comparison", "nothing is compared with none", cure)
        elif not _alike(left_node, left, right_node, right):
            money = "MoneyV2" in (left.name, right.name)
            message = f"{left.present} cannot be compared with {right.present}"
            self._wrong(right_node, "comparison", message, _ONLY_ZERO if money else None)
        elif op in _ORDERING:
            self._ordered(left_node, left, right_node, right)
        elif left.textual and right.textual:
            self._same_values(left_node, left, right_node, right)

    def _ordered(self, left_node: nodes.Expr, left: Type, right_node: nodes.Expr, right: Type) -> None:
        if left.name != "MoneyV2" and left.name not in NUMBERS:
            self._wrong(left_node, "comparison", f"{left.present} has no order; only money and numbers have")
            return
        for node, one in ((left_node, left), (right_node, right)):
            if one.null:
                self._wrong(
                    node, "maybe-null", f"{words(node)} may be null; it is compared here", "test `is not none` first"
                )

    def _same_values(self, left_node: nodes.Expr, left: Type, right_node: nodes.Expr, right: Type) -> None:
        if left.values is None or right.values is None:
            return
        sides = (left_node, left, right_node, right)
        node, said, other, known = sides if _literal(left_node) else (sides[2], sides[3], sides[0], sides[1])
        values = known.values or ()
        strange = [one for one in said.values or () if one not in values]
        if _literal(node) and strange:
            owner = known.name if known.name != "String" else words(other)
            cure = did_you_mean(strange[0], values) or f"it can be {listed(values)}"
            self._wrong(node, "enum-value", f"{owner} never is '{strange[0]}'", cure)
        elif len(strange) == len(said.values or ()):
            self._wrong(node, "comparison", f"{left.present} cannot be compared with {right.present}")

    # ------------------------------------------------------------ filters

    def _filter(self, node: nodes.Filter, facts: Facts) -> Type:
        assert node.node is not None
        given = [node.node, *node.args]
        found = [self._visit(one, facts) for one in given]
        known = FILTERS.get(node.name)
        if known is None:
            cure = did_you_mean(node.name, FILTERS) or f"there is {listed(FILTERS)}"
            return self._wrong(node, "unknown-filter", f"there is no filter '{node.name}'", cure)
        fewest, most = len(known.takes) - known.optional, len(known.takes)
        if not fewest <= len(given) <= most:
            count = str(fewest - 1) if fewest == most else f"{fewest - 1} to {most - 1}"
            message = f"the filter '{node.name}' takes {count} in ( ), here are {len(node.args)}"
            self._wrong(node, "filter-arguments", message)
        else:
            self._arguments(node, known, given, found)
        return noted(known.gives, self.schema)

    def _arguments(self, node: nodes.Filter, known: Filter, given: list[nodes.Expr], found: list[Type]) -> None:
        for one, type_, notation in zip(given, found, known.takes, strict=False):
            wanted = noted(notation, self.schema)
            if self._fit(one, type_, wanted, f"the filter '{node.name}' needs {wanted}"):
                self._selected_enough(node, known, type_)

    def _selected_enough(self, node: nodes.Filter, known: Filter, given: Type) -> None:
        while given.of:
            given = given.of
        if given.fields is None:
            return
        missing = [one for one in known.needs.get(given.name, ()) if not _has(given, one)]
        if missing:
            shown = ", ".join(f"`{one}`" for one in missing)
            message = f"the filter '{node.name}' needs {shown} of {given.name}, which is not selected"
            self._wrong(node, "filter-needs", message, f"add {shown} to the query")


def _has(given: Type, dotted: str) -> bool:
    name, _dot, rest = dotted.partition(".")
    if given.fields is None or name not in given.fields:
        return False
    inner = given.fields[name]
    return not rest or _has(inner.of or inner, rest)


def _literal(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const)


def _alike(left_node: nodes.Expr, left: Type, right_node: nodes.Expr, right: Type) -> bool:
    if left.name == "MoneyV2" or right.name == "MoneyV2":
        zero = any(isinstance(one, nodes.Const) and str(one.value) == "0" for one in (left_node, right_node))
        return zero or left.name == right.name
    if left.textual and right.textual:
        return True
    if left.name in NUMBERS and right.name in NUMBERS:
        return True
    return left.name == right.name == "Boolean"


_VISITS: dict[type[nodes.Node], Callable[[Typing, Any, Facts], Type]] = {
    nodes.Name: Typing._name,
    nodes.Const: Typing._const,
    nodes.Getattr: Typing._getattr,
    nodes.Getitem: Typing._getitem,
    nodes.And: Typing._and,
    nodes.Or: Typing._or,
    nodes.Not: Typing._not,
    nodes.CondExpr: Typing._if,
    nodes.Test: Typing._test,
    nodes.Concat: Typing._concat,
    nodes.List: Typing._list,
    nodes.Compare: Typing._compare,
    nodes.Filter: Typing._filter,
}
