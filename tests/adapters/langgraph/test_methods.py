"""Every method of LangGraph's interfaces is there, awaited too; what a growing channel costs."""

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_two_workers import put

from perdure.adapters.langgraph import PerdureSaver, PerdureStore
from perdure.errors import StoreClosed

INHERITED = {"get", "aget", "config_specs"}
"""What LangGraph makes of the others."""


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_method_of_a_saver_is_its_own_and_awaited_ones_take_the_same() -> None:
    base: Any = BaseCheckpointSaver
    theirs = {name for name in public(base) if callable(getattr(base, name))}
    for name in theirs - INHERITED:
        assert getattr(PerdureSaver, name) is not getattr(base, name), name
    pairs = {name for name in theirs if f"a{name}" in theirs}
    assert {"get_tuple", "list", "put", "put_writes", "delete_thread", "delete_for_runs"} <= pairs
    assert {"copy_thread", "prune", "get_delta_channel_history"} <= pairs
    for name in pairs:
        sync, awaited = (
            inspect.signature(getattr(PerdureSaver, each)).parameters for each in (name, f"a{name}")
        )
        assert list(sync.values()) == list(awaited.values()), name


async def entered(*made: Any) -> None:
    for each in made:
        async with each as found:
            assert found is each and each.store.states() == []


def test_asyncio_closes_what_it_was_given_to_close(tmp_path: Path) -> None:
    """As it does LangGraph's own, that stand in the same places."""
    saver, memory = PerdureSaver(tmp_path / "a.db"), PerdureStore(tmp_path / "a.db")
    asyncio.run(entered(saver, memory))
    for each in (saver, memory):
        with pytest.raises(StoreClosed):
            each.store.states()


def test_versions_grow_and_no_two_branches_have_the_same() -> None:
    with PerdureSaver("memory:") as one, PerdureSaver("memory:") as other:
        first = one.get_next_version(None)
        later = [saver.get_next_version(first) for saver in (one, other) for _ in range(50)]
        assert len(set(later)) == 100 and min(later) > first
        assert {each.split(".")[0] for each in later} == {f"{2:032}"}
        assert one.get_next_version(later[0]) > max(later) and one.get_next_version(7) > first


@pytest.mark.parametrize("count", [300])
def test_a_growing_channel_takes_the_room_of_its_messages_on_disk_P11(
    count: int, tmp_path: Path
) -> None:
    url = tmp_path / "agents.db"
    said: list[Any] = []
    sizes: list[int] = []
    with PerdureSaver(url, durability="process") as saver:
        config: Any = thread()
        for number in range(count):
            kind = HumanMessage if number % 2 else AIMessage
            text = f"{number}: " + " ".join(str(number * each) for each in range(100))
            said = [*said, kind(text, id=f"m{number}")]
            config = put(saver, config, said)
            if number + 1 in (count // 2, count):
                saver.store.maintain()
                saver.store.compact()
                sizes.append(url.stat().st_size)
    raw = sum(len(each.content) for each in said)
    assert sizes[1] < 3 * raw  # whole channels, one a checkpoint, would be 150 times as much
    assert sizes[1] - sizes[0] < 2 * raw
