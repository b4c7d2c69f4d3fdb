"""Copies of a database, and how one that was put back is kept from doing again what it does not remember.

A database knows where it lives. One that finds itself elsewhere opens for nobody until `restore` was told: it may lack
what was sent after the copy was made.
"""

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, and_, delete, insert, make_url, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from plugin.errors import FixTheSetup
from plugin.ports import EVERY_STORE, AlarmKind
from plugin.shapes import StepState
from plugin.stores.tables import alarms, customers_seen, home, orders, runs, steps

COPY = "a copy"
_FILES = ("", "-wal", "-shm", "-journal")  # what SQLite makes of one database
ELSEWHERE = (
    "This database is a copy, or was moved here: it may lack what was sent since. "
    "Stop every server and worker that uses it or the one before it, then run `order-actions restore`."
)
UNKNOWN_SINCE = "The database was restored. What became of this since the backup was made is not known here."
STOPPED = "the database was restored from a backup"


@dataclass(frozen=True)
class Restored:
    """What a person has to look at: open runs whose fate is not known here, and the alarm that stops refunds."""

    runs: int
    alarm: int


def at_home(engine: Engine) -> None:
    """A database that was never opened lives here from now on. Raises FixTheSetup for one that came from elsewhere."""
    with engine.connect() as tx:
        here, known = _here(tx), tx.execute(select(home.c.here)).scalar()
    if known is None:
        with suppress(IntegrityError), engine.begin() as tx:  # another process says the same just now
            tx.execute(insert(home).values(id=1, here=here))
    elif known != here:
        raise FixTheSetup(ELSEWHERE)


def _here(tx: Connection) -> str:
    """The file, by its number on the disk; the database, by its number and that of its server."""
    if tx.dialect.name == "sqlite":
        path = tx.execute(text("SELECT file FROM pragma_database_list WHERE name = 'main'")).scalar()
        return str(os.stat(path).st_ino) if path else "memory"
    own = "SELECT oid FROM pg_database WHERE datname = current_database()"
    return str(tx.execute(text(f"SELECT system_identifier || '/' || ({own}) FROM pg_control_system()")).scalar())


def file_of(url: str) -> Path | None:
    """The file of a SQLite database; None for another kind. Raises FixTheSetup for one that has none."""
    wanted = make_url(url)
    if wanted.get_backend_name() != "sqlite":
        return None
    if not wanted.database or wanted.database == ":memory:":
        raise FixTheSetup("This database is not a file.")
    return Path(wanted.database)


def put_back(file: Path, place: Path | None) -> None:
    """A copy in an empty place. Raises FixTheSetup."""
    if place is None:
        raise FixTheSetup("PostgreSQL restores by pg_restore, into an empty database; then `order-actions restore`.")
    left = [one.name for one in place.parent.glob(f"{place.name}*") if one.name.removeprefix(place.name) in _FILES]
    if left:
        raise FixTheSetup(f"{', '.join(sorted(left))} would be lost: move them out of {place.parent} first.")
    copy(file, place)


def copy(source: Path, target: Path) -> None:
    """One moment of a SQLite database that may be in use, as one file, never half. Raises FixTheSetup."""
    if not source.is_file():
        raise FixTheSetup(f"There is no database {source}.")
    if target.exists():
        raise FixTheSetup(f"{target} is there already.")
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(part)) as other:
            one.backup(other)
            other.execute("PRAGMA journal_mode=DELETE")
            other.execute("INSERT OR REPLACE INTO home (id, here) VALUES (1, ?)", [COPY])
            other.commit()
    except sqlite3.DatabaseError as error:
        part.unlink()
        raise FixTheSetup(f"{source} cannot be copied: {error}") from error
    with part.open("rb") as whole:
        os.fsync(whole.fileno())
    part.rename(target)


def settle_in(engine: Engine, now: datetime) -> Restored:
    """The database lives here from now on, and knows that it may lack what was done since its backup.

    What an open run may have sent since is not known: a person looks. What runs are missing is not known: no money
    moves until an administrator lifts the alarm. What orders looked like is not known: they are read anew.
    """
    unsure = or_(*(steps.c.state == one for one in (StepState.INTENT, StepState.SENDING, StepState.UNKNOWN)))
    opened = select(runs.c.id).where(runs.c.is_open)
    ours = and_(steps.c.run_id.in_(opened), or_(unsure, steps.c.state == StepState.REVIEW))
    with engine.begin() as tx:
        found = tx.execute(select(steps.c.run_id).where(ours).distinct()).all()
        # Sent at the latest now: only when the settle time has passed from here can anybody decide.
        tx.execute(update(steps).where(ours).values(state=StepState.REVIEW, last_sent_at=now, error=UNKNOWN_SINCE))
        tx.execute(update(runs).where(runs.c.is_open).values(lease_owner=None, lease_until=None, look_at=now))
        tx.execute(update(orders).values(snapshot=None, snapshot_at=None, webhook_at=None))
        tx.execute(delete(customers_seen))
        row = {"kind": AlarmKind.RESTORED, "store": EVERY_STORE, "text": STOPPED, "raised_at": now}
        alarm = tx.execute(insert(alarms).values(**row).returning(alarms.c.id)).scalar_one()
        tx.execute(delete(home))
        tx.execute(insert(home).values(id=1, here=_here(tx)))
    return Restored(len(found), int(alarm))
