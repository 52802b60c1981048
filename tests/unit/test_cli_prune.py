"""`perdure prune`: what it shows, asks and removes, and how other commands tell of it."""

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from perdure import Pruned, Retention, Store
from perdure.cli.app import FOUND, INTERRUPTED, NOT_FOUND, USAGE, app
from perdure.cli.durations import duration, in_units
from perdure.cli.prune import _runs
from perdure.testing.clock import Clock

HOUR_S = 3600
START = "2026-01-01T00:00:00Z"
LAST_2 = ("--keep-last", "2")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Two states of long ago; `try` parted from `a` at 12, where main went back to from 14.

    Checkpoints are an hour apart, and 5 and 12 have a label.
    """
    name, clock = str(tmp_path / "agents.db"), Clock(START)
    with Store(name, clock=clock, maintenance="off") as store:
        for key in ("a", "b"):
            save(store, clock, key, range(1, 15), labels={5: "five", 12: "twelve"})
        store.fork("a", "try", at=12)
        save(store, clock, "a", range(13, 19), branch="try")
        store.rollback("a", to=12)
        save(store, clock, "a", range(13, 21))
    return name


def save(
    store: Store,
    clock: Clock,
    key: str,
    values: Any,
    branch: str = "main",
    labels: dict[int, str] | None = None,
) -> None:
    with store.open(key, branch=branch) as session:
        for value in values:
            session.state["n"] = value
            clock.advance(HOUR_S)
            session.save(label=(labels or {}).get(value))


def run(path: str, *args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["--store", path, *args])
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


def found(path: str, *args: str) -> Any:
    return json.loads(run(path, *args, "--json").stdout)


def numbers(path: str, *args: str) -> list[int]:
    return [each["number"] for each in found(path, "log", *args)["checkpoints"]][::-1]


# ---- what it says ---------------------------------------------------------------------------


def test_a_dry_run_shows_what_would_go_and_removes_nothing(path: str) -> None:
    before = Path(path).read_bytes()
    lines = run(path, "prune", "a", *LAST_2, "--keep-left", "0s", "--dry-run").stdout.splitlines()
    assert lines[0].split() == ["key", "branch", "kept", "removed", "checkpoints", "that", "stay"]
    assert lines[1].split(maxsplit=4) == ["a", "main", "4", "16", "5, 12, 19-20"]
    assert lines[2].split(maxsplit=4) == ["a", "try", "4", "14", "5, 12, 17-18"]
    assert lines[3] == ""
    assert lines[4].startswith("a: 22 checkpoints would be removed, about ")
    assert "2 of them on no branch any more" in lines[4]
    assert lines[4].endswith("; movement 2 could not be undone any more")
    assert Path(path).read_bytes() == before


def test_it_removes_what_the_dry_run_said(path: str) -> None:
    would = found(path, "prune", "a", *LAST_2, "--dry-run")["states"]
    done = found(path, "prune", "a", *LAST_2, "--yes")["states"]
    assert [(each["dry_run"], each["receipt"]) for each in would + done] == [
        (True, None),
        (False, 3),
    ]
    for each in would + done:
        del each["dry_run"], each["receipt"]
    assert would == done
    assert done[0]["branches"][0]["runs"] == [[5, 5], [12, 12], [19, 20]]
    assert numbers(path, "a") == [5, 12, 19, 20]
    assert numbers(path, "a", "--branch", "try") == [5, 12, 17, 18]
    assert numbers(path, "b") == [*range(1, 15)]
    run(path, "verify")


def test_all_states_are_pruned_and_summed_up(path: str) -> None:
    result = run(path, "prune", "--keep-last", "1", "--no-labels", "--yes")
    *_, a, b, total = result.stdout.splitlines()
    assert a.startswith("a: ")
    assert a.endswith("receipt: movement 3")
    assert b.startswith("b: 13 checkpoints removed, about ")
    assert b.endswith("receipt: movement 1")
    assert total.startswith("in all: ")
    assert "of 2 states" in total
    assert "--compact" in result.stderr
    again = run(path, "prune", "--keep-last", "1", "--no-labels", "--yes")
    assert again.stdout == "nothing to remove: every checkpoint is kept\n"
    assert again.stderr == ""


def test_space_is_given_back(path: str) -> None:
    with Store(path) as store:
        for number in range(20):
            with store.open("a") as session:
                session.state["text"] = str(number) * 100_000
    size = os.stat(path).st_size
    told = found(path, "prune", *LAST_2, "--yes", "--compact")
    assert told["compacted"] > 0
    assert os.stat(path).st_size < size
    assert "given back" in run(path, "prune", *LAST_2, "--yes", "--compact").stdout


def test_a_state_that_cannot_be_read_is_told_of(path: str) -> None:
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE heads SET head = x'00' WHERE CAST(key AS TEXT) = 'a'")
    result = run(path, "prune", *LAST_2, "--yes", code=FOUND)
    assert "b: 10 checkpoints removed" in result.stdout
    assert "a    damaged: " in result.stdout
    states = json.loads(run(path, "prune", *LAST_2, "--yes", "--json", code=FOUND).stdout)["states"]
    assert states[0]["problem"].startswith("damaged: ")


def test_runs_are_named_whole_or_in_few_words() -> None:
    runs = [(n, n) for n in range(1, 1000, 2)] + [(1001, 1100)]
    whole, short = _runs(runs)
    assert whole.count(",") == 500
    assert short == "1, 497 more, 997, 999, 1001-1100"
    assert _runs([(3, 3), (7, 9)]) == ("3, 7-9", "3, 7-9")


# ---- what is asked --------------------------------------------------------------------------


@pytest.mark.parametrize("given", [[], ["--no-labels"], ["--keep-label", "five"], ["--yes"]])
def test_a_policy_that_keeps_all_names_the_options(path: str, given: list[str]) -> None:
    told = run(path, "prune", *given, code=USAGE).stderr
    assert all(name in told for name in ("--keep-last", "--max-age", "--thin", "--keep-left"))


def test_what_does_not_go_together_or_makes_no_sense(path: str) -> None:
    for args in (
        [*LAST_2, "--no-labels", "--keep-label", "five", "--dry-run"],
        [*LAST_2, "--dry-run", "--compact"],
        ["--keep-last", "0", "--dry-run"],
        ["--max-age", "3q", "--dry-run"],
        ["--max-age", "3", "--dry-run"],
        ["--thin", "7d", "--dry-run"],
        ["--thin", "7d:x", "--dry-run"],
        ["--thin", "7d:0d", "--dry-run"],
    ):
        run(path, "prune", *args, code=USAGE)
    run(path, "prune", "c", *LAST_2, "--yes", code=NOT_FOUND)


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_where_nobody_can_be_asked_it_needs_a_yes(path: str, as_json: list[str]) -> None:
    assert "--yes" in run(path, "prune", "a", *LAST_2, *as_json, code=USAGE).stderr
    assert numbers(path, "a") == [*range(1, 21)]


def asked(path: str, typed: str, *args: str) -> tuple[str, int]:
    """What a process shows on a terminal where `typed` waits to be read, and how it ends."""
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    command = [sys.executable, "-m", "perdure.cli", "--store", path, "prune", *args]
    env = {**os.environ, "COLUMNS": "100", "TERM": "dumb"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        written = b""
        while piece := _read(ours):
            written += piece
    os.close(ours)
    return written.decode(), process.returncode


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side has closed
        return b""


def test_on_a_terminal_it_shows_what_would_go_and_asks(path: str) -> None:
    shown, code = asked(path, "n\n", "a", *LAST_2)
    assert "5, 12, 19-20" in shown
    assert "would be removed" in shown
    assert "Remove them for good?" in shown
    assert "nothing was changed" in shown
    assert code == 0
    assert numbers(path, "a") == [*range(1, 21)]
    shown, code = asked(path, "y\n", "a", *LAST_2)
    assert "receipt: movement 3" in shown
    assert code == 0
    assert numbers(path, "a") == [5, 12, 19, 20]
    shown, code = asked(path, "", "a", *LAST_2)
    assert "nothing to remove" in shown
    assert "Remove them" not in shown
    assert code == 0


def test_an_end_of_input_at_the_question_changes_nothing(path: str) -> None:
    _, code = asked(path, "\x04", "a", *LAST_2)
    assert code == INTERRUPTED
    assert numbers(path, "a") == [*range(1, 21)]


# ---- options as policies --------------------------------------------------------------------


def test_each_option_says_what_the_library_is_told(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Retention] = []

    def prune(_store: Store, policy: Retention, *_: Any, **__: Any) -> list[Pruned]:
        told.append(policy)
        return []

    monkeypatch.setattr(Store, "prune", prune)
    day = timedelta(days=1)
    for args, policy in (
        (["--keep-last", "3"], Retention(keep_last=3)),
        (["--max-age", "1d12h"], Retention(max_age=1.5 * day)),
        (
            ["--thin", "7d:1d", "--thin", "4w:1w"],
            Retention(thin=[(7 * day, day), (28 * day, 7 * day)]),
        ),
        (["--keep-left", "30m"], Retention(keep_left=day / 48)),
        (["--keep-last", "1", "--no-labels"], Retention(keep_last=1, keep_labels=False)),
        (
            ["--keep-last", "1", "--keep-label", "x", "--keep-label", "y"],
            Retention(keep_last=1, keep_labels=("x", "y")),
        ),
    ):
        run(path, "prune", *args, "--dry-run")
        assert told.pop() == policy


def test_ages_count_from_now(path: str) -> None:
    assert found(path, "prune", "b", "--max-age", "1s", "--dry-run")["states"][0]["removed"] == 11
    assert found(path, "prune", "b", "--max-age", "999w", "--dry-run")["states"][0]["removed"] == 0
    thinned = found(path, "prune", "b", "--thin", "1d:1d", "--no-labels", "--dry-run")["states"][0]
    assert thinned["branches"][0]["runs"] == [[9, 9], [14, 14]]  # 9 is the last of a day


AMOUNTS = st.lists(st.integers(0, 10**5), min_size=5, max_size=5)


@given(AMOUNTS)
def test_a_duration_is_the_sum_of_its_parts(amounts: list[int]) -> None:
    text = "".join(f"{amount}{unit}" for amount, unit in zip(amounts, "wdhms", strict=True))
    weeks, days, hours, minutes, seconds = amounts
    whole = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    assert duration(text) == whole
    assert duration(in_units(whole)) == whole


@pytest.mark.parametrize(
    "text",
    ["", "3", "d", "3x", "-3d", "3 d", "1.5d", "3D", "٣d", "3d ", "9" * 30 + "w", "9" * 5000 + "s"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|unit|long"):
        duration(text)


# ---- what other commands tell ---------------------------------------------------------------


@pytest.fixture
def pruned(path: str) -> str:
    run(path, "prune", "a", *LAST_2, "--yes")
    return path


def test_the_receipt_is_a_movement_in_words(pruned: str) -> None:
    line = run(pruned, "movements", "a").stdout.splitlines()[1]
    assert line.split()[0] == "3"
    assert line.endswith("pruned 22 checkpoints")
    receipt, rollback, _ = found(pruned, "movements", "a")["movements"]
    assert (receipt["what"], receipt["pruned"]) == ("prune", 22)
    assert rollback["pruned"] is None


def firsts(text: str) -> list[str]:
    """Of each line the number, or all of one about what was pruned."""
    return [line.strip() if "…" in line else line.split()[0] for line in text.splitlines()[1:]]


def test_a_log_shows_where_checkpoints_were_pruned(pruned: str) -> None:
    whole = ["20", "19", "… 6 checkpoints pruned …", "12", "… 6 checkpoints pruned …", "5"]
    whole.append("… 4 checkpoints pruned …")
    assert firsts(run(pruned, "log", "a").stdout) == whole
    assert run(pruned, "log", "a").stderr == ""
    page = run(pruned, "log", "a", "--limit", "2")
    assert firsts(page.stdout) == whole[:3]
    assert page.stderr == "more: add --before 19, or a larger --limit\n"
    assert firsts(run(pruned, "log", "a", "--before", "19").stdout) == whole[3:]
    assert "6 checkpoints pruned" in run(pruned, "log", "a", "--changes").stdout
    assert run(pruned, "log", "b", "--limit", "2").stderr.startswith("12 older: ")
    assert "pruned" not in run(pruned, "log", "b", "--all").stdout


def test_a_log_of_all_says_of_whom(pruned: str) -> None:
    told = [line for line in firsts(run(pruned, "log", "a", "--all").stdout) if "…" in line]
    assert sorted(told) == [
        "before main@12: … 6 checkpoints pruned …",
        "before main@19: … 6 checkpoints pruned …",
        "before main@5: … 4 checkpoints pruned …",
        "before try@17: … 4 checkpoints pruned …",
    ]


def test_what_was_pruned_of_what_a_branch_left_is_told_too(path: str) -> None:
    run(path, "prune", "a", "--keep-last", "1", "--keep-left", "9999w", "--yes")
    told = firsts(run(path, "log", "a", "--all").stdout)
    assert told[told.index("main") :].count("before main@14: … 1 checkpoint pruned …") == 1
    drawn = run(path, "log", "a", "--graph", "--all").stdout
    assert "(left by main)" in drawn
    assert "| :  … 1 checkpoint pruned …" in drawn


def test_the_graph_goes_on_over_what_was_pruned(path: str) -> None:
    run(path, "prune", "a", *LAST_2, "--keep-left", "9999w", "--yes")
    lines = run(path, "log", "a", "--graph", "--all").stdout.splitlines()[1:]
    assert [re.split(r" {2}[0-9a-f]{12} ", line)[0].rstrip() for line in lines] == [
        "*        20",
        "*        19",
        ":    … 6 checkpoints pruned …",
        "| *      18",
        "| *      17",
        "| :  … 4 checkpoints pruned …",
        "|/",
        "| *      14",
        "| *      13",
        "|/",
        "*        12",
        ":    … 6 checkpoints pruned …",
        "*         5",
        ":    … 4 checkpoints pruned …",
    ]


def test_counts_are_of_what_is_kept(pruned: str) -> None:
    assert run(pruned, "verify", "a").stdout.splitlines()[1].split() == ["a", "4", "ok"]
    told = run(pruned, "stats", "a").stdout
    assert told.splitlines()[1].split()[:2] == ["a", "4"]
    assert "checkpoints up to 20: 4 are kept, 16 were pruned" in told
    assert "were pruned" not in run(pruned, "stats", "b").stdout
    firsts = {each["name"]: each["first"] for each in found(pruned, "branches", "a")["branches"]}
    assert firsts == {"main": 19, "try": 17}


def test_maintenance_names_a_pruning_that_was_interrupted(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("perdure.engine.prune.finish", _stopped)
        told = run(path, "prune", "a", *LAST_2, "--yes", code=INTERRUPTED).stderr
    assert "the next maintenance removes what is left" in told
    planned = run(path, "maintain", "a", "--dry-run").stdout
    assert planned.splitlines()[1] == "a    prune: end one that was interrupted"
    assert "prune" in run(path, "maintain", "a").stdout
    assert "prune" not in run(path, "maintain", "a", "--dry-run").stdout
    assert numbers(path, "a") == [5, 12, 19, 20]
    run(path, "verify")


def _stopped(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_how_far_a_pruned_state_goes_is_not_told_as_how_many_it_has(pruned: str) -> None:
    said = run(pruned, "copy", "a", "a2").stdout
    assert said == "copied a to a2, up to checkpoint 20\n"
    head, row, *_ = run(pruned, "ls", "a2").stdout.splitlines()
    assert dict(zip(head.split(), row.split(), strict=False))["checkpoint"] == "20"
    assert len(numbers(pruned, "a2")) < 20
    run(pruned, "rm", "a2", "--yes")
    said = run(pruned, "undelete", "a2").stdout
    assert said == "brought back a2, up to checkpoint 20\n"
