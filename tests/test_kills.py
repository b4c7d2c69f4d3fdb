"""A sample of the real kills of `make prove`: processes, sockets, SIGKILL, and the store's own ledger."""

from pathlib import Path

from plugin.stores.database import open_database
from tests.proofs.kills import kills


def test_a_killed_process_leaves_nothing_double_lost_or_stuck(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / name}" for name in ("one.sqlite", "two.sqlite")]
    for one in urls:
        open_database(one).dispose()
    count = kills(5, urls)
    assert (count.double, count.lost, count.stuck, count.said, count.kills >= 5) == (0, 0, 0, [], True)
