"""Whoever was held up looks again before anything is sent; what may still come is not told as not done."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from plugin import alarms, flow, points, sync
from plugin.errors import ActInShopify, LookAgain, NothingHere
from plugin.points import Point
from plugin.ports import AlarmKind, Reply
from plugin.reconcile import COPIED
from plugin.review import GOES, NOT_DONE_AFTER
from plugin.runtime import MOVED, NEVER_SENT, TOO_BUSY, carry_out
from plugin.sandbox.store import refunds
from plugin.sandbox.store.orders import Behaviour
from plugin.settling import NEVER_PAID, SETTLE_TIME
from plugin.shapes import Run, StepState
from tests.inside import Inside, inside
from tests.test_outcomes import MUGS, answer, cancel, refund, told
from tests.test_review import decided, offered, open_ways
from tests.world import CANCEL, REFUND

DAY = 24 * 3600.0


@pytest.fixture
def shop() -> Inside:
    return inside()


@pytest.fixture(autouse=True)
def _unhook() -> Iterator[None]:
    yield
    points.hook = None


def cut(_: bytes) -> Reply:
    return Reply(None, b"", "cut", "ReadTimeout")


def by_hand(shop: Inside, id: int, amount: str = "12.50", note: str = "by hand") -> None:
    with shop.store.lock:
        refunds.by_hand(shop.store, shop.order(id), Decimal(amount), note)


def back(shop: Inside, id: int) -> list[str]:
    """What the store has paid back."""
    return [str(one.amount.shown) for one in shop.order(id).payments if one.kind == "REFUND"]


def at(point: Point, act: Callable[[], None]) -> None:
    """`act` happens once, when the program next comes to the point."""

    def hook(reached: Point) -> None:
        if reached is point:
            points.hook = None
            act()

    points.hook = hook


def held_up(shop: Inside, id: int, seconds: float = 35.0) -> Callable[[], None]:
    """The program stands still, and a person refunds in Shopify meanwhile."""

    def stand() -> None:
        by_hand(shop, id)
        shop.clock.sleep(seconds)

    return stand


def live(shop: Inside, run: Run, seconds: float, steps: int = 20) -> Run:
    """The worker looks now and then for so long."""
    for _ in range(steps):
        shop.clock.sleep(seconds / steps)
        sync.carry_on(shop.tools)
        alarms.watch(shop.tools)
    found = shop.tools.runs.run(run.id)
    assert found is not None
    return found


def raised(shop: Inside) -> list[AlarmKind]:
    return [one.kind for one in shop.tools.watch.alarms(active=True)]


# ---------------------------------------------------------------- an old look


@pytest.mark.parametrize("point", [Point.VALIDATED, Point.RUN_COMMITTED, Point.LEASE_TAKEN])
def test_a_press_that_was_held_up_after_its_look_sends_nothing_over_a_refund_made_meanwhile(
    shop: Inside, point: Point
) -> None:
    id = shop.put(MUGS)
    line = f"gid://shopify/LineItem/{shop.order(id).lines[0].id}"
    seen = shop.post(flow.preview, id, REFUND, shop.open(id, REFUND), lines={line: "1"})
    at(point, held_up(shop, id))
    shop.post(flow.submit, id, REFUND, seen, lines={line: "1"})
    run = shop.tools.runs.runs_of(shop.place(id))[0]
    assert (told(run), back(shop, id)) == ((False, "failed", MOVED), ["12.50"])


def test_a_call_in_doubt_is_not_sent_again_on_an_old_look(shop: Inside) -> None:
    id = shop.put(MUGS)
    _, run = refund(shop, id, cut)
    shop.clock.sleep(SETTLE_TIME + 10)
    at(Point.RESEND, held_up(shop, id))
    carry_out(shop.tools, run.id, 0.0)
    run = live(shop, run, 60)
    assert (run.steps[0].state, back(shop, id)) == (StepState.REVIEW, ["12.50"])


def test_a_call_that_shopify_makes_wait_too_long_is_given_up_before_its_look_is_old(shop: Inside) -> None:
    cost = {"requestedQueryCost": 500, "throttleStatus": {"currentlyAvailable": 0, "restoreRate": 50}}
    busy = {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}], "extensions": {"cost": cost}}
    id = shop.put(MUGS)
    _, run = refund(shop, id, *[answer(busy)] * 4)
    assert (told(run), run.steps[0].attempts, back(shop, id)) == ((False, "failed", TOO_BUSY), 2, [])


def test_a_form_is_not_carried_out_on_a_look_that_lacks_what_was_done_here_before(shop: Inside) -> None:
    id = shop.put(MUGS)
    first, second = (
        shop.post(flow.preview, id, REFUND, shop.open(id, REFUND), amount="5.00") for _ in range(2)
    )  # fmt: skip
    before, real = shop.order(id), shop.wire.read
    shop.post(flow.submit, id, REFUND, first, amount="5.00")

    def lagging(*given: Any) -> dict[str, Any]:
        after, shop.store.orders[id] = shop.store.orders[id], before
        try:
            return real(*given)
        finally:
            shop.store.orders[id] = after

    shop.wire.read = lagging  # type: ignore[method-assign]
    with pytest.raises(LookAgain, match="Shopify does not show yet what was done here just now"):
        shop.post(flow.submit, id, REFUND, second, amount="5.00")
    assert back(shop, id) == ["5.00"]


# ---------------------------------------------------------------- what may still come


def test_a_cancel_that_shopify_still_works_on_is_not_closed_as_not_done(shop: Inside) -> None:
    shop.store.settings.cancel_delay = 3000.0
    id = shop.put(MUGS)
    run = live(shop, cancel(shop, id), 750)
    assert offered(shop, run)["not-done"].blocked == GOES
    shop.clock.sleep(NOT_DONE_AFTER * SETTLE_TIME)
    with pytest.raises(LookAgain, match=GOES):
        decided(shop, run, "not-done")
    run = live(shop, run, 1500)
    assert (open_ways(shop, run), back(shop, id)) == (["done"], ["25.00"])


def test_a_refund_by_hand_stands_for_ours_only_when_ours_can_no_longer_come(shop: Inside) -> None:
    id = shop.put(MUGS)
    _, run = refund(shop, id, cut)
    by_hand(shop, id)
    run = live(shop, run, SETTLE_TIME + 60)
    number = str(shop.order(id).refunds[0].id)
    assert "may still carry out" in (offered(shop, run)[number].blocked or "")
    shop.clock.sleep((NOT_DONE_AFTER - 1) * SETTLE_TIME)
    assert number in open_ways(shop, run)


def test_a_reference_that_a_person_copied_proves_nothing(shop: Inside) -> None:
    id = shop.put(MUGS)
    _, run = refund(shop, id, cut)
    by_hand(shop, id, note=f"by hand, see {run.steps[0].marker}")
    run = live(shop, run, 60)
    assert (run.steps[0].state, run.steps[0].error) == (StepState.REVIEW, COPIED)


def test_a_call_carried_out_after_its_run_was_closed_raises_an_alarm_when_the_order_is_seen(shop: Inside) -> None:
    id = shop.put(MUGS)
    _, run = refund(shop, id, cut, cut, cut)
    run = live(shop, run, 2 * NOT_DONE_AFTER * SETTLE_TIME)
    run = decided(shop, run, "not-done")
    shop.wire.carry_out(run.steps[0].body)
    flow.order(shop.tools, shop.session(), shop.place(id), force=True)
    flow.order(shop.tools, shop.session(), shop.place(id), force=True)
    assert (run.open, raised(shop)[-1:]) == (False, [AlarmKind.LATE])
    assert raised(shop).count(AlarmKind.LATE) == 1


# ---------------------------------------------------------------- what could wait for ever


@pytest.mark.parametrize(("how", "ends"), [("not-done", "failed"), ("done", "settled")])
def test_a_run_on_an_order_that_is_gone_for_us_is_closed_by_a_persons_word(shop: Inside, how: str, ends: str) -> None:
    id = shop.put(MUGS)
    _, run = refund(shop, id, cut)
    shop.store.orders.clear()
    run = live(shop, run, 700)
    assert run.steps[0].state is StepState.REVIEW
    assert (run.steps[0].error or "").startswith("The order cannot be read here any more")
    with pytest.raises(LookAgain, match="may still carry out the last attempt"):
        decided(shop, run, how)
    shop.clock.sleep(NOT_DONE_AFTER * SETTLE_TIME)
    with pytest.raises(LookAgain, match="decide `done` or `not-done`"):
        decided(shop, run, "again")
    assert told(decided(shop, run, how))[:2] == (False, ends)


def test_an_accepted_cancel_on_an_order_that_is_gone_goes_to_a_person(shop: Inside) -> None:
    shop.store.settings.cancel_delay = 60.0
    run = cancel(shop, shop.put(MUGS))
    shop.wire.reads = [gone] * 100
    run = live(shop, run, 700)
    assert run.steps[0].state is StepState.REVIEW


def gone(_: dict[str, Any]) -> None:
    raise NothingHere("It is older than 60 days.")


def test_our_own_refund_may_be_the_last_that_an_order_can_be_read_with(shop: Inside) -> None:
    id = shop.put(MUGS)
    for _ in range(49):
        by_hand(shop, id, "0.10")
    opened = shop.open(id, REFUND)
    seen = shop.post(flow.preview, id, REFUND, opened, amount="5.00")
    shop.wire.sends = [lambda body: (shop.wire.carry_out(body), cut(body))[1]]
    shop.post(flow.submit, id, REFUND, seen, amount="5.00")
    run = live(shop, shop.tools.runs.runs_of(shop.place(id))[0], 60)
    assert told(run)[:2] == (False, "settled")
    with pytest.raises(ActInShopify, match="too many refunds"):
        shop.open(id, REFUND)


def test_a_refund_without_a_payment_goes_to_a_person_and_ends_as_it_is(shop: Inside) -> None:
    shop.store.settings.settle_delay = 1e9
    id = shop.put(replace(MUGS, behaviour=Behaviour("PENDING", "SUCCESS")))
    _, run = refund(shop, id)
    with shop.store.lock:
        order = shop.order(id)
        shop.store.put(replace(order, payments=tuple(one for one in order.payments if one.kind != "REFUND")))
    run = live(shop, run, 1500)
    assert (run.steps[0].state, run.steps[0].error) == (StepState.REVIEW, NEVER_PAID)
    assert told(decided(shop, run, str(shop.order(id).refunds[0].id)))[:2] == (False, "settled")


def test_a_payment_pending_for_longer_than_a_day_raises_an_alarm_that_ends_with_it(shop: Inside) -> None:
    shop.store.settings.settle_delay = 2 * DAY
    _, run = refund(shop, shop.put(replace(MUGS, behaviour=Behaviour("PENDING", "SUCCESS"))))
    live(shop, run, DAY)
    assert raised(shop) == []
    live(shop, run, 3600 * 4)
    assert raised(shop) == [AlarmKind.DOUBT]
    run = live(shop, run, 2 * DAY)
    assert (told(run)[:2], raised(shop)) == ((False, "settled"), [])


def test_a_second_step_whose_order_is_gone_is_given_up_after_a_day(shop: Inside) -> None:
    id = shop.put(MUGS)
    opened = shop.open(id, CANCEL)
    row = next(one for one in opened.context["form"]["fields"] if one["name"] == "payments")["options"][0]["id"]
    lowered = {"payments": {row: "5.00"}, "decision": "cancel"}
    seen = shop.post(flow.preview, id, CANCEL, opened, **lowered)
    shop.store.settings.cancel_delay = 1.0

    def until_cancelled(data: dict[str, Any]) -> None:
        ended = (data.get("node") or {}).get("status") == "SUCCEEDED"
        shop.wire.reads = [gone] * 200 if ended else [until_cancelled]

    shop.wire.reads = [until_cancelled]
    shop.post(flow.submit, id, CANCEL, seen, **lowered)
    run = live(shop, shop.tools.runs.runs_of(shop.place(id))[0], DAY + 3600)
    assert [(one.state, one.error) for one in run.steps[1:]] == [(StepState.FAILED, NEVER_SENT)]
    assert (run.open, (run.outcome or {})["state"]) == (False, "partly")
    assert run.created_at < shop.clock.now() - timedelta(days=1)
