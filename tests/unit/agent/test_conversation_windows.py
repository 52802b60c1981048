"""The newest messages of a conversation that fit a prompt: in whole turns."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.agent.talk import PROVIDERS, asks, kind, results, said, together, user

from perdure import Store
from perdure.errors import UsageError


def chat_of(provider: str, *messages: Any) -> Any:
    return kind(provider)(messages)


def one(message: Any) -> int:
    return 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_call_is_never_parted_from_its_results(provider: str) -> None:
    turn = together(provider, "a", "b")
    chat = chat_of(provider, user("1"), said(), user("2"), *turn)
    for tokens in range(len(chat) + 1):
        window = chat.window(tokens=tokens, count=one)
        assert len(window) <= tokens
        kind(provider)(window)  # no turn in it is broken
        assert window == list(chat[len(chat) - len(window) :])
    assert chat.window(tokens=len(turn) - 1, count=one) == []
    assert chat.window() == chat
    assert type(chat.window()) is list


def test_how_many_messages_is_a_limit_too() -> None:
    chat = chat_of("openai", user("1"), said(), user("2"), *together("openai", "a", "b"))
    assert [len(chat.window(last=last)) for last in range(8)] == [0, 0, 0, 3, 4, 5, 6, 6]
    assert len(chat.window(last=5, tokens=4, count=one)) == 4


def test_the_estimate_counts_what_is_sent() -> None:
    chat = chat_of("openai", user("x" * 4000), user("y" * 4000))
    assert chat.window(tokens=1100) == chat[1:]
    assert chat.window(tokens=900) == []


def test_system_messages_come_first_on_demand() -> None:
    system = [{"role": "system", "content": "Be kind"}, {"role": "developer", "content": "Be curt"}]
    chat = chat_of("openai", *system, user("1"), said(), user("2"), said())
    assert chat.window(tokens=3, count=one) == chat[3:]
    assert chat.window(tokens=3, count=one, system=True) == [*system, chat[5]]
    assert chat.window(tokens=5, count=one, system=True) == [*system, *chat[3:]]
    assert chat.window(system=True) == chat
    assert chat.window(tokens=1, count=one, system=True) == []
    assert chat.window(tokens=2, count=one, system=True) == []  # no room for the newest turn
    assert chat_of("openai", *system).window(system=True) == system


def test_a_prompt_begins_with_the_user_where_it_has_to() -> None:
    first, second = together("anthropic", "a"), together("anthropic", "b")
    chat = chat_of("anthropic", user("0"), said(), user("Refund"), *first, *second)
    assert chat.window(tokens=3, count=one) == [user("Refund"), *second]
    assert chat.window(tokens=4, count=one) == [user("Refund"), *second]
    assert chat.window(tokens=5, count=one) == [user("Refund"), *first, *second]
    assert chat.window(tokens=2, count=one) == []
    assert chat.window(last=6) == [user("Refund"), *first, *second]
    alone = chat_of("anthropic", *first)  # nobody said anything before
    assert alone.window() == first
    turns = chat_of("openai", user("Refund"), *together("openai", "a"))
    assert turns.window(tokens=2, count=one) == turns[1:]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_window_of_a_window_has_whole_turns_only(provider: str, tmp_path: Path) -> None:
    messages = [user(), *together(provider, "a", "b"), said(), asks(provider, "c")]
    with Store(tmp_path / "a.db") as store:
        with store.open("a") as session:
            session.state["chat"] = messages
        shown = len(results(provider, "a", "b")) + 2  # it begins with results
        with store.open("a", windows={"chat": shown}) as session:
            chat = kind(provider).of(session.state, "chat")
            assert chat.window() == messages[-2:]
            assert chat.window(system=True) == messages[-2:]


def test_what_it_gives_is_tracked_and_goes_into_json(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db").open("a") as session:
        chat = kind("openai").of(session.state, "chat")
        chat.extend([user(), *together("openai", "a")])
        window = chat.window(tokens=10_000)
        assert json.loads(json.dumps(window)) == chat.plain()
        window[-1]["content"] = "shortened"
        assert chat[-1]["content"] == "shortened"


@pytest.mark.parametrize("limit", ["tokens", "last"])
def test_limits_are_none_or_more(limit: str) -> None:
    with pytest.raises(UsageError, match="0 or more"):
        chat_of("openai", user()).window(**{limit: -1})
