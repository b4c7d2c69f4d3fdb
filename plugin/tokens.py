"""Our own signed tokens: the session of a card, and the form an agent is looking at."""

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt

from plugin.errors import LookAgain, SignInAgain
from plugin.secrets import Keys
from plugin.shapes import Customer, Place

SESSION_SECONDS = 300
FORM_SECONDS = 900
FOUND_SECONDS = 900
_REQUIRED = ["exp", "aud", "sub"]
# what a token that is not ours may raise; its head is parsed before its signature is known
_BROKEN = (jwt.InvalidTokenError, KeyError, TypeError, ValueError, RecursionError)


@dataclass(frozen=True)
class SessionClaims:
    """Who looks at whom; the permission set is looked up again at every request, and must be as it was sealed."""

    agent_id: str
    agent_name: str
    permission_set: str
    permission_hash: str
    customer: Customer
    conversation: str | None
    place: Place | None
    read_only: bool = False


@dataclass(frozen=True)
class FormClaims:
    """One rendered form: its run id, and what the agent was shown, `moves` being the money on the button."""

    run_id: str
    agent_id: str
    place: Place
    action_id: str
    action_digest: str
    fingerprint: Mapping[str, str]
    moves: str
    shown: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class FoundClaims:
    """An order found by its number: who found it, beside which customer."""

    agent_id: str
    customer_id: str
    place: Place


class Tokens:
    """HS256, one derived key a purpose; pinned algorithm and audience."""

    def __init__(self, keys: Keys) -> None:
        self._keys = {name: keys.keys(name) for name in ("session", "form", "found")}

    def seal_session(self, claims: SessionClaims, now: datetime) -> str:
        return self._seal("session", claims.agent_id, asdict(claims), now, SESSION_SECONDS)

    def open_session(self, token: str) -> SessionClaims:
        """Raises SignInAgain."""
        try:
            data = self._open("session", token)
            place = Place(**data["place"]) if data["place"] else None
            return SessionClaims(**{**data, "customer": Customer(**data["customer"]), "place": place})
        except _BROKEN as error:
            raise SignInAgain("Your session has ended. Open the card again.") from error

    def seal_form(self, claims: FormClaims, now: datetime) -> str:
        return self._seal("form", claims.agent_id, asdict(claims), now, FORM_SECONDS)

    def open_form(self, token: str, *, even_old: bool = False) -> FormClaims:
        """Raises LookAgain: a form is good for 15 minutes after it was last rendered, and longer to ask after it."""
        try:
            data = self._open("form", token, even_old)
            return FormClaims(**{**data, "place": Place(**data["place"])})
        except _BROKEN as error:
            raise LookAgain("This form is too old. Nothing was done; open it again.") from error

    def seal_found(self, claims: FoundClaims, now: datetime) -> str:
        return self._seal("found", claims.agent_id, asdict(claims), now, FOUND_SECONDS)

    def open_found(self, token: str) -> FoundClaims | None:
        """None for one that is too old or not ours: it proves nothing then, and opens nothing."""
        try:
            data = self._open("found", token)
            return FoundClaims(**{**data, "place": Place(**data["place"])})
        except _BROKEN:
            return None

    def _seal(self, purpose: str, subject: str, data: Mapping[str, Any], now: datetime, seconds: int) -> str:
        claims = {"aud": purpose, "sub": subject, "exp": now + timedelta(seconds=seconds), "data": data}
        return jwt.encode(claims, self._keys[purpose][0], algorithm="HS256")

    def _open(self, purpose: str, token: str, even_old: bool = False) -> dict[str, Any]:
        claims = self._claims(purpose, token, even_old)
        data: dict[str, Any] = claims["data"]
        return data

    def _claims(self, purpose: str, token: str, even_old: bool) -> dict[str, Any]:
        """By the newest key; by an older one while the installation's secret is changed."""
        *older, oldest = self._keys[purpose]
        for key in older:
            try:
                return _verified(token, key, purpose, even_old)
            except jwt.InvalidSignatureError:
                continue
        return _verified(token, oldest, purpose, even_old)


def _verified(token: str, key: bytes, purpose: str, even_old: bool) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["HS256"], audience=purpose, options={"require": _REQUIRED, "verify_exp": not even_old}
    )
    return claims


def new_run_id() -> str:
    return str(uuid.uuid4())
