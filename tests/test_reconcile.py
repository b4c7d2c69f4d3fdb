"""Runs in doubt: found by their reference, sent again only while nothing moved, else a person decides."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from plugin import flow
from plugin.documents import fingerprint
from plugin.errors import LookAgain, NotAllowed, NothingHere, TryLater
from plugin.money import Money
from plugin.reading import AWAY
from plugin.reconcile import COPIED, MOVED_BY_OTHERS, TOO_LONG, TWICE, Kind, decide, same_world
from plugin.review import resolve
from plugin.runtime import carry_out
from plugin.shapes import OrderFacts, Place, RefundSeen, Run, Step, StepState
from tests.world import CANCEL, REFUND, World, outcome, with_settings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIVE, ZERO = Money("USD", Decimal(5)), Money("USD", Decimal(0))
ORDER = OrderFacts(
    "1", "#1", "a@example.com", "", None, None, "PAID", "UNFULFILLED", FIVE, FIVE, FIVE, FIVE, ZERO, (), (("l", 1, 1),)
)
FINGERPRINT = fingerprint(ORDER)
STEP = Step(
    "r", 0, "refund", "k", "[ref ABCDEF]", "refundCreate",
    b'{"query": "", "variables": {"input": {"note": "Broken [ref ABCDEF]"}}}', FIVE, FIVE, StepState.UNKNOWN, 1,
    NOW - timedelta(seconds=100), NOW - timedelta(seconds=100), None, None, None,
)  # fmt: skip
RUN = Run(
    "r", Place("s", "1"), REFUND, "ana", "Ana", "c", None, "card", "d", True, NOW, {"fingerprint": FINGERPRINT}, {},
    None, (STEP,),
)  # fmt: skip
OURS = RefundSeen("gid://shopify/Refund/7", "Broken [ref ABCDEF]", FIVE, ("SUCCESS",))


@pytest.mark.parametrize(
    ("order", "since", "kind", "why"),
    [
        (ORDER, 100, Kind.WAIT, ""),
        (ORDER, 421, Kind.RESEND, ""),
        (ORDER, 631, Kind.REVIEW, TOO_LONG),
        (replace(ORDER, refunds=(OURS,), refunded=FIVE), 1, Kind.FOUND, ""),
        (replace(ORDER, refunds=(replace(OURS, note=" Broken\n[ref ABCDEF]"),), refunded=FIVE), 1, Kind.FOUND, ""),
        (replace(ORDER, refunds=(replace(OURS, note="see [ref ABCDEF]"),), refunded=FIVE), 1, Kind.REVIEW, COPIED),
        (replace(ORDER, refunds=(OURS, replace(OURS, id="8"))), 1, Kind.REVIEW, TWICE),
        (replace(ORDER, refunds=(replace(OURS, note="by hand"),)), 421, Kind.REVIEW, MOVED_BY_OTHERS),
        (replace(ORDER, refunded=FIVE), 421, Kind.REVIEW, MOVED_BY_OTHERS),
        (replace(ORDER, net_presentment=ZERO), 421, Kind.REVIEW, MOVED_BY_OTHERS),
        (replace(ORDER, quantities=(("l", 0, 0),)), 421, Kind.REVIEW, MOVED_BY_OTHERS),
    ],
)
def test_what_is_decided(order: OrderFacts, since: int, kind: Kind, why: str) -> None:
    sent = NOW - timedelta(seconds=since)
    decision = decide(RUN, replace(STEP, first_sent_at=sent, last_sent_at=sent), order, NOW, 420)
    assert (decision.kind, decision.why) == (kind, why)


def test_the_settle_time_counts_from_the_last_send() -> None:
    step = replace(STEP, first_sent_at=NOW - timedelta(seconds=500), last_sent_at=NOW - timedelta(seconds=10))
    assert decide(RUN, step, ORDER, NOW, 420).kind is Kind.WAIT


def test_a_second_step_is_not_sent_over_a_refund_made_before_the_first_one_ended() -> None:
    by_hand = replace(ORDER, refunds=(replace(OURS, note="by hand"),), refunded=FIVE, net_presentment=ZERO)
    first = replace(STEP, receipt={"$refunds": [], "$fingerprint": fingerprint(by_hand)})
    second = replace(STEP, position=1)
    run = replace(RUN, facts={**RUN.facts, "refunds": []}, steps=(first, second))
    assert not same_world(run, second, by_hand)
    assert same_world(replace(run, steps=(replace(first, receipt={}), second)), second, ORDER)


def test_a_second_step_is_not_sent_over_somebody_elses_refund_whose_payment_failed() -> None:
    failed = replace(ORDER, refunds=(replace(OURS, note="by hand", refunded=ZERO, statuses=("FAILURE",)),))
    restock = replace(ORDER, refunds=(replace(OURS, note="Order canceled", refunded=ZERO, statuses=()),))
    second = replace(STEP, position=1)
    run = replace(RUN, facts={**RUN.facts, "refunds": []}, steps=(replace(STEP, receipt={}), second))
    assert [same_world(run, second, one) for one in (failed, restock)] == [False, True]


def in_doubt(shop: World, number: int, action: str, fault: str, **changes: object) -> str:
    view = shop.preview(number, action, shop.open(number, action), **changes)
    shop.fault(fault, on="refundCreate" if action == REFUND else "orderCancel")
    done = outcome(shop.submit(number, action, view))
    assert done["state"] == "doubt"
    return str(done["follow_url"].rsplit("/", 1)[-1])


@pytest.mark.parametrize("fault", ["done-then-timeout", "502-after", "cut-body", "data-null"])
def test_a_refund_that_was_made_is_found_by_its_reference(shop: World, fault: str) -> None:
    run = carry_out(shop.tools, in_doubt(shop, 1001, REFUND, fault, lines=["1", "0"]), 0.0)
    assert (run.open, (run.outcome or {})["text"]) == (False, "Refunded $25.00 on #1001.")
    assert (len(shop.ledger(1001)["refunds"]), run.steps[0].attempts) == (1, 1)


@pytest.mark.parametrize("fault", ["502-before", "html", "reset", "timeout-not-done"])
def test_a_refund_that_was_not_made_is_sent_again_after_the_settle_time(shop: World, fault: str) -> None:
    run_id = in_doubt(shop, 1001, REFUND, fault, lines=["1", "0"])
    assert carry_out(shop.tools, run_id, 0.0).open, "not before"
    assert shop.ledger(1001)["refunds"] == []
    with_settings(shop, settle_time=0)
    run = carry_out(shop.tools, run_id, 0.0)
    assert (run.open, (run.outcome or {})["state"], run.steps[0].attempts) == (False, "done", 2)
    assert len(shop.ledger(1001)["refunds"]) == 1


def test_when_a_person_refunds_during_doubt_nothing_is_sent(shop: World) -> None:
    run_id = in_doubt(shop, 1001, REFUND, "502-before", lines=["1", "0"])
    shop.in_admin(1001, "refund", amount="25.00", note="by hand")
    with_settings(shop, settle_time=0)
    run = carry_out(shop.tools, run_id, 0.0)
    assert (run.open, run.steps[0].state, run.steps[0].error) == (True, StepState.REVIEW, MOVED_BY_OTHERS)
    assert shop.ledger(1001)["refunded"] == 25
    assert "A person must compare" in shop.order(1001).context["run"]["text"]


def test_while_the_store_is_away_the_order_still_says_that_its_run_is_in_doubt(shop: World) -> None:
    in_doubt(shop, 1001, REFUND, "502-before", lines=["1", "0"])
    shop.fault("502-before", on="query", times=99)
    shown = flow.order(shop.tools, shop.session(1001), shop.place(1001), force=True).context
    assert (shown["run"]["state"], shown["actions"], shown["stale_reason"]) == ("doubt", [], AWAY)
    with pytest.raises(TryLater):
        flow.order(shop.tools, shop.session(1003), shop.place(1003), force=True)


def test_a_cancel_that_was_not_made_is_sent_again_after_the_settle_time(shop: World) -> None:
    run_id = in_doubt(shop, 1001, CANCEL, "502-before")
    with_settings(shop, settle_time=1)
    run = shop.tools.runs.run(run_id)
    for _ in range(40):
        run = carry_out(shop.tools, run_id, 1.0)
        if not run.open:
            break
        shop.tools.clock.sleep(0.7)
    assert run is not None
    assert (run.open, (run.outcome or {}).get("text")) == (False, "#1001 is cancelled. Refunded $67.50.")
    assert (shop.ledger(1001)["refunded"], run.steps[0].attempts) == (Decimal("67.5"), 2)


def test_doubt_about_a_doubt_stays_doubt(shop: World) -> None:
    run_id = in_doubt(shop, 1001, REFUND, "502-before", lines=["1", "0"])
    with_settings(shop, settle_time=0)
    shop.fault("502-after", on="refundCreate")
    assert carry_out(shop.tools, run_id, 0.0).steps[0].state is StepState.UNKNOWN
    run = carry_out(shop.tools, run_id, 0.0)
    assert (run.open, len(shop.ledger(1001)["refunds"])) == (False, 1)


# ---------------------------------------------------------------- a person decides


def by_hand(shop: World, run_id: str, how: str, reason: str = "looked in Shopify", number: int = 1001) -> Run:
    with_settings(shop, settle_time=0)
    return resolve(shop.tools, shop.session(number).agent, run_id, how, reason)


def moved_in_doubt(shop: World) -> str:
    run_id = in_doubt(shop, 1001, REFUND, "502-before", lines=["1", "0"])
    shop.in_admin(1001, "refund", amount="25.00", note="by hand")
    assert carry_out(shop.tools, run_id, 0.0).steps[0].state is StepState.REVIEW
    return run_id


def test_a_person_closes_a_run_that_was_not_done(shop: World) -> None:
    run = by_hand(shop, moved_in_doubt(shop), "not-done")
    assert (run.open, (run.outcome or {})["text"]) == (False, "Closed as not done by Ana.")
    assert [(one.agent_name, one.how, one.reason) for one in run.resolutions] == [
        ("Ana", "not-done", "looked in Shopify")
    ]
    shown = shop.order(1001).context
    assert shown["history"][0]["decisions"][0]["reason"] == "looked in Shopify"
    assert [one["made_by"] for one in shown["refunds"]] == [None], "the refund was made outside of this app"
    assert shop.ledger(1001)["refunded"] == 25
    assert shop.button(1001, REFUND) == (True, None)


def test_a_person_says_which_refund_it_is(shop: World) -> None:
    run_id = moved_in_doubt(shop)
    refund = shop.ledger(1001)["refunds"][0]["id"]
    run = by_hand(shop, run_id, str(refund))
    assert (run.open, (run.outcome or {})["text"]) == (False, "Refunded $25.00 on #1001.")
    with pytest.raises(NothingHere):
        by_hand(shop, run_id, "again")


def test_a_person_sends_again_the_same_bytes(shop: World) -> None:
    run = by_hand(shop, moved_in_doubt(shop), "again")
    assert (run.open, run.steps[0].attempts, shop.ledger(1001)["refunded"]) == (False, 2, 50)


def test_what_shopify_shows_as_done_can_neither_be_closed_nor_sent_again(shop: World) -> None:
    run_id = in_doubt(shop, 1001, REFUND, "502-after", lines=["1", "0"])
    for how in ("again", "not-done"):
        with pytest.raises(LookAgain, match="reference on the order"):
            by_hand(shop, run_id, how)
    assert len(shop.ledger(1001)["refunds"]) == 1


@pytest.mark.parametrize("how", ["again", "not-done", "refund"])
def test_nothing_is_decided_while_shopify_may_still_carry_it_out(shop: World, how: str) -> None:
    run_id = moved_in_doubt(shop)
    number = str(shop.ledger(1001)["refunds"][0]["id"]) if how == "refund" else how
    with pytest.raises(LookAgain, match="may still carry out the last attempt"):
        resolve(shop.tools, shop.session(1001).agent, run_id, number, "in a hurry")
    run = shop.tools.runs.run(run_id)
    assert run is not None
    assert (run.open, run.steps[0].attempts, run.resolutions) == (True, 1, ())


def test_a_person_may_take_a_refund_of_another_amount_and_the_real_one_is_told(shop: World) -> None:
    run_id = in_doubt(shop, 1001, REFUND, "502-before", lines=["1", "0"])
    shop.in_admin(1001, "refund", amount="20.00", note="by hand")
    carry_out(shop.tools, run_id, 0.0)
    run = by_hand(shop, run_id, str(shop.ledger(1001)["refunds"][0]["id"]))
    assert (run.open, (run.outcome or {})["text"]) == (False, "Refunded $20.00 on #1001.")
    assert [one["made_by"] for one in shop.order(1001).context["refunds"]] == ["Ana"]


def test_an_open_run_tells_when_it_is_decided_and_what_others_refunded(shop: World) -> None:
    run_id = in_doubt(shop, 1001, REFUND, "502-before", lines=["1", "0"])
    assert "we look again and decide by" in shop.order(1001).context["run"]["text"]
    shop.in_admin(1001, "refund", amount="25.00", note="by hand")
    carry_out(shop.tools, run_id, 0.0)
    shown = shop.order(1001).context["run"]
    assert (shown["state"], "$25.00 was refunded outside of this app" in shown["text"]) == ("review", True)


@pytest.mark.parametrize(("how", "said"), [("999", "no refund 999"), ("again", "Say why")])
def test_a_wrong_decision_is_refused(shop: World, how: str, said: str) -> None:
    with pytest.raises(LookAgain, match=said):
        by_hand(shop, moved_in_doubt(shop), how, "" if how == "again" else "reason")


def test_deciding_needs_its_own_permission(shop: World) -> None:
    run_id = moved_in_doubt(shop)
    shop.group = "Support agents"
    with pytest.raises(NotAllowed, match="Decide about runs in doubt"):
        by_hand(shop, run_id, "not-done")


def test_a_refund_that_was_recorded_and_never_paid_is_closed_by_a_person(shop: World) -> None:
    done = outcome(shop.act(1032, REFUND, lines=["1", "0"]))
    shop.tools.clock.sleep(1.5)
    run_id = done["follow_url"].rsplit("/", 1)[-1]
    assert carry_out(shop.tools, run_id, 0.0).steps[0].state is StepState.REVIEW
    run = by_hand(shop, run_id, "not-done", "paid by bank transfer", 1032)
    assert (run.open, (run.outcome or {})["state"]) == (False, "failed")
