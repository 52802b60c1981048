"""Tool calls whose step or effect is recorded: they get that result, live and after a resume."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.unit.agent.talk import PROVIDERS, asks, kind, user

from perdure import AsyncStore, Store
from perdure.agent import Conversation, OpenAIConversation, Todo, ToolCall
from perdure.errors import SectionNotLoaded, UnknownOutcome, UsageError

pytestmark = pytest.mark.parametrize("provider", PROVIDERS)


class Shop:
    """Counts what it refunds."""

    def __init__(self) -> None:
        self.refunds: list[str] = []

    def refund(self, order: str) -> dict[str, Any]:
        self.refunds.append(order)
        return {"refunded": order}


class Killed(BaseException):
    """As a process that is killed: nothing after it is done."""


def killed(*_: Any) -> None:
    raise Killed


def content(provider: str, message: Any) -> Any:
    return message["content"] if provider == "openai" else message["content"][-1]["content"]


def refunding(
    store: Store, provider: str, shop: Shop, then: Callable[[Any, Any], None] | None = None
) -> None:
    """A session that asks for two refunds, if it is the first, and performs those that are open."""
    with store.open("a") as session:
        chat = kind(provider).of(session.state, "chat")
        if not chat:
            chat.extend([user(), asks(provider, "a", "b")])
            session.save()
        with session.task("refund") as task:
            for call in chat.open_calls():
                task.options(key=call.key).effect(call.name, shop.refund, **call.arguments)
                if then is not None:
                    then(chat, call)
                chat.answer(call)
                session.save()


def test_a_call_whose_effect_is_recorded_gets_that_result(provider: str, store: Store) -> None:
    shop = Shop()
    with pytest.raises(Killed):
        refunding(store, provider, shop, killed)
    assert shop.refunds == ["a"]
    with store.open("a") as session:
        chat = kind(provider).of(session.state, "chat")
        first, second = chat.open_calls()
        assert (first.id, first.is_done, first.result) == ("a", True, {"refunded": "a"})
        assert (second.id, second.is_done, second.result) == ("b", False, None)
        assert content(provider, chat.answer(first)) == '{"refunded": "a"}'
        with pytest.raises(UsageError, match=f"under the key '{second.key}' of the call 'b'"):
            chat.answer("b")
        assert chat.open_calls() == [second]
    refunding(store, provider, shop)
    assert shop.refunds == ["a", "b"]
    with store.open("a") as session:
        chat = kind(provider).of(session.state, "chat")
        assert chat.open_calls() == []
        chat.check()


def test_the_answer_is_saved_with_the_effect(provider: str, store: Store) -> None:
    shop = Shop()
    with store.open("a") as session:
        chat = kind(provider).of(session.state, "chat")
        chat.extend([user(), asks(provider, "a")])
        session.save()
        with session.task("refund") as task:
            (call,) = chat.open_calls()
            answering = task.options(key=call.key, apply=partial(chat.answer, call))
            answering.effect(call.name, shop.refund, **call.arguments)
            stored = store.at("a", "main").plain()
            assert content(provider, stored["chat"][-1]) == '{"refunded": "a"}'
            assert stored["perdure.tasks"]["refund"]["steps"][call.key]["effect"] == call.key
    (effect,) = store.effects("a")
    assert (effect.key, effect.result) == (call.key, {"refunded": "a"})


def test_a_step_counts_too_and_one_that_is_not_done_does_not(provider: str, store: Store) -> None:
    def fail() -> None:
        raise ValueError

    with store.open("a") as session:
        chat = kind(provider).of(session.state, "chat")
        chat.extend([user(), asks(provider, "a", "b", "c")])
        one, two, three = chat.open_calls()
        with pytest.raises(UnknownOutcome), session.task("first") as task:
            task.options(key=one.key).step("look", str, 7)
            with pytest.raises(Exception, match="failed"):
                task.options(key=two.key).step("fail", fail)
            task.options(key=three.key).effect("unknown", fail)
        assert [call.is_done for call in chat.open_calls()] == [True, False, False]
        assert chat.open_calls()[0].result == "7"


def test_what_was_only_explored_is_no_result(provider: str, store: Store) -> None:
    shop = Shop()
    with store.open("a", effects=lambda effect: "pretended") as session:
        chat = kind(provider).of(session.state, "chat")
        chat.extend([user(), asks(provider, "a")])
        (call,) = chat.open_calls()
        with session.task("refund") as task:
            task.options(key=call.key).effect(call.name, shop.refund, "a")
        assert [each.is_done for each in chat.open_calls()] == [False]
    assert shop.refunds == []


def test_keys_tell_calls_apart(provider: str) -> None:
    call = ToolCall("call_0", "refund", {"order": 17})
    assert call.key == ToolCall("call_0", "refund", {"order": 17}, result=1).key
    assert call.key.startswith("refund/call_0/")
    others = [
        ToolCall("call_1", "refund", {"order": 17}),
        ToolCall("call_0", "charge", {"order": 17}),
        ToolCall("call_0", "refund", {"order": 18}),
        ToolCall("call_0", "refund", {"order": "17"}),
        ToolCall("call_0", "refund", "17"),
    ]
    assert len({call.key, *(each.key for each in others)}) == 6


def test_a_conversation_in_no_state_has_no_results(provider: str) -> None:
    chat = kind(provider)([user(), asks(provider, "a")])
    assert [call.is_done for call in chat.open_calls()] == [False]


def test_a_typed_conversation_has_them_too(provider: str, store: Store) -> None:
    if provider != "openai":
        return

    @dataclass
    class Desk:
        chat: OpenAIConversation = field(default_factory=OpenAIConversation)

    shop = Shop()
    with pytest.raises(Killed):
        refunding(store, provider, shop, killed)
    with store.open("a", schema=Desk) as session:
        assert isinstance(session.state.chat, Conversation)
        assert [call.is_done for call in session.state.chat.open_calls()] == [True, False]


def test_under_asyncio_tasks_have_to_be_loaded(provider: str, tmp_path: Path) -> None:
    shop = Shop()
    with Store(tmp_path / "a.db") as made:
        with made.open("a") as session:  # what is small is loaded anyway
            session.plan.add_missing([Todo(f"t{at}", input="x" * 1000) for at in range(100)])
        with pytest.raises(Killed):
            refunding(made, provider, shop, killed)

    async def main() -> None:
        async with (
            AsyncStore(tmp_path / "a.db") as store,
            store.open("a", sections=["chat"]) as session,
        ):
            chat = kind(provider).of(session.state, "chat")
            with pytest.raises(SectionNotLoaded, match=r"perdure\.tasks"):
                chat.open_calls()
            await session.load("perdure.tasks")
            first, second = chat.open_calls()
            chat.answer(first)
            async with session.task("refund") as task:
                await task.options(key=second.key, apply=partial(chat.answer, second)).effect(
                    second.name, shop.refund, **second.arguments
                )
            assert chat.open_calls() == []

    asyncio.run(main())
    assert shop.refunds == ["a", "b"]
