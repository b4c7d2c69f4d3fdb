"""A sample of the real kills of `make prove`: processes, sockets, SIGKILL, and the store's own ledger."""

from pathlib import Path

from plugin.stores.database import open_database
from tests.proofs.kills import kills


def test_a_killed_process_leaves_nothing_double_lost_or_stuck(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'kills.sqlite'}"
    open_database(url).dispose()
    count = kills(5, url)
    assert (count.line(), count.said) == ("5 kills: 0 double, 0 lost, 0 stuck", [])
