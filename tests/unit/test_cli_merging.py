"""`perdure merge`: what it says, and what it exits with."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perdure import Store
from perdure.cli.app import USAGE, app


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Both main and what-if set `n` since they parted at 1."""
    name = str(tmp_path / "agents.db")
    with Store(name) as store:
        for branch, value in (("main", 0), ("what-if", 1), ("main", 2)):
            if branch != "main":
                store.fork("a", branch)
            with store.open("a", branch=branch) as session:
                session.state["n"] = value
    return name


def merge(path: str, *args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["--store", path, "merge", "a", "what-if", *args])
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_dry_run_exits_as_the_merge_would(path: str, as_json: list[str]) -> None:
    shown = merge(path, "--dry-run", *as_json, code=USAGE)
    assert "both sides changed it" in shown.stdout
    merge(path, *as_json, code=USAGE)
    merge(path, "--dry-run", "--strategy", "n=theirs", *as_json)
    merge(path, "--strategy", "n=theirs", *as_json)


def test_a_merge_that_changes_nothing_says_that_it_was_noted(path: str) -> None:
    noted = "main stays as it is, and has what what-if did as taken in"
    assert noted in merge(path, "--strategy", "**=ours", "--dry-run").stderr
    said = merge(path, "--strategy", "**=ours")
    assert noted in said.stderr
    assert "checkpoint 3, which changes nothing" in said.stdout
    assert "this takes it back: perdure rollback a 2" in said.stderr
    assert merge(path).stderr == "what-if did nothing that main has not taken in\n"


def test_a_bad_strategy_is_refused_also_where_nothing_is_to_be_merged(path: str) -> None:
    merge(path, "--strategy", "n=ours")
    merge(path)
    assert "no merge strategy" in merge(path, "--strategy", "n=best", code=USAGE).stderr
