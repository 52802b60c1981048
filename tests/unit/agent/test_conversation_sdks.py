"""What the providers' own SDKs give goes into a conversation as it is, and what it holds into them.

Both ways over real HTTP, to a small endpoint.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import pydantic
import pytest
from tests.endpoint import Endpoint

from perdure import Store
from perdure.agent import AnthropicConversation, OpenAIConversation
from perdure.errors import BrokenTurn, WrongType

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "refund", "arguments": '{"order": 17}'},
}
CUSTOM = {"id": "call_2", "type": "custom", "custom": {"name": "shell", "input": "ls -l"}}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "annotations": [],
                "tool_calls": [CALL, CUSTOM],
                "reasoning_content": "He wants his money.",  # of an endpoint that says more
            },
        }
    ],
}
BLOCKS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "He wants his money.", "signature": "s1"},
    {"type": "text", "text": "I do it."},
    {"type": "tool_use", "id": "toolu_1", "name": "refund", "input": {"order": 17, "note": None}},
    {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}},
]
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": BLOCKS,
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
ASKED = {"role": "user", "content": "Refund order 17"}


@contextmanager
def openai_client(answer: Any = COMPLETION) -> Iterator[tuple[Endpoint, openai.OpenAI]]:
    with Endpoint(lambda path, body: answer) as endpoint:
        client = openai.OpenAI(api_key="k", base_url=f"{endpoint.url}/v1", max_retries=0)
        with client:
            yield endpoint, client


@contextmanager
def anthropic_client() -> Iterator[tuple[Endpoint, anthropic.Anthropic]]:
    with Endpoint(lambda path, body: MESSAGE) as endpoint:
        client = anthropic.Anthropic(api_key="k", base_url=endpoint.url, max_retries=0)
        with client:
            yield endpoint, client


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_what_openai_answers_goes_in_and_back(tmp_path: Path) -> None:
    with openai_client() as (endpoint, client), Store(tmp_path / "a.db") as store:
        with store.open("a") as session:
            chat = OpenAIConversation.of(session.state, "chat")
            chat.append(ASKED)
            chat.append(client.chat.completions.create(model="m", messages=chat))
            session.save()
            live = chat.open_calls()
            assert [(call.name, call.arguments) for call in live] == [
                ("refund", {"order": 17}),
                ("shell", "ls -l"),
            ]
        with store.open("a") as session:
            chat = OpenAIConversation.of(session.state, "chat")
            assert chat.open_calls() == live
            for call in live:
                chat.answer(call, {"done": True})
            client.chat.completions.create(model="m", messages=chat)
            client.chat.completions.create(model="m", messages=chat.window(last=3))
        stored = store.at("a", "main").plain()["chat"]
    assert [each["messages"] for each in endpoint.asked] == [[ASKED], stored, stored[1:]]
    assert stored[1] == {
        "role": "assistant",
        "content": None,
        "annotations": [],
        "tool_calls": [CALL, CUSTOM],
        "reasoning_content": "He wants his money.",
    }


def test_every_form_of_an_answer_of_openai_is_the_same() -> None:
    with openai_client() as (_, client):
        answer = client.chat.completions.create(model="m", messages=[])
    message = answer.choices[0].message
    whole = OpenAIConversation([answer])
    assert whole == OpenAIConversation([message]) == OpenAIConversation([whole[0]])
    parts = OpenAIConversation([{"role": "assistant", "tool_calls": message.tool_calls}])
    assert parts[0]["tool_calls"] == [CALL, CUSTOM]
    with pytest.raises(BrokenTurn):
        whole.append(answer)
    with pytest.raises(WrongType):
        whole.append(answer.choices[0])


class Order(pydantic.BaseModel):
    order: int


def test_what_the_sdk_parsed_of_an_answer_stays_behind() -> None:
    said = {"role": "assistant", "content": '{"order": 17}', "tool_calls": [CALL]}
    choice = {**COMPLETION["choices"][0], "message": said}
    tools = [openai.pydantic_function_tool(Order, name="refund")]
    with openai_client({**COMPLETION, "choices": [choice]}) as (_, client):
        answer = client.chat.completions.parse(
            model="m", messages=[], response_format=Order, tools=tools
        )
    assert answer.choices[0].message.parsed == Order(order=17)
    assert OpenAIConversation([answer]) == [said]
    calls = answer.choices[0].message.tool_calls
    assert OpenAIConversation([{**said, "tool_calls": calls}]) == [said]


def test_an_answer_with_an_empty_list_of_calls_can_be_sent_back() -> None:
    said: dict[str, Any] = {
        "role": "assistant",
        "content": "Hello",
        "tool_calls": [],
        "function_call": None,
    }
    choice = {**COMPLETION["choices"][0], "message": said, "finish_reason": "stop"}
    with openai_client({**COMPLETION, "choices": [choice]}) as (_, client):
        chat = OpenAIConversation([client.chat.completions.create(model="m", messages=[])])
    assert chat == [{"role": "assistant", "content": "Hello"}]
    assert chat.open_calls() == []


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [('{"a": [1]}', {"a": [1]}), ("", {}), ("  ", {}), ('{"a": ', None), (None, None), ("3", 3)],
)
def test_arguments_that_are_no_JSON_are_told(arguments: Any, parsed: Any) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    chat = OpenAIConversation([{"role": "assistant", "tool_calls": [call]}])
    (found,) = chat.open_calls()
    assert found.arguments == ({} if parsed is None else parsed)
    assert (found.malformed is not None) == (parsed is None)
    if found.malformed is not None:
        chat.answer(found, found.malformed, is_error=True)


def test_what_anthropic_answers_goes_in_and_back(tmp_path: Path) -> None:
    with anthropic_client() as (endpoint, client), Store(tmp_path / "a.db") as store:
        with store.open("a") as session:
            chat = AnthropicConversation.of(session.state, "chat")
            chat.append(ASKED)
            answer = client.messages.create(model="m", max_tokens=9, messages=chat)
            chat.append(answer)
            session.save()
            live = chat.open_calls()
            assert [(call.name, call.arguments) for call in live] == [
                ("refund", {"order": 17, "note": None})
            ]
        with store.open("a") as session:
            chat = AnthropicConversation.of(session.state, "chat")
            assert chat.open_calls() == live
            chat.answer(live[0], "done")
            client.messages.create(model="m", max_tokens=9, messages=chat)
            client.messages.create(model="m", max_tokens=9, messages=chat.window(last=3))
        stored = store.at("a", "main").plain()["chat"]
    assert [each["messages"] for each in endpoint.asked] == [[ASKED], stored, stored]
    assert stored[1] == {"role": "assistant", "content": BLOCKS}


def test_every_form_of_an_answer_of_anthropic_is_the_same() -> None:
    with anthropic_client() as (_, client):
        answer = client.messages.create(model="m", max_tokens=9, messages=[])
    whole = AnthropicConversation([answer])
    parts = AnthropicConversation([{"role": "assistant", "content": answer.content}])
    assert whole == parts == AnthropicConversation([whole[0]])
    assert json.loads(json.dumps(whole)) == [{"role": "assistant", "content": BLOCKS}]
    with pytest.raises(WrongType):
        whole.append(answer.content[0])


def test_a_result_names_the_set_its_tool_is_of() -> None:
    call = {**BLOCKS[2], "toolset_name": "browser"}
    chat = AnthropicConversation([{"role": "assistant", "content": [call]}])
    assert chat.answer("toolu_1", "ok")["content"][0]["toolset_name"] == "browser"


def test_a_batch_of_anthropic_is_answered_in_one_message() -> None:
    calls = [{**BLOCKS[2], "id": each} for each in ("a", "b", "c")]
    chat = AnthropicConversation([{"role": "assistant", "content": calls}])
    (a, b, c) = [
        {"type": "tool_result", "tool_use_id": each, "content": "ok"} for each in ("a", "b", "c")
    ]
    text = {"type": "text", "text": "And now?"}
    with pytest.raises(BrokenTurn, match=r"leaves the tool calls 'b' .*, 'c' "):
        chat.append({"role": "user", "content": [a, text]})
    chat.append({"role": "user", "content": [a]})
    with pytest.raises(BrokenTurn, match="all results of a batch go into one message"):
        chat.append({"role": "user", "content": [b, c]})
    chat.answer("c", "ok")
    chat.answer("b", "ok")
    assert chat[1:] == [{"role": "user", "content": [a, c, b]}]
    for content in ([text, a, b, c], [a, b, text, c]):
        with pytest.raises(BrokenTurn, match="results come first in their message"):
            chat[1] = {"role": "user", "content": content}
    chat[1] = {"role": "user", "content": [a, b, c, text]}
    assert chat.open_calls() == []
