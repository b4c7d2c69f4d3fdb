"""Alarms about runs: raised once, told with the run, lifted by themselves only when the doubt is gone."""

import json

import pytest

from plugin import alarms
from plugin.ports import Alarm, LostLease
from plugin.reconcile import TWICE
from plugin.runtime import carry_out
from plugin.shapes import Run, StepState
from tests.test_cli import order_actions
from tests.test_runs_command import variables  # noqa: F401 - a fixture
from tests.world import REFUND, World, outcome, with_settings


def in_doubt(shop: World, fault: str = "502-before") -> Run:
    view = shop.preview(1001, REFUND, shop.open(1001, REFUND), lines=["1", "0"])
    shop.fault(fault, on="refundCreate")
    outcome(shop.submit(1001, REFUND, view))
    return shop.tools.runs.newest(1)[0]


def standing(shop: World) -> list[tuple[str, str | None, str]]:
    return [(one.kind, one.run_id, one.text) for one in shop.tools.watch.alarms(active=True)]


def record(shop: World, run: Run, state: StepState, error: str) -> None:
    epoch = shop.tools.runs.claim(run.id, "test", shop.tools.clock.now(), 10)
    if epoch is None:
        raise LostLease(run.id)
    shop.tools.runs.record(run.steps[0], epoch, state, error=error)
    shop.tools.runs.release(run.id, epoch)


def test_a_doubt_is_an_alarm_after_the_setting_once_and_ends_when_it_is_known(shop: World) -> None:
    run = in_doubt(shop, "502-after")
    alarms.watch(shop.tools)
    assert standing(shop) == []
    with_settings(shop, doubt_alarm_minutes=0)
    for _ in range(2):
        alarms.watch(shop.tools)
    assert standing(shop) == [("doubt", run.id, "In doubt for longer than 0 minutes. HTTP 502")]
    assert not carry_out(shop.tools, run.id, 0.0).open
    alarms.watch(shop.tools)
    ended = shop.tools.watch.alarms(active=False)
    assert [(one.lifted_by, one.reason) for one in ended] == [("order-actions", "known: settled")]


def test_a_doubt_that_is_being_sent_again_is_not_known_yet(shop: World) -> None:
    run = in_doubt(shop)
    with_settings(shop, doubt_alarm_minutes=0)
    alarms.watch(shop.tools)
    epoch = shop.tools.runs.claim(run.id, "test", shop.tools.clock.now(), 10)
    assert epoch is not None
    shop.tools.runs.sending(run.steps[0], epoch, shop.tools.clock.now())
    alarms.watch(shop.tools)
    assert [one[0] for one in standing(shop)] == ["doubt"]


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (TWICE, "twice", TWICE),
        ("This request used the same idempotency key as another", "key", alarms.KEY),
    ],
)
def test_a_marker_found_twice_and_a_key_of_another_call_stay_until_a_person_lifts(
    shop: World, error: str, kind: str, text: str
) -> None:
    run = in_doubt(shop)
    record(shop, run, StepState.REVIEW, error)
    alarms.watch(shop.tools)
    assert standing(shop) == [(kind, run.id, text)]
    record(shop, run, StepState.SETTLED, "")
    alarms.watch(shop.tools)
    assert [one[0] for one in standing(shop)] == [kind]


def test_a_marker_really_found_twice_raises_the_alarm(shop: World) -> None:
    run = in_doubt(shop)
    for _ in range(2):
        shop.in_admin(1001, "refund", amount="5.00", note=run.steps[0].marker)
    carry_out(shop.tools, run.id, 0.0)
    alarms.watch(shop.tools)
    assert standing(shop) == [("twice", run.id, TWICE)]


def test_alarms_are_listed_and_lifted_from_the_command_line(shop: World, variables: dict[str, str]) -> None:  # noqa: F811
    run = in_doubt(shop)
    with_settings(shop, doubt_alarm_minutes=0)
    alarms.watch(shop.tools)
    listed = order_actions("alarms", "list", **variables)
    assert (listed.returncode, listed.stdout.split()[:4]) == (0, ["1", "doubt", run.place.store, "run"]), listed.stderr
    args = ["alarms", "lift", "1", "--reason", "seen", "--agent", "kim", "--role-group"]
    refused = order_actions(*args, "Support leads", **variables)
    assert (refused.returncode, refused.stderr) == (1, 'You do not have the permission "Administer this plugin".\n')
    lifted = order_actions(*args, "Administrators", **variables)
    assert (lifted.returncode, "by kim: seen)" in lifted.stdout) == (0, True), lifted.stderr
    found: list[Alarm] = list(shop.tools.watch.alarms(active=True))
    assert found == []
    assert json.dumps(shop.ledger(1001)["refunds"]) == "[]"
