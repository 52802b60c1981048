"""Children: linked before they can save, on every branch, and opened again by their names."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.unit.agent.family import KEY, linked

from perdure import AsyncStore, Session, Store
from perdure.agent import Child
from perdure.errors import (
    Conflict,
    SaveInsideAtomic,
    StateNotFound,
    UsageError,
)

# ---- linking ------------------------------------------------------------------------------------


def test_a_child_is_a_state_of_its_own_and_is_opened_again_by_its_name(store: Store) -> None:
    linked(store)
    with store.open("lead") as lead, lead.child("researcher") as child:
        assert (child.key, child.state["notes"].plain()) == (KEY, ["one"])
        assert child.resumed is not None
    assert [each.key for each in store.states()] == ["lead", KEY]
    assert list(store.at("lead", "main")) == ["perdure.children"]


def test_the_link_is_durable_before_the_child_can_save(store: Store) -> None:
    lead = store.open("lead")
    lead.state["plan"] = "research"
    child = lead.child("researcher")
    link = store.at("lead", "main")["perdure.children"]["researcher"]
    assert (link["key"], link["branch"]) == (KEY, "main")
    assert store.at("lead", "main")["plan"] == "research"
    assert [each.key for each in store.states()] == ["lead"]
    child.close()
    lead.close()


def test_a_child_that_cannot_be_linked_is_not_handed_out(store: Store) -> None:
    lead = store.open("lead")
    lead.state["x"] = 1
    lead.save()
    with store.open("lead") as other:
        other.state["y"] = 2
    with pytest.raises(Conflict):
        lead.child("researcher")
    with pytest.raises(Conflict):
        lead.close()
    assert [each.key for each in store.states()] == ["lead"]


def test_a_link_whose_save_failed_is_saved_when_it_is_tried_again(store: Store) -> None:
    lead = store.open("lead", on_error="save")
    lead.state["x"] = 1
    lead.save()
    with store.open("lead") as other:
        other.state["y"] = 2
    for _ in range(2):
        with pytest.raises(Conflict):
            lead.child("researcher")
    lead.refresh(keep_changes=True)
    lead.child("researcher").close()
    assert "researcher" in store.at("lead", "main")["perdure.children"]
    lead.close()


def test_a_child_that_cannot_be_opened_is_not_linked(store: Store) -> None:
    with store.open("lead") as lead:
        with pytest.raises(StateNotFound):
            lead.child("researcher", branch="nope")
        with lead.atomic(), pytest.raises(SaveInsideAtomic):
            lead.child("researcher")
        assert lead.children.all() == []
    assert store.states() == []


def test_one_that_is_linked_costs_no_save(store: Store) -> None:
    linked(store)
    with store.open("lead") as lead:
        before = lead.checkpoint
        for _ in range(3):
            lead.child("researcher").close()
        assert lead.checkpoint == before


def test_keys_of_children_are_no_other_childs() -> None:
    store = Store("memory:")
    names = ("a", "a/b", "a%2Fb", "perdure.child", "@a", "a@b")
    parents = ("p", "p/perdure.child", "p/perdure.child/a", "p/perdure.child@a")
    keys = []
    for parent in parents:
        with store.open(parent) as session:
            session.state["x"] = 1
        store.fork(parent, "a/b")
        store.fork(parent, "perdure.child")
        for branch in ("main", "a/b", "perdure.child"):
            with store.open(parent, branch=branch) as session:
                for name in names:
                    with session.child(name) as child:
                        keys.append(child.key)
    assert len(set(keys)) == len(keys) == len(parents) * 3 * len(names)


def test_a_name_keeps_its_key(store: Store) -> None:
    linked(store, key="shared/research")
    with store.open("lead") as lead:
        with lead.child("researcher", key="shared/research") as child:
            assert child.state["notes"].plain() == ["one"]
        with pytest.raises(UsageError, match="would be forgotten"):
            lead.child("researcher", key="another")
        with pytest.raises(UsageError, match="cannot be its own child"):
            lead.child("me", key="lead")
        with pytest.raises(UsageError, match="says something"):
            lead.child(" ")


def test_options_and_schema_are_those_of_open(store: Store) -> None:
    @dataclass
    class Research:
        notes: list[str] = field(default_factory=list)

    linked(store)
    with store.open("lead") as lead, lead.child("researcher", schema=Research) as child:
        child.state.notes.append("two")
        with pytest.raises(UsageError):
            lead.child("researcher", on_error="nope")  # type: ignore[call-overload]
    assert store.at(KEY, "main").plain()["notes"] == ["one", "two"]


def test_a_child_explores_as_its_parent_does(store: Store) -> None:
    linked(store)
    store.fork("lead", "what-if")
    with store.open("lead", branch="what-if", effects="refuse") as lead:
        with lead.child("researcher") as child:
            assert child._effects == "refuse"
        with lead.child("researcher", effects="allow") as child:
            assert child._effects == "allow"


def test_two_sessions_that_merge_link_the_same_child(store: Store) -> None:
    one = store.open("lead", on_conflict="merge")
    two = store.open("lead", on_conflict="merge")
    one.child("researcher").close()
    two.child("researcher").close()
    two.child("writer", key="w2").close()
    with pytest.raises(UsageError, match="another session linked the child 'writer' to 'w2'"):
        one.child("writer", key="w1")
    for session in (one, two):
        session.close()
    with store.open("lead") as lead:
        assert [each.name for each in lead.children.all()] == ["researcher", "writer"]


def test_children_are_linked_inside_steps_that_run_at_once(tmp_path: Path) -> None:
    async def research(session: Any, name: str) -> str:
        async with session.child(name) as child:
            child.state["notes"] = [name]
        return name

    async def main() -> list[Child]:
        async with AsyncStore(tmp_path / "a.db") as store, store.open("lead") as lead:
            async with lead.task("research") as task:
                names = [f"r{at}" for at in range(5)]
                found = await asyncio.gather(
                    *(task.step(name, research, lead, name) for name in names)
                )
                assert found == names
            return await lead.children.all()

    found = asyncio.run(main())
    assert [each.status for each in found] == ["finished"] * 5
    assert sorted(each.name for each in found) == [f"r{at}" for at in range(5)]


# ---- branches -----------------------------------------------------------------------------------


def test_a_fork_shares_the_children_linked_before_and_has_its_own_after(store: Store) -> None:
    linked(store)
    store.fork("lead", "what-if")
    store.fork(KEY, "what-if")
    with store.open("lead", branch="what-if") as lead:
        with lead.child("researcher") as child:
            assert (child.key, child.branch) == (KEY, "main")
        with lead.child("researcher", branch="what-if") as child:
            child.state["notes"].append("two")
        with lead.child("writer") as child:
            assert child.key == "lead/perdure.child@what-if/writer"
            child.state["x"] = 1
    with store.open("lead", branch="what-if") as lead, lead.child("researcher") as child:
        assert (child.branch, child.state["notes"].plain()) == ("what-if", ["one", "two"])
    with store.open("lead") as lead:
        assert [each.name for each in lead.children.all()] == ["researcher"]
        with lead.child("researcher") as child:
            assert child.state["notes"].plain() == ["one"]


# ---- asyncio ------------------------------------------------------------------------------------


def test_async_children_are_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncStore(tmp_path / "a.db") as store:
            async with store.open("lead") as lead:
                child = await lead.child("researcher")
                child.state["notes"] = ["one"]
                await child.plan.add_missing(["a"])
                await child.close()
                (found,) = await lead.children.unfinished()
                assert (found.status, found.tasks) == ("unfinished", 1)
                await lead.children.complete("researcher", 1)
                assert await lead.children.unfinished() == []
                await lead.children.drop("researcher")
                one = await lead.children.get("researcher")
                assert one is not None
                assert one.status == "dropped"
                with pytest.raises(UsageError, match="would be forgotten"):
                    await lead.child("researcher", key="x")
                lead.state["x"] = 1
                async with store.open("lead") as other:
                    other.state["y"] = 2
                with pytest.raises(Conflict):
                    await lead.child("writer")
                await lead.refresh()
            assert [each.key for each in await store.states()] == ["lead", KEY]

    asyncio.run(main())


def test_a_session_without_children_reads_nothing_for_them(store: Store) -> None:
    with store.open("a") as session:
        assert isinstance(session, Session)
        assert session.children.all() == []
        assert session.children.unfinished() == []
    assert store.states() == []
