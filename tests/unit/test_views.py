"""What `store.at` gives: the past, which is read like the present and cannot be edited."""

import asyncio
import copy
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

import perdure
from perdure import errors, limits
from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import ReadPages

CONTENT: dict[str, Any] = {
    "list": [{"deep": [1, [2]]}, 3],
    "dict": {"a": {"b": 1}},
    "set": {1, 2},
    "tuple": (1, [2]),
    "text": "x",
}


@pytest.fixture
def view() -> Iterator[perdure.View]:
    with perdure.Store("memory:") as store:
        with store.open("a") as session:
            session.state.update(CONTENT)
        yield store.at("a", 1)


EDITS: list[Callable[[Any], object]] = [
    lambda view: view["list"].append(9),
    lambda view: view["list"][0].update(x=1),
    lambda view: view["list"][0]["deep"][1].clear(),
    lambda view: view["dict"]["a"].pop("b"),
    lambda view: next(iter(view["dict"].values())).clear(),
    lambda view: view["set"].add(3),
    lambda view: view["tuple"][1].append(3),
    lambda view: [item.clear() for item in view["list"][:1]],
    lambda view: view.get("list").sort(),
    lambda view: dict(view)["dict"].clear(),
    lambda view: next(iter(view.values())).clear(),
]


@pytest.mark.parametrize("edit", EDITS, ids=range(len(EDITS)))
def test_nothing_in_it_can_be_edited(view: perdure.View, edit: Callable[[Any], object]) -> None:
    with pytest.raises(errors.Detached, match=r"past checkpoint.*Edit a copy, its \.plain\(\)"):
        edit(view)
    assert view.plain() == CONTENT


def test_it_reads_as_what_it_shows(view: perdure.View) -> None:
    assert dict(view) == CONTENT == view.plain()
    assert list(view) == list(CONTENT)
    assert len(view) == len(CONTENT)
    assert isinstance(view["list"], list)
    assert isinstance(view["dict"], dict)
    assert isinstance(view["set"], set)
    shown, content = view["list"], CONTENT["list"]
    assert json.loads(json.dumps(shown)) == content
    assert orjson.loads(orjson.dumps(shown)) == content
    assert msgspec.json.decode(msgspec.json.encode(shown)) == content
    with pytest.raises(KeyError):
        view["none"]


@pytest.mark.parametrize(
    "copied",
    [lambda v: v.plain(), copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))],
    ids=["plain", "deepcopy", "pickle"],
)
def test_a_copy_is_plain_and_ones_own(
    view: perdure.View, copied: Callable[[Any], list[Any]]
) -> None:
    mine = copied(view["list"])
    mine[0]["deep"].append(9)
    assert type(mine) is list
    assert view.plain() == CONTENT


def test_what_it_shows_goes_into_a_session_as_a_copy(view: perdure.View) -> None:
    with perdure.Store("memory:") as store, store.open("b") as session:
        session.state["again"] = view["list"]
        session.state["again"][0]["deep"].append(9)
        session.save()
        assert store.at("b", 1)["again"] == [{"deep": [1, [2], 9]}, 3]
    assert view.plain() == CONTENT


def test_a_view_of_its_own_is_taken_apart_by_nobody() -> None:
    """Two views of one checkpoint share nothing."""
    with perdure.Store("memory:") as store:
        with store.open("a") as session:
            session.state.update(CONTENT)
        one, two = store.at("a", 1), store.at("a", 1)
    list.append(one["list"], "behind its back")
    assert two.plain() == CONTENT


# ---- only what is asked for ---------------------------------------------------------------------

MESSAGES = [{"n": n, "text": f"message {n} " * 20} for n in range(1000)]
LONG: dict[str, Any] = {
    "messages": MESSAGES,
    "plan": {str(n): n for n in range(2000)},
    "draft": "word " * 9000,
}


