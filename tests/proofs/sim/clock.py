"""Simulated time: processes are greenlets, and whoever waits lets the others run."""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from greenlet import getcurrent, greenlet

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = 40 * 3600.0  # in which all that waits for a whole day comes to its end, too


class Killed(BaseException):
    """SIGKILL: no `except` and no `finally` of the code under test does anything any more."""


class Hub:
    """What happens next, in order of time; equal times in order of arrival."""

    def __init__(self) -> None:
        self.now = 0.0
        self.over = False
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self._main = getcurrent()
        self._asleep: set[greenlet] = set()

    def at(self, when: float, what: Callable[[], object]) -> None:
        self._count += 1
        heapq.heappush(self._due, (max(when, self.now), self._count, what))

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        self.at(self.now + seconds, what)

    def spawn(self, seconds: float, work: Callable[[], object]) -> None:
        """A process begins: from then on it runs until it waits."""
        self.at(self.now + seconds, greenlet(work, self._main).switch)

    def sleep(self, seconds: float) -> None:
        own = getcurrent()
        self.at(self.now + seconds, own.switch)
        self._asleep.add(own)
        self._main.switch()
        self._asleep.discard(own)
        if self.over:
            raise Killed

    def run(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            self.now, _, what = heapq.heappop(self._due)
            what()
        self.over = True
        for one in list(self._asleep):
            one.switch()

    def moment(self) -> datetime:
        return START + timedelta(seconds=self.now)
