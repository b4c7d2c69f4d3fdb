"""`order-actions doctor`: a line for each thing looked at, once, or whenever it changes."""

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from plugin.errors import FixTheBundle, FixTheSetup

STUCK = "Is ORDER_ACTIONS_SECRET here the server's? If it was changed, start the doctor again. Then look at the log."

if TYPE_CHECKING:
    from plugin.app import App
    from plugin.doctor import Check


@click.command()
@click.option("--watch", "pause", type=click.FloatRange(min=0.1), metavar="SECONDS",
              help="Look again and again, and print a line for each change, until stopped.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, for a monitor.")
@click.option("--probe-identity", is_flag=True,
              help="Only try to forge an agent through Kustomer's command proxy; keep what was found.")  # fmt: skip
@click.option("--bundle", type=click.Path(file_okay=False, exists=True, path_type=Path), default=None,
              help="Folder with plugin.yaml. Default: this folder if it has one, else ours.")  # fmt: skip
def doctor(pause: float | None, as_json: bool, probe_identity: bool, bundle: Path | None) -> None:
    """Look at what the installation rests on: each line is ok, or says what to do. Configured like `serve`.

    Ends with 0 when everything is in order, else with 1; with --watch, by what was seen last.
    """
    if probe_identity:
        _probe(bundle)
    patient = _Patient(bundle)
    stop = threading.Event()
    told: dict[str, Check] = {}
    if pause is not None:
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, lambda *_: stop.set())
    while True:
        found = {one.name: one for one in patient.examine()}
        now = found if patient.looked else {**told, **found}  # nothing is known to have changed
        for line in _lines(told, now, as_json, dated=pause is not None):
            click.echo(line)
        told = now
        if pause is None or stop.wait(pause):
            break
    sys.exit(0 if all(one.ok for one in told.values()) else 1)


class _Patient:
    """The installation, built anew until it can be: what keeps it from starting is the first thing to tell."""

    def __init__(self, bundle: Path | None) -> None:
        self._bundle = bundle
        self._app: App | None = None
        self.looked = False

    def examine(self) -> list["Check"]:
        from plugin.app import build, config_from, find_bundle
        from plugin.doctor import Check, examine

        self.looked = False
        try:
            self._app = self._app or build(config_from(os.environ), find_bundle(self._bundle))
        except (FixTheSetup, FixTheBundle) as error:
            return [Check("set-up", str(error), "Mend this, and look again.")]
        try:
            checks = examine(self._app)
        except Exception as error:  # noqa: BLE001 - a door: a monitor must go on, and say what it could not do
            return [Check("doctor", f"it could not look: {type(error).__name__}", STUCK)]
        self.looked = True
        return checks


def _lines(told: Mapping[str, "Check"], now: Mapping[str, "Check"], as_json: bool, *, dated: bool) -> list[str]:
    """What is new or changed, and what is gone. A monitor watches `ok`; people read the rest."""
    changed = [one for name, one in now.items() if told.get(name) != one]
    gone = [name for name in told if name not in now]
    at = datetime.now(UTC).isoformat(timespec="seconds") if dated else ""
    if as_json:
        rows = [{"name": one.name, "ok": one.ok, "found": _found(one), "cure": one.cure} for one in changed]
        rows += [{"name": name, "ok": True, "found": "gone", "cure": ""} for name in gone]
        return [json.dumps(({"at": at} if dated else {}) | row) for row in rows]
    start = f"{at}  " if dated else ""
    lines = [f"{start}{'ok   ' if one.ok else 'WRONG'}  {one.name}: {_found(one)}{_cure(one)}" for one in changed]
    return [*lines, *(f"{start}ok     {name}: gone" for name in gone)]


def _found(check: "Check") -> str:
    return f"{check.found} ({check.more})" if check.more else check.found


def _cure(check: "Check") -> str:
    return "" if check.ok else f"\n       what to do: {check.cure}"


def _probe(bundle: Path | None) -> None:
    from plugin.crm_commands import probe_identity

    safe, told = probe_identity(bundle)
    click.echo(f"command proxy: {'safe' if safe else 'NOT SAFE'}: {told}", err=not safe)
    sys.exit(0 if safe else 1)
