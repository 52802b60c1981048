"""Children: linked before they can save, told as they stand, and never lost in silence."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from perdure import AsyncStore, Session, Store
from perdure.agent import Child
from perdure.cli.app import app
from perdure.errors import (
    Conflict,
    PathNotFound,
    SaveInsideAtomic,
    StateNotFound,
    UnknownOutcome,
    UsageError,
    Waiting,
)

KEY = "lead/perdure.child/researcher"


def stands(store: Store, name: str = "researcher", key: str = "lead") -> Child:
    with store.open(key) as session:
        found = session.children.get(name)
    assert found is not None
    return found


def linked(store: Store, **options: Any) -> None:
    with store.open("lead") as lead, lead.child("researcher", **options) as child:
        child.state["notes"] = ["one"]


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


# ---- how they stand -----------------------------------------------------------------------------


def test_one_that_ended_normally_with_nothing_left_is_finished(store: Store) -> None:
    linked(store)
    found = stands(store)
    assert (found.status, found.ended, found.key, found.branch) == (
        "finished",
        "closed",
        KEY,
        "main",
    )
    assert found.is_finished
    assert (found.tasks, found.questions, found.effects, found.problem) == (0, 0, 0, None)


def test_one_that_failed_or_has_tasks_left_is_unfinished(store: Store) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        store.open("lead") as lead,
        lead.child("researcher") as it,
    ):
        it.state["x"] = 1
        it.save()
        raise ZeroDivisionError
    found = stands(store)
    assert (found.status, found.ended, found.error) == ("unfinished", "failed", "ZeroDivisionError")
    with store.open("lead") as lead, lead.child("researcher") as child:
        child.plan.add_missing(["a", "b", "c"])
        child.task("b").abandon()
        child.task("a").run(int)
    found = stands(store)
    assert (found.status, found.ended, found.tasks) == ("unfinished", "closed", 1)


def test_one_that_is_open_is_running(store: Store) -> None:
    with store.open("lead") as lead:
        child = lead.child("researcher")
        child.state["x"] = 1
        child.save()
        (found,) = lead.children.unfinished()
        assert (found.status, found.ended) == ("running", "maybe running")
        child.close()
        assert lead.children.unfinished() == []


def test_one_that_waits_is_waiting_until_it_is_answered(store: Store) -> None:
    with pytest.raises(Waiting), store.open("lead") as lead, lead.child("researcher") as child:
        child.ask("go on", {"cost": 40})
    found = stands(store)
    assert (found.status, found.ended, found.questions) == ("waiting", "waiting", 1)
    store.answer(KEY, "go on", True)
    found = stands(store)
    assert (found.status, found.questions) == ("unfinished", 0)


def test_a_timer_that_has_run_out_waits_for_nothing(store: Store) -> None:
    with pytest.raises(Waiting), store.open("lead") as lead, lead.child("researcher") as child:
        child.sleep_until("later", timedelta(hours=1))
    assert stands(store).status == "waiting"
    with pytest.raises(Waiting), store.open("lead") as lead, lead.child("other") as child:
        child.sleep_until("soon", timedelta(seconds=1))
    time.sleep(1.1)
    assert stands(store, "other").status == "unfinished"


def test_one_whose_process_died_is_unfinished_and_an_unsaved_one_missing(tmp_path: Path) -> None:
    program = (
        "import os, sys, perdure\n"
        "lead = perdure.Store(sys.argv[1]).open('lead')\n"
        "child = lead.child('researcher')\n"
        "child.state['x'] = 1\n"
        "child.save()\n"
        "lead.child('writer').state['x'] = 1\n"
        "os._exit(9)\n"
    )
    path = str(tmp_path / "a.db")
    subprocess.run([sys.executable, "-c", program, path], check=False)
    with Store(path) as store, store.open("lead") as lead:
        one, two = lead.children.unfinished()
        assert (one.name, one.status, one.ended) == ("researcher", "unfinished", "interrupted")
        assert (two.name, two.status, two.ended) == ("writer", "missing", None)
        assert "nothing was ever saved" in str(two.problem)


def test_one_with_an_effect_of_unknown_outcome_is_unfinished(store: Store) -> None:
    def pay() -> None:
        raise TimeoutError

    with (
        store.open("lead") as lead,
        lead.child("researcher") as child,
        pytest.raises(UnknownOutcome),
        child.task("pay") as task,
    ):
        task.effect("refund", pay)
    found = stands(store)
    assert (found.status, found.ended, found.effects, found.tasks) == ("unfinished", "closed", 1, 1)
    store.settle(KEY, "pay/refund", happened=True)
    assert stands(store).effects == 0


def test_one_that_is_damaged_is_told_and_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store(path) as store:
        linked(store)
        with store.open("lead") as lead, lead.child("writer") as child:
            child.state["x"] = 1
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE heads SET head = x'00' WHERE CAST(key AS TEXT) = ?", (KEY,))
    connection.close()
    with Store(path) as store, store.open("lead") as lead:
        one, two = lead.children.all()
        assert (one.status, two.status) == ("unreadable", "finished")
        assert str(one.problem).startswith("damaged: ")
        assert "- researcher: unreadable (damaged: " in str(lead.briefing())


def test_one_that_is_gone_is_told_and_no_error(store: Store) -> None:
    linked(store)
    store.delete(KEY)
    found = stands(store)
    assert (found.status, found.is_finished) == ("deleted", False)
    store.undelete(KEY)
    assert stands(store).status == "finished"
    store.fork(KEY, "side")
    with store.open("lead") as lead:
        lead.child("researcher", branch="side").close()
        assert lead.children.all()[0].branch == "side"
    store.delete_branch(KEY, "side")
    found = stands(store)
    assert found.status == "missing"
    assert "branch-not-found" in str(found.problem)


def test_what_the_parent_says_of_a_child_counts_until_it_is_opened(store: Store) -> None:
    with store.open("lead") as lead:
        with lead.child("researcher") as child:
            child.plan.add_missing(["a"])
        assert lead.children.all()[0].status == "unfinished"
        found = lead.children.complete("researcher", {"answer": 42})
        assert (found.status, found.result) == ("finished", {"answer": 42})
        assert stands(store).result == {"answer": 42}
        found = lead.children.drop("researcher", because="too slow")
        assert (found.status, found.result, found.because) == ("dropped", None, "too slow")
        assert lead.children.unfinished() == []
        lead.child("researcher").close()
        (found,) = lead.children.unfinished()
        assert (found.status, found.because) == ("unfinished", None)
        with pytest.raises(PathNotFound, match="no child 'x'; it has: 'researcher'"):
            lead.children.complete("x")
        assert lead.children.get("x") is None


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


# ---- telling ------------------------------------------------------------------------------------


def led(store: Store) -> None:
    """A parent with one finished child, one that waits and one that was never saved."""
    with store.open("lead") as lead:
        with lead.child("writer") as child:
            child.state["x"] = 1
        lead.child("editor").close()
        with pytest.raises(Waiting), lead.child("researcher", key="r 1") as child:
            child.plan.add_missing(["a", "b"])
            child.ask("go on", 1)


def test_the_briefing_tells_of_those_that_are_not_finished(store: Store) -> None:
    led(store)
    with store.open("lead") as lead:
        found = lead.briefing()
    gone = "nothing was ever saved of it, or all is gone"
    left = "last session waiting; 2 unfinished tasks; 1 waiting question"
    assert [item.text for item in found.items if item.title == "Children"] == [
        f"editor: missing ({gone}; state lead/perdure.child/editor)",
        f"researcher: waiting ({left}; state r 1)",
        "1 of 3 finished",
    ]
    assert [child.name for child in found.children] == ["editor", "researcher"]
    assert "## Children\n\n- editor: missing" in str(found)


def test_the_command_line_tells_of_them(tmp_path: Path) -> None:
    path = str(tmp_path / "agents.db")
    with Store(path) as store:
        led(store)

    def run(*args: str) -> str:
        found = CliRunner().invoke(app, ["--store", path, *args])
        assert found.exit_code == 0
        return found.stdout

    assert "- editor: missing" in run("brief", "lead")
    briefing = json.loads(run("brief", "lead", "--json"))["briefing"]
    assert [child["status"] for child in briefing["children"]] == ["missing", "waiting"]
    assert briefing["receipt"]["counts"]["children"] == 3
    told = run("tasks", "lead", "--children")
    assert [line.split()[:2] for line in told.splitlines() if "perdure.child" in line] == [
        ["writer", "finished"],
        ["editor", "missing"],
    ]
    assert "researcher  waiting       2          1" in told
    children = json.loads(run("tasks", "lead", "--children", "--json"))["children"]
    assert [child["name"] for child in children] == ["writer", "editor", "researcher"]
    assert "children" not in json.loads(run("tasks", "lead", "--json"))
