"""A put writes what is new in it, and whatever a node changed in place is kept too."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Interrupt
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_coding import Reversing
from tests.adapters.langgraph.test_two_workers import KEY, put, values

from perdure.adapters.langgraph import PerdureSaver
from perdure.adapters.langgraph.tip import Edits

COUNT = 300


def said(count: int) -> list[Any]:
    return [
        AIMessage(f"text {i}", id=f"m{i}", additional_kwargs={"n": {"i": i}})
        if i % 2
        else HumanMessage(f"text {i}", id=f"m{i}")
        for i in range(count)
    ]


def written(saver: PerdureSaver) -> list[Any]:
    """The changes of the newest record to the channel."""
    (newest,) = saver.store.history(KEY, limit=1, changes=True)
    return [each for each in newest.changes or () if each.path[0] == "x"]


def again(saver: PerdureSaver, value: Any) -> list[Any]:
    config = saver.get_tuple(thread()).config  # type: ignore[union-attr]  # it is there
    put(saver, config, value)
    assert values(saver) == {"x": value}
    return written(saver)


@pytest.fixture(params=["content", "full"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with PerdureSaver(tmp_path / "agents.db", edits=request.param) as saver:
        yield saver


def test_a_growing_list_costs_its_new_items_whoever_read_it(saver: PerdureSaver) -> None:
    value = said(COUNT)
    config = put(saver, thread(), value)
    value = [*value, HumanMessage("new", id="new")]
    put(saver, config, value)
    (splice,) = written(saver)
    assert (splice.start, splice.removed, len(splice.items)) == (COUNT, 0, 1)
    for _ in range(2):  # what get_tuple gave out comes back, as a graph does it
        found = saver.get_tuple(thread())
        assert found is not None
        value = [*found.checkpoint["channel_values"]["x"], AIMessage("on")]
        put(saver, found.config, value)
        (splice,) = written(saver)
        assert (splice.removed, len(splice.items)) == (0, 1)
    copies = [each.model_copy(deep=True) for each in value]  # none of them was ever seen
    (splice,) = again(saver, [*copies, AIMessage("last")])
    assert (splice.removed, len(splice.items)) == (0, 1)


def test_messages_edited_in_place_are_kept_also_where_the_channel_has_no_new_version(
    saver: PerdureSaver,
) -> None:
    value = said(COUNT)
    value[12] = HumanMessage("x", mine=[1])  # a field that the class does not name
    value[20:24] = [{"plain": 1, "more": [1]}, {"plain": 1, "more": [1]}, [[1]], {1}]
    config = put(saver, thread(), value)
    value[10].content = "edited"
    value[11].additional_kwargs["n"]["i"] = "deep"
    value[12].mine.append(2)
    value[20]["more"].append(2)
    value[21]["renamed"] = value[21].pop("plain")
    value[22][0].append(2)
    value[23].add(2)
    checkpoint = {**saver.get_tuple(config).checkpoint, "id": "2"}  # type: ignore[union-attr]  # it is there
    checkpoint["channel_values"] = {"x": value}
    saver.put(config, checkpoint, {}, {})  # type: ignore[arg-type]  # a TypedDict made in steps
    assert values(saver)["x"][10].content == "edited"
    assert list(values(saver)["x"][21]) == ["more", "renamed"]
    assert values(saver) == {"x": value}
    assert sum(len(str(each)) for each in written(saver)) < 1000


@pytest.mark.parametrize(
    "edit",
    [
        lambda items: items[:5] + items[6:],
        lambda items: [*items[:5], HumanMessage("in between"), *items[5:]],
        lambda items: items[:-3],
        lambda items: items[3:],
        lambda items: [*items[:7], items[7].model_copy(update={"content": "new"}), *items[8:]],
        lambda items: [],
        lambda items: items[::-1],
    ],
    ids=["less", "between", "no-end", "no-start", "replaced", "none", "reversed"],
)
def test_removed_inserted_and_replaced_messages(saver: PerdureSaver, edit: Any) -> None:
    value = said(20)
    config = put(saver, thread(), value)
    value[1].content = "and edited"
    changed = edit(value)
    value[15].content = "as well, and it may be at another position now"
    put(saver, config, changed)
    assert values(saver) == {"x": changed}
    again(saver, [*changed, HumanMessage("on")])


@pytest.mark.parametrize("serde", [None, EncryptedSerializer(Reversing())])
@pytest.mark.parametrize("item", [{"a": 1}, HumanMessage("x"), "text"])
def test_an_item_that_takes_the_place_of_its_list(item: Any, serde: Any, tmp_path: Path) -> None:
    with PerdureSaver(tmp_path / "agents.db", serde=serde) as saver:
        config: Any = thread()
        for value in ([item, 1], item, [item], item):
            config = put(saver, config, value)
            assert values(saver) == {"x": value}


def test_values_that_are_equal_and_read_otherwise(saver: PerdureSaver) -> None:
    config: Any = thread()
    berlin = datetime(2026, 11, 27, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    for value in (Decimal("1.0"), Decimal("1.00"), {1}, {True}, berlin, berlin.astimezone(UTC)):
        config = put(saver, config, value)
        assert repr(values(saver)["x"]) == repr(value)
        config = put(saver, config, value)
        assert written(saver) == []


def test_values_of_other_kinds(saver: PerdureSaver) -> None:
    big: dict[str, Any] = {str(i): {"text": "x" * 50, "n": i} for i in range(200)}
    put(saver, thread(), big)
    big["7"]["n"] = -1
    (change,) = again(saver, big)
    assert change.path == ("x", "7", "n")
    assert again(saver, {**big, "new": {"a": (1,)}})[0].path == ("x", "new")
    assert again(saver, dict(reversed(big.items()))) != []
    changes = []
    for value in ("text", 1, True, 1.0, None, [], {}, [1, [2]], {"a": 1}, {"a": 1}):
        changes = again(saver, value)
        assert len(changes) <= 1
    assert changes == []


@pytest.mark.parametrize(("edits", "expected"), [("identity", 1), ("content", 1), ("full", True)])
def test_what_each_way_of_looking_finds(edits: Edits, expected: Any, tmp_path: Path) -> None:
    with PerdureSaver(tmp_path / "agents.db", edits=edits) as saver:
        value: list[Any] = [{"n": 1, "text": "a"}, {"n": 2}]
        config = put(saver, thread(), value)
        value[0]["n"] = True  # equal to what was there
        value[1]["n"] = 3
        put(saver, config, [*value, {}])
        found = values(saver)["x"]
        assert found[0]["n"] is expected or found[0]["n"] == expected is not True
        assert found[1]["n"] == (2 if edits == "identity" else 3)


class Failing(JsonPlusSerializer):
    """Fails otherwise than serializers do."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        raise ValueError("odd")


def test_a_put_that_failed_takes_no_question_back(tmp_path: Path) -> None:
    with PerdureSaver(tmp_path / "agents.db", serde=Failing()) as saver:
        config = put(saver, thread(), 1)
        saver.put_writes(config, [("__interrupt__", [Interrupt("why", id="i")])], "one")
        with pytest.raises(ValueError, match="odd"):
            put(saver, config, object())
        saver.put_writes(config, [("x", 1)], "other")
        assert [each.payload for each in saver.store.waiting()] == ["why"]


def test_a_put_that_failed_half_way_leaves_nothing_and_the_next_is_whole(tmp_path: Path) -> None:
    with PerdureSaver(tmp_path / "agents.db", serde=Failing()) as saver:
        value = said(5)
        config = put(saver, thread(), value)
        value[2].content = "edited"
        checkpoint: Any = {**empty_checkpoint(), "id": "x"}
        checkpoint["channel_values"] = {"x": value, "y": object()}
        with pytest.raises(ValueError, match="odd"):
            saver.put(config, checkpoint, {}, {"y": 1})
        put(saver, config, value)
        assert values(saver) == {"x": value}
        assert [each.metadata["step"] for each in saver.list(thread())] == [0, 0]
