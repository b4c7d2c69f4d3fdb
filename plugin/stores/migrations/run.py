"""Runs migrations: all of them and the rules in one transaction, or nothing."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from plugin.stores.migrations import HEAD, newer
from plugin.stores.rules import enforce

HERE = Path(__file__).parent
_LOCK = 7_361_002  # any number, as long as it is this one in every version


def upgrade(engine: Engine) -> None:
    """One process at a time: the others wait, and find it done. Raises FixTheSetup for a newer database."""
    with engine.begin() as tx:
        if tx.dialect.name == "postgresql":  # SQLite's writers wait for each other anyway
            for name in ("lock_timeout", "idle_in_transaction_session_timeout"):  # this may take as long as it takes
                tx.execute(text(f"SET LOCAL {name} = 0"))
            tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = _found(tx)
        if found is not None and found > HEAD:
            raise newer(found)
        config = Config(attributes={"connection": tx})
        config.set_main_option("script_location", str(HERE))
        command.upgrade(config, "head")
        for sentence in enforce(tx.dialect.name):  # anew: a migration that rebuilds a table loses its triggers
            tx.exec_driver_sql(sentence)


def _found(tx: Connection) -> str | None:
    from alembic.migration import MigrationContext

    return MigrationContext.configure(tx).get_current_revision()
