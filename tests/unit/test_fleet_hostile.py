"""Migrating many states where some are damaged, newer, parked or held, clocks are set back, and
others take runs back at the same time."""

import asyncio
import sys
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.unit.fleet_agent import Plan, Research
from tests.unit.test_fleet_migrate import content, filled

from perdure import AsyncStore, Store, lenses, limits
from perdure.backends.sqlite import SqliteBackend
from perdure.core.versions import SECTION
from perdure.engine.moving import move
from perdure.errors import (
    CommitUnknown,
    NewerFormat,
    PerdureError,
    ReadOnlyStore,
    StorageFull,
    StoreUnavailable,
    UsageError,
)
from perdure.schemas.declare import migration, schema
from perdure.testing.clock import Clock

DAMAGED = "UPDATE {} SET blob = substr(blob, 1, 30) || x'00ff00ff' || substr(blob, 35)"


@schema("Research", version=3)
@dataclass
class Newer:
    """As newer code has it."""

    subject: str = ""
    budget: int = 0
    notes: str = ""


migration(Newer, 0, 2, [lenses.rename("topic", "subject"), lenses.add("budget", 0)])
migration(Newer, 2, 3, [lenses.add("notes", "")])


@pytest.fixture(params=["memory:", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "a.db") if request.param == "sqlite" else "memory:"


def asked(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


def of(key: str) -> str:
    return f"incarnation = (SELECT incarnation FROM heads WHERE key = CAST('{key}' AS BLOB))"


def stamp(store: Store, key: str, section: Any) -> None:
    with store.open(key) as session:
        session._document.write_reserved(SECTION, section)


# ---- what cannot be read --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "branch"),
    [
        ("UPDATE heads SET head = x'' WHERE key = CAST('r/001' AS BLOB)", ""),
        ("UPDATE heads SET head = substr(head, 2) WHERE key = CAST('r/001' AS BLOB)", ""),
        ("UPDATE heads SET token = x'00' WHERE key = CAST('r/001' AS BLOB)", ""),
        (f"DELETE FROM records WHERE {of('r/001')}", "main"),
        (f"{DAMAGED.format('records')} WHERE {of('r/001')}", "main"),
    ],
)
def test_damaged_state_is_named_and_left_and_no_other_is_touched_by_it(
    tmp_path: Path, statement: str, branch: str
) -> None:
    path = tmp_path / "a.db"
    filled(str(path), 4).close()
    asked(path, statement)
    with Store(path, maintenance="off") as store:
        look = store.migrate("", Research, dry_run=True)
        assert look.counts == {"migrated": 3, "damaged": 1}
        assert [(each.key, each.branch, each.path) for each in look.failures] == [
            ("r/001", branch, "")
        ]
        refused = store.migrate("", Research)
        assert (refused.refused, refused.run) == (True, "")
        done = store.migrate("", Research, skip_failures=True)
        assert (done.counts, done.as_foretold) == ({"migrated": 3, "damaged": 1}, True)
        assert content(store, "r/002")["subject"] == "topic 2"
        assert store.unmigrate(done.run).rolled_back == 3


def test_parked_branches_are_migrated_and_taken_back_or_their_damage_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    count = limits.branches_inline_max + 5
    with filled(str(path), 2) as store:
        for at in range(count):
            store.fork("r/000", f"b{at:03}")
            with store.open("r/000", branch=f"b{at:03}") as session:
                session.state["topic"] = f"of {at}"
        done = store.migrate("", Research)
        assert (done.counts, done.as_foretold) == ({"migrated": count + 2}, True)
        assert content(store, "r/000", "b003")["subject"] == "of 3"
        assert store.migrate("", Research).counts == {"current": count + 2}
        assert store.unmigrate(done.run).rolled_back == count + 2
        assert content(store, "r/000", "b003")["topic"] == "of 3"
    asked(path, DAMAGED.format("pages"))
    with Store(path, maintenance="off") as store:
        look = store.migrate("", Research, dry_run=True)
        assert look.counts == {"migrated": 1, "damaged": 1}
        assert look.failures[0].key == "r/000"


def test_branches_of_several_versions_and_newer_ones(url: str) -> None:
    store = filled(url, 1)
    store.fork("r/000", "zero")
    store.migrate("r/", Research)
    store.fork("r/000", "two")
    assert store.migrate("", Newer).counts == {"migrated": 3}
    tips = {name: store.history("r/000", branch=name)[0].hash for name in ("main", "two", "zero")}
    assert store.migrate("", Research).counts == {"newer": 3}
    assert tips == {name: store.history("r/000", branch=name)[0].hash for name in tips}


@pytest.mark.parametrize(
    "section",
    [
        5,
        {"Research": 5},
        {"Research": {"version": "1"}},
        {"Research": {"version": 1, "steps": 5}},
        {"Research": {"version": 1, "steps": [5]}},
        {"Research": {"version": 1, "steps": [[0, 1, None, 5]]}},
        {"Research": {"version": 1, "steps": [[0, 1, None, [{}]]]}},
        {"Other": {"version": 1, "steps": [[0, 1, None, "plan"]]}},
    ],
)
def test_stamps_that_are_none_fail_their_state_and_not_the_run(section: Any) -> None:
    store = filled("memory:", 3)
    stamp(store, "r/001", section)
    look = store.migrate("", Research, dry_run=True)
    assert look.counts == {"migrated": 2, "damaged": 1}
    assert "malformed" in look.failures[0].problem
    assert store.migrate("", Research, skip_failures=True).counts == look.counts


def test_states_that_expire_do_so_as_if_they_had_not_been_migrated(url: str) -> None:
    clock, hour = Clock(), 3600
    store = Store(url, maintenance="off", clock=clock)
    for key in ("a", "b", "c"):
        with store.open(key, expires_in=timedelta(days=1)) as session:
            session.state["topic"] = key
    store.fork("b", "try")
    clock.advance(20 * hour)
    with store.open("b", branch="try") as session:
        session.state["topic"] = "used"
    expires = {info.key: info.expires for info in store.states()}
    assert store.migrate("", Research).counts == {"migrated": 4}
    assert {info.key: info.expires for info in store.states()} == expires
    clock.advance(5 * hour)
    with store.open("c") as session:
        session.state["subject"] = "used"
    assert [info.key for info in store.sweep()] == ["a"]


# ---- migrations that misbehave --------------------------------------------------------------


@pytest.mark.parametrize("returned", [7, "text", [1], {"perdure.schema": 1}, {1: 2}, {"a": object}])
def test_function_that_returns_nonsense_fails_its_state(returned: Any) -> None:
    @schema("Odd", version=1)
    @dataclass
    class Odd:
        pass

    migration(Odd, 0, 1)(lambda _: returned)
    store = filled("memory:", 1)
    found = store.migrate("", Odd)
    assert (found.refused, found.counts) == (True, {"failed": 1})


def test_function_that_exits_fails_its_state_and_ends_nothing() -> None:
    @schema("Leaves", version=1)
    @dataclass
    class Leaves:
        pass

    @migration(Leaves, 0, 1)
    def leaves(state: dict[str, Any]) -> None:
        if state["topic"] == "topic 1":
            sys.exit(0)

    store = filled("memory:", 3)
    found = store.migrate("", Leaves, skip_failures=True)
    assert found.counts == {"migrated": 2, "failed": 1}
    assert "SystemExit" in found.failures[0].problem


def test_function_that_gives_something_else_each_time_gives_what_was_foretold(url: str) -> None:
    drawn = iter(range(1000))

    @schema("Drawn", version=1)
    @dataclass
    class Drawn:
        pass

    @migration(Drawn, 0, 1)
    def draws(state: dict[str, Any]) -> None:
        state["drawn"] = next(drawn)

    store = filled(url, 3)
    found = store.migrate("", Drawn)
    assert found.as_foretold
    assert [content(store, f"r/{at:03}")["drawn"] for at in range(3)] == [0, 1, 2]
    for at in range(3, 6):
        with store.open(f"r/{at:03}") as session:
            session.state["topic"] = "x"
    look = store.migrate("", Drawn, dry_run=True)
    assert store.migrate("", Drawn, verify_first=look).as_foretold is False


def test_class_that_is_no_schema_is_refused(url: str) -> None:
    class Plain:
        pass

    store = filled(url, 1)
    for cls in (int, Plain):
        with pytest.raises(UsageError, match="cannot be a schema"):
            store.migrate("", cls, dry_run=True)


def test_failures_are_named_however_many_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "migration_failures_max", 2)
    store = Store("memory:")
    for key, steps in (("a", [1]), ("b", [1]), ("c", [1]), ("d", 7)):
        with store.open(key) as session:
            session.state["steps"] = steps
    held = [store.open(key, exclusive=True) for key in "abc"]
    found = store.migrate("", Plan, skip_failures=True)
    assert found.counts == {"busy": 3, "failed": 1}
    assert [each.key for each in found.failures] == ["d", "a"]
    for session in held:
        session.close()


