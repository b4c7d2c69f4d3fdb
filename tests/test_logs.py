"""The log: what stands in it, and what never does."""

import io
import json
import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
import structlog
from sqlalchemy.exc import OperationalError

from plugin import alarms, logs, metrics, points
from plugin.runtime import carry_out
from plugin.shapes import Identity, Note
from plugin.sync import deliver_notes
from plugin.web import create_web
from tests.test_web import ADA, ORDER, payload, signed_in, webhook
from tests.world import BASE, DOMAIN, REFUND, SECRET, World, as_sent, outcome, with_settings

TOKEN = "shpat_0123456789abcdef0123456789abcdef"
NOTE = "CANARY-NOTE the parcel of Mrs Privet at 4 Hidden Lane"
CANARIES = (TOKEN, SECRET, "CANARY", "Privet", "Hidden Lane", "ada@example.com", ADA["name"], "eyJhbGciOi", "sesame")


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    before = logging.root.handlers[:], logging.root.level
    logs.configure(stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.root.handlers[:], logging.root.level = before


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_refund_is_told_step_by_step_each_with_its_run(shop: World, out: io.StringIO) -> None:
    outcome(shop.act(1001, REFUND, lines=["1", "0"]))
    run = shop.tools.runs.newest(1)[0]
    told = [one for one in lines(out) if one["event"].startswith(("run.", "step."))]
    about = {"run": run.id, "store": DOMAIN, "order": str(BASE + 1001), "action": REFUND, "agent": "ana"}
    assert [one["event"] for one in told] == [
        "run.begun", "step.sent", "step.verdict", "step.confirmed", "step.settled", "run.closed",
    ]  # fmt: skip
    assert [{key: one[key] for key in about} for one in told] == [about] * 6
    assert (told[2]["verdict"], told[2]["attempt"], told[5]["outcome"]) == ("done", 1, "done")


def begun(shop: World) -> float:
    """How many refunds this process has counted as begun."""
    told = metrics.exposed(shop.tools.watch.figures(shop.tools.clock.now())).decode()
    return sum(float(one.split()[-1]) for one in told.splitlines() if one.startswith("order_actions_runs_begun_total{"))


def test_a_form_that_was_pressed_twice_at_once_is_told_and_counted_as_one_run(
    shop: World, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = shop.preview(1001, REFUND, shop.open(1001, REFUND), lines=["1", "0"])
    counted = begun(shop)
    heard: list[Any] = []

    def press(point: points.Point) -> None:
        if point is points.Point.VALIDATED and not heard:
            heard.append(None)
            heard.append(outcome(shop.submit(1001, REFUND, view, lines=["1", "0"])))

    monkeypatch.setattr(points, "hook", press)
    assert outcome(shop.submit(1001, REFUND, view, lines=["1", "0"])) == heard[1]
    assert [one["event"] for one in lines(out)].count("run.begun") == 1
    assert begun(shop) == counted + 1


class Broken:
    """A CRM whose code fails with everything in its mouth."""

    def identify(self, token: str, count: Any = None) -> Identity:
        raise RuntimeError(f"{TOKEN} Bearer {token} {NOTE} ada@example.com {SECRET}")

    def post_note(self, note: Note) -> None:
        requests.post(f"http://user:sesame@127.0.0.1:9/{note.body}", timeout=1)


def test_no_secret_and_nothing_of_a_customer_is_in_logs_figures_and_error_pages(shop: World, out: io.StringIO) -> None:
    client = create_web(shop.app).test_client()
    headers = signed_in(client)
    opened = shop.open(1001, REFUND)
    form = {"token": opened.context["form"]["token"], "reason": NOTE}
    client.post(f"{ORDER}/actions/{REFUND}", headers=headers, data=form)
    view = shop.preview(1001, REFUND, opened, lines=["1", "0"], reason=NOTE)
    shop.fault("502-before", on="refundCreate")
    outcome(shop.submit(1001, REFUND, view, reason=NOTE))
    run = shop.tools.runs.newest(1)[0]
    with_settings(shop, doubt_alarm_minutes=0, settle_time=0)
    alarms.watch(shop.tools)
    carry_out(shop.tools, run.id, 0.0)
    deliver_notes(shop.tools)
    webhook(client, payload(1001, "ada@example.com"))
    webhook(client, payload(1001, "ada@example.com"), secret="wrong")
    broken = create_web(replace(shop.app, tools=replace(shop.tools, host=Broken()))).test_client()
    answers = [
        broken.post("/session", headers={"Authorization": f"Bearer {TOKEN}"}),
        broken.get(f"/stores/{TOKEN}/orders/1?q={NOTE}", headers=headers),
    ]
    assert answers[0].status_code == 500
    told = out.getvalue()
    for event in ("request.failed", "alarm.raised", "step.unknown", "webhook.taken", "webhook.refused", "note.sent"):
        assert f'"{event}"' in told
    everything = told + metrics.exposed(shop.tools.watch.figures(shop.tools.clock.now())).decode()
    everything += "".join(one.text for one in answers)
    assert [one for one in CANARIES if one in everything] == []
    failed = next(one for one in lines(out) if one["event"] == "request.failed")
    assert (failed["route"], failed["error"], "test_logs.py" in failed["trace"]) == ("/session", "RuntimeError", True)


def test_a_press_that_ends_in_an_error_is_logged_with_its_run(
    shop: World, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = create_web(shop.app).test_client()
    view = shop.preview(1001, REFUND, shop.open(1001, REFUND), lines=["1", "0"])

    def breaks(point: points.Point) -> None:
        if point is points.Point.RESULT_WRITTEN:
            raise RuntimeError("what nobody foresaw")

    monkeypatch.setattr(points, "hook", breaks)
    answer = client.post(f"{ORDER}/actions/{REFUND}", headers=signed_in(client), data=as_sent(view))
    assert answer.status_code == 500
    run = shop.tools.runs.newest(1)[0]
    failed = [one for one in lines(out) if one["event"] == "request.failed"]
    assert [(one["run"], one["order"], one["error"]) for one in failed] == [(run.id, run.place.order, "RuntimeError")]


def test_a_key_that_is_not_in_the_table_does_not_reach_the_line(out: io.StringIO) -> None:
    logs.tell("worker.started", note="CANARY", email="ada@example.com", pid=7)
    assert [set(one) - {"timestamp"} for one in lines(out)] == [{"event", "level", "pid"}]


@pytest.mark.parametrize(
    "text",
    [
        TOKEN, "Authorization: Bearer abc.def-ghi", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2ln",
        "Ada <ada.fairweather@example.co.uk>", "postgresql://user:sesame@db/x",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_gives_way_inside_an_allowed_value(out: io.StringIO, text: str) -> None:
    logs.tell("server.started", bind=text)
    shown = lines(out)[0]["bind"]
    assert "***" in shown
    assert not any(one in shown for one in ("0123456789", "abc.def", "c2ln", "fairweather", "sesame"))


def test_ids_are_no_secrets(out: io.StringIO) -> None:
    logs.tell("step.sent", order="5000000001001", store=DOMAIN)
    assert (lines(out)[0]["order"], lines(out)[0]["store"]) == ("5000000001001", DOMAIN)


def test_a_library_is_heard_without_its_words(out: io.StringIO) -> None:
    try:
        raise KeyError("CANARY")
    except KeyError:
        logging.getLogger("some.library").exception("lost %s", "ada@example.com")
    logging.getLogger("gunicorn.error").warning("Worker (pid:%s) was sent SIGKILL!", 7)
    one, two = lines(out)
    assert (one["logger"], "builtins.KeyError\n" in one["trace"], "said" in one) == ("some.library", True, False)
    assert two["said"] == "Worker (pid:7) was sent SIGKILL!"
    assert "CANARY" not in out.getvalue()


def test_a_database_says_why_without_its_parameters() -> None:
    error = OperationalError("insert …", {"note": "CANARY"}, sqlite3.OperationalError("database or disk is full"))
    assert logs.trace(error) == "sqlalchemy.exc.OperationalError: database or disk is full"


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_log_that_cannot_be_written_stops_no_refund(shop: World, out: io.StringIO) -> None:
    logs.configure(stream=Full())
    assert outcome(shop.act(1001, REFUND, lines=["1", "0"]))["state"] == "done"
    assert shop.ledger(1001)["refunded"] == 25


def test_people_read_lines_in_the_demo() -> None:
    stream = io.StringIO()
    before = logging.root.handlers[:], logging.root.level
    try:
        logs.configure(human=True, stream=stream)
        logs.tell("server.started", bind="127.0.0.1:1")
    finally:
        structlog.reset_defaults()
        logging.root.handlers[:], logging.root.level = before
    assert stream.getvalue()[9:] == "info    server.started   bind=127.0.0.1:1\n"
