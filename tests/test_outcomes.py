"""What the runtime makes of every kind of answer to a mutation, and of orders that cannot be read just then."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from plugin import flow
from plugin.errors import ActInShopify, LookAgain, TryLater
from plugin.ports import Reply
from plugin.reconcile import CANCELLED_BY_OTHERS
from plugin.review import resolve
from plugin.runtime import UNREACHED, carry_out
from plugin.sandbox.store import cancels, refunds
from plugin.sandbox.store.amounts import Bag
from plugin.sandbox.store.making import Item, Plan
from plugin.sandbox.store.orders import Behaviour, Payment
from plugin.settling import NEVER_PAID, ONE_OF_TWO, OTHER_MONEY
from plugin.shapes import Run, StepState
from plugin.telling import calls
from tests.inside import Inside, back, inside
from tests.world import CANCEL, REFUND, mistakes

MUGS = Plan("two mugs", (Item("Mug", "12.50", 2),), ship="0")
OTHER_PARAMETERS = "The same idempotency key cannot be used with different operation parameters."


@pytest.fixture
def shop() -> Inside:
    return inside()


def answer(body: dict[str, Any]) -> Callable[[bytes], Reply]:
    return lambda _: Reply(200, json.dumps(body).encode(), None, "")


def refused(message: str, *field: str) -> dict[str, Any]:
    errors = [{"field": list(field) or None, "message": message}]
    return {"data": {"refundCreate": {"refund": None, "order": None, "userErrors": errors}}}


def unreadable(_: dict[str, Any]) -> None:
    raise TryLater("Shopify does not answer just now.")


def refund(shop: Inside, id: int, *sends: Callable[[bytes], Reply]) -> tuple[flow.View, Run]:
    """One mug of the order is refunded; `sends` is what becomes of the call."""
    line = f"gid://shopify/LineItem/{shop.order(id).lines[0].id}"
    seen = shop.post(flow.preview, id, REFUND, shop.open(id, REFUND), lines={line: "1"})
    shop.wire.sends = list(sends)
    view = shop.post(flow.submit, id, REFUND, seen)
    return view, shop.tools.runs.runs_of(shop.place(id))[0]


def cancel(shop: Inside, id: int, *sends: Callable[[bytes], Reply]) -> Run:
    opened = shop.open(id, CANCEL)
    shop.wire.sends = list(sends)
    shop.post(flow.submit, id, CANCEL, opened)
    return shop.tools.runs.runs_of(shop.place(id))[0]


def told(run: Run) -> tuple[bool, str, str]:
    """Whether it is open, its first step's state, and what the agent reads."""
    return run.open, run.steps[0].state, (run.outcome or {}).get("text", "")


# ---------------------------------------------------------------- proved: nothing happened


def test_a_call_that_never_left_is_a_failure_the_agent_may_repeat(shop: Inside) -> None:
    id = shop.put(MUGS)
    view, run = refund(shop, id, lambda _: Reply(None, b"", "not_sent", "refused"))
    assert (mistakes(view), told(run), back(shop.order(id))) == ([UNREACHED], (False, "failed", UNREACHED), [])


def test_a_call_refused_before_it_ran_names_the_cause(shop: Inside) -> None:
    denied = {"errors": [{"message": "Access denied.", "extensions": {"code": "ACCESS_DENIED"}}]}
    _, run = refund(shop, shop.put(MUGS), answer(denied))
    said = "Shopify did not do this - Access denied. Ask an administrator."
    assert told(run) == (False, "failed", said)


def test_a_user_error_is_said_in_the_words_of_the_action_at_its_field(shop: Inside) -> None:
    view, run = refund(shop, shop.put(MUGS), answer(refused("No such parent", "input", "transactions", "0")))
    said = "Shopify refused the payment - No such parent."
    assert (told(run), run.steps[0].error_field) == ((False, "failed", said), "payments")
    assert [one["error"] for one in view.context["form"]["fields"] if one["name"] == "payments"] == [said]


def test_without_words_of_the_action_shopifys_own_are_said(shop: Inside) -> None:
    action = shop.tools.bundle.actions[REFUND]
    silent = replace(action, steps=tuple(replace(one, errors=()) for one in action.steps))
    bundle = replace(shop.tools.bundle, actions={REFUND: silent})
    shop.app = replace(shop.app, tools=replace(shop.tools, bundle=bundle))
    _, run = refund(shop, shop.put(MUGS), answer(refused("Nothing doing")))
    assert told(run) == (False, "failed", "Nothing doing")


