"""Conversations under random edits, against a plain list and a plain rule of what is legal.

A message is an act of a story: the user or the model says something, the model makes calls, some
are answered. The rule is told on acts, not on messages, and knows nothing of how a conversation
finds out. An edit is taken exactly where all that follows from it is legal.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.agent.talk import PROVIDERS, asks, kind, results, said, user

from perdure import Store
from perdure.agent import OpenAIConversation
from perdure.errors import BrokenTurn, SectionNotLoaded

TRAJECTORIES = Path(__file__).parents[3] / "shared" / "data" / "airline-trajectories.jsonl.gz"

Act = tuple[str, tuple[str, ...]]
"""What happens: "user", "said", "asks" or "results", and the ids of calls that it is about."""

IDS = ("a", "b", "c")
one_id = st.tuples(st.sampled_from(IDS))
some_ids = st.lists(st.sampled_from(IDS), min_size=1, max_size=3).map(tuple)


def acts(provider: str) -> st.SearchStrategy[Act]:
    answered = one_id if provider == "openai" else some_ids
    return st.one_of(
        st.sampled_from([("user", ()), ("said", ())]),
        st.tuples(st.just("asks"), some_ids),
        st.tuples(st.just("results"), answered),
        st.tuples(st.just("results"), answered),
    )


def message(provider: str, act: Act) -> dict[str, Any]:
    name, ids = act
    if name == "results":
        return results(provider, *ids)[0]
    if name == "asks":
        return asks(provider, *ids)
    return user() if name == "user" else said()


def open_after(provider: str, story: list[Act]) -> list[str] | None:
    """The calls that a story leaves open, in their order; None if it is not legal."""
    left: list[str] = []
    answering = False
    for name, ids in story:
        if name == "results":
            whole = provider == "anthropic" and answering
            if whole or len(set(ids)) < len(ids) or not set(ids) <= set(left):
                return None
            left = [each for each in left if each not in ids]
            answering = True
        else:
            if left or len(set(ids)) < len(ids):
                return None
            left, answering = list(ids) if name == "asks" else [], False
    return left


@st.composite
def tellings(draw: st.DrawFn, provider: str) -> list[tuple[int, int, list[Act]]]:
    """Edits, each at a place, of so many acts, into others; most at the end and likely legal."""
    edits = []
    story: list[Act] = []
    for _ in range(draw(st.integers(1, 12))):
        start = draw(st.integers(0, len(story))) if draw(st.booleans()) else len(story)
        removed = draw(st.integers(0, len(story) - start))
        added = draw(st.lists(acts(provider), max_size=3))
        left = open_after(provider, story)
        if start == len(story) and left and draw(st.booleans()):
            ids = (left[:1],) if provider == "openai" else (left,)
            added = [("results", tuple(each)) for each in ids]
        edits.append((start, removed, added))
        told = [*story[:start], *added, *story[start + removed :]]
        if open_after(provider, told) is not None:
            story = told
    return edits


@pytest.mark.parametrize("provider", PROVIDERS)
@given(data=st.data())
def test_edits_are_taken_exactly_where_no_turn_breaks(provider: str, data: st.DataObject) -> None:
    with Store("memory:").open("a") as session:
        chat = kind(provider).of(session.state, "chat")
        story: list[Act] = []
        for start, removed, added in data.draw(tellings(provider)):
            told = [*story[:start], *added, *story[start + removed :]]
            messages = [message(provider, act) for act in added]
            if open_after(provider, told) is None:
                with pytest.raises(BrokenTurn):
                    edit(chat, start, removed, messages)
            else:
                edit(chat, start, removed, messages)
                story = told
            assert chat.plain() == [message(provider, act) for act in story]
            assert [call.id for call in chat.open_calls()] == open_after(provider, story)
        chat.check()
        for size in range(len(chat) + 1):
            window = chat.window(last=size)
            assert len(window) <= size
            kind(provider)(window)


def edit(chat: Any, start: int, removed: int, messages: list[Any]) -> None:
    """Make an edit in the way that is usual for its form."""
    if not removed and start == len(chat) and len(messages) == 1:
        chat.append(messages[0])
    elif not removed and len(messages) == 1:
        chat.insert(start, messages[0])
    elif removed == len(messages) == 1:
        chat[start] = messages[0]
    elif not removed and start == len(chat):
        chat.extend(messages)
    else:
        chat[start : start + removed] = messages


@pytest.mark.parametrize("provider", PROVIDERS)
@given(data=st.data())
def test_a_window_refuses_what_the_whole_does_or_says_that_it_cannot_know(
    provider: str, data: st.DataObject
) -> None:
    story: list[Act] = []
    for act in data.draw(st.lists(acts(provider), max_size=30)):
        if open_after(provider, [*story, act]) is not None:
            story.append(act)
    shown = data.draw(st.integers(1, len(story) + 1))
    new = data.draw(acts(provider))
    with Store("memory:") as store:
        with store.open("a") as session:
            session.state["chat"] = [message(provider, act) for act in story]
        with store.open("a", windows={"chat": shown}) as session:
            chat = kind(provider).of(session.state, "chat")
            try:
                chat.append(message(provider, new))
            except BrokenTurn:
                assert open_after(provider, [*story, new]) is None
            except SectionNotLoaded:
                assert all(name == "results" for name, _ in story[-shown:])
            else:
                all_results = all(name == "results" for name, _ in story[-shown:])
                is_blind = all_results and new[0] == "results"
                assert is_blind or open_after(provider, [*story, new]) is not None


@pytest.mark.parametrize("provider", PROVIDERS)
@given(data=st.data())
@settings(max_examples=30)
def test_answers_close_every_turn_in_any_order_and_over_sessions(
    provider: str, data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True))
    with Store("memory:") as store:
        with store.open("a") as session:
            kind(provider).of(session.state).append(asks(provider, *ids))
        left = ids
        for each in data.draw(st.permutations(ids)):
            with store.open("a") as session:
                chat = kind(provider).of(session.state)
                assert [call.id for call in chat.open_calls()] == left
                left = [one for one in left if one != each]
                with pytest.raises(BrokenTurn):
                    chat.append(user())
                chat.answer(each, "ok")
        with store.open("a") as session:
            chat = kind(provider).of(session.state)
            chat.append(user())
            chat.check()


def real_conversations() -> list[list[dict[str, Any]]]:
    """Those of the trajectories that are there; of those made here, else."""
    if not TRAJECTORIES.is_file():
        turn = [user(), asks("openai", "a"), *results("openai", "a"), said()]
        return [turn * count for count in range(1, 10)]
    with gzip.open(TRAJECTORIES, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["messages"] for line in lines][::7]


def test_real_conversations_go_in_message_by_message() -> None:
    for messages in real_conversations():
        chat = OpenAIConversation()
        for each in messages:
            chat.append(each)
            calls = [call.id for call in chat.open_calls()]
            assert calls == [call["id"] for call in each.get("tool_calls") or []]
        assert chat.plain() == messages
        for tokens in (200, 1000, 5000):
            OpenAIConversation(chat.window(tokens=tokens)).check()