# ---- taking it back -------------------------------------------------------------------------


def test_run_is_taken_back_though_the_clock_was_set_back_in_it(url: str) -> None:
    clock, step_s = Clock(), 0.0

    def ticking() -> int:
        clock.advance(step_s)
        return clock()

    store = Store(url, maintenance="off", clock=ticking)
    for at in range(3):
        with store.open(f"r/{at:03}") as session:
            session.state["topic"] = f"topic {at}"
    clock.advance(3600)
    step_s = -60.0
    found = store.migrate("", Research)
    assert found.counts == {"migrated": 3}
    assert store.unmigrate(found.run).rolled_back == 3
    assert content(store, "r/002") == {"topic": "topic 2"}


def test_run_is_found_in_one_branch_after_another_was_saved_to_by_an_earlier_clock(
    url: str,
) -> None:
    clock = Clock()
    store = Store(url, maintenance="off", clock=clock)
    with store.open("a") as session:
        session.state["topic"] = "x"
    store.fork("a", "try")
    clock.advance(3600)
    found = store.migrate("", Research)
    clock.advance(-3000)
    store.fork("a", "late", at=1)
    with store.open("a", branch="late") as session:
        session.state["topic"] = "late"
    assert store.unmigrate(found.run).rolled_back == 2


def test_runs_are_taken_back_one_after_another(url: str) -> None:
    store = filled(url, 2)
    first = store.migrate("", Research)
    second = store.migrate("", Newer)
    assert store.unmigrate(first.run).left_count == 2
    assert store.unmigrate(second.run).rolled_back == 2
    assert store.unmigrate(second.run).rolled_back == 0
    assert store.unmigrate(first.run).rolled_back == 2
    assert content(store, "r/001") == {"topic": "topic 1", "log": [1]}