def test_a_cancel_that_asks_for_a_refund_of_nothing_is_never_planned(shop: Inside) -> None:
    """Money that comes back later, as a refund by hand that fails, would be paid out and counted by nobody."""
    action, way = shop.tools.bundle.actions[CANCEL], {"refundMethod": {"originalPaymentMethodsRefund": True}}
    asking = replace(action.steps[0], variables=lambda scope: {**action.steps[0].variables(scope), **way})
    bundle = replace(shop.tools.bundle, actions={CANCEL: replace(action, steps=(asking, *action.steps[1:]))})
    shop.app = replace(shop.app, tools=replace(shop.tools, bundle=bundle))
    with pytest.raises(ActInShopify, match="asks for a refund only while something is paid: leave `refundMethod` out"):
        shop.open(shop.put(MUGS, refunded=Decimal("25.00")), CANCEL)


# ---------------------------------------------------------------- not proved


def test_a_user_error_on_an_order_that_moved_is_doubt(shop: Inside) -> None:
    id = shop.put(MUGS)

    def moved(_: bytes) -> Reply:
        with shop.store.lock:
            refunds.by_hand(shop.store, shop.order(id), Decimal("12.50"), "by hand")
        return answer(refused("Nothing doing"))(b"")

    _, run = refund(shop, id, moved)
    assert (run.open, run.steps[0].state) == (True, StepState.UNKNOWN)


def test_a_user_error_on_an_order_that_cannot_be_read_back_is_doubt(shop: Inside) -> None:
    def silent(_: bytes) -> Reply:
        shop.wire.reads = [unreadable]
        return answer(refused("Nothing doing"))(b"")

    _, run = refund(shop, shop.put(MUGS), silent)
    assert (run.open, run.steps[0].state, run.steps[0].error) == (True, StepState.UNKNOWN, "Nothing doing")


def test_a_key_used_with_other_parameters_goes_to_a_person(shop: Inside) -> None:
    _, run = refund(shop, shop.put(MUGS), answer(refused(OTHER_PARAMETERS)))
    assert (run.open, run.steps[0].state, run.steps[0].error) == (True, StepState.REVIEW, OTHER_PARAMETERS)


def test_doubt_stays_doubt_while_the_order_cannot_be_read(shop: Inside) -> None:
    id = shop.put(MUGS)
    _, run = refund(shop, id, lambda _: Reply(None, b"", "cut", "timeout"))
    shop.clock.sleep(500)
    shop.wire.reads = [unreadable]
    run = carry_out(shop.tools, run.id, 0.0)
    assert (run.steps[0].state, run.steps[0].attempts, back(shop.order(id))) == (StepState.UNKNOWN, 1, [])


def test_an_intent_is_not_sent_while_the_order_cannot_be_read(shop: Inside) -> None:
    id = shop.put(MUGS)
    busy = {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}
    opened = shop.post(flow.preview, id, CANCEL, shop.open(id, CANCEL), payments=_lowered(shop, id), decision="cancel")
    shop.wire.sends = [shop.wire.carry_out, *[answer(busy)] * 4]
    shop.post(flow.submit, id, CANCEL, opened)
    run = shop.tools.runs.runs_of(shop.place(id))[0]
    assert [one.state for one in run.steps] == [StepState.SETTLED, StepState.INTENT]
    assert [one["value"] for one in calls(run)] == ["Done", "Not sent yet ($10.00)"]
    shop.wire.reads = [unreadable]
    assert carry_out(shop.tools, run.id, 0.0).steps[1].state is StepState.INTENT
    assert told(carry_out(shop.tools, run.id, 0.0))[0] is False
    assert [one.amount.shown for one in back(shop.order(id))] == [Decimal("10.00")]


def _lowered(shop: Inside, id: int) -> dict[str, str]:
    return {f"gid://shopify/OrderTransaction/{shop.order(id).payments[0].id}": "10.00"}


# ---------------------------------------------------------------- done


