"""The notes the plugin leaves on a timeline: each once, by its external id."""

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Note:
    external_id: str
    customer_id: str
    order: str
    author_id: str
    author_name: str
    body: str
    url: str
    at: str


def parse(body: Any) -> Note:
    """A posted note. Raises ValueError naming what is missing."""
    if not isinstance(body, Mapping):
        raise ValueError("a note is a JSON object")
    author = body.get("author")
    if not isinstance(author, Mapping):
        raise ValueError("a note has an author with id and name")
    texts = {name: body.get(name) for name in ("external_id", "customer_id", "order", "body", "url")}
    texts |= {"author_id": author.get("id"), "author_name": author.get("name")}
    wrong = sorted(name for name, value in texts.items() if not isinstance(value, str) or len(value) > 5000)
    if wrong:
        raise ValueError(f"text is needed for {', '.join(wrong)}")
    return Note(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: str(text) for name, text in texts.items()},
    )


@dataclass
class Notes:
    """All notes in the order they came; thread-safe."""

    _kept: dict[str, Note] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, note: Note) -> bool:
        """Whether the note is new; one that was kept before stays as it was."""
        with self._lock:
            return self._kept.setdefault(note.external_id, note) is note

    def shown(self, customer_id: str | None = None) -> list[dict[str, str]]:
        with self._lock:
            kept = list(self._kept.values())
        return [asdict(one) for one in kept if customer_id in (None, one.customer_id)]
