"""`Store.watch`: new checkpoints as they land, none missed, none twice."""

import gc
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import Store, limits
from perdure.backends.memory import MemoryBackend
from perdure.backends.objects import ObjectBackend
from perdure.backends.protocol import Backend
from perdure.backends.sqlite import SqliteBackend
from perdure.core.changes import Set
from perdure.engine.requests import ReadHead, ReadRecords
from perdure.errors import Damaged, InvalidKey, NotAStore, StoreClosed, UsageError
from perdure.watching import Landed, Watch

FACES: dict[str, Callable[[Path], Backend]] = {
    "sqlite": lambda path: SqliteBackend(path / "agents.db"),
    "memory": lambda path: MemoryBackend(str(path)),
    "objects": lambda path: ObjectBackend(str(path)),
}
PATIENCE_S = 60.0
"""No test waits so long: what is awaited comes, or the test has failed."""


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Backend]:
    """Opens the same store each time."""
    return lambda: FACES[request.param](tmp_path)


def save(store: Store, key: str, *values: Any, branch: str = "main") -> None:
    """One checkpoint a value, and none at the end."""
    session = store.open(key, branch=branch)
    for value in values:
        session.state["n"] = value
        session.save()


def numbers(watch: Watch) -> list[tuple[str, int, Any]]:
    """Key, number and value of what comes until the timeout."""
    return [named(landed) for landed in watch]


def named(landed: Landed) -> tuple[str, int, Any]:
    (change,) = landed.checkpoint.changes or ()
    assert type(change) is Set
    return landed.checkpoint.key, landed.checkpoint.number, change.value


def test_checkpoints_come_in_order_with_their_changes(face: Callable[[], Backend]) -> None:
    ours, others = Store(face()), Store(face())
    save(ours, "a", 1, 2)
    watch = ours.watch("a", timeout=0)
    assert numbers(watch) == []
    save(ours, "a", 3)
    save(others, "a", 4, 5)
    save(others, "b", 9)
    assert numbers(watch) == [("a", 3, 3), ("a", 4, 4), ("a", 5, 5)]
    assert numbers(watch) == []


def test_what_is_given_is_the_checkpoint_that_was_saved(face: Callable[[], Backend]) -> None:
    store = Store(face())
    watch = store.watch("a", timeout=0)
    with store.open("a") as session:
        session.state["n"] = 1
        saved = session.save("a label", {"by": "me"})
    (landed, *_) = watch
    assert landed.checkpoint.id == saved.id
    assert landed.checkpoint.hash == saved.hash
    assert (landed.checkpoint.label, landed.checkpoint.metadata) == ("a label", {"by": "me"})
    assert landed.checkpoint.changes == (Set(("n",), 1),)


def test_from_the_start(face: Callable[[], Backend]) -> None:
    store = Store(face())
    save(store, "a", 1, 2)
    save(store, "b", 3)
    assert numbers(store.watch("a", since="start", timeout=0)) == [("a", 1, 1), ("a", 2, 2)]
    both = numbers(store.watch("*", since="start", timeout=0))
    assert sorted(both) == [("a", 1, 1), ("a", 2, 2), ("b", 1, 3)]


def test_a_prefix_takes_in_states_that_are_made_later(face: Callable[[], Backend]) -> None:
    store = Store(face())
    save(store, "s/1", 1)
    watch = store.watch("s/*", timeout=0)
    save(store, "s/2", 1, 2)
    save(store, "t/1", 1)
    save(store, "s/1", 2)
    assert sorted(numbers(watch)) == [("s/1", 2, 2), ("s/2", 1, 1), ("s/2", 2, 2)]


def test_each_cursor_goes_on_just_after_its_checkpoint(face: Callable[[], Backend]) -> None:
    store = Store(face())
    watch = store.watch("*", timeout=0)
    for value in range(4):
        save(store, "a", value)
        save(store, "b", value)
    every = list(watch)
    assert len(every) == 8
    for count, landed in enumerate(every, 1):
        rest = list(store.watch("*", cursor=landed.cursor, timeout=0))
        assert {each.checkpoint.id for each in rest} == {
            each.checkpoint.id for each in every[count:]
        }
    assert watch.cursor == every[-1].cursor


def test_the_cursor_of_a_watch_that_gave_nothing_knows_where_it_began(
    face: Callable[[], Backend],
) -> None:
    store = Store(face())
    save(store, "a", 1)
    cursor = store.watch("*").cursor
    save(store, "a", 2)
    assert numbers(store.watch("*", cursor=cursor, timeout=0)) == [("a", 2, 2)]


