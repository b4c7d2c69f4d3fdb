"""What an answer proves. Anything but an exactly expected shape is unknown."""

import json
from typing import Any

import pytest

from plugin.ports import Reply
from plugin.verdicts import Kind, judge


def answer(body: Any, status: int = 200) -> Reply:
    return Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode(), None, "")


def refund(**payload: Any) -> dict[str, Any]:
    return {"data": {"refundCreate": payload}}


def top(code: str, path: list[str] | None = None, **data: Any) -> dict[str, Any]:
    where = {} if path is None else {"path": path}
    return {"errors": [{"message": code, "extensions": {"code": code}, **where}], **data}


DONE = {"id": "gid://shopify/Refund/1"}
SAID = [{"field": None, "message": "Refund amount $25.00 is greater than net payment received $15.00"}]

CASES: list[tuple[str, Reply, Kind]] = [
    ("never left", Reply(None, b"", "not_sent", ""), Kind.NOT_SENT),
    ("cut", Reply(None, b"", "cut", ""), Kind.UNKNOWN),
    ("401", answer(b"", 401), Kind.NOT_DONE),
    ("403", answer(b"", 403), Kind.NOT_DONE),
    ("429", answer(b"", 429), Kind.THROTTLED),
    ("502", answer(b"<html>", 502), Kind.UNKNOWN),
    ("redirect", answer(b"", 307), Kind.UNKNOWN),
    ("HTML", answer(b"<html>"), Kind.UNKNOWN),
    ("empty", answer(b""), Kind.UNKNOWN),
    ("half a body", answer(b'{"data":{"refundCreate":{"ref'), Kind.UNKNOWN),
    ("NaN", answer(b'{"data": NaN}'), Kind.UNKNOWN),
    ("data null", answer({"data": None}), Kind.UNKNOWN),
    ("a list", answer([]), Kind.UNKNOWN),
    ("done", answer(refund(refund=DONE, userErrors=[])), Kind.DONE),
    ("done without errors selected", answer(refund(refund=DONE)), Kind.UNKNOWN),
    ("nothing at all", answer(refund(refund=None, userErrors=[])), Kind.UNKNOWN),
    ("both", answer(refund(refund=DONE, userErrors=SAID)), Kind.UNKNOWN),
    ("refused", answer(refund(refund=None, userErrors=SAID)), Kind.REFUSED),
    ("an error of another shape", answer(refund(refund=None, userErrors=["no"])), Kind.UNKNOWN),
    ("in progress", answer(refund(refund=None, userErrors=[{"field": None, "message":
        "This request is currently in progress, please try again."}])), Kind.UNKNOWN),
    ("mismatch", answer(refund(refund=None, userErrors=[{"field": None, "message":
        "The same idempotency key cannot be used with different operation parameters."}])), Kind.REVIEW),
    ("throttled", answer(top("THROTTLED")), Kind.THROTTLED),
    ("throttled beside a result", answer(top("THROTTLED", data={"refundCreate": {"refund": DONE}})), Kind.UNKNOWN),
    ("throttled at a field of the answer", answer(top("THROTTLED", ["refundCreate", "order"],
        data={"refundCreate": None})), Kind.UNKNOWN),
    ("no key", answer(top("BAD_REQUEST", data={"refundCreate": None})), Kind.NOT_DONE),
    ("access denied", answer(top("ACCESS_DENIED", data={"refundCreate": None})), Kind.NOT_DONE),
    ("access denied to the mutation", answer(top("ACCESS_DENIED", ["refundCreate"], data={"refundCreate": None})),
        Kind.NOT_DONE),
    ("access denied to a field of the answer", answer(top("ACCESS_DENIED", ["refundCreate", "order", "email"],
        data={"refundCreate": None})), Kind.UNKNOWN),
    ("access denied, without data, below", answer(top("ACCESS_DENIED", ["refundCreate", "order"])), Kind.UNKNOWN),
    ("a wrong document", answer(top("undefinedField")), Kind.NOT_DONE),
    ("a wrong document, with its place", answer(top("undefinedField", ["mutation R", "refundCreate", "x"])),
        Kind.NOT_DONE),
    ("a wrong document that ran", answer(top("undefinedField", data={"refundCreate": None})), Kind.UNKNOWN),
    ("a code that only looks like one of documents", answer(top("internalError", data=None)), Kind.UNKNOWN),
    ("internal", answer(top("INTERNAL_SERVER_ERROR", data={"refundCreate": None})), Kind.UNKNOWN),
    ("an error without a code", answer({"errors": [{"message": "?"}]}), Kind.UNKNOWN),
]  # fmt: skip


@pytest.mark.parametrize(("name", "reply", "kind"), CASES, ids=[name for name, _, _ in CASES])
def test_what_an_answer_proves(name: str, reply: Reply, kind: Kind) -> None:
    assert judge(reply, "refundCreate").kind is kind


def test_a_cancel_is_done_when_its_job_is_accepted() -> None:
    payload = {"job": {"id": "j"}, "jobResult": None, "orderCancelUserErrors": []}
    assert judge(answer({"data": {"orderCancel": payload}}), "orderCancel").kind is Kind.DONE


def test_throttling_says_how_long_the_bucket_needs() -> None:
    cost = {"requestedQueryCost": 110, "throttleStatus": {"currentlyAvailable": 10, "restoreRate": 50}}
    assert judge(answer({**top("THROTTLED"), "extensions": {"cost": cost}}), "refundCreate").wait == 2.0
