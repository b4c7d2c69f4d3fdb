"""The command line."""

import gzip
import json
import logging
import os
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import click

from plugin.cli_database import backup, migrate, restore
from plugin.cli_doctor import doctor
from plugin.cli_orders import backfill, import_legacy
from plugin.cli_privacy import privacy
from plugin.cli_start import init, sandbox
from plugin.cli_stores import keys, stores
from plugin.errors import FixTheBundle, OrderActionsError

EXIT = """\b
Exit codes:
  0  done
  1  refused, or failed and proved not done
  2  the command line is wrong
  3  the bundle or the set-up has errors
  4  in doubt or still going on: look at the order before you repeat anything
"""


class _Bundle(click.Path):
    def __init__(self) -> None:
        super().__init__(file_okay=False, exists=True, path_type=Path)


_bundle = click.option(
    "--bundle",
    type=_Bundle(),
    default=None,
    help="Folder with plugin.yaml. Default: this folder if it has one, else ours.",
)


@click.group(epilog=EXIT, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="shopify-order-actions")
def cli() -> None:
    """Refund and cancel Shopify orders from the card in a CRM, by actions written in YAML."""


cli.add_command(doctor)
cli.add_command(stores)
cli.add_command(keys)
cli.add_command(privacy)
cli.add_command(import_legacy)
cli.add_command(backfill)


@cli.command()
@click.option("--port", type=click.IntRange(0, 65533), default=8000, show_default=True, help="First of three; 0: any.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@click.option("--load", "loads", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="An order as Shopify's webhooks send it (JSON); may be given several times.")  # fmt: skip
@click.option("--set", "settings", multiple=True, help="A setting of the store, like refund_after_fulfillment=true.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path),
              help="Folder for database, store and secrets: the next start goes on where this one ended.")  # fmt: skip
@click.option("--only", "part", type=click.Choice(["store", "plugin"]),
              help="Start one part, the other elsewhere with the same port and folder; store first.")  # fmt: skip
@_bundle
def demo(
    port: int, no_open: bool, loads: tuple[Path, ...], settings: tuple[str, ...], keep: Path | None, part: str | None,
    bundle: Path | None,
) -> None:  # fmt: skip
    """Try everything on this machine: a sandbox store, a sandbox desk and the plugin."""
    from plugin.app import find_bundle
    from plugin.demo import only, open_browser, running
    from plugin.logs import configure

    if part is not None and (keep is None or port == 0):
        raise click.UsageError("--only needs --keep DIR and a --port, so that the two parts find each other.")

    configure(human=True)
    stop = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: stop.set())
    with ExitStack() as stack:
        if part is not None and keep is not None:
            url = stack.enter_context(only(part, find_bundle(bundle), port, loads, click.echo, settings, keep))
            click.echo(f"\n  Open {url}\n\n  Press Ctrl-C to end.")
        else:
            started = stack.enter_context(running(find_bundle(bundle), port, loads, click.echo, settings, keep))
            url = started.desk_url
            click.echo(f"\n  Open {url}\n\n  Press Ctrl-C to end. Store: {started.store_url}")
        if not no_open:
            open_browser(url)
        stop.wait()
        click.echo("\nEnding.")


@cli.command()
@click.option("--bind", default="127.0.0.1:8001", show_default=True, help="Address to listen on.")
@click.option("--workers", default=2, show_default=True, help="Web processes.")
@click.option("--background/--no-background", default=None,
              help="Whether one of the web processes works in the background too (open runs, notes). "
              "Default: on SQLite yes, on PostgreSQL no; run `order-actions worker` beside it.")  # fmt: skip
@_bundle
def serve(bind: str, workers: int, background: bool | None, bundle: Path | None) -> None:
    """Serve the card for a CRM. Configured by environment variables; see docs/operations.md."""
    from plugin.app import config_from, find_bundle
    from plugin.serving import serve as run_server

    run_server(find_bundle(bundle), config_from(os.environ), bind, workers, background)


