"""Orders of an older app: read from its file, told about, and healed by the next update."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from plugin.cli_orders import import_legacy as command
from plugin.findings import render
from plugin.legacy import Report, import_file, import_legacy
from plugin.shapes import Customer, Place
from plugin.stores.tables import customers_seen, orders
from tests.shared import folder
from tests.world import BASE, DOMAIN, World, connected, variables, world

OLD = "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("shop")) as one:
        yield one


@pytest.fixture
def shop(opened: World) -> World:
    """One store for the whole file, and no order known of it."""
    with opened.app.engine.begin() as tx:
        for table in (orders, customers_seen):
            tx.execute(table.delete())
    return opened


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": BASE + number, "name": f"#{number}", "created_at": OLD, "updated_at": OLD,
            "email": "ada@example.com", **changes}  # fmt: skip


def take(shop: World, text: str) -> Report:
    return import_legacy(shop.tools, DOMAIN, text, "old.json")


def legacy(shop: World) -> list[str]:
    return [one.name for one in shop.tools.orders.orders_of(Customer("c", "ada@example.com", "")) if one.legacy]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([row(1), row(2)]),
        f"{json.dumps(row(1))}\n{json.dumps(row(2))}\n",
        json.dumps({"orders": [row(1), row(2)], "next": None}),
        "\n".join(json.dumps({"_source": "x", "order": row(one)}, indent=1) for one in (1, 2)),
        json.dumps([row(1, id=f"gid://shopify/Order/{BASE + 1}"), row(2, id=str(BASE + 2))]),
    ],
)
def test_an_array_lines_and_envelopes_are_read_alike(shop: World, text: str) -> None:
    assert (take(shop, text), sorted(legacy(shop))) == (Report(taken=2), ["#1", "#2"])


def test_importing_again_changes_nothing(shop: World) -> None:
    text = json.dumps([row(1001), row(1002, email=None), row(1003, email="", phone="0555 123")])
    assert take(shop, text) == Report(taken=3, unmatched=2)
    assert take(shop, text) == Report(known=3)


def test_a_known_order_stays_as_it_is(shop: World) -> None:
    shop.rows(1001)
    assert take(shop, json.dumps([row(1001)])) == Report(known=1)
    assert shop.button(1001, "shopify.order.refund") == (True, None)


def test_the_next_update_heals_them(shop: World) -> None:
    take(shop, json.dumps([row(1001)]))
    assert shop.order(1001).card == "message"
    shop.in_admin(1001, "touch", note="changed")
    shop.rows(1001)
    assert (legacy(shop), shop.order(1001).card) == ([], "order_view")


def test_a_phone_number_finds_an_older_apps_order(shop: World) -> None:
    take(shop, json.dumps([row(7, email=None, phone="+1 555 010 9999")]))
    asks = Customer("c", "else@example.com", "", "+15550109999")
    assert [one.place for one in shop.tools.orders.orders_of(asks)] == [Place(DOMAIN, str(BASE + 7))]


def test_everything_wrong_is_told_with_place_and_cure_and_the_rest_is_taken(shop: World) -> None:
    text = "\n".join([
        json.dumps(row(1)),
        '{"id": 1.5e12, "name": "", "created_at": "2026-01-01", "updated_at": 7, "email": "nobody", "phone": 49}',
        '  {"name": "#2", "id": true, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00+02:00"}',
        "[5]",
        json.dumps(row(2)),
    ])  # fmt: skip
    report = take(shop, text)
    assert (report.taken, legacy(shop)) == (1, ["#1"])
    when = "write it like 2024-03-01T12:00:00Z, with its time zone"
    assert [(one.line, one.column, one.message, one.help) for one in report.refused] == [
        (2, 8, "this is no id of an order", "write Shopify's whole number, in quotes where a program rounds it"),
        (2, 24, "this is no number of an order", 'write it as Shopify shows it, like "#1001"'),
        (2, 42, "this is no time", when),
        (2, 70, "this is no time", when),
        (2, 82, "this is no e-mail address", "write one address, or null"),
        (2, 101, "this is no phone number", "write it in quotes, with its country code, or null"),
        (3, 24, "this is no id of an order", "write Shopify's whole number, in quotes where a program rounds it"),
        (4, 2, "this is not JSON: an order is expected, in braces; what follows was not read",
         "mend it here and import the file again"),
    ]  # fmt: skip
    assert "nobody" not in render(report.refused)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('{"id" 5}', (1, 7), "a colon is expected"),
        ('{"id": 5 "a"', (1, 10), "a comma or a closing brace is expected"),
        ("{id: 5}", (1, 2), "a name in double quotes is expected"),
        ('\n{"id": 5', (2, 9), "a comma or a closing brace is expected"),
        ('{"id": ' + "[" * 100_000, (1, 1), "it cannot be read"),
        ('{"id": ' + "9" * 5_000 + "}", (1, 1), "it cannot be read"),
    ],
)  # fmt: skip
def test_where_the_file_breaks_off_is_told(shop: World, text: str, place: tuple[int, int], message: str) -> None:
    assert [((one.line, one.column), one.message) for one in take(shop, text).refused] == [
        (place, f"this is not JSON: {message}; what follows was not read")
    ]


def test_a_file_that_is_not_utf_8_is_told_where(shop: World) -> None:
    found = import_file(shop.tools, DOMAIN, b'\xef\xbb\xbf[\n{"name": "caf\xe9"}]', "old.json").refused
    assert [(one.line, one.column, one.message) for one in found] == [(2, 14, "this is not UTF-8; nothing was read")]


def test_real_payloads_are_taken_once_they_have_a_number(shop: World) -> None:
    paths = sorted(folder("ORDERS_DIR", "orders").glob("order-*.json"))
    if not paths:
        pytest.skip("0 of the sample orders are here")
    texts = []
    for path in paths:
        given = json.loads(path.read_text("utf-8"))
        order = given.get("order", given)
        texts.append(json.dumps({"order": {**row(1), **order, "name": order.get("name") or f"#{order['id']}"}}))
    report = take(shop, "\n".join(texts))
    assert (report.taken + report.known, report.refused) == (len(paths), [])


def test_the_command_tells_what_became_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = f"sqlite:///{tmp_path / 'app.sqlite'}"
    connected(database, "http://127.0.0.1:9999")
    for name, value in variables(database).items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "old.jsonl"
    lines = [row(1), row(2, email=None), row(3, id=0, created_at="x")]
    file.write_text("".join(f"{json.dumps(one)}\n" for one in lines), "utf-8")
    said = CliRunner().invoke(command, [str(file)])
    assert (said.exit_code, said.stdout) == (
        1,
        "taken: 2, already there: 0, refused: 1\n"
        "without e-mail and certain phone, so found by a search by number only: 1\n",
    )
    assert f"{file}:3:8: error: this is no id of an order [legacy-order]" in said.stderr
    wrong = CliRunner().invoke(command, [str(file), "--store", "other.myshopify.com"])
    assert str(wrong.exception) == f"Name one connected store: {DOMAIN}."
