"""Keys kept in the database, and the change of the secret they and everything else are sealed with."""

import secrets
from collections.abc import Callable, Sequence

from cryptography.fernet import InvalidToken, MultiFernet
from sqlalchemy import Column, Engine, Table, func, insert, not_, select, update
from sqlalchemy.exc import IntegrityError

from plugin.errors import FixTheSetup
from plugin.secrets import Keys
from plugin.stores.tables import (
    connections,
    crm_grants,
    crm_orders,
    orders,
    outbox,
    privacy_requests,
    resolutions,
    runs,
    sealed_keys,
)

EMAIL = "e-mail"
BATCH = 200
# every sealed column, with the key of its row
SEALED: Sequence[tuple[Table, Column[bytes], tuple[str, ...]]] = (
    (sealed_keys, sealed_keys.c.sealed, ("purpose",)),
    (connections, connections.c.tokens, ("domain",)),
    (connections, connections.c.refresh_before, ("domain",)),
    (connections, connections.c.app_secrets, ("domain",)),
    (runs, runs.c.texts, ("id",)),
    (outbox, outbox.c.note, ("run_id",)),
    (orders, orders.c.snapshot, ("store", "order_id")),
    (resolutions, resolutions.c.reason, ("id",)),
    (privacy_requests, privacy_requests.c.asked, ("id",)),
    (privacy_requests, privacy_requests.c.report, ("id",)),
    (crm_grants, crm_grants.c.sealed, ("handle_hash",)),
    (crm_orders, crm_orders.c.email, ("store", "order_id")),
)


def open_keys(engine: Engine, given: Sequence[str]) -> Keys:
    """The installation's keys; the key of the e-mail hashes is made at the first start. Raises FixTheSetup."""
    box = Keys(given).box()
    wanted = select(sealed_keys.c.sealed).where(sealed_keys.c.purpose == EMAIL)
    with engine.connect() as tx:
        found = tx.execute(wanted).scalar()
    if found is None:
        try:
            with engine.begin() as tx:
                tx.execute(insert(sealed_keys).values(purpose=EMAIL, sealed=box.encrypt(secrets.token_bytes(32))))
        except IntegrityError:
            pass  # another process was first; its key counts
        with engine.connect() as tx:
            found = tx.execute(wanted).scalar_one()
    try:
        return Keys(given, box.decrypt(found))
    except InvalidToken as error:
        raise FixTheSetup("ORDER_ACTIONS_SECRET is not the secret that this database was written with.") from error


def rotate(engine: Engine, box: MultiFernet, say: Callable[[str], None]) -> tuple[int, int]:
    """Seal everything anew with the first secret; safe to stop and to repeat.

    How many values were sealed, and how many open runs still need the old secret: their texts never change.
    """
    sealed = sum(_rotate_column(engine, box, *one, say) for one in SEALED)
    with engine.connect() as tx:
        left = tx.execute(select(func.count()).where(runs.c.is_open)).scalar_one()
    return sealed, left


def _rotate_column(
    engine: Engine, box: MultiFernet, table: Table, column: Column[bytes], key: tuple[str, ...],
    say: Callable[[str], None],
) -> int:  # fmt: skip
    """Row after row, a batch a transaction; a row that changes meanwhile is left to its writer."""
    ids = [table.c[name] for name in key]
    wanted = [column.is_not(None), *([not_(runs.c.is_open)] if table is runs else [])]
    with engine.connect() as tx:
        rows = tx.execute(select(*ids).where(*wanted).order_by(*ids)).all()
    for start in range(0, len(rows), BATCH):
        with engine.begin() as tx:
            for row in rows[start : start + BATCH]:
                here = [one == value for one, value in zip(ids, row, strict=True)]
                old = tx.execute(select(column).where(*here)).scalar()
                if old is not None:
                    tx.execute(update(table).where(*here, column == old).values({column.name: box.rotate(old)}))
        say(f"{table.name}.{column.name}: {min(start + BATCH, len(rows))} of {len(rows)}")
    return len(rows)
