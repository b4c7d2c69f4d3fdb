"""How much money may leave a store, and through one agent, within five minutes, before refunds stop."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from plugin.errors import FixTheSetup
from plugin.money import Money, total

WINDOW = timedelta(minutes=5)
AMOUNT = re.compile(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,3})?")
# setting: what holds where a bundle has none of that name, so that an old copy of ours is guarded too
DEFAULTS: Mapping[str, Any] = {
    "refunds_per_store": 100,
    "refund_sum_per_store": "25000.00",
    "refunds_per_agent": 20,
    "refund_sum_per_agent": "10000.00",
}


@dataclass(frozen=True)
class Most:
    """The most refunds, and the most money in the store's own currency; 0 means no bound."""

    refunds: int
    money: Decimal


@dataclass(frozen=True)
class Pace:
    store: Most
    agent: Most


@dataclass(frozen=True)
class Left:
    """One payment that left or may have left: through whom, and how much in the store's currency."""

    agent_id: str
    money: Money


def pace(settings: Mapping[str, Any]) -> Pace:
    """Raises FixTheSetup for a sum that is not an amount."""
    value = {name: settings.get(name, default) for name, default in DEFAULTS.items()}
    return Pace(
        Most(value["refunds_per_store"], _sum(value, "refund_sum_per_store")),
        Most(value["refunds_per_agent"], _sum(value, "refund_sum_per_agent")),
    )


def _sum(value: Mapping[str, Any], name: str) -> Decimal:
    if not AMOUNT.fullmatch(value[name]):
        raise FixTheSetup(f"The setting {name} is an amount like 500.00 (0 for no bound), not {value[name]!r}.")
    return Decimal(value[name])


def too_much(most: Most, left: Sequence[Left]) -> str | None:
    """Why this is more than is allowed in five minutes, `left` with the new payments among it; else None."""
    currency = left[-1].money.currency
    gone = total([one.money for one in left if one.money.currency == currency], currency)
    if 0 < most.refunds < len(left):
        return f"{len(left)} refunds within five minutes would be more than {most.refunds}"
    if 0 < most.money < gone.amount:
        allowed = Money(currency, most.money)
        return f"{gone.show()} paid back within five minutes would be more than {allowed.show()}"
    return None
