"""Migrations on both engines: the tables they make, twice, half, by many at once, and what is told."""

import sqlite3
import sys
import threading
from collections.abc import Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from plugin.errors import FixTheSetup, TryLater
from plugin.stores import database as database_module
from plugin.stores import migrations
from plugin.stores.database import connect, migrate, open_database, version
from plugin.stores.migrations import HEAD
from plugin.stores.migrations import run as running
from plugin.stores.tables import metadata
from tests.databases import Postgres
from tests.proofs.races import context
from tests.test_cli import order_actions
from tests.world import variables


@pytest.fixture
def engine(empty_database: str) -> Iterator[Engine]:
    engine = connect(empty_database)
    yield engine
    engine.dispose()


def tables(engine: Engine) -> list[str]:
    with engine.connect() as tx:
        return sorted(inspect(tx).get_table_names())


def triggers(engine: Engine) -> set[str]:
    query = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    }[engine.dialect.name]
    with engine.connect() as tx:
        return {str(row[0]) for row in tx.execute(text(query))}


def test_migrations_make_the_tables_that_the_program_uses(engine: Engine) -> None:
    assert migrate(engine) == f"The database went from empty to {HEAD}."
    with engine.connect() as tx:
        assert compare_metadata(MigrationContext.configure(tx, opts={"compare_type": True}), metadata) == []
    assert tables(engine) == sorted([*metadata.tables, "alembic_version"])
    assert {"rules_runs_update", "rules_runs_delete", "rules_steps_update", "rules_steps_delete"} <= triggers(engine)


def test_a_second_time_changes_nothing_and_says_so(engine: Engine) -> None:
    migrate(engine)
    assert migrate(engine) == f"The database is at {HEAD} already; nothing to do."


def test_a_migration_that_breaks_half_way_leaves_nothing_and_is_safe_to_repeat(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plug is pulled after the tables and before the rules: all of it is one transaction, on SQLite too."""
    monkeypatch.setattr(running, "enforce", lambda dialect: ["SELECT broken"])
    with pytest.raises(Exception, match="broken"):
        migrate(engine)
    assert (tables(engine), version(engine)) == ([], None)
    monkeypatch.undo()
    assert migrate(engine) == f"The database went from empty to {HEAD}."


def _open(url: str, gate: Barrier, answers: "Queue[str]") -> None:
    gate.wait(30)
    engine = connect(url)
    answers.put(migrate(engine) and str(version(engine)))
    engine.dispose()


def test_many_processes_that_start_at_once_migrate_once(empty_database: str) -> None:
    gate, answers = context.Barrier(6), context.Queue()
    processes = [context.Process(target=_open, args=(empty_database, gate, answers), daemon=True) for _ in range(6)]
    for one in processes:
        one.start()
    assert [answers.get(timeout=60) for _ in processes] == [HEAD] * 6
    for one in processes:
        one.join(30)


def test_a_new_sqlite_file_that_another_process_prepares_is_waited_for(tmp_path: Path) -> None:
    """Switching a file to WAL beside a writer is the one thing for which SQLite does not wait by itself."""
    path = tmp_path / "new.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.2, other.rollback)
    done.start()
    engine = open_database(f"sqlite:///{path}")
    done.join()
    other.close()
    assert version(engine) == HEAD
    engine.dispose()


def test_a_sqlite_file_that_another_program_holds_is_said_to_be_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "QUICK_TRIES", 1)
    monkeypatch.setattr(database_module, "_PATIENCE", "busy_timeout=10")
    engine = open_database(f"sqlite:///{tmp_path / 'held.sqlite'}")
    other = sqlite3.connect(tmp_path / "held.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TryLater, match="Something holds up the database"), engine.begin():
        pass
    other.rollback()
    with engine.begin() as tx:
        tx.execute(text("DELETE FROM used_once"))
    other.close()
    engine.dispose()


def test_a_newer_database_is_left_alone(empty_database: str) -> None:
    engine = connect(empty_database)
    migrate(engine)
    with engine.begin() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(FixTheSetup, match="newer than this program"):
        migrate(engine)
    with pytest.raises(FixTheSetup, match="newer than this program"):
        open_database(empty_database)
    engine.dispose()


def test_the_newest_migration_is_the_one_the_program_asks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_sqlite_makes_its_tables_by_itself(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert version(engine) == HEAD
    engine.dispose()


def test_postgresql_waits_for_the_command_that_changes_it(postgres: Postgres) -> None:
    url = postgres.empty()
    with pytest.raises(FixTheSetup) as refused:
        open_database(url)
    said = f"The database is at no version, this program needs {HEAD}: run `order-actions migrate`."
    engine = connect(url)
    assert (str(refused.value), tables(engine)) == (said, [])
    engine.dispose()
    done = order_actions("migrate", ORDER_ACTIONS_DATABASE=url)
    assert (done.returncode, done.stdout) == (0, f"The database went from empty to {HEAD}.\n")
    assert order_actions("runs", "list", **variables(url)).returncode == 0


def test_migrating_needs_to_know_the_database_and_nothing_else() -> None:
    asked = order_actions("migrate")
    assert (asked.returncode, asked.stderr.partition(":")[0]) == (3, "ORDER_ACTIONS_DATABASE is missing")


def refused_url(url: str) -> str:
    """What is told of a database that cannot be used."""
    engine = connect(url)
    with pytest.raises(FixTheSetup) as error:
        migrate(engine)
    engine.dispose()
    return str(error.value)


def test_a_database_that_cannot_be_opened_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear reader, " * 200, encoding="utf-8")
    sqlite3.connect(tmp_path / "old.sqlite").close()
    (tmp_path / "old.sqlite").touch()
    urls = [
        f"postgresql://nobody@/none?host={tmp_path}",
        f"sqlite:///{tmp_path / 'letter.txt'}",
        f"sqlite:///file:{tmp_path / 'old.sqlite'}?mode=ro&uri=true",
    ]
    assert {refused_url(url).partition(":")[0] for url in urls} == {"The database cannot be opened"}


def test_a_file_that_stays_locked_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "LOCK_TRIES", 2)
    other = sqlite3.connect(tmp_path / "new.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert refused_url(f"sqlite:///{tmp_path / 'new.sqlite'}") == "The database file is locked by another program."
    other.close()


def test_postgresql_without_its_driver_is_told_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(FixTheSetup, match=r"pip install 'shopify-order-actions\[postgres\]'"):
        connect("postgresql://somebody@host/name")
