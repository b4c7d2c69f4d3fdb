"""Who may do what, and how much: decided on the money that will really leave."""

from decimal import Decimal
from pathlib import Path

import pytest

from plugin.bundle import Limit
from plugin.errors import NotAllowed
from plugin.money import Money
from plugin.permissions import check_limit, permission_set, require
from plugin.shapes import Agent, Plan, PlannedStep
from plugin.spec import load_bundle

BUNDLE = load_bundle(Path(__file__).parent.parent)


def usd(text: str) -> Money:
    return Money("USD", Decimal(text))


def agent(limit: Limit) -> Agent:
    return Agent("ana", "Ana", "agent", frozenset({"a"}), limit)


def plan(*amounts: Money, shop: str = "10.00") -> Plan:
    steps = tuple(PlannedStep("s", "k", "[ref ABCDEF]", "refundCreate", b"", one, usd(shop)) for one in amounts)
    return Plan("r", "a", "d", steps, "p")


def test_the_widest_mapped_set_wins_and_no_mapping_is_refused() -> None:
    assert permission_set(BUNDLE, ["Support agents", "Support leads", "Else"]).name == "supervisor"
    with pytest.raises(NotAllowed, match="None of your role groups"):
        permission_set(BUNDLE, ["Else"])


def test_a_missing_permission_is_named_by_its_title() -> None:
    with pytest.raises(NotAllowed, match='"Refund items and shipping"'):
        require(agent(Limit()), "shopify.order.refund", BUNDLE.permissions)


def test_exactly_the_limit_is_allowed_and_a_cent_more_is_not() -> None:
    check_limit(agent(Limit("10.00")), plan(usd("10.00")), (), ())
    with pytest.raises(NotAllowed, match=r"pay back \$10\.00; your limit on one order is \$9\.99"):
        check_limit(agent(Limit("9.99")), plan(usd("10.00")), (), ())


def test_what_was_moved_before_counts() -> None:
    with pytest.raises(NotAllowed, match=r"already moved \$5\.00"):
        check_limit(agent(Limit("14.99")), plan(usd("10.00")), (usd("5.00"),), (usd("5.00"),))


def test_every_step_of_a_plan_counts() -> None:
    with pytest.raises(NotAllowed, match=r"pay back \$20\.00"):
        check_limit(agent(Limit("15.00")), plan(usd("10.00"), usd("10.00")), (), ())


def test_a_set_without_a_limit_moves_nothing_but_may_cancel_what_is_unpaid() -> None:
    with pytest.raises(NotAllowed, match=r"limit on one order is \$0\.00"):
        check_limit(agent(Limit()), plan(usd("0.01")), (), ())
    check_limit(agent(Limit()), plan(usd("0")), (), ())


def test_a_limit_in_the_orders_currency_goes_before_the_stores() -> None:
    yen = Money("JPY", Decimal(1000))
    check_limit(agent(Limit("1.00", {"JPY": "1000"})), plan(yen), (), ())
    with pytest.raises(NotAllowed, match="¥999"):
        check_limit(agent(Limit("500.00", {"JPY": "999"})), plan(yen), (), ())
