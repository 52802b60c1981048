"""`perdure maintain`: what it does, would do, and says when it is interrupted."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from perdure import Store, limits
from perdure.backends.sqlite import SqliteBackend
from perdure.cli.app import INTERRUPTED, NOT_FOUND, app
from perdure.engine.requests import PutPages

SAVES = limits.tail_records_max + 6


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "agents.db")
    with Store(name, maintenance="off") as store:
        for key in ("long/a", "long/b"):
            with store.open(key) as session:
                session.state["log"] = []
                for n in range(SAVES):
                    session.state["log"].append(f"{key} {n}")
                    session.save()
    return name


def run(path: str, *args: str) -> Result:
    return CliRunner().invoke(app, ["--store", path, *args])


def test_what_is_due_is_done_once(path: str) -> None:
    lines = run(path, "maintain").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["long/a", "long/b"]
    assert all("snapshot" in line and "pack" in line for line in lines[1:])
    assert run(path, "maintain").stdout == "nothing to do\n"
    assert run(path, "verify").exit_code == 0


def test_a_dry_run_shows_the_plan_as_data(path: str) -> None:
    shown = run(path, "maintain", "long/a", "--dry-run").stdout.splitlines()
    assert shown[0].split() == ["key", "would", "do", "first", "checkpoints", "rows", "stored"]
    assert f"1 to {SAVES - 1}" in shown[1]
    (planned,) = json.loads(run(path, "maintain", "long/a", "--dry-run", "--json").stdout)["states"]
    assert planned["steps"][0] == "snapshot"
    assert planned["details"][0]["first"] == 1
    assert planned["details"][0]["bytes"] > 0
    assert json.loads(run(path, "stats", "long/a", "--json").stdout)["states"][0]["snapshots"] == []


def test_a_key_that_names_no_state_is_told(path: str) -> None:
    found = run(path, "maintain", "long/c")
    assert found.exit_code == NOT_FOUND
    assert "long/c" in found.stderr


@pytest.mark.parametrize("as_json", [False, True])
def test_when_interrupted_it_says_that_all_is_well(
    path: str, as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform = SqliteBackend.perform

    def interrupted(self: SqliteBackend, request: Any) -> Any:
        answer = perform(self, request)
        if isinstance(request, PutPages):
            raise KeyboardInterrupt
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(SqliteBackend, "perform", interrupted)
        found = run(path, "maintain", *(["--json"] if as_json else []))
    assert found.exit_code == INTERRUPTED
    assert ("what was done stays done" in found.stderr) is not as_json
    assert run(path, "verify").exit_code == 0
    assert "snapshot" in run(path, "maintain").stdout


@pytest.mark.parametrize("command", [("copy", "long/a", "new"), ("import", "FILE", "new")])
def test_what_comes_with_its_history_has_a_snapshot_when_the_command_ends(
    path: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    file = str(tmp_path / "a.perdure")
    assert run(path, "export", "long/a", file).exit_code == 0
    assert run(path, *(file if each == "FILE" else each for each in command)).exit_code == 0
    (found,) = json.loads(run(path, "stats", "new", "--json").stdout)["states"]
    assert found["snapshots"]
    assert found["checkpoints"] == SAVES
