"""PostgreSQL held up by a session that stands still: nobody waits for it without end, and nothing is sent meanwhile."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from plugin import sync
from plugin.errors import TryLater
from plugin.stores import database
from plugin.stores.counts import SqlCounts
from plugin.stores.database import connect, migrate
from plugin.stores.migrations import HEAD
from plugin.stores.migrations.run import _LOCK
from tests.databases import Postgres
from tests.test_stores import KEYS
from tests.world import REFUND, World, outcome, with_settings, world

HELD: dict[str, str] = {
    "runs": "UPDATE runs SET lease_epoch = lease_epoch WHERE id = :id",
    "gates": "UPDATE gates SET store = store",
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(database.SESSION, "lock_timeout", "200ms")


@pytest.fixture
def shop(postgres: Postgres, tmp_path: Path) -> Iterator[World]:
    url = postgres.fresh()
    with world(tmp_path, database=url) as made:
        yield made
    postgres.drop(url)


@contextmanager
def standing_still(shop: World) -> Iterator[Connection]:
    """Another session, which keeps what it takes until it is let go."""
    engine = connect(shop.app.config.database)
    with engine.connect() as tx:
        yield tx
    engine.dispose()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.05)


def test_a_press_that_cannot_be_written_down_says_that_nothing_was_sent_and_works_once_later(shop: World) -> None:
    outcome(shop.act(1003, REFUND, lines=["1"]))  # the store's row in `gates` is there from now on
    form = shop.preview(1001, REFUND, shop.open(1001, REFUND), lines=["1", "0"])
    with standing_still(shop) as other:
        other.execute(text(HELD["gates"]))
        with pytest.raises(TryLater, match="Nothing was sent; try again in a minute"):
            shop.submit(1001, REFUND, form)
    assert (shop.tools.runs.runs_of(shop.place(1001)), shop.ledger(1001)["refunds"]) == ([], [])
    assert outcome(shop.submit(1001, REFUND, form))["state"] == "done"
    assert len(shop.ledger(1001)["refunds"]) == 1


def test_a_run_whose_row_is_held_keeps_no_other_run_waiting_and_goes_on_later(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "SLOW", 0.1)  # a lock is waited for much longer than a look takes
    with_settings(shop, settle_time=0)
    for number in (1001, 1003):
        shop.fault("502-after", on="refundCreate")
        assert outcome(shop.act(number, REFUND, lines=["1"]))["state"] == "doubt"
    held, free = (shop.tools.runs.runs_of(shop.place(number))[0] for number in (1001, 1003))
    with standing_still(shop) as other:
        other.execute(text(HELD["runs"]), {"id": held.id})
        until(lambda: sync.carry_on(shop.tools) > 0)
        assert [one.id for one in shop.tools.runs.open_runs()] == [held.id], free.id
    until(lambda: sync.carry_on(shop.tools) > 0)
    assert shop.tools.runs.open_runs() == []
    assert [len(shop.ledger(number)["refunds"]) for number in (1001, 1003)] == [1, 1]


def test_what_a_session_holds_that_stands_still_is_let_go(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(database.SESSION, "idle_in_transaction_session_timeout", "300ms")
    with standing_still(shop) as other:
        other.execute(text("INSERT INTO gates (store) VALUES ('held')"))
        time.sleep(0.5)
        with shop.app.engine.begin() as tx:
            tx.execute(text("INSERT INTO gates (store) VALUES ('held')"))
        with pytest.raises(DBAPIError):
            other.execute(text("SELECT 1"))


def test_a_count_that_is_held_up_closes_no_door(shop: World) -> None:
    counts = SqlCounts(shop.app.engine, KEYS)
    assert counts.take("agent", "ana", 1, 1, 1)
    with standing_still(shop) as other:
        other.execute(text("UPDATE request_counts SET taken = taken"))
        assert counts.take("agent", "ana", 1, 1, 1)
    assert not counts.take("agent", "ana", 1, 1, 1)


def test_a_migration_waits_for_another_one_as_long_as_that_takes(postgres: Postgres) -> None:
    url = postgres.empty()
    first, second = connect(url), connect(url)
    with ThreadPoolExecutor(1) as hand:
        with first.begin() as tx:
            tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            waiting = hand.submit(migrate, second)
            time.sleep(0.6)
        assert waiting.result(timeout=30) == f"The database went from empty to {HEAD}."
    for one in (first, second):
        one.dispose()
    postgres.drop(url)


def test_a_server_that_is_gone_is_noticed_and_so_are_we(postgres: Postgres) -> None:
    engine = connect(postgres.empty())
    with engine.connect() as tx:
        ours = tx.connection.driver_connection
        assert ours is not None
        known = ours.info.get_parameters()
        asked = {name: tx.execute(text(f"SHOW {name}")).scalar() for name in list(database.SESSION)[:3]}
    engine.dispose()
    assert asked == {"synchronous_commit": "on", "lock_timeout": "200ms", "idle_in_transaction_session_timeout": "15s"}
    assert {name: known[name] for name in database._LINE} == {name: str(one) for name, one in database._LINE.items()}
