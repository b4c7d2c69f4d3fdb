"""A sample of the real kills of `make prove`: processes, sockets, SIGKILL, and the store's own ledger."""

from pathlib import Path

from tests.databases import sqlite_file
from tests.proofs.kills import kills, turns, unreached
from tests.proofs.stories import STORIES


def test_a_killed_process_leaves_nothing_double_lost_or_stuck_in_any_story_and_every_point_is_in_one(
    tmp_path: Path,
) -> None:
    urls = [sqlite_file(tmp_path / name) for name in ("one.sqlite", "two.sqlite")]
    first = [one for one in turns(1) if {visit for _, visit in one.strikes} == {1}]
    one_of_each = [next(one for one in first if one.story is story) for story in STORIES]
    count = kills(one_of_each, urls, most=len(first))
    assert (count.said, count.kills >= len(STORIES), unreached(count)) == ([], True, [])
