"""The steps of an upgrade: killed, cut off, failing, and those that are to come."""

import multiprocessing
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests.format.upgrades import EARLY, assert_whole, copied, stored

import perdure
from perdure.backends import sqlite_open, sqlite_upgrade
from perdure.backends.sqlite_open import Place
from perdure.backends.sqlite_upgrade import STEPS, Progress, Step, upgrade
from perdure.errors import (
    OlderFormat,
)
from perdure.testing.kill import die
from perdure.testing.powercut import PowerCut

# ---- interrupted ----------------------------------------------------------------------------


def upgrade_and_die(path: str, calls: int) -> None:
    """In a child: as by `kill -9`, at the n-th time that progress is told."""
    left = calls

    def progress(_done: int, _total: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            die()

    with perdure.Store(path) as store:
        store.upgrade(progress=progress)


def test_killed_in_the_middle_it_is_upgraded_again(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    found: list[bool] = []
    for calls in range(1, 30):
        directory = tmp_path / str(calls)
        directory.mkdir()
        path = copied(EARLY, directory)
        before = stored(path)
        child = context.Process(target=upgrade_and_die, args=(str(path), calls))
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        with perdure.Store(path) as store:
            done = store.upgrade()
        assert done.ok
        found.append(bool(done.steps))
        assert stored(path) == before
        assert_whole(path, EARLY)
    # Killed before the step's end, in the middle of it too, it was done again; after it, not.
    assert found == sorted(found, reverse=True)
    assert found.count(True) >= 1 + len(sqlite_upgrade._EARLY) + 1
    assert found.count(False) >= 1


def test_a_power_cut_leaves_a_store_that_is_upgraded_again(tmp_path: Path) -> None:
    path = copied(EARLY, tmp_path)
    before = stored(path)
    cuts: list[Path] = []
    with PowerCut() as disk:

        def cut(_operation: str) -> None:
            cuts.append(tmp_path / str(len(cuts)))
            cuts[-1].mkdir()
            disk.survivors(cuts[-1], seed=len(cuts))

        disk.on_operation = cut
        upgrade(Place(str(path), vfs=disk.name), dry_run=False, backup=False, progress=None)
    needed = []
    for directory in cuts:
        left = directory / "agents.db"
        if not left.exists():  # its connection had been opened, and nothing written
            continue
        with perdure.Store(left) as store:
            done = store.upgrade(backup=False)
        needed.append(bool(done.steps))
        assert done.ok
        assert stored(left) == before
    assert True in needed
    assert False in needed


# ---- steps to come --------------------------------------------------------------------------


def later_steps(fails: Callable[[], None] = lambda: None) -> tuple[Step, ...]:
    """The table as it will be: formats 1 and 2 too."""

    def renamed(connection: apsw.Connection, progress: Progress) -> None:
        connection.execute("ALTER TABLE records RENAME TO rows")
        progress(1, 2)
        fails()

    def noted(connection: apsw.Connection, _progress: Progress) -> None:
        connection.execute("INSERT INTO perdure VALUES ('noted', 1)")

    return (
        *STEPS,
        Step("rows", 1, 2, lambda _: True, renamed),
        Step("a note", 2, 3, lambda _: True, noted),
    )


def formats(path: Path) -> tuple[int, bool, bool]:
    with closing(sqlite3.connect(path)) as base:
        [(format_,)] = base.execute("PRAGMA user_version")
        tables = {name for (name,) in base.execute("SELECT name FROM sqlite_schema")}
        noted = base.execute("SELECT count(*) FROM perdure WHERE name = 'noted'").fetchone()[0]
    return format_, "rows" in tables, bool(noted)


def test_a_later_format_is_one_more_entry_in_the_table(
    golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_open, "FORMAT", 3)
    with perdure.Store(golden) as store, pytest.raises(OlderFormat, match="upgrade"):
        store.states()
    place = Place(str(golden))
    done = upgrade(place, dry_run=False, backup=False, progress=None, steps=later_steps())
    assert done.after == 3
    assert [step.what for step in done.steps][-2:] == ["rows", "a note"]
    assert formats(golden) == (3, True, True)
    with closing(sqlite3.connect(golden)) as base:
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_step_that_fails_is_undone_whole_and_those_before_it_stay(
    early: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sqlite_open, "FORMAT", 3)
    place = Place(str(early))
    with pytest.raises(KeyboardInterrupt):
        upgrade(place, dry_run=False, backup=False, progress=None, steps=later_steps(fails))
    assert formats(early) == (1, False, False)
    done = upgrade(place, dry_run=False, backup=False, progress=None, steps=later_steps())
    assert [step.what for step in done.steps] == ["rows", "a note"]  # those before them stayed
    assert formats(early) == (3, True, True)


def test_the_table_of_steps_leads_to_the_newest_format() -> None:
    assert all(step.before <= step.after for step in STEPS)
    assert [step.before for step in STEPS] == sorted(step.before for step in STEPS)
    assert STEPS[-1].after == sqlite_open.FORMAT
    assert {step.after for step in STEPS} == set(range(sqlite_open.FORMAT + 1))