@cli.command()
@click.option("--bind", help="Address for this worker's own /metrics, /healthz and /readyz. Default: none.")
@_bundle
def worker(bind: str | None, bundle: Path | None) -> None:
    """Work in the background: carry on open runs, deliver notes. Configured like `serve`.

    As many as you like on one PostgreSQL. Ends on SIGTERM or Ctrl-C, after what it has in hand.
    """
    from plugin.app import config_from, find_bundle
    from plugin.serving import work

    work(find_bundle(bundle), config_from(os.environ), bind)


@cli.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@_bundle
def check(paths: tuple[Path, ...], bundle: Path | None) -> None:
    """Check a bundle: every mistake with file, line, column and its cure.

    PATH names action files to look at; default is the whole bundle.
    """
    from plugin.app import find_bundle
    from plugin.check import check_bundle
    from plugin.findings import has_errors, render

    root = find_bundle(bundle)
    findings = check_bundle(root, list(paths) or None)
    if findings:
        click.echo(render(findings), err=True)
    errors = sum(1 for one in findings if one.severity == "error")
    warnings = len(findings) - errors
    click.echo(
        f"{root}: {errors} errors, {warnings} warnings" if findings else f"{root}: no errors",
        err=bool(errors),
    )
    if has_errors(findings):
        sys.exit(1)


_order = click.option("--order", "name", required=True, help="The order's number, like #1001, or its Shopify id.")
_form = click.option("--form", "form_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
                     help="YAML or JSON: field name to value. Left out: the form's defaults.")  # fmt: skip
_agent = click.option("--agent", "agent_id", required=True, help="Who does this; stands in the run and the note.")
_groups = click.option("--role-group", "groups", multiple=True, required=True,
                       help="CRM role group that decides the permission set.")  # fmt: skip
_sandbox = click.option(
    "--sandbox", is_flag=True, help="Use a sandbox store of this process instead of the environment's."
)


@cli.command("dry-run")
@click.argument("action")
@_order
@_form
@_sandbox
@click.option("--agent", "agent_id", default="dry-run", show_default=True)
@click.option("--role-group", "groups", multiple=True, help="Default: the widest permission set.")
@_bundle
def dry_run(
    action: str, name: str, form_file: Path | None, sandbox: bool, agent_id: str, groups: tuple[str, ...],
    bundle: Path | None,
) -> None:  # fmt: skip
    """Print the exact calls ACTION would send, as JSON, and send nothing."""
    from plugin.commands import dry_run as command

    click.echo(json.dumps(command(bundle, action, name, _read_form(form_file), agent_id, groups, sandbox), indent=2))


@cli.command()
@click.argument("action")
@_order
@_form
@_agent
@_groups
@_sandbox
@_bundle
def run(
    action: str, name: str, form_file: Path | None, agent_id: str, groups: tuple[str, ...], sandbox: bool,
    bundle: Path | None,
) -> None:  # fmt: skip
    """Do ACTION without the card: same permissions, limits and runs, recorded as from here."""
    from plugin.commands import run as command

    state, text = command(bundle, action, name, _read_form(form_file), agent_id, groups, sandbox, click.echo)
    click.echo(text, err=state not in ("done", "pending"))
    sys.exit({"done": 0, "pending": 0, "working": 4, "doubt": 4, "review": 4}.get(state, 1))


@cli.group()
def schema() -> None:
    """The pinned part of Shopify's GraphQL schema."""


