"""What every test stands on: a world of its own, and no network but loopback."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import database, empty_database, engine, memory, postgres  # noqa: F401 - fixtures for every test
from tests.world import World, world

# Of two workers one begins with files that mostly wait, the other with two that mostly work: together they fill
# the machine, and neither is left with a long file in the end.
FIRST = ("browser/test_plug.py", "test_matrix.py", "test_kills.py", "test_arithmetic.py", "test_services.py",
         "browser/test_admins.py", "test_fleet.py", "test_restarts.py", "test_burst.py", "test_backup.py",
         "test_canaries.py")  # fmt: skip
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def pytest_configure() -> None:
    """Files of tests are made in memory: nobody pulls the plug of the machine, and disks are slow to promise."""
    if root := memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", root)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any address but loopback fails at once."""
    connect = socket.socket.connect

    def only_loopback(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            raise AssertionError(f"a test went to {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_loopback)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as one:
        yield one


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        path = str(item.path)
        return next((number for number, one in enumerate(FIRST) if path.endswith(one)), len(FIRST))

    items.sort(key=turn)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What a test left out and said so by `record_property` is printed at the end, by whichever process it ran."""
    reports = [one for some in terminalreporter.stats.values() for one in some if getattr(one, "when", "") == "call"]
    for what, which in [pair for one in reports for pair in one.user_properties]:
        terminalreporter.write_line(f"{what}: {which}")
