"""The production server: gunicorn with threads, and the background work beside each web process."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from plugin import logs, metrics
from plugin.app import Worker, build, config_from
from plugin.gate import THREADS
from plugin.logs import tell
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
        tell("server.started", pid=os.getpid(), bind=str(self._options["bind"]))
        Worker(app).start()  # leases let each open run be carried on by one process at a time
        return create_web(app)


def serve(root: Path, bind: str, workers: int) -> None:
    """Serve until stopped. Raises FixTheBundle, FixTheSetup before anything listens."""
    build(config_from(os.environ), root)
    logs.configure()
    master, folder = os.getpid(), tempfile.mkdtemp(prefix="order-actions-metrics-", dir=_memory())
    metrics.share(folder)
    options = {"bind": bind, "workers": workers, "worker_class": "gthread", "threads": THREADS, "timeout": 60,
               "child_exit": _child_exit, "logconfig_dict": _LIBRARIES}  # fmt: skip
    try:
        _Gunicorn(root, {**options, "control_socket_disable": True}).run()
    finally:
        if os.getpid() == master:  # a forked process comes by here too when it ends
            tell("server.stopped", pid=master, bind=bind)
            shutil.rmtree(folder, ignore_errors=True)


_LIBRARIES = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "WARNING", "handlers": ["ours"]},
    "handlers": {"ours": {"()": logs.library_handler}},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["ours"], "propagate": False}},
}


def _memory() -> str | None:
    """Processes count in files mapped into memory. On a full disk writing those would kill the process."""
    return next((one for one in ("/dev/shm",) if os.access(one, os.W_OK)), None)


def _child_exit(_server: Any, worker: Any) -> None:
    metrics.forget(worker.pid)
