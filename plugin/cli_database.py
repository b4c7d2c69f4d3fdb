"""`order-actions migrate`, `backup` and `restore`: what an administrator does with the database."""

import os
from pathlib import Path

import click

from plugin.errors import FixTheSetup


@click.command()
def migrate() -> None:
    """Bring the database (ORDER_ACTIONS_DATABASE) to this version, and say what was done. Safe to repeat."""
    from plugin.app import migrate_database

    click.echo(migrate_database(os.environ))


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> None:
    """Copy a SQLite database (ORDER_ACTIONS_DATABASE) into FILE while it is in use. PostgreSQL has pg_dump."""
    from plugin.app import database_url
    from plugin.stores.backup import copy, file_of

    own = file_of(database_url(os.environ))
    if own is None:
        raise FixTheSetup("PostgreSQL has a command of its own: pg_dump --format=custom --file FILE DATABASE_URL")
    copy(own, file)
    click.echo(f"Copied into {file}. It is of no use without ORDER_ACTIONS_SECRET; keep that elsewhere.")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
def restore(file: Path | None) -> None:
    """Put FILE in the place of a SQLite database; without FILE: take what PostgreSQL restored.

    Stop every server and worker first. Whatever an open run sent since the backup is not known then, so a person
    decides about each; and refunds are stopped until an administrator lifts the alarm.
    """
    from plugin.app import SystemClock, database_url, migrate_database
    from plugin.stores.backup import file_of, put_back, settle_in
    from plugin.stores.database import connect

    if file is not None:
        put_back(file, file_of(database_url(os.environ)))
    click.echo(migrate_database(os.environ))
    engine = connect(database_url(os.environ))
    done = settle_in(engine, SystemClock().now())
    engine.dispose()
    click.echo(f"Restored. A person must decide about {done.runs} runs. Refunds are stopped by alarm {done.alarm}.")
