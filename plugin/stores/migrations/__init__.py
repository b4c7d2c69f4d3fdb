"""How a database comes to the tables of this version."""

from plugin.errors import FixTheSetup

HEAD = "0001"  # the newest of versions/


def newer(found: str) -> FixTheSetup:
    return FixTheSetup(f"The database is at {found}, newer than this program ({HEAD}). Install the newer program.")
