"""One contract for every CRM, and what only one of them can get wrong."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from plugin.app import open_database
from plugin.errors import FixTheSetup, NothingHere, SignInAgain, TooOften, TryLater
from plugin.hosts.kustomer import Client, KustomerHost, OAuthApp, Org, Proxy, org_id_of
from plugin.hosts.kustomer.connect import probe
from plugin.hosts.token import KeySet, TokenHost
from plugin.ports import Host
from plugin.sandbox import kustomer
from plugin.secrets import Keys
from plugin.shapes import Customer, Note, OrderRow, Place
from plugin.stores.crm import SqlCrm

SECRET = "a secret that is long enough for the tests"
KEYS = Keys([SECRET])
NOTE = Note("run-1", "c-ada", "t-ada", "#1001", "u-ana", "Ana Ruiz", "Refunded $5.00. [ref ABCDEF]", "https://x",
            "sandbox.myshopify.com", "1001")  # fmt: skip
HEADER = {"name": "#1001", "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-02T00:00:00Z",
          "cancelledAt": None, "displayFinancialStatus": "PAID", "displayFulfillmentStatus": "UNFULFILLED",
          "total": {"amount": "12.00", "currencyCode": "USD"},
          "refunded": {"amount": "0.0", "currencyCode": "USD"}}  # fmt: skip


class Clock:
    """Moves only when it is told, or slept on."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Case:
    """One CRM: the host, a good token for Ana at Ada, its notes, and its switch for an outage."""

    host: Host
    token: Callable[[], str]
    notes: Callable[[], list[Any]]
    away: Callable[[], None]


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[SqlCrm]:
    engine = open_database(f"sqlite:///{tmp_path / 'crm.sqlite'}")
    yield SqlCrm(engine, KEYS)
    engine.dispose()


# ---------------------------------------------------------------- the signed token


@dataclass
class Served:
    """A CRM's own server: a key set, and notes kept once."""

    url: str
    keys: list[dict[str, Any]]
    notes: dict[str, Any]
    status: int = 200


@pytest.fixture
def served() -> Iterator[Served]:
    own = Served("", [], {})

    @Request.application
    def app(request: Request) -> Response:
        if own.status != 200:
            return Response("", own.status, headers={"Location": "/jwks"})
        if request.path == "/jwks":
            return Response(json.dumps({"keys": own.keys}), content_type="application/json")
        body = json.loads(request.get_data())
        own.notes.setdefault(body["external_id"], body)
        return Response("{}", 201)

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    own.url = f"http://127.0.0.1:{server.server_port}"
    yield own
    server.shutdown()
    thread.join()
    server.server_close()


