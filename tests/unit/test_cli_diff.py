"""`perdure diff`: its forms, what they are of, and what previews of movements and merges show."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import perdure
from perdure import Store
from perdure.cli.app import app

STEPS = [{"id": "find", "status": "open"}, {"id": "pay", "status": "open"}]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Checkpoints 1 to 3 of a, its branch what-if from 2 on, and another state b."""
    name = str(tmp_path / "agents.db")
    with Store(name) as store:
        with store.open("a") as session:
            session.state["plan"] = {"steps": STEPS}
            session.save()
            session.state["plan"]["steps"][1]["status"] = "done"
            session.state["log"] = ["\x1b[2J"]
            session.save(label="paid")
            session.state["n"] = 3
        store.fork("a", "what-if", at=2)
        with store.open("a", branch="what-if") as session:
            session.state["log"] += [1, 2, 3, 4]
            session.save(label="tried")
        with store.open("b") as session:
            session.state["plan"] = {"steps": STEPS[:1]}
    return name


def run(path: str, *args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["--store", path, *args])
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


def lines(path: str, *args: str) -> list[str]:
    return run(path, "diff", *args).stdout.splitlines()


PAID = ["  plan/steps/1#pay/status", "    - 'open'", "    + 'done'"]
LOGGED = ["log  added", "    + ['\\x1b[2J']"]


def test_two_points_section_by_section(path: str) -> None:
    assert lines(path, "a", "1", "2") == ["plan  1 changed", *PAID, *LOGGED]


def test_points_of_branches(path: str) -> None:
    tried = [
        "log  4 added",
        "  log/1…4  4 items inserted",
        "    + 1",
        "    + … 2 more items",
        "    + 4",
    ]
    assert lines(path, "a", "main", "what-if") == [*tried, "n  removed", "    - 3"]
    assert lines(path, "a", "main@2", "what-if@3") == tried
    assert lines(path, "a", "~1", "--branch", "what-if") == tried
    assert lines(path, "a", "label:paid", "what-if@label:tried") == tried


def test_points_of_two_states(path: str) -> None:
    gone = ["plan  1 removed", "  plan/steps/1#pay", "    - {'id': 'pay', 'status': 'open'}"]
    assert lines(path, "a", "1", "--other", "b") == gone
    assert lines(path, "a", "1", "1", "--other", "b") == gone
    assert lines(path, "b", "main", "1", "--other", "a")[0] == "plan  1 added"
    assert "'nobody'" in run(path, "diff", "a", "1", "--other", "nobody", code=3).stderr
    assert "'nobody'" in run(path, "diff", "nobody", "1", "--other", "a", code=3).stderr
    assert "no checkpoint 9" in run(path, "diff", "a", "1", "9", "--other", "b", code=3).stderr


def test_the_short_forms(path: str) -> None:
    assert lines(path, "a", "1", "--summary") == ["plan  1 changed", "log  added", "n  added"]
    assert lines(path, "a", "1", "--stat") == [
        "plan | 1 ~",
        "log  | 1 +",
        "n    | 1 +",
        "3 sections: 1 changed, 2 added",
    ]


def test_a_patch_is_what_the_library_gives(path: str) -> None:
    patch = json.loads(run(path, "diff", "a", "1", "2", "--patch").stdout)
    assert patch == [
        {"op": "add", "path": "/log", "value": ["\x1b[2J"]},
        {"op": "replace", "path": "/plan/steps/1/status", "value": "done"},
    ]
    with Store(path, read_only=True) as store:
        assert patch == perdure.json_patch(store.diff("a", 1, 2))
    part = json.loads(run(path, "diff", "a", "1", "2", "--patch", "--path", "log").stdout)
    assert part == patch[:1]


def test_only_what_is_at_a_path(path: str) -> None:
    assert lines(path, "a", "1", "--path", "plan") == ["plan  1 changed", *PAID]
    assert lines(path, "a", "1", "--path", "plan/steps/1#pay") == ["plan  1 changed", *PAID]
    none = run(path, "diff", "a", "1", "--path", "plan/steps/0")
    assert (none.stdout, none.stderr) == ("", "no difference\n")
    found = json.loads(run(path, "diff", "a", "1", "--path", "n", "--json").stdout)
    assert [each["path"] for each in found["differences"]] == ["n"]
    whole = lines(path, "a", "1")
    assert lines(path, "a", "1", "--path", "(state)") == whole
    assert lines(path, "a", "1", "--path", "/plan/steps") == ["plan  1 changed", *PAID]
    as_patch = run(path, "diff", "a", "1", "2", "--patch", "--path", "/log").stdout
    assert json.loads(as_patch)[0]["path"] == "/log"


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("typo", "no 'typo' in (state), which has 'plan', 'log', 'n'"),
        ("plan/typo", "no 'typo' in plan, which has"),
        ("plan/steps/7", "no '7' in plan/steps"),
        ("plan/steps/-1", "'-1' is no position in a list"),
        ("log/0/deeper", "no 'deeper' in log/0"),
    ],
)
def test_a_path_that_neither_side_has_is_an_error(path: str, place: str, told: str) -> None:
    for form in ([], ["--exit-code"], ["--other", "a"]):
        said = run(path, "diff", "a", "2", "--path", place, *form, code=3).stderr
        assert f"neither side has anything at '{place}': " in said
        assert told in said
    none = run(path, "diff", "a", "1", "2", "--path", "plan/steps/0#look")
    assert none.stderr == "no difference\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--json", "--patch"], "--json and --patch do not go together"),
        (["--stat", "--summary"], "--summary and --stat do not go together"),
        (["--stat", "--patch"], "--patch and --stat do not go together"),
        (["--patch", "--path", "plan/steps"], "--path of a whole section only"),
    ],
)
def test_forms_that_do_not_go_together(path: str, options: list[str], told: str) -> None:
    result = run(path, "diff", "a", "1", *options, code=2)
    if "--json" in options:
        assert told in json.loads(result.stderr)["error"]["message"]
    assert told in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("form", [[], ["--stat"], ["--summary"], ["--patch"], ["--json"]])
