"""Figures for Prometheus: one table each of counters, times and gauges; right also when processes share a folder."""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

PREFIX = "order_actions_"
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# name: (help, labels). No label holds an agent, a customer, an order or anything a stranger may choose.
COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "runs_begun": ("Runs written down.", ("action",)),
    "runs_closed": ("Runs that ended, by how.", ("action", "outcome")),
    "decisions": ("Decisions of people about runs in doubt, by what they chose.", ("decision",)),
    "sends": ("Mutations sent, by what the answer proved.", ("verdict",)),
    "shopify_reads": ("Queries of Shopify, by what came of the call: ok, throttled or failed.", ("result",)),
    "webhooks": ("Webhooks, by result: taken, repeated, ignored or refused.", ("result",)),
    "notes": ("Deliveries of notes to the CRM, by result: sent or late.", ("result",)),
    "alarms_raised": ("Alarms raised, by kind.", ("kind",)),
    "submits_shed": ("Presses and readings refused because the server was full.", ("gate",)),
    "http_requests": ("Requests answered.", ("route", "method", "status")),
}
TIMES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "http_seconds": ("Time to answer a request.", ("route",)),
    "shopify_seconds": ("Time of one call to Shopify: read or send.", ("call",)),
}
# Read from the database at every scrape, so they are right whichever process is asked.
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "open_runs": ("Open runs, by the state of the step they stand at.", ("state",)),
    "oldest_doubt_seconds": ("Age of the oldest call whose fate is unknown; 0 when there is none.", ()),
    "notes_waiting": ("Notes that the CRM has not taken yet.", ()),
    "active_alarms": ("Alarms that nobody has lifted, by kind.", ("kind",)),
}

_MAKING = threading.Lock()
Figures = Mapping[str, Mapping[tuple[str, ...], float]]  # gauge: its labels' values: number


def share(folder: str) -> None:
    """From now on, processes forked from this one count into `folder`. Before the first count, or not at all:
    prometheus_client decides it when it is imported, so it is imported late (`_made`)."""
    os.environ[FOLDER] = folder


def forget(pid: int) -> None:
    """A process of those that share a folder has ended; what it counted stays."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]


def count(name: str, **labels: str) -> None:
    with suppress(OSError):  # no room for the shared files must not stop what is counted
        _own()[name].labels(**labels).inc()


def took(name: str, seconds: float, **labels: str) -> None:
    with suppress(OSError):
        _own()[name].labels(**labels).observe(seconds)


def _own() -> dict[str, Any]:
    """Made by the first who counts, and by nobody else meanwhile: a name may be registered once."""
    with _MAKING:
        return _made()


@cache
def _made() -> dict[str, Any]:
    from prometheus_client import Counter, Histogram

    own = _registry()
    made: dict[str, Any] = {
        name: Counter(PREFIX + name, text, labels, registry=own) for name, (text, labels) in COUNTERS.items()
    }
    for name, (text, labels) in TIMES.items():
        made[name] = Histogram(PREFIX + name, text, labels, registry=own, buckets=BUCKETS)
    return made


@cache
def _registry() -> Any:
    from prometheus_client import CollectorRegistry

    return CollectorRegistry()


def exposed(figures: Figures) -> bytes:
    """Everything in Prometheus' text format: what all processes counted, and the database's `figures`."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    _own()
    counted = _registry()
    if FOLDER in os.environ:
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    read = CollectorRegistry()
    read.register(_Read(figures))
    return generate_latest(counted) + generate_latest(read)


class _Read:
    """The collector of the figures that were read just now."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        for name, (text, labels) in GAUGES.items():
            family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
            for values, number in self._figures.get(name, {}).items():
                family.add_metric(values, number)
            yield family


def documented() -> Iterable[tuple[str, str, str]]:
    """Name, labels and help of every figure, for the documents."""
    for table, ending in ((COUNTERS, "_total"), (TIMES, ""), (GAUGES, "")):
        for name, (text, labels) in table.items():
            yield f"{PREFIX}{name}{ending}", ", ".join(labels), text
