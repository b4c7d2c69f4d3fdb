"""Real kills: store and plugin are processes, a SIGKILL strikes at each point, and the store's ledger judges.

`python -m tests.proofs.kills --kills 1000 --engine sqlite` ends in a line `N kills: 0 double, 0 lost, 0 stuck`.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from html.parser import HTMLParser
from itertools import cycle, islice, product
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import jwt
import requests
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import OperationalError

from plugin.points import Point
from plugin.stores.database import connect, open_database
from plugin.stores.tables import metadata, outbox, runs
from tests.databases import ENGINES, Postgres, postgres_server
from tests.proofs.child import WIRE
from tests.proofs.lab import STAY, may_be_emptied
from tests.shared import ROOT
from tests.world import BASE, CANCEL, DOMAIN, REFUND, SECRET, connected, variables

T = TypeVar("T")
WAIT = 120.0  # seconds until a run counts as stuck; a loaded machine is slow, not wrong
PRESSES = 5  # of an agent whose form was never taken
LANES = 8  # shops side by side, each with a store, a plugin and a database of its own: a kill is mostly waiting
# Points that the life of a refund, a cancel and their notes does not come to here; the crash matrix does.
ELSEWHERE = ("LISTED", "BACKFILL", "WEBHOOK", "REVIEW", "DECISION", "REFUSED", "ALARM", "REDACTION")
ONCE = [*WIRE, *(one.name for one in Point if not one.name.startswith((*ELSEWHERE, "DOUBT", "RESEND")))]
# Killed once more while the worker finds out: what it reads then is nothing, or all that was asked for.
DOUBTFUL = ("SENDING_COMMITTED", "HALF_ANSWERED")
AGAIN = (
    "RUN_DUE", "SCHEDULE_COMMITTED", "LEASE_TAKEN", "ORDER_ANSWERED", "DOUBT", "DOUBT_SEEN", "RESEND",
    "SENDING_WRITTEN", "SENDING_COMMITTED", "HALF_SENT", "SENT", "HALF_ANSWERED", "ANSWERED", "JUDGED",
    "RESULT_WRITTEN", "RESULT_COMMITTED", "CLOSE_WRITTEN", "CLOSED", "NOTE_POSTED",
)  # fmt: skip
ORDER = 1001
WISH = {REFUND: Decimal(25), CANCEL: Decimal("67.5")}


@dataclass(frozen=True)
class Turn:
    """One process after the other is killed at its point, the first while an agent presses."""

    action: str
    strikes: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return " ".join([self.action, *(f"{point}#{visit}" for point, visit in self.strikes)])


TURNS = [
    *(Turn(action, ((point, visit),)) for action, point, visit in product(WISH, ONCE, (1, 2, 3))),
    *(Turn(action, ((first, 1), (then, 1))) for action, first, then in product(WISH, DOUBTFUL, AGAIN)),
]


@dataclass
class Count:
    kills: int = 0
    double: int = 0
    lost: int = 0
    stuck: int = 0
    said: list[str] = field(default_factory=list)

    def line(self) -> str:
        return f"{self.kills} kills: {self.double} double, {self.lost} lost, {self.stuck} stuck"


@contextmanager
def store() -> Iterator[str]:
    """The sandbox store in a process of its own; it survives every kill."""
    command = [sys.executable, "-u", "-m", "plugin.sandbox.store", "--port", "0", "--token", "token",
               "--settle-delay", "0.2", "--cancel-delay", "0.2"]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split(" answers at ")[1].split(";")[0]
        process.kill()


class Plugin:
    """The plugin in a process of its own; `start` again after it was killed, on the same database."""

    def __init__(self, database: str, store_url: str, folder: Path) -> None:
        self.database, self.store_url, self.mark = database, store_url, folder / "killed"
        self.url, self._pid = "", 0
        connected(database, store_url)
        settings = {"ORDER_ACTIONS_SETTINGS": "settle_time=1"}
        own = {"PROOF_MARK": str(self.mark)}
        others = {name: value for name, value in os.environ.items() if not name.startswith("ORDER_ACTIONS_")}
        self._forks = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.child"], cwd=ROOT,
            env=others | variables(database, store_url) | settings | own, text=True,
            bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self, point: str = "-", visit: int = 0) -> None:
        self.mark.unlink(missing_ok=True)
        assert self._forks.stdin is not None and self._forks.stdout is not None
        self._forks.stdin.write(f"{point} {visit}\n")
        pid, port = self._forks.stdout.readline().split()
        self.url, self._pid = f"http://127.0.0.1:{port}", int(pid)

    def gone(self) -> bool:
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return True
        return False

    def killed(self) -> bool:
        return self.mark.exists() and self.gone()

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        _until(self.gone, WAIT)

    def close(self) -> None:
        self.stop()
        self._forks.communicate()


def press(url: str, action: str) -> str:
    """Sign in, open the form, look at the preview, send it; what the card shows, or nothing when nobody answers."""
    now = int(time.time())
    claims = {
        "iss": "desk", "aud": "order-actions", "sub": "ana", "jti": str(random.random()), "iat": now, "exp": now + 60,
        "name": "Ana", "groups": ["Support leads"], "customer": {"id": "c", "email": "ada@example.com", "name": "Ada"},
    }  # fmt: skip
    form_url = f"{url}/stores/{DOMAIN}/orders/{BASE + ORDER}/actions/{action}"
    try:
        token = jwt.encode(claims, SECRET, algorithm="HS256")
        answer = requests.post(f"{url}/session", headers={"Authorization": f"Bearer {token}"}, timeout=10)
        headers = {"Authorization": f"Bearer {answer.json()['session']}"}
        form = posted_by(requests.get(form_url, headers=headers, timeout=10).text)
        if action == REFUND:
            form[next(name for name in form if name.startswith("lines["))] = "1"
            form |= posted_by(requests.post(f"{form_url}/preview", data=form, headers=headers, timeout=10).text)
        return requests.post(form_url, data=form, headers=headers, timeout=20).text
    except (requests.RequestException, KeyError, StopIteration):  # nobody answers, or says that it cannot now
        return ""


class _Form(HTMLParser):
    """The named controls of a form as a browser would send them."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name"), given.get("value") or ""
        if tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.sent):
            self.sent[self._select] = value
        elif tag in ("input", "textarea") and name:
            ticks = given.get("type") in ("checkbox", "radio")
            if not ticks or "checked" in given:
                self.sent[name] = value


