"""A bounded door: so many at once, and the next is told at once that nothing was done."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from plugin.errors import TooBusy
from plugin.logs import tell

THREADS = 16  # of one web process
MOST = {"submits": 8, "requests": THREADS - 2}  # two threads stay free to refuse, and to answer /healthz
FULL = "Too many people are at it just now. Nothing was done; try again in some seconds."
RETRY_AFTER = 5


class Gate:
    def __init__(self, name: str, most: int | None = None) -> None:
        self._name = name
        self._free = threading.BoundedSemaphore(MOST[name] if most is None else most)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Raises TooBusy instead of waiting."""
        if not self._free.acquire(blocking=False):
            tell("request.shed", gate=self._name)
            raise TooBusy(FULL)
        try:
            yield
        finally:
            self._free.release()
