"""Rewinding, forking and compacting: the conversation goes on, and what was is in its history."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.openai_agents.test_session import run, said, user

from perdure import AsyncStore, Retention
from perdure.adapters.openai_agents import PerdureSession, Turn
from perdure.errors import CheckpointPruned, UsageError

COUNT = 70


def items(first: int, last: int) -> list[Any]:
    return [each for number in range(first, last + 1) for each in turn(number)]


def turn(number: int) -> list[Any]:
    return [user(f"ask {number}"), said(f"answer {number}")]


async def filled(session: PerdureSession, count: int = COUNT) -> None:
    for number in range(1, count + 1):
        await session.add_items(turn(number))


def test_turns_are_numbered_and_say_what_was_asked() -> None:
    async def story(session: PerdureSession) -> list[Turn]:
        assert await session.turns() == []
        await session.add_items([{"role": "system", "content": "be kind"}])
        await filled(session, 2)
        parts: Any = [{"type": "input_text", "text": "and\nthis"}]
        await session.add_items([{"role": "user", "content": parts}])
        return await session.turns()

    assert run(story) == [
        *(Turn(1, 1, 2, "ask 1"), Turn(2, 3, 2, "ask 2"), Turn(3, 5, 1, "and this"))
    ]


def test_rewinding_takes_out_a_turn_and_all_after_it_and_keeps_them_in_the_history_P7(
    tmp_path: Path,
) -> None:
    async def story(session: PerdureSession) -> None:
        await filled(session)
        await session.close()
        async with PerdureSession("alice", session.store) as again:  # it knows the tail alone
            assert await again.rewind(3) == items(3, COUNT)
            assert await again.get_items() == items(1, 2)
            info = await again.store.info(again.key)
            assert info.summary == "ask 2"
            history = await again.store.history(again.key)
            assert history[0].label == "rewound to turn 3"
            before = await again.store.at(again.key, "~1")
            assert before["messages"] == items(1, COUNT)
            for wrong in (0, 3, 99):
                with pytest.raises(UsageError, match="turn"):
                    await again.rewind(wrong)
            await again.rewind(1)
            assert (await again.get_items(), (await again.store.info(again.key)).summary) == (
                [],
                None,
            )

    async def whole() -> None:
        async with AsyncStore(tmp_path / "a.db") as store:
            await story(PerdureSession("alice", store))

    asyncio.run(whole())


def test_a_fork_goes_on_apart() -> None:
    async def story(session: PerdureSession) -> None:
        await filled(session, 3)
        fork = await session.fork("what-if", turn=3)
        assert (fork.branch, fork.key) == ("what-if", session.key)
        await fork.add_items([user("other")])
        assert await fork.get_items() == [*items(1, 2), user("other")]
        assert await session.get_items() == items(1, 3)
        await fork.close()

    run(story)


def test_compacting_puts_a_summary_first_and_keeps_numbers_and_the_original_P7() -> None:
    async def story(session: PerdureSession) -> None:
        assert await session.compact("nothing", keep_turns=0) == 0
        await filled(session, 6)
        seen: list[Any] = []

        async def summarize(old: list[Any]) -> str:
            seen.extend(old)
            await session.add_items(turn(7))  # somebody goes on meanwhile
            return "they asked"

        assert await session.compact(summarize, keep_turns=2) == 8
        assert seen == items(1, 4)
        got: Any = await session.get_items()
        assert got[0]["role"] == "system" and got[0]["content"].endswith("they asked")
        assert got[1:] == items(5, 7)
        assert [each.number for each in await session.turns()] == [5, 6, 7]
        assert await session.compact("again", keep_turns=1) == 5
        assert [each.number for each in await session.turns()] == [7]
        at = await session.store.at(session.key, "~1")
        assert at["messages"][1:] == items(5, 7)

    run(story)


@pytest.mark.parametrize("number", [1, 4, 5, 6, 7])
def test_rewinding_to_what_was_compacted_brings_it_back(number: int) -> None:
    async def story(session: PerdureSession) -> None:
        await filled(session, 7)
        await session.compact("first", keep_turns=3)
        await session.compact("second", keep_turns=1)
        assert await session.rewind(number) == items(number, 7)
        kept = await session.get_items()
        if number <= 4:
            assert kept == items(1, number - 1)
        else:  # the summary of turns that are compacted still comes first
            assert kept[1:] == (items(5, number - 1) if number < 7 else [])
        await session.add_items(turn(number))
        assert (await session.turns())[-1].number == number

    run(story)


def test_a_summary_of_what_was_changed_meanwhile_is_refused() -> None:
    async def story(session: PerdureSession) -> None:
        await filled(session, 5)

        async def summarize(_: list[Any]) -> str:
            await session.rewind(2)
            return "no more true"

        with pytest.raises(UsageError, match="changed meanwhile"):
            await session.compact(summarize)
        assert await session.get_items() == items(1, 1)

    run(story)


def test_clearing_begins_to_count_anew() -> None:
    async def story(session: PerdureSession) -> None:
        await filled(session, 5)
        await session.compact("short")
        await session.clear_session()
        await filled(session, 1)
        assert [each.number for each in await session.turns()] == [1]

    run(story)


def test_rewinding_to_what_was_compacted_and_pruned_is_refused_and_changes_nothing() -> None:
    async def story(session: PerdureSession) -> None:
        await filled(session, 5)
        await session.compact("short", keep_turns=1)
        policy = Retention(keep_last=1, keep_labels=False, keep_left=timedelta(0))
        await session.store.prune(policy, session.key)
        before = await session.get_items()
        with pytest.raises(CheckpointPruned, match="turn 2 was compacted"):
            await session.rewind(2)
        assert await session.get_items() == before

    run(story)