def test_a_cursor_is_small(face: Callable[[], Backend]) -> None:
    store = Store(face())
    save(store, "a", *range(100))
    *_, last = store.watch("a", since="start", timeout=0)
    assert len(last.cursor) < 200
    assert "\n" not in last.cursor


def test_a_commit_of_the_same_store_wakes_at_once(face: Callable[[], Backend]) -> None:
    store = Store(face())
    watch = store.watch("a", interval=3600, timeout=2 * PATIENCE_S)
    found: list[Landed] = []
    thread = threading.Thread(target=lambda: found.append(next(watch)), daemon=True)
    thread.start()
    save(store, "a", 1)
    thread.join(PATIENCE_S)
    assert [named(each) for each in found] == [("a", 1, 1)]


def test_closing_ends_the_iteration_of_another_thread(face: Callable[[], Backend]) -> None:
    store = Store(face())
    watch = store.watch("a", interval=3600)
    ended = threading.Event()

    def iterate() -> None:
        assert list(watch) == []
        ended.set()

    threading.Thread(target=iterate, daemon=True).start()
    watch.close()
    watch.close()
    assert ended.wait(PATIENCE_S)
    assert list(watch) == []


def test_closing_the_store_is_told(face: Callable[[], Backend]) -> None:
    store = Store(face())
    save(store, "a", 1)
    watch = store.watch("a", interval=3600)
    told = threading.Event()

    def iterate() -> None:
        with pytest.raises(StoreClosed):
            next(watch)
        told.set()

    threading.Thread(target=iterate, daemon=True).start()
    store.close()
    assert told.wait(PATIENCE_S)


def test_nobody_is_woken_for_a_watch_that_is_gone(tmp_path: Path) -> None:
    store = Store(tmp_path / "agents.db")
    with store.watch("a"):
        dropped = store.watch("a")
        assert len(store._driver.bell._listeners) == 2
        del dropped
        gc.collect()
        assert len(store._driver.bell._listeners) == 1
    assert store._driver.bell._listeners == ()
    with pytest.raises(UsageError):
        store.watch("a", cursor="{}")
    assert store._driver.bell._listeners == ()


# ---- lives of a key -------------------------------------------------------------------------


def test_a_key_that_was_deleted_and_made_anew_begins_anew(face: Callable[[], Backend]) -> None:
    store = Store(face())
    save(store, "a", 1, 2)
    watch = store.watch("a", timeout=0)
    save(store, "a", 3)
    store.delete("a")
    save(store, "a", 10)
    store.delete("a")
    save(store, "a", 20, 21)
    # What was saved to the lives that ended meanwhile is not left out.
    expected = [("a", 3, 3), ("a", 1, 10), ("a", 1, 20), ("a", 2, 21)]
    assert numbers(watch) == expected


def test_what_is_brought_back_is_not_given_again(face: Callable[[], Backend]) -> None:
    store = Store(face())
    watch = store.watch("a", timeout=0)
    save(store, "a", 1)
    store.delete("a")
    save(store, "a", 10)
    assert numbers(watch) == [("a", 1, 1), ("a", 1, 10)]
    store.delete("a")
    store.undelete("a", life=1)
    save(store, "a", 2)
    (landed,) = watch
    assert named(landed) == ("a", 2, 2)
    assert list(store.watch("a", cursor=landed.cursor, timeout=0)) == []


def test_a_state_that_is_deleted_when_the_watch_begins_is_not_there(
    face: Callable[[], Backend],
) -> None:
    store = Store(face())
    save(store, "a", 1)
    store.delete("a")
    watch = store.watch("*", since="start", timeout=0)
    assert numbers(watch) == []
    store.undelete("a")
    save(store, "a", 2)
    assert numbers(watch) == [("a", 2, 2)]


def test_a_copy_begins_at_its_first_checkpoint(face: Callable[[], Backend]) -> None:
    store = Store(face())
    save(store, "a", 1, 2)
    watch = store.watch("*", timeout=0)
    store.copy("a", "b")
    assert numbers(watch) == [("b", 1, 1), ("b", 2, 2)]


# ---- branches -------------------------------------------------------------------------------


def test_a_rollback_and_what_comes_after_it(face: Callable[[], Backend]) -> None:
    store = Store(face())
    watch = store.watch("a", timeout=0)
    save(store, "a", 1, 2, 3)
    assert len(numbers(watch)) == 3
    store.rollback("a", to=1)
    assert numbers(watch) == []
    save(store, "a", 20)
    assert numbers(watch) == [("a", 2, 20)]
    store.undo("a")
    assert numbers(watch) == []


