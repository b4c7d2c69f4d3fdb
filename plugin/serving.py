"""The production server: gunicorn with threads, and the background work beside each web process."""

import os
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from plugin.app import Worker, build, config_from
from plugin.web import create_web


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    """Builds the program in every process after the fork: database connections are never shared."""

    def __init__(self, root: Path, options: dict[str, Any]) -> None:
        self._root = root
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        app = build(config_from(os.environ), self._root)
        Worker(app).start()  # leases let each open run be carried on by one process at a time
        return create_web(app)


def serve(root: Path, bind: str, workers: int) -> None:
    """Serve until stopped. Raises FixTheBundle, FixTheSetup before anything listens."""
    build(config_from(os.environ), root)
    options = {"bind": bind, "workers": workers, "worker_class": "gthread", "threads": 8, "timeout": 60}
    _Gunicorn(root, {**options, "control_socket_disable": True}).run()
