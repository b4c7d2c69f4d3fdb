"""Fifty secrets and personal values go through the flows that carry them; none stays in clear where it should not."""

import base64
import hashlib
import hmac
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from sqlalchemy import create_engine, insert, inspect, text

from plugin import metrics
from plugin.app import Config, plug
from plugin.runtime import carry_out
from plugin.sandbox import kustomer
from plugin.sandbox import store as sandbox
from plugin.sandbox.store.orders import Address, Order
from plugin.shapes import Identity, StepState
from plugin.stores.database import open_database
from plugin.stores.tables import crm_grants, used_once
from plugin.sync import deliver_notes, deliver_orders
from plugin.web import create_web
from tests.proofs.hands import posted_by
from tests.shared import ROOT
from tests.test_hosts import SECRET as COMMAND_SECRET
from tests.test_hosts import shown
from tests.test_kustomer import PUBLIC, in_kustomer
from tests.test_logs import out  # noqa: F401 - a fixture
from tests.test_store_setup import announced, installed
from tests.test_web import ORDER
from tests.test_web import token as crm_token
from tests.world import BASE, CANCEL, DOMAIN, REFUND, World, _bundle, let_in, with_settings

SECRETS = {
    "secret of the installation": "canary-installation-secret-0123456789abcdef",
    "store's access token": "shpat_canary0123456789abcdef0123456789",
    "app secret": "canary-app-secret-new", "older app secret": "canary-app-secret-old",
    "older secret of it": "canary-older-installation-secret-0123456789",
    "access token of another store": "shpca_canary9876543210", "secret of its own app": "canary-own-app-secret",
    "secret of the CRM": "canary-crm-secret-0123456789abcdef0123456789", "metrics token": "canary-metrics-token-0123",
    "notes token": "canary-notes-token", "notes password": "canary-notes-password",
    "Kustomer's command secret": COMMAND_SECRET, "Kustomer's client secret": "client secret",
    "a token that is wrong": "canary.wrong.token", "a code of a stranger": "canary-stranger-code",
    "a state of a stranger": "canary-stranger-state", "a handle of a stranger": "canary-stranger-handle",
    "a password in an address": "canary-url-password", "a forged form token": "canary.form.token",
}  # fmt: skip
PERSONAL = {
    "e-mail": "penelope.canary@example.com", "customer's name": "Penelope Canaryfield",
    "name on the address": "P. C. Addressee",
    "street": "47 Canary Lane", "town": "Canaryham", "postcode": "CN4 7RY",
    "order note": "canary: leave it with Mrs Nextdoor",
    "order attribute": "canary-attribute-key", "value of it": "canary-attribute-value",
    "engraving": "For my canary Tweety",
    "tag": "canary-vip-tag", "card digits": "8391-canary-card",
    "reason of a refund": "she moved to 9 Hidden Canary Close",
    "staff note of a cancel": "her mother called: 0161 555 canary",
    "reason of a decision": "spoke with Mr Canaryson on the phone",
    "note of a foreign refund": "paid Penelope C. by hand", "search words": "canary-search-words",
    "address of a browser": "203.0.113.199",
    "browser": "CanaryBrowser/1.0", "e-mail in a webhook": "webhook.canary@example.com", "phone": "+44 161 555 0199",
    "first name": "Canarina", "last name": "Webhookson", "billing street": "12 Billing Canary Street",
    "company": "Canary Ltd",
    "browser's address in a webhook": "198.51.100.177", "card number in a webhook": "XXXX-XXXX-XXXX-7730",
    "shop note": "canary webhook note",
    "customer in Kustomer": "kim.canary@example.com", "name in Kustomer": "Kim Canarykin",
}  # fmt: skip
# What the database holds in clear, and why: who did what to which order is the record that an installation keeps.
KEPT = {
    "agent's id": "agent-kept-1", "agent's name": "Agatha Keptname", "customer's id in the CRM": "customer-kept-1",
    "conversation's id": "conversation-kept-1", "number of the order": "#1001",
}  # fmt: skip
LOGGED = ("agent's id",)  # who acted, by id alone


class Broken:
    """A CRM whose code fails with everything in its mouth."""

    def identify(self, token: str, count: Any = None) -> Identity:
        raise RuntimeError(f"{token} {SECRETS} {PERSONAL}")


