"""Conversations as sections of a schema: of every kind of class, and inside other containers."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict

import msgspec
import pydantic
import pytest
from tests.unit.agent.talk import PROVIDERS, asks, kind, results, together, user

from perdure import Store
from perdure.agent import AnthropicConversation, Conversation, OpenAIConversation
from perdure.errors import BrokenTurn, WrongType
from perdure.schemas.json_schema import json_schema_of

pytestmark = pytest.mark.parametrize("provider", PROVIDERS)


@dataclass
class AsDataclass:
    openai: Conversation[Literal["openai"]] = field(default_factory=Conversation[Literal["openai"]])
    anthropic: AnthropicConversation = field(default_factory=AnthropicConversation)


class AsTypedDict(TypedDict):
    openai: OpenAIConversation
    anthropic: "Conversation[Literal['anthropic']]"


class AsStruct(msgspec.Struct):
    openai: OpenAIConversation = msgspec.field(default_factory=OpenAIConversation)
    anthropic: AnthropicConversation = msgspec.field(default_factory=AnthropicConversation)


class AsPydantic(pydantic.BaseModel):
    openai: OpenAIConversation = pydantic.Field(default_factory=OpenAIConversation)
    anthropic: AnthropicConversation = pydantic.Field(default_factory=AnthropicConversation)


SCHEMAS: list[Any] = [AsDataclass, AsTypedDict, AsStruct, AsPydantic]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_section_of_a_schema_is_one(provider: str, schema: Any, tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store:
        with store.open("a", schema=schema) as session:
            if schema is AsTypedDict:
                session.state.update(openai=[], anthropic=[])
            chat = session.state[provider]
            assert chat.open_calls() == []
            chat.append(user())
            assert session.raw[provider] is session.state[provider] is chat
            chat.append(asks(provider, "a"))
            with pytest.raises(BrokenTurn):
                chat.append(user())
        with store.open("a", schema=schema) as session:
            with pytest.raises(BrokenTurn, match=f"{provider}/2"):
                session.raw[provider].append(user())
            assert session.state[provider].open_calls()[0].id == "a"
            session.state[provider].answer("a", "ok")
        assert store.at("a", 2).plain()[provider] == [user(), *together(provider, "a")]


WRONG: list[Any] = ["hello", {}, [1], [{}]]


def test_its_schema_is_that_of_a_list_of_messages(provider: str) -> None:
    found = json_schema_of(AsDataclass)["properties"][provider]
    assert (found["type"], found["items"]["type"]) == ("array", "object")


def test_a_whole_section_that_is_assigned_is_checked(provider: str) -> None:
    with Store("memory:").open("a", schema=AsDataclass) as session:
        setattr(session.state, provider, [user(), *together(provider, "a"), asks(provider, "b")])
        chat = session.raw[provider]
        for messages in ([*chat, user()], [*results(provider, "a")], chat[:2] + chat[3:]):
            with pytest.raises(BrokenTurn):
                setattr(session.state, provider, messages)
            with pytest.raises(BrokenTurn):
                session.raw[provider] = messages
        for other in WRONG:
            with pytest.raises(WrongType):
                session.raw[provider] = other
        assert session.raw[provider] is chat
        session.raw[provider] = kind(provider)([user()])
        assert session.raw[provider].plain() == [user()]


def test_a_stored_one_that_is_broken_is_read_to_be_mended(provider: str, tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store:
        with store.open("a") as session:
            session.state[provider] = [asks(provider, "a"), user()]
        with store.open("a", schema=AsDataclass) as session:
            chat = getattr(session.state, provider)
            chat.insert(1, *results(provider, "a"))
            chat.check()


def test_conversations_may_be_inside_other_containers(provider: str) -> None:
    @dataclass
    class Team:
        chats: dict[str, Conversation[Literal["openai"]]] = field(default_factory=dict)
        others: dict[str, AnthropicConversation] = field(default_factory=dict)

    with Store("memory:").open("a", schema=Team) as session:
        chats: Any = session.state.chats if provider == "openai" else session.state.others
        chats["ann"] = [user(), asks(provider, "a")]
        assert [call.id for call in chats["ann"].open_calls()] == ["a"]
        with pytest.raises(BrokenTurn):
            chats["ann"].append(user())
