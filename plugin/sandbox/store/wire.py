"""Answers that arrive broken: what each transport fault does to a response or to its socket."""

import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import NoReturn

from werkzeug.wrappers import Request, Response

from .faults import Fault

PAGE = "<!doctype html><title>Something went wrong</title><p>Something went wrong on our end.</p>"


def spoil(
    request: Request,
    fault: Fault,
    answered: Response | None,
    closing: threading.Event,
    spoken: Callable[[], Response],
) -> Response:
    """The response the fault leaves of `answered`; `spoken` makes the faults that are GraphQL answers."""
    if fault.kind in ("done-then-timeout", "timeout-not-done", "slow"):
        closing.wait(fault.seconds)
    if fault.kind in ("done-then-timeout", "timeout-not-done", "reset"):
        _drop(request)
    if fault.kind == "cut-body" and answered is not None:
        _send_half(request, answered)
    if fault.kind in ("502-before", "502-after"):
        return Response("<h1>502 Bad Gateway</h1>", 502, content_type="text/html")
    if fault.kind == "html":
        return Response(PAGE, 200, content_type="text/html")
    return answered if fault.kind == "slow" and answered is not None else spoken()


def _drop(request: Request) -> NoReturn:
    """Close with a reset: linger zero throws away what was not sent; the server takes it as a lost client."""
    one = request.environ["werkzeug.socket"]
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(one.detach())
    raise ConnectionResetError


def _send_half(request: Request, answered: Response) -> NoReturn:
    body = answered.get_data()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    one = request.environ["werkzeug.socket"]
    one.sendall(head.encode() + body[: len(body) // 2])
    one.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError
