"""A run that did not see what was edited or merged meanwhile overwrites none of it (P3)."""

import operator
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_two_workers import KEY

from perdure import errors
from perdure.adapters.langgraph import MERGING, PerdureSaver


class Trip(TypedDict):
    said: Annotated[list[str], operator.add]
    city: str
    facts: dict[str, Any]


@pytest.fixture
def saver() -> Iterator[PerdureSaver]:
    with PerdureSaver("memory:") as saver:
        yield saver


def graph_of(saver: PerdureSaver, *nodes: Callable[[Any], Any]) -> Any:
    """One node after the other."""
    graph: Any = StateGraph(Trip)
    before = START
    for number, node in enumerate(nodes):
        graph.add_node(f"node-{number}", node)
        graph.add_edge(before, f"node-{number}")
        before = f"node-{number}"
    return graph.compile(checkpointer=saver)


def answer(state: Any) -> Any:
    return {"said": [f"{len(state['said'])} said"]}


def learn(state: Any) -> Any:
    return {"facts": {**(state.get("facts") or {}), "learned": 1}}


def edit(saver: PerdureSaver, **sections: Any) -> None:
    with saver.store.open(KEY) as session:
        for name, value in sections.items():
            session.state[name] = value


def stored(saver: PerdureSaver, branch: str = "main") -> dict[str, Any]:
    return saver.store.at(KEY, branch).plain()


def test_a_channel_that_got_its_first_value_by_an_edit_is_not_put_over_by_who_did_not_see_it_P3(
    saver: PerdureSaver,
) -> None:
    """Also where a checkpoint without that channel was put in between."""
    graph_of(saver, answer).invoke({"said": ["hi"]}, thread())

    def edited(state: Any) -> Any:
        edit(saver, facts={"edited": 1})
        return answer(state)

    with pytest.raises(errors.Conflict, match=r"facts .* was edited"):
        graph_of(saver, edited, learn).invoke({"said": ["on"]}, thread(), durability="sync")
    assert stored(saver)["facts"] == {"edited": 1}
    found = graph_of(saver, answer, learn).invoke({"said": ["again"]}, thread())
    assert found["facts"] == stored(saver)["facts"] == {"edited": 1, "learned": 1}


def test_a_channel_that_only_a_merge_brought_is_not_removed_by_who_did_not_see_it_P3(
    saver: PerdureSaver,
) -> None:
    graph = graph_of(saver, answer)
    graph.invoke({"said": ["hi"]}, thread())
    root = graph.get_state(thread()).config
    main = graph.update_state(root, {"city": "Oslo"}, as_node="node-0")
    graph.update_state(root, {"facts": {"fork": 1}}, as_node="node-0")
    fork = next(each.name for each in saver.store.branches(KEY) if each.name != "main")

    def merged(state: Any) -> Any:
        saver.store.merge(KEY, fork, strategies=MERGING)
        return answer(state)

    with pytest.raises(errors.Conflict, match=r"facts .* was merged"):
        graph_of(saver, merged).invoke({"said": ["on"]}, main, durability="sync")
    found = graph_of(saver, answer).invoke({"said": ["on"]}, thread())
    assert (found["city"], found["facts"]) == ("Oslo", {"fork": 1})
    assert stored(saver)["facts"] == {"fork": 1}


def test_a_fork_from_where_an_edit_was_not_seen_is_told_too_P3(saver: PerdureSaver) -> None:
    """Else it would be the newest, and without the edit."""
    graph = graph_of(saver, answer)
    graph.invoke({"said": ["hi"], "city": "Oslo"}, thread())
    root = graph.get_state(thread()).config

    def overtaken(state: Any) -> Any:
        edit(saver, city="Rome")
        graph.invoke({"said": ["main"]}, thread())
        return {"city": "Bergen"}

    with pytest.raises(errors.Conflict, match=r"city .* was edited"):
        graph_of(saver, overtaken).invoke({"said": ["on"]}, root, durability="exit")
    assert [each.name for each in saver.store.branches(KEY)] == ["main"]
    assert graph.get_state(thread()).values["city"] == "Rome"
    found = graph_of(saver, lambda state: {"city": f"not {state['city']}"}).invoke(
        {"said": ["on"]}, root, durability="exit"
    )
    assert found["city"] == "not Rome"
    graph.update_state(thread(), None, as_node="__copy__")
