"""What can come back for a mutation, and what may be true behind it: every fault of transport_faults.json, and ours."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plugin.ports import Reply

NOTHING, DONE, LATE, TWICE = "nothing", "done", "late", "twice"
ANY = (NOTHING, DONE, LATE)
GREETING = b"<html>busy</html>"


@dataclass(frozen=True)
class Fault:
    """`reply` None gives the shop's own answer; `behind` is what may really have happened."""

    behind: Sequence[str]
    reply: Reply | None
    seconds: float = 0.1


def _cut(detail: str, *behind: str, seconds: float = 1.0) -> Fault:
    return Fault(behind or ANY, Reply(None, b"", "cut", detail), seconds)


def _never(detail: str, seconds: float = 0.1) -> Fault:
    return Fault((NOTHING,), Reply(None, b"", "not_sent", detail), seconds)


def _http(status: int, body: bytes = b"", *behind: str, seconds: float = 1.0) -> Fault:
    return Fault(behind or ANY, Reply(status, body, None, ""), seconds)


def _errors(code: str, *behind: str, **more: object) -> Fault:
    errors = [{"message": code.title(), "extensions": {"code": code}}]
    return _http(200, json.dumps({"errors": errors, "data": None, **more}).encode(), *behind)


_COST = {"cost": {"requestedQueryCost": 25, "throttleStatus": {"currentlyAvailable": 5, "restoreRate": 10}}}

FAULTS: Mapping[str, Fault] = {
    "connection refused": _never("ConnectionError"),
    "DNS failure": _never("ConnectionError"),
    "connect timeout (backlog full)": _never("ConnectTimeout", 5),
    "TLS handshake with a plain server": _cut("ReadTimeout", NOTHING, seconds=30),
    "accept, close before reading": _cut("ConnectionError", NOTHING),
    "read whole request, close": _cut("ConnectionError"),
    "read whole request, RST": _cut("ConnectionError"),
    "read timeout": _cut("ReadTimeout", seconds=30),
    "body shorter than Content-Length": _cut("IncompleteRead", DONE),
    "chunked body cut": _cut("IncompleteRead", DONE),
    "drip 1 byte / 50 ms": Fault((DONE,), None, 40),
    "headers then silence": _cut("ReadTimeout", seconds=30),
    "200 with HTML": _http(200, GREETING),
    "200 empty": _http(200),
    '200 {"data":null}': _http(200, b'{"data":null}'),
    "bad gzip": _cut("DecodeError", DONE),
    "garbage status line": _cut("BadStatusLine"),
    "header of 70 kB": _cut("LineTooLong"),
    "502": _http(502, GREETING),
    "429": _http(429, b"", NOTHING),
    "401": _http(401, b"", NOTHING),
    "redirect 301, default": _http(301, b"", NOTHING),
    "redirect 302, default": _http(302, b"", NOTHING, DONE),
    "redirect 303, default": _http(303, b"", NOTHING, DONE),
    "redirect 307, default": _http(307, b"", NOTHING),
    "redirect 308, default": _http(308, b"", NOTHING),
    "redirect 308, allow_redirects=False": _http(308, b"", NOTHING),
    "second call on a pooled connection the server has closed (0.3 s ago)": Fault((DONE,), None),
    "pooled connection closed while the second request is in flight": _cut("ConnectionError"),
    "HTTPAdapter(max_retries=3), server closes after reading": _cut("ConnectionError"),
    "Retry(3, status_forcelist=[502], allowed_methods=None)": _http(502),
    # not in the vectors
    "403": _http(403, b"", NOTHING),
    "500": _http(500),
    "THROTTLED": _errors("THROTTLED", NOTHING, extensions=_COST),
    "INTERNAL_SERVER_ERROR": _errors("INTERNAL_SERVER_ERROR"),
    "ACCESS_DENIED": _errors("ACCESS_DENIED", NOTHING),
    "garbled JSON": _http(200, b'{"data":{"refundCreate":{"refund":{"id"'),
    "another API version": _cut("Shopify served version 2027-01"),
    "another shape": _http(200, b'{"data":{"refundCreate":{"refund":null,"userErrors":[]}}}'),
    "errors beside data": _http(200, b'{"data":{"refundCreate":{"refund":{"id":"x"}},"orderCancel":{}},"errors":[{}]}'),
    "delivered twice": Fault((TWICE,), None),
    "delivered twice, and cut": _cut("ConnectionError", TWICE),
    "slow": Fault((DONE,), None, 28),
}
NAMES = tuple(FAULTS)
