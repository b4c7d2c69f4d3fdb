"""The exact calls one pressed form will send, and the money each of them moves."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from plugin.bundle import Action, StepSpec
from plugin.documents import OrderQuery
from plugin.expr import LEFT_OUT, Scope
from plugin.money import Money, at_rate, total
from plugin.operations import OPERATIONS, Moves
from plugin.shapes import OrderFacts, Plan, PlannedStep

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def step_key(run_id: str, step: str) -> str:
    """The idempotency key of a step: derived, so that it cannot differ between attempts."""
    return str(uuid.uuid5(uuid.UUID(run_id), step))


def marker(key: str) -> str:
    """`[ref XXXXXX]`, 12 characters, found again in the refund's note or the cancel's staff note."""
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    letters = []
    for _ in range(6):
        number, rest = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[rest])
    return f"[ref {''.join(letters)}]"


def build(action: Action, scope: Scope, run_id: str, facts: OrderFacts, query: OrderQuery) -> Plan:
    """Resolve every step whose `when` holds. Raises ExprError when the order lacks what a step reads."""
    steps = []
    for spec in action.steps:
        key = step_key(run_id, spec.name)
        inner = scope.also(run={"id": run_id, "key": key, "marker": marker(key)})
        if spec.when is None or spec.when.evaluate(inner):
            steps.append(_planned(spec, inner, key, facts, query))
    digest = hashlib.sha256(b"\x00".join(step.body for step in steps)).hexdigest()
    return Plan(run_id, action.id, action.digest, tuple(steps), digest)


def _planned(spec: StepSpec, scope: Scope, key: str, facts: OrderFacts, query: OrderQuery) -> PlannedStep:
    variables = spec.variables(scope)
    if variables is LEFT_OUT:
        variables = {}
    moves, shop = money_moved(spec.root, variables, facts)
    body = {"query": query.in_payload(spec.mutation), "variables": variables}
    return PlannedStep(
        name=spec.name,
        key=key,
        marker=marker(key),
        root=spec.root,
        body=json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode(),
        moves=moves,
        moves_shop=shop,
    )


def money_moved(root: str, variables: Mapping[str, Any], facts: OrderFacts) -> tuple[Money, Money]:
    """What a call pays back, in the order's currency and in the store's.

    The store's figure is by the rate at which Shopify received the payment, rounded up; it is only
    compared with limits. The checker has seen to it that every argument is a variable of its own name.
    Raises KeyError, ValueError for an input it cannot count.
    """
    moves = OPERATIONS[root].moves
    currency = facts.net_presentment.currency
    if moves is Moves.TRANSACTIONS:
        given = variables["input"]
        if given.get("refundMethods") or given.get("allowOverRefunding"):
            raise ValueError("this refund would move money that no limit counts")
        rows = given.get("transactions") or []
        amount = total([Money(currency, Decimal(row["amount"])) for row in rows], currency)
        shop = (
            at_rate(amount, facts.rate_presentment, facts.rate_shop)
            if amount > 0
            else Money.zero(facts.net_shop.currency)
        )
        return amount, shop
    if moves is Moves.NET_PAYMENT and any(variables.get(name) for name in ("refundMethod", "refund")):
        if not facts.net_presentment > 0:  # what comes back later, as a refund that fails, would be paid uncounted
            raise ValueError("a cancel asks for a refund only while something is paid: leave `refundMethod` out")
        return facts.net_presentment, facts.net_shop
    return Money.zero(currency), Money.zero(facts.net_shop.currency)


def moves(plan: Plan) -> str:
    """What the whole plan moves, as the agent was or will be told: `67.50 USD`, or nothing."""
    amounts = [step.moves for step in plan.steps if step.moves > 0]
    return "" if not amounts else f"{total(amounts, amounts[0].currency).plain()} {amounts[0].currency}"


def as_json(plan: Plan) -> list[dict[str, Any]]:
    """For people and tests: each call as it will be sent."""
    return [{"step": step.name, "moves": step.moves.show(), "request": json.loads(step.body)} for step in plan.steps]
