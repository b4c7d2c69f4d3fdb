"""A backup that was taken under load is put back: the books agree, and nothing that was sent is sent again."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from plugin import alarms, points, sync
from plugin.app import plug
from plugin.errors import AskAnAdmin, FixTheSetup, LookAgain
from plugin.points import Point
from plugin.review import CANCEL_AFTER, resolve
from plugin.settling import SETTLE_TIME
from plugin.shapes import Agent, Run, StepState
from plugin.stores.backup import ELSEWHERE, STOPPED, UNKNOWN_SINCE, copy, file_of, put_back, settle_in
from plugin.stores.database import connect, open_database
from tests.databases import ENGINES, Postgres
from tests.shared import ROOT
from tests.test_cli import order_actions
from tests.test_fleet import until
from tests.world import CANCEL, REFUND, World, _bundle, outcome, world

NUMBERS = (1001, 1002, 1003, 1005)
WHY = "compared with Shopify"


@dataclass
class Later:
    """A clock that is ahead."""

    seconds: float

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class Copies:
    """Taking a copy of a database in use, and putting it into an empty place, as an administrator does."""

    database: str
    folder: Path
    postgres: Postgres | None = None

    def take(self) -> None:
        own = file_of(self.database)
        if own is not None:
            copy(own, self.folder / "copy")
        else:
            self._program("pg_dump", "--format=custom", "--file", str(self.folder / "copy"), self.database)

    def put(self) -> str:
        """The address of the copy, which nobody has told that it was put back."""
        if self.postgres is None:
            put_back(self.folder / "copy", self.folder / "new.sqlite")
            return f"sqlite:///{self.folder / 'new.sqlite'}"
        url = self.postgres.empty()
        options = ("--exit-on-error", "--no-owner", "--dbname", url)
        self._program("pg_restore", *options, str(self.folder / "copy"))
        return url

    def _program(self, name: str, *args: str) -> None:
        assert self.postgres is not None
        subprocess.run([self.postgres.programs / name, *args], check=True, timeout=60)


@pytest.fixture(params=ENGINES)
def copies(request: pytest.FixtureRequest, tmp_path: Path) -> Copies:
    if request.param == "sqlite":
        return Copies(f"sqlite:///{tmp_path / 'app.sqlite'}", tmp_path)
    server: Postgres = request.getfixturevalue("postgres")
    return Copies(server.fresh(), tmp_path, server)


@pytest.fixture
def of_a_file(tmp_path: Path) -> Copies:
    return Copies(f"sqlite:///{tmp_path / 'app.sqlite'}", tmp_path)


@contextmanager
def restored(shop: World, copies: Copies, seconds: float = 0.0) -> Iterator[World]:
    """The product on what was put back, so many seconds later; the store went on meanwhile."""
    url = copies.put()
    engine = connect(url)
    settle_in(engine, shop.tools.clock.now())
    engine.dispose()
    app = plug(replace(shop.app.config, database=url), ROOT, _bundle())
    try:
        yield replace(shop, app=replace(app, tools=replace(app.tools, clock=Later(seconds))))
    finally:
        app.close()


def marked(shop: World, number: int, run: Run) -> int:
    """How often the store's own books show the run."""
    notes = [one["note"] for one in shop.ledger(number)["refunds"]]
    return sum(run.steps[0].marker in note for note in notes)


def person(shop: World, name: str) -> Agent:
    found = shop.tools.bundle.permission_sets[name]
    return Agent("kim", "Kim", name, found.grants, found.limit)


@contextmanager
def at(point: Point, visit: int, act: Callable[[], None]) -> Iterator[None]:
    """Do something the k-th time a run comes to this point."""
    seen = []

    def watch(reached: Point) -> None:
        if reached is point:
            seen.append(point)
            if len(seen) == visit:
                act()

    points.hook = watch
    try:
        yield
    finally:
        points.hook = None
    assert len(seen) >= visit


# ---------------------------------------------------------------- the books agree


