"""A process that is to be killed: the real web server or worker, with a SIGKILL waiting at one point.

`PROOF_POINT` names the point and `PROOF_VISIT` the visit. Only this file reads them; the program knows neither.
"""

import os
import signal
import sys
import threading
from collections import Counter

import structlog
from werkzeug.serving import make_server

from plugin import points, runtime
from plugin.app import Worker, config_from, plug
from plugin.points import Point
from plugin.web import create_web
from tests.shared import ROOT
from tests.world import _bundle


def kill_at(point: Point, visit: int) -> None:
    """The k-th time this process comes to the point, it is gone."""
    seen: Counter[Point] = Counter()

    def watch(reached: Point) -> None:
        seen[reached] += 1
        if reached is point and seen[reached] == visit:
            os.kill(os.getpid(), signal.SIGKILL)

    points.hook = watch


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is the proof's
    config = config_from({name: value for name, value in os.environ.items() if name.startswith("ORDER_ACTIONS_")})
    config = type(config)(**{**vars(config), "store_url": os.environ["PROOF_STORE"]})
    app = plug(config, ROOT, _bundle())
    if name := os.environ.get("PROOF_POINT"):
        kill_at(Point[name], int(os.environ["PROOF_VISIT"]))
    runtime.LEASE_SECONDS = float(os.environ.get("PROOF_LEASE", runtime.LEASE_SECONDS))  # a proof cannot wait long
    worker = Worker(app, pause=0.1)
    worker.start()
    server = make_server("127.0.0.1", 0, create_web(app), threaded=True)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()  # ends when the proof closes it
    server.shutdown()
    worker.stop()


if __name__ == "__main__":
    main()
