"""Renders card templates with the product's own renderer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugin.cards import Cards

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "card_templates"
_CARDS = Cards(ROOT, {path.name: f"card_templates/{path.name}" for path in sorted(TEMPLATES.glob("*.html"))})


def render(template: str, context: Mapping[str, Any]) -> str:
    return _CARDS.render(template, context)
