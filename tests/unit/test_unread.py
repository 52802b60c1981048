"""Of the records after a snapshot, only what concerns the sections that are read is decoded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import perdure
from perdure import errors, limits
from perdure.core.changes import pack_changes
from perdure.core.codec import pack
from perdure.engine.requests import ReadPages

NEWER = msgspec.msgpack.Ext(99, b"")
"""A value of a newer version."""

LONG = "x" * 2 * limits.inline_bytes_max


def written(store: perdure.Store, *wires: list[Any]) -> int:
    """Save what another version of Perdure might, as changes on the wire; the checkpoint."""
    packed = b"".join(msgspec.msgpack.encode(wire) for wire in wires)
    changes = bytes([0x90 | len(wires)]) + packed
    with pytest.MonkeyPatch.context() as patch, store.open("a", sections=[]) as session:
        patch.setattr("perdure.engine.capturing.pack_changes", lambda _: changes)
        session.state["other"] = session.checkpoint.number if session.checkpoint else 0
        saved = session.save()
    assert saved is not None
    return saved.number


@pytest.fixture(params=["a snapshot", "no snapshot"])
def store(request: pytest.FixtureRequest) -> Iterator[perdure.Store]:
    """A store whose state `a` has sections of every kind, with changes after the snapshot."""
    with perdure.Store("memory:", maintenance="off") as store:
        with store.open("a") as session:
            session.state["messages"] = [{"n": n, "text": "word " * 20} for n in range(400)]
            session.state["plan"] = {str(n): n for n in range(2000)}
            session.state["draft"] = LONG
            for n in range(limits.tail_records_max + 1):
                session.state["step"] = n
                session.save()
        if request.param == "a snapshot":
            store.maintain("a")
        yield store


def raises_at(number: int) -> Any:
    return pytest.raises(
        errors.NewerFormat, match=rf"record {number} on .* unknown to this version"
    )


@pytest.mark.parametrize("name", ["messages", "plan", "draft", "step"])
def test_a_change_of_a_newer_kind_fails_only_who_reads_its_section_P10(
    store: perdure.Store, name: str
) -> None:
    number = written(store, [9, [name, 0], 1, 2], [1, ["fresh"], "value"])
    others = {"messages", "plan", "draft", "step", "fresh"} - {name}
    with store.open("a") as session:
        assert {*session.state} == {*others, name}
        for other in others:
            assert session.state[other] is not None
        with raises_at(number):
            session.state[name]
        session.state["fresh"] = "changed"
    assert store.history("a", limit=1)[0].number == number + 1
    with raises_at(number):
        store.open("a", sections=[name])


def test_a_value_of_a_newer_kind_fails_only_who_reads_its_section(store: perdure.Store) -> None:
    written(store, [3, ["messages"], 400, 0, [NEWER]], [1, ["plan", "new"], 1])
    with store.open("a") as session:
        assert session.state["plan"]["new"] == 1
        with pytest.raises(errors.NewerFormat, match="extension type 99"):
            session.state["messages"]
        with pytest.raises(errors.NewerFormat, match="extension type 99"):
            session.window("messages", last=2)


def test_what_a_newer_kind_does_to_a_whole_section_is_not_guessed_P10(
    store: perdure.Store,
) -> None:
    """It may have renamed or removed it: which sections there are cannot be told."""
    number = written(store, [9, ["plan"], 1, 2])
    with raises_at(number):
        store.open("a")
    with raises_at(number):
        store.open("a", sections=["messages"])


def test_a_change_of_a_section_that_is_not_there_is_told(store: perdure.Store) -> None:
    number = written(store, [1, ["none", "key"], 1])
    with pytest.raises(errors.ReplayMismatch, match=f"checkpoint {number} "):
        store.open("a", sections=[])


def test_a_change_that_does_not_fit_is_told_when_its_section_is_read(store: perdure.Store) -> None:
    number = written(store, [3, ["plan"], 0, 0, ["item"]])
    session = store.open("a", sections=["messages"])
    with pytest.raises(errors.ReplayMismatch, match=f"checkpoint {number} "):
        session.state["plan"]
    session.close()


def test_a_section_that_was_set_whole_needs_nothing_from_before(store: perdure.Store) -> None:
    written(store, [9, ["plan", "0"], 1, 2], [1, ["messages"], [NEWER]])
    with store.open("a", sections=[]) as session:
        session.state["plan"] = {"new": LONG}
        session.state["messages"] = ["first"]
        session.save()
        session.state["messages"].append("second")
    with store.open("a") as session:
        assert session.state["plan"] == {"new": LONG}
        assert session.state["messages"] == ["first", "second"]


def test_of_a_section_that_was_set_whole_no_page_is_read(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.open("a") as session:
        session.state["plan"] = {"new": LONG}
    read: list[bytes] = []
    backend: Any = store._driver.backend
    perform = backend.perform

    def noting(request: Any) -> Any:
        read.extend(request.ids if isinstance(request, ReadPages) else ())
        return perform(request)

    monkeypatch.setattr(backend, "perform", noting)
    with store.open("a") as session:
        assert session.length("plan") == 1
        assert session.state["plan"] == {"new": LONG}
        assert read == []


def test_a_section_that_is_looked_at_twice_is_changed_once(store: perdure.Store) -> None:
    """Also one that the snapshot holds in its root."""
    with store.open("a") as session:
        session.state["few"] = {"items": []}
        for n in range(limits.tail_records_max + 1):
            session.state["step"] = n
            session.save()
    store.maintain("a")
    with store.open("a") as session:
        session.state["few"]["items"].append("first")
        session.state["few"]["more"] = LONG
    with store.open("a") as session:
        assert [session.length("few") for _ in range(3)] == [2, 2, 2]
        assert session.state["few"] == {"items": ["first"], "more": LONG}


def test_sections_that_are_read_late_are_those_of_their_checkpoint(store: perdure.Store) -> None:
    """Set, deleted and set again, in one save and in several; read twice, and as a window."""
    with store.open("a") as session:
        del session.state["plan"]
        session.save()
        session.state["plan"] = [LONG]
        session.state["plan"].append({"parts": []})
        session.save()
        session.state["plan"][1]["parts"].append(1)
        del session.state["draft"]
        session.state["draft"] = [[LONG]]
        session.save()
        session.state["draft"][0].append("more")
    expected = {"messages", "plan", "draft", "step"}
    early = store.open("a")
    with store.open("a") as other:
        other.state["plan"].append("later")
    assert {*early.state} == expected
    for _ in range(2):
        assert early.window("plan", last=1) == [{"parts": [1]}]
        assert early.length("plan") == 2
    assert early.state["plan"] == [LONG, {"parts": [1]}]
    early.refresh()
    assert early.state["plan"] == [LONG, {"parts": [1]}, "later"]
    assert early.state["draft"] == [[LONG, "more"]]
    assert list(early.state)[-2:] == ["plan", "draft"]
    early.close()


def test_under_asyncio_a_part_of_what_was_set_since_is_read_without_loading_it(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db", maintenance="off") as store:
            async with store.open("a") as session:
                session.state["messages"] = [LONG, "last"]
                session.state["plan"] = {"a": LONG}
            async with store.open("a", sections=[]) as session:
                assert await session.window("messages", last=1) == ["last"]
                assert session.length("messages") == 2
                assert session.length("plan") == 1
                with pytest.raises(errors.SectionNotLoaded):
                    session.state["messages"]
                await session.load("messages")
                assert session.state["messages"] == [LONG, "last"]
            async with store.open("a", windows={"messages": 1}) as session:
                assert session.state["messages"] == ["last"]
                session.state["messages"].append("more")
            async with store.open("a") as session:
                assert session.state["messages"] == [LONG, "last", "more"]

    asyncio.run(main())


def test_what_is_small_is_there_at_once() -> None:
    """So an edit that changes nothing is known for one, and nothing is saved."""
    with perdure.Store("memory:") as store:
        with store.open("a") as session:
            session.state["n"] = 1
        with store.open("a") as session:
            session.state["n"] = 1
            assert session.changes() == []
        assert store.history("a")[0].number == 1


def test_what_was_written_here_is_what_this_version_writes() -> None:
    """The wires above are as `pack_changes` makes them."""
    change = perdure.Set(("plan", "a"), 1)
    assert pack_changes([change]) == bytes([0x91]) + pack([1, ["plan", "a"], 1])
