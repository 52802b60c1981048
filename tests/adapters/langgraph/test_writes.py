"""Writes of tasks are found beside their checkpoint, in whatever order they and it arrive."""

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.types import INTERRUPT
from tests.adapters.langgraph.graphs import thread

from perdure.adapters.langgraph import PerdureSaver

CHANNELS = ["x"]


def at(id_: str) -> Any:
    return thread("alice", id_)


def put(saver: BaseCheckpointSaver[Any], parent: str | None, id_: str) -> None:
    checkpoint = {**empty_checkpoint(), "id": id_}
    config = at(parent) if parent else thread()
    saver.put(config, checkpoint, {"source": "loop"}, {})  # type: ignore[arg-type]  # made in steps


def steps(ids: list[str]) -> list[Any]:
    one, two, three = ids
    return [
        lambda saver: put(saver, one, two),
        lambda saver: put(saver, two, three),
        lambda saver: saver.put_writes(at(one), [("x", "1b")], "b", "~2"),
        lambda saver: saver.put_writes(at(one), [("x", "1a"), (INTERRUPT, 0)], "a", "~9"),
        lambda saver: saver.put_writes(at(two), [("x", "2")], "a"),
        lambda saver: saver.put_writes(at(three), [("x", "3")], "a"),
    ]


ORDERS = [each for each in permutations(range(6)) if each.index(0) < each.index(1)]


def found(saver: BaseCheckpointSaver[Any], ids: list[str]) -> list[Any]:
    return [tuple_ and tuple_.pending_writes for tuple_ in map(saver.get_tuple, map(at, ids))]


@pytest.mark.parametrize("part", range(4))
def test_any_order_of_puts_and_writes(part: int, tmp_path: Path) -> None:
    for number, order in enumerate(ORDERS[part::12]):
        ids = [str(uuid6(clock_seq=step)) for step in range(3)]
        memory = InMemorySaver()
        with PerdureSaver(tmp_path / f"{part}-{number}.db") as saver:
            for each in (memory, saver):
                put(each, None, ids[0])
                for step in order:
                    steps(ids)[step](each)
                steps(ids)[3](each)  # once more: the interrupt is replaced, the other is not
            assert found(saver, ids) == found(memory, ids)
            for id_ in ids:
                asked: dict[str, Any] = {"config": at(id_), "channels": CHANNELS}
                by_walk = BaseCheckpointSaver.get_delta_channel_history(saver, **asked)
                assert saver.get_delta_channel_history(**asked) == by_walk
        with PerdureSaver(tmp_path / f"{part}-{number}.db") as saver:
            assert found(saver, ids) == found(memory, ids)


def test_writes_for_a_checkpoint_long_past_stay_beside_it(tmp_path: Path) -> None:
    ids = [str(uuid6(clock_seq=step)) for step in range(8)]
    with PerdureSaver(tmp_path / "agents.db") as saver:
        for parent, id_ in zip([None, *ids], ids):
            put(saver, parent, id_)
        saver.put_writes(at(ids[1]), [("x", "late")], "task")
        put(saver, ids[-1], str(uuid6(clock_seq=9)))
        assert [len(each) for each in found(saver, ids)] == [0, 1, 0, 0, 0, 0, 0, 0]
        state = saver.store.at("threads/alice", "main")
        assert list(state["langgraph.late"]) == [ids[1]]
