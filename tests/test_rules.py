"""Attempts to edit or delete what was sent, on both engines, past the code: the schema refuses each."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from plugin.shapes import Note, Run, StepState
from plugin.stores.rows import hash_of
from plugin.stores.runs import SqlRuns
from tests.test_stores import KEYS, NOW, OTHER, RUN, new, stored

STEP = ("steps", f"run_id = '{RUN}'")
OWN = ("runs", f"id = '{RUN}'")
FIXED = "what a step sends never changes"
WHO = "what a run is never changes"

ATTEMPTS = [
    (STEP, "idempotency_key = 'x'", FIXED),
    (STEP, "marker = 'x'", FIXED),
    (STEP, "amount = '1.00'", FIXED),
    (STEP, "currency = 'EUR'", FIXED),
    (STEP, "shop_amount = '1.00'", FIXED),
    (STEP, "root = 'orderCancel'", FIXED),
    (STEP, "position = 7", FIXED),
    (STEP, "body_hash = 'x'", FIXED),
    (STEP, "attempts = 0", "a sending is never forgotten"),
    (STEP, "first_sent_at = NULL", "a sending is never forgotten"),
    (OWN, "order_id = '7'", WHO),
    (OWN, "agent_id = 'x'", WHO),
    (OWN, "digest = 'x'", WHO),
    (OWN, "facts = '{}'", WHO),
    (OWN, "texts = x'00'", "the texts of an open run never change"),
    (OWN, "lease_epoch = 0", "an epoch never returns"),
]
CLOSED = [
    (STEP, "state = 'intent'", "a step of a closed run never changes"),
    (STEP, "error = 'x'", "a step of a closed run never changes"),
    (STEP, "receipt = '{}'", "a step of a closed run never changes"),
    (STEP, "body_hash = 'x'", FIXED),
    (OWN, "is_open = true", "a closed run stays as it was closed"),
    (OWN, "outcome = 'x'", "a closed run stays as it was closed"),
    (OWN, "closed_at = NULL", "a closed run stays as it was closed"),
]


@pytest.fixture
def runs(engine: Engine) -> SqlRuns:
    return SqlRuns(engine, KEYS.box())


def sent(runs: SqlRuns) -> tuple[Run, int]:
    run = runs.begin(new(), NOW)
    epoch = runs.claim(RUN, "w", NOW, 60)
    assert epoch is not None
    runs.sending(run.steps[0], epoch, NOW)
    return run, epoch


def closed(runs: SqlRuns, *, note: Note | None = None) -> None:
    run, epoch = sent(runs)
    runs.record(run.steps[0], epoch, StepState.SETTLED, receipt={"refund": "1"})
    runs.close(RUN, epoch, {"state": "done"}, note, NOW)


def refused(engine: Engine, sentence: str) -> str:
    """What the schema answers; nothing may have changed."""
    before = stored(engine)
    with pytest.raises(IntegrityError) as error, engine.begin() as tx:
        tx.exec_driver_sql(sentence.replace("x'", "'\\x") if engine.dialect.name == "postgresql" else sentence)
    assert stored(engine) == before
    return str(error.value.orig)


def set_to(what: tuple[str, str], change: str) -> str:
    return f"UPDATE {what[0]} SET {change} WHERE {what[1]}"


@pytest.mark.parametrize("row", ATTEMPTS, ids=lambda row: f"{row[0][0]} {row[1]}")
def test_nothing_sent_is_edited(runs: SqlRuns, engine: Engine, row: tuple[tuple[str, str], str, str]) -> None:
    sent(runs)
    change = row[1].replace("'x'", "'changed'")
    assert row[2] in refused(engine, set_to(row[0], change))


@pytest.mark.parametrize("row", CLOSED, ids=lambda row: f"{row[0][0]} {row[1]}")
def test_nothing_closed_is_edited(runs: SqlRuns, engine: Engine, row: tuple[tuple[str, str], str, str]) -> None:
    closed(runs)
    change = row[1].replace("'x'", "'changed'")
    assert row[2] in refused(engine, set_to(row[0], change))


@pytest.mark.parametrize("table", ["runs", "steps"])
def test_no_row_is_deleted(runs: SqlRuns, engine: Engine, table: str) -> None:
    closed(runs)
    assert f"rows of {table} are never deleted" in refused(engine, f"DELETE FROM {table}")
    if engine.dialect.name == "postgresql":
        assert "never deleted" in refused(engine, f"TRUNCATE {table} CASCADE")


def test_no_row_is_replaced(runs: SqlRuns, engine: Engine) -> None:
    """SQLite's REPLACE deletes behind a trigger's back; PostgreSQL has nothing like it but an upsert."""
    sent(runs)
    copy = "run_id, position, name, idempotency_key, marker, root, {body}, currency, amount, shop_currency, shop_amount"
    columns = f"{copy.format(body='body_hash')}, state"
    changed = f"SELECT {copy.format(body='marker')}, 'failed' FROM steps"
    if engine.dialect.name == "sqlite":
        assert "one step of this name" in refused(engine, f"REPLACE INTO steps ({columns}) {changed}")
        other = f"REPLACE INTO runs SELECT * FROM (SELECT * FROM runs WHERE id = '{RUN}')"
        assert "one_open_run" in refused(engine, other)
    else:
        upsert = f"INSERT INTO steps ({columns}) SELECT {columns} FROM steps"
        assert FIXED in refused(engine, f"{upsert} ON CONFLICT (run_id, position) DO UPDATE SET amount = '1.00'")


def test_a_step_that_ended_never_goes_on(runs: SqlRuns) -> None:
    run, epoch = sent(runs)
    runs.record(run.steps[0], epoch, StepState.FAILED, error="refused")
    with pytest.raises(IntegrityError, match="never goes on"):
        runs.sending(run.steps[0], epoch, NOW + timedelta(seconds=1))


NOTE = Note(RUN, "c", None, "#1001", "ana", "Ana", "Refunded.", "https://x")


def test_a_redaction_leaves_the_hash_of_what_was_sent_and_no_texts(runs: SqlRuns) -> None:
    closed(runs, note=NOTE)
    assert not runs.redact(RUN), "while its note is not delivered"
    runs.note_sent(RUN)
    assert runs.redact(RUN)
    run = runs.run(RUN)
    assert run is not None
    assert (run.texts, run.steps[0].body, run.steps[0].state) == ({}, hash_of(b"{}"), StepState.SETTLED)
    assert runs.redact(RUN), "again changes nothing"
    assert runs.run(RUN) == run


def test_bytes_that_are_not_those_that_were_written_are_not_read_and_so_not_sent(engine: Engine) -> None:
    runs = SqlRuns(engine, KEYS.box())
    runs.begin(new(), NOW)
    with engine.begin() as tx:  # as by a person who may drop the triggers
        for sentence in enforce_not(engine):
            tx.execute(text(sentence))
        tx.execute(text("UPDATE steps SET body_hash = 'sha256:0'"))
    with pytest.raises(ValueError, match="are not what was written"):
        runs.run(RUN)


def enforce_not(engine: Engine) -> list[str]:
    where = "" if engine.dialect.name == "sqlite" else " ON steps"
    return [f"DROP TRIGGER rules_steps_update{where}"]


def test_an_open_run_is_not_redacted(runs: SqlRuns, engine: Engine) -> None:
    sent(runs)
    before = stored(engine)
    assert not runs.redact(RUN)
    assert not runs.redact(OTHER)
    assert stored(engine) == before


def test_what_a_person_decided_stays(runs: SqlRuns, engine: Engine) -> None:
    from plugin.shapes import Resolution

    _, epoch = sent(runs)
    runs.resolve(Resolution("p", RUN, "sam", "Sam", "not-done", "why", NOW), epoch)
    assert "what a person decided never changes" in refused(engine, "UPDATE resolutions SET how = 'again'")
    assert "never deleted" in refused(engine, "DELETE FROM resolutions")
    with engine.connect() as tx:
        assert tx.execute(text("SELECT count(*) FROM resolutions")).scalar() == 1
