"""`perdure watch`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from perdure import Store
from perdure.cli.app import app

PERDURE = [sys.executable, "-m", "perdure.cli"]


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "agents.db")
    save(name, "s/1", "one")
    save(name, "s/2", "two\x1b[2J")
    return name


def save(path: str, key: str, value: Any) -> None:
    with Store(path) as store:
        session = store.open(key)
        session.state["said"] = value
        session.save("a label")


def run(*args: str) -> Result:
    return CliRunner().invoke(app, args)


def test_a_line_for_each_checkpoint(path: str) -> None:
    result = run("--store", path, "watch", "s/*", "--since", "start", "--timeout", "0")
    first, second = (line.split("  ") for line in result.stdout.splitlines())
    assert (result.exit_code, result.stderr) == (0, "")
    assert [*first[:2], *first[4:]] == ["s/1", "1", "a label", "said"]
    assert second[:2] == ["s/2", "1"]


def test_changes_are_told_and_cannot_steer_a_terminal(path: str) -> None:
    result = run("--store", path, "watch", "s/2", "--since", "start", "--timeout", "0", "--changes")
    assert result.stdout.splitlines()[1] == "    set said = 'two\\x1b[2J'"


def test_now_is_the_default(path: str) -> None:
    assert run("--store", path, "watch", "*", "--timeout", "0").stdout == ""


def test_json_lines(path: str) -> None:
    result = run(
        *("--store", path, "watch", "s/*", "--since", "start"),
        *("--timeout", "0", "--json", "--changes"),
    )
    first, second = map(json.loads, result.stdout.splitlines())
    assert first["checkpoint"]["key"] == "s/1"
    (change,) = second["checkpoint"]["changes"]
    assert (change["kind"], change["path"]) == ("set", "said")
    assert json.loads(first["cursor"])["watch"] == "s/*"


def test_a_cursor_in_a_file_goes_on_where_it_was(path: str, tmp_path: Path) -> None:
    kept = str(tmp_path / "cursor")
    call = ("--store", path, "watch", "s/*", "--timeout", "0", "--cursor", kept)
    assert run(*call).stdout == ""  # it knows where it began, although nothing came
    save(path, "s/1", 1)
    save(path, "s/3", 1)
    lines = run(*call).stdout.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [["s/1", "2"], ["s/3", "1"]]
    assert run(*call, "--since", "start").stdout == ""
    assert sorted(os.listdir(tmp_path)) == ["agents.db", "cursor"]


def test_wrong_calls(path: str, tmp_path: Path) -> None:
    (tmp_path / "cursor").write_text("x")
    for args in (
        ("s/1", "--cursor", str(tmp_path / "cursor")),
        ("s/1", "--cursor", str(tmp_path / "nowhere" / "cursor")),
        ("s/1", "--since", "yesterday"),
        ("s/1", "--timeout", "-1"),
        ("",),
    ):
        result = run("--store", path, "watch", "--timeout", "0", *args)
        assert result.exit_code == 2, args


def test_a_store_that_is_not_there_is_waited_for_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    result = run("--store", str(path), "watch", "*", "--timeout", "0")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"waiting for a store at {path}\n"
    assert not path.exists()


def test_lines_come_at_once_and_an_interrupt_ends_it(tmp_path: Path) -> None:
    path = str(tmp_path / "agents.db")
    with subprocess.Popen(
        [*PERDURE, "--store", path, "watch", "*", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"waiting for a store")
        for value in range(3):
            save(path, "a", value)
            found = json.loads(process.stdout.readline())  # while the command goes on
            assert found["checkpoint"]["number"] == value + 1
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert b"Traceback" not in said


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["nope"], "there is no state nope yet"),
        (["s/"], "there is no state s/ yet; all whose keys begin so: perdure watch 's/*'"),
        (["t/*"], "there is no state t/* yet"),
        (["s/1", "--branch", "b"], "s/1 has no branch b yet; it has main"),
    ],
)
def test_what_is_not_there_yet_is_told_and_waited_for(
    path: str, args: list[str], told: str
) -> None:
    for form in ([], ["--json"]):
        result = run("--store", path, "watch", *args, "--timeout", "0", *form)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == f"waiting: {told}\n"


def test_of_what_is_there_nothing_is_told(path: str) -> None:
    with Store(path) as store:
        store.fork("s/1", "b")
    for args in (["s/1"], ["s/*"], ["*"], ["s/1", "--branch", "b"]):
        assert run("--store", path, "watch", *args, "--timeout", "0").stderr == ""
