"""Many requests at once over connections that stay open, and how long each answer took."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None = None


@dataclass
class Load:
    """Seconds of each answer by its status, and the time of all together."""

    took: dict[int, list[float]] = field(default_factory=dict)
    seconds: float = 0.0

    def rate(self, status: int = 200) -> float:
        return len(self.took.get(status, [])) / self.seconds

    def within(self, share: float, status: int = 200) -> float:
        """The time within which this share of the answers came."""
        return sorted(self.took[status])[int(share * (len(self.took[status]) - 1))]

    def add(self, other: "Load") -> None:
        self.seconds += other.seconds
        for status, times in other.took.items():
            self.took.setdefault(status, []).extend(times)


def for_seconds(seconds: float, make: Callable[[int], Request]) -> Iterator[Request]:
    """The first, second, third … request, until the time is over."""
    end, number = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        yield make(number)
        number += 1


def press(address: str, asked: Iterator[Request], threads: int, expected: Sequence[int] = (200,)) -> Load:
    """Send them all from so many threads. Raises RuntimeError for an answer that nobody expected."""
    load, lock, wrong = Load(), threading.Lock(), []

    def work() -> None:
        connection = HTTPConnection(address, timeout=60)
        while not wrong:
            with lock:
                one = next(asked, None)
            if one is None:
                break
            start = time.perf_counter()
            connection.request(one.method, one.path, one.body, one.headers)
            answer = connection.getresponse()
            text = answer.read()
            took = time.perf_counter() - start
            with lock:
                load.took.setdefault(answer.status, []).append(took)
                if answer.status not in expected:
                    wrong.append(f"{one.method} {one.path}: {answer.status} {text[:300]!r}")
        connection.close()

    start = time.perf_counter()
    pressing = [threading.Thread(target=work) for _ in range(threads)]
    for thread in pressing:
        thread.start()
    for thread in pressing:
        thread.join()
    load.seconds = time.perf_counter() - start
    if wrong:
        raise RuntimeError(wrong[0])
    return load
