"""Sessions of older code that merge: what their view shows when others' work comes into it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.evolution import Message, Newer, newest

import perdure
from perdure import errors
from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import Answer, Commit
from perdure.types import Strategies

APPEND: Strategies = {"messages": "append"}


class Meddling(MemoryBackend):
    """A backend that answers no commit any more after so many."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: int | None = None

    def commit(self, batch: Sequence[Commit]) -> list[Answer | errors.PerdureError]:
        if self.answers == 0:
            return [errors.CommitUnknown("lost") for _ in batch]
        if self.answers is not None:
            self.answers -= 1
        return super().commit(batch)


@pytest.fixture
def backend() -> Meddling:
    return Meddling()


@pytest.fixture
def shared(backend: Meddling, v1: type[Any], v2: type[Any]) -> Iterator[perdure.Store]:
    with perdure.Store(backend, maintenance="off") as store:
        with store.open("a", schema=v1) as session:
            session.state.messages.append(Message("user", "first"))
        with store.open("a", schema=v2) as session:
            session.save()
        yield store


def texts(messages: Any) -> list[str]:
    return [each["content"] for each in messages]


@pytest.mark.parametrize("ends", [False, True], ids=["saving", "ending"])
def test_what_a_merge_took_in_is_seen_though_the_save_was_not_answered(
    backend: Meddling, shared: perdure.Store, v1: type[Any], v2: type[Any], ends: bool
) -> None:
    session = shared.open("a", schema=v1, on_conflict="merge", strategies=APPEND)
    with shared.open("a", schema=v2) as other:
        other.state.messages.append(Newer("user", "theirs"))
    session.state.messages.append(Message("user", "ours"))
    backend.answers = 1  # that others were first
    with pytest.raises(errors.CommitUnknown):
        session.close() if ends else session.save()
    backend.answers = None
    assert [each.content for each in session.state.messages] == ["first", "theirs", "ours"]
    session.state.messages.insert(1, Message("user", "second"))
    session.close()
    assert texts(newest(shared)["messages"]) == ["first", "second", "theirs", "ours"]


async def prepared(v1: type[Any], v2: type[Any]) -> perdure.AsyncStore:
    store = perdure.AsyncStore("memory:", maintenance="off")
    async with await store.open("a", schema=v1) as session:
        session.state.messages.append(Message("user", "first"))
    async with await store.open("a", schema=v2) as session:
        await session.save()
    return store


def test_what_is_edited_while_a_save_is_merged_is_not_lost(v1: type[Any], v2: type[Any]) -> None:
    async def work() -> list[str]:
        async with await prepared(v1, v2) as store:
            options: Any = {"on_conflict": "merge", "strategies": APPEND}
            session = await store.open("a", schema=v1, **options)
            async with await store.open("a", schema=v2) as other:
                other.state.messages.append(Newer("user", "theirs"))

            async def edit() -> None:
                for number in range(20):
                    session.state.messages.append(Message("user", f"{number}"))
                    await asyncio.sleep(0)

            session.state.messages.append(Message("user", "ours"))
            await asyncio.gather(session.save(), edit())
            shown = [each.content for each in session.state.messages]
            await session.close()
            assert texts((await store.at("a", "main"))["messages"]) == shown
            return shown

    numbers = [str(number) for number in range(20)]
    assert asyncio.run(work()) == ["first", "theirs", "ours", *numbers]


def test_what_is_edited_while_others_work_is_read_is_not_lost(v1: type[Any], v2: type[Any]) -> None:
    async def work() -> list[str]:
        async with await prepared(v1, v2) as store:
            session = await store.open("a", schema=v1)
            async with await store.open("a", schema=v2) as other:
                other.state.subject = "bees"

            async def edit() -> None:
                await asyncio.sleep(0)
                session.state.messages.append(Message("user", "meanwhile"))

            session.state.status = "closed"
            await asyncio.gather(session.refresh(keep_changes=True), edit())
            assert (session.state.topic, session.state.status) == ("bees", "closed")
            shown = [each.content for each in session.state.messages]
            await session.close()
            assert texts((await store.at("a", "main"))["messages"]) == shown
            return shown

    assert asyncio.run(work()) == ["first", "meanwhile"]