def test_two_that_take_one_run_back_call_nothing_saved_to(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(url, 2)
    run = store.migrate("", Research).run
    rivals = [None]

    def after_a_rival(*args: Any) -> Any:
        if rivals:
            rivals.pop()
            assert store.unmigrate(run).rolled_back == 2
        return move(*args)

    monkeypatch.setattr("perdure.fleet.undo.move", after_a_rival)
    found = store.unmigrate(run)
    assert (found.rolled_back, found.left, found.failed) == (0, (), 0)


def test_branch_that_is_held_is_busy_and_taken_back_later(url: str) -> None:
    store = filled(url, 3)
    run = store.migrate("", Research).run
    with store.open("r/001", exclusive=True):
        found = store.unmigrate(run)
    assert (found.rolled_back, found.busy, found.failed) == (2, 1, 0)
    assert [each.key for each in found.failures] == ["r/001"]
    assert store.unmigrate(run).rolled_back == 1


@pytest.mark.parametrize("run", ["0-0", "066130ae7370d9-7687aa7", " 66130ae7370d9-7687aa73"])
def test_what_was_cut_short_is_no_run(run: str) -> None:
    with pytest.raises(UsageError, match="names no run"):
        Store("memory:").unmigrate(run)


def test_what_ends_a_run_in_the_middle_says_how_it_is_taken_back(url: str) -> None:
    store = filled(url, 3 * limits.batch_commits_max)

    def interrupted(done: int, _: int) -> None:
        if done == limits.batch_commits_max:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        store.migrate("", Research, verify_first=False, progress=interrupted)
    (note,) = caught.value.__notes__
    run = note.split("run ")[1].split(",")[0]
    assert store.unmigrate(run).rolled_back == limits.batch_commits_max
    assert store.migrate("", Research, dry_run=True).counts == {
        "migrated": 3 * limits.batch_commits_max
    }


@pytest.mark.parametrize(
    "kind", [StorageFull, CommitUnknown, StoreUnavailable, ReadOnlyStore, NewerFormat]
)
def test_what_is_wrong_with_the_store_ends_a_run_and_is_no_state_that_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[PerdureError]
) -> None:
    class Full(SqliteBackend):
        left = 1000

        def commit(self, batch: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise kind("of the store")
            return super().commit(batch)

    monkeypatch.setattr(limits, "batch_commits_max", 2)
    monkeypatch.setattr(limits, "commit_tries_max", 2)
    path = str(tmp_path / "a.db")
    filled(path, 6).close()
    backend = Full(path)
    store = Store(backend, maintenance="off")
    backend.left = 1
    with pytest.raises(kind, match="of the store") as caught:
        store.migrate("", Research)
    run = caught.value.__notes__[-1].split("run ")[1].split(",")[0]
    backend.left = 1000
    assert store.migrate("", Research, dry_run=True).counts == {"current": 2, "migrated": 4}
    backend.left = 0
    if kind in (StorageFull, CommitUnknown, ReadOnlyStore):
        with pytest.raises(kind, match="of the store"):
            store.unmigrate(run)
    backend.left = 1000
    store.unmigrate(run)
    assert store.migrate("", Research, dry_run=True).counts == {"migrated": 6}


# ---- beside an event loop -------------------------------------------------------------------


def test_cancelled_run_ends_and_says_how_it_is_taken_back(tmp_path: Path) -> None:
    path = str(tmp_path / "async.db")
    count = 4 * limits.batch_commits_max
    filled(path, count).close()

    async def cancelled(store: AsyncStore) -> str:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()
        waits = threading.Event()

        def progress(done: int, _: int) -> None:
            if done == limits.batch_commits_max:
                loop.call_soon_threadsafe(begun.set)
                waits.wait()

        run = store.migrate("", Research, verify_first=False, progress=progress)
        task = asyncio.ensure_future(run)
        await begun.wait()
        task.cancel()
        loop.call_later(0.01, waits.set)
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        (note,) = caught.value.__notes__
        return note.split("run ")[1].split(",")[0]

    async def go() -> None:
        async with AsyncStore(path) as store:
            run = await cancelled(store)
            # Nothing goes on behind it.
            look = await store.migrate("", Research, dry_run=True)
            assert look.counts == {
                "current": limits.batch_commits_max,
                "migrated": count - limits.batch_commits_max,
            }
            assert (await store.unmigrate(run)).rolled_back == limits.batch_commits_max

    asyncio.run(go())
