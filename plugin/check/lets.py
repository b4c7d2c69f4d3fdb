"""The `let` names of an action: which of them can be used, and how far each reaches."""

from collections.abc import Mapping

from jinja2 import nodes

from plugin.check.expressions import Known, Typing
from plugin.check.tree import Unreadable, tree
from plugin.check.values import Reader

_MOST = 2000


def sound_lets(reader: Reader, lets: Mapping[str, str]) -> dict[str, str]:
    """The lets that can be read, do not go in circles and stay small; the others are reported."""
    sound: dict[str, str] = {}
    sizes: dict[str, int] = {}
    circles = False
    for name in lets:
        problem = _problem(name, lets, sizes)
        if problem is None:
            sound[name] = lets[name]
        elif sizes.get(name, 0) >= 0 or not circles:
            offset, width, message = problem
            circles = sizes.get(name, 0) < 0
            reader.report.inside(("let", name), offset, "let", message, width=width)
    return sound


def _problem(name: str, lets: Mapping[str, str], sizes: dict[str, int]) -> tuple[int, int, str] | None:
    """Where and why a let cannot be used; `sizes` learns how big each one is when written out."""
    if name in ("order", "agent", "store", "settings", "form", "preview", "run", "result", "error", "outcome"):
        return 0, 1, f"'{name}' is a name of the language and cannot be given again"
    try:
        sizes[name] = _size(name, lets, sizes, ())
    except Unreadable as error:
        return error.offset, error.width, error.message
    if sizes[name] < 0:
        return 0, len(lets[name]), f"'{name}' is explained by itself"
    if sizes[name] > _MOST:
        return 0, len(lets[name]), f"'{name}' is too big when it is written out"
    return None


def _size(name: str, lets: Mapping[str, str], sizes: dict[str, int], above: tuple[str, ...]) -> int:
    """Nodes of a let with its lets written out; -1 when it leads back to itself. Raises Unreadable."""
    if name in sizes:
        return sizes[name]
    if name in above or len(above) > 50:
        return -1
    root, total = tree(lets[name]), 1
    for node in (root, *root.find_all(nodes.Node)):
        total += 1
        if isinstance(node, nodes.Name) and node.name in lets:
            inner = _readable_size(node.name, lets, sizes, (*above, name))
            if inner < 0:
                return -1
            total += inner
    sizes[name] = total
    return total


def _readable_size(name: str, lets: Mapping[str, str], sizes: dict[str, int], above: tuple[str, ...]) -> int:
    try:
        return _size(name, lets, sizes, above)
    except Unreadable:
        return 1


def check_lets(reader: Reader, known: Known) -> frozenset[str]:
    """Check each let for itself; the names of those with mistakes, which are not reported again where used.

    Whether something may be null is left to the places where the let is used: a test may stand before it.
    """
    broken = set()
    for name, text in known.lets.items():
        typing = Typing(known, reader.schema)
        typing.of(text)
        wrong = [one for one in typing.mistakes if one.rule not in ("maybe-null", "never-null")]
        wrong = [one for one in wrong if "cannot be used here" not in one.message]
        if wrong:
            broken.add(name)
            reader.mistake(("let", name), 0, wrong[0])
    return frozenset(broken)