class Counting(MemoryBackend):
    """A backend that notes the pages it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[bytes] = []

    def perform(self, request: Any) -> Any:
        if isinstance(request, ReadPages):
            self.pages += request.ids
        return super().perform(request)


@pytest.fixture
def counted() -> Iterator[tuple[perdure.Store, Counting, int]]:
    """A store with a long state, kept at a snapshot and changed since; where it was as in LONG."""
    backend = Counting()
    with perdure.Store(backend, maintenance="off", cache_bytes=0) as store:
        with store.open("a") as session:
            session.state.update(LONG)
            for n in range(limits.tail_records_max + 1):
                session.state["step"] = n
                session.save()
            store.maintain("a")
            session.state["step"] = "there"
            number = session.save().number
            del session.state["draft"]
            session.state["messages"][:] = ["other"]
            session.state["plan"]["0"] = "changed"
            session.save()
        backend.pages.clear()
        yield store, backend, number


def test_a_section_is_read_when_it_is_touched(counted: tuple[perdure.Store, Counting, int]) -> None:
    store, backend, number = counted
    view = store.at("a", number)
    assert list(view) == [*LONG, "step"]
    assert "messages" in view
    assert "none" not in view
    assert view["step"] == "there"
    assert view.length("messages") == 1000
    assert view.length("plan") == 2000
    assert view.length("draft") == 9000 * 5
    assert len(backend.pages) == 1
    assert view["plan"] == LONG["plan"]
    assert view["plan"] is view["plan"]
    with pytest.raises(errors.Detached):
        view["plan"].clear()
    assert view.plain() == {**LONG, "step": "there"}
    with pytest.raises(KeyError, match="there are 'messages', 'plan'"):
        view["none"]
    with pytest.raises(KeyError, match="there are 'messages', 'plan'"):
        view.length("none")
    with pytest.raises(TypeError):
        store.at("a", 3).length("step")


def test_sections_that_are_named_are_there_at_once(
    counted: tuple[perdure.Store, Counting, int],
) -> None:
    store, backend, number = counted
    view = store.at("a", number, sections=["plan"])
    read = len(backend.pages)
    assert 1 < read < 5
    assert view["plan"] == LONG["plan"]
    assert len(backend.pages) == read
    assert view["draft"] == LONG["draft"]


def test_a_window_of_the_past_is_the_end_of_its_list(
    counted: tuple[perdure.Store, Counting, int],
) -> None:
    store, backend, number = counted
    view = store.at("a", number, windows={"messages": 20, "none": 1})
    assert view["messages"] == MESSAGES[-20:]
    assert view["messages"].offset == 980
    assert view.length("messages") == 1000
    assert len(backend.pages) < 6
    with pytest.raises(errors.Detached):
        view["messages"].append(1)
    assert store.at("a", number + 1, windows={"messages": 20})["messages"] == ["other"]
    with pytest.raises(errors.UsageError, match="only lists have windows"):
        store.at("a", number, windows={"plan": 20})
    with pytest.raises(errors.UsageError):
        store.at("a", number, sections="plan")


def test_what_is_read_late_is_of_its_checkpoint_whatever_became_of_pages(
    counted: tuple[perdure.Store, Counting, int],
) -> None:
    store, backend, number = counted
    view, newest = store.at("a", number), store.at("a", number + 1)
    with store.open("a") as session:
        for n in range(limits.tail_records_max + 1):
            session.state["plan"]["1"] = n
            session.save()
    for pages in backend._tables.pages.values():
        pages.clear()
    store.maintain("a")
    assert view["messages"] == MESSAGES
    assert view["plan"] == LONG["plan"]
    assert newest["messages"] == ["other"]
    assert newest["plan"] == LONG["plan"] | {"0": "changed"}


def test_a_store_that_is_closed_gives_what_was_read(
    counted: tuple[perdure.Store, Counting, int],
) -> None:
    store, _, number = counted
    view = store.at("a", number, sections=["draft"])
    store.close()
    assert view["draft"] == LONG["draft"]
    with pytest.raises(errors.StoreClosed):
        view["plan"]


def test_under_asyncio_only_what_was_asked_for_is_there(tmp_path: Path) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db") as store:
            async with store.open("a") as session:
                session.state.update(LONG)
            assert (await store.at("a", 1)).plain() == LONG
            view = await store.at("a", 1, sections=["plan"], windows={"messages": 2})
            assert view["plan"] == LONG["plan"]
            assert view["messages"] == MESSAGES[-2:]
            assert view.length("draft") == 9000 * 5
            with pytest.raises(errors.SectionNotLoaded, match=r"'draft' was not read.*sections="):
                view["draft"]
            with pytest.raises(errors.SectionNotLoaded):
                view.plain()

    asyncio.run(main())
