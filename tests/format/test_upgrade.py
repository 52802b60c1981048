"""`perdure upgrade` from every golden store: what they hold stays what it was (P5, P7, P10)."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.format.upgrades import (
    EARLY,
    EXPORTS,
    GOLDEN,
    STORES,
    assert_whole,
    copied,
    named,
    schema,
    stored,
)

import perdure
from perdure.backends import sqlite_backup
from perdure.backends.sqlite_open import Place
from perdure.backends.sqlite_upgrade import STEPS, Progress, Step, upgrade
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
    assert [step.what for step in steps] == [
        step.what
        for step in STEPS
        if store == EARLY or (step.after and store.parent.name == "format-0")
    ]


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
    assert [step.what for step in planned.steps] == [step.what for step in STEPS]
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
    steps = (*STEPS, Step("none", 1, 1, is_due, work))
    done = upgrade(Place(str(early)), dry_run=False, backup=True, progress=None, steps=steps)
    assert len(done.steps) == len(STEPS) + 1
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
        asked("PRAGMA user_version = 1")  # nobody is kept out by a transaction that was left open
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
    assert (done.before, done.after, done.steps, done.ok) == (1, 1, (), True)
    assert [each.key for each in done.verified] == ["a"]


def test_the_async_store_does_the_same(early: Path) -> None:
    async def upgraded() -> perdure.reports.Upgraded:
        async with perdure.AsyncStore(early) as store:
            return await store.upgrade()

    assert [step.what for step in asyncio.run(upgraded()).steps] == [step.what for step in STEPS]
    assert_whole(early, EARLY)
