"""Processes that are to be killed: the real web door and worker, or a command, with a SIGKILL at one point.

This process loads the program once and forks whenever it reads a line `WORK POINT VISIT` (`- 0`: nothing waits), so
that a start takes no second; what it forks is a process of its own and answers with its number and its port.
Only this file reads PROOF variables; the program knows neither them nor any way to be killed.
"""

import os
import signal
import sys
import threading
import time
from collections import Counter
from datetime import date, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NoReturn

import structlog
from sqlalchemy.exc import OperationalError
from werkzeug.serving import make_server

from plugin import backfill, points, runtime, sync
from plugin.app import App, Config, config_from, plug
from plugin.cards import Cards
from plugin.errors import FixTheSetup, TryLater
from plugin.points import Point
from plugin.stores import privacy
from plugin.stores import runs as stored
from plugin.web import create_web
from plugin.worker import Worker
from tests.shared import ROOT
from tests.world import DOMAIN, _bundle

WIRE = ("CONNECTED", "HALF_SENT", "SENT", "HALF_ANSWERED")
IDLE = (Point.NOTES_WRITTEN, Point.NOTES_COMMITTED)  # the worker comes there all the time, mostly for no note at all
SOON = 1.0  # seconds of a lease, and of a run's youth; a proof cannot wait for the usual minutes


def kill_at(point: Point | None, visit: int, mark: Path, trace: Path) -> None:
    """The k-th time this process comes to the point, it is gone; the mark tells that it was this and nothing else."""
    seen: Counter[Point] = Counter()

    def watch(reached: Point) -> None:
        if reached in IDLE and not seen[Point.CLOSED]:
            return
        seen[reached] += 1
        if seen[reached] == 1:
            with trace.open("a", encoding="ascii") as file:
                file.write(f"{reached.name}\n")
        if reached is point and seen[reached] == visit:
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    points.hook = watch


def kill_on_the_wire(moment: str, mark: Path) -> None:
    """Gone while a mutation is on its way: the connection stands, half is sent, all is sent, half is answered."""
    send, answer = HTTPConnection.send, HTTPConnection.getresponse

    def die() -> NoReturn:
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def sending(self: HTTPConnection, data: Any) -> None:
        ours = isinstance(data, bytes) and b'"mutation ' in data
        part = {"CONNECTED": b"", "HALF_SENT": data[: len(data) // 2]}.get(moment, data) if ours else data
        send(self, part)
        if ours and moment != "HALF_ANSWERED":
            die()
        if ours:
            HTTPConnection.getresponse = answering  # type: ignore[method-assign]

    def answering(self: HTTPConnection) -> NoReturn:
        answer(self)
        die()

    HTTPConnection.send = sending  # type: ignore[method-assign]


def live(config: Config, work: str, point: str, visit: str) -> NoReturn:
    """Work until the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    app = _plugged(config)
    mark, trace = Path(os.environ["PROOF_MARK"]), Path(os.environ["PROOF_TRACE"])
    if point in WIRE:
        kill_on_the_wire(point, mark)
    kill_at(None if point in (*WIRE, "-") else Point[point], int(visit), mark, trace)
    WORK[work](app)
    os._exit(0)


def serve(app: App) -> None:
    server = make_server("127.0.0.1", 0, create_web(app), threaded=True)
    print(os.getpid(), server.server_port, flush=True)
    Worker(app, pause=0.1).start()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.pause()


def collect(app: App) -> None:
    """The command that brings in orders, which says itself when it is to be repeated."""
    print(os.getpid(), 0, flush=True)
    while True:
        try:
            backfill.bring_in(app.tools, DOMAIN, backfill.collect(app.tools, DOMAIN, date(2020, 1, 1)))
            return
        except (TryLater, OperationalError):
            time.sleep(0.2)


WORK = {"serve": serve, "collect": collect}


def _plugged(config: Config) -> App:
    """A service that cannot start is started again until it can."""
    while True:
        try:
            return plug(config, ROOT, _bundle())
        except (FixTheSetup, OperationalError):
            time.sleep(0.2)


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is the proof's
    named = {name: value for name, value in os.environ.items() if name.startswith("ORDER_ACTIONS_")}
    config = config_from(named)
    runtime.LEASE_SECONDS = sync.ABANDONED = SOON
    stored.NOTE_LEASE = privacy.LEASE = timedelta(seconds=SOON)
    backfill.STRIDE = 10  # of 42 orders
    Cards(ROOT, {name: one.template for name, one in _bundle().cards.items()})  # compiled once, for all
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    for line in sys.stdin:
        if os.fork() == 0:
            live(config, *line.split())


if __name__ == "__main__":
    main()
