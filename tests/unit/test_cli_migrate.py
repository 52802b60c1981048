"""`perdure migrate`: what it shows, does and takes back, and what it exits with."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from perdure import Store
from perdure.cli.app import FOUND, RETRY, USAGE, app

RESEARCH, PLAN = "tests.unit.fleet_agent:Research", "tests.unit.fleet_agent:Plan"


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "agents.db")
    with Store(name) as store:
        for key in ("r/a", "r/b", "s/a"):
            with store.open(key) as session:
                session.state["topic"] = key
                session.state["steps"] = 7 if key == "r/b" else [1]
    return name


def call(path: str, *args: str) -> Result:
    return CliRunner().invoke(app, ["migrate", *args, "--store", path])


def answer(path: str, *args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(path, *args, "--json").stdout)
    return found


def test_dry_run_shows_samples_and_changes_nothing(path: str) -> None:
    found = call(path, RESEARCH, "r/*", "--dry-run")
    assert found.exit_code == 0
    assert "added subject: 'r/a'" in found.stdout
    assert "would migrate 2 to Research 2" in found.stdout
    assert answer(path, RESEARCH, "r/*", "--dry-run")["migration"]["counts"] == {"migrated": 2}


def test_run_is_migrated_and_taken_back(path: str) -> None:
    found = answer(path, RESEARCH, "r/*")["migration"]
    assert (found["counts"], found["as_foretold"]) == ({"migrated": 2}, True)
    with Store(path) as store, store.open("r/a") as session:
        assert session.state["subject"] == "r/a"
        session.state["subject"] = "later"
    undone = call(path, "--undo", found["run"])
    assert undone.exit_code == FOUND
    assert "r/a" in undone.stdout
    assert "rolled back 1 of run" in undone.stdout
    assert call(path, RESEARCH, "*").exit_code == 0


def test_failures_refuse_all_and_are_named(path: str) -> None:
    found = call(path, PLAN, "*")
    assert found.exit_code == FOUND
    assert "r/b" in found.stdout
    assert "migration-failed" in found.stdout
    assert "nothing was migrated" in found.stdout
    assert "--skip-failures" in found.stderr
    done = call(path, PLAN, "*", "--skip-failures")
    assert done.exit_code == FOUND
    assert "migrated 2 to Plan 1; 1 failed" in done.stdout


def test_states_that_are_held_are_for_another_try(path: str) -> None:
    with Store(path) as store, store.open("r/a", exclusive=True):
        assert call(path, RESEARCH, "*").exit_code == RETRY
    assert call(path, RESEARCH, "*").exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "name the schema"),
        ((RESEARCH,), "name the schema"),
        ((RESEARCH, "r/a"), "with a star after it"),
        ((RESEARCH, "r/*/a*"), "with a star after it"),
        (("Research", "*"), "module:Class"),
        (("nowhere:Research", "*"), "cannot be imported"),
        (("tests.unit.fleet_agent:Nobody", "*"), "cannot be imported"),
        (("json:dumps", "*"), "is no class"),
        (("--undo", "yesterday"), "names no run"),
        ((RESEARCH, "*", "--undo", "yesterday"), "without a schema"),
    ],
)
def test_wrong_calls_say_how_it_goes(path: str, args: tuple[str, ...], message: str) -> None:
    found = call(path, *args)
    assert found.exit_code == USAGE
    assert message in " ".join(found.stderr.split())
