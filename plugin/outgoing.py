"""What every request we send has in common: no retries, no redirects, nothing from the environment, an end."""

import time

import requests

MAX_BYTES = 1 << 20
CONNECT, READ, DEADLINE = 5.0, 30.0, 45.0


class TooMuch(Exception):
    """The answer is longer or slower than any honest one."""


def plain_session() -> requests.Session:
    """No proxy or .netrc from the environment; `requests` alone never retries."""
    session = requests.Session()
    session.trust_env = False
    return session


def whole(answer: requests.Response, deadline: float | None = None) -> bytes:
    """The body, within 1 MiB and the overall deadline (timeout= limits each read, not their sum).

    `read1` gives what has come; `iter_content` would wait for a full part, however slowly it drips.
    """
    end = time.monotonic() + (DEADLINE if deadline is None else deadline)
    parts, size = [], 0
    while part := answer.raw.read1(65536, decode_content=True):
        size += len(part)
        if size > MAX_BYTES:
            raise TooMuch("the answer is longer than 1 MiB")
        if time.monotonic() > end:
            raise TooMuch("the answer took too long")
        parts.append(part)
    return b"".join(parts)
