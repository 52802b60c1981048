"""Watching over rollbacks and promotions, and over the lives of a key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_watch import FACES, named, numbers, save

from perdure import Retention, Store, limits
from perdure.backends.protocol import Backend


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Backend]:
    """Opens the same store each time."""
    return lambda: FACES[request.param](tmp_path)


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


def test_what_is_saved_to_an_old_line_is_new_on_the_branch_that_comes_there(
    face: Callable[[], Backend],
) -> None:
    store = Store(face())
    save(store, "a", 0)
    store.fork("a", "x")
    for value in range(1, limits.lineage_inline_max + 5):
        save(store, "a", value, -value)
        store.rollback("a", to=value + 1)
    watch = store.watch("a", timeout=0)
    save(store, "a", "new", 7, branch="x")
    store.rollback("a", "x")
    assert numbers(watch) == [("a", 2, "new"), ("a", 3, 7)]


def test_what_is_pruned_under_a_watch_that_lags_behind_is_not_told_to_be_damaged(
    face: Callable[[], Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "watch_bytes_max", 1)
    store = Store(face(), maintenance="off")
    save(store, "a", *range(9))
    watch = store.watch("a", since="start", timeout=0)
    assert named(next(watch)) == ("a", 1, 0)
    store.prune(Retention(keep_last=2), "a")
    assert numbers(watch) == [("a", 8, 7), ("a", 9, 8)]
