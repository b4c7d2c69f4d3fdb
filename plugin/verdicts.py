"""What one answer of Shopify to a mutation proves; the only table that decides it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from plugin.operations import OPERATIONS
from plugin.ports import Reply


class Kind(Enum):
    NOT_SENT = "the request never left"
    THROTTLED = "refused by the rate limit before anything ran"
    NOT_DONE = "refused before anything ran"
    REFUSED = "Shopify answered with user errors; to be read back once"
    DONE = "done, with proof"
    UNKNOWN = "anything may have happened"
    REVIEW = "a person must look"


@dataclass(frozen=True)
class UserError:
    message: str
    field: tuple[str, ...]
    code: str | None


@dataclass(frozen=True)
class Verdict:
    """`payload` is the root field's payload when DONE; `errors` are the user errors when REFUSED."""

    kind: Kind
    said: str
    payload: Mapping[str, Any] | None = None
    errors: tuple[UserError, ...] = ()
    wait: float = 1.0


# Codes that prove that nothing ran (facts: recordings of top-level errors; docs "response codes"): those at the
# mutation itself, and those of the document, which is then not carried out at all.
_BEFORE = {"ACCESS_DENIED", "BAD_REQUEST", "INVALID_VARIABLE", "MAX_COST_EXCEEDED", "MAX_INPUT_SIZE_EXCEEDED",
           "SHOP_INACTIVE"}  # fmt: skip
_STATIC = {"PARSE_ERROR", "argumentLiteralsIncompatible", "argumentNotAccepted", "invalidOneOfInputObject",
           "missingRequiredArguments", "missingRequiredInputObjectAttribute", "selectionMismatch",
           "undefinedDirective", "undefinedField", "undefinedType", "variableNotUsed"}  # fmt: skip
# The three texts of @idempotent (docs: usage/idempotent-requests); refundCreate gives no codes.
_CONCURRENT = re.compile(r"currently in progress", re.IGNORECASE)
_MISMATCH = re.compile(r"same idempotency key|new idempotency key", re.IGNORECASE)


def judge(reply: Reply, root: str) -> Verdict:
    """Anything but an exactly expected shape is UNKNOWN (money-safety R6)."""
    if reply.fault is not None:
        kind = Kind.NOT_SENT if reply.fault == "not_sent" else Kind.UNKNOWN
        return Verdict(kind, reply.detail)
    if reply.status in (401, 403):
        return Verdict(Kind.NOT_DONE, f"Shopify did not accept the store's access token (HTTP {reply.status}).")
    if reply.status == 429:
        return Verdict(Kind.THROTTLED, "Shopify asked to slow down (HTTP 429).")
    if reply.status != 200:
        return Verdict(Kind.UNKNOWN, f"HTTP {reply.status}")
    try:
        answer = json.loads(reply.body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return Verdict(Kind.UNKNOWN, "the answer is not JSON")
    return _judge_answer(answer, root)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _judge_answer(answer: Any, root: str) -> Verdict:
    if not isinstance(answer, dict):
        return Verdict(Kind.UNKNOWN, "the answer is not an object")
    data = answer.get("data")
    payload = data.get(root) if isinstance(data, dict) else None
    if "errors" in answer:
        return _judge_top_level(answer, payload, root)
    if not isinstance(payload, dict):
        return Verdict(Kind.UNKNOWN, f"the answer has no {root}")
    return _judge_payload(payload, root)


def _judge_top_level(answer: Mapping[str, Any], payload: Any, root: str) -> Verdict:
    errors = answer["errors"]
    if payload is not None or not isinstance(errors, list) or not errors:
        return Verdict(Kind.UNKNOWN, "errors beside data")
    codes = [_code(error) for error in errors]
    said = "; ".join(str(error.get("message", "")) for error in errors if isinstance(error, dict))
    before = all(code and _of_the_call(error, root) for error, code in zip(errors, codes, strict=True))
    if before and codes == ["THROTTLED"]:
        return Verdict(Kind.THROTTLED, said, wait=_wait(answer))
    if before and (_BEFORE if answer.get("data") is not None else _BEFORE | _STATIC).issuperset(codes):
        return Verdict(Kind.NOT_DONE, said)
    return Verdict(Kind.UNKNOWN, said)


def _of_the_call(error: Mapping[str, Any], root: str) -> bool:
    """About the mutation or the document: what is about a field of the answer was raised after the mutation ran."""
    path = error.get("path")
    return path in (None, [], [root]) or (isinstance(path, list) and str(path[0]).startswith("mutation"))


def _code(error: Any) -> str:
    extensions = error.get("extensions") if isinstance(error, dict) else None
    code = extensions.get("code") if isinstance(extensions, dict) else None
    return code if isinstance(code, str) else ""


def _wait(answer: Mapping[str, Any]) -> float:
    """(requested - available) / restore rate: when the bucket holds enough (docs: rate limits)."""
    try:
        cost = answer["extensions"]["cost"]
        status = cost["throttleStatus"]
        missing = float(cost["requestedQueryCost"]) - float(status["currentlyAvailable"])
        return min(max(missing / float(status["restoreRate"]), 0.1), 10.0)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 1.0


def _judge_payload(payload: Mapping[str, Any], root: str) -> Verdict:
    operation = OPERATIONS[root]
    raw = payload.get(operation.user_errors)
    if not isinstance(raw, list):
        return Verdict(Kind.UNKNOWN, f"the answer has no {operation.user_errors}")
    proved = any(isinstance(payload.get(name), dict) and payload[name].get("id") for name in operation.proof)
    if not raw:
        if proved:
            return Verdict(Kind.DONE, "", payload=payload)
        return Verdict(Kind.UNKNOWN, f"neither {' nor '.join(operation.proof)} nor an error came back")
    if proved:
        return Verdict(Kind.UNKNOWN, "a result and errors came back together")
    errors = [_user_error(one) for one in raw]
    if None in errors:
        return Verdict(Kind.UNKNOWN, "the user errors have another shape")
    return _judge_errors(tuple(one for one in errors if one is not None))


def _user_error(raw: Any) -> UserError | None:
    if not isinstance(raw, dict) or not isinstance(raw.get("message"), str):
        return None
    field = raw.get("field") or []
    return UserError(raw["message"], tuple(str(part) for part in field), raw.get("code"))


def is_mismatch(said: str) -> bool:
    """Another call used our key: a defect of ours, never of the agent."""
    return _MISMATCH.search(said) is not None


def _judge_errors(errors: tuple[UserError, ...]) -> Verdict:
    said = "; ".join(one.message for one in errors)
    if is_mismatch(said):
        return Verdict(Kind.REVIEW, said)
    if _CONCURRENT.search(said):
        return Verdict(Kind.UNKNOWN, said)
    return Verdict(Kind.REFUSED, said, errors=errors)
