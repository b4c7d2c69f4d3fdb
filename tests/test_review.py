"""What a person may decide about a call in doubt: always something, and nothing that Shopify shows to be untrue."""

import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from plugin import flow, metrics
from plugin.codec import encode
from plugin.errors import LookAgain, TryLater
from plugin.filters import clock_time
from plugin.money import Money
from plugin.ports import Reply
from plugin.reading import look
from plugin.review import AGAIN, CANCEL_AFTER, CANCELLED, NOT_DONE, NOT_DONE_AFTER, Choice, choices, resolve, work_on
from plugin.runtime import carry_out
from plugin.sandbox.store import refunds
from plugin.sandbox.store.making import CARD, Paid
from plugin.sandbox.store.orders import Behaviour
from plugin.settling import NEVER_PAID, NOT_PAID, OTHER_MONEY, SETTLE_TIME
from plugin.shapes import OrderFacts, RefundSeen, Run, Step, StepState
from plugin.standing import refunds as refunds_shown
from plugin.telling import PARTLY_PAID, unpaid, what_happened
from tests.inside import Inside, inside
from tests.proofs.sim.runs import MemoryRuns
from tests.test_logs import lines, out  # noqa: F401 - a fixture
from tests.test_outcomes import MUGS, cancel, refund, told, unreadable
from tests.test_reconcile import FIVE, ORDER, RUN, STEP, ZERO


@pytest.fixture(scope="module")
def made() -> Inside:
    return inside()


@pytest.fixture
def shop(made: Inside) -> Inside:
    made.wire.sends, made.wire.reads = [], []
    return made


def decided(shop: Inside, run: Run, how: str, reason: str = "looked in Shopify") -> Run:
    return resolve(shop.tools, shop.session().agent, run.id, how, reason)


def offered(shop: Inside, run: Run) -> dict[str, Choice]:
    step = next(one for one in run.steps if one.state is StepState.REVIEW)
    return {one.how: one for one in choices(work_on(shop.tools, run), step, shop.facts(int(run.place.order)))}


def open_ways(shop: Inside, run: Run) -> list[str]:
    return [how for how, one in offered(shop, run).items() if one.blocked is None]


def crossed_cancel(shop: Inside, by_hand: str = "", behaviour: Behaviour | None = None) -> Run:
    """A cancel that Shopify made; `by_hand` was refunded in Shopify while it travelled."""
    id = shop.put(MUGS)

    def cross(body: bytes) -> Reply:
        with shop.store.lock:
            if by_hand:
                refunds.by_hand(shop.store, shop.order(id), Decimal(by_hand), "by hand")
            shop.store.put(replace(shop.order(id), behaviour=behaviour or Behaviour()))
        return shop.wire.carry_out(body)

    run = cancel(shop, id, cross)
    for _ in range(3):
        shop.clock.sleep(300)
        shop.facts(id)
        run = carry_out(shop.tools, run.id, 5.0)
    assert run.steps[0].state is StepState.REVIEW
    return run


def unpaid_cancel(shop: Inside, by_hand: str = "") -> Run:
    """One whose own refund the payment provider refused."""
    return crossed_cancel(shop, by_hand, Behaviour("PENDING", "FAILURE"))


# ---------------------------------------------------------------- a cancel of ours whose money did not go


def test_a_cancel_whose_payment_failed_can_be_closed_as_cancelled_with_nothing_paid_back_and_in_no_other_way(
    shop: Inside,
) -> None:
    run = unpaid_cancel(shop)
    assert (run.steps[0].error, open_ways(shop, run)) == (NEVER_PAID, ["cancelled"])
    for how, why in (
        ("not-done", "This run cancelled the order"),
        ("done", r"was to pay back \$25.00, and no refund of it"),
        ("again", "reference on the order"),
    ):
        with pytest.raises(LookAgain, match=why):
            decided(shop, run, how)
    assert told(decided(shop, run, "cancelled"))[:2] == (False, "settled")


