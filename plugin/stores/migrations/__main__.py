"""For developers: `python -m plugin.stores.migrations "Why"` writes the next migration from tables.py."""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config

from plugin.stores.database import connect
from plugin.stores.migrations import HEAD
from plugin.stores.migrations.run import HERE, upgrade


def write(why: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{Path(folder) / 'old.sqlite'}")
        first = not list((HERE / "versions").glob("v*.py"))
        if not first:
            upgrade(engine)
        with engine.begin() as tx:
            config = Config(attributes={"connection": tx})
            config.set_main_option("script_location", str(HERE))
            config.set_main_option("file_template", "v%%(rev)s_%%(slug)s")
            number = HEAD if first else f"{int(HEAD) + 1:04}"
            command.revision(config, why, autogenerate=True, rev_id=number)
        engine.dispose()


if __name__ == "__main__":
    write(sys.argv[1])
