"""Kustomer's REST API over HTTPS: one organisation, one key, its limits and its two shapes of errors."""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from plugin.errors import FixTheSetup, TryLater
from plugin.ports import Clock
from plugin.wire import FAULTS, ask, parsed

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
PATIENCE = 10.0
LONGEST_BLOCK = 120.0  # seconds we believe a rate limit to last, whatever a header says


@dataclass(frozen=True)
class Org:
    """An organisation by its checked name; `base_url` is for the sandbox only, else addresses are made of the name."""

    name: str
    base_url: str | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise FixTheSetup(f"{self.name!r} is not the name of a Kustomer organisation; write it like acme.")

    @property
    def api(self) -> str:
        return self.base_url or f"https://{self.name}.api.kustomerapp.com"

    @property
    def web(self) -> str:
        return self.base_url or f"https://{self.name}.kustomerapp.com"


class Refused(Exception):
    """Kustomer answered that it will not: HTTP 4xx but 429. `said` is its own words, for an admin."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"HTTP {status}: {said}")
        self.status = status
        self.said = said


class Client:
    """Bearer key, JSON both ways. The whole organisation shares one limit, so one block stops every call."""

    def __init__(self, org: Org, key: str, clock: Clock) -> None:
        self.org = org
        self._key = key
        self._clock = clock
        self._blocked_until: datetime | None = None
        self.date: str | None = None  # Kustomer's clock in its last answer

    def get(self, path: str, *, token: str | None = None) -> dict[str, Any]:
        """The `data` of an answer. Raises Refused, TryLater."""
        return _data(self.call("GET", path, token=token))

    def find(self, path: str) -> dict[str, Any] | None:
        """The same; None for what does not exist."""
        try:
            return self.get(path)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, token: str | None = None) -> Any:
        """The whole JSON of an answer. `token` acts as that user instead of the key."""
        return self._sent(method, path, {"Authorization": f"Bearer {token or self._key}"}, json_body=body)

    def form(self, path: str, fields: Mapping[str, str]) -> Any:
        """A form without the key: OAuth's token endpoint."""
        return self._sent("POST", path, {}, data=dict(fields))

    def _sent(self, method: str, path: str, headers: dict[str, str], **body: Any) -> Any:
        now = self._clock.now()
        if self._blocked_until is not None and now < self._blocked_until:
            raise TryLater("Kustomer's rate limit is used up. Try again in a minute.")
        try:
            answer, content = ask(method, f"{self.org.api}{path}", headers=headers, read=PATIENCE, **body)
        except FAULTS as error:
            raise TryLater("Kustomer does not answer.") from error
        self._respect(answer.status_code, answer.headers, now)
        if answer.status_code == 429:
            raise TryLater("Kustomer's rate limit is used up. Try again in a minute.")
        if 400 <= answer.status_code < 500:
            raise Refused(answer.status_code, said(parsed(content)))
        found = parsed(content)
        if not 200 <= answer.status_code < 300 or (content and found is None):
            raise TryLater(f"Kustomer answered HTTP {answer.status_code}.")
        return found

    def _respect(self, status: int, headers: Mapping[str, str], now: datetime) -> None:
        """Nothing more is sent before the window ends, once it is used up."""
        self.date = headers.get("Date")
        if status == 429 or headers.get("x-ratelimit-remaining") == "0":
            self._blocked_until = now + timedelta(seconds=_seconds(headers.get("x-ratelimit-reset", ""), now))


def _seconds(reset: str, now: datetime) -> float:
    """`x-ratelimit-reset` as seconds to wait: whether it counts from now or from 1970 is not documented."""
    if not (reset.isascii() and reset.isdigit() and len(reset) < 15):
        return 5.0
    number = float(reset) / (1000 if len(reset) > 11 else 1)
    wait = number - now.timestamp() if number > 1_000_000_000 else number
    return min(max(wait, 1.0), LONGEST_BLOCK)


def org_id_of(key: str) -> str:
    """The organisation's id as the key names it; empty when the key is no token. Nothing rests on its signature."""
    parts = key.split(".")
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return str(claims["org"])
    except (IndexError, ValueError, KeyError, TypeError):
        return ""


def said(body: Any) -> str:
    """Kustomer's words in either shape: `{code, message}` or `{status, code, title, detail, source}`."""
    errors = body.get("errors") if isinstance(body, dict) else None
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    source = first.get("source") or {}
    where = source.get("parameter") or source.get("pointer") if isinstance(source, dict) else None
    words = [first.get("code"), first.get("message") or first.get("title"), first.get("detail"), where]
    return ": ".join(str(one)[:200] for one in words if one) or "no reason given"


def _data(body: Any) -> dict[str, Any]:
    found = body.get("data") if isinstance(body, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("attributes", {}), dict):
        raise TryLater("Kustomer answered in a form that is not known here.")
    return found
