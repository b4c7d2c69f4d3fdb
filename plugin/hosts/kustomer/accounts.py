"""An agent's own Kustomer account, connected by OAuth (PKCE) and kept under a handle that can be revoked."""

import hmac
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from cryptography.fernet import InvalidToken

from plugin.errors import SignInAgain, TryLater
from plugin.hosts.kustomer.client import ID, Client, Refused
from plugin.ports import Clock
from plugin.ports_crm import Crm
from plugin.secrets import Keys

CONNECT = "Connect your Kustomer account to this card."
UNFINISHED = "The connection was not finished. Close this window and press Connect again."
STATE_SECONDS = 600
REFRESH_SECONDS = 30.0  # one process refreshes; the others wait
WAITS = 20


@dataclass(frozen=True)
class OAuthApp:
    """What Kustomer knows of us; `redirect_uri` must stand in the app's definition."""

    client_id: str
    client_secret: str
    redirect_uri: str


class Accounts:
    """Source: developer.kustomer.com/docs/get-started/oauth (facts/kustomer.md §2.7); tried on the sandbox only."""

    def __init__(self, app: OAuthApp, client: Client, crm: Crm, keys: Keys, clock: Clock) -> None:
        self._app = app
        self._client = client
        self._crm = crm
        self._clock = clock
        self._box = keys.box()
        self._cookies = keys.box("connect")
        self._hashed = keys.handle_hash

    def start(self) -> tuple[str, str]:
        """Where to send the browser, and the cookie that binds the answer to it."""
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code", "client_id": self._app.client_id, "redirect_uri": self._app.redirect_uri,
            "state": state, "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        cookie = self._cookies.encrypt_at_time(json.dumps([state, verifier]).encode(), self._seconds()).decode()
        return f"{self._client.org.web}/oauth/authorize?{urlencode(query)}", cookie

    def finish(self, cookie: str, state: str, code: str) -> str:
        """The new handle, after the browser came back. A state is good once, and in its own browser only."""
        try:
            kept = self._cookies.decrypt_at_time(cookie.encode(), STATE_SECONDS, self._seconds())
            ours, verifier = json.loads(kept)
        except (InvalidToken, ValueError) as error:
            raise SignInAgain(UNFINISHED) from error
        now = self._clock.now()
        same = hmac.compare_digest(ours.encode(), state.encode())
        if not same or not code or not self._crm.once("state", state, now + timedelta(seconds=STATE_SECONDS), now):
            raise SignInAgain(UNFINISHED)
        fields = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self._app.redirect_uri,
            "code_verifier": verifier,
        }  # fmt: skip
        try:
            tokens = self._tokens(fields, None)
            user_id = self._current(tokens["access"])
        except Refused as refused:
            raise SignInAgain(UNFINISHED) from refused
        handle = secrets.token_urlsafe(32)
        self._crm.put_grant(self._hashed(handle), user_id, self._seal(tokens), now)
        return handle

    def user_of(self, handle: str, count: Callable[[str], None]) -> tuple[str, str]:
        """Whose handle this is, asked of Kustomer with that user's own token; and the token. Counted first.

        Raises SignInAgain on any doubt, TryLater.
        """
        key = self._hashed(handle)
        grant = self._crm.grant(key)
        if grant is None:
            raise SignInAgain(CONNECT)
        count(grant.user_id)
        access = self._access(key, grant.sealed)
        try:
            user_id = self._current(access)
        except Refused as refused:
            self._crm.drop_grant(key)
            raise SignInAgain(CONNECT) from refused
        if user_id != grant.user_id:
            self._crm.drop_grant(key)
            raise SignInAgain(CONNECT)
        return user_id, access

    def _access(self, key: str, sealed: bytes) -> str:
        for _ in range(WAITS):
            tokens = self._open(sealed)
            if datetime.fromisoformat(tokens["until"]) > self._clock.now():
                return str(tokens["access"])
            if self._crm.take_grant(key, self._clock.now(), REFRESH_SECONDS):
                return self._refreshed(key, tokens)
            self._clock.sleep(0.2)
            grant = self._crm.grant(key)
            if grant is None:
                raise SignInAgain(CONNECT)
            sealed = grant.sealed
        raise TryLater("Kustomer is slow to renew your connection. Try again in a moment.")

    def _refreshed(self, key: str, tokens: dict[str, str]) -> str:
        """New tokens, kept before they are used: a refresh token may be good once only."""
        try:
            fresh = self._tokens({"grant_type": "refresh_token", "refresh_token": tokens["refresh"]}, tokens["refresh"])
        except Refused as refused:
            self._crm.drop_grant(key)
            raise SignInAgain(CONNECT) from refused
        except TryLater:
            self._crm.renew_grant(key, None)
            raise
        self._crm.renew_grant(key, self._seal(fresh))
        return fresh["access"]

    def _tokens(self, fields: dict[str, str], refresh: str | None) -> dict[str, str]:
        own = {"client_id": self._app.client_id, "client_secret": self._app.client_secret}
        body = self._client.form("/oauth/token", {**fields, **own})
        try:
            access, again, lasts = body["access_token"], body.get("refresh_token", refresh), body.get("expires_in", 300)
            if not (isinstance(access, str) and access and isinstance(again, str) and isinstance(lasts, int)):
                raise TypeError("not tokens")
        except (KeyError, TypeError, AttributeError) as error:
            raise TryLater("Kustomer's answer held no tokens.") from error
        until = self._clock.now() + timedelta(seconds=max(0, min(lasts, 86400) - 30))
        return {"access": access, "refresh": again, "until": until.isoformat()}

    def _current(self, access: str) -> str:
        user_id = self._client.get("/v1/users/current", token=access).get("id")
        if not isinstance(user_id, str) or not ID.fullmatch(user_id):
            raise Refused(400, "users/current has no id")
        return user_id

    def _seal(self, tokens: dict[str, str]) -> bytes:
        return self._box.encrypt(json.dumps(tokens).encode())

    def _open(self, sealed: bytes) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._box.decrypt(sealed))
        return found

    def _seconds(self) -> int:
        return int(self._clock.now().timestamp())
