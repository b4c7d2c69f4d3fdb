"""Processes that are to be killed: the real web door and worker, with a SIGKILL waiting at one point.

This process loads the program once and forks whenever it reads a line `POINT VISIT` (`- 0`: nothing waits), so
that a start takes no second; what it forks is a process of its own and answers with its number and its port.
Only this file reads PROOF variables; the program knows neither them nor any way to be killed.
"""

import os
import signal
import sys
import threading
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NoReturn

import structlog
from werkzeug.serving import make_server

from plugin import points, runtime, sync
from plugin.app import Config, config_from, plug
from plugin.points import Point
from plugin.web import create_web
from plugin.worker import Worker
from tests.shared import ROOT
from tests.world import _bundle

WIRE = ("CONNECTED", "HALF_SENT", "SENT", "HALF_ANSWERED")
SOON = 1.0  # seconds of a lease, and of a run's youth; a proof cannot wait for the usual minute


def kill_at(point: Point, visit: int, mark: Path) -> None:
    """The k-th time this process comes to the point, it is gone; the mark tells that it was this and nothing else."""
    seen: Counter[Point] = Counter()

    def watch(reached: Point) -> None:
        seen[reached] += 1
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


def live(config: Config, point: str, visit: str) -> None:
    """Serve and work until the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    app = plug(config, ROOT, _bundle())
    mark = Path(os.environ["PROOF_MARK"])
    if point in WIRE:
        kill_on_the_wire(point, mark)
    elif point != "-":
        kill_at(Point[point], int(visit), mark)
    server = make_server("127.0.0.1", 0, create_web(app), threaded=True)
    print(os.getpid(), server.server_port, flush=True)
    Worker(app, pause=0.1).start()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.pause()


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is the proof's
    named = {name: value for name, value in os.environ.items() if name.startswith("ORDER_ACTIONS_")}
    config = config_from(named)
    runtime.LEASE_SECONDS = sync.ABANDONED = SOON
    _bundle()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    for line in sys.stdin:
        if os.fork() == 0:
            live(config, *line.split())


if __name__ == "__main__":
    main()
