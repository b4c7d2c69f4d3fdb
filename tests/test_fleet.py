"""Several web and worker processes on one database, started as an administrator starts them."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

from plugin.serving import one_of_many
from tests.databases import Postgres
from tests.shared import ROOT
from tests.test_web import token
from tests.world import BASE, DOMAIN, REFUND, World, outcome, variables, world

ORDERS = (1001, 1002, 1003)


def until(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for something true; the test fails when it never comes."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "this never became true"
        time.sleep(0.1)
    return found


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


@contextmanager
def process(*args: str, fds: tuple[int, ...] = (), **environ: str) -> Iterator[subprocess.Popen[str]]:
    """Ended by SIGTERM, and it must end well."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ORDER_ACTIONS_")}
    command = [sys.executable, "-m", "tests.proofs.process", *args]
    started = subprocess.Popen(command, cwd=ROOT, env={**own, **environ}, text=True, pass_fds=fds)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        code = started.wait(timeout=60)
    assert code == 0


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@dataclass
class Crm:
    """Takes notes slowly, and counts what is posted rather than what it keeps."""

    url: str = ""
    begun: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def open(self, seconds: float) -> Iterator[None]:
        app = Flask("crm")

        @app.post("/notes")
        def take() -> Any:
            self.begun[request.get_json()["external_id"]] += 1
            time.sleep(seconds)
            return jsonify({})

        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}/notes"
        yield
        server.shutdown()
        thread.join(10)
        server.server_close()


def environment(shop: World, database: str, crm: Crm) -> dict[str, str]:
    return {**variables(database, shop.url), "ORDER_ACTIONS_NOTES_URL": crm.url}


def press_twice(url: str, number: int, proof: str = "") -> list[int]:
    """An agent opens the form, looks at the preview, and clicks twice; a connection of its own for every click."""
    bearer = {"Authorization": f"Bearer {proof or token()}"}
    session = requests.post(f"{url}/session", headers=bearer, timeout=30).json()
    headers = {"Authorization": f"Bearer {session['session']}"}
    form = f"{url}/stores/{DOMAIN}/orders/{BASE + number}/actions/{REFUND}"
    posted = {f"lines[gid://shopify/LineItem/{BASE + number}001]": "1", "restock": "true"}
    sealed = re.compile(r'name="token"[^>]* value="([^"]+)"')
    opened = requests.get(form, headers=headers, timeout=30).text
    data = {**posted, "token": sealed.findall(opened)[0]}
    shown = requests.post(f"{form}/preview", data=data, headers=headers, timeout=30).text
    data["token"] = sealed.findall(shown)[0]
    with ThreadPoolExecutor(2) as clicks:
        sent = [clicks.submit(requests.post, form, data=data, headers=headers, timeout=60) for _ in range(2)]
        return [one.result().status_code for one in sent]


def test_web_and_worker_processes_share_one_postgresql_and_pay_once(postgres: Postgres, tmp_path: Path) -> None:
    database, address, crm = postgres.fresh(), free_address(), Crm()
    with ExitStack() as stack:
        shop = stack.enter_context(world(tmp_path, database=database))
        shop.fault("502-after", on="refundCreate")  # one answer is lost: a worker has to find out
        stack.enter_context(crm.open(0.3))
        environ = environment(shop, database, crm)
        for _ in range(2):
            stack.enter_context(process("worker", **environ))
        stack.enter_context(process("web", address, **environ))
        until(lambda: answers(f"http://{address}/healthz"))
        for number in ORDERS:
            assert set(press_twice(f"http://{address}", number)) <= {200, 202, 409}
        until(lambda: len(crm.begun) == len(ORDERS) and not shop.tools.runs.open_runs())
        time.sleep(1.0)  # a second post would come now
        assert crm.begun == Counter(shop.tools.runs.runs_of(shop.place(number))[0].id for number in ORDERS)
        assert [len(shop.ledger(number)["refunds"]) for number in ORDERS] == [1] * len(ORDERS)
        assert [len(shop.tools.runs.runs_of(shop.place(number))) for number in ORDERS] == [1] * len(ORDERS)


def test_serve_on_sqlite_works_in_the_background_and_finishes_its_note_when_stopped(tmp_path: Path) -> None:
    database, address, crm = f"sqlite:///{tmp_path / 'app.sqlite'}", free_address(), Crm()
    with world(tmp_path, database=database) as shop, crm.open(1.5):
        with process("web", address, **environment(shop, database, crm)):
            until(lambda: answers(f"http://{address}/healthz"))
            outcome(shop.act(1001, REFUND, lines=["1", "0"]))
            until(lambda: crm.begun)
        later = shop.tools.clock.now() + timedelta(days=1)
        assert (list(crm.begun.values()), shop.tools.runs.due_notes(later)) == ([1], [])


def test_one_of_the_processes_of_a_server_works_and_another_takes_over(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    with lock.open("rb") as ours, lock.open("rb") as theirs:
        first, second = one_of_many(ours), one_of_many(theirs)
        assert [first(), second(), first()] == [True, False, True]
        ours.close()
        assert second()
