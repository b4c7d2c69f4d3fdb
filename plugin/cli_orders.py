"""The commands that bring in orders: those of an older app, and those of before the webhooks."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click

_store = click.option("--store", "domain", help="The store, like my-shop.myshopify.com. Default: the only one.")
_bundle = click.option("--bundle", type=click.Path(file_okay=False, exists=True, path_type=Path), default=None,
                       help="Folder with plugin.yaml. Default: this folder if it has one, else ours.")  # fmt: skip


@contextmanager
def progress(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """Hears how far it is and draws it, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda at: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield lambda at: bar.update(at - bar.pos)
        bar.update(length - bar.pos)


@click.command("import-legacy")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_store
@_bundle
def import_legacy(file: Path, domain: str | None, bundle: Path | None) -> None:
    """Take in the orders an older app left in FILE: JSON, as Shopify's webhooks wrote them. Safe to repeat.

    They are shown by their number alone, until Shopify changes them next. What cannot be read is named with its
    place and cure, and the rest is taken; the exit code is 1 then.
    """
    from plugin.app import build, config_from, find_bundle
    from plugin.findings import render
    from plugin.legacy import import_file

    app = build(config_from(os.environ), find_bundle(bundle))
    try:
        raw, store = file.read_bytes(), app.tools.store_named(domain)
        with progress(len(raw), "Importing") as say:
            report = import_file(app.tools, store.domain, raw, file.as_posix(), say)
    finally:
        app.close()
    if report.refused:
        click.echo(render(report.refused), err=True)
    click.echo(f"taken: {report.taken}, already there: {report.known}, refused: {report.wrong}")
    if report.unmatched:
        click.echo(f"without e-mail and certain phone, so found by a search by number only: {report.unmatched}")
    sys.exit(1 if report.refused else 0)


@click.command()
@click.option("--since", required=True, type=click.DateTime(["%Y-%m-%d"]), metavar="DATE",
              help="Orders made on this day or later (UTC), like 2024-01-31.")  # fmt: skip
@_store
@_bundle
def backfill(since: datetime, domain: str | None, bundle: Path | None) -> None:
    """Bring in the orders Shopify has since DATE, by one of its bulk operations. Safe to stop and to repeat.

    An order that is known stays as it is, unless Shopify's is newer. A repeated command goes on where the last one
    was stopped.
    """
    from plugin.app import build, config_from, find_bundle
    from plugin.backfill import bring_in, collect, warning

    app = build(config_from(os.environ), find_bundle(bundle))
    try:
        store, day = app.tools.store_named(domain), since.date()
        if warned := warning(store, day, app.tools.clock.now().date()):
            click.echo(warned, err=True)
        result = collect(app.tools, store.domain, day, _counting)
        with progress(result.count, "Bringing in") as say:
            report = bring_in(app.tools, store.domain, result, say)
    finally:
        app.close()
    click.echo(f"taken: {report.newer}, newer here already: {report.known}, not readable: {report.unread}")
    sys.exit(1 if report.unread else 0)


def _counting(count: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\rShopify collects the orders: {count} ", err=True, nl=False)