def posted_by(html: str) -> dict[str, str]:
    form = _Form()
    form.feed(html)
    return form.sent


def moved(url: str) -> list[Decimal]:
    """The store's own books: the money of each refund of our order."""
    rows = requests.get(f"{url}/_sandbox/ledger", timeout=10).json()
    order = next(one for one in rows if one["id"] == BASE + ORDER)
    return [Decimal(one["amount"]) for one in order["transactions"] if one["kind"] == "REFUND"]


# ---------------------------------------------------------------- one kill


def strike(plugin: Plugin, count: Count, turn: Turn) -> bool:
    """Press, be killed, start again, wait until all is known, compare with the ledger. False: never came there."""
    engine = connect(plugin.database)
    _asked(engine, _empty)
    requests.post(f"{plugin.store_url}/_sandbox/reset", timeout=10)
    struck = 0
    for point, visit in (*turn.strikes, ("-", 0)):
        plugin.start(point, visit)
        _live(plugin, engine, turn.action)
        killed = plugin.killed()
        plugin.stop()
        if not killed:
            break
        struck += 1
    count.kills += struck
    _judge(count, turn, moved(plugin.store_url), _known(engine))
    engine.dispose()
    return struck == len(turn.strikes)


def _live(plugin: Plugin, engine: Engine, action: str) -> None:
    """Until all is known, or the process is killed. Where nothing was written the agent sees that and presses again."""
    for _ in range(PRESSES):
        if not _rows(engine):
            press(plugin.url, action)
        _until(lambda: plugin.killed() or not _rows(engine) or _known(engine) is not None, WAIT)
        if plugin.killed() or _rows(engine):
            return