def test_an_odd_order_in_the_answer_does_not_undo_a_proved_refund(shop: Inside) -> None:
    id = shop.put(MUGS)

    def odd(body: bytes) -> Reply:
        made = json.loads(shop.wire.carry_out(body).body)
        del made["data"]["refundCreate"]["order"]["netPaymentSet"]
        return answer(made)(b"")

    _, run = refund(shop, id, odd)
    assert (told(run), len(back(shop.order(id)))) == ((False, "settled", "Refunded $12.50 on #1."), 1)


def test_a_refund_whose_money_cannot_be_followed_just_now_is_followed_later(shop: Inside) -> None:
    id = shop.put(MUGS)

    def then_silence(body: bytes) -> Reply:
        made = json.loads(shop.wire.carry_out(body).body)
        made["data"]["refundCreate"]["order"] = None
        shop.wire.reads = [unreadable]
        return answer(made)(b"")

    _, run = refund(shop, id, then_silence)
    assert (run.open, run.steps[0].state) == (True, StepState.CONFIRMED)
    assert told(carry_out(shop.tools, run.id, 0.0)) == (False, "settled", "Refunded $12.50 on #1.")


def test_another_amount_than_was_asked_for_goes_to_a_person(shop: Inside) -> None:
    id = shop.put(MUGS)
    _, run = refund(shop, id, lambda body: shop.wire.carry_out(body.replace(b'"12.50"', b'"12.49"')))
    assert (run.open, run.steps[0].state, run.steps[0].error) == (True, StepState.REVIEW, OTHER_MONEY)


# ---------------------------------------------------------------- the job of a cancel


def test_a_cancel_whose_job_fails_on_an_order_that_stands_still_is_a_failure(shop: Inside) -> None:
    id = shop.put(replace(MUGS, behaviour=Behaviour(cancel_fails="No such place")))
    assert told(cancel(shop, id)) == (False, "failed", "Shopify refused to cancel - No such place")
    assert back(shop.order(id)) == []


def test_a_job_that_fails_says_nothing_of_the_same_cancel_that_was_sent_before(shop: Inside) -> None:
    id = shop.put(replace(MUGS, behaviour=Behaviour(cancel_fails="No such place")))
    run = cancel(shop, id, lambda _: Reply(None, b"", "cut", "ReadTimeout"))
    shop.clock.sleep(430)
    for _ in range(4):
        run = carry_out(shop.tools, run.id, 5.0)
        shop.clock.sleep(1)
    assert (run.open, run.steps[0].state, run.steps[0].attempts) == (True, StepState.REVIEW, 2)
    assert run.steps[0].error == ONE_OF_TWO


def test_a_job_that_is_done_before_its_order_shows_it_is_followed_on(shop: Inside) -> None:
    id = shop.put(MUGS)

    def not_yet(data: dict[str, Any]) -> None:
        data["node"]["order"]["cancelledAt"] = None

    def early(body: bytes) -> Reply:
        done = shop.wire.carry_out(body)
        shop.clock.sleep(1)
        shop.wire.reads = [not_yet]
        return done

    assert told(cancel(shop, id, early)) == (False, "settled", "#1 is cancelled. Refunded $25.00.")


def test_a_cancels_own_refund_is_told_from_one_that_came_after_it(shop: Inside) -> None:
    id = shop.put(MUGS)

    def then_silence(body: bytes) -> Reply:
        done = shop.wire.carry_out(body)
        shop.wire.reads = [unreadable]
        return done

    run = cancel(shop, id, then_silence)
    assert run.steps[0].state is StepState.CONFIRMED
    shop.clock.sleep(1)
    shop.facts(id)
    _pay_and_refund(shop, id, Decimal("5.00"))
    assert told(carry_out(shop.tools, run.id, 0.0)) == (False, "settled", "#1 is cancelled. Refunded $25.00.")


def test_a_cancel_that_was_made_and_not_answered_is_known_by_its_staff_note(shop: Inside) -> None:
    id = shop.put(MUGS)

    def cut(body: bytes) -> Reply:
        shop.wire.carry_out(body)
        return Reply(502, b"", None, "")

    run = cancel(shop, id, cut)
    assert run.steps[0].state is StepState.UNKNOWN
    shop.clock.sleep(1)
    for _ in range(3):
        run = carry_out(shop.tools, run.id, 1.0)
        shop.clock.sleep(20)
    assert told(run) == (False, "settled", "#1 is cancelled. Refunded $25.00.")
    assert run.steps[0].attempts == 1


