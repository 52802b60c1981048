"""`perdure upgrade` from every golden store: what they hold stays what it was (P5, P7, P10)."""

import asyncio
import json
import multiprocessing
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner, Result
from tests.format.make_golden import tagged

import perdure
from perdure.backends import sqlite_backup, sqlite_open, sqlite_upgrade
from perdure.backends.sqlite_open import Place
from perdure.backends.sqlite_upgrade import STEPS, Progress, Step, upgrade
from perdure.cli.app import app
from perdure.errors import (
    Busy,
    Malformed,
    NewerFormat,
    NotAStore,
    OlderFormat,
    PerdureError,
    ReadOnlyStore,
    StoreUnavailable,
    UsageError,
)
from perdure.testing.kill import die
from perdure.testing.powercut import PowerCut

GOLDEN = Path(__file__).parent / "golden"
STORES = sorted(GOLDEN.glob("*/*.db"))
EXPORTS = sorted(GOLDEN.glob("*/*.perdure"))
EARLY = GOLDEN / "format-0" / "early.db"


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.fixture(params=STORES, ids=named)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of one golden store."""
    return copied(request.param, tmp_path)


@pytest.fixture
def early(tmp_path: Path) -> Path:
    """A store as versions before packs and pages made it."""
    return copied(EARLY, tmp_path)


def copied(store: Path, directory: Path) -> Path:
    return Path(shutil.copy(store, directory / "agents.db"))


def stored(path: Path) -> dict[str, Any]:
    """Every blob with its place, as it is in the file, whatever its tables look like."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as base:
        places = {
            "perdure": "name, value",
            "heads": "key, token, head, incarnation, line, after",
            "records": "incarnation, line, number, blob",
            "staged": "incarnation",
        }
        return {
            table: sorted(base.execute(f"SELECT {columns} FROM {table}").fetchall())
            for table, columns in places.items()
        }


