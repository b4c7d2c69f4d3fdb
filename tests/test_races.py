"""Two that want the same: processes on one order, and agents with clicks, forms and back buttons; on both engines."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from plugin import runtime
from plugin.errors import LookAgain, WaitForRun
from plugin.flow import View
from plugin.stores.database import open_database
from tests.proofs.races import race
from tests.world import REFUND, World, mistakes, outcome, world


@pytest.fixture
def shop(database: str, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, database=database) as one:
        yield one


def test_of_sixteen_processes_one_wins_each_round(database: str) -> None:
    assert race(database, 3) == []


def test_the_race_sees_more_than_one_winner(database: str) -> None:
    """Without the index that decides it."""
    engine = open_database(database)
    with engine.begin() as tx:
        tx.execute(text("DROP INDEX one_open_run"))
        if engine.dialect.name == "sqlite":
            tx.execute(text("DROP TRIGGER rules_runs_insert"))
    engine.dispose()
    assert race(database, 1) == ["round 0: 16 have the order"]


def together(*presses: Callable[[], View]) -> list[View | str]:
    """Everybody presses at once: the answer of each, or the refusal."""

    def one(press: Callable[[], View]) -> View | str:
        try:
            return press()
        except (WaitForRun, LookAgain) as error:
            return str(error)

    with ThreadPoolExecutor(len(presses)) as hands:
        return list(hands.map(one, presses))


def form(shop: World, agent: str = "ana", **changes: Any) -> View:
    return shop.preview(1001, REFUND, shop.open(1001, REFUND), **{"lines": ["1", "0"], **changes})


def test_a_double_click_pays_once_and_both_clicks_hear_of_the_same_run(shop: World) -> None:
    view = form(shop)
    heard = together(*[lambda: shop.submit(1001, REFUND, view, lines=["1", "0"])] * 4)
    assert len(shop.ledger(1001)["refunds"]) == 1
    assert {type(one) for one in heard} == {View}, heard
    assert len(shop.tools.runs.runs_of(shop.place(1001))) == 1


def test_two_agents_who_press_at_once_pay_once(shop: World) -> None:
    forms = {agent: form(shop) for agent in ("ana", "sam", "kim")}
    heard = together(
        *[lambda who=who, view=view: shop.submit(1001, REFUND, view, who) for who, view in forms.items()]
    )  # fmt: skip
    assert len(shop.ledger(1001)["refunds"]) == 1
    assert len([one for one in heard if isinstance(one, View)]) == 1, heard


def test_back_after_a_refund_and_another_press_pays_nothing_more(shop: World) -> None:
    view = form(shop)
    first = outcome(shop.submit(1001, REFUND, view, lines=["1", "0"]))
    assert outcome(shop.submit(1001, REFUND, view, lines=["1", "0"])) == first
    with pytest.raises(LookAgain, match="already sent with other values"):
        shop.submit(1001, REFUND, view, lines=["2", "0"])
    with pytest.raises(LookAgain, match="The order changed since you opened this form"):
        shop.preview(1001, REFUND, view, lines=["2", "0"])
    assert len(shop.ledger(1001)["refunds"]) == 1


def test_back_to_a_form_that_was_refused_sends_nothing(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "THROTTLE_TRIES", 1)
    view = form(shop)
    shop.fault("throttled", on="refundCreate")
    again = shop.submit(1001, REFUND, view, lines=["1", "0"])
    assert mistakes(again) != []
    shop.forget_calls()
    shop.submit(1001, REFUND, view, lines=["1", "0"])
    assert ("refundCreate" in shop.sent(), shop.ledger(1001)["refunds"]) == (False, [])
    outcome(shop.submit(1001, REFUND, again, lines=["1", "0"]))
    assert len(shop.ledger(1001)["refunds"]) == 1