def test_a_copy_taken_under_load_agrees_with_the_stores_own_books(copies: Copies) -> None:
    with world(copies.folder, database=copies.database) as shop:
        outcome(shop.act(1001, REFUND, lines=["1", "0"]))
        half = threading.Event()

        def work(number: int) -> None:
            for again in range(3):
                outcome(shop.act(number, REFUND, shipping=f"0.0{again + 1}"))
                half.set()

        with ThreadPoolExecutor(len(NUMBERS)) as agents:
            busy = [agents.submit(work, number) for number in NUMBERS]
            half.wait(30)
            copies.take()
            for one in busy:
                one.result()
        shop.forget_calls()
        with restored(shop, copies, SETTLE_TIME + 1) as again:
            known = {number: again.tools.runs.runs_of(again.place(number)) for number in NUMBERS}
            closed = [(number, one) for number in NUMBERS for one in known[number] if not one.open]
            assert {(one.outcome or {})["state"] for _, one in closed} == {"done"}
            assert [marked(again, number, one) for number, one in closed] == [1] * len(closed)
            sync.carry_on(again.tools)
            assert [name for name in again.sent() if name in ("refundCreate", "orderCancel")] == []
            shown = {number: len(again.order(number).context["refunds"]) for number in NUMBERS}
            assert shown == {number: len(again.ledger(number)["refunds"]) for number in NUMBERS}


# ---------------------------------------------------------------- what was sent is not sent again


@pytest.mark.parametrize("point", [Point.RUN_COMMITTED, Point.SENDING_COMMITTED], ids=lambda one: one.name)
def test_a_run_that_was_paid_after_the_backup_waits_for_a_person_and_is_paid_once(
    of_a_file: Copies, point: Point
) -> None:
    with world(of_a_file.folder, database=of_a_file.database) as shop:
        with at(point, 1, of_a_file.take):
            outcome(shop.act(1001, REFUND, lines=["1", "0"]))
        shop.forget_calls()
        with restored(shop, of_a_file, SETTLE_TIME + 1) as again:
            sync.carry_on(again.tools)
            run = again.tools.runs.runs_of(again.place(1001))[0]
            assert (run.open, run.steps[0].state, run.steps[0].error) == (True, StepState.REVIEW, UNKNOWN_SINCE)
            lead = person(again, "supervisor")
            with pytest.raises(LookAgain, match="so it was done"):
                resolve(again.tools, lead, run.id, "not-done", WHY)
            number = again.ledger(1001)["refunds"][0]["id"]
            done = resolve(again.tools, lead, run.id, str(number), WHY)
            assert ((done.outcome or {})["state"], again.sent().count("refundCreate")) == ("done", 0)
            assert [marked(again, 1001, run), len(again.ledger(1001)["refunds"])] == [1, 1]


def test_the_second_step_of_a_cancel_that_was_paid_after_the_backup_is_not_called_refused(copies: Copies) -> None:
    """Looked at as usual, its refund would read as somebody else's, and the rest as never paid."""
    with world(copies.folder, database=copies.database) as shop:
        with at(Point.SENDING_COMMITTED, 2, copies.take):
            outcome(shop.act(1001, CANCEL, payments=["10.00"], decision="cancel"))
            until(lambda: sync.carry_on(shop.tools) is None or not shop.tools.runs.open_runs(), 30)
        shop.forget_calls()
        with restored(shop, copies, SETTLE_TIME + 1) as again:
            sync.carry_on(again.tools)
            run = again.tools.runs.runs_of(again.place(1001))[0]
            assert [one.state for one in run.steps] == [StepState.SETTLED, StepState.REVIEW]
            ours = [one["id"] for one in again.ledger(1001)["refunds"] if run.steps[1].marker in one["note"]]
            done = resolve(again.tools, person(again, "supervisor"), run.id, str(ours[0]), WHY)
            assert ((done.outcome or {})["state"], again.sent().count("refundCreate")) == ("done", 0)


def test_a_run_never_sent_is_closed_by_a_person_with_all_of_its_steps(of_a_file: Copies) -> None:
    with world(of_a_file.folder, database=of_a_file.database) as shop:
        with at(Point.RUN_COMMITTED, 1, of_a_file.take):
            shop.fault("reset", on="orderCancel")
            shop.act(1001, CANCEL, payments=["10.00"], decision="cancel")
        with restored(shop, of_a_file, CANCEL_AFTER * SETTLE_TIME + 1) as again:
            run = again.tools.runs.runs_of(again.place(1001))[0]
            closed = resolve(again.tools, person(again, "supervisor"), run.id, "not-done", WHY)
            assert (closed.open, [one.state for one in closed.steps]) == (False, [StepState.FAILED] * 2)
            assert again.ledger(1001)["cancelled"] is False


def test_nothing_is_decided_while_what_was_sent_may_still_be_carried_out(of_a_file: Copies) -> None:
    with world(of_a_file.folder, database=of_a_file.database) as shop:
        with at(Point.RUN_COMMITTED, 1, of_a_file.take):
            shop.fault("502-before", on="refundCreate")
            outcome(shop.act(1001, REFUND, lines=["1", "0"]))
        with restored(shop, of_a_file, SETTLE_TIME - 30) as again:
            run = again.tools.runs.runs_of(again.place(1001))[0]
            with pytest.raises(LookAgain, match="Shopify may still carry out the last attempt"):
                resolve(again.tools, person(again, "supervisor"), run.id, "not-done", WHY)


