"""The production processes: gunicorn with threads for the web, and a worker for the background."""

import fcntl
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from plugin.app import Config, Worker, build
from plugin.web import create_web


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    """Builds the program in every process after the fork: database connections are never shared."""

    def __init__(self, root: Path, config: Config, lock: Path | None, options: dict[str, Any]) -> None:
        self._root = root
        self._config = config
        self._lock = lock
        self._options = options
        self._worker: Worker | None = None
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)
        self.cfg.set("worker_exit", self._ended)

    def _ended(self, _server: Any, _process: Any) -> None:
        if self._worker is not None:
            self._worker.stop()

    def load(self) -> Any:
        app = build(self._config, self._root)
        if self._lock is not None:
            self._worker = Worker(app, turn=one_of_many(self._lock.open("rb")))
            self._worker.start()
        return create_web(app)


def serve(root: Path, config: Config, bind: str, workers: int, background: bool | None) -> None:
    """Serve until stopped. One of the web processes works in the background too; None: on SQLite only.

    Raises FixTheBundle, FixTheSetup before anything listens.
    """
    build(config, root).close()
    options = {"bind": bind, "workers": workers, "worker_class": "gthread", "threads": 8, "timeout": 60}
    inside = config.database.startswith("sqlite") if background is None else background
    master, lock = os.getpid(), Path(tempfile.mkstemp(prefix="order-actions-worker-")[1])
    try:
        _Gunicorn(root, config, lock if inside else None, {**options, "control_socket_disable": True}).run()
    finally:
        if os.getpid() == master:  # every forked process comes by here too when it ends
            lock.unlink()


def one_of_many(file: IO[bytes]) -> Callable[[], bool]:
    """True for one of those who opened the same file; when its process ends, another takes its turn."""

    def mine() -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    return mine


def work(root: Path, config: Config) -> None:
    """Work in the background until SIGTERM or SIGINT. Raises FixTheBundle, FixTheSetup."""
    app = build(config, root)
    worker = Worker(app)
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: worker.end())
    worker.work()
    app.close()