@dataclass
class Planted:
    """What the flows left behind: made-up values are joined by those that the flows make themselves."""

    shop: World
    client: FlaskClient
    values: dict[str, str] = field(default_factory=lambda: {**SECRETS, **PERSONAL})
    pages: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, client: FlaskClient | None = None, **more: Any) -> str:
        """Error pages are kept; a form that comes back (422) is its agent's own."""
        headers = {**more.pop("headers", {}), "X-Forwarded-For": PERSONAL["address of a browser"],
                   "User-Agent": PERSONAL["browser"]}  # fmt: skip
        answer = (client or self.client).open(path, method=method, headers=headers, **more)
        if answer.status_code >= 400 and answer.status_code != 422:
            self.pages.append(answer.text)
        return answer.text

    def press(self, path: str, headers: dict[str, str], **typed: str) -> str:
        """Open, preview, send; the form's token is one of the values."""
        opened = posted_by(self.ask("GET", path, headers=headers)) | typed
        shown = self.ask("POST", f"{path}/preview", headers=headers, data=opened)
        form = posted_by(shown) | typed
        self.values[f"form token {path}"] = form["token"]
        return self.ask("POST", path, headers=headers, data=form)


def _personal(order: Order) -> Order:
    told = PERSONAL
    place = Address(told["name on the address"], told["street"], told["town"], told["postcode"])
    return replace(
        order, email=told["e-mail"], note=told["order note"], tags=(told["tag"],), address=place,
        notes=((told["order attribute"], told["value of it"]),),
        lines=tuple(replace(one, notes=(("Engraving", told["engraving"]),)) for one in order.lines),
        payments=tuple(replace(one, account=f"•••• •••• •••• {told['card digits']}") for one in order.payments),
    )  # fmt: skip


@pytest.fixture
def planted(database: str) -> Iterator[Planted]:
    token = SECRETS["store's access token"]
    served = sandbox.serve(0, token=token, schema_path=ROOT / "schemas/shopify-2026-10.graphql", cancel_delay=0.2,
                           app=sandbox.App("client", SECRETS["app secret"]))  # fmt: skip
    config = Config(
        secrets=(SECRETS["secret of the installation"], SECRETS["older secret of it"]), database=database,
        client_id="client", client_secrets=(SECRETS["app secret"], SECRETS["older app secret"]),
        host_secret=SECRETS["secret of the CRM"], host_issuer="desk", host_origins=("http://desk.test",),
        notes_url=f"http://user:{SECRETS['notes password']}@127.0.0.1:9/notes", notes_token=SECRETS["notes token"],
        public_url="http://127.0.0.1:9", sandbox_store=f"http://127.0.0.1:{served.server.server_port}",
        metrics_token=SECRETS["metrics token"],
    )  # fmt: skip
    app = plug(config, ROOT, _bundle())
    let_in(app, "Sandbox", token=token)
    other = SECRETS["access token of another store"], [SECRETS["secret of its own app"]]
    let_in(app, "Other", "other.myshopify.com", *other)
    with served.world.store.lock:
        for number in (1001, 1002, 1003):
            orders = served.world.store.orders
            orders[BASE + number] = _personal(orders[BASE + number])
    shop = World(app, str(config.sandbox_store), served)
    yield Planted(shop, create_web(app).test_client())
    served.close()
    app.close()


def _session(it: Planted) -> dict[str, str]:
    signed = crm_token(
        SECRETS["secret of the CRM"], sub=KEPT["agent's id"], name=KEPT["agent's name"],
        conversation=KEPT["conversation's id"],
        customer={"id": KEPT["customer's id in the CRM"], "email": PERSONAL["e-mail"],
        "name": PERSONAL["customer's name"]},
    )  # fmt: skip
    session = json.loads(it.ask("POST", "/session", headers={"Authorization": f"Bearer {signed}"}))["session"]
    it.values |= {"token of the CRM": signed, "session token": session}
    return {"Authorization": f"Bearer {session}"}


def connect_the_store(it: Planted) -> None:
    """By OAuth, in the browser of an admin."""
    announced(it.shop)
    assert "is connected" in installed(it.shop, it.client).text
    it.ask("GET", f"/shopify/callback?shop={DOMAIN}&code={SECRETS['a code of a stranger']}&hmac=0&timestamp=1&state=x")
    row = it.shop.app.connections.get(DOMAIN)
    assert row is not None and row.grant is not None and row.grant.refresh_token is not None
    it.values |= {"OAuth access token": row.grant.access_token, "OAuth refresh token": row.grant.refresh_token}