def _judge(count: Count, turn: Turn, paid: list[Decimal], state: str | None) -> None:
    wish = WISH[turn.action]
    if state is None:
        count.stuck += 1
    elif len(paid) > 1 or sum(paid) > wish:
        count.double += 1
    elif (state == "done" and sum(paid) != wish) or (state == "failed" and paid):
        count.lost += 1
    else:
        return
    count.said.append(f"{turn}: ended as {state}, the ledger says {paid}")


def _asked(engine: Engine, ask: Callable[[Connection], T]) -> T:
    """The proof's own look at the database, which may be away just now."""
    end = time.monotonic() + WAIT
    while True:
        try:
            with engine.begin() as tx:
                return ask(tx)
        except OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _empty(tx: Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        if table.name not in STAY:
            tx.execute(table.delete())


def _rows(engine: Engine) -> list[Any]:
    return _asked(engine, lambda tx: list(tx.execute(select(runs.c.is_open, runs.c.outcome))))


def _known(engine: Engine) -> str | None:
    """How the run ended, once its note is out as well; asked in this order, as both are written at once."""
    rows = _rows(engine)
    if not rows or any(row.is_open for row in rows):
        return None
    waiting = _asked(engine, lambda tx: tx.execute(select(outbox.c.run_id).where(outbox.c.state != "sent")).first())
    return None if waiting else str(json.loads(rows[0].outcome)["state"])


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def kills(
    number: int, databases: Sequence[str], seed: int = 1, say: Callable[[str], None] = lambda line: None
) -> Count:
    """Strike turn after turn until so many processes were killed, in as many lanes as there are databases."""
    turns = cycle(sorted(TURNS, key=lambda one: Random(f"{seed} {one}").random()))
    count, never = Count(), set[Turn]()

    def next_turn() -> Turn:
        with lock:
            return next(one for one in islice(turns, len(TURNS)) if one not in never)

    def lane(database: str) -> None:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            plugin = stack.enter_context(closing(Plugin(database, stack.enter_context(store()), folder)))
            while count.kills < number:
                turn = next_turn()
                if not strike(plugin, count, turn):
                    never.add(turn)
                say(f"{turn}: {count.line()}")

    lock = threading.Lock()
    for database in databases:
        engine = connect(database)
        may_be_emptied(engine)
        engine.dispose()
    with ThreadPoolExecutor(len(databases)) as pool:
        list(pool.map(lane, databases))
    return count


@contextmanager
def _databases(engine: str, restart: bool) -> Iterator[list[str]]:
    """One for each lane."""
    if engine == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            urls = [f"sqlite:///{Path(folder) / f'{lane}.sqlite'}" for lane in range(LANES)]
            for one in urls:
                open_database(one).dispose()
            yield urls
        return
    with postgres_server() as server, restarting(server) if restart else nullcontext():
        yield [server.fresh() for _ in range(LANES)]


@contextmanager
def restarting(server: Postgres) -> Iterator[None]:
    """The database goes away at once and comes back, every few seconds, whatever anybody is doing."""
    over = threading.Event()

    def restart() -> None:
        while not over.wait(random.uniform(4, 12)):
            server.restart()

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--kills", type=int, default=1000)
    words.add_argument("--engine", choices=ENGINES, required=True)
    words.add_argument("--seed", type=int, default=1, help="another order of the points")
    words.add_argument("--restart-database", action="store_true", help="PostgreSQL is restarted all the time")
    given = words.parse_args()
    with _databases(given.engine, given.restart_database) as urls:
        count = kills(given.kills, urls, given.seed, print)
    for one in count.said:
        print(one)
    print(count.line())
    raise SystemExit(bool(count.double or count.lost or count.stuck))


if __name__ == "__main__":
    main()
