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
from plugin.app import App, Config, build, copy_bundle, load, plug
from plugin.gate import THREADS
from plugin.logs import tell
from plugin.monitoring import watched
from plugin.web import create_web
from plugin.worker import Worker

GRACE = 50  # seconds a process that is told to end goes on with what it has begun; longer than one call may take

KEPT = 3  # copies of the bundle: processes of the one before may still be at work


class _Shelf:
    """The bundle of all processes, in memory once: a copy from the start or the last SIGHUP, as its folder may be half
    edited whenever a process is started anew."""

    def __init__(self, root: Path, config: Config, folder: Path) -> None:
        self._root = root
        self._config = config
        self._folder = folder
        self._copies: list[Path] = []
        self.take()

    def take(self) -> None:
        """Raises FixTheBundle, FixTheSetup; the bundle taken before stays then."""
        bundle, _warnings = load(self._root)
        copy = Path(tempfile.mkdtemp(prefix="bundle-", dir=self._folder))
        try:
            copy_bundle(self._root, copy)
            plug(self._config, copy, bundle).close()
        except Exception:
            shutil.rmtree(copy)
            raise
        self._bundle = bundle
        self._copies.append(copy)
        for old in self._copies[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def plug(self) -> App:
        return plug(self._config, self._copies[-1], self._bundle)


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    """Plugs the program in in every process after the fork: database connections are never shared."""

    def __init__(self, shelf: _Shelf, lock: Path | None, options: dict[str, Any]) -> None:
        self._shelf = shelf
        self._lock = lock
        self._options = options
        self._worker: Worker | None = None
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)
        self.cfg.set("worker_exit", self._ended)

    def reload(self) -> None:
        """SIGHUP: new processes take the bundle as it is now; one with an error changes nothing."""
        try:
            self._shelf.take()
            tell("bundle.taken", pid=os.getpid())
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the server goes on as before
            tell("bundle.refused", pid=os.getpid(), error=type(error).__name__, said=str(error))
        super().reload()

    def _ended(self, _server: Any, _process: Any) -> None:
        if self._worker is not None:
            self._worker.stop()

    def load(self) -> Any:
        app = self._shelf.plug()
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
    master, folder = os.getpid(), Path(tempfile.mkdtemp(prefix="order-actions-serve-", dir=_memory()))
    try:
        _serve(_Shelf(root, config, folder), config, folder, bind, workers, background)
    finally:
        if os.getpid() == master:  # every forked process comes by here too when it ends
            shutil.rmtree(folder, ignore_errors=True)


def _serve(shelf: _Shelf, config: Config, folder: Path, bind: str, workers: int, background: bool | None) -> None:
    logs.configure()
    metrics.share(str(folder))
    lock = folder / "worker.lock"
    lock.touch()
    inside = config.database.startswith("sqlite") if background is None else background
    options = {"bind": bind, "workers": workers, "worker_class": "gthread", "threads": THREADS, "timeout": 60,
               "graceful_timeout": GRACE, "child_exit": _child_exit, "logconfig_dict": _LIBRARIES}  # fmt: skip
    master = os.getpid()
    try:
        gc.freeze()  # what is there now lives as long as we do: collecting it would copy it into every process
        _Gunicorn(shelf, lock if inside else None, {**options, "control_socket_disable": True}).run()
    finally:
        if os.getpid() == master:
            tell("server.stopped", pid=master, bind=bind)


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
