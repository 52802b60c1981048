"""Opening a maintained state reads what is asked for: in one request, and parts when touched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.maintained import filled, head_of, pages_of

import perdure
from perdure import errors, limits
from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import (
    ReadPages,
    ReadRecords,
    ReadState,
)


@pytest.fixture(params=["sqlite", "memory", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    urls = {
        "sqlite": str(tmp_path / "a.db"),
        "memory": "memory:",
        "objects": "memory+objects:",
    }
    with perdure.Store(urls[request.param], maintenance="off") as made:
        yield made


class Counting(MemoryBackend):
    """A backend that notes what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def perform(self, request: Any) -> Any:
        self.asked.append(request)
        return super().perform(request)

    def kinds(self) -> list[type]:
        kinds = [type(each) for each in self.asked]
        self.asked.clear()
        return kinds


def test_opening_is_one_request_and_a_section_is_read_when_touched() -> None:
    backend = Counting()
    with perdure.Store(backend, maintenance="off") as store:
        state = filled(store)
        store.maintain("a")
        backend.kinds()
        session = store.open("a")
        assert backend.kinds() == [ReadState]
        assert list(session.state) == ["messages", "plan", "draft"]
        assert session.length("messages") == 200
        assert backend.kinds() == []
        assert session.state["plan"] == state["plan"]
        assert set(backend.kinds()) == {ReadPages}
        session.state["messages"].append("new")
        session.save()
        assert store.open("a", sections=["draft"]).state["draft"] == state["draft"]
        session.close()
        assert store.at("a", 201)["messages"] == [*state["messages"], "new"]


def test_a_window_reads_the_pages_it_needs_and_saves_where_it_belongs() -> None:
    backend = Counting()
    with perdure.Store(backend, maintenance="off") as store:
        state = filled(store, 600)
        store.maintain("a")
        total = len(pages_of(store))
        backend.kinds()
        with store.open("a", windows={"messages": 5}) as session:
            read = [len(each.ids) for each in backend.asked if isinstance(each, ReadPages)]
            assert sum(read) <= 4 < total
            assert session.state["messages"] == state["messages"][-5:]
            assert session.state["messages"].offset == 595
            session.state["messages"][0]["n"] = "edited"
            session.state["messages"].append("appended")
            assert session.window("messages", last=7) == [
                *state["messages"][594:595],
                *session.state["messages"].plain(),
            ]
            assert session.window("messages", 2, 4) == state["messages"][2:4]
            assert session.length("messages") == 601
        with store.open("a") as session:
            messages = session.state["messages"]
            assert messages[595]["n"] == "edited"
            assert messages[600] == "appended"
            assert messages[:595] == state["messages"][:595]


def test_windows_of_what_is_not_loaded_are_slices_of_the_whole(store: perdure.Store) -> None:
    state = filled(store, 300)
    store.maintain("a")
    with store.open("a") as session:
        session.state["messages"].append("later")
        session.state["messages"][10]["n"] = "changed"
        del session.state["messages"][250:260]
        whole = session.state["messages"].plain()
    assert len(whole) == len(state["messages"]) + 1 - 10
    session = store.open("a")
    assert session.length("messages") == len(whole)
    for start, stop in ((0, 5), (5, 15), (240, 270), (285, 400), (-3, None), (None, 4), (9, 2)):
        assert session.window("messages", start, stop) == whole[start:stop]
    for last in (0, 1, 20, 1000):
        assert (
            session.window("messages", last=last)
            == whole[len(whole) - last if last < len(whole) else 0 :]
        )
    fitting = session.window("messages", tokens=30, count=lambda item: 10)
    assert fitting == whole[-3:]
    assert session.window("messages", tokens=10**9, count=lambda item: 1) == whole
    assert "messages" not in session._document.loaded()
    with pytest.raises(errors.UsageError):
        session.window("messages", 1, last=2)
    with pytest.raises(errors.UsageError):
        session.window("messages", tokens=3)
    with pytest.raises(KeyError):
        session.window("none")
    with pytest.raises(errors.UsageError):
        session.window("plan", last=3) if session.state["plan"] else None
    session.close()


def test_a_session_reads_lazily_at_its_own_checkpoint(store: perdure.Store) -> None:
    filled(store, 200)
    store.maintain("a")
    before = store.at("a", 200).plain()
    early = store.open("a")
    with store.open("a") as other:
        for n in range(limits.tail_records_max * 2):
            other.state["messages"].append("after")
            other.state["plan"]["1"]["v"] = n
            other.save()
    store.maintain("a")
    assert early.state["messages"] == before["messages"]
    early.refresh()
    assert early.state["plan"]["1"]["v"] == limits.tail_records_max * 2 - 1
    assert early.state["messages"][-1] == "after"
    early.close()


def test_under_asyncio_nothing_loads_by_touch(tmp_path: Path) -> None:
    async def main() -> None:
        with perdure.Store(tmp_path / "a.db", maintenance="off") as plain:
            state = filled(plain)
            plain.maintain("a")
        async with perdure.AsyncStore(tmp_path / "a.db") as store:
            async with store.open("a") as session:
                assert session.state.plain() == state
            async with store.open("a", sections=["plan"]) as session:
                assert session.state["plan"] == state["plan"]
                with pytest.raises(errors.SectionNotLoaded, match=r"await session\.load"):
                    session.state["messages"]
                assert session.length("messages") == 200
                assert await session.window("messages", last=2) == state["messages"][-2:]
                await session.load("messages")
                assert session.state["messages"] == state["messages"]
            async with store.open("a", windows={"messages": 3}) as session:
                assert session.state["messages"] == state["messages"][-3:]
                assert session.state["plan"] == state["plan"]
            assert (await store.maintain("a"))[0].key == "a"
            assert await store.compact() >= 0

    asyncio.run(main())


def test_a_page_that_is_gone_is_planned_again_at_the_same_checkpoint() -> None:
    backend = Counting()
    with perdure.Store(backend, maintenance="off") as store:
        state = filled(store)
        store.maintain("a")
        session = store.open("a")
        head = head_of(store)
        backend._tables.pages[head.incarnation].clear()
        backend.kinds()
        assert session.state["messages"] == state["messages"]
        assert ReadRecords in backend.kinds()
        session.close()
