"""Shopify's Admin GraphQL API over HTTP: reads are retried, mutations are sent once."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ssl import SSLCertVerificationError
from typing import Any, Protocol

import requests
from urllib3.exceptions import NameResolutionError, NewConnectionError

from plugin import metrics
from plugin.errors import FixTheSetup, OrderActionsError, TryLater
from plugin.logs import tell
from plugin.ports import Gone, Reply
from plugin.shapes import StoreInfo
from plugin.wire import CONNECT, FAULTS, READ, bare_session, is_export, lines, parsed, whole

READ_TRIES = 3
TOKEN_WITHIN = 10.0  # seconds in which the token of a mutation must be at hand
THROTTLED = 1.0  # seconds to wait before a reading is asked again


@dataclass(frozen=True)
class Connection:
    """One connected store with a token that is good now; `base_url` is made of the checked domain."""

    info: StoreInfo
    token: str
    base_url: str


class Access(Protocol):
    """Which stores there are, and the way into one."""

    def stores(self) -> Sequence[StoreInfo]: ...

    def connection(self, domain: str) -> Connection:
        """Raises NothingHere, FixTheSetup, TryLater."""
        ...


class Shopify:
    """The Commerce socket. Source of every rule: facts/shopify.md §1, §5 and money-safety §1.4."""

    def __init__(self, access: Access, version: str) -> None:
        self._access = access
        self._version = version
        self._session = bare_session()

    def stores(self) -> Sequence[StoreInfo]:
        return self._access.stores()

    def read(self, store: str, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps({"query": document, "variables": variables}).encode()
        wait = 0.0
        for _ in range(READ_TRIES):
            time.sleep(wait)
            reply = self._post(self._access.connection(store), body, self._session)
            try:
                data, wait = _data(reply)
            except FixTheSetup:
                _counted(store, reply, False, 0.0)
                raise
            _counted(store, reply, data is not None, wait)
            if data is not None:
                return data
        raise TryLater("Shopify does not answer just now. Nothing was done; try again in a minute.")

    def send(self, store: str, body: bytes) -> Reply:
        """A token that was long in coming finds others at work on this call: nothing is sent then."""
        began = time.monotonic()
        try:
            one = self._access.connection(store)
        except OrderActionsError as error:
            return Reply(None, b"", "not_sent", str(error))
        if time.monotonic() - began > TOKEN_WITHIN:
            return Reply(None, b"", "not_sent", "the store's access was too long in coming")
        with bare_session() as fresh:
            return self._post(one, body, fresh)

    def ask(self, store: str, document: str) -> Reply:
        try:
            one = self._access.connection(store)
        except OrderActionsError as error:
            return Reply(None, b"", "not_sent", str(error))
        return self._post(one, json.dumps({"query": document}).encode(), self._session)

    def export(self, store: str, url: str) -> Iterator[bytes]:
        """No token goes there: the address itself is the proof."""
        if not is_export(url, self._access.connection(store).base_url):
            host = url.split("/")[2][:100] if url.count("/") > 1 else ""
            raise FixTheSetup(f"Shopify laid the orders at {host!r}, which is not its known storage. Nothing was read.")
        try:
            with (
                bare_session() as session,
                session.get(url, timeout=(CONNECT, READ), allow_redirects=False, stream=True) as answer,
            ):
                if answer.status_code in (400, 403, 404, 410):
                    raise Gone
                if answer.status_code != 200:
                    raise TryLater(f"Shopify's storage answered HTTP {answer.status_code}. Try again in a minute.")
                yield from lines(answer)
        except FAULTS as error:
            raise TryLater("Shopify's storage broke off. Run the same command again; it goes on.") from error

    def _post(self, one: Connection, body: bytes, session: requests.Session) -> Reply:
        began, call = time.monotonic(), "read" if session is self._session else "send"
        try:
            return self._answer(one, body, session)
        finally:
            metrics.took("shopify_seconds", time.monotonic() - began, call=call)

    def _answer(self, one: Connection, body: bytes, session: requests.Session) -> Reply:
        url = f"{one.base_url}/admin/api/{self._version}/graphql.json"
        headers = {"Content-Type": "application/json", "X-Shopify-Access-Token": one.token}
        try:
            answer = session.post(
                url, data=body, headers=headers, timeout=(CONNECT, READ), allow_redirects=False,
                stream=True,
            )  # fmt: skip
            with answer:
                content = whole(answer)
        except requests.RequestException as error:
            return Reply(None, b"", "not_sent" if _never_left(error) else "cut", type(error).__name__)
        except FAULTS as error:
            return Reply(None, b"", "cut", str(error) or type(error).__name__)
        served = answer.headers.get("X-Shopify-API-Version")
        if answer.status_code == 200 and served is None and session is self._session:
            return Reply(None, content, "cut", "the answer does not say which API version it is of")  # of a send it may
        if answer.status_code == 200 and served not in (None, self._version):
            return Reply(None, content, "cut", f"Shopify served version {served}, not {self._version}")
        return Reply(answer.status_code, content, None, "", answer.headers.get("Date"))


def _never_left(error: requests.RequestException) -> bool:
    """Refused, no such name, a certificate that is not trusted: proved not sent.

    `ConnectionError` alone proves nothing, and an SSLError may also come while the answer is read.
    """
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    cause = reason.args[0] if isinstance(error, requests.exceptions.SSLError) and reason and reason.args else None
    return isinstance(reason, (NewConnectionError, NameResolutionError)) or isinstance(cause, SSLCertVerificationError)


def _counted(store: str, reply: Reply, answered: bool, wait: float) -> None:
    """A reading that will be asked again, or that failed, is worth a line; one that worked a figure."""
    throttled = not answered and wait == THROTTLED
    metrics.count("shopify_reads", result="ok" if answered else "throttled" if throttled else "failed")
    if not answered:
        tell("shopify.throttled" if throttled else "shopify.failed", store=store, status=reply.status, said=reply.fault)


def _data(reply: Reply) -> tuple[dict[str, Any] | None, float]:
    """The data of a read, or how long to wait before asking again. Raises what no retry would mend."""
    if reply.status in (401, 403):
        raise FixTheSetup(f"Shopify refused the store's access token (HTTP {reply.status}). Reconnect the store.")
    if reply.status != 200:
        return None, 0.3
    answer = parsed(reply.body)
    if not isinstance(answer, dict):
        return None, 0.3
    errors = answer.get("errors") or []
    if all(_may_lack(one) for one in errors) and isinstance(answer.get("data"), dict):
        return answer["data"], 0.0
    codes = {(one.get("extensions") or {}).get("code") for one in errors}
    if codes == {"THROTTLED"}:
        return None, THROTTLED
    if "INTERNAL_SERVER_ERROR" in codes or not errors:
        return None, 0.3
    said = "; ".join(str(one.get("message", "")) for one in errors)
    raise FixTheSetup(f"Shopify refused to read the order: {said}")


def _may_lack(error: Mapping[str, Any]) -> bool:
    """A phone that the app may not see is null in the data, with an error beside it (facts/shopify.md §6; seen in
    github.com/MONEI/Shopify-api-node/pull/672). It only helps to find customers; whatever else is denied counts."""
    path = error.get("path") or [None]
    return (error.get("extensions") or {}).get("code") == "ACCESS_DENIED" and path[-1] == "phone"
