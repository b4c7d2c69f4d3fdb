"""Runs that are interrupted, late, or met by somebody else: nothing is sent on a world that moved."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from plugin import flow
from plugin.drafts import draft, judge
from plugin.errors import ActInShopify, LookAgain, NothingHere
from plugin.flow import View
from plugin.legacy import import_legacy
from plugin.runtime import MOVED, NEVER_SENT, carry_out
from plugin.settling import CHANGED, NEVER_ENDED, OTHER_MONEY, _all_paid
from plugin.shapes import Customer, Place, Run, StepState
from plugin.sync import carry_on
from plugin.tokens import new_run_id
from tests.world import (
    BASE,
    CANCEL,
    DOMAIN,
    REFUND,
    World,
    fields,
    mistakes,
    money,
    outcome,
    typed,
    world,
)


def committed(shop: World, number: int, action_id: str = REFUND, **changes: Any) -> Run:
    """A run whose process died between the commit and the first call."""
    session, place = shop.session(number), shop.place(number)
    action = shop.tools.bundle.actions[action_id]
    raw = {name: value for name, value in typed(shop.open(number, action_id)).items() if name != "payments"}
    for name, value in changes.items():
        raw[name] = dict(zip(raw[name], value, strict=False)) if isinstance(value, list) else value
    filled = draft(shop.tools, session, place, action, raw, {})
    _, planned = judge(shop.tools, session, filled, new_run_id())
    assert planned is not None
    flow._begin(shop.tools, session, filled, planned, raw, shop.tools.clock.now())
    return shop.tools.runs.runs_of(place)[0]


def told(run: Run) -> Mapping[str, Any]:
    assert run.outcome is not None
    return run.outcome


class Later:
    """A clock three hours on, and more when told."""

    more = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=3) + self.more

    def sleep(self, seconds: float) -> None: ...


def test_a_run_left_as_intent_is_finished_while_the_order_stands_still(shop: World) -> None:
    run = carry_out(shop.tools, committed(shop, 1001, lines=["1", "0"]).id, 0.0)
    assert (run.open, told(run)["state"]) == (False, "done")
    assert shop.ledger(1001)["refunded"] == 25


def test_a_run_left_as_intent_is_given_up_when_the_order_moved(shop: World) -> None:
    run = committed(shop, 1001, lines=["1", "0"])
    shop.in_admin(1001, "refund", amount="25.00", note="by hand")
    run = carry_out(shop.tools, run.id, 0.0)
    assert (run.open, told(run)["state"], told(run)["text"]) == (False, "failed", MOVED)
    assert shop.ledger(1001)["refunded"] == 25


def test_a_run_left_as_intent_for_long_is_given_up(shop: World) -> None:
    run = committed(shop, 1001, lines=["1", "0"])
    run = carry_out(replace(shop.tools, clock=Later()), run.id, 0.0)
    assert (told(run)["text"], shop.ledger(1001)["refunds"]) == (NEVER_SENT, [])


def test_a_run_found_in_the_middle_of_sending_is_in_doubt(shop: World) -> None:
    run = committed(shop, 1001, lines=["1", "0"])
    epoch = shop.tools.runs.claim(run.id, "died", shop.tools.clock.now(), -1)
    assert epoch is not None
    shop.tools.runs.sending(run.steps[0], epoch, shop.tools.clock.now())
    run = carry_out(shop.tools, run.id, 0.0)
    assert (run.open, run.steps[0].state, shop.ledger(1001)["refunds"]) == (True, StepState.UNKNOWN, [])
    assert carry_on(shop.tools) == 1, "and looked into"
    assert shop.ledger(1001)["refunds"] == [], "but nothing is sent before the settle time has passed"


def test_a_server_that_died_after_shopify_refunded_finds_that_at_its_first_look(shop: World) -> None:
    run = committed(shop, 1001, lines=["1", "0"])
    epoch = shop.tools.runs.claim(run.id, "died", shop.tools.clock.now(), -1)
    assert epoch is not None
    shop.tools.runs.sending(run.steps[0], epoch, shop.tools.clock.now())
    shop.tools.commerce.send(DOMAIN, run.steps[0].body)
    run = carry_out(shop.tools, run.id, 0.0)
    assert (run.open, told(run)["text"]) == (False, "Refunded $25.00 on #1001.")
    assert len(shop.ledger(1001)["refunds"]) == 1


def test_a_call_in_doubt_is_looked_for_twice_a_minute_however_long_the_store_was_away(shop: World) -> None:
    run = committed(shop, 1001, lines=["1", "0"])
    epoch = shop.tools.runs.claim(run.id, "died", shop.tools.clock.now(), -1)
    assert epoch is not None
    shop.tools.runs.sending(run.steps[0], epoch, shop.tools.clock.now())
    clock = Later()
    tools = replace(shop.tools, clock=clock)
    shop.fault("502-before", on="query", times=99)
    looks = []
    for seconds in (0, 29, 31, 62):
        clock.more = timedelta(seconds=seconds)
        looks.append(carry_on(tools))
    assert looks == [1, 0, 1, 1]
    assert (tools.runs.run(run.id) or run).steps[0].state is StepState.UNKNOWN


def test_a_second_step_is_not_sent_when_somebody_refunded_meanwhile(shop: World) -> None:
    view = shop.preview(1001, CANCEL, shop.open(1001, CANCEL), payments=["10.00"], decision="cancel")
    shop.fault("throttled", on="refundCreate", times=4)
    waiting = outcome(shop.submit(1001, CANCEL, view))
    assert waiting["state"] == "working"
    shop.in_admin(1001, "refund", amount="10.00", note="by hand")
    run = carry_out(shop.tools, waiting["follow_url"].rsplit("/", 1)[-1], 0.0)
    assert told(run)["state"] == "partly"
    assert told(run)["text"] == f"The order was cancelled. The refund was not made ($10.00): {MOVED}"
    assert shop.ledger(1001)["refunded"] == 10


def test_a_second_step_that_had_to_wait_is_made_once(shop: World) -> None:
    view = shop.preview(1001, CANCEL, shop.open(1001, CANCEL), payments=["10.00"], decision="cancel")
    shop.fault("throttled", on="refundCreate", times=4)
    waiting = outcome(shop.submit(1001, CANCEL, view))
    run = carry_out(shop.tools, waiting["follow_url"].rsplit("/", 1)[-1], 0.0)
    assert (told(run)["state"], shop.ledger(1001)["refunded"]) == ("done", 10)


def test_a_cancel_that_was_accepted_and_never_ends_goes_to_a_person(tmp_path: Path) -> None:
    with world(tmp_path, cancel_delay=3600.0) as shop:
        done = outcome(shop.act(1001, CANCEL))
        run_id = done["follow_url"].rsplit("/", 1)[-1]
        run = carry_out(replace(shop.tools, clock=Later()), run_id, 0.0)
        assert (run.open, run.steps[0].state, run.steps[0].error) == (True, StepState.REVIEW, NEVER_ENDED)


def test_two_refunds_that_add_up_to_a_cancels_amount_are_not_taken_for_its_own(tmp_path: Path) -> None:
    with world(tmp_path, cancel_delay=3.0) as shop:
        done = outcome(shop.act(1001, CANCEL))
        shop.in_admin(1001, "refund", amount="5.00", note="by hand")
        time.sleep(1)
        run = carry_out(shop.tools, done["follow_url"].rsplit("/", 1)[-1], 2.0)
        assert (run.open, run.steps[0].state, run.steps[0].error) == (True, StepState.REVIEW, OTHER_MONEY)
        assert shop.ledger(1001)["refunded"] == Decimal("67.5")


def test_a_failed_cancel_on_an_order_that_moved_goes_to_a_person(tmp_path: Path) -> None:
    with world(tmp_path, cancel_delay=1.5) as shop:
        opened = shop.open(1040, CANCEL)
        by_hand = threading.Timer(0.7, lambda: shop.in_admin(1040, "refund", amount="5.00", note="by hand"))
        by_hand.start()
        done = outcome(shop.submit(1040, CANCEL, opened))
        by_hand.join()
        time.sleep(1)
        run_id = done["follow_url"].rsplit("/", 1)[-1]
        run = carry_out(shop.tools, run_id, 0.0)
        assert (run.open, run.steps[0].state, run.steps[0].error) == (True, StepState.REVIEW, CHANGED)


def aged(shop: World, view: View) -> View:
    """The same form an hour later, when the bundle has changed too."""
    form, tokens = view.context["form"], shop.app.tokens
    claims = replace(tokens.open_form(form["token"]), action_digest="of before")
    old = tokens.seal_form(claims, shop.tools.clock.now() - timedelta(hours=1))
    return replace(view, context={"form": {**form, "token": old}})


def test_a_form_that_could_not_be_sent_any_more_is_still_told_what_became_of_it(shop: World) -> None:
    def asked(number: int, view: View) -> View:
        token = view.context["form"]["token"]
        return flow.sent(shop.tools, shop.app.tokens, shop.session(number), shop.place(number), REFUND, token)

    view = shop.preview(1001, REFUND, shop.open(1001, REFUND), lines=["1", "0"])
    done = outcome(shop.submit(1001, REFUND, view, lines=["1", "0"]))
    assert outcome(asked(1001, aged(shop, view))) == done
    assert outcome(shop.submit(1001, REFUND, aged(shop, view), lines=["1", "0"])) == done
    never = aged(shop, shop.open(1003, REFUND))
    assert asked(1003, never).context["text"] == flow.NOT_SENT
    with pytest.raises(LookAgain, match="too old"):
        shop.submit(1003, REFUND, never, lines=["1"])


def test_an_amount_the_agent_was_not_shown_is_not_sent(shop: World) -> None:
    opened = shop.open(1001, REFUND)
    refused = shop.submit(1001, REFUND, opened, lines=["2", "1"])
    assert (refused.status, mistakes(refused)) == (422, [flow.OTHER_AMOUNT])
    assert shop.ledger(1001)["refunds"] == []
    assert outcome(shop.submit(1001, REFUND, refused, lines=["2", "1"]))["refunds"][0]["amount"] == money("62.50")


def test_two_forms_of_two_agents_pay_once(shop: World) -> None:
    forms = [shop.preview(1001, REFUND, shop.open(1001, REFUND), lines=["1", "0"]) for _ in range(2)]
    outcome(shop.submit(1001, REFUND, forms[0]))
    with pytest.raises(Exception, match="changed since you opened"):
        shop.submit(1001, REFUND, forms[1])
    assert shop.ledger(1001)["refunded"] == 25


def test_a_customer_without_an_e_mail_owns_no_order(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "customer", lambda self, number: Customer("c", "", "Nobody"))
    assert shop.rows(1001)["problem"] == (
        "The CRM has no e-mail and no certain phone number for this customer, so no orders can be found."
    )
    with pytest.raises(NothingHere):
        shop.open(1001, REFUND)


def test_the_form_of_a_legacy_order_stays_shut(shop: World) -> None:
    old = "2026-01-01T00:00:00Z"
    row = {"id": BASE + 1001, "name": "#1001", "created_at": old, "updated_at": old, "email": "ada@example.com"}
    import_legacy(shop.tools, DOMAIN, json.dumps(row), "old.json")
    assert shop.tools.orders.order(Place(DOMAIN, str(BASE + 1001))) is not None
    with pytest.raises(ActInShopify, match="older Shopify app"):
        shop.open(1001, REFUND)


def test_an_action_that_lost_its_step_goes_to_a_person(shop: World) -> None:
    run = committed(shop, 1001, lines=["1", "0"])
    bundle = replace(shop.tools.bundle, actions={})
    run = carry_out(replace(shop.tools, bundle=bundle), run.id, 0.0)
    assert (run.open, run.steps[0].state, shop.ledger(1001)["refunds"]) == (True, StepState.REVIEW, [])


@pytest.mark.parametrize(
    ("statuses", "paid"),
    [([], False), ([[]], False), ([["SUCCESS"], []], False), ([["PENDING"]], False), ([["SUCCESS"]], True)],
)
def test_a_refund_is_paid_when_all_its_transactions_say_so(statuses: list[list[str]], paid: bool) -> None:
    assert _all_paid([{"statuses": one} for one in statuses]) is paid


def test_a_staff_note_of_the_longest_length_fits_with_its_marker(shop: World) -> None:
    longest = fields(shop.open(1001, CANCEL))["staff_note"]["max_length"]
    done = outcome(shop.act(1001, CANCEL, staff_note="x" * longest))
    assert done["state"] == "done"
