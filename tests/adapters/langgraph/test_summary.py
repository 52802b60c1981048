"""What a person said last in a thread is its summary, which `perdure ls` shows."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.types import Command
from tests.adapters.langgraph import graphs
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_coding import Reversing
from tests.adapters.langgraph.test_two_workers import KEY

from perdure.adapters.langgraph import PerdureSaver
from perdure.adapters.langgraph.tip import LOOKED_AT_MAX, said_last
from perdure.adapters.summary import SUMMARY_CHARS, text_of
from perdure.cli.app import app


@pytest.fixture
def url(tmp_path: Path) -> Path:
    return tmp_path / "agents.db"


def summary(saver: PerdureSaver) -> str | None:
    return saver.store.info(KEY).summary


def say(saver: PerdureSaver, config: Any, *messages: AnyMessage) -> Any:
    checkpoint = empty_checkpoint() | {"channel_values": {"messages": list(messages)}}
    return saver.put(config, checkpoint, {"step": 1}, {"messages": "1"})


def test_it_is_what_a_person_said_last_and_ls_shows_it(url: Path) -> None:
    with PerdureSaver(url) as saver:
        graph = graphs.chat().compile(checkpointer=saver)
        graph.invoke({"messages": [HumanMessage("hi")]}, thread())
        assert summary(saver) == "hi"
        graph.invoke({"messages": [HumanMessage("please\n  ask")]}, thread())
        assert summary(saver) == "please ask"
        listed = CliRunner().invoke(app, ["--store", str(url), "ls"])
        assert "please ask" in listed.stdout
        graph.invoke(Command(resume="yes"), thread())
        assert summary(saver) == "answered yes"


def test_a_serializer_that_encrypts_keeps_it_from_the_store(url: Path) -> None:
    with PerdureSaver(url, serde=EncryptedSerializer(Reversing())) as saver:
        say(saver, thread(), HumanMessage("swordfish"))
        assert summary(saver) is None


def test_it_goes_with_a_run_that_is_removed_for_good(url: Path) -> None:
    with PerdureSaver(url) as saver:
        first = {"configurable": thread()["configurable"] | {"run_id": "a"}}
        kept = say(saver, first, HumanMessage("hi"))
        gone = {"configurable": kept["configurable"] | {"run_id": "b"}}
        say(saver, gone, HumanMessage("hi"), HumanMessage("swordfish"))
        assert summary(saver) == "swordfish"
        saver.delete_for_runs(["b"])
        assert summary(saver) is None
        found = saver.get_tuple(thread())
        assert found is not None
        say(saver, found.config, HumanMessage("hi"))
        assert summary(saver) == "hi"


def test_it_follows_what_is_said_also_in_place_and_comes_back_after_a_removal(url: Path) -> None:
    with PerdureSaver(url) as saver:
        asked, config = HumanMessage(["one"]), thread()
        config = say(saver, config, asked)
        asked.content.append("two")  # type: ignore[union-attr]  # a list
        config = say(saver, config, asked)
        assert summary(saver) == "one two"
        asked.content = text = "three"
        config = say(saver, config, asked)
        assert summary(saver) == "three"
        gone = {"configurable": config["configurable"] | {"run_id": "b"}}
        say(saver, gone, asked)
        saver.delete_for_runs(["b"])
        assert summary(saver) is None
        found = saver.get_tuple(thread())
        assert found is not None
        say(saver, found.config, HumanMessage(text))
        assert summary(saver) == "three"


def told(messages: list[Any]) -> str:
    return text_of(said_last({"messages": messages}), SUMMARY_CHARS)


def test_what_it_is_of_messages_of_every_kind() -> None:
    parts: Any = ["one", {"type": "text", "text": "two"}, {"type": "image", "url": "x"}]
    asked, answer = HumanMessage(parts), AIMessage("answer")
    assert told([asked, answer]) == "one two"
    assert told([HumanMessage("a" * 500)]) == "a" * (SUMMARY_CHARS - 1) + "…"
    assert told([HumanMessage("cut \ud83d")]) == "cut ?"
    held: list[Any] = [[], "hi", [answer]]
    for nothing in ({}, *({"messages": each} for each in held)):
        assert said_last(nothing) is None
    assert told([asked, *[answer] * (LOOKED_AT_MAX - 1)]) == "one two"
    assert said_last({"messages": [asked, *[answer] * LOOKED_AT_MAX]}) is None
