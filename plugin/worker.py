"""What works in the background of an installation, in a thread or as a process of its own."""

import threading
from collections.abc import Callable

from plugin import alarms, privacy, subscriptions, sync
from plugin.app import App
from plugin.logs import tell


class Worker:
    """Carries on open runs and delivers notes until stopped; only while it is its turn, if there are several."""

    def __init__(self, app: App, pause: float = 1.0, turn: Callable[[], bool] = lambda: True) -> None:
        self._app = app
        self._pause = pause
        self._turn = turn
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.work, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The run and the notes in hand are finished first."""
        self.end()
        self._thread.join(timeout=25)

    def end(self) -> None:
        """Ask `work` to return; it does so after the run or the notes in hand."""
        self._stop.set()

    def work(self) -> None:
        tell("worker.started")
        while not self._stop.wait(self._pause):
            if not self._turn():
                continue
            try:
                sync.carry_on(self._app.tools, self._stop.is_set)
                sync.deliver_notes(self._app.tools)
                sync.deliver_orders(self._app.tools)
                alarms.watch(self._app.tools)
                subscriptions.look_after(self._app)
                privacy.carry_out(self._app)
            except Exception as error:  # noqa: BLE001 - the door of the background: one bad run must not stop the others
                tell("worker.failed", raised=error)
        tell("worker.stopped")