def test_agent_record_note_and_history_tell_that_nothing_was_paid_back(shop: Inside) -> None:
    run = decided(shop, unpaid_cancel(shop), "cancelled")
    name = run.facts["name"]
    outcome = {"state": "done", "text": f"{name} is cancelled. No money was paid back.", "refunds": [], "field": None}
    assert run.outcome == outcome
    assert what_happened(run) == "The order was cancelled, nothing was paid back."
    note = shop.tools.runs.due_notes(shop.clock.now())[-1][0]
    assert note.body == f"Ana cancelled {name} (2 × Mug), no money was paid back. {run.steps[0].marker}"
    assert [one.how for one in run.resolutions] == ["cancelled"]
    assert shop.tools.runs.moved("ana", run.place)[0] == (run.steps[0].moves,), "a limit counts it nevertheless"


def test_the_refund_that_failed_stays_our_cancels_and_a_humans_stays_his(shop: Inside) -> None:
    run = decided(shop, unpaid_cancel(shop, by_hand="5.00"), "cancelled")
    seen = look(shop.tools, run.place)
    shown = [(one["amount"].show(), one["made_by"]) for one in refunds_shown(shop.tools, seen, [run])]
    assert shown == [("$5.00", None), ("$0.00", "Ana")]
    assert (run.outcome or {})["text"].endswith("is cancelled. No money was paid back.")


def test_nothing_paid_back_cannot_be_said_once_all_of_it_went_back(shop: Inside) -> None:
    run = crossed_cancel(shop, by_hand="5.00")
    assert run.steps[0].error == OTHER_MONEY
    five, twenty = (str(one.id) for one in shop.order(int(run.place.order)).refunds)
    assert open_ways(shop, run) == ["done", five, twenty]
    with pytest.raises(LookAgain, match=r"\$25.00 was refunded since this run began, which is all"):
        decided(shop, run, "cancelled")
    assert told(decided(shop, run, twenty))[2].endswith("is cancelled. Refunded $20.00.")


def test_a_cancel_and_a_humans_refund_together_can_be_told_as_one(shop: Inside) -> None:
    run = decided(shop, crossed_cancel(shop, by_hand="5.00"), "done")
    assert told(run)[2].endswith("is cancelled. Refunded $25.00.")
    assert len((run.outcome or {})["refunds"]) == 2


def test_nothing_paid_back_cannot_be_said_while_shopify_may_still_carry_it_out(shop: Inside) -> None:
    run = unpaid_cancel(shop)
    sent = replace(run.steps[0], last_sent_at=shop.clock.now() - timedelta(seconds=100))
    run = replace(run, steps=(sent,))
    assert open_ways(shop, run) == []
    assert "may still carry out the last attempt" in (offered(shop, run)["cancelled"].blocked or "")


def test_not_done_waits_longest_as_a_server_that_stood_still_may_have_sent_late(shop: Inside) -> None:
    _, run = refund(shop, shop.put(MUGS), lambda _: Reply(None, b"", "cut", "ReadTimeout"))
    shop.clock.sleep(SETTLE_TIME * 2)
    run = carry_out(shop.tools, run.id, 0.0)
    assert (run.steps[0].state, open_ways(shop, run)) == (StepState.REVIEW, ["again"])
    until = clock_time(run.steps[0].last_sent_at + timedelta(seconds=NOT_DONE_AFTER * SETTLE_TIME))
    assert f"from {until} on" in (offered(shop, run)["not-done"].blocked or "")
    shop.clock.sleep(SETTLE_TIME)
    assert open_ways(shop, run) == ["again", "not-done"]


def test_a_cancel_of_somebody_else_is_not_closed_as_ours_with_nothing_paid_back(shop: Inside) -> None:
    run = unpaid_cancel(shop)
    sent = shop.clock.now() - timedelta(seconds=CANCEL_AFTER * SETTLE_TIME)
    other = replace(run.steps[0], marker="[ref OTHERS]", receipt=None, last_sent_at=sent)
    assert open_ways(shop, replace(run, steps=(other,))) == ["not-done"]


