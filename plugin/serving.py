"""The production processes: gunicorn with threads for the web, and a worker for the background."""

import fcntl
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from plugin import logs, metrics
from plugin.app import App, Config, build, load, plug
from plugin.gate import THREADS
from plugin.logs import tell
from plugin.monitoring import watched
from plugin.web import create_web
from plugin.worker import Worker

GRACE = 50  # seconds a process that is told to end goes on with what it has begun; longer than one call may take


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    """Plugs the program in in every process after the fork: database connections are never shared.

    The bundle is: what all processes only read is in memory once.
    """

    def __init__(self, make: Callable[[], App], lock: Path | None, options: dict[str, Any]) -> None:
        self._make = make
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
        app = self._make()
        tell("server.started", pid=os.getpid(), bind=str(self._options["bind"]))
        if self._lock is not None:
            self._worker = Worker(app, turn=one_of_many(self._lock.open("rb")))
            self._worker.start()
        return create_web(app)


def serve(root: Path, config: Config, bind: str, workers: int, background: bool | None) -> None:
    """Serve until stopped. One of the web processes works in the background too; None: on SQLite only.

    A socket that systemd opened (LISTEN_FDS) is taken instead of `bind`: it stays open while we start again.
    Raises FixTheBundle, FixTheSetup before anything listens.
    """
    bundle, _warnings = load(root)

    def make() -> App:
        return plug(config, root, bundle)

    make().close()
    logs.configure()
    master, folder = os.getpid(), Path(tempfile.mkdtemp(prefix="order-actions-serve-", dir=_memory()))
    metrics.share(str(folder))
    lock = folder / "worker.lock"
    lock.touch()
    inside = config.database.startswith("sqlite") if background is None else background
    options = {"bind": bind, "workers": workers, "worker_class": "gthread", "threads": THREADS, "timeout": 60,
               "graceful_timeout": GRACE, "child_exit": _child_exit, "logconfig_dict": _LIBRARIES}  # fmt: skip
    try:
        gc.freeze()  # what is there now lives as long as we do: collecting it would copy it into every process
        _Gunicorn(make, lock if inside else None, {**options, "control_socket_disable": True}).run()
    finally:
        if os.getpid() == master:  # every forked process comes by here too when it ends
            tell("server.stopped", pid=master, bind=bind)
            shutil.rmtree(folder, ignore_errors=True)


def one_of_many(file: IO[bytes]) -> Callable[[], bool]:
    """True for one of those who opened the same file; when its process ends, another takes its turn."""

    def mine() -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    return mine


def work(root: Path, config: Config, bind: str | None) -> None:
    """Work in the background until SIGTERM or SIGINT. Raises FixTheBundle, FixTheSetup.

    Its health and figures stand at `bind`, if that is given: nobody else can tell what this process counted.
    """
    app = build(config, root)
    logs.configure()
    worker = Worker(app)
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: worker.end())
    with watched(app, bind) if bind else nullcontext():
        worker.work()
    app.close()


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
