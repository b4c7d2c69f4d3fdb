"""Registering and installing the app, and the probe of the command proxy: each says what it will do, or found."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plugin.errors import FixTheSetup
from plugin.hosts.kustomer.client import Client, Refused
from plugin.hosts.kustomer.definition import APP, GROUP, klass, mark
from plugin.hosts.kustomer.kobjects import KLASS

ROLES = ("org.admin.apps", "org.permission.klass.create")
FIRST = "1.0.0"
FORGED = "5f000000000000000000f0f0"


@dataclass(frozen=True)
class Steps:
    """What is to be done, in order; nothing when all is as it should be."""

    version: str
    register: bool
    install: bool
    make_klass: bool
    told: tuple[str, ...]


@dataclass(frozen=True)
class Probed:
    safe: bool
    told: str


def look(client: Client, definition: Mapping[str, Any]) -> Steps:
    """Compare Kustomer with the definition, whose version is decided here. Raises FixTheSetup, TryLater."""
    try:
        _must_hold(client)
        known = [one for one in _rows(client, "/v1/apps/available") if _named(one)]
        installed = [str(one["attributes"].get("version")) for one in _rows(client, "/v1/apps") if _named(one)]
        has_klass = client.find(f"/v1/klasses/{KLASS}") is not None
    except Refused as refused:
        raise FixTheSetup(f"Kustomer refused to be looked at: {refused}.") from refused
    newest = max(known, key=lambda one: _parts(str(one["attributes"]["version"])), default=None)
    same = newest is not None and mark(newest["attributes"]) == mark(definition)
    if newest is None:
        version, why = FIRST, "this app is not registered yet"
    elif same:
        version, why = str(newest["attributes"]["version"]), "it is registered and has not changed"
    else:
        version = _next(str(newest["attributes"]["version"]))
        why = f"{newest['attributes']['version']} is registered for good and differs"
    told = [f"Version {version}: {why}."]
    told += [] if same else [f"Register {APP} {version}. A registered version is permanent."]
    told += [] if has_klass else [f"Create the klass {KLASS}."]
    install = version not in installed
    told += [f"Install {version} (now: {', '.join(installed) or 'none'})."] if install else ["Nothing to install."]
    return Steps(version, not same, install, not has_klass, tuple(told))


def carry_out(client: Client, steps: Steps, definition: Mapping[str, Any]) -> str:
    """Do what `look` found; the name and OAuth client of the app. Raises FixTheSetup, TryLater."""
    try:
        if steps.register:
            client.call("POST", "/v1/apps/available", definition)
        if steps.make_klass:
            own = klass()
            body = {"name": own["name"], "displayName": "Shopify order", "icon": own["icon"], "color": own["color"]}
            client.call("POST", "/v1/klasses", body)
        rows = [one["attributes"] for one in _rows(client, "/v1/apps/available") if _named(one)]
        newest: Any = next((one for one in rows if one.get("version") == steps.version), {})
        name = newest.get("app", APP)
        if steps.install:
            client.call("POST", "/v1/apps/install", {"app": name, "version": steps.version})
    except Refused as refused:
        raise FixTheSetup(f"Kustomer refused: {refused}. Nothing after this step was done.") from refused
    return f"app {name}, client id {newest.get('clientId', 'not told')}"


def probe(client: Client, app: str, secret: str) -> Probed:
    """Ask our own command through the proxy under a false name, and look for our secret in the answer.

    Safe only when the true user reached us each time. Any doubt is unsafe. Raises TryLater.
    """
    try:
        own = client.get("/v1/users/current")["id"]
        for header in ("x-kustomer-user-id", "X-Kustomer-User-Id", "X-KUSTOMER-USER-ID"):
            nonce = secrets.token_hex(8)
            body = {"headers": {header: FORGED}, "body": {"probe": nonce}, "args": {}, "urlArgs": {}}
            answer = client.call("POST", f"/v1/commands/{app}.{GROUP}.open/run", body)
            if secret in json.dumps(answer):
                return Probed(False, "the answer shows the command's secret to whoever runs it")
            seen = answer["data"]["attributes"]["responseBody"]
            seen = json.loads(seen) if isinstance(seen, str) else seen
            if seen["probe"] != nonce or seen["user"] != own:
                return Probed(False, f"a caller's own {header} reached us, or it is not clear who asked")
    except Refused as refused:
        return Probed(False, f"Kustomer refused the probe: {refused}")
    except (KeyError, TypeError, ValueError):
        return Probed(False, "the answer is not of the known form")
    return Probed(True, "the proxy said who asked, whatever the caller claimed, and kept the secret to itself")


def _must_hold(client: Client) -> None:
    held = client.get("/v1/auth/tokens/current").get("attributes", {}).get("roles") or []
    missing = [one for one in ROLES if one not in held and one.rsplit(".", 1)[0] not in held]
    if missing:
        raise FixTheSetup(f"The API key lacks the roles {', '.join(missing)}. Roles are fixed when a key is made.")


def _rows(client: Client, path: str) -> Sequence[Any]:
    body = client.call("GET", path)
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list) or any(not isinstance(one.get("attributes"), dict) for one in rows):
        raise FixTheSetup(f"Kustomer's answer to {path} is not of the known form. Nothing was changed.")
    return rows


def _named(one: Mapping[str, Any]) -> bool:
    """A private app may have the organisation's id behind its name."""
    name = str(one["attributes"].get("app"))
    return name == APP or name.startswith(f"{APP}_")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def _next(version: str) -> str:
    major, minor, patch = (*_parts(version), 0, 0, 0)[:3]
    return f"{major}.{minor}.{patch + 1}"