def refund_cancel_and_decide(it: Planted) -> None:
    headers, line = _session(it), f"lines[gid://shopify/LineItem/{BASE + 1001}001]"
    it.ask("GET", f"/orders?q={PERSONAL['search words']}", headers=headers)
    assert PERSONAL["card digits"] in it.ask("GET", ORDER, headers=headers), "what the card shows is read and kept"
    reason = {"reason": PERSONAL["reason of a refund"]}
    assert "Refunded" in it.press(f"{ORDER}/actions/{REFUND}", headers, **{line: "1"}, **reason)
    other = ORDER.replace("1001", "1002")
    note = {"reason": "CUSTOMER", "staff_note": PERSONAL["staff note of a cancel"]}
    assert "cancelled" in it.press(f"{other}/actions/{CANCEL}", headers, **note)
    third = ORDER.replace("1001", "1003")
    it.shop.fault("502-before", on="refundCreate")
    it.press(f"{third}/actions/{REFUND}", headers, **{line.replace("1001", "1003"): "1"}, **reason)
    run = it.shop.tools.runs.runs_of(it.shop.place(1003))[0]
    it.shop.in_admin(1003, "refund", amount="1.00", note=PERSONAL["note of a foreign refund"])
    assert carry_out(it.shop.tools, run.id, 0.0).steps[0].state is StepState.REVIEW
    with_settings(it.shop, settle_time=0)
    review = f"{third}/runs/{run.id}/review"
    it.press(review, headers, how="not-done", reason=PERSONAL["reason of a decision"])
    assert not it.shop.tools.runs.runs_of(it.shop.place(1003))[0].open
    it.ask("POST", f"{ORDER}/actions/{REFUND}", headers=headers, data={"token": SECRETS["a forged form token"]})
    deliver_notes(it.shop.tools)


def webhooks(it: Planted) -> None:
    told = PERSONAL
    money = {"presentment_money": {"amount": "12.00", "currency_code": "USD"}}
    who = {"first_name": told["first name"], "last_name": told["last name"], "phone": told["phone"]}
    payload = {
        "id": BASE + 1004, "name": "#1004", "email": told["e-mail in a webhook"], "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2030-01-01T00:00:00Z", "financial_status": "paid", "fulfillment_status": None,
        "total_price_set": money,
        "note": told["shop note"], "browser_ip": told["browser's address in a webhook"], "customer": who,
        "cancelled_at": None,
        "billing_address": {**who, "address1": told["billing street"], "company": told["company"]},
        "payment_details": {"credit_card_number": told["card number in a webhook"]},
    }  # fmt: skip
    for body in (json.dumps(payload).encode(), json.dumps([payload]).encode()):
        for secret in (SECRETS["older app secret"], SECRETS["a token that is wrong"]):
            signature = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
            it.values[f"signature {len(it.values)}"] = signature
            it.ask("POST", "/webhooks/shopify", data=body, headers={
                "X-Shopify-Hmac-Sha256": signature, "X-Shopify-Topic": "orders/updated",
                "X-Shopify-Shop-Domain": DOMAIN,
                "X-Shopify-Webhook-Id": signature[:9],
            })  # fmt: skip


