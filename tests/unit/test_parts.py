"""What is not loaded, and what windows show: as often as it is read, it is what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.long_lists import (
    COUNT,
    PARTS,
    apply,
    changed,
    edit,
    grow_text,
    item,
    kept,
    long_list,
)

import perdure
from perdure import errors


@pytest.fixture
def store(tmp_path: Path) -> Iterator[perdure.Store]:
    with perdure.Store(
        tmp_path / "a.db", maintenance="off", cache_bytes=0, durability="process"
    ) as made:
        yield made


@changed
def test_every_part_is_what_is_stored_however_often_it_is_read_P13(
    store: perdure.Store, how: str
) -> None:
    long_list(store)
    m = apply(store, how)
    with store.open("a") as session:
        for _ in range(2):
            for start, stop in PARTS:
                assert session.window("m", start, stop) == m[start:stop]
            assert session.window("m", last=7) == m[-7:]
            assert session.length("m") == len(m)
        assert session.state["m"] == m


@changed
def test_a_window_shows_the_end_and_the_rest_is_where_it_was_P13(
    store: perdure.Store, how: str
) -> None:
    long_list(store)
    m = apply(store, how)
    with store.open("a", windows={"m": 25}) as session:
        assert session.state["m"] == m[-25:]
        for start, stop in PARTS:
            assert session.window("m", start, stop) == m[start:stop]
        grow_text(session.state["m"])
        session.save()
        assert session.window("m") == session.state["m"].plain() if len(m) <= 25 else True
    grow_text(m)
    assert store.at("a", store.info("a").number).plain()["m"] == m
    assert all(found.ok for found in store.verify())


@changed
@pytest.mark.parametrize("snapshotted", [True, False])
def test_a_window_after_others_changed_what_is_before_it_P13(
    store: perdure.Store, how: str, snapshotted: bool
) -> None:
    if snapshotted:
        long_list(store)
    else:
        with store.open("a") as session:
            session.state["m"] = [item(n) for n in range(COUNT)]
    with store.open("a", windows={"m": 25}) as session:
        m = apply(store, how)
        session.refresh()
        for start, stop in PARTS:
            assert session.window("m", start, stop) == m[start:stop]
        session.load("m")
        assert session.state["m"].offset == 0
        assert session.state["m"] == m
        assert not session.changes()


@changed
def test_an_unloaded_section_after_others_changed_it_P13(store: perdure.Store, how: str) -> None:
    long_list(store)
    with store.open("a") as session:
        assert session.window("m", last=1) == [item(COUNT - 1)]
        m = apply(store, how)
        session.refresh()
        for start, stop in PARTS:
            assert session.window("m", start, stop) == m[start:stop]
        assert session.length("m") == len(m)
        assert session.state["m"] == m


def test_a_part_is_the_callers_own(store: perdure.Store) -> None:
    long_list(store)
    edit(store, lambda m: m.append(item(COUNT)))
    with store.open("a") as session:
        session.window("m", last=1)[0]["calls"].append("mine")
        assert session.window("m", last=1)[0]["calls"] == []
        assert session.state["m"][-1]["calls"] == []


@pytest.mark.parametrize("how", ["new item edited", "compacted"])
def test_what_was_read_twice_can_still_be_edited_and_saved_P6(
    store: perdure.Store, how: str
) -> None:
    long_list(store)
    m = apply(store, how)
    with store.open("a") as session:
        session.window("m", last=20)
        session.window("m", tokens=1000, count=lambda each: 1)
        grow_text(session.state["m"])
    grow_text(m)
    with store.open("a") as session:
        assert session.state["m"] == m


def test_a_window_is_widened_in_place(store: perdure.Store) -> None:
    long_list(store)
    with store.open("a", windows={"m": 5}) as session:
        window = session.state["m"]
        window[0]["n"] = "first here"
        window.append(item(COUNT))
        child = window[1]
        session.load("m")
        assert session.state["m"] is window
        assert (window.offset, len(window)) == (0, COUNT + 1)
        child["n"] = "second there"
        window[3]["n"] = "three"
        del window[0]
        expected = window.plain()
    assert expected[994]["n"] == "first here"
    with store.open("a") as session:
        assert session.state["m"] == expected


def test_a_block_that_is_undone_undoes_what_was_widened_in_it(store: perdure.Store) -> None:
    long_list(store)
    with store.open("a", windows={"m": 5}) as session:
        with pytest.raises(ZeroDivisionError), session.atomic():
            session.state["m"].append("x")
            session.load("m")
            session.state["m"][0]["n"] = "x"
            raise ZeroDivisionError
        assert session.state["m"] == [item(n) for n in range(995, 1000)]
        assert session.window("m", 0, 1) == [item(0)]
        session.state["m"].append("y")
    with store.open("a") as session:
        assert session.state["m"][-2:] == [item(999), "y"]


def test_giving_edits_up_leaves_a_window_a_window_and_reads_nothing_else(
    store: perdure.Store,
) -> None:
    kept(store, m=[item(n) for n in range(COUNT)], other=[item(n) for n in range(COUNT)])
    with store.open("a", windows={"m": 5}) as session:
        edit(store, lambda m: m.insert(0, "theirs"))
        session.state["m"].append("mine")
        with pytest.raises(errors.Conflict):
            session.save()
        session.refresh()
        window = session.state["m"]
        assert (window.offset, window[-1]) == (COUNT + 1 - len(window), item(COUNT - 1))
        assert session.window("m", 0, 2) == ["theirs", item(0)]
        assert not session._document.is_loaded("other")
        window.append("again")
    with store.open("a") as session:
        assert session.state["m"][-2:] == [item(COUNT - 1), "again"]


# ---- what is no list ------------------------------------------------------------------------

OTHERS: dict[str, Any] = {
    "dict": {str(n): item(n) for n in range(COUNT)},
    "text": "text " * COUNT,
    "bytes": b"bytes" * COUNT,
    "tuple": tuple(range(COUNT)),
    "set": set(range(COUNT)),
    "int": 1 << 9000,
    "none": None,
}


@pytest.fixture
def others(store: perdure.Store) -> perdure.Store:
    kept(store, m=[item(n) for n in range(COUNT)], **OTHERS)
    with store.open("a") as session:
        session.state["dict"]["new"] = 1
        del session.state["dict"]["1"], session.state["dict"]["2"]
        session.state["text"] += "more"
        session.state["set"].add("new")
    return store


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("loaded", [True, False])
def test_only_lists_have_windows(others: perdure.Store, name: str, loaded: bool) -> None:
    with others.open("a") as session:
        if loaded:
            session.state[name]
        with pytest.raises(errors.UsageError, match=f"{name!r} is no list"):
            session.window(name, last=3)
    with pytest.raises(errors.UsageError, match=f"windows\\[{name!r}\\].* only lists"):
        others.open("a", windows={name: 3})


@pytest.mark.parametrize("name", OTHERS)
def test_the_length_is_that_of_what_is_stored(others: perdure.Store, name: str) -> None:
    state = others.at("a", others.info("a").number).plain()
    with others.open("a") as session:
        if name in ("int", "none"):
            with pytest.raises(TypeError):
                session.length(name)
        else:
            assert session.length(name) == len(state[name])


def test_the_length_of_what_only_changed_inside_is_read_from_nowhere(store: perdure.Store) -> None:
    kept(store, d={str(n): [n] for n in range(COUNT)})
    with store.open("a") as session:
        session.state["d"]["7"].append(1)
    with store.open("a") as session:
        assert session.length("d") == COUNT
        assert not session._document.is_loaded("d")


# ---- arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"last": -1},
        {"last": "3"},
        {"last": 2.5},
        {"last": True},
        {"last": 3, "start": 1},
        {"tokens": 5},
        {"count": len},
        {"tokens": "8", "count": len},
        {"tokens": 8, "count": len, "last": 1},
        {"tokens": 8, "count": len, "stop": 1},
        {"tokens": 8, "count": 1},
        {"start": "a"},
    ],
    ids=repr,
)
def test_arguments_that_make_no_sense_are_refused(
    store: perdure.Store, arguments: dict[str, Any]
) -> None:
    long_list(store)
    with store.open("a") as session, pytest.raises(errors.UsageError, match="window"):
        session.window("m", **arguments)


@pytest.mark.parametrize("windows", [["m"], {"m": "3"}, {"m": 2.5}, {"m": -1}, {1: 2}, {"m": None}])
def test_windows_that_make_no_sense_are_refused(store: perdure.Store, windows: Any) -> None:
    with pytest.raises(errors.UsageError, match="windows"):
        store.open("a", windows=windows)


@pytest.mark.parametrize("counted", ["x", -5, None, float("nan"), True])
def test_what_is_counted_is_a_number(store: perdure.Store, counted: Any) -> None:
    long_list(store)
    with store.open("a") as session, pytest.raises(errors.UsageError, match="count="):
        session.window("m", tokens=8, count=lambda each: counted)


def test_what_counts_is_asked_once_for_each_item(store: perdure.Store) -> None:
    long_list(store)
    asked: list[int] = []

    def count(each: Any) -> int:
        asked.append(each["n"])
        return 10

    with store.open("a", windows={"m": 5}) as session:
        assert session.window("m", tokens=3000, count=count) == [item(n) for n in range(700, 1000)]
    assert len(asked) == len(set(asked))
