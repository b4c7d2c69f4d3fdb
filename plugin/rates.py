"""How often one agent, one store or one address may ask in a minute, together over all processes.

A process takes a portion of a minute's requests from the shared row before it lets any of them in, so what all
processes let in is never more than the rate; what one holds and does not use is lost to the others.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plugin.errors import FixTheSetup, TooOften
from plugin.ports import Clock, Counts

RATES: Mapping[str, int] = {"agent": 300, "store": 6000, "address": 300}  # requests a minute; 0: any number
PORTIONS = 20  # of a minute's requests; the fewer, the more is lost, the more, the more is written
_CLOSED = -1  # nothing is left of this minute, and nobody asks for more
TOO_OFTEN = "Too many requests came from here. This one did nothing; try again in {seconds} seconds."


def rates_of(chosen: Sequence[str]) -> dict[str, int]:
    """The rates with an installation's own over them, `agent=600` each. Raises FixTheSetup."""
    rates = dict(RATES)
    for text in chosen:
        name, _, number = text.partition("=")
        if name not in rates or not (number.isascii() and number.isdigit() and len(number) < 8):
            raise FixTheSetup(f"ORDER_ACTIONS_RATES has {text!r}; write it like {written(RATES)}.")
        rates[name] = int(number)
    return rates


def written(rates: Mapping[str, int]) -> str:
    return ",".join(f"{name}={number}" for name, number in rates.items())


@dataclass
class Rates:
    """What this process holds of the present minute: requests left, for each of whom it was asked."""

    most: Mapping[str, int]
    counts: Counts
    clock: Clock
    _minute: int = 0
    _left: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def spend(self, kind: str, who: str) -> None:
        """One request of this agent, store or address. Raises TooOften."""
        most = self.most[kind]
        if not most:
            return
        minute, second = divmod(int(self.clock.now().timestamp()), 60)
        while not self._spent(minute, (kind, who)):
            portion = max(1, most // PORTIONS)
            if self._is_closed((kind, who)) or not self.counts.take(kind, who, minute, portion, most):
                self._close(minute, (kind, who))
                raise TooOften(TOO_OFTEN.format(seconds=60 - second), 60 - second)
            self._add(minute, (kind, who), portion)

    def _spent(self, minute: int, who: tuple[str, str]) -> bool:
        with self._lock:
            if self._minute != minute:
                self._minute, self._left = minute, {}
            left = self._left.get(who, 0)
            if left > 0:
                self._left[who] = left - 1
            return left > 0

    def _is_closed(self, who: tuple[str, str]) -> bool:
        with self._lock:
            return self._left.get(who) == _CLOSED

    def _close(self, minute: int, who: tuple[str, str]) -> None:
        with self._lock:
            if self._minute == minute and self._left.get(who, 0) <= 0:
                self._left[who] = _CLOSED

    def _add(self, minute: int, who: tuple[str, str], portion: int) -> None:
        with self._lock:
            if self._minute == minute:
                self._left[who] = max(0, self._left.get(who, 0)) + portion


