"""No amount is lost, invented or too high: properties over made-up orders, through form, plan and store.

The store's figures are compared with real ones in test_recordings; here it is our own sums.
"""

import json
import re
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis import strategies as st

from plugin import flow
from plugin.bundle import Limit
from plugin.drafts import Draft
from plugin.errors import FixTheForm
from plugin.money import Money, decimals
from plugin.sandbox.store import ledger
from plugin.sandbox.store.amounts import Currencies, digits
from plugin.sandbox.store.making import Plan as Made
from plugin.sandbox.store.orders import Order
from plugin.sandbox.store.suggestions import Ask, Wish, suggest
from plugin.shapes import Plan, StepState
from tests.inside import back, inside, received, shown
from tests.orders_made import CURRENCIES, amount, minor, plans, written
from tests.world import CANCEL, REFUND, mistakes, outcome

SHOP = inside()


def examples(count: int) -> settings:
    """The same examples in every run; a failure prints the order and the form."""
    return settings(
        max_examples=count, derandomize=True, database=None, deadline=None, print_blob=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip


@st.composite
def placed(draw: st.DrawFn, **options: Any) -> int:
    """The id of a paid order in the store; now and then some of its money has gone back by hand before."""
    made = draw(plans(**options))
    id = SHOP.put(made)
    whole = minor(ledger.net(SHOP.order(id)).shown, made.money.shown)
    assume(whole > 0)
    if draw(st.integers(0, 3)) == 0 and whole > 1:
        id = SHOP.put(made, amount(draw(st.integers(1, whole - 1)), made.money.shown))
    note(f"order: {SHOP.order(id)}")
    return id


def quantities(draw: st.DrawFn, id: int, least: int = 0) -> dict[str, str]:
    order = SHOP.order(id)
    return {
        f"gid://shopify/LineItem/{line.id}": str(draw(st.integers(least, ledger.refundable(order, line))))
        for line in order.lines
        if ledger.refundable(order, line) > 0
    }


def wished(draw: st.DrawFn, id: int) -> dict[str, Any]:
    """What an agent may ask for: quantities, shipping, with or without restocking."""
    order = SHOP.order(id)
    left = minor(ledger.shipping_left(order).shown, order.money.shown)
    raw: dict[str, Any] = {"lines": quantities(draw, id), "restock": draw(st.sampled_from(["true", "false"]))}
    if draw(st.booleans()):
        raw["shipping"] = written(draw(st.integers(0, left)), order.money.shown)
    note(f"form: {raw}")
    return raw


def parts(most: int) -> st.SearchStrategy[int]:
    """Minor units of a payment: anything it has, all of it, or a little more."""
    return st.integers(0, most) | st.sampled_from([0, most, most + 1])


def said(wrong: FixTheForm | None) -> dict[str, str]:
    """Every mistake, by its field."""
    assert wrong is not None
    return dict(wrong.by_field) | {str(index): text for index, text in enumerate(wrong.others)}


def rows_of(plan: Plan | None) -> list[dict[str, Any]]:
    """The transactions of the only refund of a plan, as they are in the bytes."""
    if plan is None:
        return []
    bodies = [json.loads(step.body)["variables"] for step in plan.steps if step.root == "refundCreate"]
    assert len(bodies) <= 1
    return list(bodies[0]["input"]["transactions"]) if bodies else []


def check_rows(order: Order, plan: Plan) -> Decimal:
    """What holds for every refund we ever send; gives its sum."""
    rows = rows_of(plan)
    left = {f"gid://shopify/OrderTransaction/{one.id}": most.shown for one, most in ledger.sources(order)}
    places = decimals(order.money.shown)
    plain = re.compile(r"(0|[1-9][0-9]*)" + (rf"\.[0-9]{{{places}}}" if places else ""))
    total = sum((Decimal(row["amount"]) for row in rows), Decimal(0))
    assert all(plain.fullmatch(row["amount"]) for row in rows), "written with the decimals of the currency"
    assert all(Decimal(row["amount"]) > 0 for row in rows), "rows of zero are not sent"
    assert len({row["parentId"] for row in rows}) == len(rows), "one row a payment"
    assert all(Decimal(row["amount"]) <= left[row["parentId"]] for row in rows), "never more than came by a payment"
    assert total <= ledger.net(order).shown, "never more than the net payment"
    assert sum((step.moves.amount for step in plan.steps), Decimal(0)) == total, "limits see what is sent"
    return total


def suggested(id: int, filled: Draft) -> Decimal:
    """What the store itself says these items and this shipping are worth, asked behind the form's back."""
    order, form = SHOP.order(id), filled.state.values
    asks: list[Ask] = []
    for one in form["lines"]:
        line = order.line(int(one.option.id.rsplit("/", 1)[-1]))
        assert line is not None
        rows = [("NO_RESTOCK", one.quantity)]
        if form["restock"]:
            rows = [("CANCEL", one.unshipped), ("RETURN", one.quantity - one.unshipped)]
        asks += [Ask(line, units, kind) for kind, units in rows if units]
    shipping = form["shipping"].amount if form["shipping"] else None
    return suggest(order, Wish(tuple(asks), shipping), None).amount.shown


# ---------------------------------------------------------------- one refund


@examples(150)
@given(st.data())
def test_what_is_sent_is_exactly_what_shopify_suggests(data: st.DataObject) -> None:
    id = data.draw(placed())
    filled, wrong, plan = SHOP.plan(id, REFUND, wished(data.draw, id))
    want = suggested(id, filled)
    if want == 0:
        assert (plan, said(wrong)) == (None, {"lines": NOTHING_CHOSEN})
        return
    assert (wrong, plan is None) == (None, False)
    assert plan is not None
    assert check_rows(SHOP.order(id), plan) == want


NOTHING_CHOSEN = "Choose at least one item, some shipping or an amount to refund."


@examples(100)
@given(st.data())
def test_a_manual_amount_is_paid_exactly_and_fills_the_payments_in_listed_order(data: st.DataObject) -> None:
    id = data.draw(placed())
    order = SHOP.order(id)
    net = minor(ledger.net(order).shown, order.money.shown)
    asked = data.draw(st.integers(1, net))
    raw = wished(data.draw, id) | {"amount": written(asked, order.money.shown)}
    _, wrong, plan = SHOP.plan(id, REFUND, raw)
    assert wrong is None
    assert plan is not None
    assert check_rows(order, plan) == amount(asked, order.money.shown)
    full = [left.shown for _, left in ledger.sources(order) if left.shown > 0]
    sent = [Decimal(row["amount"]) for row in rows_of(plan)]
    assert sent[:-1] == full[: len(sent) - 1], "all but the last are used up"


@examples(30)
@given(st.data())
def test_a_manual_amount_above_what_is_left_is_refused_whatever_it_is(data: st.DataObject) -> None:
    id = data.draw(placed())
    order = SHOP.order(id)
    net = ledger.net(order).shown
    more = net + amount(data.draw(st.integers(1, 10**6)), order.money.shown)
    _, wrong, plan = SHOP.plan(id, REFUND, {"amount": format(more, "f")})
    assert (plan, said(wrong)) == (None, {"amount": f"At most {shown(order, net).show()}."})


@examples(120)
@given(st.data())
def test_a_split_edited_by_hand_is_respected_or_refused_and_never_changed(data: st.DataObject) -> None:
    id = data.draw(placed())
    order = SHOP.order(id)
    currency = order.money.shown
    most = {f"gid://shopify/OrderTransaction/{one.id}": left for one, left in ledger.sources(order) if left.shown > 0}
    split = {key: data.draw(parts(minor(left.shown, currency))) for key, left in most.items()}
    raw = wished(data.draw, id) | {"payments": {key: written(one, currency) for key, one in split.items()}}
    if data.draw(st.booleans()):
        raw["amount"] = written(max(1, sum(split.values()) + data.draw(st.sampled_from([0, 0, 1, -1]))), currency)
    note(f"form: {raw}")
    _, wrong, plan = SHOP.plan(id, REFUND, raw)
    fits = all(amount(one, currency) <= most[key].shown for key, one in split.items())
    same = "amount" not in raw or Decimal(raw["amount"]) == amount(sum(split.values()), currency)
    assert (wrong is None) == (fits and same and sum(split.values()) > 0)
    if plan is not None:
        sent = {row["parentId"]: Decimal(row["amount"]) for row in rows_of(plan)}
        check_rows(order, plan)
        assert sent == {key: amount(one, currency) for key, one in split.items() if one}


@examples(60)
@given(st.data())
def test_no_more_units_go_back_than_are_left_and_no_more_are_cancelled_than_wait(data: st.DataObject) -> None:
    id = data.draw(placed())
    order = SHOP.order(id)
    asked = quantities(data.draw, id)
    over = data.draw(st.sampled_from([0, 0, 1, 7]))
    first = next(iter(asked))
    line = order.line(int(first.rsplit("/", 1)[-1]))
    assert line is not None
    asked[first] = str(ledger.refundable(order, line) + over)
    _, wrong, plan = SHOP.plan(id, REFUND, {"lines": asked, "restock": "true", "amount": written(1, order.money.shown)})
    if over:
        assert (plan, said(wrong)) == (None, {"lines": f"{line.title}: at most {ledger.refundable(order, line)}."})
        return
    assert plan is not None
    rows = json.loads(plan.steps[0].body)["variables"]["input"]["refundLineItems"]
    for one in order.lines:
        key = f"gid://shopify/LineItem/{one.id}"
        own = {row["restockType"]: row["quantity"] for row in rows if row["lineItemId"] == key}
        assert sum(own.values()) == int(asked.get(key, "0"))
        assert own.get("CANCEL", 0) <= ledger.unfulfilled(order, one)


# ---------------------------------------------------------------- limits


@examples(30)
@given(st.data())
def test_limits_see_the_money_that_leaves_in_both_currencies(data: st.DataObject) -> None:
    """Exactly at the limit is allowed, one minor unit below is not; the store's side is what it then books."""
    id = data.draw(placed())
    order = SHOP.order(id)
    currency, own = order.money.shown, order.money.shop
    asked = written(data.draw(st.integers(1, minor(ledger.net(order).shown, currency))), currency)
    _, wrong, plan = SHOP.plan(id, REFUND, {"amount": asked})
    assert wrong is None
    assert plan is not None
    here, there = plan.steps[0].moves, plan.steps[0].moves_shop
    assert (here.currency, here.amount, there.currency) == (currency, Decimal(asked), own)
    assume(there > 0)
    for limit, wanted in ((Limit(None, {currency: here.plain()}), here), (Limit(there.plain()), there)):
        assert SHOP.plan(id, REFUND, {"amount": asked}, limit)[1] is None
        less = Money(wanted.currency, wanted.amount - amount(1, wanted.currency))
        lower = Limit(None, {currency: less.plain()}) if wanted is here else Limit(less.plain())
        refused = SHOP.plan(id, REFUND, {"amount": asked}, lower)[1]
        assert refused is not None
        assert [one[:20] for one in refused.others] == ["This would pay back "]
    answer = SHOP.tools.commerce.send("", plan.steps[0].body)
    assert json.loads(answer.body)["data"]["refundCreate"]["userErrors"] == []
    booked = ledger.refunded(SHOP.order(id)) - ledger.refunded(order)
    assert booked.shown == here.amount
    # every unit, discount, tax and payment is rounded on its own, on both sides; ours once, from their sum
    parts = 6 + 2 * len(order.payments) + sum(one.quantity + 4 for one in order.lines)
    assert abs(booked.shop - there.amount) <= parts * (amount(1, own) + amount(1, currency) * order.money.rate)


# ---------------------------------------------------------------- many refunds, and the cancel


def settled(id: int) -> None:
    runs = SHOP.tools.runs.runs_of(SHOP.place(id))
    assert all(not run.open and run.outcome is not None and run.outcome["state"] == "done" for run in runs)
    assert all(step.state is StepState.SETTLED for run in runs for step in run.steps)


@examples(15)
@given(st.data())
def test_partial_refunds_until_nothing_is_left_give_back_what_was_captured_to_the_last_unit(
    data: st.DataObject,
) -> None:
    id = data.draw(placed())
    whole = received(SHOP.order(id))
    for turn in range(4):
        order = SHOP.order(id)
        net = ledger.net(order).shown
        if net == 0:
            break
        raw = wished(data.draw, id)
        if turn == 3 or data.draw(st.integers(0, 3)) == 0:
            most = minor(net, order.money.shown)
            raw["amount"] = written(most if turn == 3 else data.draw(st.integers(1, most)), order.money.shown)
        seen = SHOP.post(flow.preview, id, REFUND, SHOP.open(id, REFUND), **raw)
        if mistakes(seen):
            assert [one for one in mistakes(seen) if one != NOTHING_CHOSEN] == []
            continue
        outcome(SHOP.post(flow.submit, id, REFUND, seen))
    order = SHOP.order(id)
    assert ledger.net(order).shown == 0
    assert {one: sum(row.amount.shown for row in back(order) if row.parent == one) for one in whole} == {
        one: bag.shown for one, bag in whole.items()
    }
    settled(id)


@examples(15)
@given(st.data())
def test_a_cancel_after_partial_refunds_pays_exactly_the_net_payment(data: st.DataObject) -> None:
    id = data.draw(placed(shipped=False))
    raw = {"lines": quantities(data.draw, id)}
    seen = SHOP.post(flow.preview, id, REFUND, SHOP.open(id, REFUND), **raw)
    if not mistakes(seen):
        outcome(SHOP.post(flow.submit, id, REFUND, seen))
    before = SHOP.order(id)
    assume(ledger.fulfillment_status(before) != "RESTOCKED")
    net = ledger.net(before).shown
    assert outcome(SHOP.act(id, CANCEL))["state"] == "done"
    after = SHOP.order(id)
    moved = SHOP.tools.runs.runs_of(SHOP.place(id))[0].steps[0].moves
    assert moved == shown(after, net)
    assert (ledger.net(after).shown, after.cancelled is not None) == (0, True)
    settled(id)


@examples(50)
@given(st.data())
def test_a_cancel_of_some_items_or_of_less_money_sends_what_is_shown(data: st.DataObject) -> None:
    id = data.draw(placed(shipped=False))
    order = SHOP.order(id)
    currency = order.money.shown
    if data.draw(st.booleans()):
        raw: dict[str, Any] = {"lines": quantities(data.draw, id)}
    else:
        rows = [(one.id, minor(left.shown, currency)) for one, left in ledger.sources(order) if left.shown]
        split = {
            f"gid://shopify/OrderTransaction/{one}": written(data.draw(st.integers(0, most)), currency)
            for one, most in rows
        }
        everything = {f"gid://shopify/LineItem/{one.id}": str(one.quantity) for one in order.lines}
        raw = {"lines": everything, "payments": split, "decision": "cancel", "reason": "CUSTOMER"}
    _, wrong, plan = SHOP.plan(id, CANCEL, raw)
    if plan is None or wrong is not None:
        assert set(said(wrong).values()) <= {"Choose at least one item to cancel.", NOTHING_TO_DO}
        return
    whole = plan.steps[0].root == "orderCancel"
    if whole and len(plan.steps) == 1 and plan.steps[0].moves > 0:
        assert plan.steps[0].moves == shown(order, ledger.net(order).shown)
        return
    sent = check_rows(order, plan)
    if whole:
        assert {row["parentId"]: Decimal(row["amount"]) for row in rows_of(plan)} == {
            key: Decimal(text) for key, text in raw["payments"].items() if Decimal(text)
        }
        return
    asks = [(order.line(int(key.rsplit("/", 1)[-1])), int(text)) for key, text in raw["lines"].items()]
    wish = Wish(tuple(Ask(line, units, "CANCEL") for line, units in asks if line is not None and units))
    assert sent == suggest(order, wish, None).amount.shown


NOTHING_TO_DO = "There is nothing to do with these values."


# ---------------------------------------------------------------- decimals


def test_both_sides_know_the_decimals_of_every_currency_of_the_schema() -> None:
    assert len(CURRENCIES) > 150
    assert [one for one in CURRENCIES if decimals(one) != digits(one)] == []


def test_the_smallest_unit_of_every_currency_is_refunded_as_it_is() -> None:
    sent = {}
    for currency in CURRENCIES:
        made = Made("two units of shipping", (), ship=written(2, currency), money=Currencies(currency, currency))
        _, wrong, plan = SHOP.plan(SHOP.put(made), REFUND, {"amount": written(1, currency)})
        assert wrong is None
        sent[currency] = [row["amount"] for row in rows_of(plan)]
    assert sent == {currency: [written(1, currency)] for currency in CURRENCIES}