def test_an_exit_code_that_says_whether_they_differ(path: str, form: list[str]) -> None:
    differing = run(path, "diff", "a", "1", "--exit-code", *form, code=1)
    assert differing.stdout == run(path, "diff", "a", "1", *form).stdout
    run(path, "diff", "a", "1", "1", "--exit-code", *form)
    run(path, "diff", "a", "2", "3", "--exit-code", "--path", "plan", *form)


def test_nothing_differs(path: str) -> None:
    for form in ([], ["--stat"], ["--summary"]):
        same = run(path, "diff", "a", "2", "2", *form)
        assert (same.stdout, same.stderr) == ("", "no difference\n")
    assert json.loads(run(path, "diff", "a", "2", "2", "--patch").stdout) == []


def on_a_terminal(path: str, *args: str, columns: int, **environment: str) -> str:
    """What a command prints to a terminal that is so wide."""
    near, far = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with open(far, "wb") as stdout:
        ran = subprocess.run(
            [sys.executable, "-m", "perdure.cli", "--store", path, *args],
            stdout=stdout,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=kept | {"COLUMNS": str(columns), "LINES": "40"} | environment,
            timeout=60,
            check=True,
        )
    assert ran.stderr == b""
    printed = b""
    while chunk := _read(near):
        printed += chunk
    os.close(near)
    return printed.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # all was read, and the other end is closed
        return b""


def test_on_a_terminal_in_colours_unless_they_are_not_wanted(path: str) -> None:
    shown = on_a_terminal(path, "diff", "a", "1", "2", columns=60)
    assert "    \x1b[31m-\x1b[0m \x1b[31m'open'\x1b[0m\n" in shown
    assert "    \x1b[32m+\x1b[0m \x1b[32m'done'\x1b[0m\n" in shown
    assert "\x1b[2J" not in shown
    plain = on_a_terminal(path, "diff", "a", "1", "2", columns=60, NO_COLOR="1")
    assert plain == run(path, "diff", "a", "1", "2").stdout


# ---- previews -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "points"),
    [
        (["rollback", "a", "1"], ["main", "1"]),
        (["rollback", "a", "what-if"], ["main", "what-if"]),
        (["merge", "a", "what-if"], ["main", "merged"]),
    ],
)
def test_a_dry_run_shows_what_diff_does(path: str, call: list[str], points: list[str]) -> None:
    if "merged" in points:
        run(path, "fork", "a", "merged")
        run(path, "merge", "a", "what-if", "--into", "merged")
    shown = run(path, *call, "--dry-run").stdout
    assert run(path, "diff", "a", *points).stdout in shown
    assert len(shown.splitlines()) > len(lines(path, "a", *points)) > 1


def test_a_dry_run_of_undo_and_promote(path: str) -> None:
    run(path, "rollback", "a", "2")
    undone = run(path, "undo", "a", "--dry-run").stdout
    assert "\n".join(["n  added", "    + 3"]) in undone
    promoted = run(path, "promote", "a", "what-if", "--dry-run").stdout
    assert run(path, "diff", "a", "main", "what-if").stdout in promoted


def test_a_merge_that_was_done_is_told_by_its_changes(path: str) -> None:
    merged = run(path, "merge", "a", "what-if")
    assert merged.stdout.splitlines()[1:] == ["    put 4 items into log at 1: [1, 2, 3, 4]"]
    run(path, "fork", "a", "kept")
    way_back = merged.stderr.splitlines()[-1]
    assert way_back == "this takes it back: perdure rollback a 3"
    run(path, *way_back.split()[5:])
    assert lines(path, "a", "kept~1", "main") == []
    assert lines(path, "a", "kept", "main") != []


def test_a_merge_into_another_branch_says_how_to_take_that_back(path: str) -> None:
    run(path, "fork", "a", "old", "--at", "1")
    merged = run(path, "merge", "a", "what-if", "--into", "old")
    assert "perdure rollback a 1 --branch old" in merged.stderr


def test_the_differences_of_a_dry_run_of_a_merge_as_data(path: str) -> None:
    found: Any = json.loads(run(path, "merge", "a", "what-if", "--dry-run", "--json").stdout)
    told = [each["path"] for each in found["merge"]["differences"]]
    assert told == ["log/1", "log/2", "log/3", "log/4"]
    done: Any = json.loads(run(path, "merge", "a", "what-if", "--json").stdout)
    assert "differences" not in done["merge"]


def test_a_path_that_one_side_alone_has_is_none_that_is_missing(path: str) -> None:
    with Store(path) as store, store.open("a") as session:
        session.state["log"].insert(0, "first")  # so that what was 0 is 1, and no difference
    none = run(path, "diff", "a", "2", "--path", "log/1")
    assert none.stderr == "no difference\n"
