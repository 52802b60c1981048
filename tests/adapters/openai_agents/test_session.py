"""PerdureSession does what the SDK's own SQLiteSession does, and several of it share a state."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from agents.memory import Session, SessionSettings, SQLiteSession
from agents.memory.session import _session_accepts_wrapper
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

import perdure
from perdure import AsyncStore
from perdure.adapters.openai_agents import PerdureSession
from perdure.errors import InvalidKey, NotStorable, StateDeleted, UsageError


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def said(text: str) -> Any:
    return {"role": "assistant", "content": text}


def run(story: Callable[[PerdureSession], Awaitable[Any]], url: Any = "memory:") -> Any:
    async def whole() -> Any:
        async with PerdureSession("alice", url) as session:
            return await story(session)

    return asyncio.run(whole())


def test_it_is_a_session_of_the_sdk_and_takes_the_run() -> None:
    session = PerdureSession("alice", "memory:")
    assert isinstance(session, Session)
    assert _session_accepts_wrapper(session)
    assert not hasattr(session, "run_compaction"), "the SDK would hash all input at each call"


def test_what_was_added_is_there_in_another_process_in_order(tmp_path: Path) -> None:
    async def adding(session: PerdureSession) -> None:
        await session.add_items([user("hi"), said("hello")])
        await session.add_items([user("bye")])

    run(adding, tmp_path / "a.db")
    assert run(lambda s: s.get_items(), tmp_path / "a.db") == [
        *(user("hi"), said("hello"), user("bye"))
    ]
    assert run(lambda s: s.get_items(2), tmp_path / "a.db") == [said("hello"), user("bye")]
    with perdure.Store(tmp_path / "a.db") as store:
        assert store.info("sessions/alice").summary == "bye"


item = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"])},
    optional={
        "content": st.text(st.characters(), max_size=20),
        "n": st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False)),
        "parts": st.lists(st.fixed_dictionaries({"text": st.text(st.characters())}), max_size=2),
    },
)
operation = st.one_of(
    st.tuples(st.just("add"), st.lists(item, max_size=60)),
    st.tuples(st.just("pop"), st.none()),
    st.tuples(st.just("get"), st.sampled_from([None, -1, 0, 1, 3, 49, 50, 51, 1000])),
    st.tuples(st.just("clear"), st.none()),
    st.tuples(st.just("reopen"), st.none()),
    st.tuples(st.just("other"), st.lists(item, min_size=1, max_size=3)),
)


async def done(session: Any, what: str, value: Any) -> Any:
    if what == "add":
        return await session.add_items(value)
    if what == "get":
        return await session.get_items(value)
    return await (session.pop_item() if what == "pop" else session.clear_session())


async def same(operations: list[Any], limit: int | None, directory: Path) -> None:
    chosen = SessionSettings(limit=limit)
    async with AsyncStore(directory / "p.db") as store:
        theirs = SQLiteSession("alice", directory / "s.db", session_settings=chosen)
        ours = PerdureSession("alice", store, session_settings=chosen)
        other = PerdureSession("alice", store)
        for what, value in operations:
            if what == "reopen":
                await ours.close()
                ours = PerdureSession("alice", store, session_settings=chosen)
            elif what == "other":
                await theirs.add_items(value)
                await other.add_items(value)
            else:
                assert await done(ours, what, value) == await done(theirs, what, value)
        assert repr(await ours.get_items(-1)) == repr(await theirs.get_items(-1))
        await ours.close()
        await other.close()
        theirs.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(operation, max_size=12), st.sampled_from([None, 0, 2, 55]))
def test_it_answers_as_sqlite_session_does(operations: list[Any], limit: int | None) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(same(operations, limit, Path(directory)))


def test_what_is_given_out_is_the_callers_own(tmp_path: Path) -> None:
    async def story(session: PerdureSession) -> None:
        mine = user("hi")
        await session.add_items([mine])
        mine["content"] = "changed"
        got: Any = await session.get_items()
        got[0]["content"] = "changed"
        assert await session.get_items() == [user("hi")]

    run(story)


def test_objects_of_the_openai_package_become_what_the_sdk_would_send() -> None:
    text = ResponseOutputText(annotations=[], text="hello", type="output_text")
    answer = ResponseOutputMessage(
        id="m1", content=[text], role="assistant", status="completed", type="message"
    )

    async def story(session: PerdureSession) -> list[Any]:
        await session.add_items([answer])  # type: ignore[list-item]  # some callers do
        return await session.get_items()

    assert run(story) == [answer.model_dump(exclude_unset=True)]


def test_what_cannot_be_kept_is_refused_and_nothing_of_it_is_added() -> None:
    async def story(session: PerdureSession) -> list[Any]:
        await session.add_items([user("hi")])
        bad: Any = {"role": "user", "content": object()}
        with pytest.raises(NotStorable):
            await session.add_items([user("before it"), bad])
        await session.add_items([user("after it")])
        return await session.get_items()

    assert run(story) == [user("hi"), user("after it")]


def test_two_at_one_conversation_lose_nothing_P3(tmp_path: Path) -> None:
    async def adding(name: str) -> None:
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            for number in range(20):
                await session.add_items([said(f"{name}{number}")])

    async def both() -> None:
        await asyncio.gather(adding("a"), adding("b"))

    asyncio.run(both())
    kept = [each["content"] for each in run(lambda s: s.get_items(), tmp_path / "a.db")]
    for name in "ab":
        assert [each for each in kept if each[0] == name] == [f"{name}{n}" for n in range(20)]
    assert len(kept) == 40


def test_tasks_and_event_loops_share_one_session(tmp_path: Path) -> None:
    session = PerdureSession("alice", tmp_path / "a.db")

    async def adding(loop: int) -> None:
        await asyncio.gather(*(session.add_items([said(f"{loop} {n}")]) for n in range(10)))

    asyncio.run(adding(0))
    asyncio.run(adding(1))
    kept: Any = asyncio.run(session.get_items())
    assert [each["content"] for each in kept] == [
        f"{loop} {n}" for loop in (0, 1) for n in range(10)
    ]
    asyncio.run(session.close())
    with pytest.raises(UsageError, match="closed"):
        asyncio.run(session.add_items([user("late")]))


def test_a_cancelled_add_is_whole_and_there_once_P1() -> None:
    async def story(session: PerdureSession) -> list[Any]:
        await session.add_items([user("hi")])
        adding = asyncio.create_task(session.add_items([said("a"), said("b")]))
        await asyncio.sleep(0)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        await session.add_items([said("c")])
        return await session.get_items()

    assert run(story) == [user("hi"), said("a"), said("b"), said("c")]


@pytest.mark.parametrize("steps", range(12))
def test_an_add_that_is_cancelled_anywhere_is_whole_or_not_there_P2(steps: int) -> None:
    """Another process has saved meanwhile, so that it is made again."""

    async def story(session: PerdureSession) -> list[Any]:
        await session.add_items([user("hi")])
        other = PerdureSession("alice", session.store)
        await other.add_items([said("theirs")])
        await other.close()
        adding = asyncio.create_task(session.add_items([said("a"), said("b")]))
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        adding.cancel()
        with suppress(asyncio.CancelledError):
            await adding
        await session.add_items([said("c")])
        return await session.get_items()

    items = run(story)
    assert items[0] == user("hi") and items[1:].count(said("theirs")) == 1
    assert items[2:] in ([said("c")], [said("a"), said("b"), said("c")])


def test_clearing_keeps_the_history_P7() -> None:
    async def story(session: PerdureSession) -> None:
        await session.clear_session()  # nothing is there, and nothing is written
        assert await session.store.states() == []
        await session.add_items([user("hi")])
        await session.clear_session()
        assert (await session.get_items(), await session.pop_item()) == ([], None)
        labels = [each.label for each in await session.store.history(session.key)]
        assert labels == ["cleared", None]
        at = await session.store.at(session.key, "~1")
        assert at["messages"] == [user("hi")]

    run(story)


def test_a_conversation_that_was_deleted_is_not_brought_back_by_who_was_at_it() -> None:
    async def story(session: PerdureSession) -> None:
        await session.add_items([user("hi")])
        await session.store.delete(session.key)
        with pytest.raises(StateDeleted):
            await session.add_items([said("hello")])
        assert await session.get_items() == []
        await session.add_items([user("anew")])
        assert await session.get_items() == [user("anew")]

    run(story)


def test_an_encrypted_store_keeps_no_word_in_the_clear(tmp_path: Path) -> None:
    key = bytes(range(32))

    async def story() -> None:
        async with PerdureSession("alice", tmp_path / "a.db", key=key) as session:
            await session.add_items([user("swordfish")])
        async with PerdureSession("alice", tmp_path / "a.db", key=key) as session:
            assert await session.get_items() == [user("swordfish")]

    asyncio.run(story())
    assert all(b"swordfish" not in each.read_bytes() for each in tmp_path.iterdir())


def test_other_ids_have_other_keys() -> None:
    ids = ["a/b", "a%2Fb", "/a", "a/", "a//b", "../x", "%2Fa", "ä", "user 7", "*"]
    keys = {PerdureSession(each, "memory:").key for each in ids}
    assert len(keys) == len(ids)
    with pytest.raises(InvalidKey):
        PerdureSession("", "memory:")
