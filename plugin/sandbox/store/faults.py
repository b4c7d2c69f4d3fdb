"""Faults on demand: what may go wrong between the store and whoever calls it."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

KINDS = {
    "done-then-timeout": "carried out, and never answered",
    "timeout-not-done": "neither carried out nor answered",
    "502-before": "not carried out, HTTP 502",
    "502-after": "carried out, HTTP 502",
    "cut-body": "carried out, and half of the answer is sent",
    "html": "not carried out, HTTP 200 with a page instead of JSON",
    "slow": "carried out, and answered late",
    "data-null": "carried out, answered with INTERNAL_SERVER_ERROR and data null",
    "throttled": "not carried out, THROTTLED with HTTP 200",
    "reset": "not carried out, and the connection is reset",
    "refused": "not carried out, refused by a user error",
    "previous-failed": "not carried out, refused as an earlier attempt with this key that failed",
}
DONE = {"done-then-timeout", "502-after", "cut-body", "slow", "data-null"}


@dataclass
class Fault:
    """`on` is `mutation`, `query` or a root field; `seconds` is how long `slow` and the timeouts last."""

    on: str
    kind: str
    times: int = 1
    seconds: float = 60.0

    @property
    def carries_out(self) -> bool:
        return self.kind in DONE


class Faults:
    """The faults that wait for their request."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        if fault.kind not in KINDS:
            raise ValueError(f"unknown kind {fault.kind!r}; known are {', '.join(KINDS)}")
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def take(self, kind: str, roots: Sequence[str]) -> Fault | None:
        """The first fault that fits this request, used once."""
        with self._lock:
            for one in self._waiting:
                if one.on == kind or one.on in roots:
                    one.times -= 1
                    if one.times <= 0:
                        self._waiting.remove(one)
                    return one
        return None

    def shown(self) -> list[dict[str, object]]:
        with self._lock:
            return [{"on": one.on, "kind": one.kind, "times": one.times} for one in self._waiting]
