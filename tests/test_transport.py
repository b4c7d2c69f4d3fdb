"""Every transport fault of the vectors on one real socket: what it proves about the mutation that was sent."""

import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import responses

from plugin import wire
from plugin.commerce import shopify
from plugin.commerce.shopify import Connection, Shopify
from plugin.errors import FixTheSetup, TryLater
from plugin.shapes import StoreInfo
from plugin.verdicts import Kind, judge
from tests.shared import vectors

STORE = "sandbox.myshopify.com"
BODY = b'{"query":"mutation { x }","variables":{}}'
DONE = b'{"data":{"refundCreate":{"refund":{"id":"r"},"userErrors":[]}}}'
Talk = Callable[[socket.socket], None]


class OneStore:
    """The Access socket with one store that is always connected."""

    def __init__(self, url: str) -> None:
        self.one = Connection(StoreInfo(STORE, "Store", {}), "token", url)

    def stores(self) -> list[StoreInfo]:
        return [self.one.info]

    def connection(self, domain: str) -> Connection:
        return self.one


def client(url: str) -> Shopify:
    return Shopify(OneStore(url), "2026-10")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shopify, "READ", 0.5)
    monkeypatch.setattr(shopify, "CONNECT", 0.5)
    monkeypatch.setattr(wire, "DEADLINE", 1.0)