def connect_to_kustomer(it: Planted) -> None:
    crm = kustomer.serve()
    crm.state.customers["c-kim"] = {
        "displayName": PERSONAL["name in Kustomer"],
        "emails": [{"email": PERSONAL["customer in Kustomer"], "verified": True}],
    }  # fmt: skip
    crm.state.conversations["t-kim"], crm.state.signed_in = "c-kim", "u-sam"
    app = in_kustomer(it.shop, crm)
    client = create_web(app).test_client()
    away = client.get("/kustomer/connect")
    back = requests.get(away.headers["Location"], allow_redirects=False, timeout=10).headers["Location"]
    page = it.ask("GET", back.removeprefix(PUBLIC), client)
    handle = re.search(r'data-handle="([^"]+)"', page)
    assert handle is not None
    code, state = re.findall(r"(?:code|state)=([^&]+)", back)
    it.values |= {
        "handle": handle[1], "code": code, "state": state,
        "cookie": away.headers["Set-Cookie"].split("=")[1].split(";")[0],
        "Kustomer's key": crm.state.key, "Kustomer's access token": next(iter(crm.state.access)),
        "Kustomer's refresh token": next(iter(crm.state.refresh)),
    }  # fmt: skip
    it.ask("GET",
    f"/kustomer/callback?state={SECRETS['a state of a stranger']}&code={SECRETS['a code of a stranger']}", client)
    opened = {"Authorization": f"Bearer {shown('c-kim', conversation='t-kim', handle=handle[1])}"}
    session = json.loads(it.ask("POST", "/session", client, headers=opened))["session"]
    it.values["session token in Kustomer"] = session
    it.ask("GET", "/orders", client, headers={"Authorization": f"Bearer {session}"})
    stranger = shown("c-kim", handle=SECRETS["a handle of a stranger"])
    it.ask("POST", "/session", client, headers={"Authorization": f"Bearer {stranger}"})
    org = {"Authorization": f"Bearer {COMMAND_SECRET}", "X-Kustomer-Org-Id": kustomer.state.ORG_ID,
    "X-Kustomer-User-Id": "u-sam"}
    it.values["ticket"] = json.loads(it.ask("POST", "/kustomer/commands/open", client, headers=org, json={}))["ticket"]
    crm.state.faults[:] = ["outage"]
    deliver_orders(app.tools)
    deliver_notes(app.tools)
    crm.close()
    app.close()


def fail_with_everything(it: Planted) -> None:
    broken = create_web(replace(it.shop.app,
    tools=replace(it.shop.tools, host=Broken()))).test_client()  # type: ignore[arg-type]
    it.ask("POST", "/session", broken, headers={"Authorization": f"Bearer {SECRETS['a token that is wrong']}"})
    it.ask("GET", "/metrics", headers={"Authorization": f"Bearer {SECRETS['metrics token']}x"})
    it.ask("GET",
    f"/stores/{PERSONAL['e-mail']}/orders/1?q={PERSONAL['phone']}&p={SECRETS['a password in an address']}",
           headers=_session(it))  # fmt: skip


def everything_in(database: str) -> str:
    """Every value of every table, and the very bytes of SQLite's files."""
    engine = create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as tx:
        rows = [row for name in inspect(tx).get_table_names() for row in tx.execute(text(f'select * from "{name}"'))]
    engine.dispose()
    told = "\n".join(_plain(value) for row in rows for value in row)
    folder = Path(database.removeprefix("sqlite:///")).parent if database.startswith("sqlite") else None
    return told + "".join(one.read_bytes().decode("latin-1") for one in folder.glob("*.sqlite*")) if folder else told


def _plain(value: Any) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


def test_of_fifty_secrets_and_personal_values_none_stays_in_clear(
    planted: Planted, database: str, out: io.StringIO  # noqa: F811
) -> None:  # fmt: skip
    for flow in (connect_the_store, refund_cancel_and_decide, webhooks, connect_to_kustomer, fail_with_everything):
        flow(planted)
    assert len(planted.values) >= 50
    tools = planted.shop.tools
    places = {
        "log": out.getvalue(),
        "figures": metrics.exposed(tools.watch.figures(tools.clock.now())).decode(),
        "error pages": "\n".join(planted.pages),
        "database": everything_in(database),
    }
    for word in ("request.failed", "run.closed", "webhook.taken", "webhook.refused", "note.late"):
        assert f'"{word}"' in places["log"], "the flows came so far"
    assert "before you repeat anything" in places["error pages"]
    found = [(name, where) for where, told in places.items() for name, value in planted.values.items() if value in told]
    assert found == []
    assert [name for name, value in KEPT.items() if value not in places["database"]] == [], "what is kept is kept"
    told = places["log"] + places["figures"] + places["error pages"]
    assert [name for name, value in KEPT.items() if value in told] == list(LOGGED)


def test_the_search_finds_what_is_there(database: str) -> None:
    engine = open_database(database)
    with engine.begin() as tx:
        tx.execute(insert(used_once).values(kind=PERSONAL["phone"], value="x", until=datetime.now(UTC)))
        tx.execute(insert(crm_grants).values(handle_hash="x", user_id="x", sealed=b"canary",
        created_at=datetime.now(UTC)))
    engine.dispose()
    assert [one for one in (PERSONAL["phone"], "canary") if one not in everything_in(database)] == []
