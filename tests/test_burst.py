"""Many webhooks at once: `make prove` sends ten thousand, this a few hundred."""

from pathlib import Path

from plugin.stores.database import open_database
from tests.proofs.burst import Delivery, _lost, burst, deliveries


def test_of_a_burst_of_webhooks_none_is_lost_and_none_is_late(database: str, tmp_path: Path) -> None:
    wrong, _ = burst(database, tmp_path, 300)
    assert wrong == []


def test_a_webhook_that_was_lost_is_seen(database: str) -> None:
    open_database(database).dispose()
    sent: list[Delivery] = deliveries(20)
    assert _lost(database, sent) == ["5 orders are not as they were last told", "18 of 18 webhooks are not marked"]
