"""How children stand, and what is told of those that are not finished."""

import json
import sqlite3
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.unit.agent.family import KEY, linked, stands

from perdure import Store
from perdure.cli.app import app
from perdure.errors import (
    PathNotFound,
    UnknownOutcome,
    Waiting,
)


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
