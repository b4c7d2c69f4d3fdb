"""The background's round: neither a bad run, nor a store that hangs, keeps the runs of others waiting."""

import io
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from plugin import alarms, deciding, logs, points, sync
from plugin.errors import FixTheSetup, TryLater
from plugin.oversight import Wanted
from plugin.points import Point
from plugin.ports import Reply, Unreadable
from plugin.shapes import Run, StepState
from plugin.worker import Worker
from tests.inside import Clock, Inside, inside
from tests.test_outcomes import MUGS, refund
from tests.world import DOMAIN

OTHER = "other.myshopify.com"


@pytest.fixture
def shop() -> Iterator[Inside]:
    yield inside()
    points.hook = None


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure(stream=stream)
    yield stream
    logs.configure()


def told(log: io.StringIO, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(one) for one in log.getvalue().splitlines()]
    return [one for one in lines if one["event"] == event]


def cut(_: bytes) -> Reply:
    return Reply(None, b"", "cut", "ReadTimeout")


def in_doubt(shop: Inside, count: int) -> list[Run]:
    """So many orders, each with a refund that nobody knows of."""
    runs, orders = [], {}
    for _ in range(count):
        id = shop.put(MUGS)
        orders[id] = shop.order(id)
        shop.store.orders.update(orders)
        runs.append(refund(shop, id, cut)[1])
        orders[id] = shop.order(id)
    shop.clock.sleep(31)
    return runs


def spoil(shop: Inside, sentence: str, run: Run) -> None:
    """As a failing disk does, or a person who may drop the triggers."""
    with shop.app.engine.begin() as tx:
        for (name,) in tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            tx.execute(text(f'DROP TRIGGER "{name}"'))
        assert tx.execute(text(sentence), {"id": run.id}).rowcount == 1


@pytest.mark.parametrize(
    "sentence",
    [
        "UPDATE steps SET body_hash = 'sha256:0' WHERE run_id = :id",
        "UPDATE runs SET texts = X'00' WHERE id = :id",
        "UPDATE runs SET facts = '{' WHERE id = :id",
        "UPDATE steps SET amount = 'much' WHERE run_id = :id",
    ],
)
def test_a_run_that_cannot_be_read_is_an_alarm_and_the_others_go_on(
    shop: Inside, log: io.StringIO, sentence: str
) -> None:
    bad, good = in_doubt(shop, 2)
    spoil(shop, sentence, bad)
    for _ in range(2):
        assert sync.carry_on(shop.tools) == 1
        alarms.watch(shop.tools)
        shop.clock.sleep(31)
    raised = shop.tools.watch.alarms(active=True)
    assert [(one.kind, one.run_id, one.text) for one in raised] == [("unreadable", bad.id, alarms.LOST)]
    assert [(one["kind"], one["run"], one["store"]) for one in told(log, "alarm.raised")] == [
        ("unreadable", bad.id, DOMAIN)
    ]
    assert [one.id for one in shop.tools.runs.open_runs()] == [good.id]
    assert [one.id for one in shop.tools.runs.newest(5)] == [good.id]
    with pytest.raises(Unreadable, match=bad.id):
        shop.tools.runs.run(bad.id)
    person = replace(shop.session().agent, permissions=shop.session().agent.permissions | {alarms.ADMIN})
    assert alarms.lift(shop.tools, person, raised[0].id, "seen").lifted_by == person.name
    assert [one["run"] for one in told(log, "alarm.lifted")] == [bad.id]


def test_a_note_or_an_order_for_the_crm_that_cannot_be_read_keeps_no_other_waiting(
    shop: Inside, log: io.StringIO
) -> None:
    runs = []
    for _ in range(2):
        runs.append(refund(shop, shop.put(MUGS), shop.wire.carry_out)[1])
    for run in runs:
        shop.tools.crm.owe(run.place, "ada@example.com", shop.clock.now())
    spoil(shop, "UPDATE outbox SET note = X'00' WHERE run_id = :id", runs[0])
    spoil(shop, f"UPDATE crm_orders SET email = X'00' WHERE order_id = '{runs[0].place.order}' AND :id <> ''", runs[0])
    shop.clock.sleep(60)
    assert [note.id for note, _ in shop.tools.runs.due_notes(shop.clock.now())] == [runs[1].id]
    assert [one.row.place for one in shop.tools.crm.owed(shop.clock.now())] == [runs[1].place]
    assert [one["run"] for one in told(log, "note.unreadable")] == [runs[0].id]
    assert [one["order"] for one in told(log, "order.unreadable")] == [runs[0].place.order]


