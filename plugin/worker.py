"""What works in the background of an installation, in threads or as a process of its own."""

import threading
from collections.abc import Callable

from plugin import alarms, privacy, subscriptions, sync
from plugin.app import App
from plugin.logs import tell

Duty = Callable[[App], object]


class Worker:
    """Carries on open runs and does errands until stopped; only while it is its turn, if there are several.

    A CRM that hangs may keep an errand for a minute. What became of money is found out in a thread of its own
    that waits for no CRM.
    """

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
        """Ask `work` to return; it does so after the run and the notes in hand."""
        self._stop.set()

    def work(self) -> None:
        tell("worker.started")
        errands = threading.Thread(target=self._repeat, args=_ERRANDS, name="errands", daemon=True)
        errands.start()
        self._repeat(self._carry_on, lambda app: alarms.watch(app.tools))
        errands.join()
        tell("worker.stopped")

    def _carry_on(self, app: App) -> None:
        sync.carry_on(app.tools, self._stop.is_set)

    def _repeat(self, *duties: Duty) -> None:
        while not self._stop.wait(self._pause):
            for duty in duties:
                try:
                    if self._turn():
                        duty(self._app)
                except Exception as error:  # noqa: BLE001 - the door of the background: it goes on with the next duty
                    tell("worker.failed", raised=error)


_ERRANDS: tuple[Duty, ...] = (
    lambda app: sync.deliver_notes(app.tools),
    lambda app: sync.deliver_orders(app.tools),
    subscriptions.look_after,
    privacy.carry_out,
)
