"""Connecting stores: announced first, by OAuth, by client credentials or by a token; tokens renewed once at a time."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from click.testing import CliRunner
from sqlalchemy import Engine, create_engine, event
from werkzeug.test import Client

from plugin import flow, store_setup, subscriptions
from plugin.app import plug
from plugin.cli_stores import stores
from plugin.commerce import oauth
from plugin.errors import FixTheSetup, NothingHere, SignInAgain, TryLater
from plugin.runtime import carry_out
from plugin.sandbox import store as sandbox
from plugin.secrets import Keys
from plugin.shapes import Customer, Place, Way
from plugin.stores.connections import SqlConnections
from plugin.stores.database import open_database
from plugin.stores.keys import open_keys, rotate
from plugin.stores.orders import SqlOrders
from plugin.stores.privacy import SqlPrivacy
from plugin.stores.runs import SqlRuns
from plugin.tokens import SessionClaims, Tokens
from plugin.web import create_web, webhook_secrets
from tests.databases import Postgres
from tests.shared import ROOT, vectors
from tests.world import DOMAIN, REFUND, SECRET, World, _bundle, with_settings, world

NEW_SECRET = "another secret that is long enough for the tests"


@dataclass
class MovedClock:
    """The real clock, some hours on."""

    by: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by

    def sleep(self, seconds: float) -> None:
        self.by += timedelta(seconds=seconds)


@pytest.fixture
def app_side() -> sandbox.App:
    return sandbox.App("client", "hook")


@pytest.fixture
def shop(tmp_path: Path, app_side: sandbox.App) -> Iterator[World]:
    with world(tmp_path, app=app_side) as one:
        one.app = replace(one.app, config=replace(one.app.config, public_url="http://127.0.0.1:9"))
        yield one


def browser(shop: World) -> Client:
    return Client(create_web(shop.app))


def installed(shop: World, client: Client) -> Any:
    """What an admin does: open the link, press Install at Shopify, come back."""
    away = client.get(f"/shopify/install?shop={DOMAIN}")
    assert away.status_code == 302
    pressed = requests.post(away.headers["Location"], allow_redirects=False, timeout=5)
    back = urlsplit(pressed.headers["Location"])
    return client.get(f"{back.path}?{back.query}")


def announced(shop: World) -> None:
    shop.app.connections.end(DOMAIN, "gone", "")
    store_setup.announce(shop.app, DOMAIN, "Sandbox store")


def test_a_store_is_connected_in_the_browser_and_orders_can_be_read(shop: World) -> None:
    announced(shop)
    page = installed(shop, browser(shop))
    assert (page.status_code, "Sandbox store is connected" in page.text) == (200, True)
    row = shop.app.connections.get(DOMAIN)
    assert row is not None and row.grant is not None
    assert (row.state, row.way, sorted(row.grant.scopes or ()), len(row.refresh_tokens)) == (
        "active", Way.OAUTH, ["read_locations", "read_orders", "write_orders"], 1,
    )  # fmt: skip
    assert shop.order(1001).context["order"]["name"] == "#1001"


def test_a_store_nobody_announced_is_not_let_in(shop: World) -> None:
    client = browser(shop)
    assert client.get("/shopify/install?shop=evil.myshopify.com").status_code == 404
    assert client.get(f"/shopify/install?shop={DOMAIN}").status_code == 404, "connected by a token, not by OAuth"
    with pytest.raises(FixTheSetup, match="not a store's domain"):
        store_setup.announce(shop.app, "evil.example.com", "")


def test_a_callback_works_once_and_only_in_the_browser_that_began(shop: World) -> None:
    announced(shop)
    client = browser(shop)
    away = client.get(f"/shopify/install?shop={DOMAIN}")
    pressed = requests.post(away.headers["Location"], allow_redirects=False, timeout=5)
    back = urlsplit(pressed.headers["Location"])
    assert browser(shop).get(f"{back.path}?{back.query}").status_code == 401, "another browser"
    assert client.get(f"{back.path}?{back.query}").status_code == 200
    client.set_cookie("order_actions_state", parse_qs(back.query)["state"][0], path="/shopify/callback")
    assert client.get(f"{back.path}?{back.query}").status_code == 401, "used"


def test_more_scopes_are_asked_for_in_the_browser_when_the_bundle_names_them(shop: World) -> None:
    announced(shop)
    bundle = replace(shop.tools.bundle, scopes=("read_customers", "read_all_orders"))
    app = replace(shop.app, tools=replace(shop.tools, bundle=bundle))
    asked = parse_qs(urlsplit(store_setup.begin_install(app, DOMAIN)[0]).query)["scope"]
    assert asked == ["read_all_orders,read_customers,read_locations,read_orders,write_orders"]


def test_scopes_that_were_not_granted_close_the_actions_with_their_reason(shop: World, app_side: sandbox.App) -> None:
    announced(shop)
    app_side.scopes = "read_orders"
    page = installed(shop, browser(shop))
    assert "Shopify did not grant read_locations, write_orders." in page.text
    assert shop.button(1001, REFUND) == (
        False, "Sandbox store did not grant write_orders, read_locations. "
        "An administrator must connect the store again.",
    )  # fmt: skip
    with pytest.raises(Exception, match="did not grant"):
        shop.open(1001, REFUND)


def test_a_write_scope_holds_its_read_scope() -> None:
    assert store_setup.missing_scopes(frozenset({"write_orders"}), ["read_orders", "read_locations"]) == [
        "read_locations"
    ]


# ---------------------------------------------------------------- the signed way back


def raw(query: dict[str, Any]) -> str:
    return urlencode(query, doseq=True)


def test_every_signed_query_of_the_vectors_is_judged_rightly() -> None:
    wrong = []
    for one in vectors("oauth_hmac.json")["validated"]:
        now = datetime.fromtimestamp(one["now"], UTC)
        try:
            oauth.read_callback(raw(one["query"]), [one["secret"]], now)
            judged = "accept"
        except SignInAgain:
            judged = "refuse"
        # The app proxy signs another way; we have none, so its queries are never a callback.
        expected = "refuse" if "signature" in one["query"] else one["expected"]
        if judged != expected:
            wrong.append(one["name"])
    assert wrong == []


def test_the_documented_signatures_are_ours_too() -> None:
    now = datetime.fromtimestamp(1337178173, UTC)
    taken = []
    for one in vectors("oauth_hmac.json")["documented"]:
        query = {"state": "0", **one["query"], "hmac": one["hmac"]}
        complete = {"shop", "code", "timestamp", "state"} <= one["query"].keys()
        at = datetime.fromtimestamp(int(one["query"].get("timestamp", 0)), UTC) if complete else now
        if not complete:
            continue
        taken.append(oauth.read_callback(raw(query), ["other", one["secret"]], at).shop)
    assert taken == ["some-shop.myshopify.com"] * 2, "also with the old secret while rotating"


@pytest.mark.parametrize("name", ["shop", "code", "state", "timestamp", "hmac"])
def test_a_parameter_given_twice_is_refused(name: str) -> None:
    one = next(row for row in vectors("oauth_hmac.json")["validated"] if row["expected"] == "accept")
    query = raw(one["query"]) + f"&{name}={one['query'][name]}"
    with pytest.raises(SignInAgain):
        oauth.read_callback(query, [one["secret"]], datetime.fromtimestamp(one["now"], UTC))


def test_only_a_strict_store_domain_is_taken() -> None:
    wrong = []
    for one in vectors("shop_domain.json")["vectors"]:
        try:
            taken: str | None = oauth.shop_domain(one["input"])
        except FixTheSetup:
            taken = None
        if taken != one["expected_strict"]:
            wrong.append((one["input"], one["expected_strict"]))
    assert wrong == []


def test_no_address_of_the_vectors_is_ever_a_store(shop: World) -> None:
    taken = [one["url"] for one in vectors("ssrf_urls.json")["vectors"] if oauth.SHOP.fullmatch(one["url"])]
    assert taken == []


# ---------------------------------------------------------------- renewing


def ending(shop: World, hours: float = 0.95) -> MovedClock:
    """The store is connected, and its token is about to end."""
    announced(shop)
    installed(shop, browser(shop))
    clock = MovedClock(timedelta(hours=hours))
    shop.served.world.store.clock = lambda: clock.now().timestamp()
    access = shop.tools.commerce._access  # type: ignore[attr-defined]
    access._clock = clock
    return clock


def test_a_token_is_renewed_before_it_ends_and_kept_before_it_is_used(shop: World, app_side: sandbox.App) -> None:
    before = shop.app.connections.get(DOMAIN)
    ending(shop)
    assert shop.order(1001).context["order"]["name"] == "#1001"
    after = shop.app.connections.get(DOMAIN)
    assert before is not None and after is not None and after.grant != before.grant
    assert (app_side.renewals, len(after.refresh_tokens)) == (1, 2), "the one before stays until it is sure"


def test_ten_threads_at_once_renew_once(shop: World, app_side: sandbox.App) -> None:
    ending(shop)
    access = shop.tools.commerce._access  # type: ignore[attr-defined]
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(access.connection(DOMAIN).token)) for _ in range(10)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (app_side.renewals, len(found)) == (1, 10)


def test_a_renewal_that_was_answered_and_never_kept_is_made_again(shop: World, app_side: sandbox.App) -> None:
    ending(shop)
    row = shop.app.connections.get(DOMAIN)
    client = shop.app.config.shopify_app
    assert row is not None and client is not None
    oauth.renew(shop.url, client, row.refresh_tokens[0], datetime.now(UTC))  # and the process died here
    assert shop.order(1001).context["order"]["name"] == "#1001"
    assert app_side.renewals == 2


def test_a_silent_token_endpoint_does_not_stop_a_token_that_still_holds(shop: World, app_side: sandbox.App) -> None:
    ending(shop)
    app_side.silent = True
    assert shop.order(1001).context["order"]["name"] == "#1001"


def test_when_the_token_has_ended_too_nothing_is_sent(shop: World, app_side: sandbox.App) -> None:
    ending(shop, 1.5)
    app_side.silent = True
    shop.forget_calls()
    reply = shop.tools.commerce.send(DOMAIN, b"{}")
    assert (reply.fault, shop.sent()) == ("not_sent", [])
    with pytest.raises(TryLater):
        shop.order(1001)


def test_a_refused_renewal_says_how_to_mend_it(shop: World, app_side: sandbox.App) -> None:
    ending(shop)
    app_side.refresh.clear()
    with pytest.raises(FixTheSetup, match="order-actions stores add sandbox.myshopify.com"):
        shop.order(1001)
    row = shop.app.connections.get(DOMAIN)
    assert row is not None and (row.state, row.grant) == ("refused", None)


def test_an_app_of_the_own_organisation_needs_no_browser(shop: World, app_side: sandbox.App) -> None:
    assert store_setup.connect_own(shop.app, DOMAIN, "Own") == []
    row = shop.app.connections.get(DOMAIN)
    assert row is not None and (row.way, row.refresh_tokens) == (Way.OWN, ())
    access = shop.tools.commerce._access  # type: ignore[attr-defined]
    access._clock = MovedClock(timedelta(hours=24))
    first = row.grant
    assert access.connection(DOMAIN).token != (first and first.access_token)


# ---------------------------------------------------------------- what works stays until the new way is seen to work


def failed(shop: World, *words: str, typed: str = "") -> str:
    """What a command that was refused said."""
    result = CliRunner().invoke(stores, words, input=typed, env=environment(shop))
    assert isinstance(result.exception, FixTheSetup)
    return str(result.exception)


def test_a_token_that_shopify_refuses_replaces_nothing(shop: World) -> None:
    announced(shop)
    installed(shop, browser(shop))
    before = shop.app.connections.get(DOMAIN)
    assert "HTTP 401" in failed(shop, "add", DOMAIN, "--name", "Typo", "--token", typed="shpat_typo\n")
    assert shop.app.connections.get(DOMAIN) == before


def test_a_wrong_client_secret_replaces_nothing(shop: World, app_side: sandbox.App) -> None:
    announced(shop)
    installed(shop, browser(shop))
    before = shop.app.connections.get(DOMAIN)
    app_side.secret = "another"
    assert "HTTP 401). Compare ORDER_ACTIONS_SHOPIFY_CLIENT_ID" in failed(shop, "add", DOMAIN, "--own")
    assert shop.app.connections.get(DOMAIN) == before


def test_a_custom_apps_secret_holds_until_the_store_came_by_oauth(shop: World) -> None:
    command(shop, "add", DOMAIN, "--name", "Mine", "--token", typed="token\nits secret\n")
    before = shop.app.connections.get(DOMAIN)
    command(shop, "add", DOMAIN)
    invited = shop.app.connections.get(DOMAIN)
    assert before is not None and invited == replace(before, invited=True)
    assert webhook_secrets(shop.app, DOMAIN) == ("its secret",)
    installed(shop, browser(shop))
    row = shop.app.connections.get(DOMAIN)
    assert row is not None and (row.name, row.way, row.app_secrets) == ("Mine", Way.OAUTH, ())


def test_a_store_is_connected_again_as_it_was(shop: World) -> None:
    command(shop, "add", DOMAIN, "--name", "Mine", "--token", typed="token\nits secret\n")
    command(shop, "add", DOMAIN, "--token", typed="token\n")
    row = shop.app.connections.get(DOMAIN)
    assert row is not None
    assert (row.name, row.app_secrets, row.again) == (
        "Mine", ("its secret",), f"order-actions stores add {DOMAIN} --token < FILE",
    )  # fmt: skip
    command(shop, "add", DOMAIN, "--own")
    own = shop.app.connections.get(DOMAIN)
    assert own is not None
    assert (own.name, own.app_secrets, own.again) == ("Mine", (), f"order-actions stores add {DOMAIN} --own")


def test_a_token_that_was_renewed_for_a_store_connected_anew_meanwhile_is_not_kept(shop: World) -> None:
    announced(shop)
    installed(shop, browser(shop))
    before = shop.app.connections.get(DOMAIN)
    store_setup.connect_token(shop.app, DOMAIN, "", "token")
    after = shop.app.connections.get(DOMAIN)
    assert before is not None and before.grant is not None
    shop.app.connections.renew(before, before.grant)
    assert shop.app.connections.get(DOMAIN) == after


# ---------------------------------------------------------------- webhooks asked for


def test_webhooks_are_asked_for_once_and_again_when_one_was_dropped(shop: World) -> None:
    assert subscriptions.look_after(shop.app) == 1
    kept = shop.served.state.subscriptions
    assert sorted(topic for topic, _ in kept.values()) == sorted(subscriptions.TOPICS)
    assert subscriptions.look_after(shop.app) == 0, "looked at today"
    assert subscriptions.subscribe(shop.app, DOMAIN) == []
    kept.pop(next(iter(kept)))
    assert subscriptions.subscribe(shop.app, DOMAIN) == ["ORDERS_CREATE"]


def test_an_app_that_may_not_see_phones_reads_and_refunds_orders_all_the_same(shop: World) -> None:
    shop.served.state.settings.denied = frozenset({"phone"})
    assert flow.card(shop.tools, shop.session(1001)).context["problem"] is None
    assert shop.act(1001, REFUND, lines=["1", "0"]).context["outcome"]["state"] == "doubt", "errors stand beside data"
    run = carry_out(shop.tools, shop.tools.runs.runs_of(shop.place(1001))[0].id, 5.0)
    assert (run.open, run.outcome and run.outcome["state"], run.steps[0].attempts) == (False, "done", 1)


def test_scopes_are_looked_at_every_day_whatever_was_told_of_them(shop: World) -> None:
    shop.app.connections.set_scopes(DOMAIN, frozenset({"read_orders"}))
    assert subscriptions.look_after(shop.app) == 1
    row = shop.app.connections.get(DOMAIN)
    assert row is not None and row.grant is not None and "write_orders" in row.grant.scopes


# ---------------------------------------------------------------- tokens at rest, and the change of the secret


def test_no_token_is_kept_in_the_clear(shop: World, tmp_path: Path) -> None:
    announced(shop)
    installed(shop, browser(shop))
    row = shop.app.connections.get(DOMAIN)
    assert row is not None and row.grant is not None and row.grant.refresh_token
    shop.app.engine.dispose()
    stored = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    assert row.grant.access_token.encode() not in stored
    assert row.grant.refresh_token.encode() not in stored


def test_after_a_change_of_the_secret_the_old_one_is_not_needed(shop: World) -> None:
    shop.order(1001)
    engine = shop.app.engine
    both = open_keys(engine, (NEW_SECRET, SECRET))
    sealed, left = rotate(engine, both.box(), lambda line: None)
    assert (sealed > 0, left) == (True, 0)
    new = open_keys(engine, (NEW_SECRET,))
    row = SqlConnections(engine, new.box()).get(DOMAIN)
    assert row is not None and row.grant is not None and row.grant.access_token == "token"
    found = SqlOrders(engine, new).orders_of(shop.customer(1001), whole=True)
    assert [one.snapshot is not None for one in found if one.name == "#1001"] == [True]


def test_an_open_run_needs_the_old_secret_until_it_is_closed(shop: World) -> None:
    with_settings(shop, settle_time=0)
    shop.fault("502-after", on="refundCreate")
    shop.act(1001, REFUND, lines=["1"])
    run_id = shop.tools.runs.runs_of(shop.place(1001))[0].id
    changing = plug(replace(shop.app.config, secrets=(NEW_SECRET, SECRET)), ROOT, _bundle())
    box = open_keys(changing.engine, (NEW_SECRET, SECRET)).box()
    assert rotate(changing.engine, box, lambda line: None)[1] == 1
    closed = carry_out(changing.tools, run_id, 5.0)
    _, left = rotate(changing.engine, box, lambda line: None)
    run = SqlRuns(changing.engine, open_keys(changing.engine, (NEW_SECRET,)).box()).run(run_id)
    changing.close()
    assert run is not None and (left, run.open, run.texts) == (0, False, closed.texts)


def test_a_session_of_before_the_change_still_opens(shop: World) -> None:
    now = datetime.now(UTC)
    claims = SessionClaims("ana", "Ana", "agent", "hash", shop.customer(1001), None, None)
    sealed = Tokens(Keys([SECRET])).seal_session(claims, now)
    assert Tokens(Keys([NEW_SECRET, SECRET])).open_session(sealed) == claims
    with pytest.raises(SignInAgain):
        Tokens(Keys([NEW_SECRET])).open_session(sealed)


# ---------------------------------------------------------------- settings and commands


def test_a_stores_settings_are_changed_one_by_one(shop: World) -> None:
    assert command(shop, "set", DOMAIN, "settle_time=30").output == f"{DOMAIN}: settle_time=30\n"
    both = f"{DOMAIN}: settle_time=30, snapshot_max_age=5\n"
    assert command(shop, "set", DOMAIN, "snapshot_max_age=5").output == both
    assert command(shop, "set", DOMAIN).output == both
    assert command(shop, "set", DOMAIN, "settle_time=").output == f"{DOMAIN}: snapshot_max_age=5\n"
    assert "There is no setting 'settletime'" in failed(shop, "set", DOMAIN, "settletime=")
    assert command(shop, "set", DOMAIN, "--reset").output == f"{DOMAIN}: as in the bundle\n"


def test_settings_of_one_store_stand_over_the_installations(shop: World) -> None:
    shop.app.connections.set_settings(DOMAIN, ["snapshot_max_age=5"])
    shop.tools.commerce._access._known = None  # type: ignore[attr-defined]
    found = shop.tools.store(DOMAIN)
    assert found is not None and (found.settings["snapshot_max_age"], found.settings["settle_time"]) == (5, 420)


def test_without_any_store_the_card_says_so(shop: World) -> None:
    shop.app.connections.end(DOMAIN, "gone", "removed")
    problem = flow.card(shop.tools, shop.session(1001)).context["problem"]
    assert problem == "No store is connected here. Ask an administrator."


def test_a_store_that_was_removed_is_not_there_any_more(shop: World) -> None:
    shop.app.connections.end(DOMAIN, "gone", "removed")
    with pytest.raises(NothingHere):
        shop.tools.commerce.read(DOMAIN, "{ shop { id } }", {})
    assert shop.tools.commerce.send(DOMAIN, b"{}").fault == "not_sent"


def environment(shop: World) -> dict[str, str]:
    config = replace(shop.app.config)
    return {
        "ORDER_ACTIONS_SECRET": SECRET, "ORDER_ACTIONS_DATABASE": config.database,
        "ORDER_ACTIONS_HOST_SECRET": SECRET, "ORDER_ACTIONS_HOST_ISSUER": "desk",
        "ORDER_ACTIONS_HOST_ORIGINS": "http://desk.test", "ORDER_ACTIONS_PUBLIC_URL": "https://orders.example.com",
        "ORDER_ACTIONS_SHOPIFY_CLIENT_ID": "client", "ORDER_ACTIONS_SHOPIFY_CLIENT_SECRETS": "hook",
        "ORDER_ACTIONS_SANDBOX_STORE": shop.url,
    }  # fmt: skip


def command(shop: World, *words: str, typed: str = "") -> Any:
    return CliRunner().invoke(stores, words, input=typed, env=environment(shop), catch_exceptions=False)


def test_an_admin_adds_lists_sets_and_removes_stores(shop: World) -> None:
    both = CliRunner().invoke(stores, ["add", DOMAIN, "--token", "--own"], env=environment(shop))
    assert (both.exit_code, "connected in one way" in both.output) == (2, True)
    told = command(shop, "add", "other.myshopify.com", "--name", "Other").output
    assert "https://orders.example.com/shopify/install?shop=other.myshopify.com" in told
    added = command(shop, "add", DOMAIN, "--name", "Mine", "--token", typed="token\nits secret\n")
    assert "is connected" in added.output
    assert command(shop, "set", DOMAIN, "settle_time=60").output == f"{DOMAIN}: settle_time=60\n"
    assert command(shop, "list").output == (
        f"other.myshopify.com  Other  oauth  waiting\n{DOMAIN}  Mine  token  active  settle_time=60\n"
    )
    assert "is removed" in command(shop, "remove", DOMAIN).output
    assert "gone" in command(shop, "list").output
    row = shop.app.connections.get(DOMAIN)
    assert row is not None and row.app_secrets == ("its secret",)


# ---------------------------------------------------------------- others at the same moment


@pytest.fixture
def shared(postgres: Postgres) -> Iterator[Engine]:
    """On SQLite nobody comes between a reading and a writing of ours."""
    engine = open_database(postgres.fresh())
    yield engine
    engine.dispose()


def once_after(engine: Engine, sentence: str, act: Callable[[], None]) -> None:
    """What another process does just after this one read something."""
    seen: list[str] = []

    def watch(*args: Any) -> None:
        if sentence in args[2] and not seen:
            seen.append(args[2])
            act()

    event.listen(engine, "after_cursor_execute", watch)


def test_of_two_first_starts_one_makes_the_key_of_e_mails(shared: Engine) -> None:
    other = create_engine(shared.url)
    once_after(shared, "FROM sealed_keys", lambda: first.append(open_keys(other, (SECRET,))))
    first: list[Keys] = []
    assert open_keys(shared, (SECRET,)).email_hash("a@b.c") == first[0].email_hash("a@b.c")
    other.dispose()


def test_a_database_of_another_secret_is_not_opened(engine: Engine) -> None:
    open_keys(engine, (SECRET,))
    with pytest.raises(FixTheSetup, match="not the secret that this database was written with"):
        open_keys(engine, (NEW_SECRET,))


def test_what_is_forgotten_while_the_secret_changes_stays_forgotten(shared: Engine) -> None:
    place, keys = Place(DOMAIN, "7"), open_keys(shared, (NEW_SECRET, SECRET))
    header = {"name": "#7", "createdAt": "2026-11-01T10:00:00Z", "updatedAt": "2026-11-01T10:00:00Z"}
    orders = SqlOrders(shared, keys)
    orders.put_header(place, "ada@example.com", header, webhook=None)
    orders.put_snapshot(place, {"name": "#7"}, datetime.now(UTC))
    other = create_engine(shared.url)
    gone = SqlPrivacy(other, keys)
    once_after(shared, "orders.snapshot IS NOT NULL", lambda: gone.forget(DOMAIN, Customer("", "", ""), [place]))
    rotate(shared, keys.box(), lambda line: None)
    assert orders.order(place) is None
    other.dispose()


def test_scopes_of_a_store_without_tokens_are_nobodys(shop: World) -> None:
    shop.app.connections.end(DOMAIN, "gone", "removed")
    shop.app.connections.set_scopes(DOMAIN, frozenset({"read_orders"}))
    row = shop.app.connections.get(DOMAIN)
    assert row is not None and row.grant is None
