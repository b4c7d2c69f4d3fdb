"""What a run and its steps look like as rows, and back."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from cryptography.fernet import InvalidToken
from sqlalchemy import Row

from plugin.money import Money
from plugin.shapes import Place, PlannedStep, Resolution, Run, Step, StepState
from plugin.stores.database import aware

HASHED = b"sha256:"
# what reading a row raises that was changed, or is sealed with a secret that was taken away
BROKEN = (InvalidToken, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


def hash_of(body: bytes) -> bytes:
    """What stands in the place of redacted bytes, and in the table from the start: they are sealed with the texts."""
    return HASHED + hashlib.sha256(body).hexdigest().encode()


def run_of(
    row: Row[Any], sealed: Mapping[str, Any], own: Sequence[Row[Any]], decided: tuple[Resolution, ...]
) -> Run:  # fmt: skip
    """A run from its row and the rows of its steps; `sealed` are its texts and the bytes of its steps."""
    return Run(
        id=row.id,
        place=Place(row.store, row.order_id),
        action_id=row.action_id,
        agent_id=row.agent_id,
        agent_name=row.agent_name,
        customer_id=row.customer_id,
        conversation=row.conversation,
        door=row.door,
        digest=row.digest,
        open=row.is_open,
        created_at=aware(row.created_at),
        facts=json.loads(row.facts),
        texts=sealed.get("texts", {}),
        outcome=json.loads(row.outcome) if row.outcome else None,
        steps=tuple(_step(one, sealed.get("bodies", ())) for one in own),
        resolutions=decided,
    )


def step_values(run_id: str, position: int, step: PlannedStep) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "position": position,
        "name": step.name,
        "idempotency_key": step.key,
        "marker": step.marker,
        "root": step.root,
        "body_hash": hash_of(step.body).decode(),
        "currency": step.moves.currency,
        "amount": step.moves.plain(),
        "shop_currency": step.moves_shop.currency,
        "shop_amount": step.moves_shop.plain(),
        "state": StepState.INTENT,
    }


def _step(row: Row[Any], bodies: Sequence[str]) -> Step:
    """Raises ValueError for bytes that are not those that were written: they must not be sent."""
    body = bodies[row.position].encode() if bodies else row.body_hash.encode()
    if bodies and hash_of(body).decode() != row.body_hash:
        raise ValueError(f"the bytes of step {row.name} of run {row.run_id} are not what was written")
    return Step(
        run_id=row.run_id,
        position=row.position,
        name=row.name,
        key=row.idempotency_key,
        marker=row.marker,
        root=row.root,
        body=body,
        moves=Money(row.currency, Decimal(row.amount)),
        moves_shop=Money(row.shop_currency, Decimal(row.shop_amount)),
        state=StepState(row.state),
        attempts=row.attempts,
        first_sent_at=row.first_sent_at and aware(row.first_sent_at),
        last_sent_at=row.last_sent_at and aware(row.last_sent_at),
        receipt=json.loads(row.receipt) if row.receipt else None,
        error=row.error,
        error_field=row.error_field,
    )
