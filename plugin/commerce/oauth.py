"""Shopify's OAuth: the way to its permission page, the signed way back, and its token endpoint.

Rules: shopify.dev/docs/apps/build/authentication-authorization (facts/shopify.md §6), vectors/oauth_hmac.json.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

from plugin.errors import FixTheSetup, SignInAgain, TryLater
from plugin.shapes import Grant
from plugin.wire import FAULTS, ask

REFUSED = (
    "Shopify refused to give a token (HTTP {status}). Compare ORDER_ACTIONS_SHOPIFY_CLIENT_ID and "
    "ORDER_ACTIONS_SHOPIFY_CLIENT_SECRETS (the first of them) with the app's page in Shopify, then connect again."
)
SHOP = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.myshopify\.com")
WINDOW = 90  # seconds a callback's timestamp may be off
READ = 15.0
_STAMP = re.compile(r"[0-9]{1,12}")
_ONCE = ("hmac", "shop", "state", "code", "timestamp")
_REFUSED = "Shopify's answer to the installation was not accepted. Start again with `order-actions stores add`."


@dataclass(frozen=True)
class ShopifyApp:
    """The app as Shopify knows it; the newest secret first, an old one while rotating."""

    id: str
    secrets: tuple[str, ...]


@dataclass(frozen=True)
class Callback:
    shop: str
    code: str
    state: str


def shop_domain(text: str) -> str:
    """The store's domain exactly as it is written; nothing is repaired. Raises FixTheSetup."""
    if not SHOP.fullmatch(text):
        raise FixTheSetup(f"{text!r} is not a store's domain; write it like my-shop.myshopify.com")
    return text


def authorize_url(base: str, client_id: str, scopes: Sequence[str], redirect: str, state: str) -> str:
    """Where the admin's browser goes to be asked; `base` is `https://` and the checked domain."""
    query = {"client_id": client_id, "scope": ",".join(scopes), "redirect_uri": redirect, "state": state}
    return f"{base}/admin/oauth/authorize?{urlencode(query)}"


def read_callback(raw_query: str, secrets: Sequence[str], now: datetime) -> Callback:
    """What Shopify's signed redirect says: HMAC over the raw query, one of each parameter, a fresh timestamp.

    Raises SignInAgain.
    """
    pairs = [pair for pair in raw_query.split("&") if pair]
    given = parse_qsl(raw_query, keep_blank_values=True, errors="replace")
    values = dict(given)
    names = [name for name, _ in given]
    if any(names.count(name) != 1 for name in _ONCE):
        raise SignInAgain(_REFUSED)
    signed = "&".join(sorted(pair for pair in pairs if not pair.startswith("hmac=")))
    signed_bytes = signed.encode("utf-8", "replace")
    good = [hmac.new(one.encode(), signed_bytes, hashlib.sha256).hexdigest() for one in secrets if one]
    told = values["hmac"].encode("utf-8", "replace")
    if not any(hmac.compare_digest(one.encode(), told) for one in good):
        raise SignInAgain(_REFUSED)
    stamp = values["timestamp"]
    fresh = _STAMP.fullmatch(stamp) and abs(now.timestamp() - int(stamp)) <= WINDOW
    if not fresh or not SHOP.fullmatch(values["shop"]) or not values["code"]:
        raise SignInAgain(_REFUSED)
    return Callback(values["shop"], values["code"], values["state"])


# ---------------------------------------------------------------- the token endpoint


def exchange(base: str, client: ShopifyApp, code: str, now: datetime) -> Grant:
    """The first tokens of a store, expiring ones. Raises FixTheSetup, TryLater."""
    return _ask(base, client, {"code": code, "expiring": "1"}, now)


def renew(base: str, client: ShopifyApp, refresh_token: str, now: datetime) -> Grant:
    """New tokens; the refresh token is used up once the new one was used. Raises FixTheSetup, TryLater."""
    return _ask(base, client, {"grant_type": "refresh_token", "refresh_token": refresh_token}, now)


def own(base: str, client: ShopifyApp, now: datetime) -> Grant:
    """A token for an app of the store's own organisation: 24 hours, no refresh token. Raises as above."""
    return _ask(base, client, {"grant_type": "client_credentials"}, now)


def _ask(base: str, client: ShopifyApp, words: Mapping[str, str], now: datetime) -> Grant:
    form = {"client_id": client.id, "client_secret": client.secrets[0], **words}
    try:
        answer, body = ask(
            "POST", f"{base}/admin/oauth/access_token", data=form, headers={"Accept": "application/json"}, read=READ
        )
    except FAULTS as error:
        raise TryLater("Shopify's token endpoint does not answer. Try again in a minute.") from error
    status = answer.status_code
    if status in (400, 401, 403):
        raise FixTheSetup(REFUSED.format(status=status))
    if status != 200:
        raise TryLater(f"Shopify's token endpoint answered HTTP {status}. Try again in a minute.")
    try:
        return _grant(json.loads(body), now)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise TryLater("Shopify's token endpoint gave an answer of another shape.") from error


def _grant(data: Mapping[str, Any], now: datetime) -> Grant:
    access, refresh = data["access_token"], data.get("refresh_token")
    if not isinstance(access, str) or not access or not isinstance(refresh, str | None):
        raise ValueError("no token")
    scopes = frozenset(part for part in str(data["scope"]).split(",") if part)
    return Grant(access, scopes, _until(data.get("expires_in"), now), refresh or None,
                 _until(data.get("refresh_token_expires_in"), now))  # fmt: skip


def _until(seconds: Any, now: datetime) -> datetime | None:
    return None if seconds is None else now + timedelta(seconds=int(seconds))
