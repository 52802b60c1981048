"""`Store.watch`: new checkpoints as they land, none missed, none twice."""

import gc
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
from perdure.errors import NotAStore, StoreClosed, UsageError
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
