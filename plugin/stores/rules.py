"""What the schema itself refuses: changing or deleting what was sent. The same rules for both engines.

They stop mistakes of ours and of people with a database console. Whoever owns the database can drop them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """`refused` when `when` is true for the row as it is (`old`) and as it would be (`new`)."""

    table: str
    event: str
    when: str
    refused: str


def _changed(*columns: str) -> str:
    return " or ".join(f"new.{one} <> old.{one}" for one in columns)


_OPEN = "exists (select 1 from runs where runs.id = old.run_id and runs.is_open)"
_KEPT = ("runs", "steps", "resolutions")

RULES = (
    Rule("steps", "update",
         _changed("run_id", "position", "name", "idempotency_key", "marker", "root", "body_hash", "currency", "amount",
                  "shop_currency", "shop_amount"),
         "what a step sends never changes"),
    Rule("steps", "update", f"not {_OPEN}", "a step of a closed run never changes"),
    Rule("steps", "update", "old.state in ('settled', 'failed') and new.state <> old.state",
         "a step that ended never goes on"),
    Rule("steps", "update",
         "new.attempts < old.attempts or (old.first_sent_at is not null and"
         " (new.first_sent_at is null or new.first_sent_at <> old.first_sent_at))",
         "a sending is never forgotten"),
    Rule("runs", "update",
         _changed("id", "store", "order_id", "action_id", "action_digest", "agent_id", "agent_name", "customer_id",
                  "door", "digest", "created_at", "facts"),
         "what a run is never changes"),
    Rule("runs", "update", "old.is_open and new.texts <> old.texts", "the texts of an open run never change"),
    Rule("runs", "update",
         "not old.is_open and (new.is_open or new.closed_at is null or new.closed_at <> old.closed_at"
         " or new.outcome is null or new.outcome <> old.outcome or new.ended is null or new.ended <> old.ended)",
         "a closed run stays as it was closed"),
    Rule("runs", "update", "new.lease_epoch < old.lease_epoch", "an epoch never returns"),
    # the reason may be sealed anew when the secret of the installation changes
    Rule("resolutions", "update", _changed("id", "run_id", "agent_id", "agent_name", "how", "at"),
         "what a person decided never changes"),
    *(Rule(table, "delete", "true", f"rows of {table} are never deleted") for table in _KEPT),
)  # fmt: skip

# SQLite's REPLACE deletes without asking a trigger for deleting.
_NO_REPLACE = (
    Rule("runs", "insert",
         "exists (select 1 from runs where id = new.id"
         " or (is_open and new.is_open and store = new.store and order_id = new.order_id))",
         "one_open_run"),
    Rule("steps", "insert",
         "exists (select 1 from steps where idempotency_key = new.idempotency_key"
         " or (run_id = new.run_id and position = new.position))",
         "one step of this name"),
    Rule("resolutions", "insert", "exists (select 1 from resolutions where id = new.id)", "one decision of this id"),
)  # fmt: skip


def enforce(dialect: str) -> Iterator[str]:
    """The SQL sentences that put the rules in force; again and again to the same end."""
    if dialect == "sqlite":
        yield from _on_sqlite()
    else:
        yield from _on_postgresql()


def _grouped(rules: tuple[Rule, ...]) -> Mapping[tuple[str, str], list[Rule]]:
    groups: dict[tuple[str, str], list[Rule]] = {}
    for one in rules:
        groups.setdefault((one.table, one.event), []).append(one)
    return groups


def _on_sqlite() -> Iterator[str]:
    for (table, event), rules in _grouped(RULES + _NO_REPLACE).items():
        checks = " ".join(f"SELECT RAISE(ABORT, '{one.refused}') WHERE {one.when};" for one in rules)
        yield f"DROP TRIGGER IF EXISTS rules_{table}_{event}"
        yield f"CREATE TRIGGER rules_{table}_{event} BEFORE {event} ON {table} BEGIN {checks} END"


def _on_postgresql() -> Iterator[str]:
    for (table, event), rules in _grouped(RULES).items():
        checks = " ".join(
            f"IF {one.when} THEN RAISE integrity_constraint_violation USING MESSAGE = '{one.refused}'; END IF;"
            for one in rules
        )
        name = f"rules_{table}_{event}"
        row = "OLD" if event == "delete" else "NEW"
        yield (
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {checks} RETURN {row}; END $$"
        )
        yield f"DROP TRIGGER IF EXISTS {name} ON {table}"
        yield f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
    yield from _no_truncate()


def _no_truncate() -> Iterator[str]:
    for table in _KEPT:
        yield f"DROP TRIGGER IF EXISTS rules_{table}_truncate ON {table}"
        yield (
            f"CREATE TRIGGER rules_{table}_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION rules_{table}_delete()"
        )
