"""What agents, Shopify and people in Shopify's own admin do, over HTTP; whoever finds nobody there has done nothing."""

import json
import random
import time
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import jwt
import requests

from plugin.sandbox.store.webhooks import signature
from tests.world import BASE, DOMAIN, REFUND, SECRET

ORDER = 1001
OF_ORDER = f"stores/{DOMAIN}/orders/{BASE + ORDER}"
HANDS = "by hand"
NOBODY = (requests.RequestException, KeyError)  # nobody answers, or says that it cannot now


def press(url: str, action: str) -> str:
    """Look at the orders, open the form, look at the preview, send it; what the card shows, or nothing."""
    line = {f"lines[gid://shopify/LineItem/{BASE + ORDER}001]": "1"} if action == REFUND else {}
    try:
        agent = _signed_in(url)
        requests.get(f"{url}/orders", headers=agent, timeout=20)
        return _sent(f"{url}/{OF_ORDER}/actions/{action}", agent, line)
    except NOBODY:
        return ""


def decide(url: str, run: str, how: str) -> str:
    """The same for a person's decision about a run."""
    try:
        typed = {"how": how, "reason": "looked in Shopify"}
        return _sent(f"{url}/{OF_ORDER}/runs/{run}/review", _signed_in(url), typed)
    except NOBODY:
        return ""


def _signed_in(url: str) -> dict[str, str]:
    now = int(time.time())
    claims = {
        "iss": "desk", "aud": "order-actions", "sub": "ana", "jti": str(random.random()), "iat": now, "exp": now + 60,
        "name": "Ana", "groups": ["Support leads"], "customer": {"id": "c", "email": "ada@example.com", "name": "Ada"},
    }  # fmt: skip
    token = jwt.encode(claims, SECRET, algorithm="HS256")
    answer = requests.post(f"{url}/session", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    return {"Authorization": f"Bearer {answer.json()['session']}"}


def _sent(url: str, agent: Mapping[str, str], typed: Mapping[str, str]) -> str:
    form = posted_by(requests.get(url, headers=agent, timeout=10).text) | typed
    form = posted_by(requests.post(f"{url}/preview", data=form, headers=agent, timeout=10).text) | typed
    return requests.post(url, data=form, headers=agent, timeout=20).text


def deliver(url: str, topic: str, payload: Mapping[str, Any]) -> bool:
    """One webhook of Shopify, which sends it again until this is true."""
    body = json.dumps(payload).encode()
    headers = {
        "X-Shopify-Hmac-Sha256": signature("hook", body), "X-Shopify-Topic": topic, "X-Shopify-Shop-Domain": DOMAIN,
        "X-Shopify-Webhook-Id": topic,
    }  # fmt: skip
    try:
        return requests.post(f"{url}/webhooks/shopify", data=body, headers=headers, timeout=10).status_code == 200
    except NOBODY:
        return False


class _Form(HTMLParser):
    """The named controls of a form as a browser would send them."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name"), given.get("value") or ""
        if tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.sent):
            self.sent[self._select] = value
        elif tag in ("input", "textarea") and name:
            ticks = given.get("type") in ("checkbox", "radio")
            if not ticks or "checked" in given:
                self.sent[name] = value


def posted_by(html: str) -> dict[str, str]:
    form = _Form()
    form.feed(html)
    return form.sent
