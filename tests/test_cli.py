"""The command line: words on the right stream, and exit codes that mean something."""

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import structlog

from plugin.app import VARIABLES, Config, database_url
from plugin.cli import main
from plugin.errors import FixTheSetup
from tests.shared import ROOT

FORM = '{lines: {TS-NVY-M: 1}, reason: "Broken ${{ agent }}"}'
ARGS = ["--order", "#1001", "--sandbox"]


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def order_actions(*args: str, cwd: Path = ROOT, **variables: str) -> Done:
    """What a shell would see of the command. It runs in this process, as another takes a second to start."""
    out, err = io.StringIO(), io.StringIO()
    told, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in [one for one in os.environ if one.startswith("ORDER_ACTIONS_")]:
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["order-actions", *args])
        with pytest.raises(SystemExit) as ended:
            main()
    structlog.configure(**told)
    logging.root.handlers[:], logging.root.level = handlers, level
    assert isinstance(ended.value.code, int)
    return Done(ended.value.code, out.getvalue(), err.getvalue())


def in_a_process(*args: str) -> Done:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ORDER_ACTIONS_")}
    words = [sys.executable, "-m", "plugin", *args]
    done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of ours to break."""
    for name in ("actions", "schemas", "card_templates"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "plugin.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def form(tmp_path: Path) -> str:
    path = tmp_path / "form.yaml"
    path.write_text(FORM, encoding="utf-8")
    return str(path)


def test_a_newcomer_finds_the_commands_and_exit_codes() -> None:
    shown = in_a_process("--help").stdout
    for word in ("demo", "serve", "check", "dry-run", "run", "schema", "Exit codes"):
        assert word in shown


def test_our_own_bundle_has_no_errors() -> None:
    checked = order_actions("check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, ".: no errors\n", "")


def test_a_typo_stops_the_start_with_one_error_at_its_column(bundle: Path) -> None:
    path = bundle / "actions" / "refund.yaml"
    text = path.read_text(encoding="utf-8").replace("        notify: ${{", "        notifiy: ${{")
    path.write_text(text, encoding="utf-8")
    line = next(number for number, one in enumerate(text.splitlines(), 1) if "notifiy" in one)
    for command in (["check", "--bundle", str(bundle)], ["demo", "--port", "0", "--no-open", "--bundle", str(bundle)]):
        stopped = in_a_process(*command)
        errors = [one for one in stopped.stderr.splitlines() if ": error: " in one]
        assert len(errors) == 1
        assert f"actions/refund.yaml:{line}:9: error: RefundInput has no field 'notifiy'" in errors[0]
        assert "did you mean 'notify'?" in stopped.stderr
        assert stopped.returncode == (1 if command[0] == "check" else 3)


def test_a_folder_that_is_no_bundle_is_told_so(tmp_path: Path) -> None:
    stopped = order_actions("check", "--bundle", str(tmp_path))
    assert (stopped.returncode, stopped.stderr) == (3, f"{tmp_path} has no plugin.yaml, so it is not a bundle.\n")


def test_a_dry_run_prints_the_exact_calls(form: str) -> None:
    shown = order_actions("dry-run", "shopify.order.refund", *ARGS, "--form", form)
    calls = json.loads(shown.stdout)
    assert [(one["step"], one["moves"]) for one in calls] == [("refund", "$25.00")]
    given = calls[0]["request"]["variables"]["input"]
    assert given["note"].startswith("Broken ${{ agent }} [ref ")
    assert given["transactions"][0]["amount"] == "25.00"
    assert "@idempotent(key: $key)" in calls[0]["request"]["query"]


def test_a_run_does_it_and_says_what_really_happened(form: str) -> None:
    done = order_actions(
        "run", "shopify.order.refund", *ARGS, "--form", form, "--agent", "ana", "--role-group", "Support agents"
    )
    assert done.returncode == 0, done.stderr
    assert "Done: Refunded $25.00 on #1001. (refund 5000001" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["shopify.order.refund", "--order", "#1008"], 1, "Everything has shipped"),
        (["shopify.order.refund", "--order", "#999"], 1, "No connected store has an order #999."),
        (["shopify.order.nothing", "--order", "#1001"], 1, "There is no action 'shopify.order.nothing'"),
        (["shopify.order.refund", "--order", "#1001"], 1, "lines: Choose at least one item"),
    ],
)
def test_a_refusal_goes_to_stderr_with_its_code(args: list[str], code: int, said: str) -> None:
    for command in (["dry-run"], ["run", "--agent", "ana", "--role-group", "Support agents"]):
        refused = order_actions(command[0], *args, "--sandbox", *command[1:])
        assert (refused.returncode, said in refused.stderr) == (code, True), refused.stderr


def test_serve_names_every_missing_variable_and_every_unknown_one() -> None:
    stopped = order_actions("serve", ORDER_ACTIONS_DATABSE="sqlite://", ORDER_ACTIONS_TRAFFIC_LIGHT="green")
    assert stopped.returncode == 3
    for line in (
        f"ORDER_ACTIONS_SECRET is missing: {VARIABLES['ORDER_ACTIONS_SECRET'][1]}",
        f"ORDER_ACTIONS_DATABASE is missing: {VARIABLES['ORDER_ACTIONS_DATABASE'][1]}",
        "ORDER_ACTIONS_DATABSE is not a variable of order-actions; did you mean ORDER_ACTIONS_DATABASE?",
        "ORDER_ACTIONS_TRAFFIC_LIGHT is not a variable of order-actions; take it away or mend its name",
    ):
        assert line in stopped.stderr.splitlines()
    with pytest.raises(FixTheSetup, match=r"ORDER_ACTIONS_DATABSE .* did you mean ORDER_ACTIONS_DATABASE\?"):
        database_url({"ORDER_ACTIONS_DATABSE": "sqlite://"})


def test_every_variable_that_is_named_anywhere_stands_in_the_table() -> None:
    pages = [one for end in ("py", "md", "conf", "service", "socket") for part in ("plugin", "docs")
             for one in (ROOT / part).rglob(f"*.{end}")]  # fmt: skip
    named = {name for one in pages for name in re.findall(r"ORDER_ACTIONS_[A-Z_]*[A-Z]", one.read_text("utf-8"))}
    assert named == set(VARIABLES)
    assert {field for field, _ in VARIABLES.values()} <= {one.name for one in fields(Config)}


def test_a_bundle_of_ones_own_is_the_one_that_came_and_is_never_written_over(tmp_path: Path) -> None:
    made = order_actions("init", "mine", cwd=tmp_path)
    assert (made.returncode, order_actions("check", "--bundle", "mine", cwd=tmp_path).returncode) == (0, 0)
    (tmp_path / "mine/plugin.yaml").unlink()
    again = order_actions("init", "mine", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (3, "mine has actions, schemas, card_templates already.\n")


def test_a_wrong_command_line_ends_with_two() -> None:
    wrong = in_a_process("demo", "--port", "none")
    assert (wrong.returncode, wrong.stdout, "'none' is not a valid integer" in wrong.stderr) == (2, "", True)
