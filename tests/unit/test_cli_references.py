"""How the command line takes a checkpoint: by number, branch, label, time and the others."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.cli_branched import branched, found, run, tips, value

from perdure import Store, errors


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A store whose state has a branch."""
    return branched(tmp_path)


@pytest.mark.parametrize(
    ("ref", "told", "code"),
    [
        ("tried", "on the command line label:tried", 3),
        ("step", 'perdure.label("step")', 3),
        ("feed", "label:feed", 3),  # might be an id
        ("2026-11-03", "time:2026-11-03", 3),
        ("~30", "no checkpoint 30 before 5 on 'main'; its checkpoints are 1 to 5", 3),
        ("what-if@4~9", "no checkpoint 9 before 4 on 'what-if'; its checkpoints are 1 to 5", 3),
        ("99", "no checkpoint 99 on 'main'; its checkpoints are 1 to 5", 3),
        ("-3", "before the newest: ~3", 2),
    ],
)
def test_what_names_no_checkpoint_is_told_how_to_name_one(
    path: str, ref: str, told: str, code: int
) -> None:
    assert told in run(path, "rollback", "a", ref, code=code).stderr


def test_a_wrong_option_that_is_no_number_is_told_as_ever(path: str) -> None:
    assert "~" not in run(path, "rollback", "a", "3", "-x", code=2).stderr


def test_a_negative_number_is_told_in_the_library_too(path: str) -> None:
    with Store(path) as store, pytest.raises(errors.CheckpointNotFound, match="~3 is the one 3"):
        store.rollback("a", -3)


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ([], 5),
        (["--at", "2"], 2),
        (["--at", "~1"], 4),
        (["--at", "main~3"], 2),
        (["--at", "label:step 2"], 2),
        (["--at", "what-if"], 3),
        (["--at", "what-if@4~2"], 2),
        (["--branch", "what-if"], 3),
        (["--branch", "what-if", "--at", "~3"], 2),
        (["--branch", "what-if", "--at", "2"], 2),
        (["--branch", "what-if", "--at", "label:step 1"], 1),
        (["--branch", "what-if", "--at", "label:tried"], 3),
        (["--branch", "what-if", "--at", "main@4"], 4),
    ],
)
def test_a_checkpoint_by_each_kind_of_reference(path: str, options: list[str], number: int) -> None:
    assert value(path, "n", *options) == number


def test_a_branch_counts_from_its_own_newest(path: str) -> None:
    run(path, "fork", "a", "early", "--at", "2")
    assert value(path, "n", "--branch", "early") == 2
    assert value(path, "n", "--branch", "early", "--at", "~1") == 1


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock on the wall is not UTC."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_east")
def test_a_checkpoint_by_its_time_in_utc_or_any_zone(path: str) -> None:
    first = found(path, "log", "a", "--limit", "5")["checkpoints"][-1]
    saved = datetime.fromisoformat(first["time"])
    for minutes in range(4):
        when = saved + timedelta(minutes=minutes, seconds=30)
        assert value(path, "n", "--at", f"time:{when.isoformat()}") == 1 + minutes
        bare = when.astimezone(UTC).replace(tzinfo=None)
        assert value(path, "n", "--at", f"time:{bare.isoformat()}") == 1 + minutes
        on = ["--branch", "what-if", "--at", f"time:{bare.isoformat()}"]
        assert value(path, "n", *on) == min(1 + minutes, 3)
    none = run(path, "show", "a", "--at", "time:2001-01-01", code=3)
    assert "no checkpoint as old as 2001-01-01" in none.stderr
    wrong = run(path, "show", "a", "--at", "time:yesterday", code=2)
    assert "'yesterday' is no time" in wrong.stderr


@pytest.mark.parametrize(
    "call",
    [
        ["show", "a", "--branch", "beef"],
        ["log", "a", "--branch", "beef"],
        ["log", "a", "--branch", "beef", "--graph"],
        ["diff", "a", "1", "--branch", "beef"],
        ["show", "a", "--at", "beef@1"],
        ["rollback", "a", "1", "--branch", "beef"],
        ["promote", "a", "beef"],
        ["branch", "delete", "a", "beef"],
    ],
)
def test_a_branch_that_is_not_there(path: str, call: list[str]) -> None:
    assert "no branch 'beef'" in run(path, *call, code=3).stderr


def test_a_label_is_never_guessed(path: str) -> None:
    assert "names no checkpoint" in run(path, "show", "a", "--at", "tried", code=3).stderr
    none = run(path, "rollback", "a", "label:tried", code=3)
    assert "no checkpoint labelled 'tried' on 'main'" in none.stderr
    run(path, "rollback", "a", "label:step 2", "--branch", "what-if")
    assert tips(path) == {"main": 5, "what-if": 2}


def test_a_diff_along_a_branch_and_across(path: str) -> None:
    along = run(path, "diff", "a", "~1", "--branch", "what-if").stdout
    assert along == "sent  added\n    + True\n"
    across = run(path, "diff", "a", "what-if@4", "main@3").stdout
    assert across == "plan  1 changed\n  plan/goal\n    - 'replace'\n    + 'refund'\n"


def test_a_label_or_a_time_of_another_branch(path: str) -> None:
    assert value(path, "plan/goal", "--at", "what-if@label:tried") == "replace"
    assert value(path, "n", "--at", "what-if@label:step 2") == 2
    tried = found(path, "log", "a", "--branch", "what-if")["checkpoints"][0]["time"]
    assert value(path, "--at", f"what-if@time:{tried}")["sent"]
    told = run(path, "diff", "a", "label:step 3", "what-if@label:tried").stdout
    assert told == run(path, "diff", "a", "3", "what-if@4").stdout
    assert "on 'what-if'" in run(path, "show", "a", "--at", "what-if@label:step 5", code=3).stderr
    assert "no branch 'beef'" in run(path, "show", "a", "--at", "beef@label:tried", code=3).stderr


def test_a_copy_of_a_state_as_it_was_on_a_branch(path: str) -> None:
    assert run(path, "copy", "a", "b", "--at", "what-if@4").stdout.endswith(
        ", up to checkpoint 4\n"
    )
    assert found(path, "show", "b")["value"] == {"plan": {"goal": "replace"}, "n": 3}


def test_show_says_which_branch_it_is(path: str) -> None:
    first = run(path, "show", "a", "--branch", "what-if").stdout.splitlines()[0]
    assert first.startswith("a at checkpoint what-if@5 (")
    assert run(path, "show", "a").stdout.startswith("a at checkpoint 5 (")