def test_what_a_branch_left_between_two_looks_is_given_too(face: Callable[[], Backend]) -> None:
    store = Store(face())
    save(store, "a", 1)
    watch = store.watch("a", timeout=0)
    save(store, "a", 2, 3)
    store.rollback("a", to=1)
    save(store, "a", 20)
    store.rollback("a", to=1)
    save(store, "a", 200)
    expected = [("a", 2, 2), ("a", 3, 3), ("a", 2, 20), ("a", 2, 200)]
    assert numbers(watch) == expected


def test_from_the_start_is_as_if_it_had_watched_all_the_time(face: Callable[[], Backend]) -> None:
    store = Store(face())
    live = store.watch("*", timeout=0)
    save(store, "a", 1, 2)
    store.rollback("a", to=1)
    store.fork("a", "try")
    save(store, "a", 3, branch="try")
    save(store, "a", 4)
    store.rollback("a", to=1)
    store.promote("a", "try")
    found = numbers(store.watch("*", since="start", timeout=0))
    assert found == numbers(live)
    assert [value for *_, value in found] == [1, 2, 4, 3]


def test_a_promoted_branch_brings_its_checkpoints_once(face: Callable[[], Backend]) -> None:
    store = Store(face())
    save(store, "a", 1)
    watch = store.watch("a", timeout=0)
    store.fork("a", "try")
    save(store, "a", 2, 3, branch="try")
    assert numbers(watch) == []
    store.promote("a", "try")
    assert numbers(watch) == [("a", 2, 2), ("a", 3, 3)]
    store.undo("a")
    store.redo("a")
    assert numbers(watch) == []


def test_another_branch_alone(face: Callable[[], Backend]) -> None:
    store = Store(face())
    save(store, "a", 1)
    watch = store.watch("a", branch="try", timeout=0)
    store.fork("a", "try")
    save(store, "a", 2)
    save(store, "a", 20, branch="try")
    assert numbers(watch) == [("a", 1, 1), ("a", 2, 20)]


def test_a_cursor_stays_bounded_and_nothing_comes_twice(
    face: Callable[[], Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "watch_lines_max", 4)
    store = Store(face())
    watch = store.watch("a", timeout=0)
    save(store, "a", 0)
    seen = [named(landed) for landed in watch]
    for value in range(1, 12):
        store.rollback("a", to=1) if value > 1 else None
        save(store, "a", value)
        (landed,) = watch
        assert named(landed) == ("a", 2, value)
        watch = store.watch("a", cursor=landed.cursor, timeout=0)
    for _ in range(10):
        store.undo("a")
        assert numbers(watch) == []
    (lives,) = json.loads(watch.cursor)["states"]["a"].values()
    assert len(lives) <= 2 + 2 * 4
    assert seen == [("a", 1, 0)]


@pytest.mark.parametrize("since", ["start", "now"])
def test_a_lineage_that_a_head_does_not_hold_whole(face: Callable[[], Backend], since: Any) -> None:
    store = Store(face())
    save(store, "a", 0)
    early = store.watch("a", timeout=0)
    for value in range(1, limits.lineage_inline_max + 5):
        save(store, "a", value, -value)
        store.rollback("a", to=value + 1)
    now = store.watch("a", since=since, timeout=0)
    kept = [("a", value + 1, value) for value in range(limits.lineage_inline_max + 5)]
    found = numbers(now)
    assert [each for each in found if each[2] in range(100)] == (kept if since == "start" else [])
    assert len(found) == (2 * len(kept) - 1 if since == "start" else 0)
    save(store, "a", "new")
    last = ("a", limits.lineage_inline_max + 6, "new")
    assert numbers(now) == [last]
    found = numbers(early)
    assert [each for each in found if each[2] in range(100)] == kept[1:]
    assert len(found) == 2 * (limits.lineage_inline_max + 4) + 1
    store.rollback("a", to=2)
    assert numbers(now) == numbers(early) == []


# ---- where it watches -----------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"read_only": True}, {"create": False}])
def test_a_store_that_is_not_made_yet_is_waited_for(
    tmp_path: Path, options: dict[str, bool]
) -> None:
    path = tmp_path / "later" / "agents.db"
    watch = Store(path, **options).watch("*", timeout=0)  # type: ignore[arg-type]  # all are bool
    assert list(watch) == []
    cursor = watch.cursor
    assert not path.parent.exists()
    path.parent.mkdir()
    path.touch()
    assert list(watch) == []
    assert path.stat().st_size == 0
    save(Store(path), "a", 1)
    assert numbers(watch) == [("a", 1, 1)]
    assert numbers(Store(path).watch("*", cursor=cursor, timeout=0)) == [("a", 1, 1)]


def test_what_is_no_store_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "agents.db").write_text("something else")
    with pytest.raises(NotAStore):
        Store(tmp_path / "agents.db", read_only=True).watch("*")


