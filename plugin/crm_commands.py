"""What the command line does with a CRM: the app definition, its registration, the probe, and who is connected."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plugin.app import App, Config, SystemClock, build, config_from, find_bundle
from plugin.errors import FixTheSetup
from plugin.hosts.kustomer import Client, KustomerHost
from plugin.hosts.kustomer.connect import carry_out, look, probe
from plugin.hosts.kustomer.definition import definition
from plugin.source import load
from plugin.wire import is_safe_address


def export(bundle: Path | None, version: str) -> dict[str, Any]:
    """The definition of one version. Needs ORDER_ACTIONS_PUBLIC_URL alone."""
    return _definition(bundle, os.environ.get("ORDER_ACTIONS_PUBLIC_URL", ""), version)


def _definition(bundle: Path | None, public_url: str, version: str) -> dict[str, Any]:
    if not is_safe_address(public_url):
        raise FixTheSetup("ORDER_ACTIONS_PUBLIC_URL is missing, or not an https address.")
    root = find_bundle(bundle)
    manifest = load(root / "plugin.yaml").data
    actions = [load(root / path).data for path in manifest["actions"]]
    return definition(manifest, actions, public_url, version)


def connect(bundle: Path | None, dry_run: bool, config: Config | None = None) -> Iterator[str]:
    """What will be done, line by line, and then what was; the client secret is not asked for here."""
    own = config or config_from(os.environ)
    client = Client(own.kustomer, own.kustomer_key, SystemClock())
    steps = look(client, _definition(bundle, own.public_url, "0.0.0"))
    yield from steps.told
    if dry_run:
        yield "Nothing was done."
        return
    yield f"Done: {carry_out(client, steps, _definition(bundle, own.public_url, steps.version))}."


def probe_identity(bundle: Path | None) -> tuple[bool, str]:
    """Try to forge an agent, and keep what was found: `identity: proxy` rests on it."""
    app, host = _host(bundle)
    if not app.config.kustomer_command_secret:
        raise FixTheSetup("Set ORDER_ACTIONS_KUSTOMER_COMMAND_SECRET first: without it there is no command to probe.")
    found = probe(host.client, app.config.kustomer_app, app.config.kustomer_command_secret)
    app.tools.crm.put_probe(host.client.org.name, found.safe, app.tools.clock.now())
    return found.safe, found.told


def list_agents(bundle: Path | None) -> Iterator[str]:
    app, _ = _host(bundle)
    for one in app.tools.crm.grants():
        yield f"{one.user_id}  {one.created_at:%Y-%m-%d %H:%M}Z"


def revoke(bundle: Path | None, user_id: str | None) -> int:
    app, _ = _host(bundle)
    return app.tools.crm.drop_grants(user_id)


def _host(bundle: Path | None) -> tuple[App, KustomerHost]:
    app = build(config_from(os.environ), find_bundle(bundle))
    if not isinstance(app.tools.host, KustomerHost):
        raise FixTheSetup("This bundle has no crm.host: kustomer.")
    return app, app.tools.host
