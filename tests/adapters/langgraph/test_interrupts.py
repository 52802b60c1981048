"""A thread that waits at an interrupt says so where any state does: brief, waiting, children."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from tests.adapters.langgraph import graphs
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_coding import Reversing
from tests.adapters.langgraph.test_two_workers import KEY, put

from perdure import errors
from perdure.adapters.langgraph import MERGING, PerdureSaver
from perdure.cli.app import app


@pytest.fixture
def saver(tmp_path: Path) -> Any:
    with PerdureSaver(tmp_path / "agents.db") as saver:
        yield saver


def said(text: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(text, id=text)]}


def run(saver: PerdureSaver, *args: str) -> str:
    result = CliRunner().invoke(app, ["--store", str(saver.store.url), *args])
    assert result.exit_code == 0, result.output
    return result.stdout


def asked(saver: PerdureSaver, key: str = KEY) -> list[Any]:
    return [each.payload for each in saver.store.waiting() if each.key == key]


MODES = ("sync", "async", "exit")


@pytest.mark.parametrize("mode", MODES)
def test_an_interrupt_is_told_until_it_is_answered(mode: Any, saver: PerdureSaver) -> None:
    graph = graphs.chat().compile(checkpointer=saver)
    graph.invoke(said("hi"), thread(), durability=mode)
    assert asked(saver) == []
    found = graph.invoke(said("ask"), thread(), durability=mode)["__interrupt__"]
    (question,) = saver.store.waiting()
    assert question.where == "its LangGraph thread"
    assert (question.id, question.payload) == (f"interrupt {found[0].id}", {"question": "go on?"})
    brief = run(saver, "brief", KEY)
    assert "## Waiting for an answer" in brief
    assert f"- interrupt {found[0].id}: {{'question': 'go on?'}} (asked 20" in brief
    assert "to be answered in its LangGraph thread)" in brief
    listed = run(saver, "waiting")
    assert "go on?" in listed and "(answered in its LangGraph thread)" in listed
    assert "perdure answer" not in listed
    with pytest.raises(errors.UsageError, match="in its LangGraph thread, not here"):
        saver.store.answer(KEY, question.id, "yes")
    graph.invoke(Command(resume="yes"), thread(), durability=mode)
    assert asked(saver) == [] and "Waiting" not in run(saver, "brief", KEY)


def test_the_same_awaited(saver: PerdureSaver) -> None:
    async def both() -> list[Any]:
        graph = graphs.chat().compile(checkpointer=saver)
        await graph.ainvoke(said("ask"), thread())
        before = asked(saver)
        await graph.ainvoke(Command(resume={saver_id(saver): "yes"}), thread())
        return [before, asked(saver)]

    assert asyncio.run(both()) == [[{"question": "go on?"}], []]


def saver_id(saver: PerdureSaver) -> str:
    return saver.store.waiting()[0].id.removeprefix("interrupt ")


def several() -> StateGraph[Any, Any, Any, Any]:
    """Three tasks at once, of which two ask, one of these twice."""

    def work(state: Any) -> dict[str, Any]:
        answers = [interrupt(f"{state['i']}: question {n}") for n in range(state["i"])]
        return {"count": [len(answers)]}

    graph: StateGraph[Any, Any, Any, Any] = StateGraph(graphs.Chat)
    graph.add_node("work", work)
    fan: Callable[[Any], list[Send]] = lambda state: [Send("work", {"i": i}) for i in range(3)]  # noqa: E731  # a node of one line
    graph.add_conditional_edges(START, fan, ["work"])
    graph.add_edge("work", END)
    return graph


def test_tasks_that_ask_at_once_and_one_after_the_other(saver: PerdureSaver) -> None:
    graph = several().compile(checkpointer=saver)
    graph.invoke({"count": []}, thread())
    assert sorted(asked(saver)) == ["1: question 0", "2: question 0"]
    ids = {each.payload: each.id.removeprefix("interrupt ") for each in saver.store.waiting()}
    graph.invoke(Command(resume={ids["2: question 0"]: "a"}), thread())
    assert sorted(asked(saver)) == ["1: question 0", "2: question 1"]
    graph.invoke(Command(resume={ids["1: question 0"]: "b"}), thread())
    assert asked(saver) == ["2: question 1"]
    assert graph.invoke(Command(resume="c"), thread())["count"] == [0, 1, 2]
    assert asked(saver) == []


def test_who_is_killed_after_the_answer_was_saved_waits_no_more(saver: PerdureSaver) -> None:
    graph = graphs.chat().compile(checkpointer=saver)
    graph.invoke(said("ask"), thread())
    found = saver.get_tuple(thread())
    assert found is not None
    no_task = "00000000-0000-0000-0000-000000000000"
    saver.put_writes(found.config, [("__resume__", "yes")], no_task)
    assert asked(saver) == []


def test_new_input_in_place_of_an_answer_and_an_update_end_the_waiting(saver: PerdureSaver) -> None:
    graph = graphs.chat().compile(checkpointer=saver)
    graph.invoke(said("ask"), thread())
    graph.update_state(thread(), said("changed"), as_node="ask")
    assert asked(saver) == []
    graph.invoke(said("ask again"), thread())
    assert asked(saver) == [{"question": "go on?"}]
    graph.invoke(said("never mind"), thread())
    assert asked(saver) == []


def test_a_fork_a_copy_and_a_merge_ask_what_they_wait_for(saver: PerdureSaver) -> None:
    graph = graphs.chat().compile(checkpointer=saver)
    graph.invoke(said("hi"), thread())
    first = next(iter(graph.get_state_history(thread()))).config
    graph.invoke(said("on"), thread())
    graph.invoke(said("ask"), first)  # a fork, which waits
    fork = next(each.name for each in saver.store.branches(KEY) if each.name != "main")
    assert asked(saver) == [] and "go on?" in run(saver, "brief", KEY, "--branch", fork)
    saver.copy_thread("alice", "bob")
    copied = next(each.name for each in saver.store.branches("threads/bob") if each.name != "main")
    assert "go on?" in run(saver, "brief", "threads/bob", "--branch", copied)
    assert asked(saver, "threads/bob") == []
    strategies = {**MERGING, "messages/**": "ours", "facts/**": "ours", "**": "ours"}
    saver.store.merge(KEY, fork, strategies=strategies)
    assert asked(saver) == [{"question": "go on?"}]  # the fork's, until the thread goes on
    put(saver, graph.get_state(thread()).config, 7)
    assert asked(saver) == []


def test_a_serializer_that_encrypts_keeps_what_is_asked_to_itself(tmp_path: Path) -> None:
    with PerdureSaver(tmp_path / "a.db", serde=EncryptedSerializer(Reversing())) as saver:
        graphs.chat().compile(checkpointer=saver).invoke(said("ask"), thread())
        (question,) = saver.store.waiting()
        assert question.payload is None
        assert f"- {question.id} (asked" in run(saver, "brief", KEY)


def test_a_parent_sees_that_a_thread_waits(saver: PerdureSaver) -> None:
    graphs.chat().compile(checkpointer=saver).invoke(said("ask"), thread())
    with saver.store.open("parent") as parent:
        with parent.child("graph", key=KEY):
            pass
        (child,) = parent.children.all()
        assert (child.status, child.questions) in (("waiting", 1), ("running", 1))


def test_the_questions_go_where_the_thread_goes(saver: PerdureSaver) -> None:
    graphs.chat().compile(checkpointer=saver).invoke(said("ask"), thread())
    saver.delete_thread("alice")
    assert saver.store.waiting() == []