def claims(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    full = {
        "iss": "desk", "aud": "order-actions", "sub": "u-ana", "name": "Ana Ruiz", "groups": ["Support agents"],
        "customer": {"id": "c-ada", "email": "ada@example.com", "name": "Ada Fairweather"}, "conversation": "t-ada",
        "iat": now, "exp": now + timedelta(seconds=60), "jti": uuid4().hex, **changes,
    }  # fmt: skip
    return {key: value for key, value in full.items() if value is not None}


def shared(**changes: Any) -> str:
    return jwt.encode(claims(**changes), SECRET, algorithm="HS256")


def token_host(crm: SqlCrm, served: Served, published: bool = False) -> TokenHost:
    keys = KeySet(f"{served.url}/jwks") if published else None
    return TokenHost("" if published else SECRET, "desk", crm, Clock(), keys, f"{served.url}/notes", "t")


def _token_case(crm: SqlCrm, served: Served) -> Case:
    def away() -> None:
        served.status = 503

    return Case(token_host(crm, served), shared, lambda: list(served.notes), away)


# ---------------------------------------------------------------- Kustomer


@dataclass
class Org1:
    """The sandbox's organisation, our host on it, and the agent's side of the sign-in."""

    sandbox: kustomer.Running
    host: KustomerHost
    crm: SqlCrm
    clock: Clock

    @property
    def state(self) -> Any:
        return self.sandbox.state

    def connected(self) -> str:
        url, cookie = self.host.accounts.start()
        back = requests.get(url, allow_redirects=False, timeout=10).headers["Location"]
        asked = {key: values[0] for key, values in parse_qs(urlsplit(back).query).items()}
        return self.host.accounts.finish(cookie, asked["state"], asked["code"])

    def ticket(self, user: str = "u-ana") -> str:
        org = org_id_of(self.state.key)
        return self.host.command(SECRET, org, user, {})["ticket"]


@pytest.fixture
def org(crm: SqlCrm) -> Iterator[Org1]:
    sandbox = kustomer.serve()
    clock = Clock()
    client = Client(Org("acme", sandbox.url), sandbox.state.key, clock)
    app = OAuthApp("client", "client-secret", "http://127.0.0.1:1/kustomer/callback")
    proxy = Proxy(SECRET, org_id_of(sandbox.state.key), may_act=True)
    yield Org1(sandbox, KustomerHost(client, app, proxy, crm, KEYS, clock), crm, clock)
    sandbox.close()


def shown(customer: str = "c-ada", **more: str) -> str:
    body = {"customer": customer, "conversation": "t-ada", **more}
    return base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")


def _kustomer_case(org: Org1) -> Case:
    handle = org.connected()

    def away() -> None:
        org.state.faults[:] = ["outage"]

    return Case(org.host, lambda: shown(handle=handle), lambda: [one["externalId"] for one in org.state.notes], away)


# ---------------------------------------------------------------- the contract


@pytest.fixture(params=["token", "kustomer"])
def case(request: pytest.FixtureRequest, crm: SqlCrm) -> Case:
    if request.param == "token":
        return _token_case(crm, request.getfixturevalue("served"))
    return _kustomer_case(request.getfixturevalue("org"))


DEEP = base64.urlsafe_b64encode(b"[" * 5000).decode()


class TestHosts:
    def test_a_proved_agent_is_known_with_groups_and_customer(self, case: Case) -> None:
        found = case.host.identify(case.token())
        assert (found.agent_id, found.agent_name, found.role_groups, found.read_only) == (
            "u-ana", "Ana Ruiz", ("Support agents",), False,
        )  # fmt: skip
        assert (found.customer.id, found.customer.email, found.customer.name, found.conversation) == (
            "c-ada", "ada@example.com", "Ada Fairweather", "t-ada",
        )  # fmt: skip

    @pytest.mark.parametrize(
        "token", ["", "x", "e30", "a.b.c", shown(handle="forged"), "é", DEEP, shown(handle="\ud800")]
    )
    def test_any_doubt_opens_nothing(self, case: Case, token: str) -> None:
        with pytest.raises((SignInAgain, NothingHere)):
            case.host.identify(token)

    def test_a_note_is_written_once(self, case: Case) -> None:
        case.host.post_note(NOTE)
        case.host.post_note(NOTE)
        assert case.notes() == ["run-1"]

    def test_an_outage_delays_a_note(self, case: Case) -> None:
        case.away()
        with pytest.raises(TryLater):
            case.host.post_note(NOTE)
        assert case.notes() == []


# ---------------------------------------------------------------- only the token


def test_a_token_is_good_once(crm: SqlCrm, served: Served) -> None:
    host, token = token_host(crm, served), shared()
    host.identify(token)
    with pytest.raises(SignInAgain):
        host.identify(token)
    with pytest.raises(SignInAgain):
        host.identify(shared(jti=jwt.decode(token, options={"verify_signature": False})["jti"], name="Another text"))


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": "Support leads"}, {"groups": [1]}, {"sub": ""}, {"name": 7}, {"name": "x" * 201}, {"jti": 5},
        {"customer": {"id": 1, "email": "a", "name": "b"}}, {"customer": {"id": "1"}}, {"order": {"id": "1"}},
        {"conversation": 4}, {"exp": datetime.now(UTC) + timedelta(hours=2)}, {"aud": ["else"]},
    ],
)  # fmt: skip
def test_a_claim_of_another_kind_opens_nothing(crm: SqlCrm, served: Served, changes: dict[str, Any]) -> None:
    with pytest.raises(SignInAgain):
        token_host(crm, served).identify(shared(**changes))


