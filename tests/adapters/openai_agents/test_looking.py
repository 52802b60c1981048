"""Calls are found however far back they are: a session that was just opened knows a tail alone."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.adapters.openai_agents.test_hooks import called, outcomes, paid, response
from tests.adapters.openai_agents.test_session import said, user

from perdure.adapters.openai_agents import PerdureSession, looking
from perdure.adapters.openai_agents.items import UNKNOWN
from perdure.adapters.openai_agents.keeper import TAIL

MANY = 200
NAMES = [f"c{number:03}" for number in range(MANY)]
RUN: Any = SimpleNamespace()
AGENT: Any = None


def anew(tmp_path: Path, story: Callable[[PerdureSession], Awaitable[Any]]) -> Any:
    """What a session finds that was opened for this alone."""

    async def whole() -> Any:
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            return await story(session)

    return asyncio.run(whole())


def added(tmp_path: Path, items: list[Any]) -> None:
    anew(tmp_path, lambda session: session.add_items(items))


def kept(tmp_path: Path) -> list[Any]:
    items: list[Any] = anew(tmp_path, lambda session: session.get_items())
    return items


@pytest.mark.parametrize("by_hand", [False, True])
def test_all_calls_of_a_long_turn_are_answered_by_who_opens_it_anew(
    by_hand: bool, tmp_path: Path
) -> None:
    """Of 200 calls each second one has its output, so that what is open is far apart."""
    turn = [item for at, name in enumerate(NAMES) for item in paid(name)[: 1 + at % 2]]
    added(tmp_path, [user("before"), *paid("old")[:1], said("ok"), user("pay all"), *turn])
    if by_hand:
        added(tmp_path, [user("and now?")])
    else:
        anew(tmp_path, lambda session: session.get_items(wrapper=RUN))
    items = kept(tmp_path)
    told = [each["call_id"] for each in items if each.get("output") == UNKNOWN]
    assert told == NAMES[::2], "the turn before is over: what is open there stays as it is"
    assert [each for each in items if each.get("output") == "paid"] == [
        paid(name)[1] for name in NAMES[1::2]
    ]


def test_a_call_that_was_answered_far_back_is_not_answered_again(tmp_path: Path) -> None:
    """All calls come first, then all outputs, as of a response with many calls at once."""
    calls, outputs = ([paid(name)[at] for name in NAMES] for at in (0, 1))
    added(tmp_path, [user("pay all"), *calls, *outputs])
    before = kept(tmp_path)
    assert anew(tmp_path, lambda session: session.get_items(wrapper=RUN)) == before


def test_an_output_that_comes_late_takes_the_place_of_an_answer_far_back(tmp_path: Path) -> None:
    added(tmp_path, [user("pay"), called("c1")])
    added(tmp_path, [user("and now?"), *(said(f"word {number}") for number in range(5 * TAIL))])
    assert [each.get("output") for each in kept(tmp_path)[:4]] == [None, None, UNKNOWN, None]
    added(tmp_path, paid("c1")[1:])
    items = kept(tmp_path)
    assert UNKNOWN not in str(items) and items[-1] == paid("c1")[1]
    assert len(items) == 5 * TAIL + 4


def test_who_was_alive_after_all_is_told_of_once_and_nothing_else_is_lost(tmp_path: Path) -> None:
    """An older message that says the same as one beside the calls stays where it is."""

    async def begun(session: PerdureSession) -> None:
        await session.add_items([user("pay"), said("ok"), user("pay again")])
        await session.hooks().on_llm_end(RUN, AGENT, response("c1"))

    anew(tmp_path, begun)
    anew(tmp_path, lambda session: session.get_items(wrapper=RUN))
    added(tmp_path, [user("and now?"), *(said(f"word {number}") for number in range(3 * TAIL))])
    added(tmp_path, [said("ok"), *paid("c1")])
    items = kept(tmp_path)
    assert outcomes(items) == [("c1", "paid")]
    assert items[:4] == [user("pay"), said("ok"), user("pay again"), user("and now?")]
    assert items[-3:] == [said("ok"), *paid("c1")]


def test_what_is_nowhere_is_looked_for_so_far_and_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "LOOK_MAX", 3 * TAIL)
    added(tmp_path, [said(f"word {number}") for number in range(20 * TAIL)])
    seen: list[int] = []

    async def looked(session: PerdureSession) -> None:
        async def reading(opened: Any) -> None:
            def is_enough(part: Any) -> bool:
                seen.append(len(part))
                return False

            end = await looking.end_of(opened, is_enough)
            assert [each["content"] for each in end] == [
                f"word {number}" for number in range(16 * TAIL, 20 * TAIL)
            ]

        await session._keeper.read(reading)

    anew(tmp_path, looked)
    assert seen == [TAIL, TAIL, 2 * TAIL]
