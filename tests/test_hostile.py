"""A sample of the hostile requests, and that the proof sees what it is there to see. The rest is `make prove`."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from tests.proofs.attacks import EVIL
from tests.proofs.hostile import Target, attack, target

SAMPLE = 1500


@pytest.fixture(scope="module")
def aim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with target(tmp_path_factory.mktemp("target")) as made:
        yield made


def test_hostile_requests_break_nothing_and_change_nothing(aim: Target) -> None:
    assert attack(aim, 1, SAMPLE) == []
    assert {200, 302, 400, 401, 403, 404, 405, 409, 413} <= aim.answers.keys(), "they come as far as they can"


def test_a_broken_answer_and_a_change_are_seen(aim: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        with aim.shop.app.engine.begin() as tx:
            tx.execute(text("update orders set name = 'x'"))
        start("500 Oh", [("Content-Type", "text/html"), ("Location", "http://evil.example")])
        return [f'Traceback: File "/srv/x.py" {EVIL}'.encode()]

    monkeypatch.setattr(aim, "webs", [broken])
    assert [one.split(": ", 2)[2].split(", at")[0] for one in attack(aim, 1, 1)] == [
        "HTTP 500", "a trace", "markup of a stranger", "no policy", "a header of a stranger", "orders changed",
    ]  # fmt: skip
