"""`perdure tasks`: the tasks of a state, for people and for programs."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perdure import Store
from perdure.agent import Todo
from perdure.cli.app import NOT_FOUND, app


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "agents.db")
    with Store(path) as store, store.open("a") as session:
        session.plan.add_missing(
            [
                *("read", Todo("audit", ["read"]), Todo("tell", ["audit", "ask"]), "ask"),
                *(Todo("close", ["tell"]), Todo("later", ["nowhere"])),
            ]
        )
        with session.task("read") as task:
            task.step("parse", str, 1)
        with pytest.raises(ValueError, match="no"), session.task("audit"):
            raise ValueError("no")
    return path


def run(*args: str) -> Result:
    return CliRunner().invoke(app, args)


def test_tasks_are_listed_in_order_with_what_they_are(path: str) -> None:
    found = run("--store", path, "tasks", "a")
    lines = [line.split()[:2] for line in found.stdout.splitlines()]
    assert lines == [
        ["task", "status"],
        ["read", "done"],
        ["audit", "failed"],
        ["ask", "pending"],
        ["tell", "blocked"],
        ["close", "blocked"],
        ["later", "blocked"],
        ["1", "of"],
    ]
    assert found.stdout.endswith("1 of 6 done, 1 failed, 3 blocked, 1 pending\n")


def test_the_graph_shows_what_comes_after_what(path: str) -> None:
    found = run("--store", path, "tasks", "a", "--graph")
    assert found.stdout.splitlines() == [
        "[x] read",
        " └─ [!] audit  failed",
        "[ ] ask",
        " └─ [#] tell  blocked  after audit",
        "     └─ [#] close  blocked",
        "[#] later  blocked  after nowhere (not there)",
        "1 of 6 done, 1 failed, 3 blocked, 1 pending",
    ]


def test_json_has_the_records(path: str) -> None:
    found = json.loads(run("--store", path, "tasks", "a", "--json").stdout)
    assert found["progress"]["total"] == 6
    assert found["progress"]["blocked"] == ["tell", "close", "later"]
    read, audit = found["tasks"][:2]
    assert (read["name"], read["record"]["status"], read["blocked"]) == ("read", "done", False)
    assert audit["record"]["error"] == {"type": "ValueError", "message": "no"}


def test_a_state_without_tasks_and_no_state(path: str) -> None:
    with Store(path) as store, store.open("b") as session:
        session.state["x"] = 1
    assert run("--store", path, "tasks", "b").stdout == "0 of 0 done\n"
    assert run("--store", path, "tasks", "nobody").exit_code == NOT_FOUND