def schema(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as base:
        rows = base.execute("SELECT name, sql FROM sqlite_schema ORDER BY name")
        return [(name, sql) for name, sql in rows if sql is not None]


def assert_whole(path: Path, written_as: Path) -> None:
    """That a store is read as the JSON beside the golden one says."""
    beside = written_as.with_suffix(".json")
    if not beside.exists():
        beside = written_as.with_name("expected.json")
    expected = json.loads(beside.read_text(encoding="ascii"))
    with perdure.Store(path, read_only=True) as store:
        history = store.history(expected["key"])[::-1]
        checkpoints = expected.get("checkpoints", [])
        hashes = expected.get("hashes") or [each["hash"] for each in checkpoints]
        assert [each.hash for each in history] == hashes
        for found, each in zip(history, checkpoints, strict=False):
            assert (found.id, found.label) == (each["id"], each["label"])
            if "state" in each:  # of the early one, the newest alone: the hashes tell of the others
                state = store.at(expected["key"], found.number).plain()
                assert tagged(state) == each["state"]
        assert [each for each in store.verify() if not each.ok] == []


def run(path: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["--store", str(path), *args])


# ---- from every golden store ----------------------------------------------------------------


def test_there_are_golden_stores_of_every_form_that_ever_was() -> None:
    names = {path.name for path in STORES}
    assert {"early.db", "store.db", "maintained.db"} <= names
    assert {path.parent for path in STORES} == set(GOLDEN.iterdir())


def test_a_golden_store_is_upgraded_and_holds_what_it_held(
    golden: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    before = stored(golden)
    with perdure.Store(golden) as store:
        done = store.upgrade()
    assert done.ok
    assert {each.key for each in done.verified} == {row[0].decode() for row in before["heads"]}
    assert stored(golden) == before
    with perdure.Store(tmp_path / "new.db") as store, store.open("a") as session:
        session.state["a"] = 1
    assert schema(golden) == schema(tmp_path / "new.db")
    assert_whole(golden, request.node.callspec.params["golden"])


def test_upgrading_twice_changes_nothing(golden: Path) -> None:
    with perdure.Store(golden) as store:
        first = store.upgrade()
    assert (first.backup is not None) == bool(first.steps)
    before = {path.name: path.read_bytes() for path in golden.parent.iterdir()}
    with perdure.Store(golden) as store:
        again = store.upgrade()
    assert (again.steps, again.backup, again.ok) == ((), None, True)
    assert {path.name: path.read_bytes() for path in golden.parent.iterdir()} == before


def test_an_upgraded_golden_store_goes_on(golden: Path) -> None:
    with perdure.Store(golden) as store:
        store.upgrade(backup=False)
        for info in store.states():
            with store.open(info.key, must_exist=True) as session:
                session.state["more"] = [1]
            store.maintain(info.key)
            assert store.info(info.key).number == info.number + 1
            assert store.at(info.key, "main")["more"] == [1]
        assert all(each.ok for each in store.verify())


@pytest.mark.parametrize("file", EXPORTS, ids=named)
def test_a_golden_export_is_of_the_newest_form_once_imported(file: Path, tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "agents.db") as store:
        store.import_(file)
        done = store.upgrade()
    assert (done.steps, done.ok, len(done.verified)) == ((), True, 1)
    assert_whole(tmp_path / "agents.db", file.with_name("expected.json"))


@pytest.mark.parametrize("store", STORES, ids=named)
def test_what_is_due_is_seen_by_who_only_reads(store: Path, tmp_path: Path) -> None:
    with perdure.Store(copied(store, tmp_path), read_only=True) as opened:
        steps = opened.upgrade(dry_run=True).steps
    assert [step.what for step in steps] == ([STEPS[0].what] if store == EARLY else [])


# ---- an early store -------------------------------------------------------------------------


def test_opening_an_early_store_says_how_it_is_upgraded(early: Path) -> None:
    before = early.read_bytes()
    for read_only in (False, True):
        with (
            perdure.Store(early, read_only=read_only) as store,
            pytest.raises(OlderFormat, match=r"perdure --store .*agents\.db upgrade"),
        ):
            store.states()
    assert early.read_bytes() == before


def test_a_dry_run_does_nothing(early: Path) -> None:
    before = early.read_bytes()
    with perdure.Store(early) as store:
        planned = store.upgrade(dry_run=True)
    assert [step.what for step in planned.steps] == [STEPS[0].what]
    assert (planned.backup, planned.verified, planned.dry_run) == (None, (), True)
    assert early.read_bytes() == before
    assert [path.name for path in early.parent.iterdir()] == ["agents.db"]


def test_the_copy_is_the_store_as_it_was(early: Path) -> None:
    before = stored(early), schema(early)
    (early.parent / "agents.db.before-upgrade").write_bytes(b"an earlier one")
    with perdure.Store(early) as store:
        done = store.upgrade()
    assert done.backup == str(early) + ".before-upgrade-2"
    assert (stored(Path(done.backup)), schema(Path(done.backup))) == before
    assert (early.parent / "agents.db.before-upgrade").read_bytes() == b"an earlier one"
    again = Path(done.backup)  # which is a store that can be upgraded itself
    with perdure.Store(again) as store:
        assert store.upgrade(backup=early.parent / "mine.db").backup == str(
            early.parent / "mine.db"
        )
    assert_whole(again, EARLY)


def test_a_copy_replaces_nothing_and_without_it_nothing_is_done(early: Path) -> None:
    before = stored(early), schema(early)
    taken = early.parent / "taken.db"
    taken.write_bytes(b"mine")
    with perdure.Store(early) as store, pytest.raises(UsageError, match=r"taken\.db exists"):
        store.upgrade(backup=taken)
    assert (stored(early), schema(early)) == before
    assert taken.read_bytes() == b"mine"


def test_a_copy_has_no_name_of_the_stores_own_files(early: Path) -> None:
    before = schema(early)
    for suffix in ("-wal", "-shm", "-journal"):
        with perdure.Store(early) as store, pytest.raises(UsageError, match="name another"):
            store.upgrade(backup=f"{early}{suffix}")
    assert schema(early) == before


def test_others_that_have_it_open_go_on_and_it_stays_as_it_is(early: Path) -> None:
    before = schema(early)
    with closing(apsw.Connection(str(early))) as other:
        other.execute("SELECT count(*) FROM heads").fetchall()
        with (
            perdure.Store(early, busy_timeout=0.05) as store,
            pytest.raises(Busy, match=r"Others have .* open, .* they may go on"),
        ):
            store.upgrade()
        # What an early version does at its next save.
        other.execute("INSERT INTO records (incarnation, line, number, blob) VALUES ('', 1, 1, '')")
        other.execute("DELETE FROM records WHERE incarnation = ''")
    assert schema(early) == before
    with perdure.Store(early) as store:
        assert store.upgrade().ok


def test_nobody_comes_in_between_the_copy_and_the_last_step(
    early: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who did would have looked at the older form, and would write by it."""
    found: list[str] = []

    def come_in() -> None:
        with closing(apsw.Connection(str(early))) as other:
            for statement in ("PRAGMA journal_mode = wal", "SELECT * FROM heads"):
                try:
                    other.execute(statement).fetchall()
                    found.append(f"in by {statement}")
                except apsw.BusyError:
                    found.append("waits")

    check = sqlite_backup._check

    def checked(partial: Path, target: Path) -> None:
        come_in()
        check(partial, target)

    def work(connection: apsw.Connection, progress: Progress) -> None:
        come_in()

    def is_due(connection: apsw.Connection) -> bool:
        come_in()
        return True

    monkeypatch.setattr(sqlite_backup, "_check", checked)
    steps = (*STEPS, Step("none", 0, 0, is_due, work))
    done = upgrade(Place(str(early)), dry_run=False, backup=True, progress=None, steps=steps)
    assert len(done.steps) == 2
    # At first it is only looked at which steps are due; then it is copied; and so on.
    in_by = ["in by PRAGMA journal_mode = wal", "in by SELECT * FROM heads"]
    assert found == in_by + ["waits"] * 6
    with perdure.Store(early) as store:  # it is let go
        assert store.upgrade().steps == ()


def test_who_opened_it_before_it_was_made_newer_writes_nothing_any_more(golden: Path) -> None:
    """P10: old code that is still running writes nothing into what a newer version made."""

    def asked(statement: str) -> list[Any]:  # by the same library: another would let go its locks
        with closing(apsw.Connection(str(golden))) as other:
            return other.execute(statement).fetchall()

    with perdure.Store(golden) as store:
        store.upgrade(backup=False)
    with perdure.Store(golden, maintenance="off") as store, store.open("a") as session:
        session.state["n"] = "mine"
        session.save()
        session.state["n"] = "later"
        asked("PRAGMA user_version = 7")
        before = asked("SELECT * FROM heads, records")
        with pytest.raises(NewerFormat, match=r"format 7.*pip install --upgrade perdure"):
            session.save()
        for write in (lambda: store.fork("a", "b"), lambda: store.delete("a"), store.compact):
            with pytest.raises(NewerFormat):
                write()
        assert [change.path for change in session.changes()] == [("n",)]
        assert asked("SELECT * FROM heads, records") == before
        asked("PRAGMA user_version = 0")  # nobody is kept out by a transaction that was left open
        session.save()
        assert store.at("a", "main")["n"] == "later"


def test_what_cannot_be_upgraded_is_left_and_told(early: Path) -> None:
    def refused(kind: type[PerdureError], match: str, **options: Any) -> None:
        before = early.read_bytes() if early.exists() else b""
        with perdure.Store(early, **options) as store, pytest.raises(kind, match=match):
            store.upgrade()
        assert (early.read_bytes() if early.exists() else b"") == before

    def changed(*statements: str) -> None:
        with closing(sqlite3.connect(early, isolation_level=None)) as base:
            for statement in statements:
                base.execute(statement)
            base.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    refused(ReadOnlyStore, "read_only=True", read_only=True)
    changed("PRAGMA user_version = 7")
    refused(NewerFormat, "format 7.*nothing was touched.*pip install --upgrade perdure")
    changed("PRAGMA user_version = 0", "ALTER TABLE heads ADD COLUMN theirs")
    refused(Malformed, "no version made.*export its states")
    changed("PRAGMA application_id = 5")
    refused(NotAStore, "another program")
    early.unlink()
    refused(StoreUnavailable, "no store at")
    early.write_bytes(b"")
    refused(NotAStore, "empty")


def test_a_store_in_memory_is_always_of_the_newest_form() -> None:
    store = perdure.Store("memory:")
    store.open("a", exclusive=True).close()
    done = store.upgrade()
    assert (done.before, done.after, done.steps, done.ok) == (0, 0, (), True)
    assert [each.key for each in done.verified] == ["a"]


def test_the_async_store_does_the_same(early: Path) -> None:
    async def upgraded() -> perdure.types.Upgraded:
        async with perdure.AsyncStore(early) as store:
            return await store.upgrade()

    assert [step.what for step in asyncio.run(upgraded()).steps] == [STEPS[0].what]
    assert_whole(early, EARLY)


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
        Step("rows", 0, 1, lambda _: True, renamed),
        Step("a note", 1, 2, lambda _: True, noted),
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
    monkeypatch.setattr(sqlite_open, "FORMAT", 2)
    with perdure.Store(golden) as store, pytest.raises(OlderFormat, match="upgrade"):
        store.states()
    place = Place(str(golden))
    done = upgrade(place, dry_run=False, backup=False, progress=None, steps=later_steps())
    assert (done.before, done.after) == (0, 2)
    assert [step.what for step in done.steps][-2:] == ["rows", "a note"]
    assert formats(golden) == (2, True, True)
    with closing(sqlite3.connect(golden)) as base:
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_step_that_fails_is_undone_whole_and_those_before_it_stay(
    early: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sqlite_open, "FORMAT", 2)
    place = Place(str(early))
    with pytest.raises(KeyboardInterrupt):
        upgrade(place, dry_run=False, backup=False, progress=None, steps=later_steps(fails))
    assert formats(early) == (0, False, False)
    done = upgrade(place, dry_run=False, backup=False, progress=None, steps=later_steps())
    assert [step.what for step in done.steps] == ["rows", "a note"]  # the first one stayed
    assert formats(early) == (2, True, True)


def test_the_table_of_steps_leads_to_the_newest_format() -> None:
    assert all(step.before <= step.after for step in STEPS)
    assert [step.before for step in STEPS] == sorted(step.before for step in STEPS)
    assert STEPS[-1].after == sqlite_open.FORMAT
    assert {step.after for step in STEPS} == set(range(sqlite_open.FORMAT + 1))


# ---- the command ----------------------------------------------------------------------------


def test_the_command_says_what_it_would_do_and_did(early: Path) -> None:
    assert run(early, "ls").exit_code == 6
    assert "upgrade" in run(early, "ls").stderr
    assert "perdure upgrade" in run(early, "doctor").stdout
    assert run(early, "upgrade", "--dry-run").stdout == f"would be done: {STEPS[0].what}\n"
    assert run(early, "upgrade").stdout == (
        f"copied to {early}.before-upgrade first\n"
        f"done: {STEPS[0].what}\n"
        "verified: 3 states, none damaged\n"
    )
    assert run(early, "upgrade").stdout == (
        "nothing to do: the store is of the newest form, format 0\n"
        "verified: 3 states, none damaged\n"
    )
    assert run(early, "verify").exit_code == 0


def test_the_command_gives_json_and_takes_where_the_copy_goes(golden: Path) -> None:
    file = golden.parent / "old.db"
    planned = json.loads(run(golden, "upgrade", "--dry-run", "--json").stdout)["upgraded"]
    told = json.loads(run(golden, "upgrade", "--backup", str(file), "--json").stdout)
    done = told["upgraded"]
    assert done["steps"] == planned["steps"]
    assert (told["ok"], done["before"], done["after"]) == (True, 0, 0)
    assert all(each["ok"] for each in done["verified"])
    assert file.exists() == bool(done["steps"])
    both = run(golden, "upgrade", "--backup", str(file), "--no-backup")
    assert both.exit_code == 2


def test_the_command_makes_no_copy_where_it_is_told_so(early: Path) -> None:
    assert run(early, "upgrade", "--no-backup").exit_code == 0
    assert [path.name for path in early.parent.iterdir()] == ["agents.db"]


def test_damage_is_told_and_is_the_exit_code(early: Path) -> None:
    with closing(sqlite3.connect(early)) as base, base:
        base.execute("UPDATE records SET blob = x'00' WHERE number = 5")
    found = run(early, "upgrade")
    assert found.exit_code == 1
    assert "verified: 3 states, 1 damaged" in found.stdout
    assert "golden/all" in found.stdout