@schema.command()
@click.option("--from", "source", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Shopify's whole Admin schema as SDL (.graphql or .graphql.gz).")  # fmt: skip
@_bundle
def pull(source: Path, bundle: Path | None) -> None:
    """Cut what this bundle and the sandbox select from Shopify's schema, and write it into the bundle."""
    from plugin.app import find_bundle
    from plugin.commands import pull as command

    text = gzip.decompress(source.read_bytes()).decode() if source.suffix == ".gz" else source.read_text("utf-8")
    path = command(find_bundle(bundle), text, click.echo)
    click.echo(f"Wrote {path}.")


@cli.group()
def alarms() -> None:
    """What somebody must look at. Configured like `serve`."""


@alarms.command("list")
@click.option("--all", "every", is_flag=True, help="Lifted alarms too.")
@_bundle
def list_alarms(every: bool, bundle: Path | None) -> None:
    """The alarms that stand, a line each."""
    from plugin.commands import list_alarms as command

    for line in command(bundle, every):
        click.echo(line)


@alarms.command()
@click.argument("alarm_id", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why; kept with the alarm.")
@_agent
@_groups
@_bundle
def lift(alarm_id: int, reason: str, agent_id: str, groups: tuple[str, ...], bundle: Path | None) -> None:
    """End an alarm after looking; refunds that it stopped go on. Needs the permission plugin.admin."""
    from plugin.commands import lift_alarm as command

    click.echo(command(bundle, alarm_id, reason, agent_id, groups))


@cli.group()
def runs() -> None:
    """What was pressed, what became of it, and what a person must decide. Configured like `serve`."""


@runs.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only runs that are not finished.")
@_bundle
def list_runs(only_open: bool, bundle: Path | None) -> None:
    """The newest runs, a line each."""
    from plugin.commands import list_runs as command

    for line in command(bundle, only_open):
        click.echo(line)


@runs.command()
@click.argument("run_id")
@_bundle
def show(run_id: str, bundle: Path | None) -> None:
    """Everything known of one run; what the customer wrote is left out."""
    from plugin.commands import show_run as command

    click.echo(json.dumps(command(bundle, run_id), indent=2))


@runs.command()
@click.argument("run_id")
@click.option(
    "--as",
    "how",
    required=True,
    help="again, not-done, done or cancelled (a cancel that paid, or paid nothing back), or the number of the refund.",
)
@click.option("--reason", required=True, help="Why; kept with the run.")
@_agent
@_groups
@_bundle
def resolve(
    run_id: str, how: str, reason: str, agent_id: str, groups: tuple[str, ...], bundle: Path | None
) -> None:  # fmt: skip
    """Decide about a run in doubt, after comparing the order in Shopify with it."""
    from plugin.commands import resolve as command

    click.echo(command(bundle, run_id, how, reason, agent_id, groups))


_what = click.argument("crm", type=click.Choice(["kustomer"]))


@cli.command("export")
@_what
@click.option("--version", default="1.0.0", show_default=True, help="Version to write into the definition.")
@_bundle
def export(crm: str, version: str, bundle: Path | None) -> None:
    """Write the app definition for CRM as JSON, made of plugin.yaml."""
    from plugin.crm_commands import export as command

    click.echo(json.dumps(command(bundle, version), indent=2))


@cli.command()
@_what
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@_bundle
def connect(crm: str, dry_run: bool, bundle: Path | None) -> None:
    """Register and install the app in CRM; safe to repeat. A registered version is permanent."""
    from plugin.crm_commands import connect as command

    for line in command(bundle, dry_run):
        click.echo(line)


@cli.group()
def agents() -> None:
    """Agents who connected their CRM account to the card."""


@agents.command("list")
@_bundle
def list_agents(bundle: Path | None) -> None:
    """Who is connected, and since when; a line for each browser."""
    from plugin.crm_commands import list_agents as command

    for line in command(bundle):
        click.echo(line)


@agents.command()
@click.argument("user_id", required=False)
@click.option("--all", "everybody", is_flag=True, help="Everybody.")
@_bundle
def revoke(user_id: str | None, everybody: bool, bundle: Path | None) -> None:
    """End the connections of one agent; an open session ends within five minutes."""
    from plugin.crm_commands import revoke as command

    if bool(user_id) == everybody:
        raise click.UsageError("Name one agent, or --all.")
    click.echo(f"Ended: {command(bundle, user_id)}")


for _one in (init, sandbox, migrate, backup, restore):
    cli.add_command(_one)


def _read_form(path: Path | None) -> dict[str, Any] | None:
    from plugin.source import load

    if path is None:
        return None
    source = load(path)
    if source.findings:
        from plugin.findings import render

        raise FixTheBundle(render(source.findings))
    if not isinstance(source.data, dict):
        raise FixTheBundle(f"{path} must be a mapping of field names to values.")
    return source.data


def main() -> NoReturn:
    """The program's door: errors to stderr, one sentence each, and an exit code."""
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    from plugin.logs import configure

    configure(human=True, stream=sys.stderr, level=logging.ERROR)  # a command's answer is not a log
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except OrderActionsError as error:
        click.echo(str(error), err=True)
        sys.exit(3 if type(error).__name__ in ("FixTheBundle", "FixTheSetup") else 1)
    sys.exit(0)
