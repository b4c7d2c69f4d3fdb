"""How many requests of this minute were taken by any process, for each agent, store and address."""

import hashlib
import hmac

from sqlalchemy import Engine, and_, case, delete, insert, or_, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from plugin.errors import TryLater
from plugin.secrets import Keys
from plugin.stores.tables import request_counts


class SqlCounts:
    """The Counts socket. Who asked is kept only as a keyed hash: an address is somebody's."""

    def __init__(self, engine: Engine, keys: Keys) -> None:
        self._engine = engine
        self._key = keys.key("counts")

    def take(self, kind: str, who: str, minute: int, portion: int, most: int) -> bool:
        hashed = hmac.new(self._key, f"{kind} {who}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()
        try:
            return self._added(hashed, minute, portion, most) or self._began(hashed, minute, portion)
        except IntegrityError:  # another process began this row
            return self._added(hashed, minute, portion, most)
        except (SQLAlchemyError, TryLater):
            return True  # a database that cannot count does not close the door; what needs it fails by itself

    def _added(self, who: str, minute: int, portion: int, most: int) -> bool:
        """A clock that is behind counts in the newer minute; one row stands for who asks, whatever the minute."""
        one = request_counts.c
        room = or_(one.minute < minute, one.taken + portion <= most)
        taken = case((one.minute < minute, portion), else_=one.taken + portion)
        newer = case((one.minute < minute, minute), else_=one.minute)
        add = update(request_counts).where(and_(one.who == who, room)).values(taken=taken, minute=newer)
        with self._engine.begin() as tx:
            return tx.execute(add).rowcount == 1

    def _began(self, who: str, minute: int, portion: int) -> bool:
        """The first request ever, or for long. Raises IntegrityError when the row is there, and full."""
        with self._engine.begin() as tx:
            tx.execute(delete(request_counts).where(request_counts.c.minute < minute - 1))
            tx.execute(insert(request_counts).values(who=who, minute=minute, taken=portion))
        return True
