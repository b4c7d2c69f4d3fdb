"""The mutations the runtime knows: what each proves, how it refuses, and which money it moves."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Moves(Enum):
    """Where the money of a mutation is written down."""

    NOTHING = "nothing"
    TRANSACTIONS = "the sum of input.transactions"
    NET_PAYMENT = "the order's net payment, when a refund method is given"


@dataclass(frozen=True)
class Operation:
    """`proof` are payload fields of which one must have an id before the call counts as done.

    `reason` is where its variables hold why it was done, as the agent chose or wrote it.

    `did` and `did_not` are said to people when an action's own words do not fit what happened.
    """

    moves: Moves
    user_errors: str
    proof: tuple[str, ...]
    did: str = "the order was changed"
    did_not: str = "the order was not changed"
    keyed: bool = False
    coded: bool = False
    reason: tuple[str, ...] = ()


OPERATIONS: Mapping[str, Operation] = {
    "refundCreate": Operation(
        Moves.TRANSACTIONS, "userErrors", ("refund",), "the refund was made", "the refund was not made", keyed=True,
        reason=("input", "note"),
    ),  # fmt: skip
    "orderCancel": Operation(
        Moves.NET_PAYMENT,
        "orderCancelUserErrors",
        ("jobResult", "job"),
        "the order was cancelled",
        "the order was not cancelled",
        coded=True,
        reason=("reason",),
    ),
    "orderUpdate": Operation(Moves.NOTHING, "userErrors", ("order",)),
    "orderClose": Operation(Moves.NOTHING, "userErrors", ("order",)),
    "orderOpen": Operation(Moves.NOTHING, "userErrors", ("order",)),
    "tagsAdd": Operation(Moves.NOTHING, "userErrors", ("node",)),
    "tagsRemove": Operation(Moves.NOTHING, "userErrors", ("node",)),
}
