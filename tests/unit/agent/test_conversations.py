"""Conversations: an open turn may stand at the tail, and no call is lost anywhere else."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.unit.agent.talk import PROVIDERS, asks, kind, results, said, together, user

from perdure import AsyncStore, Store
from perdure.agent import Conversation, OpenAIConversation, ToolCall
from perdure.errors import BrokenTurn, SectionNotLoaded, UsageError, WrongType

pytestmark = pytest.mark.parametrize("provider", PROVIDERS)


def a_chat(provider: str, *messages: Any) -> Any:
    return kind(provider)(messages)


WAYS: dict[str, Callable[[Any, Any], None]] = {
    "append": lambda chat, message: chat.append(message),
    "extend": lambda chat, message: chat.extend([message]),
    "insert": lambda chat, message: chat.insert(len(chat), message),
    "slice": lambda chat, message: chat.__setitem__(slice(len(chat), None), [message]),
    "whole": lambda chat, message: chat.__setitem__(slice(None), [*chat, message]),
    "iadd": lambda chat, message: chat.__iadd__([message]),
}


# ---- the open turn ------------------------------------------------------------------------------


def test_calls_at_the_tail_are_open_until_they_are_answered(provider: str) -> None:
    chat = a_chat(provider, user(), asks(provider, "a", "b"))
    calls = [ToolCall("a", "refund", {"order": "a"}), ToolCall("b", "refund", {"order": "b"})]
    assert chat.open_calls() == calls
    chat.answer(calls[1], "ok")  # in any order
    assert chat.open_calls() == calls[:1]
    chat.answer("a", "ok")
    assert chat.open_calls() == []
    assert chat[2:] == results(provider, "b", "a")
    chat.append(said())
    chat.check()


@pytest.mark.parametrize("way", WAYS)
def test_no_message_may_leave_a_call_unanswered(provider: str, way: str) -> None:
    chat = a_chat(provider, user(), asks(provider, "a", "b"))
    chat.answer("a", "ok")
    for message in (user("Never mind"), said(), asks(provider, "c")):
        before = chat.plain()
        with pytest.raises(BrokenTurn, match=r"leaves the tool call 'b' \(refund\)") as caught:
            WAYS[way](chat, message)
        assert (caught.value.calls, caught.value.path) == (("b",), (3,))
        assert chat.plain() == before


@pytest.mark.parametrize("way", WAYS)
def test_results_need_an_open_call(provider: str, way: str) -> None:
    chat = a_chat(provider, user())
    (result,) = results(provider, "a")
    with pytest.raises(BrokenTurn, match="answers the call 'a', which the model has not made"):
        WAYS[way](chat, result)
    chat.extend(together(provider, "a"))
    with pytest.raises(BrokenTurn, match="answers the call 'a' a second time"):
        WAYS[way](chat, result)
    assert len(chat) == 3


def test_one_message_that_answers_twice_is_refused(provider: str) -> None:
    chat = a_chat(provider, asks(provider, "a"))
    with pytest.raises(BrokenTurn, match="'a' a second time"):
        chat.extend(results(provider, "a", "a"))
    assert len(chat) == 1


def test_calls_of_one_message_have_ids_of_their_own(provider: str) -> None:
    with pytest.raises(BrokenTurn, match="two of its calls have the id 'a'"):
        a_chat(provider, asks(provider, "a", "b", "a"))
    again = a_chat(provider, *together(provider, "a"), *together(provider, "a"))  # each its turn
    assert len(again) == 4


def test_a_call_that_is_not_open_cannot_be_answered(provider: str) -> None:
    chat = a_chat(provider, user(), asks(provider, "a", "b"))
    chat.answer("a", "ok")
    with pytest.raises(BrokenTurn, match=r"'a' is no open call \(open: 'b'\)"):
        chat.answer("a", "ok")
    with pytest.raises(BrokenTurn, match=r"'a' is no open call \(open: none\)"):
        a_chat(provider).answer("a", "ok")


PARTING: dict[str, tuple[Callable[[Any], Any], str]] = {
    "pop call": (lambda chat: chat.pop(1), "which the model has not made"),
    "delete result": (lambda chat: chat.__delitem__(2), "leaves the tool call 'a'"),
    "delete slice": (lambda chat: chat.__delitem__(slice(1, 2)), "which the model has not made"),
    "delete steps": (lambda chat: chat.__delitem__(slice(0, 3, 2)), "leaves the tool call 'a'"),
    "remove": (lambda chat: chat.remove(chat[2]), "leaves the tool call 'a'"),
    "assign to result": (lambda chat: chat.__setitem__(2, user()), "leaves the tool call 'a'"),
    "assign to call": (lambda chat: chat.__setitem__(1, said()), "which the model has not made"),
    "insert": (lambda chat: chat.insert(2, user()), "leaves the tool call 'a'"),
    "reverse": (lambda chat: chat.reverse(), "leaves the tool call 'b'"),
    "sort": (lambda chat: chat.sort(key=lambda each: each["role"]), "leaves|has not made"),
    "imul": (lambda chat: chat.__imul__(2), "leaves the tool call 'b'"),
}


@pytest.mark.parametrize("edit", PARTING)
def test_no_edit_parts_a_call_from_its_result(provider: str, edit: str) -> None:
    remove, why = PARTING[edit]
    chat = a_chat(provider, user(), *together(provider, "a"), said(), asks(provider, "b"))
    before = chat.plain()
    with pytest.raises(BrokenTurn, match=why):
        remove(chat)
    assert chat.plain() == before


def test_whole_turns_go_and_come(provider: str) -> None:
    chat = a_chat(provider, user(), *together(provider, "a"), said(), asks(provider, "b"))
    del chat[1:3]
    chat[1:1] = together(provider, "c", "d")
    chat.pop()  # the open turn
    chat[-1] = said("Both are done.")
    chat *= 2
    chat.check()
    chat.clear()
    assert chat == []


def test_what_was_broken_before_may_stay_and_can_be_mended(provider: str) -> None:
    with Store("memory:").open("a") as session:
        session.state["chat"] = [user(), asks(provider, "a"), user("Hello?"), said()]
        chat = kind(provider).of(session.state, "chat")
        with pytest.raises(BrokenTurn, match="chat/2") as caught:
            chat.check()
        assert caught.value.path == ("chat", 2)
        chat.append(user("More"))
        chat[2]["content"] = "Are you there?"
        with pytest.raises(BrokenTurn):  # what it puts in is as wrong
            chat[2] = user("Anybody?")
        chat.insert(2, *results(provider, "a"))
        chat.check()
        assert [each["role"] for each in chat[-2:]] == ["assistant", "user"]


def test_what_is_broken_is_mended_step_by_step(provider: str) -> None:
    with Store("memory:").open("a") as session:
        session.state["chat"] = [asks(provider, "a", "b"), user("Hello?")]
        chat = kind(provider).of(session.state, "chat")
        with pytest.raises(BrokenTurn, match="answers the call 'c'"):
            chat.insert(1, *results(provider, "c"))
        chat.insert(1, *results(provider, "a"))  # the other one stays unanswered, as it was
        with pytest.raises(BrokenTurn, match="leaves the tool call 'b'"):
            chat.check()
        with pytest.raises(BrokenTurn, match="leaves the tool calls 'a'"):  # nor does it get worse
            del chat[1]
        del chat[2]
        chat.answer("b", "ok")
        chat.check()


def test_a_free_message_that_is_refused_stays_free(provider: str) -> None:
    with Store("memory:").open("a") as session:
        chat = kind(provider).of(session.state)
        chat.extend([user(), asks(provider, "a"), *results(provider, "a")])
        result = chat.pop()
        with pytest.raises(BrokenTurn):
            chat.insert(0, result)
        result["seen"] = True  # of no state
        chat.append(result)
        assert chat[-1] is result
        result["seen"] = False
        session.save()
        assert session.changes() == []


# ---- what goes in -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["hello", 3, None, [], {}, {"content": "x"}, {"role": 1}])
def test_only_messages_go_in(provider: str, value: Any) -> None:
    chat = a_chat(provider)
    with pytest.raises(WrongType, match="a message is a dict with a role"):
        chat.append(value)
    with pytest.raises(WrongType):
        chat[:] = [value]
    assert chat == []


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("fine", "fine"),
        ({"left": 3}, '{"left": 3}'),
        ([1, "zwei"], '[1, "zwei"]'),
        (None, "null"),
        ({"on": date(2026, 1, 2), "ids": {7}}, '{"on": "2026-01-02", "ids": [7]}'),
        ([], "[]"),
        ([{"type": "car"}], '[{"type": "car"}]'),
        (ToolCall("a", "f", {}), json.dumps(structs.asdict(ToolCall("a", "f", {})))),
    ],
)
def test_results_are_text_or_JSON(provider: str, result: Any, text: str) -> None:
    chat = a_chat(provider, asks(provider, "a"))
    message = chat.answer("a", result)
    part = message if provider == "openai" else message["content"][0]
    assert part["content"] == text
    assert "is_error" not in part


def test_the_providers_own_parts_go_in_as_they_are(provider: str) -> None:
    chat = a_chat(provider, asks(provider, "a"))
    message = chat.answer("a", [{"type": "text", "text": "fine"}])
    part = message if provider == "openai" else message["content"][0]
    assert part["content"] == [{"type": "text", "text": "fine"}]


def test_what_failed_is_told_to_the_model(provider: str) -> None:
    chat = a_chat(provider, asks(provider, "a", "b", "c"))
    chat.answer("a", ValueError("no order 17"))
    chat.answer("b", "too late", is_error=True)
    chat.answer("c", [{"type": "text", "text": "too late"}], is_error=True)
    if provider == "openai":
        assert [each["content"] for each in chat[1:]] == [
            "error: ValueError: no order 17",
            "error: too late",
            [{"type": "text", "text": "error:"}, {"type": "text", "text": "too late"}],
        ]
    else:
        (message,) = chat[1:]
        assert [each["is_error"] for each in message["content"]] == [True] * 3
        assert message["content"][0]["content"] == "ValueError: no order 17"


# ---- in a state ---------------------------------------------------------------------------------


def test_an_open_turn_is_the_same_after_a_resume(provider: str, tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store:
        with store.open("a") as session:
            chat = kind(provider).of(session.state, "chat")
            chat.extend([user(), asks(provider, "a", "b")])
            live = chat.open_calls()
            chat.answer("a", "ok")
        with store.open("a") as session:
            chat = kind(provider).of(session.state, "chat")
            assert chat.open_calls() == live[1:]
            assert session.raw["chat"] is chat
            assert type(store.at("a", 1).plain()["chat"]) is list
            chat.answer(live[1], "ok")
            session.save()
            assert session.state["chat"] == [user(), *together(provider, "a", "b")]


def test_an_edit_of_others_is_taken_in_as_it_is(provider: str, tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store, store.open("a") as one, store.open("a") as two:
        chat = kind(provider).of(one.state, "chat")
        chat.append(user())
        one.save()
        two.refresh()
        two.state["chat"].append(asks(provider, "a"))
        two.save()
        one.refresh()
        assert one.state["chat"] is chat
        assert [each.id for each in chat.open_calls()] == ["a"]
        two.state["chat"] = [user("Anew")]
        two.save()
        one.refresh()
        assert one.state["chat"] is chat == [user("Anew")]


def test_an_undone_block_leaves_it_what_it_was(provider: str) -> None:
    with Store("memory:").open("a") as session:
        chat = kind(provider).of(session.state, "chat")
        chat.extend([user(), asks(provider, "a")])
        with pytest.raises(ValueError, match="oh"), session.atomic():
            chat.answer("a", "ok")
            raise ValueError("oh")
        assert [each.id for each in chat.open_calls()] == ["a"]


def test_a_window_takes_messages_without_what_is_before_it(provider: str, tmp_path: Path) -> None:
    turns = [user(), *together(provider, "a", "b"), said(), user()]
    with Store(tmp_path / "a.db") as store:
        with store.open("a") as session:
            session.state["chat"] = turns
        for shown in range(1, len(turns) + 1):
            with store.open("a", windows={"chat": shown}) as session:
                chat = kind(provider).of(session.state, "chat")
                chat.check()
                with pytest.raises(BrokenTurn):
                    chat.extend(results(provider, "a"))
                chat.append(asks(provider, "c"))
                assert len(chat.open_calls()) == 1
                chat.pop()
                assert chat.offset == len(turns) - shown


def test_an_edit_looks_at_the_turn_it_is_in_alone(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = a_chat(provider, *[user(), *together(provider, "a"), said()] * 500)
    looked = []
    answers = chat._shape.answers

    def watched(message: Any) -> Any:
        looked.append(message)
        return answers(message)

    monkeypatch.setattr(chat._shape, "answers", watched)
    chat.append(asks(provider, "b"))
    chat.answer("b", "ok")
    del chat[1000:1004]
    chat.window(last=10)
    assert len(looked) < 100


def test_a_window_that_begins_inside_a_turn_says_so(provider: str, tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store:
        with store.open("a") as session:
            chat = kind(provider).of(session.state, "chat")
            chat.extend([user(), asks(provider, "a", "b"), *results(provider, "a")])
        with store.open("a", windows={"chat": 1}) as session:
            chat = kind(provider).of(session.state, "chat")
            for act in (chat.open_calls, lambda: chat.answer("b", "ok")):
                with pytest.raises(SectionNotLoaded, match="begins inside a turn"):
                    act()
            with pytest.raises(SectionNotLoaded, match="longer window"):
                chat.append(said())
            session.load("chat")
            chat.answer("b", "ok")
            chat.append(said())


def test_async_is_the_same(provider: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncStore(tmp_path / "a.db") as store:
            async with store.open("a") as session:
                kind(provider).of(session.state, "chat").append(asks(provider, "a"))
            async with store.open("a", sections=[]) as session:
                await session.load("chat")
                chat = kind(provider).of(session.state, "chat")
                chat.answer("a", "ok")
                chat.append(said())

    asyncio.run(run())


# ---- what is no conversation --------------------------------------------------------------------


def test_a_list_has_the_shape_of_one_provider(provider: str) -> None:
    (other,) = set(PROVIDERS) - {provider}
    with Store("memory:").open("a") as session:
        kind(provider).of(session.state, "chat")
        with pytest.raises(UsageError, match=f"in the shape of '{provider}'"):
            kind(other).of(session.state, "chat")
        session.state["plan"] = {}
        with pytest.raises(UsageError, match="no list of messages, but a TrackedDict"):
            kind(provider).of(session.state, "plan")
    with pytest.raises(UsageError, match=r"session\.state, not a dict"):
        kind(provider).of({}, "chat")


def test_the_provider_has_to_be_said(provider: str) -> None:
    @dataclass
    class Vague:
        chat: Conversation[Any] = field(default_factory=OpenAIConversation)

    for act in (lambda: Store("memory:").open("a", schema=Vague), Conversation):
        with pytest.raises(UsageError, match=rf'Conversation\["{provider}"\]'):
            act()
    for wrong in ("gemini", 3, int):
        with pytest.raises(UsageError, match="in the shape of 'openai' or 'anthropic', not"):
            kind(wrong)
