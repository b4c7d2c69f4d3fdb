"""Expressions of the action language: parsed to a whitelisted tree, compiled once, fed only data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, Undefined, nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from plugin.filters import FILTERS, isolated

MAX_LENGTH = 2000
ALLOWED: frozenset[type[nodes.Node]] = frozenset({
    nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Compare, nodes.Operand, nodes.And, nodes.Or,
    nodes.Not, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Concat, nodes.List,
})  # fmt: skip


class ExprError(Exception):
    """An expression that cannot be used; `word` is what to underline in it, when known."""

    def __init__(self, message: str, word: str | None = None) -> None:
        super().__init__(message)
        self.word = word


class _KeyOnly(ImmutableSandboxedEnvironment):
    """Dots and brackets reach the keys of mappings and the items of lists, nothing else."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping) and argument in obj:
            return obj[argument]
        if isinstance(obj, (list, tuple)) and type(argument) is int and -len(obj) <= argument < len(obj):
            return obj[argument]
        return self.undefined(obj=obj, name=argument)

    def is_safe_callable(self, obj: Any) -> bool:
        return False


def sandbox(filters: Mapping[str, Callable[..., Any]], **options: Any) -> _KeyOnly:
    """A key-only environment that knows these filters and the test `none`, and no global at all."""
    env = _KeyOnly(undefined=StrictUndefined, cache_size=0, **options)
    env.globals.clear()
    env.filters.clear()
    env.filters.update(filters)
    env.tests = {"none": env.tests["none"], "defined": env.tests["defined"]}
    return env


_ENV = sandbox({name: one.call for name, one in FILTERS.items()})
_SPLITTER = ImmutableSandboxedEnvironment(
    variable_start_string="${{", variable_end_string="}}", keep_trailing_newline=True,
    block_start_string="\x00{%", block_end_string="\x00%}",
    comment_start_string="\x00{#", comment_end_string="\x00#}",
)  # fmt: skip


def parse(text: str) -> nodes.Expr:
    """The tree of one bare expression. Raises ExprError for anything outside the language."""
    if len(text) > MAX_LENGTH:
        raise ExprError(f"an expression has at most {MAX_LENGTH} characters")
    try:
        parser = Parser(_ENV, text, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            raise ExprError("something follows the expression that does not belong to it")
        _admit(tree)
    except RecursionError:
        raise ExprError("the expression is nested too deeply") from None
    except TemplateError as error:
        raise ExprError(f"this is not an expression: {error.message}") from error
    except ValueError as error:
        raise ExprError("a number in the expression is too long") from error
    return tree


def _admit(tree: nodes.Node) -> None:
    pending: list[nodes.Node] = [tree]
    while pending:
        node = pending.pop()
        if type(node) not in ALLOWED:
            raise ExprError(f"{_kind(node)} is not part of the expression language")
        _admit_one(node)
        pending.extend(node.iter_child_nodes())


def _admit_one(node: nodes.Node) -> None:
    if isinstance(node, nodes.Const) and not (node.value is None or type(node.value) in (bool, int, str)):
        raise ExprError("write amounts as money from Shopify or a form field, not as a number", str(node.value))
    if isinstance(node, nodes.Const) and type(node.value) is int and abs(node.value) > 10**9:
        raise ExprError("a number in the expression is too big", str(node.value))
    if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const):
        raise ExprError("brackets take a fixed key or number")
    if isinstance(node, nodes.Filter) and (node.kwargs or node.dyn_args or node.dyn_kwargs or node.node is None):
        raise ExprError("a filter takes plain arguments only", node.name)
    if isinstance(node, nodes.Test) and (node.name != "none" or node.args or node.kwargs):
        raise ExprError("the only test is `is none`", node.name)
    if isinstance(node, nodes.CondExpr) and node.expr2 is None:
        raise ExprError("`a if b` needs an `else`", "if")


_KINDS = {"Call": "a call with ( )", "Pow": "**", "Mul": "*", "Div": "/", "Add": "+", "Sub": "-", "Mod": "%",
          "FloorDiv": "//", "Neg": "-", "Pos": "+", "Slice": "a slice", "Dict": "{ }", "Tuple": "a tuple",
          "TemplateData": "template text"}  # fmt: skip


def _kind(node: nodes.Node) -> str:
    name = type(node).__name__
    return _KINDS.get(name, name)


@dataclass(frozen=True)
class Expression:
    """One compiled expression: the outermost names it uses, and which fields of `form`."""

    text: str
    names: frozenset[str]
    form_fields: frozenset[str]
    _call: Callable[[dict[str, Any]], Any] = field(repr=False, compare=False)

    def evaluate(self, scope: "Scope") -> Any:
        """The native value. Raises ExprError when the data lacks something the expression reads."""
        try:
            value = self._call({name: scope.value(name) for name in self.names})
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            raise ExprError(f"`{self.text}` cannot be worked out: {error}") from error
        if isinstance(value, Undefined):
            raise ExprError(f"`{self.text}` reads something that is not there")
        return value


