"""The files an administrator copies: systemd's units and nginx's, held against what the program does."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from flask import Flask

from plugin.cli import cli, serve
from plugin.commerce.shopify import READ_TRIES
from plugin.serving import GRACE
from plugin.stores.runs import NOTE_LEASE
from plugin.web import MAX_WEBHOOK, create_web
from plugin.wire import DEADLINE
from tests.shared import ROOT
from tests.world import World

UNITS = sorted((ROOT / "docs/systemd").iterdir())
SECTIONS = {"Unit", "Service", "Socket", "Install"}
PROGRAM = "/opt/order-actions/bin/order-actions"
SECONDS = {"s": 1, "k": 1024}


def settings(path: Path) -> Iterator[tuple[str, str, str]]:
    """Section, key and value of every line that is not a comment."""
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"\[(\w+)\]", line):
            section = found[1]
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, f"{path.name}: {line}"
            yield section, key, value


def values(name: str) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {}
    for _, key, value in settings(ROOT / "docs/systemd" / name):
        told.setdefault(key, []).append(value)
    return told


def test_there_is_a_socket_a_service_and_a_worker() -> None:
    assert [one.name for one in UNITS] == [
        "order-actions-worker@.service", "order-actions.service", "order-actions.socket",
    ]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_has_the_sections_of_systemd_and_is_wanted_by_a_target(unit: Path) -> None:
    told = list(settings(unit))
    assert {section for section, _, _ in told} <= SECTIONS
    assert [value for section, key, value in told if (section, key) == ("Install", "WantedBy")] != []


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_names_commands_and_options_that_exist(unit: Path) -> None:
    for _, key, value in settings(unit):
        if key.startswith("Exec") and value.startswith(PROGRAM):
            name, *args = value.removeprefix(PROGRAM).split()
            command = cli.commands[name]
            command.parse_args(click.Context(command), args)


def test_services_are_shut_in_alike_and_given_the_time_that_they_take() -> None:
    card, worker = values("order-actions.service"), values("order-actions-worker@.service")
    shut = {key for key in card if key.startswith(("Protect", "Private", "Restrict", "System", "No", "Lock", "Cap"))}
    assert shut >= {"NoNewPrivileges", "ProtectSystem", "ProtectHome", "SystemCallFilter", "RestrictAddressFamilies"}
    assert {key: worker[key] for key in shut} == {key: card[key] for key in shut}
    assert (card["User"], card["EnvironmentFile"]) == (worker["User"], worker["EnvironmentFile"])
    assert int(card["TimeoutStopSec"][0]) > GRACE > DEADLINE
    assert int(worker["TimeoutStopSec"][0]) > NOTE_LEASE.total_seconds()


# ---------------------------------------------------------------- the proxy


def nginx() -> dict[str, list[str]]:
    """What nginx is told, by its first word; blocks are told by their head."""
    text = re.sub(r"#.*", "", (ROOT / "docs/nginx.conf").read_text(encoding="utf-8"))
    assert text.count("{") == text.count("}")
    told: dict[str, list[str]] = {}
    for line in re.findall(r"[^;{}]+[;{]", text):
        name, _, rest = line.strip(" \n;{").partition(" ")
        told.setdefault(name, []).append(rest)
    return told


def amount(text: str) -> int:
    return int(text[:-1]) * SECONDS[text[-1]]


def test_the_proxy_takes_what_we_take_and_waits_as_long_as_we_may() -> None:
    told = nginx()
    assert told["client_max_body_size"] == [f"{MAX_WEBHOOK // 1024 // 1024}m"]
    assert amount(told["proxy_read_timeout"][0]) > (READ_TRIES + 1) * DEADLINE
    assert told["proxy_next_upstream"] == ["off"], "what may have paid is never sent a second time"


def test_the_proxy_leads_where_the_socket_listens() -> None:
    bind = next(one.default for one in serve.params if one.name == "bind")
    assert values("order-actions.socket")["ListenStream"] == [bind]
    assert [one.split()[0] for one in nginx()["server"] if one] == [bind]


def test_the_proxy_closes_what_is_for_machines_and_sets_the_headers_we_do_not(shop: World) -> None:
    web: Flask = create_web(shop.app)
    told = nginx()
    closed = next(one for one in told["location"] if one.startswith("~")).removeprefix("~ ")
    assert {rule.rule for rule in web.url_map.iter_rules() if re.search(closed, rule.rule)} == {"/metrics", "/readyz"}
    ours = set(web.test_client().get("/card").headers.keys())
    added = {one.split()[0] for one in told["add_header"]}
    assert (added, added & ours) == ({"Strict-Transport-Security"}, set())


def test_the_proxy_writes_no_code_and_no_search_word_into_its_log() -> None:
    told = nginx()
    assert told["access_log"] == ["/var/log/nginx/order-actions.log order_actions"]
    assert not re.findall(r"\$(request|request_uri|args|http_\w+)\b", told["log_format"][0])
