"""`order-actions runs`: the records of a real run, read in another process with the environment's configuration."""

import json
from pathlib import Path

import pytest

from plugin.runtime import carry_out
from tests.test_cli import order_actions
from tests.world import REFUND, World, outcome
from tests.world import variables as environment


@pytest.fixture
def variables(shop: World, tmp_path: Path) -> dict[str, str]:
    return environment(f"sqlite:///{tmp_path / 'app.sqlite'}")


def test_runs_are_listed_and_shown_without_what_people_wrote(shop: World, variables: dict[str, str]) -> None:
    outcome(shop.act(1001, REFUND, lines=["1", "0"], reason="a private word"))
    run = shop.tools.runs.newest(1)[0]
    listed = order_actions("runs", "list", **variables)
    assert listed.returncode == 0, listed.stderr
    assert [run.id, "closed", "#1001"] == listed.stdout.split()[:3]
    shown = order_actions("runs", "show", run.id, **variables)
    data = json.loads(shown.stdout)
    assert (data["outcome"], data["steps"][0]["reference"], data["steps"][0]["attempts"]) == (
        "done", run.steps[0].marker, 1,
    )  # fmt: skip
    assert "private" not in shown.stdout
    assert order_actions("runs", "list", "--open", **variables).stdout == ""
    assert order_actions("runs", "show", "nothing", **variables).returncode == 1


def test_resolving_from_the_command_line_needs_the_permission(shop: World, variables: dict[str, str]) -> None:
    view = shop.preview(1001, REFUND, shop.open(1001, REFUND), lines=["1", "0"])
    shop.fault("502-before", on="refundCreate")
    run_id = outcome(shop.submit(1001, REFUND, view))["follow_url"].rsplit("/", 1)[-1]
    shop.in_admin(1001, "refund", amount="25.00", note="by hand")
    carry_out(shop.tools, run_id, 0.0)
    args = ["runs", "resolve", run_id, "--as", "not-done", "--reason", "paid by hand", "--agent", "sam"]
    refused = order_actions(*args, "--role-group", "Support agents", **variables)
    assert (refused.returncode, "Decide about runs in doubt" in refused.stderr) == (1, True)
    after = shop.tools.runs.run(run_id)
    assert after is not None
    assert after.open
