"""The page of a run in doubt: who sees it, what it offers, one decision a press, none on an order that moved."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from plugin import deciding, flow
from plugin.deciding import NOT_DECIDED
from plugin.errors import LookAgain
from plugin.reconcile import CANCELLED_BY_OTHERS
from plugin.runtime import carry_out
from plugin.sandbox.store import cancels
from plugin.sandbox.store.state import gid
from plugin.shapes import Customer, Run, StepState
from plugin.web import create_web
from tests.test_reconcile import by_hand, in_doubt, moved_in_doubt
from tests.test_web import ADA, BILAL, signed_in, token_in
from tests.world import BASE, CANCEL, DOMAIN, REFUND, World, outcome, with_settings

ORDER = f"/stores/{DOMAIN}/orders/{BASE + 1001}"
LEADS, AGENTS = ("Support leads",), ("Support agents",)
WHY = "compared with Shopify"
BY_HAND = {"reason": "CUSTOMER", "restock": True, "refundMethod": {"originalPaymentMethodsRefund": True}}


@pytest.fixture
def client(shop: World) -> FlaskClient:
    with_settings(shop, settle_time=0)
    return create_web(shop.app).test_client()


class Person:
    """Somebody before the card of one customer, and what they press on the page of one run."""

    def __init__(self, client: FlaskClient, run_id: str, groups: tuple[str, ...] = LEADS, **claims: Any) -> None:
        self.client, self.url = client, f"{ORDER}/runs/{run_id}/review"
        self.headers = signed_in(client, groups=groups, **claims)

    def get(self, path: str) -> TestResponse:
        return self.client.get(path, headers=self.headers)

    def post(self, path: str, page: str, how: str, reason: str = WHY) -> TestResponse:
        found = re.search(r'name="token" value="([^"]+)"', page)
        data = {"how": how, "reason": reason, "token": found[1] if found else ""}
        return self.client.post(path, data=data, headers=self.headers)

    def chosen(self, how: str, reason: str = WHY) -> str:
        """The page once this choice was shown."""
        return self.post(f"{self.url}/preview", self.get(self.url).text, how, reason).text

    def press(self, how: str, page: str | None = None, reason: str = WHY) -> TestResponse:
        return self.post(self.url, page or self.chosen(how), how, reason)


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def button(html: str) -> str:
    return words(html.split('class="button-text">')[1].split("</button>")[0])


def run_of(shop: World, run_id: str) -> Run:
    run = shop.tools.runs.run(run_id)
    assert run is not None
    return run


# ---------------------------------------------------------------- who sees it


def test_without_the_permission_nothing_is_read(shop: World, client: FlaskClient) -> None:
    run_id = moved_in_doubt(shop)
    agent = Person(client, run_id, AGENTS)
    shop.forget_calls()
    answers = [
        agent.get("/reviews"), agent.get(agent.url), agent.get(f"{ORDER}/runs/none/review"),
        agent.post(f"{agent.url}/preview", "", "not-done"), agent.post(agent.url, "", "not-done"),
    ]  # fmt: skip
    assert [one.status_code for one in answers] == [403] * 5
    assert not any("1001" in one.text or "25.00" in one.text for one in answers)
    assert (shop.calls(), run_of(shop, run_id).resolutions) == (0, ())


def test_who_may_decide_sees_the_runs_of_every_customer_and_is_led_back_to_the_runs(
    shop: World, client: FlaskClient
) -> None:
    run_id = moved_in_doubt(shop)
    lead = Person(client, run_id, customer=BILAL)
    assert "1 run waits for a decision" in lead.get("/orders").text
    assert lead.url in lead.get("/reviews").text
    page = lead.get(lead.url).text
    assert ("Back to the runs" in page, "Back to the order" in page) == (True, False)
    assert "Back to the runs" in lead.press("not-done").text
    assert "Closed as not done by Ana." in lead.get(f"{ORDER}/runs/{run_id}").text
    assert "No run waits for a decision" in lead.get("/reviews").text
    assert lead.get(ORDER).status_code == 404, "the order itself is shown beside its own customer alone"


def test_nobody_else_sees_another_customers_run_and_none_is_found_on_another_order(
    shop: World, client: FlaskClient
) -> None:
    run_id = moved_in_doubt(shop)
    agent = Person(client, run_id, AGENTS, customer=BILAL)
    assert agent.get(f"{ORDER}/runs/{run_id}").status_code == 404
    assert "waits for a decision" not in agent.get("/orders").text
    assert Person(client, run_id, AGENTS, customer=ADA).get(f"{ORDER}/runs/{run_id}").status_code == 202
    lead = Person(client, run_id)
    assert lead.get(lead.url.replace(str(BASE + 1001), str(BASE + 1002))).status_code == 404
    assert lead.get(lead.url.replace(DOMAIN, "other.myshopify.com")).status_code == 404


def test_the_order_leads_those_who_may_to_the_decision_and_tells_others_who_decides(
    shop: World, client: FlaskClient
) -> None:
    run_id = moved_in_doubt(shop)
    lead, agent = Person(client, run_id), Person(client, run_id, AGENTS)
    assert f'data-get="{lead.url}">Decide</button>' in lead.get(ORDER).text
    assert (lead.url in agent.get(ORDER).text, "a supervisor decides" in agent.get(ORDER).text) == (False, True)


def test_a_run_of_the_command_line_is_followed_from_the_card_of_its_orders_customer(
    shop: World, client: FlaskClient
) -> None:
    email = shop.customer(1001).email
    session = replace(shop.session(1001), customer=Customer("", email, ""), door="cli")
    shop.customer = lambda number: session.customer  # type: ignore[method-assign]
    run_id = moved_in_doubt(shop)
    assert run_of(shop, run_id).customer_id == ""
    assert Person(client, run_id, AGENTS).get(f"{ORDER}/runs/{run_id}").status_code == 202
    assert Person(client, run_id, AGENTS, customer=BILAL).get(f"{ORDER}/runs/{run_id}").status_code == 404


# ---------------------------------------------------------------- what it shows


def test_the_page_shows_order_and_record_side_by_side_and_what_each_choice_would_do(
    shop: World, client: FlaskClient
) -> None:
    run_id = moved_in_doubt(shop)
    refund, marker = shop.ledger(1001)["refunds"][0]["id"], run_of(shop, run_id).steps[0].marker
    page = words(Person(client, run_id).get(f"{ORDER}/runs/{run_id}/review").text)
    for told in (
        "Decide: Refund on #1001",
        "The order changed without our reference while our answer was missing.",
        "Since it began, $25.00 was refunded outside of this app.",
        f"Refund {refund} $25.00 Made outside of this app",
        f"Agent Ana Pressed {_today(page)}",
        f"Step 1: refund State A person must decide Call refundCreate Amount $25.00 Reference {marker} Sent Once",
        "Send again: refund $25.00 Sends the same call once more: refund $25.00.",
        "$25.00 was refunded outside of this app since then; this comes on top of it.",
        f"It is this refund: $25.00, number {refund} Sends nothing. The run ends as done with refund {refund} of $25",
        "Close, not done Sends nothing, and this run pays nothing back.",
        "Choose what is right. Nothing is sent before you press the button.",
    ):
        assert told in page


def _today(page: str) -> str:
    found = re.search(r"Pressed (\d+ \w{3} \d{4}, \d\d:\d\d UTC)", page)
    return found[1] if found else "not told"


def test_what_is_not_possible_yet_is_closed_with_its_reason(shop: World, client: FlaskClient) -> None:
    with_settings(shop, settle_time=420)
    lead = Person(client, moved_in_doubt(shop))
    page = lead.get(lead.url).text
    told = "Not possible: Shopify may still carry out the last attempt. This can be decided from"
    assert (page.count(" disabled"), page.count(told)) == (3, 3)
    assert button(lead.chosen("again")) == "Choose what is right"


def test_the_button_names_what_it_does(shop: World, client: FlaskClient) -> None:
    lead = Person(client, moved_in_doubt(shop))
    refund = str(shop.ledger(1001)["refunds"][0]["id"])
    pages = [lead.chosen(how) for how in ("again", refund, "not-done")]
    assert [(button(one), "risky" in one, 'aria-disabled="true"' in one) for one in pages] == [
        ("Send again: refund $25.00", True, False),
        (f"It is this refund: $25.00, number {refund}", False, False),
        ("Close, not done", False, False),
    ]


# ---------------------------------------------------------------- one decision a press


def test_the_same_press_twice_is_one_decision_with_one_answer(shop: World, client: FlaskClient) -> None:
    run_id = moved_in_doubt(shop)
    lead = Person(client, run_id)
    page = lead.chosen("again")
    first, second = lead.press("again", page), lead.press("again", page)
    assert (first.status_code, second.text) == (200, first.text)
    assert "Refunded $25.00 on #1001." in first.text
    assert lead.press("again", page, "another reason").status_code == 409
    run = run_of(shop, run_id)
    assert (run.steps[0].attempts, len(run.resolutions), shop.ledger(1001)["refunded"]) == (2, 1, 50)


def test_presses_that_arrive_at_once_are_one_decision_and_none_is_refused(shop: World, client: FlaskClient) -> None:
    run_id = moved_in_doubt(shop)
    lead = Person(client, run_id)
    page = lead.chosen("again")
    press: Callable[[int], TestResponse] = lambda _: lead.press("again", page)  # noqa: E731
    with ThreadPoolExecutor(4) as hands:
        heard = list(hands.map(press, range(4)))
    told = {(one.status_code, "Refunded $25.00 on #1001." in one.text) for one in heard}
    assert (200, True) in told
    assert told <= {(200, True), (202, False)}, "done, or still at it on a busy machine: never that nothing was done"
    late = lead.press("again", page)
    assert (late.status_code, "Refunded $25.00 on #1001." in late.text) == (200, True), "and in the end one answer"
    run = run_of(shop, run_id)
    assert (run.steps[0].attempts, len(run.resolutions), shop.ledger(1001)["refunded"]) == (2, 1, 50)


def test_an_order_that_moved_since_the_page_was_opened_is_told_and_nothing_is_done(
    shop: World, client: FlaskClient
) -> None:
    run_id = moved_in_doubt(shop)
    lead = Person(client, run_id)
    page = lead.chosen("again")
    shop.in_admin(1001, "refund", amount="5.00", note="once more")
    for path in (f"{lead.url}/preview", lead.url):
        answer = lead.post(path, page, "again")
        assert (answer.status_code, "refunded was $25.00 and is now $30.00" in answer.text) == (409, True)
    assert (run_of(shop, run_id).resolutions, run_of(shop, run_id).steps[0].attempts) == ((), 1)


def test_of_two_people_the_second_is_told_that_the_run_went_on(shop: World, client: FlaskClient) -> None:
    run_id = moved_in_doubt(shop)
    first, second = Person(client, run_id), Person(client, run_id, sub="bo", name="Bo")
    pages = first.chosen("not-done"), second.chosen("again")
    assert first.press("not-done", pages[0]).status_code == 200
    answer = second.press("again", pages[1])
    assert (answer.status_code, "does not wait for a decision any more: Not done" in answer.text) == (409, True)
    assert "Closed as not done by Ana." in second.get(second.url).text
    assert [one.agent_name for one in run_of(shop, run_id).resolutions] == ["Ana"]


def test_a_press_that_is_not_what_was_shown_or_says_no_reason_decides_nothing(
    shop: World, client: FlaskClient
) -> None:
    run_id = moved_in_doubt(shop)
    lead = Person(client, run_id)
    for how, shown, reason, told in (
        ("again", "not-done", WHY, "This is not the choice you were shown."),
        ("not-done", "not-done", "  ", "Say why"),
        ("not-done", "not-done", "x" * 501, "At most 500 characters."),
        ("", "", WHY, "Choose what is right"),
        ("999", "999", WHY, "Choose what is right"),
    ):
        answer = lead.press(how, lead.chosen(shown), reason)
        assert (answer.status_code, told in answer.text) == (422, True), told
    assert run_of(shop, run_id).resolutions == ()


def test_the_form_of_another_person_decides_nothing(shop: World, client: FlaskClient) -> None:
    run_id = moved_in_doubt(shop)
    page = Person(client, run_id, sub="bo").chosen("again")
    lead = Person(client, run_id)
    assert [lead.press("again", one).status_code for one in (page, "none")] == [409, 409]
    refund = client.get(f"{ORDER.replace('1001', '1002')}/actions/{REFUND}", headers=lead.headers)
    assert lead.press("again", refund.text).status_code == 409
    assert run_of(shop, run_id).resolutions == ()


def test_whoever_heard_no_answer_learns_whether_the_form_decided(shop: World, client: FlaskClient) -> None:
    run_id = moved_in_doubt(shop)
    lead, tokens = Person(client, run_id), shop.app.tokens
    page = lead.chosen("not-done")
    claims = tokens.open_form(token_in(page))
    old = f'name="token" value="{tokens.seal_form(claims, shop.tools.clock.now() - timedelta(hours=1))}"'
    for one in (page, old):
        asked = lead.post(f"{lead.url}/sent", one, "")
        assert (asked.status_code, NOT_DECIDED in asked.text) == (200, True)
    told = lead.press("not-done", page).text
    assert [lead.post(f"{lead.url}/sent", one, "").text for one in (page, old)] == [told, told]
    assert lead.press("not-done", old).text == told


def test_a_press_while_the_worker_holds_the_run_may_be_repeated_soon(
    shop: World, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "PATIENCE", 0.1)
    run_id = moved_in_doubt(shop)
    lead = Person(client, run_id)
    page = lead.chosen("not-done")
    epoch = shop.tools.runs.claim(run_id, "a worker", shop.tools.clock.now(), 60)
    answer = lead.press("not-done", page)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert epoch is not None
    shop.tools.runs.release(run_id, epoch)
    assert lead.press("not-done", page).status_code == 200


# ---------------------------------------------------------------- what may be decided, and what waits for it


def test_a_reference_in_two_refunds_can_neither_be_sent_again_nor_closed(shop: World) -> None:
    run_id = in_doubt(shop, 1001, REFUND, "502-before", lines=["1", "0"])
    for _ in range(2):
        shop.in_admin(1001, "refund", amount="25.00", note=f"copied {run_of(shop, run_id).steps[0].marker}")
    assert carry_out(shop.tools, run_id, 0.0).steps[0].state is StepState.REVIEW
    for how in ("again", "not-done"):
        with pytest.raises(LookAgain, match="reference on the order"):
            by_hand(shop, run_id, how)
    taken = by_hand(shop, run_id, str(shop.ledger(1001)["refunds"][1]["id"]))
    assert ((taken.outcome or {})["state"], shop.ledger(1001)["refunded"]) == ("done", 50)


def test_a_refund_that_was_there_before_the_run_cannot_be_taken(shop: World) -> None:
    shop.in_admin(1001, "refund", amount="10.00", note="last week")
    before = str(shop.ledger(1001)["refunds"][0]["id"])
    run_id = in_doubt(shop, 1001, REFUND, "502-before", lines=["1", "0"])
    with pytest.raises(LookAgain, match="was there before this run"):
        by_hand(shop, run_id, before)
    assert run_of(shop, run_id).open


def test_a_cancel_made_in_shopify_meanwhile_is_taken_as_this_cancel(shop: World) -> None:
    run_id = in_doubt(shop, 1001, CANCEL, "502-before")
    with pytest.raises(LookAgain, match="not cancelled in Shopify"):
        by_hand(shop, run_id, "done")
    store = shop.served.world.store
    with store.lock:
        cancels.cancel(store, {**BY_HAND, "orderId": gid("Order", BASE + 1001)})
    shop.tools.clock.sleep(0.4)
    assert carry_out(shop.tools, run_id, 0.0).steps[0].error == CANCELLED_BY_OTHERS
    run = by_hand(shop, run_id, "done")
    assert (run.open, (run.outcome or {})["text"]) == (False, "#1001 is cancelled. Refunded $67.50.")


def test_a_server_that_died_while_sending_reads_as_in_doubt(shop: World) -> None:
    run_id = in_doubt(shop, 1001, REFUND, "502-before", lines=["1", "0"])
    epoch = shop.tools.runs.claim(run_id, "a server that dies", shop.tools.clock.now(), 90.0)
    assert epoch is not None
    step, now = run_of(shop, run_id).steps[0], shop.tools.clock.now()
    states = []
    for seconds in (5, 11):
        shop.tools.runs.sending(step, epoch, now.replace(microsecond=0) - timedelta(seconds=seconds))
        view = flow.follow(shop.tools, shop.session(1001), shop.place(1001), run_id)
        states.append(outcome(view)["state"])
    assert states == ["working", "doubt"]
