"""Renders the card templates: sandboxed, autoescaped, strict, with formatting filters only."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Template, TemplateError
from markupsafe import escape

from plugin.errors import FixTheBundle
from plugin.expr import sandbox
from plugin.filters import isolated, label, show_date
from plugin.money import Money

MAX_HTML = 512 * 1024


def _datetime(moment: str) -> str:
    when = datetime.fromisoformat(moment).astimezone(UTC)
    return f"{when.day} {when:%b %Y, %H:%M} UTC"


def _ago(seconds: int) -> str:
    """`just now`, `40 seconds ago`, `3 minutes ago`."""
    if seconds < 10:
        return "just now"
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return f"{seconds} seconds ago"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "money": Money.show,
    "minus": lambda value: (-value).show(),
    "date": show_date,
    "datetime": _datetime,
    "ago": _ago,
    "label": label,
    "length": len,
    "join": lambda rows, between=", ": between.join(rows),
    "e": escape,
}


def _shown(value: Any) -> Any:
    """Every text of a card stands apart from the words around it; a box shows what was typed, by `e`."""
    return isolated(value) if type(value) is str else value


_ENV = sandbox(FILTERS, autoescape=True, finalize=_shown)


@lru_cache(maxsize=64)
def _compiled(text: str) -> Template:
    return _ENV.from_string(text)


class Cards:
    """The compiled templates of a bundle."""

    def __init__(self, root: Path, templates: Mapping[str, str]) -> None:
        try:
            self._templates = {
                name: _compiled((root / path).read_text(encoding="utf-8")) for name, path in templates.items()
            }
        except (OSError, TemplateError) as error:
            raise FixTheBundle(f"A card template cannot be used: {error}") from error

    def render(self, name: str, context: Mapping[str, Any]) -> str:
        """One fragment of HTML. Raises TemplateError when the context lacks what the template reads."""
        html = self._templates[name].render(context)
        if len(html) > MAX_HTML:
            raise TemplateError(f"the template {name} made more than {MAX_HTML} characters")
        return html
