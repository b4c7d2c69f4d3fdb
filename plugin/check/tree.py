"""Expression trees whose nodes know their exact offset in the text, and what their conditions prove."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import TemplateSyntaxError, nodes
from jinja2.lexer import TokenStream
from jinja2.parser import Parser

from plugin import expr
from plugin.expr import ExprError

_ENV = expr.sandbox({})
DEEPEST = 60


@dataclass(frozen=True)
class Unreadable(Exception):
    """An expression that is not one; what to say, and where."""

    message: str
    offset: int
    width: int


@lru_cache(maxsize=4096)
def tree(text: str) -> nodes.Expr:
    """Parse, admit, and give each node its offset as `lineno`. Raises Unreadable."""
    if not text.strip():
        raise Unreadable("an expression is missing here", 0, 1)
    try:
        expr.parse(text.strip())
        found = _with_offsets(text)
        if _depth(found) > DEEPEST:
            raise ExprError("the expression is nested too deeply")
    except ExprError as error:
        offset, width = _where(text, error.word)
        raise Unreadable(str(error), offset, width) from error
    return found


def _with_offsets(text: str) -> nodes.Expr:
    stream = _stream(text)
    found = _parser(stream).parse_expression()
    if not stream.eos:
        raise TemplateSyntaxError("", stream.current.lineno)
    return found


def _parser(stream: TokenStream) -> Parser:
    parser = Parser(_ENV, "", state="variable")
    parser.stream = stream
    return parser


def _stream(text: str) -> TokenStream:
    """The tokens of an expression, each with its offset where Jinja keeps the line."""
    offset, raw = 0, []
    for _line, kind, value in _ENV.lexer.tokeniter(text, None, state="variable"):
        raw.append((offset, kind, value))
        offset += len(value)
    return TokenStream(_ENV.lexer.wrap(raw), None, None)


def _depth(root: nodes.Node) -> int:
    deepest, pending = 0, [(root, 1)]
    while pending:
        node, depth = pending.pop()
        deepest = max(deepest, depth)
        pending.extend((child, depth + 1) for child in node.iter_child_nodes())
    return deepest


def _where(text: str, word: str | None) -> tuple[int, int]:
    if word and (found := text.find(word)) >= 0:
        return found, len(word)
    whole = len(text) - len(text.lstrip()), len(text.strip())
    try:
        return _first_foreign(_with_offsets(text)) or whole
    except TemplateSyntaxError as error:
        return min(error.lineno, len(text.rstrip()) - 1), 1
    except (RecursionError, ValueError):
        return whole


def _first_foreign(root: nodes.Node) -> tuple[int, int] | None:
    for node in root.find_all(nodes.Node):
        if type(node) not in expr.ALLOWED and node.lineno:
            return node.lineno, 1
    return None


def span(node: nodes.Node) -> tuple[int, int]:
    """Offset and width of what to underline for a node."""
    if isinstance(node, (nodes.Test, nodes.Not)):
        return span(node.node)
    if isinstance(node, nodes.Compare):
        return span(node.expr)
    width = 1
    if isinstance(node, nodes.Getattr):
        start = span(node.node)[0]
        return start, node.lineno + 1 + len(node.attr) - start
    if isinstance(node, (nodes.Name, nodes.Filter)):
        width = len(node.name)
    if isinstance(node, nodes.Const):
        width = len(str(node.value)) + (2 if isinstance(node.value, str) else 0)
    return node.lineno or 0, width


def words(node: nodes.Node) -> str:
    """A short name for the value of a node, for messages."""
    if isinstance(node, nodes.Name):
        return f"'{node.name}'"
    if isinstance(node, nodes.Getattr):
        before = words(node.node)
        return f"{before[:-1]}.{node.attr}'" if before.startswith("'") else f"'.{node.attr}'"
    if isinstance(node, nodes.Const):
        return repr(node.value) if isinstance(node.value, str) else str(node.value).lower()
    if isinstance(node, nodes.Filter):
        return f"the result of '{node.name}'"
    return "this"


# ---------------------------------------------------------------- what conditions prove

Lets = Mapping[str, str]


def path(node: nodes.Node, lets: Lets) -> str | None:
    """`order.cancelledAt` for a plain path, with `let` names written out; else None."""
    if isinstance(node, nodes.Name):
        return path(tree(lets[node.name]), lets) if node.name in lets else node.name
    if isinstance(node, nodes.Getattr):
        before = path(node.node, lets)
        return before and f"{before}.{node.attr}"
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        before = path(node.node, lets)
        return before and f"{before}.{node.arg.value}"
    return None


def mentions(text: str, lets: Lets) -> frozenset[str]:
    """The outermost names and the `form.x` an expression reads, through its `let` names."""
    found: set[str] = set()
    pending, seen = [text], set[str]()
    while pending:
        root = tree(pending.pop())
        for node in (root, *root.find_all((nodes.Name, nodes.Getattr))):
            if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == "form":
                found.add(f"form.{node.attr}")
            elif isinstance(node, nodes.Name) and node.name in lets and node.name not in seen:
                seen.add(node.name)
                pending.append(lets[node.name])
            elif isinstance(node, nodes.Name):
                found.add(node.name)
    return frozenset(found)


def proven(node: nodes.Node, truth: bool, lets: Lets) -> frozenset[str]:
    """The paths that are not null when a condition has come out as `truth`."""
    if isinstance(node, nodes.Name) and node.name in lets:
        return proven(tree(lets[node.name]), truth, lets)
    if isinstance(node, nodes.Not):
        return proven(node.node, not truth, lets)
    if isinstance(node, (nodes.And, nodes.Or)):
        left, right = proven(node.left, truth, lets), proven(node.right, truth, lets)
        return left | right if isinstance(node, nodes.And) == truth else left & right
    if isinstance(node, nodes.Test):
        return _only(path(node.node, lets)) if not truth else frozenset()
    if isinstance(node, nodes.Compare) and truth and len(node.ops) == 1:
        return _only(path(node.expr, lets)) if node.ops[0].op in ("eq", "in") else frozenset()
    return frozenset()


def _only(found: str | None) -> frozenset[str]:
    return frozenset() if found is None else frozenset([found])
