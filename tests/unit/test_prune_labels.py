"""Labels that are to be kept, and that no checkpoint has, are told."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import perdure
from perdure.cli.app import app


@pytest.fixture
def path(tmp_path: Path) -> str:
    """State a has a label on main, one on side and one that main left; b has one of its own."""
    name = str(tmp_path / "agents.db")
    with perdure.Store(name, maintenance="off") as store:
        save(store, "a", "main", "first", *[None] * 5)
        store.fork("a", "side")
        save(store, "a", "side", "tried")
        save(store, "a", "main", "dropped")
        store.rollback("a", 6)
        save(store, "b", "main", "other", None)
    return name


def save(store: perdure.Store, key: str, branch: str, *labels: str | None) -> None:
    with store.open(key, branch=branch) as session:
        for label in labels:
            session.state["n"] = session.state.get("n", 0) + 1
            session.save(label)


def run(path: str, *args: str) -> Result:
    result = CliRunner().invoke(app, ["--store", path, "prune", *args])
    assert result.exit_code == 0, (result.stdout, result.stderr)
    return result


@pytest.mark.parametrize("dry_run", [True, False])
def test_those_that_no_checkpoint_has_are_told_in_their_order(path: str, dry_run: bool) -> None:
    labels = ["tired", "tried", "dropped", "other", "first", "tired"]
    policy = perdure.Retention(keep_last=1, keep_labels=labels)
    with perdure.Store(path) as store:
        told = {each.key: each for each in store.prune(policy, dry_run=dry_run)}
    assert told["a"].unknown_labels == ("tired", "other")
    assert told["b"].unknown_labels == ("tired", "tried", "dropped", "first")


@pytest.mark.parametrize("labels", [True, False, []])
def test_of_no_labels_none_is_told(path: str, labels: Any) -> None:
    with perdure.Store(path) as store:
        (told,) = store.prune(perdure.Retention(keep_last=1, keep_labels=labels), "a")
    assert told.removed
    assert told.unknown_labels == ()


def test_the_command_names_those_that_no_state_has(path: str) -> None:
    args = ["--keep-last", "1", "--dry-run"]
    for label in ("tired", "tried", "other"):
        args += ["--keep-label", label]
    told = run(path, *args).stderr.splitlines()
    assert told == ["no checkpoint has the label 'tired': --keep-label keeps none by it"]
    found = json.loads(run(path, "a", *args, "--json").stdout)["states"]
    assert found[0]["unknown_labels"] == ["tired", "other"]


@pytest.mark.parametrize("packed", [False, True])
def test_each_checkpoint_is_looked_at_however_it_is_stored(path: str, packed: bool) -> None:
    names = [f"label {number}" for number in range(7)]
    with perdure.Store(path, maintenance="off") as store:
        save(store, "c", "main", *names)
        if packed:
            assert "pack" in store.maintain("c")[0].steps
        policy = perdure.Retention(keep_last=1, keep_labels=[*names, "none"])
        (told,) = store.prune(policy, "c", dry_run=True)
    assert told.unknown_labels == ("none",)
