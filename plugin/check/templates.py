"""Card templates: their syntax, and what could make somebody's text markup, a script or an address."""

import re

from jinja2 import TemplateSyntaxError, nodes

from plugin.check.report import Report, did_you_mean, listed
from plugin.expr import sandbox

FILTERS = ("money", "minus", "date", "datetime", "ago", "label", "length", "join", "e")
TESTS = ("none", "defined")
_ENV = sandbox({})
_REFUSED: dict[type[nodes.Node], tuple[str, str]] = {
    nodes.Include: ("include", "a template stands alone; write it out"),
    nodes.Import: ("import", "a template stands alone; write a macro in it"),
    nodes.FromImport: ("from", "a template stands alone; write a macro in it"),
    nodes.Extends: ("extends", "a template stands alone; write it out"),
    nodes.Block: ("block", "a template stands alone; write it out"),
    nodes.ScopedEvalContextModifier: ("autoescape", "escaping is always on; delete it"),
    nodes.EvalContextModifier: ("autoescape", "escaping is always on; delete it"),
}
_CURES = {
    "safe": "text is always escaped; markup belongs into the template",
    "tojson": "no script is fed from here; use a data- attribute",
    "default": "test `is none` instead",
    "attr": "write a dot",
}
_MARK = "\x01"
_TEXTS = r"\"[^\"]*\"|'[^']*'"
_INSERTED = re.compile(
    rf"\{{#.*?#\}}|\{{%(?:{_TEXTS}|[^\"'%]|%(?!\}}))*%\}}|"
    rf"\{{\{{(?:{_TEXTS}|[^\"'}}]|\}}(?!\}}))*\}}\}}",
    re.DOTALL,
)
_TAG = re.compile(r"<(?P<name>[a-zA-Z][\w-]*)(?P<inside>(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>")
_ATTRIBUTE = re.compile(
    r"(?<![^\s\"'<>/=\x01])(?P<name>[^\s\"'<>/=\x01]+)\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'>]+))"
)
_ADDRESSES = frozenset({"href", "src", "action", "formaction", "srcset", "poster", "data", "xlink:href"})
_RAW = re.compile(r"\{%[-+]?\s*(raw)\b")
_URL = re.compile(r"\{\{-?\s*([a-z_]+\.)*([a-z_]*_)?url\s*-?\}\}")


def check_template(report: Report) -> None:
    """Everything that can be seen of one template without running it."""
    text: str = report.source.data
    try:
        tree = _ENV.parse(text)
    except TemplateSyntaxError as error:
        line = report.source.line(error.lineno)
        before = sum(len(one) + 1 for one in text.split("\n")[: error.lineno - 1])
        offset = before + len(line) - len(line.lstrip())
        report.inside((), offset, "template", f"this is no template: {error.message}", width=len(line.strip()) or 1)
        return
    except RecursionError:
        report.inside((), 0, "template", "this is nested too deeply")
        return
    _nodes(report, tree)
    if raw := _RAW.search(text):
        message = "`raw` cannot be used in a card"
        report.inside((), raw.start(1), "template", message, "write a brace as &#123;", width=3)
        return
    _markup(report, _marked(text))


def _nodes(report: Report, tree: nodes.Template) -> None:
    macros = {one.name for one in tree.find_all(nodes.Macro)}
    for node in tree.find_all(nodes.Node):
        if type(node) in _REFUSED:
            word, cure = _REFUSED[type(node)]
            _at(report, node.lineno, word, f"`{word}` cannot be used in a card", cure)
        elif isinstance(node, nodes.Filter) and node.name not in FILTERS:
            cure = _CURES.get(node.name) or did_you_mean(node.name, FILTERS) or f"there is {listed(FILTERS)}"
            _at(report, node.lineno, node.name, f"cards have no filter '{node.name}'", cure)
        elif isinstance(node, nodes.Test) and node.name not in TESTS:
            _at(report, node.lineno, node.name, f"cards have no test '{node.name}'", f"there is {listed(TESTS)}")
        elif isinstance(node, nodes.Call) and getattr(node.node, "name", "") not in macros:
            _at(report, node.lineno, "(", "cards call nothing but their own macros", "use a filter")
        elif isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
            _at(report, node.lineno, node.attr, f"'{node.attr}' cannot be read", "delete it")
        elif isinstance(node, (nodes.Mul, nodes.Pow)):
            _at(report, node.lineno, "*", "cards do not multiply", "amounts come ready from Shopify")


def _at(report: Report, number: int, word: str, message: str, cure: str) -> None:
    lines = report.source.text.split("\n")
    before = sum(len(one) + 1 for one in lines[: number - 1])
    whole = rf"(?<!\w){re.escape(word)}(?!\w)" if word.isidentifier() else re.escape(word)
    found = re.search(whole, report.source.line(number))
    report.inside((), before + (found.start() if found else 0), "template", message, cure, width=len(word))


def _marked(text: str) -> str:
    """The markup alone, everything at its place: each `{{ }}` marked, statements and comments blanked."""

    def blank(found: re.Match[str]) -> str:
        fill = _MARK if found.group().startswith("{{") else " "
        return re.sub(r"[^\n]", fill, found.group())

    return _INSERTED.sub(blank, text)


def _markup(report: Report, markup: str) -> None:
    for tag in _TAG.finditer(markup):
        _attributes(report, tag)
        name = tag["name"].lower()
        if name in ("script", "style"):
            end = re.compile(rf"</{name}", re.IGNORECASE).search(markup, tag.end())
            inside = markup.find(_MARK, tag.end(), end.start() if end else len(markup))
            if inside >= 0:
                _found(report, inside, f"a value cannot stand inside <{name}>", "use a data- attribute")


def _attributes(report: Report, tag: re.Match[str]) -> None:
    start = tag.start("inside")
    for one in _ATTRIBUTE.finditer(tag["inside"]):
        value = next(each for each in (one["double"], one["single"], one["bare"]) if each is not None)
        if _MARK not in value:
            continue
        name, at = one["name"].lower(), start + one.start() + one.group().index(_MARK)
        if one["bare"] is not None:
            _found(report, at, f"a value in '{name}' needs quotes around it", f'write {name}="{{{{ … }}}}"')
        elif name.startswith("on") or name in ("style", "srcdoc"):
            _found(report, at, f"a value cannot stand inside '{name}'", "use a class or a data- attribute")
        elif name in _ADDRESSES and not _is_url(report.source.text, at, value):
            _found(
                report, at, f"'{name}' takes only a whole address the plugin made", "use a value called url or …_url"
            )


def _is_url(text: str, at: int, value: str) -> bool:
    found = _URL.match(text, at)
    return found is not None and value.strip() == _MARK * len(found.group())


def _found(report: Report, offset: int, message: str, cure: str) -> None:
    end = report.source.text.find("}}", offset)
    report.inside((), offset, "template", message, cure, width=max(2, end + 2 - offset))
