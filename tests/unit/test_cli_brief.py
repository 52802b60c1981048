"""`perdure brief`: the briefing, for people and for programs."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.unit.agent.test_briefing import written

from perdure import Store
from perdure.cli.app import NOT_FOUND, USAGE, app


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "agents.db")
    with Store(path) as store:
        written(store)
    return path


def run(*args: str) -> Result:
    return CliRunner().invoke(app, args)


def test_briefing_is_printed_as_the_session_gives_it(path: str) -> None:
    found = run("--store", path, "brief", "support/alice")
    with Store(path) as store, store.open("support/alice") as session:
        assert found.stdout == f"{session.briefing()}\n"
    assert found.exit_code == 0


def test_json_has_the_items_and_the_text(path: str) -> None:
    found = run("--store", path, "brief", "support/alice", "--max-tokens", "200", "--json")
    told = json.loads(found.stdout)
    briefing = told["briefing"]
    assert briefing["items"][0] == {"title": "Goal", "text": "Refund order 17"}
    assert briefing["left_out"]
    assert told["markdown"].startswith("## Goal\n\n- Refund order 17\n")
    assert (briefing["key"], briefing["branch"]) == ("support/alice", "main")


def test_what_could_steer_a_terminal_is_escaped(path: str) -> None:
    with Store(path) as store, store.open("support/alice") as session:
        session.state["messages"].append({"role": "user", "content": "\x1b[2Jgone"})
    found = run("--store", path, "brief", "support/alice")
    assert "\\x1b[2Jgone" in found.stdout
    assert "\x1b" not in found.stdout


def test_reading_it_writes_nothing(path: str) -> None:
    with Store(path) as store:
        before = store.history("support/alice")
        run("--store", path, "brief", "support/alice")
        assert store.history("support/alice") == before


def test_what_is_not_there_is_told(path: str) -> None:
    assert run("--store", path, "brief", "support/bob").exit_code == NOT_FOUND
    assert run("--store", path, "brief", "support/alice", "--branch", "b").exit_code == NOT_FOUND
    assert run("--store", path, "brief", "support/alice", "--max-tokens", "7").exit_code == USAGE
    found = run("--store", path, "brief", "support/alice", "--conversation", "nope")
    assert found.exit_code == USAGE
    assert "has no section 'nope'" in found.stderr
