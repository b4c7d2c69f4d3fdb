"""All that a database holds, table by table, to compare and to search."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Engine, Table, text

from plugin.stores.tables import metadata

# What every sign-in and every request leaves behind; nothing hangs on it.
TRACES = ("used_once", "request_counts")


def dump(engine: Engine, without: Collection[str] = ()) -> dict[str, list[tuple[Any, ...]]]:
    """Every row; `without` names tables, or columns as `table.column`."""
    with engine.connect() as tx:
        return {name: _rows(tx, table, without) for name, table in metadata.tables.items() if name not in without}


def _rows(tx: Connection, table: Table, without: Collection[str]) -> list[tuple[Any, ...]]:
    columns = ", ".join(one.name for one in table.c if str(one) not in without)
    return sorted((tuple(row) for row in tx.execute(text(f"select {columns} from {table.name}"))), key=repr)
