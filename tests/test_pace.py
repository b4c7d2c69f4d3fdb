"""Refund velocity: what leaves a store, and through one agent, within five minutes; who stops it, who lets it go on."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from plugin.alarms import lift
from plugin.errors import AskAnAdmin, FixTheSetup, LookAgain, NotAllowed, NothingHere
from plugin.money import Money
from plugin.pace import Left, Most, Pace, pace, too_much
from plugin.ports import AlarmKind, NewRun
from plugin.secrets import Keys
from plugin.shapes import Place, Plan, PlannedStep, StepState
from plugin.stores.database import open_database
from plugin.stores.runs import SqlRuns
from plugin.stores.watch import SqlWatch
from tests.world import DOMAIN, REFUND, World, outcome, with_settings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OFF = Most(0, Decimal(0))


def usd(text: str) -> Money:
    return Money("USD", Decimal(text))


@pytest.mark.parametrize(
    ("most", "amounts", "why"),
    [
        (Most(2, Decimal(0)), ["1", "1"], None),
        (Most(2, Decimal(0)), ["1", "1", "1"], "3 refunds within five minutes would be more than 2"),
        (Most(0, Decimal("10.00")), ["4", "6"], None),
        (Most(0, Decimal("10.00")), ["4", "6.01"],
         "$10.01 paid back within five minutes would be more than $10.00"),
        (OFF, ["999999"] * 500, None),
    ],
)  # fmt: skip
def test_exactly_the_bound_is_allowed_and_more_is_not(most: Most, amounts: list[str], why: str | None) -> None:
    assert too_much(most, [Left("ana", usd(one)) for one in amounts]) == why


def test_a_bundle_without_these_settings_is_guarded_all_the_same() -> None:
    assert pace({}) == Pace(Most(100, Decimal("25000.00")), Most(20, Decimal("10000.00")))


@pytest.mark.parametrize("text", ["", "-1", "1e9", "NaN", "1,000", "٥", "5.00\n"])
def test_a_sum_that_is_no_amount_stops_the_start(text: str) -> None:
    with pytest.raises(FixTheSetup, match="refund_sum_per_agent is an amount like 500.00"):
        pace({"refund_sum_per_agent": text})


# ---------------------------------------------------------------- where runs are written


@pytest.fixture
def shelf(database: str) -> Iterator[tuple[SqlRuns, SqlWatch]]:
    engine = open_database(database)
    box = Keys(["0123456789abcdef0123456789abcdef"]).box()
    yield SqlRuns(engine, box), SqlWatch(engine, box)
    engine.dispose()


def new(number: int, bounds: Pace, agent: str = "ana", amount: str = "5.00", store: str = DOMAIN) -> NewRun:
    run_id = f"5b1f6c1e-0000-4000-8000-{number:012}"
    step = PlannedStep("refund", run_id, "[ref ABCDEF]", "refundCreate", b"{}", usd(amount), usd(amount))
    plan = Plan(run_id, "refund", "a", (step,), "d")
    place = Place(store, str(number))
    return NewRun(plan, place, agent, agent, "c", None, "card", NOW, {"name": "#1"}, {}, bounds)


TWO_EACH = Pace(OFF, Most(2, Decimal(0)))
TWO_IN_ALL = Pace(Most(2, Decimal(0)), OFF)


class TestPaceWhereRunsAreWritten:
    def test_one_agents_alarm_stops_that_agent_alone_and_stays(self, shelf: tuple[SqlRuns, SqlWatch]) -> None:
        runs, watch = shelf
        for number in (1, 2):
            runs.begin(new(number, TWO_EACH), NOW)
        with pytest.raises(AskAnAdmin) as stop:
            runs.begin(new(3, TWO_EACH), NOW)
        assert (str(stop.value), stop.value.raised) == (
            "Your refunds are stopped: 3 refunds within five minutes would be more than 2. Nothing was done. "
            "Ask an administrator to look, and to lift alarm 1.", True,
        )  # fmt: skip
        assert runs.run(new(3, TWO_EACH).plan.run_id) is None
        with pytest.raises(AskAnAdmin) as stop:
            runs.begin(new(4, TWO_EACH), NOW + timedelta(hours=2))
        assert not stop.value.raised
        assert runs.begin(new(5, TWO_EACH, "sam"), NOW).open
        assert [(one.kind, one.store, one.agent_id) for one in watch.alarms(active=True)] == [
            (AlarmKind.PACE, DOMAIN, "ana")
        ]

    def test_the_stores_alarm_stops_everybody_there_and_no_other_store(self, shelf: tuple[SqlRuns, SqlWatch]) -> None:
        runs, _ = shelf
        runs.begin(new(1, TWO_IN_ALL), NOW)
        runs.begin(new(2, TWO_IN_ALL, "sam"), NOW)
        with pytest.raises(AskAnAdmin, match="All refunds of this store are stopped"):
            runs.begin(new(3, TWO_IN_ALL, "kim"), NOW)
        assert runs.begin(new(4, TWO_IN_ALL, store="other.myshopify.com"), NOW).open

    def test_after_a_lift_counting_begins_anew(self, shelf: tuple[SqlRuns, SqlWatch]) -> None:
        runs, watch = shelf
        for number in (1, 2):
            runs.begin(new(number, TWO_EACH), NOW)
        with pytest.raises(AskAnAdmin):
            runs.begin(new(3, TWO_EACH), NOW)
        lifted = watch.lift(1, "Kim", "a sale went wrong", NOW + timedelta(seconds=5))
        assert lifted is not None
        assert (lifted.lifted_by, lifted.reason, watch.alarms(active=True)) == ("Kim", "a sale went wrong", [])
        assert watch.lift(1, "Kim", "again", NOW) is None
        later = NOW + timedelta(seconds=6)
        for number in (3, 4):
            runs.begin(new(number, TWO_EACH), later)
        with pytest.raises(AskAnAdmin, match="lift alarm 2"):
            runs.begin(new(5, TWO_EACH), later)

    def test_what_is_proved_not_done_and_what_is_older_does_not_count(self, shelf: tuple[SqlRuns, SqlWatch]) -> None:
        runs, _ = shelf
        failed = runs.begin(new(1, TWO_EACH), NOW)
        epoch = runs.claim(failed.id, "w", NOW, 60)
        assert epoch is not None
        runs.record(failed.steps[0], epoch, StepState.FAILED)
        runs.begin(new(2, TWO_EACH), NOW - timedelta(minutes=5))
        runs.begin(new(3, TWO_EACH), NOW)
        doubtful = runs.begin(new(4, TWO_EACH), NOW)
        epoch = runs.claim(doubtful.id, "w", NOW, 60)
        assert epoch is not None
        runs.record(doubtful.steps[0], epoch, StepState.UNKNOWN)
        with pytest.raises(AskAnAdmin, match="3 refunds"):
            runs.begin(new(5, TWO_EACH), NOW)

    def test_a_run_known_already_is_not_begun_anew_whatever_is_stopped(self, shelf: tuple[SqlRuns, SqlWatch]) -> None:
        runs, watch = shelf
        runs.begin(new(1, TWO_EACH), NOW)
        runs.begin(new(2, TWO_EACH), NOW)
        assert runs.begin(new(1, TWO_EACH), NOW) is None
        assert watch.alarms(active=True) == []

    def test_what_moves_no_money_is_never_stopped(self, shelf: tuple[SqlRuns, SqlWatch]) -> None:
        runs, _ = shelf
        for number in (1, 2):
            runs.begin(new(number, TWO_EACH), NOW)
        with pytest.raises(AskAnAdmin):
            runs.begin(new(3, TWO_EACH), NOW)
        assert runs.begin(new(4, TWO_EACH, amount="0.00"), NOW).open

    def test_eight_at_once_cannot_slip_past_together(self, shelf: tuple[SqlRuns, SqlWatch]) -> None:
        runs, watch = shelf
        begun: list[str] = []
        stopped: list[int] = []
        start = threading.Barrier(8)

        def press(number: int) -> None:
            start.wait()
            try:
                begun.append(runs.begin(new(number, TWO_EACH), NOW).id)
            except AskAnAdmin as stop:
                stopped.append(stop.alarm_id)

        threads = [threading.Thread(target=press, args=(number,)) for number in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert (len(begun), stopped, len(watch.alarms(active=False))) == (2, [1] * 6, 1)


# ---------------------------------------------------------------- as the agent meets it


def test_the_agent_is_told_what_to_do_and_an_admin_lets_refunds_go_on(shop: World) -> None:
    with_settings(shop, refund_sum_per_agent="30.00")
    outcome(shop.act(1001, REFUND, lines=["1", "0"]))
    view = shop.preview(1001, REFUND, shop.open(1001, REFUND), lines=["1", "0"])
    with pytest.raises(AskAnAdmin, match=r"\$50\.00 paid back within five minutes .* lift alarm 1\."):
        shop.submit(1001, REFUND, view, lines=["1", "0"])
    assert (shop.sent().count("refundCreate"), shop.ledger(1001)["refunded"]) == (1, 25)
    lead = shop.session(1001).agent
    with pytest.raises(NotAllowed, match="Administer this plugin"):
        lift(shop.tools, lead, 1, "looked")
    admin = replace(lead, name="Kim", permissions=shop.tools.bundle.permission_sets["admin"].grants)
    with pytest.raises(LookAgain, match="Say why"):
        lift(shop.tools, admin, 1, " ")
    with pytest.raises(NothingHere, match="no alarm 9"):
        lift(shop.tools, admin, 9, "looked")
    assert lift(shop.tools, admin, 1, "looked").lifted_by == "Kim"
    assert outcome(shop.submit(1001, REFUND, view, lines=["1", "0"]))["state"] == "done"


def test_an_administrator_pays_nothing_back(shop: World) -> None:
    grants = shop.tools.bundle.permission_sets["admin"].grants
    assert not grants & {one.permission for one in shop.tools.bundle.actions.values()}
