"""Webhooks: verified, taken once, bound to ids in the body, and never a reason to ask Shopify."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from plugin import store_setup
from plugin.errors import NothingHere
from plugin.secrets import Keys
from plugin.web import create_web
from plugin.webhooks import EFFECTS
from tests.shared import vectors
from tests.world import BASE, DOMAIN, REFUND, World

GONE = {"id": 1, "name": "Sandbox", "domain": "shop.example.com", "myshopify_domain": DOMAIN}


@pytest.fixture
def client(shop: World) -> Client:
    return Client(create_web(shop.app))


def sign(body: bytes, secret: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def deliver(client: Client, topic: str, payload: Any, secret: str = "hook", id: str = "1", **more: str) -> TestResponse:
    body = json.dumps(payload).encode()
    headers = {
        "X-Shopify-Hmac-Sha256": sign(body, secret), "X-Shopify-Topic": topic, "X-Shopify-Shop-Domain": DOMAIN,
        "X-Shopify-Webhook-Id": id, **more,
    }  # fmt: skip
    return client.post("/webhooks/shopify", data=body, headers=headers)


# ---------------------------------------------------------------- signatures


def test_the_signatures_of_the_vectors_are_ours_too() -> None:
    found = vectors("webhook_hmac.json")
    wrong = [one["name"] for one in found["signatures"]
             if sign(base64.b64decode(one["body_base64"]), one["secret"]) != one["hmac_base64"]]  # fmt: skip
    wrong += [one["hmac_base64"] for one in found["fuzz_100"]
              if sign(one["payload"].encode(), one["secret"]) != one["hmac_base64"]]  # fmt: skip
    assert wrong == []


def test_every_request_of_the_vectors_gets_its_status(shop: World, client: Client) -> None:
    secret = "test_secret_key"
    store_setup.connect_token(shop.app, DOMAIN, "", "token", [secret])
    replayed = hmac.new(Keys([secret * 3]).key("session"), b"oauth-state-nonce", hashlib.sha256).digest()
    wrong = []
    for one in vectors("webhook_hmac.json")["requests"]:
        given = {name: base64.b64encode(replayed).decode() if value.startswith("<our") else value.rstrip("\n")
                 for name, value in one["headers"].items()}  # fmt: skip
        given = {name: DOMAIN if name.lower().endswith("shop-domain") else value for name, value in given.items()}
        body = base64.b64decode(one["body_base64"])
        answer = client.open("/webhooks/shopify", method=one.get("method", "POST"), data=body, headers=given)
        expected = one["expected_status"]
        if answer.status_code not in (expected if isinstance(expected, list) else [expected]):
            wrong.append((one["name"], answer.status_code, expected))
    assert wrong == []


def test_both_secrets_hold_while_one_is_rotated(shop: World, client: Client) -> None:
    from dataclasses import replace

    both = replace(shop.app, config=replace(shop.app.config, client_secrets=("new", "hook")))
    client = Client(create_web(both))
    payload = {"previous": [], "current": ["read_orders"]}
    answers = [deliver(client, "app/scopes_update", payload, secret, id=secret) for secret in ("hook", "new", "old")]
    assert [one.status_code for one in answers] == [200, 200, 401]


def test_a_store_with_an_app_of_its_own_has_a_secret_of_its_own(shop: World, client: Client) -> None:
    store_setup.connect_token(shop.app, DOMAIN, "", "token", ["its own"])
    assert deliver(client, "app/scopes_update", {"previous": [], "current": []}).status_code == 401
    assert deliver(client, "app/scopes_update", {"previous": [], "current": []}, "its own").status_code == 200


# ---------------------------------------------------------------- effects


@pytest.mark.parametrize("topic", ["refunds/create", "order_transactions/create"])
def test_a_refund_or_a_payment_makes_the_snapshot_old(shop: World, client: Client, topic: str) -> None:
    shop.order(1001)
    shop.forget_calls()
    assert deliver(client, topic, {"id": 5, "order_id": BASE + 1001}).text == "taken\n"
    assert shop.calls() == 0
    shop.order(1001)
    assert shop.calls() == 1


def test_an_edit_makes_the_snapshot_old(shop: World, client: Client) -> None:
    shop.order(1001)
    deliver(client, "orders/edited", {"order_edit": {"id": 5, "order_id": BASE + 1001}})
    shop.forget_calls()
    shop.order(1001)
    assert shop.calls() == 1


def test_an_uninstalled_store_is_closed_at_once(shop: World, client: Client) -> None:
    assert deliver(client, "app/uninstalled", GONE).text == "taken\n"
    row = shop.app.connections.get(DOMAIN)
    assert row is not None and (row.state, row.grant) == ("gone", None)
    with pytest.raises(NothingHere):
        shop.tools.commerce.read(DOMAIN, "{ shop { id } }", {})


def test_an_uninstall_told_late_does_not_close_a_store_connected_since(shop: World, client: Client) -> None:
    row = shop.app.connections.get(DOMAIN)
    assert row is not None and row.connected_at is not None
    before = (row.connected_at - timedelta(hours=1)).isoformat()
    deliver(client, "app/uninstalled", GONE, **{"X-Shopify-Triggered-At": before})
    row = shop.app.connections.get(DOMAIN)
    assert row is not None and row.state == "active"


def test_an_uninstall_is_heard_whatever_was_changed_since_the_store_was_connected(shop: World, client: Client) -> None:
    happened = shop.tools.clock.now()
    shop.app.connections.set_settings(DOMAIN, ["settle_time=60"])
    shop.app.connections.announce(DOMAIN, "Another name")
    shop.app.connections.set_scopes(DOMAIN, frozenset({"read_orders"}))
    row = shop.app.connections.get(DOMAIN)
    assert row is not None and row.grant is not None
    shop.app.connections.renew(row, row.grant)
    deliver(client, "app/uninstalled", GONE, **{"X-Shopify-Triggered-At": happened.isoformat()})
    after = shop.app.connections.get(DOMAIN)
    assert after is not None and after.state == "gone"


def test_scopes_taken_away_close_the_actions(shop: World, client: Client) -> None:
    deliver(client, "app/scopes_update", {"id": 1, "previous": ["write_orders"], "current": ["read_orders"]})
    shop.tools.commerce._access._known = None  # type: ignore[attr-defined]
    assert shop.button(1001, REFUND)[0] is False


def test_the_same_delivery_twice_has_one_effect(client: Client) -> None:
    payload = {"id": 5, "order_id": BASE + 1001}
    assert [deliver(client, "refunds/create", payload).text for _ in range(2)] == ["taken\n", "repeated\n"]


def test_an_order_of_megabytes_is_taken_and_one_without_bounds_is_not(client: Client) -> None:
    order = {"id": 5, "order_id": BASE + 1001, "more": "x" * 3_000_000}
    assert deliver(client, "refunds/create", order).text == "taken\n"
    assert deliver(client, "refunds/create", {**order, "more": "x" * 9_000_000}).status_code == 413


def test_what_we_did_not_ask_for_is_ignored(client: Client) -> None:
    assert deliver(client, "products/create", {}).text == "ignored\n"
    assert deliver(client, "orders/updated", {}, **{"X-Shopify-Shop-Domain": "other.myshopify.com"}).text == "ignored\n"


@pytest.mark.parametrize("topic", sorted(EFFECTS))
@pytest.mark.parametrize("body", [[], None, "text", {"order_id": "x"}])
def test_a_body_that_is_not_what_its_topic_says_is_told_so(client: Client, topic: str, body: Any) -> None:
    answer = deliver(client, topic, body)
    assert answer.status_code == 400


def test_a_signed_body_of_another_topic_or_store_closes_nothing(shop: World, client: Client) -> None:
    """Topic and store stand in headers, which nobody signs."""
    before = shop.app.connections.get(DOMAIN)
    order = {"id": BASE + 1001, "email": "ada@example.com", "shop_domain": DOMAIN}
    for topic in ("app/uninstalled", "app/scopes_update", "shop/redact"):
        for body in (order, {**GONE, "myshopify_domain": "other.myshopify.com"}):
            answer = deliver(client, topic, body, id=f"{topic} {len(body)}")
            assert (answer.status_code, topic) in ((400, topic), (200, "shop/redact"))
    assert shop.app.connections.get(DOMAIN) == before
