"""Any CRM that hands the card a token it signed, and takes notes over HTTP."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from plugin.errors import FixTheSetup, SignInAgain, TryLater
from plugin.oversight import Health
from plugin.phones import e164
from plugin.ports import Clock
from plugin.ports_crm import Crm
from plugin.shapes import Customer, Identity, Note, OrderRow
from plugin.wire import FAULTS, ask, is_safe_address, parsed

REFUSED = "The CRM's token was not accepted. Reload the page."
LEEWAY = 10
LONGEST = 300  # seconds between iat and exp
KEYS_KEPT, KEYS_AGAIN = 600.0, 30.0  # seconds a key set is kept; an unknown key asks again this late
ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}  # one algorithm a kind of key: a token cannot choose another
_REQUIRED = ["exp", "iat", "iss", "aud", "sub", "jti"]


@dataclass
class KeySet:
    """The CRM's public keys (JWKS) from the configured address. Raises FixTheSetup for an unsafe one."""

    url: str
    _keys: Mapping[str, jwt.PyJWK] = field(default_factory=dict)
    _read_at: float = float("-inf")

    def __post_init__(self) -> None:
        if not is_safe_address(self.url):
            raise FixTheSetup(f"{self.url!r} is no address for keys; write it like https://crm.example/jwks.json.")

    def key(self, kid: str) -> jwt.PyJWK | None:
        """Raises TryLater when keys are needed and cannot be read."""
        age = time.monotonic() - self._read_at
        if age > (KEYS_AGAIN if kid not in self._keys else KEYS_KEPT):
            self._keys, self._read_at = self._read(), time.monotonic()
        return self._keys.get(kid)

    def _read(self) -> dict[str, jwt.PyJWK]:
        try:
            answer, content = ask("GET", self.url, read=5.0)
        except FAULTS as error:
            raise TryLater("The CRM's keys cannot be read.") from error
        found = parsed(content)
        rows = found.get("keys") if answer.status_code == 200 and isinstance(found, dict) else None
        if not isinstance(rows, list):
            raise TryLater("The CRM's keys cannot be read.")
        return {row["kid"]: key for row in rows if isinstance(row, dict) and (key := _public(row)) is not None}


def _public(row: Mapping[str, Any]) -> jwt.PyJWK | None:
    """A key that may verify; anything else in the set is passed over."""
    algorithm = ALGORITHMS.get(str(row.get("kty")))
    fits = row.get("alg", algorithm) == algorithm and row.get("use", "sig") == "sig" and isinstance(row.get("kid"), str)
    if algorithm is None or not fits or (algorithm == "ES256" and row.get("crv") != "P-256"):
        return None
    try:
        key = jwt.PyJWK(dict(row), algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, KeyError):
        return None
    return key if algorithm == "ES256" or key.key.key_size >= 2048 else None


@dataclass
class TokenHost:
    """The Host socket for a signed token: HS256 by a shared secret, or RS256/ES256 by published keys."""

    secret: str
    issuer: str
    crm: Crm
    clock: Clock
    keys: KeySet | None = None
    notes_url: str | None = None
    notes_token: str = ""
    keeps_orders: bool = False

    def identify(self, token: str, count: Callable[[str], None] = lambda _: None) -> Identity:
        try:
            claims = self._claims(token)
            identity = _identity(claims)
            jti = _text(claims["jti"], 200)
            if not 0 < claims["exp"] - claims["iat"] <= LONGEST:
                raise ValueError("it lives too long")
            until = datetime.fromtimestamp(claims["exp"], UTC) + timedelta(seconds=LEEWAY + 1)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise SignInAgain(REFUSED) from error
        if not self.crm.once("jti", jti, until, self.clock.now()):
            raise SignInAgain(REFUSED)
        count(identity.agent_id)
        return identity

    def _claims(self, token: str) -> dict[str, Any]:
        key: Any = self.secret
        algorithm = "HS256"
        if self.keys is not None:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self.keys.key(kid) if isinstance(kid, str) else None
            if key is None:
                raise ValueError("no such key")
            algorithm = key.algorithm_name
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=[algorithm], audience="order-actions", issuer=self.issuer,
            options={"require": _REQUIRED}, leeway=LEEWAY,
        )  # fmt: skip
        return claims

    def post_note(self, note: Note) -> None:
        if self.notes_url is None:
            return
        body = {
            "external_id": note.id,
            "customer_id": note.customer_id,
            "conversation": note.conversation,
            "order": note.order_name,
            "author": {"id": note.agent_id, "name": note.agent_name},
            "body": note.body,
            "url": note.url,
        }
        headers = {"Authorization": f"Bearer {self.notes_token}"}
        try:
            answer, _ = ask("POST", self.notes_url, json_body=body, headers=headers, read=10.0)
        except FAULTS as error:
            raise TryLater("The CRM does not answer.") from error
        if answer.status_code not in (200, 201, 409):
            raise TryLater(f"The CRM answered HTTP {answer.status_code}.")

    def put_order(self, row: OrderRow, email: str, store_name: str) -> None:
        """This CRM keeps no orders of ours."""

    def health(self) -> Health:
        """Its keys must be readable; where notes go, any answer will do: no note is posted to try."""
        if self.keys is not None:
            return _asked(self.keys.url, "The CRM's keys cannot be read", lambda status: status == 200)
        if self.notes_url is not None:
            return _asked(self.notes_url, "The CRM does not take notes", lambda status: status < 500)
        return Health(None, None)


def _asked(url: str, wrong: str, good: Callable[[int], bool]) -> Health:
    try:
        answer, _ = ask("GET", url, read=10.0)
    except FAULTS as error:
        return Health(f"{wrong}: no answer ({type(error).__name__}).", None)
    problem = None if good(answer.status_code) else f"{wrong}: HTTP {answer.status_code}."
    return Health(problem, answer.headers.get("Date"))


def _identity(claims: Mapping[str, Any]) -> Identity:
    """Every claim has its own type and length. Raises KeyError, TypeError, ValueError."""
    customer, order, groups = claims["customer"], claims.get("order"), claims["groups"]
    if not isinstance(groups, Sequence) or isinstance(groups, str):
        raise TypeError("groups is a list")
    conversation = claims.get("conversation")
    return Identity(
        agent_id=_text(claims["sub"], 100),
        agent_name=_text(claims["name"], 200),
        role_groups=tuple(_text(group, 255) for group in groups),
        customer=Customer(
            _text(customer["id"], 100),
            _text(customer["email"], 320, least=0),
            _text(customer["name"], 500, least=0),
            e164(_text(customer.get("phone") or "", 50, least=0)),
        ),  # fmt: skip
        conversation=None if conversation is None else _text(conversation, 100),
        store=None if order is None else _text(order["store"], 255),
        order=None if order is None else _text(order["id"], 32),
    )


def _text(found: Any, most: int, least: int = 1) -> str:
    if not isinstance(found, str) or not least <= len(found) <= most:
        raise ValueError("a claim is no text, or too long")
    return found
