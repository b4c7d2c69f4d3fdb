"""From where a request may come, and how often it may come."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from plugin.app import config_from, plug
from plugin.around import sender
from plugin.errors import FixTheSetup, TooOften
from plugin.guard import ROUTES, Pages, Proof
from plugin.rates import RATES, Rates, rates_of
from plugin.sandbox import kustomer
from plugin.secrets import Keys
from plugin.stores.counts import SqlCounts
from plugin.stores.database import open_database
from plugin.web import create_web
from tests.dump import dump
from tests.inside import Clock
from tests.shared import ROOT
from tests.test_hosts import SECRET as COMMAND_SECRET
from tests.test_kustomer import PUBLIC, in_kustomer
from tests.test_web import ORDER, payload, signed_in, token, webhook
from tests.world import REFUND, SECRET, World, _bundle, variables

EVIL = "https://evil.example"
KEYS = Keys([SECRET])


@pytest.fixture
def client(shop: World) -> FlaskClient:
    return create_web(shop.app).test_client()


def hurried(shop: World, **most: int) -> FlaskClient:
    """A client of the same application at other rates, in a minute that does not end."""
    rates = Rates({**RATES, **most}, shop.app.rates.counts, Clock())
    return create_web(replace(shop.app, rates=rates)).test_client()


# ---------------------------------------------------------------- from where


CALLERS: tuple[tuple[dict[str, str], bool], ...] = (
    ({}, True),
    ({"Origin": "http://localhost"}, True),
    ({"Origin": "https://localhost"}, True),
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Origin": EVIL}, False),
    ({"Origin": "null"}, False),
    ({"Origin": ""}, False),
    ({"Origin": "http://desk.test"}, False),
    ({"Origin": "http://localhost.evil.example"}, False),
    ({"Origin": "http://localhost:81"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Origin": EVIL, "Sec-Fetch-Site": "same-origin"}, False),
)


def test_a_foreign_page_changes_nothing(client: FlaskClient) -> None:
    for path in ("/session", "/orders/refresh", f"{ORDER}/actions/{REFUND}", "/webhooks/shopify"):
        for headers, taken in CALLERS:
            answer = client.post(path, headers=headers)
            told = answer.status_code == 403 and "another page" in answer.text
            assert (path, headers, told) == (path, headers, not taken)


def test_every_route_that_changes_something_asks_where_it_comes_from() -> None:
    """A browser that begins at Shopify, or returns from there or from the CRM, comes from elsewhere with its state."""
    free = {name for name, one in ROUTES.items() if one.pages is Pages.ANY and one.proof is not Proof.NOTHING}
    reads = {name for name in free if name.startswith("GET ") and ROUTES[name].proof in (Proof.SESSION, Proof.SECRET)}
    assert free - reads == {"GET /kustomer/callback", "GET /shopify/callback", "GET /shopify/install"}


def test_behind_a_proxy_that_changes_the_host_the_public_address_counts(shop: World) -> None:
    config = replace(shop.app.config, public_url=PUBLIC)
    client = create_web(replace(shop.app, config=config)).test_client()
    assert client.post("/orders/refresh", headers={"Origin": PUBLIC}).status_code == 401
    assert client.post("/orders/refresh", headers={"Origin": "http://localhost"}).status_code == 403


@pytest.fixture
def connected(shop: World) -> Iterator[FlaskClient]:
    crm = kustomer.serve()
    yield create_web(in_kustomer(shop, crm)).test_client()
    crm.close()


def test_a_foreign_page_cannot_begin_a_connection(connected: FlaskClient) -> None:
    for headers, status in (
        ({"Origin": PUBLIC}, 302), ({"Sec-Fetch-Site": "same-origin"}, 302), ({"Sec-Fetch-Site": "none"}, 302),
        ({"Origin": EVIL}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403),
    ):  # fmt: skip
        assert connected.get("/kustomer/connect", headers=headers).status_code == status


def test_a_page_of_the_crm_may_use_the_command_and_another_page_may_not(connected: FlaskClient) -> None:
    """Whether Kustomer's proxy passes its page's Origin on is not known, so both are taken."""
    headers = {"Authorization": f"Bearer {COMMAND_SECRET}"}
    crm_page = connected.get("/card").headers["Content-Security-Policy"].split("frame-ancestors ")[1].split(";")[0]
    assert connected.post("/kustomer/commands/open", headers={**headers, "Origin": EVIL}).status_code == 403
    assert connected.post("/kustomer/commands/open", headers={**headers, "Origin": PUBLIC}).status_code == 401
    assert connected.post("/kustomer/commands/open", headers={**headers, "Origin": crm_page}).status_code == 401


# ---------------------------------------------------------------- how often


def test_an_agent_who_asks_too_often_waits_and_others_do_not(shop: World) -> None:
    client = hurried(shop, agent=3)
    ana, ben = signed_in(client), signed_in(client, sub="ben")
    shop.forget_calls()
    before = [client.get("/orders", headers=ana).status_code for _ in range(4)]
    assert before == [200, 200, 429, 429], "the sign-in counts too"
    refused = client.post(f"{ORDER}/actions/{REFUND}", headers=ana)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    assert "This one did nothing; try again in 60 seconds." in refused.text
    again = client.post("/session", headers={"Authorization": f"Bearer {token()}"})
    assert (again.status_code, again.json) == (
        429, {"message": "Too many requests came from here. This one did nothing; try again in 60 seconds."},
    )  # fmt: skip
    assert client.get("/orders", headers=ben).status_code == 200


def test_a_store_that_is_asked_too_often_closes_for_a_minute_and_a_strangers_store_is_not_counted(shop: World) -> None:
    client = hurried(shop, store=2)
    headers = signed_in(client)
    assert client.get(f"/stores/{EVIL[8:]}/orders/1", headers=headers).status_code == 404
    assert [client.get(ORDER, headers=headers).status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/orders", headers=headers).status_code == 200
    assert len(dump(shop.app.engine)["request_counts"]) == 2, "the agent and the store"


def test_who_proves_nothing_is_counted_by_address_and_stops_nobody_else_there(shop: World) -> None:
    client = hurried(shop, address=2)
    wrong = {"Authorization": "Bearer wrong"}
    assert [client.post("/session", headers=wrong).status_code for _ in range(3)] == [401, 401, 429]
    assert client.get("/orders").status_code == 429
    assert webhook(client, payload(1001, "ada@example.com"), secret="wrong").status_code == 429
    there = {"X-Forwarded-For": "203.0.113.9"}
    assert client.get("/orders", headers=there).status_code == 401, "another address"
    assert client.get("/orders", headers=signed_in(client)).status_code == 200
    assert [webhook(client, payload(1001, "ada@example.com"), id=str(one)).status_code for one in range(5)] == [200] * 5


def test_a_connection_is_begun_a_few_times_a_minute_from_one_address(shop: World) -> None:
    crm = kustomer.serve()
    app = in_kustomer(shop, crm)
    client = create_web(replace(app, rates=Rates({**RATES, "address": 2}, app.rates.counts, Clock()))).test_client()
    assert [client.get("/kustomer/connect").status_code for _ in range(3)] == [302, 302, 429]
    assert client.get("/kustomer/callback?state=x&code=y").status_code == 429
    crm.close()


@pytest.mark.parametrize("kind", RATES)
def test_processes_together_let_in_no_more_than_the_rate(engine: Engine, kind: str) -> None:
    clock = Clock()
    processes = [Rates({kind: 50}, SqlCounts(engine, KEYS), clock) for _ in range(4)]
    let_in = 0
    for number in range(200):
        try:
            processes[number % 4].spend(kind, "one")
            let_in += 1
        except TooOften as often:
            assert often.seconds == 60
    assert let_in == 50
    processes[0].spend(kind, "another")
    clock.sleep(60)
    processes[0].spend(kind, "one")
    with engine.connect() as tx:
        assert tx.execute(text("select count(*) from request_counts where minute < 68374081")).scalar() == 1


def test_a_process_whose_clock_is_behind_counts_in_the_minute_of_the_others(engine: Engine) -> None:
    counts = SqlCounts(engine, KEYS)
    assert counts.take("agent", "ana", 101, 6, 10)
    assert not counts.take("agent", "ana", 100, 6, 10)
    assert counts.take("agent", "ana", 100, 4, 10)
    assert not counts.take("agent", "ana", 101, 1, 10)


def test_a_database_that_cannot_count_closes_no_door(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'db.sqlite'}")
    with engine.begin() as tx:
        tx.execute(text("drop table request_counts"))
    rates = Rates({"agent": 1}, SqlCounts(engine, KEYS), Clock())
    for _ in range(3):
        rates.spend("agent", "ana")
    engine.dispose()


def test_rows_of_minutes_long_past_go_away(engine: Engine) -> None:
    counts = SqlCounts(engine, KEYS)
    for minute, who in ((100, "a"), (101, "b"), (102, "c")):
        counts.take("agent", who, minute, 1, 10)
    assert sorted(row[1] for row in dump(engine)["request_counts"]) == [101, 102]


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "asks"),
    [
        ("203.0.113.9", "", (), "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", (), "203.0.113.9"),  # nobody's word for who one is
        ("127.0.0.1", "198.51.100.1", (), "198.51.100.1"),
        ("127.0.0.1", "10.0.0.1, 198.51.100.1", (), "198.51.100.1"),
        ("10.0.0.7", "192.0.2.1, 198.51.100.1", ("10.0.0.7",), "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1, 10.0.0.7", ("10.0.0.7",), "198.51.100.1"),
        ("127.0.0.1", "", (), "127.0.0.1"),
        (None, "198.51.100.1", (), "198.51.100.1"),
        ("127.0.0.1", "not an address", (), "unknown"),
        ("2001:db8:1:2:3:4:5:6", "", (), "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "", (), "203.0.113.9"),
    ],
)  # fmt: skip
def test_the_address_that_asks_is_the_last_that_is_no_proxy_of_ours(
    peer: str | None, forwarded: str, proxies: tuple[str, ...], asks: str
) -> None:
    assert sender(peer, forwarded, proxies) == asks


@pytest.mark.parametrize("text", ["agent", "agent=", "agent=-1", "agent=1e3", "agents=5", "agent=٣"])
def test_a_rate_that_is_none_stops_the_start(text: str) -> None:
    with pytest.raises(FixTheSetup, match="write it like agent=300,store=6000,address=300"):
        rates_of([text])
    with pytest.raises(FixTheSetup, match="ORDER_ACTIONS_RATES"):
        plug(config_from({**variables("sqlite://"), "ORDER_ACTIONS_RATES": text}), ROOT, _bundle())


@pytest.mark.parametrize(
    "origin", ["*", "https:", "https://*.example.com", "https://a.example;", "https://a/b", "a.example", "'self'"]
)
def test_the_card_is_framed_by_whole_origins_and_nothing_wider(origin: str) -> None:
    with pytest.raises(FixTheSetup, match="write each like https://crm.example.com"):
        plug(config_from({**variables("sqlite://"), "ORDER_ACTIONS_HOST_ORIGINS": origin}), ROOT, _bundle())


def test_a_proxy_that_is_no_address_stops_the_start() -> None:
    with pytest.raises(FixTheSetup, match="ORDER_ACTIONS_PROXIES: 'proxy.example' does not appear to be"):
        plug(config_from({**variables("sqlite://"), "ORDER_ACTIONS_PROXIES": "proxy.example"}), ROOT, _bundle())


def test_an_installation_sets_its_own_rates() -> None:
    environ = {**variables("sqlite://"), "ORDER_ACTIONS_RATES": "agent=600, store=0"}
    assert rates_of(config_from(environ).rates) == {"agent": 600, "store": 0, "address": 300}