def test_a_report_that_would_lack_a_run_names_it_instead(shop: Inside) -> None:
    bad, _ = in_doubt(shop, 2)
    spoil(shop, "UPDATE runs SET texts = X'00' WHERE id = :id", bad)
    with pytest.raises(FixTheSetup, match=f"Run {bad.id} cannot be read"):
        shop.tools.watch.page(Wanted((DOMAIN,)), None, 50)


def test_the_list_of_those_that_wait_for_a_person_leaves_out_what_cannot_be_read(shop: Inside) -> None:
    bad, good = in_doubt(shop, 2)
    shop.clock.sleep(2000)
    assert sync.carry_on(shop.tools) == 2
    assert {one.steps[0].state for one in shop.tools.runs.open_runs()} == {StepState.REVIEW}
    spoil(shop, "UPDATE runs SET texts = X'00' WHERE id = :id", bad)
    rows = deciding.reviews(shop.tools, shop.session()).context["rows"]
    assert [one["url"] for one in rows] == [f"/stores/{DOMAIN}/orders/{good.place.order}/runs/{good.id}/review"]


def test_a_doubt_that_cannot_be_read_any_more_keeps_its_alarm_and_others_get_theirs(shop: Inside) -> None:
    bad, good = in_doubt(shop, 2)
    spoil(shop, "UPDATE runs SET texts = X'00' WHERE id = :id", bad)
    shop.clock.sleep(16 * 60)
    alarms.watch(shop.tools)
    standing = {(one.kind, one.run_id) for one in shop.tools.watch.alarms(active=True)}
    assert standing == {("unreadable", bad.id), ("doubt", bad.id), ("doubt", good.id)}


def test_a_run_that_breaks_the_look_at_it_is_logged_by_its_name_and_the_others_are_looked_at(
    shop: Inside, log: io.StringIO
) -> None:
    first, second = in_doubt(shop, 2)
    reached: list[Point] = []

    def breaks(point: Point) -> None:
        reached.append(point)
        if reached == [Point.SCHEDULE_WRITTEN, Point.SCHEDULE_COMMITTED, Point.RUN_DUE]:
            raise KeyError("what nobody foresaw")

    points.hook = breaks
    assert sync.carry_on(shop.tools) == 1
    assert reached.count(Point.DOUBT_SEEN) == 1, second.id
    assert [(one["run"], one["order"]) for one in told(log, "worker.failed")] == [(first.id, first.place.order)]


class Ticking(Clock):
    """Nothing happens at the same moment as something else."""

    def now(self) -> datetime:
        self.sleep(0.001)
        return self.at


def test_a_store_that_hangs_costs_other_stores_one_look_and_its_own_runs_take_turns(shop: Inside) -> None:
    runs = in_doubt(shop, 8)
    healthy = runs[-1]
    spoil(shop, f"UPDATE runs SET store = '{OTHER}' WHERE id = :id", healthy)
    clock = Ticking(shop.clock.at)
    asked: dict[str, list[int]] = {}

    def hangs(store: str, document: str, given: Mapping[str, Any]) -> dict[str, Any]:
        asked.setdefault(given["orderId"].rsplit("/", 1)[-1], []).append((clock.at - shop.clock.at).seconds)
        if store == DOMAIN:
            clock.sleep(91)
        raise TryLater("It does not answer.")

    shop.wire.read = hangs  # type: ignore[method-assign]
    tools = replace(shop.tools, clock=clock)
    assert sync.carry_on(tools) == 2, "one of the store that hangs, and the other store's"
    assert asked == {runs[0].place.order: [0], healthy.place.order: [91]}
    for _ in range(13):
        clock.sleep(31)
        sync.carry_on(tools)
    assert [len(asked[one.place.order]) for one in runs] == [2] * 7 + [14]


def test_a_turn_that_cannot_be_taken_is_told_and_taken_when_it_can(shop: Inside, log: io.StringIO) -> None:
    tries, taken = iter([OSError("no file")] * 3), threading.Event()

    def turn() -> bool:
        for error in tries:
            raise error
        taken.set()
        return False

    worker = Worker(shop.app, pause=0.01, turn=turn)
    worker.start()
    assert taken.wait(20), "the thread goes on"
    worker.stop()
    assert len(told(log, "worker.failed")) == 3
