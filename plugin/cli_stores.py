"""`order-actions stores` and `order-actions keys`: connect stores, set their settings, change the secret."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from plugin.errors import FixTheSetup, NothingHere, TryLater

if TYPE_CHECKING:
    from plugin.app import App

bundle_option = click.option("--bundle", type=click.Path(file_okay=False, exists=True, path_type=Path), default=None,
                       help="Folder with plugin.yaml. Default: this folder if it has one, else ours.")  # fmt: skip


def app_of(bundle: Path | None) -> "App":
    from plugin.app import build, config_from, find_bundle

    app = build(config_from(os.environ), find_bundle(bundle))
    click.get_current_context().call_on_close(app.close)
    return app


@click.group()
def stores() -> None:
    """Connect Shopify stores. Configured like `serve`."""


@stores.command()
@click.argument("domain")
@click.option("--name", default="", help="The store's name as agents know it. Default: as before, else its domain.")
@click.option("--token", is_flag=True,
              help="Read a custom app's token from standard input; its secret on a second line.")  # fmt: skip
@click.option("--own", is_flag=True, help="An app of the store's own organisation: by client id and secret.")
@bundle_option
def add(domain: str, name: str, token: bool, own: bool, bundle: Path | None) -> None:
    """Connect DOMAIN, like my-shop.myshopify.com.

    Without --token or --own: prints the address to open in a browser, where Shopify asks for permission.
    """
    from plugin.store_setup import announce, connect_own, connect_token, install_url
    from plugin.subscriptions import begin

    app = app_of(bundle)
    if token and own:
        raise click.UsageError("A store is connected in one way: give --token or --own.")
    if not (token or own):
        announce(app, domain, name)
        click.echo(f"Open this in your browser, signed in to {domain}:\n\n  {install_url(app, domain)}")
        return
    if own:
        missing = connect_own(app, domain, name)
    else:
        given, *secrets = [line.strip() for line in sys.stdin.read().splitlines() if line.strip()] or [""]
        if not given:
            raise FixTheSetup("No token came on standard input, as in: order-actions stores add X --token < file")
        missing = connect_token(app, domain, name, given, secrets)
    begin(app, domain)
    click.echo(f"{domain} is connected.")
    if missing:
        click.echo(f"Not granted: {', '.join(missing)}. Actions that need it stay closed.", err=True)


@stores.command("list")
@bundle_option
def list_stores(bundle: Path | None) -> None:
    """Every store, how it is connected, and what is wrong with it."""
    from plugin.permissions import missing_scopes
    from plugin.store_setup import needed_scopes

    app = app_of(bundle)
    if not app.connections.all():
        click.echo("No store is connected: order-actions stores add my-shop.myshopify.com")
    for one in app.connections.all():
        missing = missing_scopes(one.grant.scopes if one.grant else None, needed_scopes(app))
        wrong = one.problem or (f"not granted: {', '.join(missing)}" if missing else "")
        parts = (one.domain, one.name, one.way, one.state, " ".join(one.settings), wrong)
        click.echo("  ".join(part for part in parts if part))


@stores.command("set")
@click.argument("domain")
@click.argument("settings", nargs=-1)
@click.option("--reset", is_flag=True, help="Put all others back to the bundle's.")
@bundle_option
def set_settings(domain: str, settings: tuple[str, ...], reset: bool, bundle: Path | None) -> None:
    """Settings of one store, like refund_after_fulfillment=true, over those it has; prints its own.

    `name=` puts one back to the bundle's.
    """
    from plugin.bundle import settings_of

    app = app_of(bundle)
    row = app.connections.get(domain)
    if row is None:
        raise NothingHere(f"There is no store {domain} here.")
    before = () if reset else row.settings
    named = {one.partition("=")[0]: one for one in (*before, *settings)}
    own = [one for one in named.values() if not one.endswith("=")]
    settings_of(app.tools.bundle, list(named.values()))
    app.connections.set_settings(domain, own)
    click.echo(f"{domain}: {', '.join(own) or 'as in the bundle'}")


@stores.command()
@click.argument("domain")
@bundle_option
def remove(domain: str, bundle: Path | None) -> None:
    """Forget a store's tokens. Its runs stay."""
    from plugin.store_setup import REMOVED

    app = app_of(bundle)
    if app.connections.get(domain) is None:
        raise NothingHere(f"There is no store {domain} here.")
    app.connections.end(domain, "gone", REMOVED)
    click.echo(f"{domain} is removed. Uninstall the app in Shopify as well.")


@click.group()
def keys() -> None:
    """The secret of this installation."""


@keys.command()
@bundle_option
def rotate(bundle: Path | None) -> None:
    """Seal everything in the database with the first secret of ORDER_ACTIONS_SECRET.

    Put the new secret before the old one, restart, run this, then take the old one away and restart.
    """
    from plugin.stores.keys import open_keys
    from plugin.stores.keys import rotate as seal_anew

    app = app_of(bundle)
    count, left = seal_anew(app.engine, open_keys(app.engine, app.config.secrets).box(), click.echo)
    click.echo(f"{count} values are sealed with the first secret.")
    if left:
        raise TryLater(f"{left} open runs still need the old secret. Keep it, and run this again when they are closed.")
