"""Opens a database: SQLite for one machine, PostgreSQL for many; both keep what they say they have kept."""

import sqlite3
import threading
import time
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor, ExceptionContext
from sqlalchemy.exc import ArgumentError, DatabaseError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from plugin.errors import FixTheSetup, TryLater
from plugin.stores.backup import at_home
from plugin.stores.migrations import HEAD, newer

# What every session of PostgreSQL is told. An installation may trade durability for speed; a promise to have written
# down a refund may not be traded. Nobody waits for ever for a lock, and nobody keeps one who is gone or stands still.
SESSION = {
    "synchronous_commit": "on", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "15s",
    "tcp_keepalives_idle": "15", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
}  # fmt: skip
# The same from our side: a server that is gone is noticed within half a minute.
_LINE = {"connect_timeout": 5, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3,
         "tcp_user_timeout": 30_000}  # fmt: skip
_LOCKED = {"55P03", sqlite3.SQLITE_BUSY}  # PostgreSQL's lock_not_available, and SQLite's own
HELD_UP = "Something holds up the database. Look again in a minute, before you repeat anything."
RESTED = 1.0  # seconds
QUICK_TRIES = 1000
TURN = 10.0  # seconds, like busy_timeout: after that SQLite itself decides
LOCK_TRIES = 200  # ten seconds, like busy_timeout
POOL = 15  # connections of a process; all are kept, as opening one takes long
_PATIENCE = "busy_timeout=10000"
_PRAGMAS = (_PATIENCE, "synchronous=FULL", "foreign_keys=ON")


def open_database(url: str) -> Engine:
    """An engine on a database with the tables of this version.

    SQLite is one program's own file, so its tables are made here. Those of PostgreSQL are changed by a command,
    once for all who use them. Raises FixTheSetup for a database that is behind, ahead, of another kind, or a copy.
    """
    engine = connect(url)
    try:
        if engine.dialect.name == "sqlite":
            migrate(engine)
        elif (found := version(engine)) != HEAD:
            raise _behind(found)
        at_home(engine)
    except FixTheSetup:
        engine.dispose()
        raise
    return engine


def connect(url: str) -> Engine:
    """An engine on the database as it stands. Raises FixTheSetup for a URL that we cannot use."""
    try:
        wanted = make_url(url)
    except ArgumentError as error:
        raise FixTheSetup("ORDER_ACTIONS_DATABASE is not a database URL.") from error
    kind = wanted.get_backend_name()
    if kind == "sqlite":
        return _sqlite(create_engine(wanted, hide_parameters=True, pool_size=POOL))
    if kind not in ("postgresql", "postgres"):
        raise FixTheSetup(f"ORDER_ACTIONS_DATABASE may be sqlite or postgresql, not {kind}.")
    try:
        driver = wanted.set(drivername="postgresql+psycopg")
        engine = create_engine(driver, hide_parameters=True, pool_size=POOL, max_overflow=0, connect_args=_LINE)
    except ImportError as error:
        raise FixTheSetup("PostgreSQL needs its driver: pip install 'shopify-order-actions[postgres]'.") from error
    event.listen(engine, "connect", _begin_session)
    event.listen(engine, "handle_error", _held_up)
    _ask_after_a_rest(engine)
    return engine


def version(engine: Engine) -> str | None:
    """The number of the last migration; None for a database without our tables. Raises FixTheSetup."""
    try:
        with reads(engine).connect() as tx:
            if not inspect(tx).has_table("alembic_version"):
                return None
            return tx.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except DatabaseError as error:
        raise FixTheSetup(f"The database cannot be opened: {error.orig}") from error


def migrate(engine: Engine) -> str:
    """Bring the database to this version; what was done, in a sentence. Safe to repeat, and to repeat half-done.

    Raises FixTheSetup for a database of a newer version.
    """
    before = version(engine)
    if before == HEAD:
        return f"The database is at {HEAD} already; nothing to do."
    from plugin.stores.migrations.run import upgrade  # the tool behind it takes its time to load

    upgrade(engine)
    return f"The database went from {before or 'empty'} to {HEAD}."


def _behind(found: str | None) -> FixTheSetup:
    if found is not None and found > HEAD:
        return newer(found)
    return FixTheSetup(
        f"The database is at {found or 'no version'}, this program needs {HEAD}: run `order-actions migrate`."
    )


def reads(engine: Engine) -> Engine:
    """The same database for looking only: one moment of it, and never in the way of a writer."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(reads=True)
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def glance(engine: Engine) -> Engine:
    """The same database for a single sentence, which sees one moment by itself: no transaction around it."""
    if engine.dialect.name == "sqlite":
        return reads(engine)
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def aware(moment: datetime) -> datetime:
    """SQLite gives times without their zone, PostgreSQL in the zone of its session; all ours are UTC."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _begin_session(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("; ".join(f"SET {name} = '{value}'" for name, value in SESSION.items()))
    cursor.close()
    connection.commit()


def _held_up(context: ExceptionContext) -> None:
    """A sentence that had to wait too long for a lock did nothing, and its transaction is undone. Raises TryLater.

    What was committed or sent before it is another matter, so the text says nothing of that.
    """
    raised = context.original_exception
    if {getattr(raised, "sqlstate", None), getattr(raised, "sqlite_errorcode", None)} & _LOCKED:
        raise TryLater(HELD_UP) from raised


def _ask_after_a_rest(engine: Engine) -> None:
    """A connection that rested may have died with its server: it is asked before it is used, and if so all are made
    anew. One used a moment ago is not asked; should it be dead, its first sentence fails, and nothing was done."""

    def left(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info["left"] = time.monotonic()

    def taken(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        if time.monotonic() - record.info.get("left", 0.0) < RESTED:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError() from error

    event.listen(engine, "checkin", left)
    event.listen(engine, "checkout", taken)


def _sqlite(engine: Engine) -> Engine:
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "handle_error", _held_up)
    _take_turns(engine)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, below
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    _use_wal(cursor)
    cursor.close()


def _use_wal(cursor: DBAPICursor) -> None:
    """Switching a new file over is refused at once while another process does it: the timeout does not hold here."""
    for _ in range(LOCK_TRIES):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(0.05)
    raise FixTheSetup("The database file is locked by another program.")


def _take_turns(engine: Engine) -> None:
    """A writer waits for the writer before it. One that begins as a reader would be refused instead.

    SQLite lets waiters sleep and try again, ever longer. So the writers of a process queue here, where the next
    one wakes at once, and only one of them asks again and again for the lock that another process holds.
    """
    turn = threading.Lock()

    def begin(connection: Connection) -> None:
        looks = connection.get_execution_options().get("reads", False)
        if looks:
            connection.exec_driver_sql("BEGIN")
            return
        if not connection.info.get("turn"):
            connection.info["turn"] = turn.acquire(timeout=TURN)
        _begin_writing(connection)

    def left(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        if record.info.pop("turn", False):
            turn.release()

    event.listen(engine, "begin", begin)
    event.listen(engine, "checkin", left)


def _begin_writing(connection: Connection) -> None:
    """Asked for a second without SQLite's own sleeps; then once more with its patience and its error."""
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.execute("PRAGMA busy_timeout=0")
    try:
        for _ in range(QUICK_TRIES):
            try:
                raw.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError:
                time.sleep(0.001)
    finally:
        raw.execute(f"PRAGMA {_PATIENCE}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")