def test_money_that_fails_after_a_person_took_it_comes_back_to_a_person(shop: Inside) -> None:
    run = crossed_cancel(shop, by_hand="5.00")
    id = int(run.place.order)
    twenty = shop.order(id).refunds[-1]
    order = shop.order(id)
    slow = tuple(replace(one, status="PENDING") if one.refund == twenty.id else one for one in order.payments)
    with shop.store.lock:
        shop.store.put(replace(order, payments=slow))
    run = decided(shop, run, str(twenty.id))
    assert (run.open, run.steps[0].state) == (True, StepState.CONFIRMED)
    failed = tuple(replace(one, status="FAILURE") if one.refund == twenty.id else one for one in order.payments)
    with shop.store.lock:
        shop.store.put(replace(order, payments=failed))
    shop.clock.sleep(60)
    run = carry_out(shop.tools, run.id, 0.0)
    assert (run.steps[0].state, open_ways(shop, run)) == (StepState.REVIEW, ["done", "cancelled"])


# ---------------------------------------------------------------- one of several payments did not go


def half_paid(shop: Inside, press: Callable[[Inside, int], Run]) -> Run:
    """Paid with a gift card and a credit card; of the refund only what was on the gift card goes back."""
    slow = Behaviour("PENDING", "SUCCESS")
    id = shop.put(replace(MUGS, paid=(Paid("gift_card", "10.00"), CARD), behaviour=slow))
    run = press(shop, id)
    assert run.steps[0].state is StepState.CONFIRMED
    order, ends = shop.order(id), {"gift_card": "SUCCESS", "shopify_payments": "FAILURE"}
    ended = tuple(
        replace(one, status=ends[one.gateway], settles=None) if one.kind == "REFUND" else one for one in order.payments
    )
    with shop.store.lock:
        shop.store.put(replace(order, payments=ended))
    shop.clock.sleep(60)
    run = carry_out(shop.tools, run.id, 5.0)
    assert (run.steps[0].state, run.steps[0].error) == (StepState.REVIEW, NOT_PAID)
    return run


def test_of_a_refund_that_went_in_part_the_part_is_told_and_it_cannot_be_closed_as_not_done(shop: Inside) -> None:
    run = half_paid(shop, lambda shop, id: refund(shop, id)[1])
    shown = flow.order(shop.tools, shop.session(), run.place).context
    assert [(one["amount"].show(), one["trouble"]) for one in shown["refunds"]] == [("$10.00", PARTLY_PAID)]
    assert [one["value"] for one in shown["run"]["calls"]] == ["A person must decide ($12.50)"]
    number = str(shop.order(int(run.place.order)).refunds[0].id)
    assert open_ways(shop, run) == [number]
    assert offered(shop, run)[number].effect.endswith("of $10.00; it had asked for $12.50.")
    run = decided(shop, run, number)
    assert told(run) == (False, "settled", f"Refunded $10.00 on {run.facts['name']}.")


def test_of_a_cancel_whose_refund_went_in_part_the_part_is_told_and_never_that_nothing_went(shop: Inside) -> None:
    run = half_paid(shop, cancel)
    assert open_ways(shop, run) == ["done"]
    with pytest.raises(LookAgain, match="A part of its refund went back"):
        decided(shop, run, "cancelled")
    run = decided(shop, run, "done")
    assert told(run) == (False, "settled", f"{run.facts['name']} is cancelled. Refunded $10.00.")


# ---------------------------------------------------------------- always something, never a lie


NOTES = ((STEP.marker, FIVE), ("by hand", FIVE), ("by hand", Money("USD", Decimal(2))))
ENDS = (("SUCCESS",), ("PENDING",), ("FAILURE",), ("SUCCESS", "FAILURE"))
EACH = [RefundSeen("", note, amount, ends) for note, amount in NOTES for ends in ENDS]
CALLS = (("refundCreate", FIVE), ("orderCancel", FIVE), ("orderCancel", ZERO))