RSA, SMALL, EC = (rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 1024),
                  ec.generate_private_key(ec.SECP256R1()))  # fmt: skip


def _published(served: Served) -> None:
    served.keys[:] = [
        {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa", "use": "sig"},
        {**RSAAlgorithm.to_jwk(SMALL.public_key(), as_dict=True), "kid": "small"},
        {**ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "kid": "ec", "alg": "ES256"},
        {"kty": "oct", "kid": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode()},
    ]


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec")])
def test_a_published_key_proves_a_token(crm: SqlCrm, served: Served, key: Any, algorithm: str, kid: str) -> None:
    _published(served)
    host = token_host(crm, served, published=True)
    assert host.identify(jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": kid})).agent_id == "u-ana"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # the small key is the point
@pytest.mark.parametrize(
    ("key", "algorithm", "headers"),
    [
        (RSA, "RS256", {}), (RSA, "RS256", {"kid": "else"}), (RSA, "RS512", {"kid": "rsa"}),
        (SMALL, "RS256", {"kid": "small"}), (SECRET, "HS256", {"kid": "oct"}), (SECRET, "HS256", {"kid": "rsa"}),
        (EC, "ES256", {"kid": "rsa"}), ("", "none", {"kid": "rsa"}),
    ],
)  # fmt: skip
def test_no_token_chooses_its_own_proof(
    crm: SqlCrm, served: Served, key: Any, algorithm: str, headers: dict[str, str]
) -> None:  # fmt: skip
    _published(served)
    with pytest.raises(SignInAgain):
        token_host(crm, served, published=True).identify(
            jwt.encode(claims(), key, algorithm=algorithm, headers=headers)
        )


def test_keys_are_not_fetched_through_a_redirect(crm: SqlCrm, served: Served) -> None:
    _published(served)
    served.status = 302
    with pytest.raises(TryLater):
        token_host(crm, served, published=True).identify(
            jwt.encode(claims(), RSA, algorithm="RS256", headers={"kid": "rsa"})
        )


@pytest.mark.parametrize("url", ["http://crm.test/jwks", "https://a@b.test/", "file:///etc/passwd", "https://a\\@b/"])
def test_keys_come_over_https_only(url: str) -> None:
    with pytest.raises(FixTheSetup):
        KeySet(url)


# ---------------------------------------------------------------- only Kustomer: who


def test_the_proxy_alone_opens_the_card_for_reading(org: Org1) -> None:
    found = org.host.identify(shown(ticket=org.ticket()))
    assert (found.agent_id, found.read_only) == ("u-ana", True)


def test_a_ticket_is_good_once_and_for_a_minute(org: Org1) -> None:
    used, old = org.ticket(), org.ticket()
    org.host.identify(shown(ticket=used))
    with pytest.raises(SignInAgain):
        org.host.identify(shown(ticket=used))
    org.clock.sleep(62)
    with pytest.raises(SignInAgain):
        org.host.identify(shown(ticket=old))


@pytest.mark.parametrize(("secret", "own"), [("wrong", True), ("", True), (SECRET, False)])
def test_nobody_but_kustomer_gets_a_ticket(org: Org1, secret: str, own: bool) -> None:
    with pytest.raises(SignInAgain):
        org.host.command(secret, org_id_of(org.state.key) if own else "another", "u-ana", {})


@pytest.mark.parametrize(("temper", "safe"), [("honest", True), ("forging", False), ("leaking", False)])
def test_the_proxy_may_act_only_after_a_probe_found_it_safe(org: Org1, temper: str, safe: bool) -> None:
    org.state.proxy, org.state.command_secret = temper, SECRET

    @Request.application
    def ours(request: Request) -> Response:
        names = ("Authorization", "X-Kustomer-Org-Id", "X-Kustomer-User-Id")
        secret, own, user = (request.headers.get(name, "") for name in names)
        found = org.host.command(secret.removeprefix("Bearer "), own, user, json.loads(request.get_data()))
        return Response(json.dumps(found), content_type="application/json")

    server = make_server("127.0.0.1", 0, ours, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    org.state.command_url = f"http://127.0.0.1:{server.server_port}/"
    try:
        result = probe(org.host.client, "app", SECRET)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert result.safe is safe, result.told
    assert org.host.identify(shown(ticket=org.ticket())).read_only, "before the probe is recorded"
    org.crm.put_probe("acme", result.safe, org.clock.now())
    assert org.host.identify(shown(ticket=org.ticket())).read_only is not safe
    org.clock.sleep(31 * 86400)
    assert org.host.identify(shown(ticket=org.ticket())).read_only, "an old probe proves nothing"


def test_a_state_is_good_once_and_in_its_own_browser(org: Org1) -> None:
    url, cookie = org.host.accounts.start()
    _, another = org.host.accounts.start()
    back = requests.get(url, allow_redirects=False, timeout=10).headers["Location"]
    asked = {key: values[0] for key, values in parse_qs(urlsplit(back).query).items()}
    for wrong in (another, "", "x"):
        with pytest.raises(SignInAgain):
            org.host.accounts.finish(wrong, asked["state"], asked["code"])
    org.host.accounts.finish(cookie, asked["state"], asked["code"])
    with pytest.raises(SignInAgain):
        org.host.accounts.finish(cookie, asked["state"], asked["code"])


def test_a_connection_is_renewed_and_can_be_revoked(org: Org1) -> None:
    org.state.lasts = 60
    handle = org.connected()
    org.clock.sleep(3600)
    assert org.host.identify(shown(handle=handle)).agent_id == "u-ana"
    assert len(org.state.refresh) == 1, "the used refresh token is gone, the new one is kept"
    assert org.crm.drop_grants("u-ana") == 1
    with pytest.raises(SignInAgain):
        org.host.identify(shown(handle=handle))


def test_a_connection_kustomer_ended_is_forgotten(org: Org1) -> None:
    handle = org.connected()
    org.state.access.clear()
    with pytest.raises(SignInAgain):
        org.host.identify(shown(handle=handle))
    assert org.crm.grants() == []


def test_an_agent_is_counted_before_kustomer_is_asked(org: Org1) -> None:
    handle, counted = org.connected(), list[str]()
    asked = len(org.state.asked)

    def count(agent_id: str) -> None:
        counted.append(agent_id)
        raise TooOften("wait", 5)

    for proof in ({"handle": handle}, {"ticket": org.ticket()}):
        asked = len(org.state.asked)
        with pytest.raises(TooOften):
            org.host.identify(shown(**proof), count)
        assert len(org.state.asked) == asked
    assert counted == ["u-ana", "u-ana"]


def test_an_outage_while_renewing_keeps_the_connection(org: Org1) -> None:
    org.state.lasts = 0
    handle = org.connected()
    org.state.faults[:] = ["once"]
    with pytest.raises(TryLater):
        org.host.identify(shown(handle=handle))
    assert org.host.identify(shown(handle=handle)).agent_id == "u-ana"


def test_machines_and_strangers_get_no_session(org: Org1) -> None:
    for user in ("machine-1", "u-gone"):
        with pytest.raises(SignInAgain):
            org.host.identify(shown(ticket=org.ticket(user)))


def test_a_refused_key_is_the_admins_matter_and_keeps_connections(org: Org1) -> None:
    handle = org.connected()
    org.state.key = "another"
    with pytest.raises(FixTheSetup, match="KUSTOMER_KEY"):
        org.host.identify(shown(handle=handle))
    assert [one.user_id for one in org.crm.grants()] == ["u-ana"]


def test_a_change_of_role_groups_holds_within_a_minute(org: Org1) -> None:
    assert org.host.identify(shown(ticket=org.ticket())).role_groups == ("Support agents",)
    org.state.users["u-ana"]["roleGroups"] = []
    org.clock.sleep(61)
    assert org.host.identify(shown(ticket=org.ticket())).role_groups == ()


def test_a_name_two_role_groups_share_stands_for_neither(org: Org1) -> None:
    org.state.groups["g-fake"] = "Support agents"
    assert org.host.identify(shown(ticket=org.ticket())).role_groups == ()


def test_the_page_decides_neither_email_nor_conversation(org: Org1) -> None:
    found = org.host.identify(shown("c-bilal", ticket=org.ticket(), email="ada@example.com"))
    assert (found.customer.email, found.conversation) == ("bilal@example.com", None)


# ---------------------------------------------------------------- only Kustomer: what is written


def row(updated: str = "2026-01-02T00:00:00Z", name: str = "#1001") -> OrderRow:
    place = Place("sandbox.myshopify.com", "1001")
    return OrderRow(place, name, "2026-01-01T00:00:00Z", updated, "h", "", HEADER, False, None, None, None)


def test_an_order_becomes_one_object_and_an_older_state_never_wins(org: Org1) -> None:
    org.host.put_order(row("2026-01-03T00:00:00Z"), "ADA@example.com", "Sandbox store")
    org.host.put_order(row("2026-01-02T00:00:00Z", "#old"), "ada@example.com", "Sandbox store")
    org.host.put_order(row(), "nobody@example.com", "Sandbox store")
    assert list(org.state.kobjects) == ["1001"]
    one = org.state.kobjects["1001"]
    assert (one["customer"], one["title"], one["custom"]["orderUpdatedAt"]) == (
        "c-ada", "Order #1001 (12.00 USD)", "2026-01-03T00:00:00Z",
    )  # fmt: skip


def test_what_the_snapshot_holds_is_written_as_long_as_it_shows_the_order_as_it_stands(org: Org1) -> None:
    seen = {
        "updatedAt": "2026-01-02T00:00:00+00:00", "note": "n" * 2000, "tags": ["gift", "vip"], "shippingAddress": None,
        "lineItems_12345678": {"nodes": [{"sku": "MUG"}, {"sku": None}, {"sku": "TS-M"}]},
        "transactions_12345678": [
            {"kind": "SALE", "status": "SUCCESS", "formattedGateway": "Visa", "accountNumber": "•••• 4242"},
            {"kind": "SALE", "status": "FAILURE", "formattedGateway": "Amex", "accountNumber": None},
            {"kind": "REFUND", "status": "SUCCESS", "formattedGateway": "Visa", "accountNumber": "•••• 4242"},
        ],
    }  # fmt: skip
    org.host.put_order(replace(row(), snapshot=seen), "ada@example.com", "Sandbox store")
    details = {
        "specialInstructionsStr": "n" * 1024, "orderTagsStr": "gift, vip", "shippingCityStr": "",
        "shippingCountryStr": "", "skusTxt": "MUG, TS-M", "paymentSummaryStr": "Visa •••• 4242",
    }  # fmt: skip
    custom = org.state.kobjects["1001"]["custom"]
    assert {name: custom[name] for name in (*details, "shopNameStr")} == {**details, "shopNameStr": "Sandbox store"}
    stale = {**seen, "tags": ["old"]}
    org.host.put_order(replace(row("2026-01-03T00:00:00Z"), snapshot=stale), "ada@example.com", "Sandbox store")
    assert org.state.kobjects["1001"]["custom"]["orderTagsStr"] == "gift, vip"


def test_a_customers_phone_is_the_one_kustomer_has_and_only_when_it_is_certain(org: Org1) -> None:
    token = shown(ticket=org.ticket(), customer="c-gita", phone="+15550109999")
    assert org.host.identify(token).customer == Customer("c-gita", "", "Gita Ringer", "+15550101008")
    org.state.customers["c-gita"]["phones"] = [{"phone": "555 0101"}, {"phone": 5}, "x"]
    assert org.host.identify(shown(ticket=org.ticket(), customer="c-gita")).customer.phone == ""


@pytest.mark.parametrize(("given", "phone"), [("+1 555 010 1008", "+15550101008"), ("555 0101", ""), (None, "")])
def test_a_signed_token_may_name_the_customers_phone(
    crm: SqlCrm, served: Served, given: str | None, phone: str
) -> None:  # fmt: skip
    customer = {"id": "c-gita", "email": "", "name": "Gita", "phone": given}
    token = jwt.encode(claims(customer=customer), SECRET, algorithm="HS256")
    assert token_host(crm, served).identify(token).customer == Customer("c-gita", "", "Gita", phone)


def test_an_order_bought_with_a_phone_alone_finds_its_customer(org: Org1) -> None:
    org.host.put_order(row(), "+15550101008", "Sandbox store")
    assert org.state.kobjects["1001"]["customer"] == "c-gita"
    assert "GET /v1/customers/phone=+15550101008" in org.state.asked


def test_a_lost_race_reads_again(org: Org1) -> None:
    org.host.put_order(row(), "ada@example.com", "Sandbox store")
    org.state.conflicts = 2
    org.host.put_order(row("2026-01-04T00:00:00Z"), "ada@example.com", "Sandbox store")
    assert org.state.kobjects["1001"]["custom"]["orderUpdatedAt"] == "2026-01-04T00:00:00Z"
    org.state.conflicts = 9
    with pytest.raises(TryLater):
        org.host.put_order(row("2026-01-05T00:00:00Z"), "ada@example.com", "Sandbox store")


@pytest.mark.parametrize("conversation", [None, "t-gone"])
def test_without_a_conversation_the_order_takes_the_note_once(org: Org1, conversation: str | None) -> None:
    note = Note(**{**NOTE.__dict__, "conversation": conversation})
    org.host.post_note(note)
    org.host.put_order(row(), "ada@example.com", "Sandbox store")
    org.host.post_note(note)
    assert org.state.kobjects["1001"]["custom"]["actionsTxt"] == "Refunded $5.00. [ref ABCDEF] (run-1)"
    assert org.state.kobjects["1001"]["title"] == "Order #1001 (12.00 USD)"


def test_a_note_whose_answer_was_lost_is_found_again_however_long_the_conversation(org: Org1) -> None:
    org.state.page_size = 2
    org.state.notes += [{"conversation": "t-ada", "externalId": f"older-{one}", "body": ""} for one in range(5)]
    org.state.faults[:] = ["lost"]
    with pytest.raises(TryLater, match="HTTP 502"):
        org.host.post_note(NOTE)
    org.host.post_note(NOTE)
    assert [one["externalId"] for one in org.state.notes[5:]] == ["run-1"]


@pytest.mark.parametrize("answer", [{}, {"data": [{}]}, {"data": [], "links": {"next": "https://evil.test/v1"}}])
def test_while_the_notes_of_a_conversation_cannot_be_read_to_the_end_none_is_written(
    org: Org1, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setattr(org.host.client, "call", lambda method, *_: answer if method == "GET" else pytest.fail(method))
    with pytest.raises(TryLater, match="none is written"):
        org.host.post_note(NOTE)


def test_a_note_is_written_in_the_agents_name_or_says_it(org: Org1) -> None:
    org.host.post_note(NOTE)
    org.state.roles.remove("org.admin")
    org.host.post_note(Note(**{**NOTE.__dict__, "id": "run-2"}))
    assert [(one.get("createdBy"), one["body"].split("\n")[0]) for one in org.state.notes] == [
        ("u-ana", "Refunded $5.00. [ref ABCDEF]"), (None, "Ana Ruiz: Refunded $5.00. [ref ABCDEF]"),
    ]  # fmt: skip


def test_a_used_up_limit_stops_every_call_until_it_ends(org: Org1) -> None:
    org.state.faults[:] = ["limit"]
    for _ in range(3):
        with pytest.raises(TryLater):
            org.host.post_note(NOTE)
    assert len(org.state.asked) == 1
    org.clock.sleep(3)
    org.host.post_note(NOTE)
    assert [one["externalId"] for one in org.state.notes] == ["run-1"]


@pytest.mark.parametrize("name", ["acme.evil.test/", "acme@evil", "", "Acme", "a\\b", "-acme"])
def test_an_address_is_made_of_a_checked_name(name: str) -> None:
    with pytest.raises(FixTheSetup):
        Org(name)
    assert Org("acme").api == "https://acme.api.kustomerapp.com"
