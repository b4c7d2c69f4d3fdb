"""Who may do what, before anything is read; and how much, on the plan, before anything is done."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from hashlib import sha256

from plugin.bundle import Bundle, Limit, PermissionSet
from plugin.errors import NotAllowed
from plugin.money import Money
from plugin.shapes import Agent, Plan

READ = "shopify.order.read"
SEARCH = "shopify.order.search"
ADMIN = "plugin.admin"


def permission_set(bundle: Bundle, role_groups: Iterable[str]) -> PermissionSet:
    """The permission set of an agent's role groups. Raises NotAllowed when none is mapped."""
    names = [bundle.role_groups[group] for group in role_groups if group in bundle.role_groups]
    if not names:
        raise NotAllowed("None of your role groups may use Shopify orders here. Ask an administrator to map one.")
    order = list(bundle.permission_sets)
    return max(
        (bundle.permission_sets[name] for name in names),
        key=lambda one: (len(one.grants), -order.index(one.name)),
    )


def acting(chosen: PermissionSet, agent_id: str, name: str) -> Agent:
    """Somebody who acts under this permission set."""
    return Agent(agent_id, name, chosen.name, chosen.grants, chosen.limit)


def fingerprint(chosen: PermissionSet) -> str:
    """What a set grants and limits, in short: a session is good for the set it was opened with."""
    parts = (chosen.name, sorted(chosen.grants), chosen.limit.shop, sorted(chosen.limit.presentment.items()))
    return sha256(repr(parts).encode()).hexdigest()[:32]


def require(agent: Agent, permission: str, titles: Mapping[str, str]) -> None:
    """Raises NotAllowed when the agent does not hold the permission."""
    if not may(agent, permission):
        raise NotAllowed(f'You do not have the permission "{titles.get(permission, permission)}".')


def missing_scopes(granted: frozenset[str] | None, needed: Iterable[str]) -> list[str]:
    """Declared and not granted by Shopify; a write scope holds its read scope (facts/shopify.md §6)."""
    if granted is None:
        return []
    held = granted | {f"read_{one.removeprefix('write_')}" for one in granted if one.startswith("write_")}
    return [one for one in needed if one not in held]


def may(agent: Agent, permission: str) -> bool:
    """The question `require` asks, for who only wants to know."""
    return permission in agent.permissions


def ceiling(limit: Limit, currency: str, shop_currency: str) -> Money:
    """The most an agent may move on an order paid in this currency: its own limit, else the store's; else nothing."""
    if currency in limit.presentment:
        return Money(currency, Decimal(limit.presentment[currency]))
    return Money(shop_currency, Decimal(limit.shop or "0"))


def check_limit(agent: Agent, plan: Plan, already: tuple[Money, ...], already_shop: tuple[Money, ...]) -> None:
    """The money that will really leave, plus what this agent moved on this order, against the agent's limit.

    `already` are the amounts of earlier steps in the order's currency, `already_shop` in the store's.
    A permission set without a limit may move nothing. Raises NotAllowed.
    """
    now = [step.moves for step in plan.steps if step.moves > 0]
    if not now:
        return
    shop = [step.moves_shop for step in plan.steps if step.moves > 0]
    limit = ceiling(agent.limit, now[0].currency, shop[0].currency)
    if now[0].currency in agent.limit.presentment:
        _compare(limit, now, already)
    else:
        _compare(limit, shop, already_shop)


def _compare(limit: Money, now: list[Money], already: tuple[Money, ...]) -> None:
    moving, moved = Money.zero(limit.currency), Money.zero(limit.currency)
    for one in now:
        moving = moving + one
    for one in already:
        if one > 0:
            moved = moved + one
    if moving + moved <= limit:
        return
    before = f" and you have already moved {moved.show()} on this order" if moved > 0 else ""
    raise NotAllowed(
        f"This would pay back {moving.show()}{before}; your limit on one order is {limit.show()}. "
        "Lower the amount or ask a supervisor."
    )
