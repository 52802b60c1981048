"""An edit past LangGraph may have a label and metadata of its own: it is no checkpoint by them."""

from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from tests.adapters.langgraph import graphs
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_two_workers import KEY, put, values
from tests.adapters.langgraph.test_unread_edits import answer, graph_of

from perdure.adapters.langgraph import PerdureSaver

NOTES: list[tuple[str | None, dict[str, Any] | None]] = [
    ("released", None),
    (None, {"why": "a typo"}),
    ("released", {"why": "a typo"}),
]


@pytest.mark.parametrize(("label", "metadata"), NOTES)
def test_a_graph_goes_on_after_an_edit_that_says_why(
    label: str | None, metadata: dict[str, Any] | None
) -> None:
    with PerdureSaver("memory:") as saver:
        graph = graph_of(saver, answer)
        graph.invoke({"said": ["hi"], "city": "Oslo"}, thread())
        before = [each.config for each in graph.get_state_history(thread())]
        told = saver.get_tuple(thread())
        with saver.store.open(KEY) as session:
            session.state["city"] = "Rome"
            session.save(label, metadata)
        for one in (saver, PerdureSaver(saver.store)):
            found = one.get_tuple(thread())
            assert found is not None and told is not None and found.metadata == told.metadata
            graph = graph_of(one, answer)
            history = list(graph.get_state_history(thread()))
            assert len(history) == len(before)
            assert history[0].values["city"] == graph.get_state(thread()).values["city"] == "Rome"
        assert graph.invoke({"said": ["on"]}, thread())["city"] == "Rome"
        assert len(list(saver.list(thread()))) == len(before) + 3


@pytest.mark.parametrize(("label", "metadata"), NOTES)
def test_the_newest_is_on_the_branch_with_the_greatest_id_whatever_an_edit_is_called(
    label: str | None, metadata: dict[str, Any] | None
) -> None:
    with PerdureSaver("memory:") as saver:
        first = put(saver, thread(), 1)
        put(saver, first, 2)
        put(saver, first, 3)
        with saver.store.open(KEY) as session:
            session.state["x"] = 4
            session.save(label and f"z {label}", metadata)
        assert values(saver) == values(PerdureSaver(saver.store)) == {"x": 3}


def test_delta_channels_are_rebuilt_below_an_edit_that_says_why() -> None:
    with PerdureSaver("memory:") as saver:
        graph = graphs.deltas().compile(checkpointer=saver)
        graph.invoke({"log": ["one"]}, thread())
        on = graph.invoke({"log": ["two"]}, thread())
        with saver.store.open(KEY) as session:
            session.state["notes"] = "mine"
            session.save("released", {"why": "a typo"})
        graph = graphs.deltas().compile(checkpointer=PerdureSaver(saver.store))
        assert graph.get_state(thread()).values["log"] == on["log"]
        on = graph.invoke({"log": ["three"]}, thread())
        assert graph.get_state(thread()).values["log"] == on["log"]


OTHERS: list[Any] = [{"$ref": "#/x"}, [{"$message": "x"}], {"a": {"$object": 1}}, {"$pairs": 3}]


@pytest.mark.parametrize("value", OTHERS)
def test_a_section_of_ones_own_may_hold_what_would_be_an_object_in_a_channel(value: Any) -> None:
    with PerdureSaver("memory:") as saver:
        graph = graph_of(saver, answer)
        graph.invoke({"said": ["hi"]}, thread())
        with saver.store.open(KEY) as session:
            session.state["schema"] = value
        for one in (saver, PerdureSaver(saver.store)):
            graph_of(one, answer).invoke({"said": ["on"]}, thread())
            assert one.store.at(KEY, "main").plain()["schema"] == value
        assert len(list(graph.get_state_history(thread()))) == 9


def test_a_copied_checkpoint_makes_no_channel_of_a_section_of_ones_own() -> None:
    """It was read beside the channels, and comes back with them."""
    with PerdureSaver("memory:") as saver:
        graph = graph_of(saver, answer)
        graph.invoke({"said": ["hi"]}, thread())
        with saver.store.open(KEY) as session:
            session.state["notes"] = "mine"
        graph.invoke({"said": ["on"]}, thread())
        graph.update_state(thread(), None, as_node="__copy__")
        for text in ("and", "on"):
            graph.invoke({"said": [text]}, thread())
            fork = saver.store.branches(KEY)[-1].name
            assert fork != "main" and saver.store.at(KEY, fork)["notes"] == "mine"


def test_who_puts_back_what_was_read_beside_the_channels_is_no_stranger_to_it() -> None:
    """By a config that a put returned, which does not say what was read."""
    with PerdureSaver("memory:") as saver:
        with saver.store.open(KEY) as session:
            session.state["notes"] = "mine"
        config = put(saver, thread(), 1)
        for number in range(2, 4):
            config = put(saver, config, number)
            found = values(saver)
            assert found == {"x": number, "notes": "mine"}
            checkpoint: Any = {**empty_checkpoint(), "id": str(uuid6()), "channel_values": found}
            checkpoint["channel_versions"] = {"x": number}
            config = saver.put(config, checkpoint, {}, {})
        assert saver.store.at(KEY, "main")["notes"] == "mine"
