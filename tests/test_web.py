"""The HTTP door: who may come in, what it answers, and Shopify's webhooks."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from plugin.web import create_web
from tests.world import BASE, DOMAIN, REFUND, SECRET, World

ADA = {"id": "9001", "email": "ada@example.com", "name": "Ada Fairweather"}
BILAL = {"id": "9002", "email": "bilal@example.com", "name": "Bilal Okafor"}
ORDER = f"/stores/{DOMAIN}/orders/{BASE + 1001}"


@pytest.fixture
def client(shop: World) -> FlaskClient:
    return create_web(shop.app).test_client()


def token(secret: str = SECRET, groups: tuple[str, ...] | None = ("Support leads",), **claims: Any) -> str:
    now = datetime.now(UTC)
    full = {
        "iss": "desk", "aud": "order-actions", "sub": "ana", "name": "Ana", "groups": groups, "customer": ADA,
        "iat": now, "exp": now + timedelta(seconds=60), "jti": uuid4().hex, **claims,
    }  # fmt: skip
    return jwt.encode({key: value for key, value in full.items() if value is not None}, secret, algorithm="HS256")


def signed_in(client: FlaskClient, **claims: Any) -> dict[str, str]:
    answer = client.post("/session", headers={"Authorization": f"Bearer {token(**claims)}"})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json['session']}"}  # type: ignore[index]


# ---------------------------------------------------------------- who may come in


@pytest.mark.parametrize(
    "claims",
    [
        {"secret": "another secret that is long enough"}, {"aud": "else"}, {"iss": "else"}, {"jti": None},
        {"exp": None}, {"exp": datetime(2020, 1, 1, tzinfo=UTC)}, {"customer": None}, {"customer": "ada"},
        {"groups": None},
    ],
)  # fmt: skip
def test_a_token_that_is_not_the_crms_opens_nothing(client: FlaskClient, claims: dict[str, Any]) -> None:
    answer = client.post("/session", headers={"Authorization": f"Bearer {token(**claims)}"})
    assert (answer.status_code, answer.json) == (
        401, {"message": "The CRM's token was not accepted. Reload the page."},
    )  # fmt: skip


def test_a_token_without_signature_opens_nothing(client: FlaskClient) -> None:
    unsigned = jwt.encode({"sub": "ana"}, "", algorithm="none")
    assert client.post("/session", headers={"Authorization": f"Bearer {unsigned}"}).status_code == 401


def test_an_agent_without_a_mapped_role_group_gets_no_session(client: FlaskClient) -> None:
    answer = client.post("/session", headers={"Authorization": f"Bearer {token(groups=('Sales',))}"})
    assert answer.status_code == 403


def test_the_session_of_a_timeline_entry_starts_at_its_order(client: FlaskClient) -> None:
    order = {"store": DOMAIN, "id": str(BASE + 1001)}
    answer = client.post("/session", headers={"Authorization": f"Bearer {token(order=order)}"})
    assert answer.json is not None
    assert answer.json["start_url"] == ORDER
    headers = {"Authorization": f"Bearer {answer.json['session']}"}
    assert "Update Order" in client.get(ORDER, headers=headers).text


# ---------------------------------------------------------------- what it answers


def test_a_refund_over_http(client: FlaskClient, shop: World) -> None:
    headers = signed_in(client)
    assert "#1001" in client.get("/orders?q=1001", headers=headers).text
    assert "Update Order" in client.get(ORDER, headers=headers).text
    form = client.get(f"{ORDER}/actions/{REFUND}", headers=headers).text
    line = f"lines[gid://shopify/LineItem/{BASE + 1001}001]"
    assert line in form
    posted = {line: "1", "restock": "true", "token": token_in(form)}
    preview = client.post(f"{ORDER}/actions/{REFUND}/preview", data=posted, headers=headers)
    assert "Refund $25.00" in preview.text
    done = client.post(f"{ORDER}/actions/{REFUND}", data={**posted, "token": token_in(preview.text)}, headers=headers)
    assert (done.status_code, "Refunded $25.00 on #1001." in done.text) == (200, True)
    assert len(shop.ledger(1001)["refunds"]) == 1
    assert shop.notified(1001) == [False], "a box that is not ticked is not sent, and means no"


def token_in(html: str) -> str:
    return html.split('name="token"')[1].split('value="')[1].split('"')[0]


def test_a_name_sent_twice_is_refused(client: FlaskClient) -> None:
    headers = {**signed_in(client), "Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post(f"{ORDER}/actions/{REFUND}", data="notify=true&notify=false&token=x", headers=headers)
    assert (answer.status_code, "twice" in answer.text) == (409, True)


def test_a_forged_form_token_does_nothing(client: FlaskClient, shop: World) -> None:
    forged = jwt.encode({"aud": "form", "sub": "ana", "exp": 9999999999, "data": {}}, SECRET, algorithm="HS256")
    answer = client.post(f"{ORDER}/actions/{REFUND}", data={"token": forged}, headers=signed_in(client))
    assert (answer.status_code, "open it again" in answer.text) == (409, True)
    assert "refundCreate" not in shop.sent()


def test_the_shell_may_be_framed_by_the_desk_alone_and_runs_one_script(client: FlaskClient) -> None:
    answer = client.get("/card")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["frame-ancestors"] == "http://desk.test"
    assert policy["default-src"] == "'none'"
    assert policy["script-src"].startswith("'nonce-")
    assert answer.text.count("<script") == 1
    assert "frame-ancestors 'none'" in client.get("/healthz").headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/static/../plugin.yaml", "/static/shell.html", "/nothing", f"{ORDER}x"])
def test_what_is_not_there_is_not_found(client: FlaskClient, path: str) -> None:
    assert client.get(path, headers=signed_in(client)).status_code == 404


def test_hostile_text_is_shown_and_never_markup(client: FlaskClient, shop: World) -> None:
    customer = {"id": "9007", "email": shop.ledger(1030)["email"], "name": "<script>alert(1)</script>"}
    html = client.get(f"/stores/{DOMAIN}/orders/{BASE + 1030}", headers=signed_in(client, customer=customer)).text
    assert "<script" not in html
    assert "{{7*7}}" in html


# ---------------------------------------------------------------- webhooks


def webhook(
    client: FlaskClient, payload: Mapping[str, Any], secret: str = "hook", topic: str = "orders/updated", id: str = "1"
) -> TestResponse:
    body = json.dumps(payload).encode()
    signature = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    headers = {
        "X-Shopify-Hmac-Sha256": signature, "X-Shopify-Topic": topic, "X-Shopify-Shop-Domain": DOMAIN,
        "X-Shopify-Webhook-Id": id, "Content-Type": "application/json",
    }  # fmt: skip
    return client.post("/webhooks/shopify", data=body, headers=headers)


def payload(number: int, email: str, updated: str = "2030-01-01T00:00:00Z") -> dict[str, Any]:
    money = {"presentment_money": {"amount": "12.00", "currency_code": "USD"}}
    return {
        "id": BASE + number, "name": f"#{number}", "email": email, "created_at": "2026-01-01T00:00:00Z",
        "updated_at": updated, "cancelled_at": None, "financial_status": "paid", "fulfillment_status": None,
        "total_price_set": money,
    }  # fmt: skip


def test_a_webhook_with_a_wrong_signature_is_refused(client: FlaskClient, shop: World) -> None:
    assert webhook(client, payload(1001, "ada@example.com"), secret="wrong").status_code == 401
    assert shop.tools.orders.order(shop.place(1001)) is None


def test_a_webhook_is_recorded_without_calling_shopify(client: FlaskClient, shop: World) -> None:
    shop.forget_calls()
    assert webhook(client, payload(1001, "ada@example.com")).status_code == 200
    assert webhook(client, payload(1001, "else@example.com"), id="1").status_code == 200
    row = shop.tools.orders.order(shop.place(1001))
    assert row is not None
    assert row.header is not None
    assert row.header["total"] == {"amount": "12.00", "currencyCode": "USD"}
    assert shop.tools.orders.owns(row, shop.customer(1001)), "a delivery seen before changes nothing"
    assert shop.calls() == 0


def test_a_webhook_wakes_the_run_of_its_order(client: FlaskClient, shop: World) -> None:
    shop.rows(1001)
    view = shop.preview(1001, REFUND, shop.open(1001, REFUND), lines=["1", "0"])
    shop.fault("502-after", on="refundCreate")
    shop.submit(1001, REFUND, view)
    run, now = shop.tools.runs.runs_of(shop.place(1001))[0], datetime.now(UTC)
    shop.tools.runs.look_later(run.id, now, now + timedelta(minutes=15))
    assert shop.tools.runs.due_runs(datetime.now(UTC)) == []
    assert webhook(client, payload(1001, "ada@example.com")).status_code == 200
    assert [one.id for one in shop.tools.runs.due_runs(datetime.now(UTC))] == [run.id]


@pytest.mark.parametrize("body", [{}, [], {"id": 1}])
def test_a_webhook_that_is_no_order_is_told_so(client: FlaskClient, body: Any) -> None:
    assert webhook(client, body).status_code == 400


def test_an_update_brings_the_actions_of_a_legacy_order_back(client: FlaskClient, shop: World) -> None:
    from plugin.legacy import import_legacy

    email = shop.ledger(1029)["email"]
    row = {"id": BASE + 1029, "name": "#1029", "created_at": "2026-01-01T00:00:00Z",
           "updated_at": "2026-01-01T00:00:00Z", "email": email}  # fmt: skip
    import_legacy(shop.tools, DOMAIN, json.dumps(row), "old.json")
    view = shop.order(1029)
    assert (view.card, view.context["action"]["url"]) == (
        "message", f"https://admin.shopify.com/store/sandbox/orders/{BASE + 1029}",
    )  # fmt: skip
    webhook(client, payload(1029, email))
    assert shop.order(1029).context["may_act"] is True


def test_a_webhook_makes_the_snapshot_old(client: FlaskClient, shop: World) -> None:
    shop.order(1001)
    shop.forget_calls()
    shop.order(1001)
    assert shop.calls() == 0
    webhook(client, payload(1001, "ada@example.com"))
    shop.order(1001)
    assert shop.calls() == 1
