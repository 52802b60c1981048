"""What `perdure merge` says of conflicts: which, and which option decides them."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from perdure import Store
from perdure.cli.app import app


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A state of which main and side have other steps, and side another goal."""
    name = str(tmp_path / "agents.db")
    with Store(name) as store:
        with store.open("a") as session:
            session.state.update({"the plan": {"goal": 0}, "log": ["begun"]})
        store.fork("a", "side")
        for branch in ("main", "side"):
            with store.open("a", branch=branch) as session:
                session.state["the plan"]["goal"] = branch
                session.state["log"].append(branch)
    return name


def run(path: str, *args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["--store", path, *args])
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


def test_conflicts_are_no_matter_of_running_it_again(path: str) -> None:
    told = run(path, "merge", "a", "side", code=2).stderr
    assert "both changed 2 places" in told
    assert "--strategy PATH=HOW" in told
    assert "strategies={" not in told
    error: Any = json.loads(run(path, "merge", "a", "side", "--json", code=2).stderr)["error"]
    assert error["kind"] == "merge-conflicts"


def test_the_options_that_it_names_settle_them_one_by_one(path: str) -> None:
    given: list[str] = []
    for code in (2, 2):
        told = run(path, "merge", "a", "side", *given, code=code).stderr
        named = re.search(r"such as (--strategy .*=theirs); ", told)
        assert named is not None, told
        given += shlex.split(named[1])
    run(path, "merge", "a", "side", *given)
    shown = json.loads(run(path, "show", "a", "--json").stdout)["value"]
    assert shown == {"the plan": {"goal": "side"}, "log": ["begun", "side"]}