def test_an_idle_look_asks_sqlite_for_nothing_but_whether_it_changed(tmp_path: Path) -> None:
    asked = []

    class Counting(SqliteBackend):
        def perform(self, request: Any) -> Any:
            asked.append(type(request))
            return super().perform(request)

    save(Store(tmp_path / "agents.db"), "a", 1)
    watch = Store(Counting(tmp_path / "agents.db")).watch("a", timeout=0)
    assert list(watch) == list(watch) == []
    assert asked == [ReadHead]
    save(Store(tmp_path / "agents.db"), "a", 2)
    assert numbers(watch) == [("a", 2, 2)]
    assert asked[1:] == [ReadHead, ReadRecords, ReadHead]
    assert list(watch) == []
    assert len(asked) == 4


def test_what_is_saved_during_a_look_is_found_by_the_next(tmp_path: Path) -> None:
    other = Store(tmp_path / "agents.db")
    save(other, "a", 1)
    missed = [2]

    class Late(SqliteBackend):
        def perform(self, request: Any) -> Any:
            answer = super().perform(request)
            if isinstance(request, ReadHead) and missed:
                save(other, "a", missed.pop())
            return answer

    watch = Store(Late(tmp_path / "agents.db")).watch("a", timeout=0)
    assert not missed
    assert numbers(watch) == [("a", 2, 2)]


def test_packed_history(face: Callable[[], Backend]) -> None:
    store = Store(face(), maintenance="off")
    save(store, "a", *range(300))
    store.maintain("a")
    save(store, "a", 300)
    watch = store.watch("a", since="start", timeout=0)
    first = [next(watch) for _ in range(150)]
    again = store.watch("a", cursor=first[-1].cursor, timeout=0)
    found = [named(each) for each in first] + numbers(again)
    assert found == [("a", value + 1, value) for value in range(301)]