def worlds() -> Iterator[tuple[Step, OrderFacts]]:
    """Every kind of call, receipt and cancel, with each pair of refunds, as a person may find them a day later."""
    pairs = [(), *((one,) for one in EACH), *itertools.combinations_with_replacement(EACH, 2)]
    for pair, cancelled, (root, moves) in itertools.product(pairs, (None, STEP.marker, "by hand"), CALLS):
        seen = tuple(replace(one, id=f"gid://shopify/Refund/{number}") for number, one in enumerate(pair, 1))
        order = replace(ORDER, refunds=seen, cancelled_at="2026-11-23" if cancelled else None, staff_note=cancelled)
        rows = encode([{"id": one.id, "amount": one.refunded, "statuses": list(one.statuses)} for one in seen])
        for receipt in (None, {"$refunds": []}, {"$refunds": rows}, {"$job": "SUCCEEDED", "$refunds": rows}):
            yield replace(STEP, root=root, moves=moves, receipt=receipt, state=StepState.REVIEW), order


def test_whatever_a_person_finds_something_can_be_decided_and_nothing_untrue(shop: Inside) -> None:
    tools = replace(shop.tools, runs=MemoryRuns())
    for step, order in worlds():
        run = replace(RUN, facts={**RUN.facts, "refunds": []}, steps=(step,))
        ways = {one.how for one in choices(work_on(tools, run), step, order) if one.blocked is None}
        paid = [one for one in order.refunds if not unpaid(one.statuses)]
        ours = order.cancelled_at and (step.marker == order.staff_note or "$job" in (step.receipt or {}))
        untrue = ours if step.root == "orderCancel" else any(one.note == step.marker for one in paid)
        assert ways, (step, order)
        assert not (untrue and NOT_DONE in ways), (step, order)
        assert not (untrue and AGAIN in ways), (step, order)
        assert not (CANCELLED in ways and not ours), (step, order)
        assert not (CANCELLED in ways and any(one.refunded == step.moves for one in paid)), (step, order)


# ---------------------------------------------------------------- what else a decision does


def test_a_decision_is_followed_to_its_end_though_the_action_is_gone(shop: Inside) -> None:
    run = unpaid_cancel(shop)
    gone = replace(shop.tools, bundle=replace(shop.tools.bundle, actions={}))
    run = resolve(gone, shop.session().agent, run.id, "cancelled", "looked in Shopify")
    assert told(run) == (False, "settled", "The order was cancelled, nothing was paid back.")


def test_a_decision_is_logged_and_counted_without_what_the_person_wrote(
    shop: Inside, out: io.StringIO  # noqa: F811
) -> None:  # fmt: skip
    before = counted("cancelled")
    run = decided(shop, unpaid_cancel(shop), "cancelled", "the parcel of Mrs Privet")
    told_of = [one for one in lines(out) if one["event"] == "run.decided"]
    assert [(one["run"], one["by"], one["decision"], one["reason_length"]) for one in told_of] == [
        (run.id, "ana", "cancelled", 24)
    ]
    assert ("Privet" in out.getvalue(), counted("cancelled") - before) == (False, 1)


def counted(decision: str) -> float:
    name = f'{metrics.PREFIX}decisions_total{{decision="{decision}"}} '
    found = [one for one in metrics.exposed({}).decode().splitlines() if one.startswith(name)]
    return float(found[0].rsplit(" ", 1)[-1]) if found else 0.0


def test_an_order_that_cannot_be_read_for_a_run_is_logged_with_the_run(
    shop: Inside, out: io.StringIO  # noqa: F811
) -> None:  # fmt: skip
    _, run = refund(shop, shop.put(MUGS), lambda _: Reply(None, b"", "cut", "timeout"))
    shop.wire.reads = [unreadable, unreadable]
    carry_out(shop.tools, run.id, 0.0)
    with pytest.raises(TryLater):
        decided(shop, run, "not-done")
    told_of = [one for one in lines(out) if one["event"] == "step.unread"]
    assert [(one["run"], one["step"], one["error"]) for one in told_of] == [(run.id, "refund", "TryLater")] * 2