def test_runs_that_the_backup_lacks_stop_refunds_until_an_admin_has_looked(copies: Copies) -> None:
    with world(copies.folder, database=copies.database) as shop:
        shown = shop.preview(1001, REFUND, shop.open(1001, REFUND), lines=["1", "0"])
        copies.take()
        outcome(shop.submit(1001, REFUND, shown))
        with restored(shop, copies, SETTLE_TIME - 30) as again:
            with pytest.raises(LookAgain, match="The order changed since you opened this form: refunded was"):
                again.submit(1001, REFUND, shown)
            with pytest.raises(AskAnAdmin, match=f"stopped: {STOPPED}"):
                again.act(1001, REFUND, shipping="1.00")
            admin = person(again, "admin")
            with pytest.raises(LookAgain, match="This can be lifted from"):
                alarms.lift(again.tools, admin, 1, WHY)
            late = replace(again, app=replace(again.app, tools=replace(again.tools, clock=Later(SETTLE_TIME + 1))))
            assert alarms.lift(late.tools, admin, 1, WHY).lifted_by == "Kim"
            outcome(late.act(1001, REFUND, shipping="1.00"))
            assert len(late.ledger(1001)["refunds"]) == 2


# ---------------------------------------------------------------- a copy knows that it is one


def test_a_copy_opens_for_nobody_until_it_is_told_that_it_was_put_back(copies: Copies) -> None:
    open_database(copies.database).dispose()
    open_database(copies.database).dispose()
    copies.take()
    url = copies.put()
    with pytest.raises(FixTheSetup) as refused:
        open_database(url)
    assert str(refused.value) == ELSEWHERE
    told = order_actions("restore", ORDER_ACTIONS_DATABASE=url)
    assert (told.returncode, told.stdout.splitlines()[1:]) == (
        0, ["Restored. A person must decide about 0 runs. Refunds are stopped by alarm 1."],
    ), told.stderr  # fmt: skip
    open_database(url).dispose()


def test_a_database_in_memory_is_always_at_home() -> None:
    open_database("sqlite://").dispose()


def test_a_database_opens_for_who_owns_nothing_else(postgres: Postgres) -> None:
    url = make_url(postgres.fresh())
    engine = connect(url.render_as_string(hide_password=False))
    with engine.begin() as tx:
        tx.execute(text("CREATE ROLE plain LOGIN"))
        tx.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO plain"))
    engine.dispose()
    open_database(url.set(username="plain").render_as_string(hide_password=False)).dispose()


def test_a_backup_is_made_and_put_back_by_two_commands_that_overwrite_nothing(tmp_path: Path) -> None:
    database, file = tmp_path / "db.sqlite", tmp_path / "backup"
    url = f"sqlite:///{database}"
    open_database(url).dispose()
    made = order_actions("backup", str(file), ORDER_ACTIONS_DATABASE=url)
    said = f"Copied into {file}. It is of no use without ORDER_ACTIONS_SECRET; keep that elsewhere.\n"
    assert (made.returncode, made.stdout, oct(file.stat().st_mode)[-3:]) == (0, said, "600"), made.stderr
    with pytest.raises(FixTheSetup, match="backup is there already"):
        copy(database, file)
    with pytest.raises(FixTheSetup, match="db.sqlite would be lost: move them out"):
        put_back(file, database)
    database.rename(tmp_path / "old")
    back = order_actions("restore", str(file), ORDER_ACTIONS_DATABASE=url)
    assert (back.returncode, back.stdout.splitlines()[-1]) == (
        0, "Restored. A person must decide about 0 runs. Refunds are stopped by alarm 1.",
    ), back.stderr  # fmt: skip


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda folder: copy(folder / "none", folder / "x"), "There is no database"),
        (lambda folder: copy(folder / "words", folder / "x"), "cannot be copied: file is not a database"),
        (lambda folder: put_back(folder / "words", None), "PostgreSQL restores by pg_restore"),
        (lambda folder: file_of("sqlite://"), "This database is not a file"),
    ],
)
def test_what_is_no_copy_is_refused(tmp_path: Path, act: Callable[[Path], object], said: str) -> None:
    (tmp_path / "words").write_text("not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(FixTheSetup, match=said):
        act(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["words"]
