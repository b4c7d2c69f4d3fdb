"""What every HTTP client of ours holds to: no redirects, no proxies of the environment, a size and a time."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

CONNECT, READ, DEADLINE = 5.0, 30.0, 40.0  # together less than a run's lease
MAX_BYTES = 1 << 20
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?(/.*)?")


class TooMuch(Exception):
    """The answer is longer or slower than any honest one."""


# what `ask` may raise: nothing is known of the answer then
FAULTS = (requests.RequestException, TooMuch, HTTPError, OSError)


@contextmanager
def _in_time(seconds: float, shut: Callable[[], object]) -> Iterator[None]:
    """Until then all must have come, however it drips: `timeout=` limits each read, not their sum. Raises TooMuch.

    Shutting the line wakes up who reads from it; what was read then is not an answer, whole as it may look.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        with suppress(OSError, ValueError, RuntimeError):  # it has just ended by itself
            shut()

    timer = threading.Timer(max(seconds, 0.0), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if late.is_set():
            raise TooMuch("the answer took too long")


class _Line(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        with _in_time(DEADLINE, lambda: self.sock.shutdown(SHUT_RDWR)):
            return super().getresponse()


class _SafeLine(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        with _in_time(DEADLINE, lambda: self.sock.shutdown(SHUT_RDWR)):
            return super().getresponse()


class _Lines(HTTPConnectionPool):
    ConnectionCls = _Line


class _SafeLines(HTTPSConnectionPool):
    ConnectionCls = _SafeLine


class _Adapter(HTTPAdapter):
    """The headers of an answer come within the deadline."""

    def init_poolmanager(self, *given: Any, **more: Any) -> None:
        super().init_poolmanager(*given, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _Lines, "https": _SafeLines}


def bare_session() -> requests.Session:
    """No retries, no redirects, no proxy or .netrc from the environment."""
    session = requests.Session()
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter())
    return session


def ask(
    method: str, url: str, *, headers: dict[str, str] | None = None, data: Any = None, json_body: Any = None,
    read: float = READ,
) -> tuple[requests.Response, bytes]:  # fmt: skip
    """One request and its whole body. Raises one of FAULTS."""
    with bare_session() as session:
        answer = session.request(
            method, url, headers=headers, data=data, json=json_body, timeout=(CONNECT, read), allow_redirects=False,
            stream=True,
        )  # fmt: skip
        with answer:
            return answer, whole(answer)


def whole(answer: requests.Response) -> bytes:
    """The body, within 1 MiB and what the headers left of the deadline.

    `read1` gives what has come; `iter_content` would wait for a full part.
    """
    parts, size = [], 0
    with _in_time(DEADLINE - answer.elapsed.total_seconds(), answer.raw.shutdown):
        while part := answer.raw.read1(65536, decode_content=True):
            size += len(part)
            if size > MAX_BYTES:
                raise TooMuch("the answer is longer than 1 MiB")
            parts.append(part)
    return b"".join(parts)


def parsed(body: bytes) -> Any:
    """The JSON of a body; None for what is not JSON, or nested without end."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def is_export(url: str, store: str) -> bool:
    """Where Shopify lays the result of a bulk operation, which is the only address we take from an answer.

    Its storage by name, or the sandbox that plays the store on this machine. HTTPS proves the name at connect time.
    """
    if re.fullmatch(r"https://storage\.googleapis\.com/[\x21-\x5b\x5d-\x7e]*", url):
        return True
    return bool(_LOOPBACK.fullmatch(store) and url.startswith(f"{store}/bulk/") and is_safe_address(url))


def lines(answer: requests.Response) -> Iterator[bytes]:
    """The lines of a long body, each within 1 MiB; the body may be as long as it likes, but must keep coming."""
    rest = b""
    while part := answer.raw.read1(65536, decode_content=True):
        *whole_lines, rest = (rest + part).split(b"\n")
        if len(rest) > MAX_BYTES:
            raise TooMuch("a line is longer than 1 MiB")
        yield from whole_lines
    if rest:
        yield rest


def is_on_this_machine(url: str) -> bool:
    """Plain HTTP on this machine, where a sandbox is."""
    return bool(_LOOPBACK.fullmatch(url) and "@" not in url and "\\" not in url)


def is_safe_address(url: str) -> bool:
    """HTTPS without anybody's name in it; plain HTTP on this machine only."""
    plain = re.fullmatch(r"https://[a-z0-9.-]+(:[0-9]{1,5})?(/[^\s\\@]*)?", url)
    return bool(plain) or is_on_this_machine(url)
