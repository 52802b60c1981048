"""Sections that are never written: they live in the session, and leave no trace (P13)."""

import asyncio
import dataclasses
import heapq
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
import pydantic
import pytest

import perdure
from perdure.errors import UsageError

MARKER = "a-word-that-is-written-nowhere"


@pytest.fixture(params=[False, True], ids=["plain", "check_edits"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    with perdure.Store(tmp_path / "agents.db", check_edits=request.param) as store:
        yield store


def test_it_is_never_written(store: perdure.Store, tmp_path: Path) -> None:
    with store.open("a", ephemeral=["scratch"]) as session:
        session.state["scratch"] = {"notes": [MARKER]}
        session.state["plan"] = 1
        assert [each.path for each in session.changes()] == [("plan",)]
        session.save()
        session.state["scratch"]["notes"].append(MARKER)
        assert session.changes() == []
        number = session.save().number
        assert number == 1
        assert session.state["scratch"] == {"notes": [MARKER, MARKER]}
    assert list(store.at("a", 1)) == ["plan"]
    file = io.BytesIO()
    store.export("a", file)
    for each in tmp_path.iterdir():
        assert MARKER.encode() not in each.read_bytes()
    assert MARKER.encode() not in file.getvalue()
    with store.open("a", ephemeral=["scratch"]) as session:
        assert list(session.state) == ["plan"]
    assert store.info("a").number == 1


def test_it_changes_no_hash(store: perdure.Store) -> None:
    for key, ephemeral in (("with", ["scratch"]), ("without", [])):
        with store.open(key, ephemeral=ephemeral) as session:
            if ephemeral:
                session.state["scratch"] = {"x": 1}
            session.state["plan"] = [1]
            session.save()
            if ephemeral:
                del session.state["scratch"]
            session.state["plan"].append(2)
    assert store.diff("with", 2, 2, other="without") == []
    both = [store.history(key, changes=True) for key in ("with", "without")]
    assert [each.changes for each in both[0]] == [each.changes for each in both[1]]


def test_a_session_with_nothing_else_saves_nothing(store: perdure.Store) -> None:
    with store.open("a", ephemeral=["scratch"]) as session:
        session.state["scratch"] = [1]
    assert store.states() == []


def test_rollback_and_refresh_leave_it(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["plan"] = 1
        session.save()
        session.state["plan"] = 2
    with store.open("a", ephemeral=["scratch"]) as session:
        session.state["scratch"] = scratch = {"x": 1}
        live = session.state["scratch"]
        store.rollback("a", 1)
        session.state["plan"] = 5
        session.refresh()
        assert session.state["plan"] == 1
        assert session.state["scratch"] == scratch
        with store.open("a") as other:
            other.state["scratch"] = "another's"
            other.state["plan"] = 7
        session.refresh()
        assert session.state["plan"] == 7
        assert session.state["scratch"] is live
        live["y"] = 2
        session.state["plan"] = 8
    with store.open("a") as session:
        assert dict(session.state) == {"plan": 8, "scratch": "another's"}


def test_edits_of_it_are_no_conflict(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["plan"] = 1
    with store.open("a", ephemeral=["scratch"]) as session:
        session.state["scratch"] = [1]
        with store.open("a") as other:
            other.state["scratch"] = [2]
            other.state["plan"] = 2
        session.refresh(keep_changes=True)
        assert session.state["plan"] == 2
        assert session.state["scratch"] == [1]
        session.state["mine"] = 3
    assert store.at("a", "main")["scratch"] == [2]


def test_a_session_that_merges_keeps_it(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["plan"] = {}
    with store.open("a", ephemeral=["scratch"], on_conflict="merge") as session:
        session.state["scratch"] = {"x": 1}
        with store.open("a") as other:
            other.state["plan"]["theirs"] = 1
            other.state["scratch"] = {"x": 2}
        session.state["plan"]["ours"] = 1
        session.save()
        assert session.state["plan"] == {"theirs": 1, "ours": 1}
        assert session.state["scratch"] == {"x": 1}
    assert store.at("a", "main")["scratch"] == {"x": 2}


def test_what_is_stored_under_the_name_is_not_shown_and_stays(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["scratch"] = [1, 2, 3]
        session.state["plan"] = 1
    with store.open("a", ephemeral=["scratch"]) as session:
        assert list(session.state) == ["plan"]
        session.state["scratch"] = "mine"
        session.state["plan"] = 2
    assert store.at("a", "main")["scratch"] == [1, 2, 3]


def test_a_block_undoes_it_too(store: perdure.Store) -> None:
    with store.open("a", ephemeral=["scratch"]) as session:
        session.state["scratch"] = [1]
        with pytest.raises(ZeroDivisionError), session.atomic():
            session.state["scratch"].append(2)
            raise ZeroDivisionError
        assert session.state["scratch"] == [1]


def test_code_that_bypasses_the_containers_may_edit_it(store: perdure.Store) -> None:
    with store.open("a", ephemeral=["queue"]) as session:
        session.state["queue"] = []
        session.state["plan"] = 1
        session.save()
        heapq.heappush(session.state["queue"], 3)
        session.state["plan"] = 2
        session.save()
        assert session.changes() == []
    assert store.info("a").number == 2


@dataclasses.dataclass
class Plain:
    plan: int = 0
    scratch: Annotated[dict[str, Any], perdure.ephemeral] = dataclasses.field(default_factory=dict)


class Struct(msgspec.Struct):
    plan: int = 0
    scratch: Annotated[dict[str, Any], perdure.ephemeral] = msgspec.field(default_factory=dict)


class Checked(pydantic.BaseModel):
    plan: int = 0
    scratch: Annotated[dict[str, Any], perdure.ephemeral] = pydantic.Field(default_factory=dict)


@pytest.mark.parametrize("schema", [Plain, Struct, Checked])
def test_a_schema_says_it(store: perdure.Store, schema: Any) -> None:
    with store.open("a", schema=schema) as session:
        session.state.plan = 1
        session.state.scratch["x"] = MARKER
        session.save()
        assert session.state.scratch == {"x": MARKER}
    assert "scratch" not in store.at("a", "main")
    with store.open("a", schema=schema) as session:
        assert session.state.scratch == {}


class Typed(TypedDict):
    plan: int
    scratch: NotRequired[Annotated[list[int], perdure.ephemeral]]


def test_a_typed_dict_says_it(store: perdure.Store) -> None:
    with store.open("a", schema=Typed) as session:
        session.state["plan"] = 1
        session.state["scratch"] = [1]
    assert "scratch" not in store.at("a", "main")


@dataclasses.dataclass
class Needs:
    scratch: Annotated[list[int], perdure.ephemeral]


def test_a_schema_gives_it_a_default(store: perdure.Store) -> None:
    with pytest.raises(UsageError, match=r"Needs\.scratch.*give it a default"):
        store.open("a", schema=Needs)


@perdure.schema("research", version=1)
@dataclasses.dataclass
class Older:
    plan: int = 0
    scratch: Annotated[dict[str, Any], perdure.ephemeral] = dataclasses.field(default_factory=dict)


@perdure.schema("research", version=2)
@dataclasses.dataclass
class Newer:
    goal: int = 0


perdure.migration(Newer, 1, 2, [perdure.lenses.rename("plan", "goal")])


def test_old_code_has_it_too(store: perdure.Store) -> None:
    with store.open("a", schema=Newer) as session:
        session.state.goal = 1
    with store.open("a", schema=Older) as session:
        assert session.state.plan == 1
        session.state.scratch["x"] = 1
        session.state.plan = 2
        session.save()
        with store.open("a", schema=Newer) as other:
            other.state.goal = 3
        session.refresh()
        assert session.state.plan == 3
        assert session.state.scratch == {"x": 1}
    assert {name for name in store.at("a", "main") if "." not in name} == {"goal"}


def test_old_code_does_not_see_what_newer_code_keeps_in_its_place(store: perdure.Store) -> None:
    with store.open("a", schema=Newer) as session:
        session.state.goal = 1
    with store.open("a", schema=Older, ephemeral=["plan"]) as session:
        assert list(session.raw) == ["perdure.schema"]
        session.state.plan = 7
        session.refresh()
        assert session.state.plan == 7
    assert store.at("a", "main")["goal"] == 1


@pytest.mark.parametrize("names", ["scratch", [""], [7], ["perdure.tasks"], 7])
def test_names_that_are_none(store: perdure.Store, names: Any) -> None:
    with pytest.raises(UsageError):
        store.open("a", ephemeral=names)


def test_the_async_twin() -> None:
    async def work() -> None:
        async with perdure.AsyncStore("memory:") as store:
            async with store.open("a", ephemeral=["scratch"]) as session:
                session.state["scratch"] = [1]
                session.state["plan"] = 1
                await session.save()
                await session.refresh()
                assert session.state["scratch"] == [1]
            assert list(await store.at("a", "main")) == ["plan"]

    asyncio.run(work())
