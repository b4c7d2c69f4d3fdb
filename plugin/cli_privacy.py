"""`order-actions privacy`: what customers asked of us through Shopify, and the answers for the store's owner."""

import json
from pathlib import Path

import click

from plugin.cli_stores import app_of, bundle_option
from plugin.errors import NothingHere


@click.group()
def privacy() -> None:
    """Privacy requests that came from Shopify. Configured like `serve`."""


@privacy.command("list")
@bundle_option
def list_requests(bundle: Path | None) -> None:
    """Every request, and whether it is done."""
    from plugin.privacy import listed

    for line in listed(app_of(bundle)):
        click.echo(line)


@privacy.command()
@click.argument("request_id")
@bundle_option
def show(request_id: str, bundle: Path | None) -> None:
    """What is held of a customer who asked for it, as JSON on standard output. Keep it from others."""
    from plugin.privacy import report_of

    click.echo(json.dumps(report_of(app_of(bundle), request_id), indent=2, ensure_ascii=False))


@privacy.command()
@click.argument("request_id")
@bundle_option
def drop(request_id: str, bundle: Path | None) -> None:
    """Forget a request that is done, and its report."""
    if not app_of(bundle).privacy.drop(request_id):
        raise NothingHere(f"There is no request {request_id} that is done. See `order-actions privacy list`.")
    click.echo("Forgotten.")