def test_a_cancel_of_somebody_else_is_not_told_as_ours_when_our_job_is_not_known(shop: Inside) -> None:
    id = shop.put(MUGS)

    def by_hand(body: bytes) -> Reply:
        given = json.loads(body)
        given["variables"]["staffNote"] = "by hand"
        shop.wire.carry_out(json.dumps(given).encode())
        job = {"job": {"id": "gid://shopify/Job/1", "done": False}, "jobResult": None, "orderCancelUserErrors": []}
        return answer({"data": {"orderCancel": job}})(body)

    run = cancel(shop, id, by_hand)
    shop.clock.sleep(300)
    run = carry_out(shop.tools, run.id, 0.0)
    assert (run.open, run.steps[0].state, run.steps[0].error) == (True, StepState.REVIEW, CANCELLED_BY_OTHERS)


def test_a_cancel_whose_refund_never_appears_goes_to_a_person_after_ten_minutes(shop: Inside) -> None:
    id = shop.put(MUGS)

    def unpaid(body: bytes) -> Reply:
        """Shopify cancels, with our reference, and pays nothing back."""
        given = {**json.loads(body)["variables"], "orderId": shop.place(id).gid, "refundMethod": None, "refund": False}
        with shop.store.lock:
            cancels.cancel(shop.store, {"reason": "CUSTOMER", "restock": True, **given})
        return Reply(502, b"", None, "")

    run = cancel(shop, id, unpaid)
    shop.clock.sleep(1)
    states = []
    for _ in range(3):
        run = carry_out(shop.tools, run.id, 1.0)
        states.append((run.steps[0].state, run.steps[0].error))
        shop.clock.sleep(300)
    assert states == [(StepState.CONFIRMED, None), (StepState.CONFIRMED, None), (StepState.REVIEW, NEVER_PAID)]
    person = shop.session().agent
    with pytest.raises(LookAgain, match=r"to pay back \$25.00, and no refund of it"):
        resolve(shop.tools, person, run.id, "done", "looked")
    with shop.store.lock:
        refunds.by_hand(shop.store, shop.order(id), Decimal("25.00"), "paid by hand")
    taken = resolve(shop.tools, person, run.id, "done", "paid by hand")
    assert told(taken) == (False, "settled", "#1 is cancelled. Refunded $25.00.")


def _pay_and_refund(shop: Inside, id: int, amount: Decimal) -> None:
    """A late payment arrives, and a person gives it back."""
    order = shop.order(id)
    late = Payment(shop.store.new_id(), "SALE", "SUCCESS", "shopify_payments", Bag(amount, amount), shop.clock.now())
    with shop.store.lock:
        paid = shop.store.put(replace(order, payments=(*order.payments, late)))
        refunds.by_hand(shop.store, paid, amount, "by hand")


# ---------------------------------------------------------------- two workers


def test_a_worker_that_wakes_late_writes_nothing(shop: Inside) -> None:
    id = shop.put(MUGS)
    place = shop.place(id)

    def slow(body: bytes) -> Reply:
        shop.clock.sleep(1000)
        run = shop.tools.runs.runs_of(place)[0]
        assert shop.tools.runs.claim(run.id, "another", shop.clock.now(), 90) == 2
        return shop.wire.carry_out(body)

    _, run = refund(shop, id, slow)
    assert (run.open, run.steps[0].state, run.steps[0].receipt) == (True, StepState.SENDING, None)


def test_a_process_that_slept_between_the_commit_and_the_socket_sends_nothing(
    shop: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, sending = shop.put(MUGS), shop.tools.runs.sending

    def asleep(*given: Any) -> None:
        sending(*given)
        shop.clock.sleep(600)

    monkeypatch.setattr(shop.tools.runs, "sending", asleep)
    _, run = refund(shop, id)
    assert (told(run), back(shop.order(id))) == ((True, "sending", ""), [])


def test_a_run_that_another_worker_holds_is_left_alone(shop: Inside) -> None:
    _, run = refund(shop, shop.put(MUGS), lambda _: Reply(None, b"", "cut", "timeout"))
    assert shop.tools.runs.claim(run.id, "another", shop.clock.now(), 90) is not None
    calls: list[dict[str, Any]] = []
    shop.wire.reads = [calls.append]
    assert carry_out(shop.tools, run.id, 0.0).steps == run.steps
    assert calls == []