@lru_cache(maxsize=4096)
def compile_expression(text: str) -> Expression:
    """Parse, admit and compile. Raises ExprError."""
    tree = parse(text)
    every = [tree, *tree.find_all(nodes.Node)]
    names = frozenset(node.name for node in every if isinstance(node, nodes.Name))
    fields = frozenset(
        node.attr
        for node in every
        if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == "form"
    )
    try:
        compiled = _ENV.compile_expression(text, undefined_to_none=False)
    except (TemplateError, RecursionError) as error:
        raise ExprError(f"this is not an expression: {error}") from error
    return Expression(text, names, fields, lambda data: compiled(**data))


class Scope:
    """The names an expression may use: given values, and `let` names worked out when first asked for."""

    def __init__(self, values: Mapping[str, Any], lets: Mapping[str, Expression]) -> None:
        self._values = dict(values)
        self._lets = lets
        self._known: dict[str, Any] = {}

    def value(self, name: str) -> Any:
        if name not in self._values and name in self._lets:
            if name not in self._known:
                self._known[name] = self._lets[name].evaluate(self)
            return self._known[name]
        return self._values.get(name, _ENV.undefined(name=name))

    def given(self) -> dict[str, Any]:
        """The values themselves, without the lets."""
        return dict(self._values)

    def also(self, **values: Any) -> "Scope":
        return Scope({**self._values, **values}, self._lets)


@dataclass(frozen=True)
class Placeholder:
    """`${{ text }}` inside a value; `start` is the offset of `text` in the whole."""

    text: str
    start: int


def split_template(text: str) -> list[str | Placeholder]:
    """Text and placeholders in order. Raises ExprError for an opening without its end."""
    parts: list[str | Placeholder] = []
    offset, opened, inner = 0, -1, ""
    try:
        for _line, kind, value in _SPLITTER.lexer.tokeniter(text, None):
            if kind == "variable_begin":
                if value != "${{":
                    raise ExprError("write `${{` without a dash", value)
                opened, inner = offset + len(value), ""
            elif kind == "variable_end":
                parts.append(Placeholder(inner, opened))
                opened = -1
            elif opened >= 0:
                inner += value
            else:
                parts.append(value)
            offset += len(value)
    except TemplateError as error:
        raise ExprError(f"this placeholder cannot be read: {error.message}") from error
    if opened >= 0:
        raise ExprError("`${{` is never closed with `}}`", "${{")
    return parts


class _Left:
    """What `$when` leaves out."""


LEFT_OUT = _Left()
Value = Callable[[Scope], Any]


def compile_value(raw: Any) -> Value:
    """A value key of the YAML, to be resolved in a scope: natives for a whole `${{ }}`, else text.

    In mappings a null is left out, and so is a mapping whose `$when` is false. Raises ExprError.
    """
    if isinstance(raw, str):
        return _compile_text(raw)
    if isinstance(raw, list):
        items = [compile_value(item) for item in raw]
        return lambda scope: [item(scope) for item in items]
    if isinstance(raw, Mapping):
        return _compile_mapping(raw)
    return lambda scope: raw


def expressions(raw: Any) -> list[Expression]:
    """Every expression inside a value key, `$when` included. Raises ExprError."""
    if isinstance(raw, str):
        found = [part for part in split_template(raw) if isinstance(part, Placeholder)]
        return [compile_expression(part.text.strip()) for part in found]
    if isinstance(raw, list):
        return [each for item in raw for each in expressions(item)]
    if isinstance(raw, Mapping):
        conditions = [compile_expression(raw["$when"])] if "$when" in raw else []
        return conditions + [each for key, item in raw.items() if key != "$when" for each in expressions(item)]
    return []


def _compile_text(raw: str) -> Value:
    parts = split_template(raw.strip() if "${{" in raw else raw)
    if len(parts) == 1 and isinstance(parts[0], Placeholder):
        return compile_expression(parts[0].text.strip()).evaluate
    pieces = [compile_expression(p.text.strip()) if isinstance(p, Placeholder) else p for p in parts]
    return lambda scope: "".join(p if isinstance(p, str) else isolated(str(p.evaluate(scope))) for p in pieces)


def _compile_mapping(raw: Mapping[str, Any]) -> Value:
    when = compile_expression(raw["$when"]) if "$when" in raw else None
    whole = compile_value(raw["$value"]) if "$value" in raw else None
    fields = {key: compile_value(value) for key, value in raw.items() if not key.startswith("$")}

    def resolve(scope: Scope) -> Any:
        if when is not None and not when.evaluate(scope):
            return LEFT_OUT
        if whole is not None:
            return whole(scope)
        values = {key: value(scope) for key, value in fields.items()}
        return {key: value for key, value in values.items() if value is not None and value is not LEFT_OUT}

    return resolve
