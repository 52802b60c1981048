"""An anchor outside of the store knows older versions of a state, and of the whole store (P5)."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

import perdure
from perdure.anchors import FileAnchor
from perdure.errors import StoreUnavailable, Tampered, UsageError

ROOT = bytes(range(32))
KEY = "support/alice"
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "keyed": {"key": ROOT},
    "hidden": {"key": ROOT, "hide_names": True},
}
Open = Callable[..., perdure.Store]


@pytest.fixture(params=OPTIONS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the store, with its anchor unless told otherwise."""
    stores: list[perdure.Store] = []
    options = OPTIONS[request.param]

    def open_(**more: Any) -> perdure.Store:
        given: dict[str, Any] = (
            {"anchor": tmp_path / "safe.anchor", "maintenance": "off"} | options | more
        )
        if given["anchor"] is None:
            del given["anchor"]
        stores.append(perdure.Store(tmp_path / "agents.db", **given))
        return stores[-1]

    yield open_
    for store in stores:
        store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agents.db"


def save(store: perdure.Store, number: int, key: str = KEY) -> None:
    with store.open(key) as session:
        session.state["n"] = number


def numbers(store: perdure.Store, key: str = KEY) -> Any:
    return store.at(key, "main")["n"]


def kept(path: Path) -> Path:
    """A copy of the store as it is now."""
    return Path(shutil.copy(path, path.with_name("kept.db")))


