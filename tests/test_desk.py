"""The sandbox desk: who may be vouched for, what the token says, and notes kept once."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from plugin.sandbox import desk

SECRET = "a secret the desk and the plugin share"
NOTE = {
    "external_id": "run-1",
    "customer_id": "9001",
    "order": "#1001",
    "author": {"id": "ana", "name": "Ana Ruiz"},
    "body": "Ana Ruiz refunded $5.00 on #1001.",
    "url": "https://admin.shopify.com/store/sandbox/orders/1001",
}
STORE = {
    "/_sandbox/customers": [
        {"id": "gid://shopify/Customer/9001", "name": "Ada <b>Fairweather</b>", "email": "Ada@example.com"},
        {"id": 9002, "name": "Bilal Okafor", "email": "bilal@example.com"},
    ],
    "/_sandbox/ledger": [
        {
            "id": "gid://shopify/Order/1001",
            "name": "#1001",
            "email": "ada@example.com",
            "items": 4,
            "price": "201.59",
            "currency": "USD",
            "refunded": "0.00",
            "cancelled_at": None,
            "financial_status": "PAID",
            "fulfillment_status": "UNFULFILLED",
        }
    ],
}


@pytest.fixture
def store_url() -> Iterator[str]:
    @Request.application
    def app(request: Request) -> Response:
        return Response(json.dumps(STORE[request.path]), content_type="application/json")

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def url(store_url: str) -> Iterator[str]:
    running = desk.serve(0, "http://127.0.0.1:1/card", SECRET, store_url, "notes token")
    yield running.url
    running.close()


def token_claims(url: str, **asked: str) -> dict[str, Any]:
    answer = requests.get(f"{url}/api/token", params=asked, timeout=10)
    claims: dict[str, Any] = jwt.decode(answer.json()["token"], SECRET, algorithms=["HS256"], audience="order-actions")
    return claims


def test_the_token_says_who_asks_about_whom(url: str) -> None:
    claims = token_claims(url, agent="ana", customer="9001")
    moments = {name: claims.pop(name) for name in ("iat", "exp", "jti")}
    assert moments["exp"] - moments["iat"] == 60
    assert claims == {
        "iss": "desk",
        "aud": "order-actions",
        "sub": "ana",
        "name": "Ana Ruiz",
        "groups": ["Support agents"],
        "customer": {"id": "9001", "email": "Ada@example.com", "phone": "", "name": "Ada <b>Fairweather</b>"},
        "conversation": "conversation-9001",
    }


def test_a_timeline_entry_adds_its_order_and_every_token_is_new(url: str) -> None:
    one, two = (token_claims(url, agent="sam", customer="9002", order="1001") for _ in range(2))
    assert one["order"] == {"store": "sandbox.myshopify.com", "id": "1001"}
    assert one["jti"] != two["jti"]


def test_each_agent_has_its_own_groups(url: str) -> None:
    groups = {name: token_claims(url, agent=name, customer="9001")["groups"] for name in ("sam", "rita", "nemo")}
    assert groups == {"sam": ["Support leads"], "rita": ["Shopify viewers"], "nemo": []}


@pytest.mark.parametrize("asked", [{"agent": "eve", "customer": "9001"}, {"agent": "ana", "customer": "1"}])
def test_nobody_else_is_vouched_for(url: str, asked: dict[str, str]) -> None:
    assert requests.get(f"{url}/api/token", params=asked, timeout=10).status_code == 404


def test_a_note_is_kept_once(url: str) -> None:
    headers = {"Authorization": "Bearer notes token"}
    answers = [
        requests.post(f"{url}/api/notes", json={**NOTE, "body": body}, headers=headers, timeout=10).status_code
        for body in (NOTE["body"], "the same run again")
    ]
    kept = requests.get(f"{url}/api/notes", params={"customer": "9001"}, timeout=10).json()
    others = requests.get(f"{url}/api/notes", params={"customer": "9002"}, timeout=10).json()
    assert (answers, [one["body"] for one in kept], others) == ([201, 200], [NOTE["body"]], [])


def test_a_note_needs_the_token_and_its_parts(url: str) -> None:
    wrong = requests.post(f"{url}/api/notes", json=NOTE, headers={"Authorization": "Bearer no"}, timeout=10)
    headers = {"Authorization": "Bearer notes token"}
    partial = {name: value for name, value in NOTE.items() if name != "body"}
    missing = requests.post(f"{url}/api/notes", json=partial, headers=headers, timeout=10)
    assert (wrong.status_code, missing.status_code) == (401, 400)
    assert missing.json() == {"message": "text is needed for body"}


def test_the_page_shows_the_timeline_and_escapes_names(url: str) -> None:
    page = requests.get(url, params={"customer": "9001", "agent": "rita"}, timeout=10)
    assert "Order #1001 (4 Items Ordered For $201.59)" in page.text
    assert "Ada &lt;b&gt;Fairweather&lt;/b&gt;" in page.text
    assert "frame-src http://127.0.0.1:1;" in page.headers["Content-Security-Policy"]


def test_a_silent_store_is_said_and_not_hidden() -> None:
    running = desk.serve(0, "http://127.0.0.1:1/card", SECRET, "http://127.0.0.1:1", "notes token")
    try:
        page = requests.get(running.url, timeout=10)
        token = requests.get(f"{running.url}/api/token", params={"agent": "ana", "customer": "1"}, timeout=10)
    finally:
        running.close()
    assert (page.status_code, "does not answer" in page.text, token.status_code) == (200, True, 503)