def test_a_backlog_is_read_piece_by_piece(
    face: Callable[[], Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "watch_bytes_max", 1)
    monkeypatch.setattr(limits, "watch_moves_max", 1)
    store = Store(face(), maintenance="off")
    watch = store.watch("*", timeout=0)
    save(store, "a", 1, 2, 3)
    store.rollback("a", to=1)
    store.rollback("a", to="main")
    save(store, "a", 20)
    save(store, "b", 1, 2)
    found = numbers(watch)
    # A state with much to tell does not keep the others waiting.
    assert [key for key, *_ in found[:4]] == ["a", "b", "a", "b"]
    expected = [("a", 1, 1), ("a", 2, 2), ("a", 3, 3), ("a", 2, 20), ("b", 1, 1), ("b", 2, 2)]
    assert sorted(found, key=lambda each: each[0]) == expected


# ---- what is damaged ------------------------------------------------------------------------


class Damaging(MemoryBackend):
    """Gives other bytes for the records of this number, while it is set."""

    number: int | None = None

    def perform(self, request: Any) -> Any:
        answer = super().perform(request)
        if isinstance(request, ReadRecords) and self.number is not None:
            return tuple(
                type(row)(row.line, row.number, row.blob[:-1] + b"?")
                if row.number == self.number
                else row
                for row in answer
            )
        return answer


def test_a_damaged_state_is_passed_over_and_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = Damaging(str(tmp_path))
    store = Store(backend)
    watch = store.watch("*", timeout=0)
    save(store, "a", 1, 2, 3)
    save(store, "b", 1)
    backend.number = 2
    with caplog.at_level(logging.WARNING, "perdure"):
        assert numbers(watch) == [("a", 1, 1), ("b", 1, 1)]
        save(store, "a", 4)
        assert numbers(watch) == []
    assert [each.message.split(":")[0] for each in caplog.records] == ["watching '*'"]
    assert "'a' is passed over, damaged: " in caplog.text
    backend.number = None
    save(store, "a", 5)
    assert [value for _, _, value in numbers(watch)] == [2, 3, 4, 5]


def test_damage_of_the_one_state_that_is_watched_is_raised(tmp_path: Path) -> None:
    backend = Damaging(str(tmp_path))
    store = Store(backend)
    watch = store.watch("a", timeout=0)
    save(store, "a", 1, 2)
    backend.number = 2
    assert named(next(watch)) == ("a", 1, 1)
    for _ in range(2):
        with pytest.raises(Damaged):
            next(watch)
    backend.number = None
    assert named(next(watch)) == ("a", 2, 2)


def test_an_older_head_in_place_of_a_newer_one_is_damage(tmp_path: Path) -> None:
    store = Store(MemoryBackend(str(tmp_path)))
    backend = store._driver.backend
    assert isinstance(backend, MemoryBackend)
    save(store, "a", 1)
    older = backend._tables.heads["a"]
    watch = store.watch("a", timeout=0)
    save(store, "a", 2)
    assert numbers(watch) == [("a", 2, 2)]
    backend._tables.heads["a"] = older
    with pytest.raises(Damaged, match="older head"):
        next(watch)


def test_a_head_that_is_damaged_when_the_watch_begins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(MemoryBackend(str(tmp_path)))
    backend = store._driver.backend
    assert isinstance(backend, MemoryBackend)
    save(store, "a", 1)
    save(store, "b", 1)
    whole = backend._tables.heads["a"]
    broken = type(whole[0])(b"another token...", whole[0].blob)
    backend._tables.heads["a"] = broken, whole[1]
    watch = store.watch("*", timeout=0)
    assert numbers(watch) == []
    assert caplog.text.count("'a' is passed over") == 1
    with pytest.raises(Damaged):
        store.watch("a")
    backend._tables.heads["a"] = whole
    assert numbers(watch) == []  # what was there is not new because it was mended
    save(store, "a", 2)
    assert numbers(watch) == [("a", 2, 2)]


# ---- wrong calls ----------------------------------------------------------------------------


def test_a_cursor_of_another_store_key_or_branch_is_refused(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "one.db"), Store(tmp_path / "two.db")
    save(store, "a", 1)
    save(other, "a", 1)
    cursor = store.watch("a").cursor
    for key, branch in (("b", "main"), ("*", "main"), ("a", "try")):
        with pytest.raises(UsageError, match="this cursor is of a watch of 'a'"):
            store.watch(key, cursor=cursor, branch=branch)
    with pytest.raises(UsageError, match="this cursor is of the store"):
        other.watch("a", cursor=cursor)
    unmade = Store(tmp_path / "three.db").watch("a", cursor=cursor, timeout=0)
    assert list(unmade) == []
    save(Store(tmp_path / "three.db"), "a", 1)
    with pytest.raises(UsageError, match="this cursor is of the store"):
        next(unmade)


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "{}", "[]", "null", '{"v":2}'),
        '{"v":1,"store":"00","watch":"a","branch":"main","states":{}}',
        '{"v":1,"store":"","watch":"a","branch":"main","states":{"a":{"0":[-1,0]}}}',
        '{"v":1,"store":"","watch":"a","branch":"main","states":{"a":{"' + "0" * 32 + '":[]}}}',
        '{"v":1,"store":"","watch":"a","branch":"main","states":{"a":{"'
        + "0" * 32
        + '":[-1,0,3]}}}',
        '{"v":1,"store":"","watch":"a","branch":"main","states":{"a":{"'
        + "0" * 32
        + '":[-1,0,-1,3]}}}',
        '{"v":1,"store":"","watch":"a","branch":"main","states":{"a":{"'
        + "0" * 32
        + '":[0,0,1.5,3]}}}',
    ],
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(UsageError, match="not a cursor that a watch gave"):
        Store("memory:").watch("a", cursor=cursor)


@pytest.mark.parametrize(
    "options",
    [
        {"interval": 0},
        {"interval": -1},
        {"interval": float("nan")},
        {"interval": "1"},
        {"timeout": -1},
        {"timeout": float("inf")},
        {"timeout": True},
        {"since": "yesterday"},
        {"branch": ""},
        {"branch": "a b"},
        {"cursor": b"{}"},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Store("memory:").watch("a", **options)


@pytest.mark.parametrize("key", ["", "a\x00", "\ud800*", 7, "a" * 2000])
def test_wrong_keys_are_refused(key: Any) -> None:
    with pytest.raises(InvalidKey):
        Store("memory:").watch(key)
