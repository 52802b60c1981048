"""Watching where something is damaged, and calls that are wrong."""

import logging
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_watch import named, numbers, save

from perdure import Store
from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import ReadRecords
from perdure.errors import Damaged, InvalidKey, UsageError


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