def put_back(copy: Path, path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    shutil.copy(copy, path)


def refused(store: perdure.Store, form: str = "older", key: str = KEY) -> None:
    """That nothing of a state is read, or saved."""
    for use in (store.history, store.info, lambda key: store.at(key, "main"), store.open):
        with pytest.raises(Tampered) as caught:
            use(key)
        assert caught.value.form == form, caught.value
        assert "perdure verify --anchor" in str(caught.value)


def test_what_was_saved_with_an_anchor_is_read_with_it_and_without(opened: Open) -> None:
    with opened() as store:
        for number in range(5):
            save(store, number)
    with opened() as store:
        assert numbers(store) == 4
        assert [each.ok for each in store.verify()] == [True]
        assert [each.key for each in store.states()] == [KEY]
    with opened(anchor=None) as store:
        assert numbers(store) == 4


def test_an_older_copy_of_the_whole_store_is_refused(opened: Open, path: Path) -> None:
    with opened() as store:
        save(store, 1)
        save(store, 1, "other")
    copy = kept(path)
    with opened() as store:
        save(store, 2)
    put_back(copy, path)
    with opened() as store:
        refused(store)
        assert numbers(store, "other") == 1  # of which nothing newer is known
        found = {each.key: each for each in store.verify()}
        assert [key for key, each in found.items() if not each.ok] == [KEY]
        told = {each.key: each.status for each in store.states()}
        assert told == {KEY: "damaged", "other": "closed"}
    with opened(anchor=None) as store:
        assert numbers(store) == 1  # nothing else would know


def test_an_older_row_of_one_state_is_refused(opened: Open, path: Path) -> None:
    with opened() as store:
        save(store, 1)
    with closing(sqlite3.connect(path)) as base:
        heads = base.execute("SELECT * FROM heads").fetchall()
    with opened() as store:
        save(store, 2)
        store.fork(KEY, "b")
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("DELETE FROM heads")
        marks = ", ".join("?" * len(heads[0]))
        base.executemany(f"INSERT INTO heads VALUES ({marks})", heads)
    with opened() as store:
        refused(store)


def test_an_older_row_is_refused_by_who_has_read_it_before(opened: Open, path: Path) -> None:
    columns = "token, head, incarnation, line, after, page"
    with opened() as reader, opened() as writer:
        save(writer, 1)
        for _ in range(2):
            assert reader.open(KEY).state["n"] == 1  # kept in memory from now on
        # Not by sqlite3: another copy of SQLite in this process would drop the locks of ours.
        with closing(apsw.Connection(str(path))) as base:
            (head,) = base.execute(f"SELECT {columns} FROM heads")
        save(writer, 2)
        with closing(apsw.Connection(str(path))) as base:
            base.execute(f"UPDATE heads SET ({columns}) = (?, ?, ?, ?, ?, ?)", head)
        with pytest.raises(Tampered):
            reader.open(KEY)
        refused(reader)


def test_a_state_that_is_gone_is_missed(opened: Open, path: Path) -> None:
    with opened() as store:
        save(store, 1)
        save(store, 1, "other")
    with closing(sqlite3.connect(path)) as base, base:
        count = base.execute("DELETE FROM heads").rowcount
        assert count == 2
    with opened() as store:
        refused(store, "missing")
        assert [each.ok for each in store.verify()] == [False, False]


def test_a_file_that_is_gone_is_missed(opened: Open, path: Path) -> None:
    with opened() as store:
        save(store, 1)
    path.unlink()
    with opened() as store, pytest.raises(Tampered, match="its anchor knows of it"):
        save(store, 2)
    assert not path.exists()


def test_another_store_in_its_place_is_refused(opened: Open, path: Path, tmp_path: Path) -> None:
    with opened() as store:
        save(store, 1)
    path.unlink()
    with opened(anchor=None) as store:
        save(store, 9)
    with opened() as store, pytest.raises(Tampered, match="another store is in its place"):
        store.states()


def test_what_moves_a_state_on_without_a_save_is_known_too(opened: Open, path: Path) -> None:
    ways: list[Callable[[perdure.Store], Any]] = [
        lambda store: store.fork(KEY, "b"),
        lambda store: store.rollback(KEY, to=2),
        lambda store: store.undo(KEY),
        lambda store: store.redact(KEY, "secret"),
        lambda store: store.delete(KEY),
        lambda store: store.undelete(KEY),
        lambda store: store.prune(perdure.Retention(keep_last=2), KEY),
    ]
    with opened() as store:
        for number in range(6):
            with store.open(KEY) as session:
                session.state["n"], session.state["secret"] = number, f"said {number}"
    for way in ways:
        copy = kept(path)
        with opened() as store:
            way(store)
        after = Path(shutil.copy(path, path.with_name("after.db")))
        put_back(copy, path)
        with opened() as store, pytest.raises(Tampered, match=r"older|replaced|commits"):
            store.info(KEY)
        put_back(after, path)
    with opened() as store:
        assert [each.ok for each in store.verify()] == [True]


def test_others_without_the_anchor_may_go_on_and_are_believed(opened: Open) -> None:
    with opened() as store:
        save(store, 1)
    with opened(anchor=None) as store:
        save(store, 2)
        store.fork(KEY, "b")
    with opened() as store:
        assert numbers(store) == 2
        save(store, 3)


def test_a_store_that_was_there_before_the_anchor_is_taken_as_it_is(opened: Open) -> None:
    with opened(anchor=None) as store:
        save(store, 1)
    with opened() as store:
        assert numbers(store) == 1


def test_an_erased_state_is_not_missed_and_its_name_is_free(opened: Open) -> None:
    with opened() as store:
        save(store, 1)
        store.erase(KEY)
        assert store.states() == []
        assert [each.ok for each in store.verify()] == []
        save(store, 7)
    with opened() as store:
        assert numbers(store) == 7
        store.delete(KEY)
        save(store, 8)
        store.erase(KEY, life=1)
        assert numbers(store) == 8
    with opened() as store:
        assert numbers(store) == 8


def test_the_name_of_an_erased_state_does_not_stay_in_the_file_P8(path: Path) -> None:
    anchor = path.with_name("safe.anchor")
    with perdure.Store(path, anchor=anchor) as store:
        save(store, 1)
        save(store, 1, "other")
        assert KEY.encode() in anchor.read_bytes()
        store.erase(KEY)
        assert KEY.encode() not in anchor.read_bytes()
    with perdure.Store(path, anchor=anchor) as store:
        assert numbers(store, "other") == 1


def test_a_backup_that_was_put_back_on_purpose_is_accepted(opened: Open, path: Path) -> None:
    with opened() as store:
        save(store, 1)
    copy = kept(path)
    with opened() as store:
        save(store, 2)
        save(store, 1, "later")
    put_back(copy, path)
    with opened() as store:
        assert sorted(each.ok for each in store.verify()) == [False, False]
        assert store.reanchor() == 1
        assert numbers(store) == 1
        assert [each.ok for each in store.verify()] == [True]
        save(store, 3)
    with opened() as store:
        assert numbers(store) == 3
    with opened(anchor=None) as store, pytest.raises(UsageError, match="without an anchor"):
        store.reanchor()


def test_sessions_and_workers_share_one_anchor(opened: Open) -> None:
    with opened() as one, opened() as two:
        save(one, 0)
        for number in range(20):
            with (one, two)[number % 2].open(KEY) as session:
                assert session.state["n"] == number
                session.state["n"] = number + 1
        for store in (one, two):
            assert numbers(store) == 20


def test_the_async_store_does_the_same(opened: Open, path: Path, tmp_path: Path) -> None:
    with opened() as store:
        save(store, 1)
        options: dict[str, Any] = {"key": ROOT} if store.is_encrypted() else {}
    copy = kept(path)

    async def saved(number: int) -> None:
        async with (
            perdure.AsyncStore(path, anchor=tmp_path / "safe.anchor", **options) as store,
            await store.open(KEY) as session,
        ):
            session.state["n"] = number

    asyncio.run(saved(2))
    put_back(copy, path)
    with pytest.raises(Tampered):
        asyncio.run(saved(3))

    async def accepted() -> int:
        async with perdure.AsyncStore(path, anchor=tmp_path / "safe.anchor", **options) as store:
            return await store.reanchor()

    assert asyncio.run(accepted()) == 1
    asyncio.run(saved(3))


# ---- anchors --------------------------------------------------------------------------------


class Kept(dict[str, bytes]):
    """The least that an anchor can be."""

    fails = False

    def put(self, name: str, mark: bytes) -> None:
        if self.fails:
            raise OSError("the anchor is away")
        self[name] = mark


def test_any_object_can_be_an_anchor_and_a_save_waits_for_it(path: Path) -> None:
    anchor = Kept()
    with perdure.Store(path, anchor=anchor, maintenance="off") as store:
        save(store, 1)
        assert set(anchor) == {"", KEY}
        session = store.open(KEY)
        session.state["n"] = 2
        anchor.fails = True
        with pytest.raises(StoreUnavailable, match="the anchor could not be told"):
            session.save()
        anchor.fails = False
        session.save()  # settled by its id: it is saved once
        session.close()
        assert [each.number for each in store.history(KEY)] == [2, 1]
        assert numbers(store) == 2
    with pytest.raises(UsageError, match="an anchor is a path"):
        perdure.Store(path, anchor=17)  # type: ignore[arg-type]  # on purpose


def test_an_anchor_that_knows_nothing_is_told_to_who_only_reads(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with perdure.Store(path) as store:
        save(store, 1)
    with perdure.Store(path, anchor=tmp_path / "mistyped", read_only=True) as store:
        assert numbers(store) == 1
    assert "the anchor knows nothing of this store" in caplog.text
    assert not (tmp_path / "mistyped").exists()


def test_an_anchor_of_hidden_names_says_none(path: Path, tmp_path: Path) -> None:
    anchor = tmp_path / "safe.anchor"
    with perdure.Store(path, key=ROOT, hide_names=True, anchor=anchor) as store:
        save(store, 1)
    assert b"alice" not in anchor.read_bytes()


def test_an_anchor_whose_end_is_torn_keeps_what_is_before_it(tmp_path: Path) -> None:
    file = tmp_path / "safe.anchor"
    anchor = FileAnchor(file)
    anchor.put("a", b"1")
    anchor.put("b", b"1")
    whole = file.read_bytes()
    anchor.put("a", b"2")
    longer = file.read_bytes()
    for size in range(len(whole), len(longer)):
        file.write_bytes(longer[:size])
        torn = FileAnchor(file)
        assert (torn.get("a"), torn.get("b")) == (b"1", b"1")
        torn.put("c", b"1")
        assert FileAnchor(file).names() == ["a", "b", "c"]


def test_an_anchor_stays_small(tmp_path: Path) -> None:
    file = tmp_path / "safe.anchor"
    anchor = FileAnchor(file)
    for number in range(3_000):
        anchor.put("a", b"%04d" % number * 20)
    assert file.stat().st_size < 2 * 65_536
    assert FileAnchor(file).get("a") == b"2999" * 20


MANY = """
import sys, perdure
with perdure.Store(sys.argv[1], anchor=sys.argv[2], durability="process") as store:
    for number in range(40):
        with store.open(f"{sys.argv[3]}/{number % 5}") as session:
            session.state["n"] = number
"""


def test_processes_share_one_anchor(path: Path, tmp_path: Path) -> None:
    anchor = tmp_path / "safe.anchor"
    command = [sys.executable, "-c", MANY, str(path), str(anchor)]
    running = [subprocess.Popen([*command, str(worker)]) for worker in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    with perdure.Store(path, anchor=anchor) as store:
        assert [each.ok for each in store.verify()] == [True] * 15
        assert {numbers(store, f"{worker}/{at}") for worker in range(3) for at in range(5)} == {
            *range(35, 40)
        }


def test_a_store_that_is_gone_is_told_whoever_asks(opened: Open, path: Path) -> None:
    with opened() as store:
        save(store, 1)
    path.unlink()
    for way in ({}, {"read_only": True}, {"create": False}):
        with pytest.raises(Tampered, match="its anchor knows of it") as caught:
            opened(**way).states()
        assert caught.value.form == "missing"
    assert not path.exists()