@contextmanager
def served(talk: Talk) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads whole requests and then does what `talk` says; and the requests it read."""
    read: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                data = b""
                while not data.endswith(BODY):
                    part = line.recv(65536)
                    if not part:
                        break
                    data += part
                read.append(data)
                try:
                    talk(line)
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", read
    finally:
        listener.close()


def says(head: str, body: bytes = b"", then: Talk = lambda line: None) -> Talk:
    def talk(line: socket.socket) -> None:
        line.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        then(line)

    return talk


def drip(line: socket.socket) -> None:
    line.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(DONE)}\r\n\r\n".encode())
    for one in DONE:
        line.sendall(bytes([one]))
        time.sleep(0.05)


def drip_headers(status: str, seconds: float = 3.0, then: Talk = lambda line: None) -> Talk:
    """Headers that are whole in the end, as is what follows them."""

    def talk(line: socket.socket) -> None:
        line.sendall(f"HTTP/1.1 {status}\r\nX-Long: ".encode())
        for _ in range(int(seconds / 0.05)):
            line.sendall(b"x")
            time.sleep(0.05)
        line.sendall(f"\r\nContent-Length: {len(DONE)}\r\n\r\n".encode())
        then(line)
        line.sendall(DONE)

    return talk


def reset(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def length(body: bytes, extra: int = 0) -> str:
    return f"HTTP/1.1 200 OK\nContent-Length: {len(body) + extra}"


GZIP = "HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: "
FAULTS: dict[str, tuple[Talk, Kind]] = {
    "read whole request, close": (lambda line: None, Kind.UNKNOWN),
    "read whole request, RST": (reset, Kind.UNKNOWN),
    "read timeout": (lambda line: time.sleep(1), Kind.UNKNOWN),
    "body shorter than Content-Length": (says(length(DONE, 20), DONE), Kind.UNKNOWN),
    "chunked body cut": (says("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"40\r\n{"), Kind.UNKNOWN),
    "drip 1 byte / 50 ms": (drip, Kind.UNKNOWN),
    "headers drip": (drip_headers("200 OK"), Kind.UNKNOWN),
    "headers of a refusal drip": (drip_headers("401 No"), Kind.UNKNOWN),
    "headers drip, then the body is late": (drip_headers("200 OK", 0.7, lambda line: time.sleep(0.45)), Kind.UNKNOWN),
    "headers drip, but all is there in time": (drip_headers("200 OK", 0.2), Kind.DONE),
    "headers then silence": (says(length(DONE), b"", lambda line: time.sleep(1)), Kind.UNKNOWN),
    "200 with HTML": (says(length(b"<html>"), b"<html>"), Kind.UNKNOWN),
    "200 empty": (says(length(b"")), Kind.UNKNOWN),
    '200 {"data":null}': (says(length(b'{"data":null}'), b'{"data":null}'), Kind.UNKNOWN),
    "bad gzip": (says(f"{GZIP}4", b"nope"), Kind.UNKNOWN),
    "garbage status line": (says("\x00\x01\x02garbage"), Kind.UNKNOWN),
    "header of 70 kB": (says(f"HTTP/1.1 200 OK\nX: {'x' * 70000}"), Kind.UNKNOWN),
    "502": (says("HTTP/1.1 502 Bad Gateway\nContent-Length: 0"), Kind.UNKNOWN),
    "429": (says("HTTP/1.1 429 Too Many\nContent-Length: 0"), Kind.THROTTLED),
    "401": (says("HTTP/1.1 401 No\nContent-Length: 0"), Kind.NOT_DONE),
    "redirect 308, allow_redirects=False": (
        says("HTTP/1.1 308 Go\nLocation: http://127.0.0.1/\nContent-Length: 0"), Kind.UNKNOWN,
    ),
    "more than 1 MiB": (says(length(b"x" * 1_100_000), b"x" * 1_100_000), Kind.UNKNOWN),
    "another API version": (
        says(f"HTTP/1.1 200 OK\nX-Shopify-API-Version: 2027-01\nContent-Length: {len(DONE)}", DONE), Kind.UNKNOWN,
    ),
    "done": (says(length(DONE), DONE), Kind.DONE),
    "done, gzip": (says(f"{GZIP}{len(gzip.compress(DONE, mtime=0))}", gzip.compress(DONE, mtime=0)), Kind.DONE),
}  # fmt: skip
# Faults of the vectors that cannot be made with a server that reads: tried in tests of their own below.
ELSEWHERE = {"connection refused", "DNS failure", "connect timeout (backlog full)", "accept, close before reading",
             "TLS handshake with a plain server"}  # fmt: skip
OTHER_CLIENTS = ("redirect 30", "second call on", "pooled connection", "HTTPAdapter", "Retry(")


@pytest.mark.parametrize("name", FAULTS)
def test_what_each_fault_proves(name: str) -> None:
    talk, kind = FAULTS[name]
    with served(talk) as (url, read):
        begun = time.monotonic()
        verdict = judge(client(url).send(STORE, BODY), "refundCreate")
        assert (verdict.kind, len(read)) == (kind, 1), "sent once, whatever comes back"
        assert time.monotonic() - begun < 4


def test_every_fault_of_the_vectors_is_tried() -> None:
    named = {one["fault"] for one in vectors("transport_faults.json")["vectors"]}
    missing = {one for one in named - FAULTS.keys() - ELSEWHERE if not one.startswith(OTHER_CLIENTS)}
    assert missing == set()


def test_a_refused_connection_was_never_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert client(f"http://127.0.0.1:{port}").send(STORE, BODY).fault == "not_sent"


def test_a_name_that_does_not_exist_was_never_sent() -> None:
    assert client("http://no-such-host.invalid").send(STORE, BODY).fault == "not_sent"


def test_a_server_that_closes_before_reading_proves_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        reply = client(f"http://127.0.0.1:{listener.getsockname()[1]}").send(STORE, BODY)
    assert judge(reply, "refundCreate").kind is Kind.UNKNOWN


def test_a_tls_handshake_that_never_ends_proves_nothing() -> None:
    with served(lambda line: time.sleep(1)) as (url, _):
        reply = client(url.replace("http://", "https://")).send(STORE, BODY)
    assert judge(reply, "refundCreate").kind is Kind.UNKNOWN


def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with served(says(length(DONE), DONE)) as (url, read):
        assert judge(client(url).send(STORE, BODY), "refundCreate").kind is Kind.DONE
    assert b"X-Shopify-Access-Token: token" in read[0]


# ---------------------------------------------------------------- reading


URL = f"https://{STORE}/admin/api/2026-10/graphql.json"


def reader() -> Shopify:
    return client(f"https://{STORE}")


SERVED = {"X-Shopify-API-Version": "2026-10"}
PHONE = {"message": "no", "path": ["snapshot", "phone"], "extensions": {"code": "ACCESS_DENIED"}}


@responses.activate
def test_a_phone_the_app_may_not_see_is_missing_and_nothing_else_may_be() -> None:
    data = {"order": {"phone": None}}
    other = {**PHONE, "path": ["snapshot", "email"]}
    for error in (PHONE, other, {**PHONE, "path": None}, {**PHONE, "extensions": {}}):
        responses.post(URL, json={"data": data, "errors": [PHONE, error]}, headers=SERVED)
    assert reader().read(STORE, "{ order }", {}) == data
    for _ in range(3):
        with pytest.raises(FixTheSetup, match="no; no"):
            reader().read(STORE, "{ order }", {})


@responses.activate
def test_an_answer_that_does_not_say_its_version_is_no_reading_and_still_a_proof() -> None:
    responses.post(URL, json={"data": {"order": None}})
    with pytest.raises(TryLater):
        reader().read(STORE, "{ order }", {})
    assert reader().send(STORE, b"{}").fault is None


@responses.activate
def test_a_read_is_tried_again_after_throttling() -> None:
    busy = {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}
    responses.post(URL, json=busy, headers=SERVED)
    responses.post(URL, json={"data": {"order": None}}, headers=SERVED)
    assert reader().read(STORE, "{ order }", {}) == {"order": None}


@responses.activate
def test_a_read_that_fails_three_times_is_given_up_in_words() -> None:
    responses.post(URL, status=502)
    with pytest.raises(TryLater, match="Nothing was done"):
        reader().read(STORE, "{ order }", {})
    assert len(responses.calls) == 3


@responses.activate
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 401}, "Reconnect the store"),
        (
            {"json": {"errors": [{"message": "Access denied", "extensions": {"code": "ACCESS_DENIED"}}]}},
            "Access denied",
        ),
    ],
)
def test_what_no_retry_would_mend_is_told_at_once(answer: dict[str, object], said: str) -> None:
    responses.post(URL, headers=SERVED, **answer)  # type: ignore[arg-type]
    with pytest.raises(FixTheSetup, match=said):
        reader().read(STORE, "{ order }", {})
    assert len(responses.calls) == 1
