"""Shopify's privacy topics: written down by the webhook, carried out by the worker, runs keep ids and amounts."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from werkzeug.test import Client, TestResponse

from plugin import privacy
from plugin.app import SystemClock
from plugin.cli import cli
from plugin.doctor import of_privacy
from plugin.runtime import carry_out
from plugin.shapes import Place
from plugin.stores.tables import connections, crm_orders, customers_seen, metadata, orders, webhooks_seen
from plugin.sync import deliver_notes
from plugin.web import create_web
from tests.test_webhooks import deliver
from tests.world import BASE, DOMAIN, REFUND, World, variables, with_settings, world

TYPED = "came broken, says Ada"
EMAIL = "ada@example.com"


class Later(SystemClock):
    """A clock that is three weeks on."""

    def now(self) -> datetime:
        return super().now() + timedelta(days=21)


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Iterator[World]:
    with world(tmp_path, database=database) as one:
        yield one


def ask(shop: World, topic: str, id: str = "p1", store: str = DOMAIN, **more: Any) -> TestResponse:
    payload = {"shop_id": 1, "shop_domain": store, **more}
    return deliver(Client(create_web(shop.app)), topic, payload, id=id)


def of_customer(*numbers: int) -> dict[str, Any]:
    ids = [BASE + one for one in numbers]
    return {"customer": {"id": 7, "email": EMAIL, "phone": None}, "orders_to_redact": ids, "orders_requested": ids}


def dump(shop: World) -> str:
    """Every value of every table, sealed ones too."""
    with shop.app.engine.connect() as tx:
        return "\n".join(str(tuple(row)) for table in metadata.sorted_tables for row in tx.execute(select(table)))


def refunded(shop: World) -> str:
    shop.act(1001, REFUND, lines=["1", "0"], reason=TYPED)
    deliver_notes(shop.tools)
    return shop.tools.runs.runs_of(shop.place(1001))[0].id


def test_a_customer_is_forgotten_and_the_money_is_not(shop: World) -> None:
    run_id = refunded(shop)
    before = shop.tools.runs.run(run_id)
    assert before is not None and TYPED in before.steps[0].body.decode()
    assert ask(shop, "customers/redact", **of_customer(1001)).text == "taken\n"
    assert EMAIL not in dump(shop), "what waits is encrypted"
    assert (privacy.carry_out(shop.app), privacy.carry_out(shop.app)) == (1, 0)
    after = shop.tools.runs.run(run_id)
    assert after is not None and after.texts == {} and after.steps[0].body.startswith(b"sha256:")
    assert (after.steps[0].moves, after.outcome) == (before.steps[0].moves, before.outcome)
    assert shop.tools.orders.order(shop.place(1001)) is None
    assert TYPED not in dump(shop)
    assert shop.app.privacy.all()[0].customer.email == ""


def test_an_order_that_has_only_a_phone_is_found_by_it(shop: World) -> None:
    header = {"name": "#7", "createdAt": "2026-11-01T10:00:00Z", "updatedAt": "2026-11-01T10:00:00Z"}
    place, other = Place(DOMAIN, "7"), Place(DOMAIN, "8")
    shop.tools.orders.put_header(place, "", header, webhook=None, phone="+15550101008")
    shop.tools.orders.put_header(other, "somebody@example.com", header, webhook=None, phone="+15550101008")
    ask(shop, "customers/redact", customer={"id": 7, "email": None, "phone": "+1 555 010 1008"}, orders_to_redact=[])
    assert privacy.carry_out(shop.app) == 1
    assert shop.tools.orders.order(place) is None
    assert shop.tools.orders.order(other) is not None, "its e-mail may be another person's"


def test_an_open_run_is_waited_for(shop: World) -> None:
    shop.fault("502-after", on="refundCreate")
    shop.act(1001, REFUND, lines=["1", "0"], reason=TYPED)
    run_id = shop.tools.runs.runs_of(shop.place(1001))[0].id
    ask(shop, "customers/redact", **of_customer(1001))
    assert privacy.carry_out(shop.app) == 0
    assert shop.tools.orders.order(shop.place(1001)) is not None
    assert "waits" in privacy.listed(shop.app)[0]
    (check,) = of_privacy(shop.app)
    assert (check.ok, check.found) == (True, "requests wait for open runs or notes")
    later = replace(shop.tools, clock=Later())
    (check,) = of_privacy(replace(shop.app, tools=later))
    assert check.cure.startswith("Have the open runs")
    with_settings(shop, settle_time=0)
    assert not carry_out(shop.tools, run_id, 5.0).open
    deliver_notes(shop.tools)
    shop.app.privacy.later(shop.app.privacy.all()[0].id, shop.tools.clock.now())
    assert privacy.carry_out(shop.app) == 1
    assert shop.tools.orders.order(shop.place(1001)) is None


def test_the_owner_of_the_store_is_given_what_is_held(shop: World) -> None:
    refunded(shop)
    ask(shop, "customers/data_request", **of_customer(1001))
    assert privacy.carry_out(shop.app) == 1
    assert EMAIL not in dump(shop), "the report is encrypted"
    environ = variables(shop.app.config.database, shop.url)
    id = shop.app.privacy.all()[0].id
    shown = json.loads(CliRunner().invoke(cli, ["privacy", "show", id], env=environ).stdout)
    held = shown["orders"][0]
    assert (held["order"], held["header"]["name"]) == (str(BASE + 1001), "#1001")
    assert TYPED in held["runs"][0]["sent"][0]
    assert CliRunner().invoke(cli, ["privacy", "drop", id], env=environ).stdout == "Forgotten.\n"
    assert CliRunner().invoke(cli, ["privacy", "list"], env=environ).stdout == ""


def test_who_is_forgotten_is_forgotten_in_reports_too(shop: World) -> None:
    refunded(shop)
    header = {"name": "#7", "createdAt": "2026-11-01T10:00:00Z", "updatedAt": "2026-11-01T10:00:00Z"}
    shop.tools.orders.put_header(Place(DOMAIN, "7"), "somebody@example.com", header, webhook=None)
    ask(shop, "customers/data_request", id="first", **of_customer(1001))
    ask(shop, "customers/data_request", id="other", customer={"id": 8, "email": ""}, orders_requested=[7])
    assert privacy.carry_out(shop.app) == 2
    ask(shop, "customers/redact", id="then", **of_customer(1001))
    assert privacy.carry_out(shop.app) == 1
    left = [one.report["orders"] for one in shop.app.privacy.all() if one.report is not None]
    assert [[held["order"] for held in orders] for orders in left] == [["7"]]


def test_a_store_is_forgotten_once_it_is_gone(shop: World) -> None:
    run_id = refunded(shop)
    ask(shop, "shop/redact", id="too early")
    assert privacy.carry_out(shop.app) == 1
    assert shop.app.connections.get(DOMAIN) is not None, "it is connected, so an old request is no reason"
    ask(shop, "app/uninstalled", id="gone", myshopify_domain=DOMAIN)
    assert ask(shop, "shop/redact", id="again").text == "taken\n"
    assert privacy.carry_out(shop.app) == 1
    with shop.app.engine.connect() as tx:
        for table in (orders, customers_seen, webhooks_seen, crm_orders, connections):
            assert tx.execute(select(table)).all() == []
    run = shop.tools.runs.run(run_id)
    assert run is not None and run.texts == {}
    assert ask(shop, "shop/redact", id="once more").text == "ignored\n"


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("customers/redact", {"store": "other.myshopify.com", **of_customer(1001)}),
        ("customers/redact", {}),
        ("customers/redact", {"customer": {"email": EMAIL}, "orders_to_redact": ["x"]}),
        ("shop/redact", {"store": "other.myshopify.com"}),
    ],
)
def test_a_body_that_does_not_say_whom_is_refused(shop: World, topic: str, said: dict[str, Any]) -> None:
    assert ask(shop, topic, **said).status_code == 400
    assert shop.app.privacy.all() == []
