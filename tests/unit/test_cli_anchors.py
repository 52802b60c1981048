"""The command line with an anchor: older versions are told, and it goes on with it (P5)."""

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import perdure
from perdure.cli.app import app

KEY = "support/alice"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agents.db"


def save(store: perdure.Store, number: int) -> None:
    with store.open(KEY) as session:
        session.state["n"] = number


def kept(path: Path) -> Path:
    """A copy of the store as it is now."""
    return Path(shutil.copy(path, path.with_name("kept.db")))


def put_back(copy: Path, path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    shutil.copy(copy, path)


def run(path: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["--store", str(path), *args])


def test_the_command_line_takes_an_anchor(path: Path, tmp_path: Path) -> None:
    anchor = str(tmp_path / "safe.anchor")
    with perdure.Store(path, anchor=anchor, maintenance="off") as store:
        save(store, 1)
    copy = kept(path)
    with perdure.Store(path, anchor=anchor, maintenance="off") as store:
        save(store, 2)
    assert run(path, "verify", "--anchor", anchor).exit_code == 0
    put_back(copy, path)
    assert run(path, "verify").exit_code == 0
    found = run(path, "verify", "--anchor", anchor)
    assert found.exit_code == 1
    assert "it has 1 commit, and there were 2" in " ".join(found.stdout.split())
    assert run(path, "--anchor", anchor, "show", KEY).exit_code == 6
    os.environ["PERDURE_ANCHOR"] = anchor
    try:
        assert run(path, "log", KEY).exit_code == 6
    finally:
        del os.environ["PERDURE_ANCHOR"]
    assert run(path, "verify", "--accept").exit_code == 2
    assert run(path, "verify", "--anchor", anchor, "--accept").exit_code == 0
    assert run(path, "verify", "--anchor", anchor).exit_code == 0


def test_doctor_asks_the_anchor_too(path: Path, tmp_path: Path) -> None:
    anchor = str(tmp_path / "safe.anchor")
    with perdure.Store(path, anchor=anchor, maintenance="off") as store:
        save(store, 1)
    copy = kept(path)
    with perdure.Store(path, anchor=anchor, maintenance="off") as store:
        save(store, 2)
    whole = run(path, "--anchor", anchor, "doctor")
    assert whole.exit_code == 0, whole.output
    put_back(copy, path)
    assert run(path, "doctor").exit_code == 0
    told = run(path, "--anchor", anchor, "doctor")
    assert told.exit_code == 1
    assert f"damaged states: 1 state: {KEY}" in told.stdout
    path.unlink()
    gone = run(path, "--anchor", anchor, "doctor")
    assert gone.exit_code == 1
    assert "its anchor knows of it" in gone.stdout
    assert "its anchor knows of it" in run(path, "--anchor", anchor, "ls").stderr


def test_commands_that_are_told_go_on_with_the_anchor(path: Path, tmp_path: Path) -> None:
    anchor = str(tmp_path / "a safe.anchor")
    with perdure.Store(path, anchor=anchor, maintenance="off") as store:
        save(store, 1)
    copy = kept(path)
    with perdure.Store(path, anchor=anchor, maintenance="off") as store:
        save(store, 2)
    put_back(copy, path)
    assert f"perdure --anchor '{anchor}' verify {KEY}" in run(path, "--anchor", anchor, "ls").stderr
    refused = run(path, "--anchor", anchor, "show", KEY).stderr
    assert f"perdure --store {path} --anchor '{anchor}' verify {KEY}" in refused
    accepted = run(path, "--anchor", anchor, "verify", "--accept").stderr
    assert f"the anchor takes what the store holds for the newest, of 1 state: {anchor}" in accepted
