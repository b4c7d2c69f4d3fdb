"""All that a database holds, table by table, to compare and to search."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Engine, text

from plugin.stores.tables import metadata

# What every sign-in and every request leaves behind; nothing hangs on it.
TRACES = ("used_once", "request_counts")


def dump(engine: Engine, without: Collection[str] = ()) -> dict[str, list[tuple[Any, ...]]]:
    with engine.connect() as tx:
        return {
            name: sorted((tuple(row) for row in tx.execute(text(f"select * from {name}"))), key=repr)
            for name in metadata.tables if name not in without
        }  # fmt: skip
