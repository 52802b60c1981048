"""Graphs go on after a merge with the channels of both branches, whichever had them first."""

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from tests.adapters.langgraph import graphs
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_merged_forks import id_of
from tests.adapters.langgraph.test_two_workers import KEY

from perdure.adapters.langgraph import MERGING, PerdureSaver


class Trip(TypedDict):
    said: Annotated[list[str], operator.add]
    city: str
    price: int


def planner(saver: PerdureSaver) -> Any:
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Trip)
    graph.add_node("plan", lambda state: {"said": [f"{len(state['said'])} said"]})
    graph.add_edge(START, "plan")
    graph.add_edge("plan", END)
    return graph.compile(checkpointer=saver)


def fork_of(saver: PerdureSaver) -> str:
    return next(each.name for each in saver.store.branches(KEY) if each.name != "main")


@pytest.mark.parametrize("is_other", [False, True])
def test_a_graph_goes_on_with_a_channel_that_only_the_fork_had(
    is_other: bool, tmp_path: Path
) -> None:
    with PerdureSaver(tmp_path / "a.db") as one, PerdureSaver(tmp_path / "a.db") as two:
        graph = planner(one)
        graph.invoke({"said": ["hi"]}, thread())
        root = graph.get_state(thread()).config
        main = graph.update_state(thread(), {"city": "Oslo"}, as_node="plan")
        fork = graph.update_state(root, {"price": 7}, as_node="plan")
        assert graph.get_state(thread()).values == {"said": ["hi", "1 said"], "price": 7}
        one.store.merge(KEY, fork_of(one), strategies=MERGING)
        graph = planner(two if is_other else one)
        both = {"said": ["hi", "1 said"], "city": "Oslo", "price": 7}
        state = graph.get_state(thread())
        assert state.values == both and state.next == ()
        assert id_of(state.parent_config) == id_of(root)
        on = graph.invoke({"said": ["on"]}, thread())
        assert on == {**both, "said": ["hi", "1 said", "on", "3 said"]}
        graph.update_state(thread(), {"city": "Rome"}, as_node="plan")
        assert graph.get_state(thread()).values == {**on, "city": "Rome"}
        assert [each.name for each in one.store.branches(KEY)] == ["main", fork_of(one)]
        ids = [
            each.config["configurable"]["checkpoint_id"]
            for each in graph.get_state_history(thread())
        ]
        assert ids == sorted(ids, reverse=True) and len(set(ids)) == len(ids) == 9
        assert graph.get_state(main).values == both
        assert graph.get_state(fork).values == {"said": ["hi", "1 said"], "price": 7}


def test_delta_channels_are_rebuilt_across_a_merge() -> None:
    """A merge keeps those of the thread itself."""
    with PerdureSaver("memory:") as saver:
        graph = graphs.deltas().compile(checkpointer=saver)
        graph.invoke({"log": ["one"]}, thread())
        root = graph.get_state(thread()).config
        main = graph.invoke({"log": ["main"]}, thread())
        graph.invoke({"log": ["fork"]}, root)
        saver.store.merge(KEY, fork_of(saver), strategies={**MERGING, "size/**": "ours"})
        assert graph.get_state(thread()).values["log"] == main["log"]
        on = graph.invoke({"log": ["on"]}, thread())
        assert on["log"][: len(main["log"]) + 1] == [*main["log"], "on"]
        for each in [*saver.list(thread())]:
            asked: dict[str, Any] = {"config": each.config, "channels": ["log", "other"]}
            by_walk = BaseCheckpointSaver.get_delta_channel_history(saver, **asked)
            assert saver.get_delta_channel_history(**asked) == by_walk
        named = graph.get_state(thread()).config
        by_id, newest = (
            saver.get_delta_channel_history(config=each, channels=["log", "other"])
            for each in (named, thread())
        )
        assert by_id == newest
