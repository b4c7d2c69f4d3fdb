"""For machines: is it up, can it work, how is it doing; and what is refused when it is full."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text

from plugin import metrics
from plugin.errors import FixTheSetup
from plugin.gate import MOST, Gate
from plugin.monitoring import bounded, watched
from plugin.web import create_web
from tests.shared import ROOT
from tests.test_runs_command import variables  # noqa: F401 - a fixture
from tests.test_web import ORDER, payload, signed_in, webhook
from tests.world import REFUND, World, as_sent, outcome

KEY = "a token for the scraper"
BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def client(shop: World) -> FlaskClient:
    return create_web(replace(shop.app, config=replace(shop.app.config, metrics_token=KEY))).test_client()


def figures(text: str) -> dict[str, float]:
    found = re.findall(r"^order_actions_(\S+) (\S+)$", text, re.MULTILINE)
    return {name: float(number) for name, number in found if "_created" not in name and "_bucket" not in name}


def scraped(client: FlaskClient) -> dict[str, float]:
    answer = client.get("/metrics", headers=BEARER)
    assert answer.status_code == 200
    return figures(answer.text)


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


# ---------------------------------------------------------------- who may read the figures


def test_the_figures_are_closed_without_a_token_of_ours(shop: World, client: FlaskClient) -> None:
    assert create_web(shop.app).test_client().get("/metrics", headers=BEARER).status_code == 404
    for headers in ({}, {"Authorization": "Bearer else"}, {"Authorization": KEY}, {"Authorization": "Bearer ü"}):
        answer = client.get("/metrics", headers=headers)
        assert (answer.status_code, "order_actions" in answer.text) == (401, False)


# ---------------------------------------------------------------- what the figures say


def test_a_refund_a_webhook_and_a_request_are_counted(shop: World, client: FlaskClient) -> None:
    before = scraped(client)
    outcome(shop.act(1001, REFUND, lines=["1", "0"]))
    webhook(client, payload(1001, "ada@example.com"))
    webhook(client, payload(1001, "ada@example.com"))
    webhook(client, payload(1001, "ada@example.com"), secret="wrong")
    client.get("/stores/x/orders/1")
    more = grown(before, scraped(client))
    counted = {name: number for name, number in more.items() if "seconds" not in name}
    assert counted == {
        f'runs_begun_total{{action="{REFUND}"}}': 1,
        f'runs_closed_total{{action="{REFUND}",outcome="done"}}': 1,
        'sends_total{verdict="done"}': 1,
        'shopify_reads_total{result="ok"}': 4,
        'webhooks_total{result="taken"}': 1,
        'webhooks_total{result="repeated"}': 1,
        'webhooks_total{result="refused"}': 1,
        'notes_waiting': 1,
        'http_requests_total{method="GET",route="/metrics",status="200"}': 1,
        'http_requests_total{method="POST",route="/webhooks/shopify",status="200"}': 2,
        'http_requests_total{method="POST",route="/webhooks/shopify",status="401"}': 1,
        'http_requests_total{method="GET",route="/stores/<store>/orders/<order>",status="401"}': 1,
    }  # fmt: skip
    assert more['shopify_seconds_count{call="send"}'] == 1


def test_open_runs_and_doubts_are_read_from_the_database(shop: World, client: FlaskClient) -> None:
    assert scraped(client)['open_runs{state="unknown"}'] == 0
    view = shop.preview(1001, REFUND, shop.open(1001, REFUND), lines=["1", "0"])
    shop.fault("502-before", on="refundCreate")
    outcome(shop.submit(1001, REFUND, view))
    time.sleep(0.01)
    now = scraped(client)
    assert (now['open_runs{state="unknown"}'], now['active_alarms{kind="doubt"}']) == (1, 0)
    assert now["oldest_doubt_seconds"] > 0


def test_an_address_nobody_serves_makes_no_label(client: FlaskClient) -> None:
    client.open("/stores/CANARY/nothing", method="BREW")
    assert not [name for name in scraped(client) if "CANARY" in name or "BREW" in name]


def test_no_figure_has_a_label_of_people_or_orders() -> None:
    labels = {one for table in (metrics.COUNTERS, metrics.TIMES, metrics.GAUGES) for _, names in table.values()
              for one in names}  # fmt: skip
    assert labels <= {"action", "outcome", "verdict", "result", "kind", "gate", "route", "method", "status", "call",
                      "state", "decision"}  # fmt: skip


def test_the_first_requests_of_a_process_may_come_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from prometheus_client import Counter

    made = Counter.__init__

    def slowly(*args: Any, **named: Any) -> None:
        time.sleep(0.001)
        made(*args, **named)

    monkeypatch.setattr(Counter, "__init__", slowly)
    for kept in (metrics._made, metrics._registry):
        kept.cache_clear()
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(metrics.count, "submits_shed", gate="requests") for _ in range(4)]
        assert [one.result() for one in asked] == [None] * 4


# ---------------------------------------------------------------- up, and able to work


def test_ready_says_what_is_wrong_in_one_line(shop: World, client: FlaskClient, tmp_path: Path) -> None:
    assert (client.get("/healthz").text, client.get("/readyz").text) == ("ok\n", "ok\n")
    engine = create_engine(f"sqlite:///{tmp_path / 'app.sqlite'}")
    with engine.begin() as tx:
        tx.execute(text("alter table alarms rename column reason to other"))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "database: its tables are not those of this version: alarms\n")
    engine.dispose()
    assert client.get("/healthz").status_code == 200


def test_a_database_that_is_gone_makes_it_unready_and_not_unhealthy(
    shop: World, client: FlaskClient, tmp_path: Path
) -> None:
    shop.tools.watch._engine.dispose()  # type: ignore[attr-defined]
    for one in tmp_path.glob("app.sqlite*"):
        one.unlink()
    (tmp_path / "app.sqlite").mkdir()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "database: it does not answer\n")
    assert client.get("/healthz").status_code == 200


# ---------------------------------------------------------------- full


def test_when_the_gate_is_full_nothing_is_done_and_the_same_form_works_afterwards(shop: World) -> None:
    web = create_web(shop.app)
    client = web.test_client()
    headers = signed_in(client)
    view = shop.preview(1001, REFUND, shop.open(1001, REFUND), lines=["1", "0"])
    data = as_sent(view)
    shop.forget_calls()
    path = f"{ORDER}/actions/{REFUND}"
    with ExitStack() as others:
        for _ in range(MOST["submits"]):
            others.enter_context(web.extensions["gates"]["submits"].entered())
        answer = client.post(path, headers=headers, data=data)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "Nothing was done; try again in some seconds." in answer.text
        assert client.get(ORDER, headers=headers).status_code == 200, "reading goes on"
    assert (shop.tools.runs.newest(1), shop.sent()) == ([], [])
    done = client.post(path, headers=headers, data=data)
    assert (done.status_code, "Done" in done.text) == (200, True)


def test_the_gate_lets_in_as_many_as_it_holds_and_frees_a_place_after_an_error() -> None:
    gate = Gate("submits", 1)
    web = Flask("test")
    view = bounded("/x", lambda: web.response_class("in"), gate)
    with gate.entered(), pytest.raises(Exception, match="Too many people"):
        view()
    with pytest.raises(ZeroDivisionError), gate.entered():
        raise ZeroDivisionError
    assert view().get_data() == b"in"


# ---------------------------------------------------------------- several processes


def test_a_worker_shows_what_it_counted_at_an_address_of_its_own(shop: World) -> None:
    app = replace(shop.app, config=replace(shop.app.config, metrics_token=KEY))
    with watched(app, "127.0.0.1:0") as port:
        url = f"http://127.0.0.1:{port}"

        def seen() -> dict[str, float]:
            return figures(requests.get(f"{url}/metrics", headers=BEARER, timeout=10).text)

        before = seen()
        shop.act(1001, REFUND, lines=["1", "0"])
        assert grown(before, seen())['sends_total{verdict="done"}'] == 1
        shut = [requests.get(f"{url}{one}", timeout=10).status_code for one in ("/readyz", "/metrics", "/card")]
        assert shut == [200, 401, 404]


def test_a_worker_told_to_listen_where_nothing_can_says_so(shop: World) -> None:
    for bind in ("8101", "127.0.0.1:nine", "203.0.113.1:8101"):
        with pytest.raises(FixTheSetup, match="Nothing can listen at"), watched(shop.app, bind):
            raise AssertionError("it listens")


@contextmanager
def serving(environ: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[str], list[dict[str, object]]]]:
    clean = {name: one for name, one in os.environ.items() if not name.startswith("ORDER_ACTIONS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "plugin", "serve", "--bind", "127.0.0.1:0", "--workers", "2"], cwd=ROOT,
        env={**clean, **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    told: list[dict[str, object]] = []
    try:
        assert process.stdout is not None
        yield _listening(process.stdout, told), process, told
    finally:
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=90)[0]  # a process that is just being born hears of the end after 50 s
        told += [json.loads(line) for line in rest.splitlines()]


def _listening(out: IO[str], told: list[dict[str, object]]) -> str:
    url = ""
    for line in out:
        told.append(json.loads(line))
        found = re.search(r"Listening at: (http://\S+)", str(told[-1].get("said", "")))
        url = found[1] if found else url
        if sum(one["event"] == "server.started" for one in told) == 2:
            return url
    raise AssertionError(told)


def test_with_several_processes_the_figures_are_the_sum_of_all_even_after_one_was_killed(
    shop: World, variables: dict[str, str]  # noqa: F811
) -> None:  # fmt: skip
    folders = set(Path("/dev/shm").glob("order-actions-metrics-*"))
    with serving({**variables, "ORDER_ACTIONS_METRICS_TOKEN": KEY}) as (url, process, told):
        for _ in range(30):
            assert requests.get(f"{url}/healthz", timeout=10).text == "ok\n"
        name = 'http_requests_total{method="GET",route="/healthz",status="200"}'

        def seen() -> float:
            return figures(requests.get(f"{url}/metrics", headers=BEARER, timeout=10).text)[name]

        assert {seen() for _ in range(6)} == {30.0}
        started = [one["pid"] for one in told if one["event"] == "server.started"]
        os.kill(int(str(started[0])), signal.SIGKILL)
        assert {seen() for _ in range(6)} == {30.0}
    assert process.returncode == 0
    assert [one["event"] for one in told if one["event"] == "server.stopped"] == ["server.stopped"]
    assert set(Path("/dev/shm").glob("order-actions-metrics-*")) == folders
