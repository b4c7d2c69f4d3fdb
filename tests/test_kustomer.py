"""The app definition, its registration, and an agent's way through Kustomer's card."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.serving import make_server

from plugin import crm_commands
from plugin.app import App, plug
from plugin.cli import cli
from plugin.crm_commands import connect
from plugin.errors import FixTheSetup
from plugin.hosts.kustomer.definition import APP
from plugin.sandbox import kustomer
from plugin.sandbox.kustomer.state import ORG_ID
from plugin.sync import deliver_notes, deliver_orders
from plugin.web import create_web
from tests.shared import ROOT
from tests.test_fleet import free_address
from tests.test_hosts import SECRET, shown
from tests.world import REFUND, World, _bundle

PUBLIC = "https://orders.example.test"


@pytest.fixture
def crm() -> Iterator[kustomer.Running]:
    running = kustomer.serve()
    yield running
    running.close()


def in_kustomer(shop: World, crm: kustomer.Running, public: str = PUBLIC) -> App:
    config = replace(
        shop.app.config, host_secret="", host_issuer="", host_origins=(), public_url=public, kustomer_org="acme",
        kustomer_key=crm.state.key, kustomer_client_id="client", kustomer_client_secret="client-secret",
        kustomer_command_secret=SECRET, kustomer_app=APP, sandbox_kustomer=crm.url,
    )  # fmt: skip
    return plug(config, ROOT, replace(_bundle(), host="kustomer"))


# ---------------------------------------------------------------- the definition


def test_the_definition_has_the_documented_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDER_ACTIONS_PUBLIC_URL", PUBLIC)
    made = json.loads(CliRunner().invoke(cli, ["export", "kustomer", "--bundle", str(ROOT)]).stdout)
    schema = json.loads((Path(__file__).parent / "app_definition.schema.json").read_text(encoding="utf-8"))
    assert [one.message for one in Draft202012Validator(schema).iter_errors(made)] == []
    labels = {key.rsplit(".", 1)[0].rsplit(".", 1)[1] for key in made["i18n"]["en_us"] if ".path." in key}
    assert labels == set(made["settings"]["default"])
    assert SECRET not in json.dumps(made)
    assert {(one["context"], one["resource"]) for one in made["kviews"]} == {
        ("smartbar-card", "customer"), ("expanded-timeline", "kobject.shopify-order"),
    }  # fmt: skip


def test_connecting_says_first_what_it_does_and_does_it_once(shop: World, crm: kustomer.Running) -> None:
    config = in_kustomer(shop, crm).config
    planned = [
        "Version 1.0.0: this app is not registered yet.",
        f"Register {APP} 1.0.0. A registered version is permanent.",
        "Create the klass shopify-order.", "Install 1.0.0 (now: none).",
    ]  # fmt: skip
    assert list(connect(ROOT, True, config)) == [*planned, "Nothing was done."]
    assert (crm.state.apps, crm.state.klasses, crm.state.installed) == ({}, {}, {})
    assert list(connect(ROOT, False, config)) == [*planned, f"Done: app {APP}_{ORG_ID}, client id client."]
    again = ["Version 1.0.0: it is registered and has not changed.", "Nothing to install."]
    assert list(connect(ROOT, True, config)) == [*again, "Nothing was done."]
    moved = list(connect(ROOT, False, replace(config, public_url="https://else.example.test")))
    assert moved[0] == "Version 1.0.1: 1.0.0 is registered for good and differs."
    assert crm.state.installed == {f"{APP}_{ORG_ID}": "1.0.1"}


def test_the_probe_asks_the_command_that_was_registered_and_nothing_without_its_secret(
    shop: World, crm: kustomer.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = free_address()
    app = in_kustomer(shop, crm, f"http://{address}")
    list(connect(ROOT, False, app.config))
    crm.state.command_secret = SECRET
    app = replace(app, config=replace(app.config, kustomer_app=f"{APP}_{ORG_ID}"))
    monkeypatch.setattr(crm_commands, "_host", lambda _: (app, app.tools.host))
    host, _, port = address.partition(":")
    server = make_server(host, int(port), create_web(app), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        assert crm_commands.probe_identity(None)[0]
        app = replace(app, config=replace(app.config, kustomer_command_secret=""))
        with pytest.raises(FixTheSetup, match="Set ORDER_ACTIONS_KUSTOMER_COMMAND_SECRET first"):
            crm_commands.probe_identity(None)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.close()


def test_a_key_without_the_roles_registers_nothing(shop: World, crm: kustomer.Running) -> None:
    config = in_kustomer(shop, crm).config
    crm.state.roles[:] = ["org.permission.note.create"]
    with pytest.raises(FixTheSetup, match=r"lacks the roles org\.admin\.apps"):
        list(connect(ROOT, False, config))
    assert crm.state.apps == {}


# ---------------------------------------------------------------- an agent


@pytest.fixture
def client(shop: World, crm: kustomer.Running) -> FlaskClient:
    return create_web(in_kustomer(shop, crm)).test_client()


def opened(client: FlaskClient, **proof: str) -> dict[str, str]:
    answer = client.post("/session", headers={"Authorization": f"Bearer {shown(**proof)}"})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json['session']}"}  # type: ignore[index]


def test_the_proxy_shows_orders_and_no_buttons_until_the_agent_connects(
    client: FlaskClient, crm: kustomer.Running, shop: World
) -> None:
    from plugin.hosts.kustomer import org_id_of

    headers = {"Authorization": f"Bearer {SECRET}", "X-Kustomer-Org-Id": org_id_of(crm.state.key),
               "X-Kustomer-User-Id": "u-sam"}  # fmt: skip
    ticket = client.post("/kustomer/commands/open", headers=headers, json={}).json
    assert ticket is not None
    reading = opened(client, ticket=ticket["ticket"])
    order = f"/stores/{shop.place(1001).store}/orders/{shop.place(1001).order}"
    assert "#1001" in client.get("/orders", headers=reading).text
    assert "Update Order" not in client.get(order, headers=reading).text
    assert client.get(f"{order}/actions/{REFUND}", headers=reading).status_code == 403
    crm.state.signed_in = "u-sam"
    acting = opened(client, handle=handle(client))
    assert "Update Order" in client.get(order, headers=acting).text
    assert client.get(f"{order}/actions/{REFUND}", headers=acting).status_code == 200


def handle(client: FlaskClient) -> str:
    away = client.get("/kustomer/connect")
    back = requests.get(away.headers["Location"], allow_redirects=False, timeout=10).headers["Location"]
    page = client.get(back.removeprefix(PUBLIC))
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    return re.search(r'data-handle="([^"]+)"', page.text)[1]  # type: ignore[index]


def test_a_callback_from_elsewhere_connects_nobody(client: FlaskClient, crm: kustomer.Running) -> None:
    assert client.get("/kustomer/callback?state=x&code=y").status_code == 401
    assert client.get("/kustomer/callback?state=x&state=x&code=y").status_code == 401
    assert client.post("/kustomer/commands/open", json={}).status_code == 401
    assert crm.state.access == {}


def test_the_other_crm_has_no_such_doors(shop: World) -> None:
    assert create_web(shop.app).test_client().get("/kustomer/connect").status_code == 404


def test_orders_and_notes_wait_out_an_outage(shop: World, crm: kustomer.Running) -> None:
    app = in_kustomer(shop, crm)
    client = create_web(app).test_client()
    crm.state.signed_in = "u-sam"
    headers = opened(client, handle=handle(client))
    client.get("/orders", headers=headers)
    crm.state.faults[:] = ["outage"]
    assert ([deliver_orders(app.tools) for _ in range(5)], deliver_notes(app.tools)) == ([0] * 5, 0)
    crm.state.faults.clear()
    assert deliver_orders(app.tools) == 0, "tried again after the delay, not at once"
    waiting, later = [], app.tools.clock.now().replace(year=2099)
    while taken := app.tools.crm.owed(later):
        waiting += taken
    for owed in waiting:
        app.tools.crm.owe_later(owed.row.place, 0, app.tools.clock.now())
    assert sum(deliver_orders(app.tools) for _ in range(5)) == len(crm.state.kobjects) == len(waiting) > 0
    assert crm.state.kobjects[shop.place(1001).order]["custom"]["orderNumberStr"] == "#1001"
    assert deliver_orders(app.tools) == 0, "what Kustomer knows is not sent again"
    order = shop.place(1001)
    client.get(f"/stores/{order.store}/orders/{order.order}", headers=headers)
    assert [deliver_orders(app.tools), deliver_orders(app.tools)] == [1, 0], "looked at, so its details are known"
    assert crm.state.kobjects[order.order]["custom"]["skusTxt"] == "TS-NVY-M, MUG-WHT"
    client.post(f"/stores/{order.store}/orders/{order.order}/refresh", headers=headers)
    assert deliver_orders(app.tools) == 0, "nothing new was seen"
