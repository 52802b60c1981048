"""`perdure fork`, `rollback`, `promote`, `undo` and the rest: moving branches."""

import re
from pathlib import Path

import pytest
from tests.unit.cli_branched import branched, found, run, tips, value

from perdure import Store


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A store whose state has a branch."""
    return branched(tmp_path)


def test_branches_and_where_they_stand(path: str) -> None:
    head, *rows = run(path, "branches", "a").stdout.splitlines()
    assert head.split() == ["branch", "checkpoint", "id", "saved", "from"]
    assert [row.split()[:2] for row in rows] == [["main", "5"], ["what-if", "5"]]
    assert [row.split()[-1] for row in rows] == ["ago)", "3"]


def test_a_fork_and_how_to_remove_it(path: str) -> None:
    said = run(path, "fork", "a", "b", "--at", "~1", "--branch", "what-if").stdout
    assert said == "made b at 4 of a; this removes it: perdure branch delete a b\n"
    assert value(path, "plan", "--at", "b") == {"goal": "replace"}
    again = run(path, "fork", "a", "b", code=2)
    assert "has a branch 'b' already" in again.stderr
    assert run(path, "fork", "a", "b", "--exist-ok").stdout == "a has a branch b already, at 4\n"
    assert not found(path, "fork", "a", "b", "--exist-ok")["made"]
    assert found(path, "fork", "a", "c", "--exist-ok")["made"]
    assert tips(path) == {"main": 5, "b": 4, "c": 5, "what-if": 5}
    assert "branch" in run(path, "fork", "a", "~x", code=2).stderr


def test_a_rollback_says_what_it_did_and_what_takes_it_back(path: str) -> None:
    assert run(path, "rollback", "a", "3").stdout == (
        "rollback of main from 5 to 3, which leaves 2 checkpoints behind; "
        "this takes it back: perdure undo a\n"
    )
    assert (tips(path)["main"], value(path, "n")) == (3, 3)
    assert run(path, "rollback", "a", "3").stdout == "nothing to do: main stands there already\n"
    assert found(path, "rollback", "a", "3") == {"movement": None}
    assert run(path, "undo", "a").stdout == (
        "undo of movement 2: main moved from 3 to 5, which gains 2 checkpoints; "
        "this takes it back: perdure redo a\n"
    )
    assert value(path, "n") == 5
    assert run(path, "redo", "a").stdout.endswith("this takes it back: perdure undo a\n")
    assert value(path, "n") == 3
    assert "nothing to redo" in run(path, "redo", "a", code=2).stderr


def test_a_dry_run_shows_what_a_diff_would_and_changes_nothing(path: str) -> None:
    before = run(path, "log", "a", "--all").stdout
    shown = run(path, "rollback", "a", "what-if", "--dry-run").stdout
    assert shown == (
        "would be done: rollback of main from 5 to 5, "
        "which leaves 2 checkpoints behind and gains 2 checkpoints\n"
        + run(path, "diff", "a", "main", "what-if").stdout
        + "note: what was done to the outside world since is not undone: files, messages, "
        "payments\n"
    )
    assert "  plan/goal\n    - 'refund'\n    + 'replace'\n" in shown
    as_data = found(path, "rollback", "a", "what-if", "--dry-run")["movement"]
    assert as_data["dry_run"]
    assert as_data["differences"] == found(path, "diff", "a", "main", "what-if")["differences"]
    assert len(as_data["warnings"]) == 1
    assert run(path, "log", "a", "--all").stdout == before
    assert not found(path, "undo", "a")["movement"]["dry_run"]  # the fork was the last


def test_a_dry_run_warns_of_who_is_at_work(path: str) -> None:
    with Store(path) as store, store.open("a") as session:
        session.state["n"] = 6
        session.save()
        assert "may be at work on 'main'" in run(path, "rollback", "a", "3", "--dry-run").stdout


@pytest.mark.parametrize(
    "call",
    [
        ["rollback", "a", "3"],
        ["promote", "a", "ahead"],
        ["branch", "delete", "a", "what-if"],
        ["undo", "a"],
    ],
)
def test_every_dry_run_leaves_the_store_as_it_is(path: str, call: list[str]) -> None:
    with Store(path) as store:
        store.fork("a", "ahead")
        with store.open("a", branch="ahead") as session:
            session.state["n"] = 6
    before = [run(path, each, "a").stdout for each in ("movements", "branches")]
    told = run(path, *call, "--dry-run").stdout
    assert told.startswith("would be done: ")
    assert [run(path, each, "a").stdout for each in ("movements", "branches")] == before
    assert run(path, *call).stdout.split(";")[0] == told.splitlines()[0].partition(": ")[2]
    assert run(path, "movements", "a").stdout != before[0]


def test_promote_moves_main_to_a_branch_that_went_on_from_it(path: str) -> None:
    refused = run(path, "promote", "a", "what-if", code=2)
    assert "main" in refused.stderr
    assert tips(path)["main"] == 5
    run(path, "rollback", "a", "3")
    said = run(path, "promote", "a", "what-if").stdout
    assert said.startswith("promote of main from 3 to 5, which gains 2 checkpoints; ")
    assert value(path, "plan") == {"goal": "replace"}
    same = run(path, "promote", "a", "what-if").stdout
    assert same == "nothing to do: main stands where what-if does\n"
    assert run(path, "promote", "a", "main").stdout == "nothing to do: main stands there already\n"
    run(path, "fork", "a", "other", "--at", "3")
    run(path, "promote", "a", "what-if", "--into", "other")
    assert tips(path) == {"main": 5, "other": 5, "what-if": 5}


def test_a_branch_is_renamed_and_deleted_and_brought_back(path: str) -> None:
    assert run(path, "branch", "rename", "a", "what-if", "b").stdout.startswith(
        "rename of what-if to b; this takes it back: "
    )
    assert run(path, "branch", "rename", "a", "b", "b").stdout.startswith("nothing to do: b ")
    assert run(path, "branch", "delete", "a", "b").stdout.startswith(
        "delete of b, which stood at 5"
    )
    assert tips(path) == {"main": 5}
    run(path, "undo", "a")
    run(path, "undo", "a")
    assert tips(path) == {"main": 5, "what-if": 5}
    assert "main" in run(path, "branch", "delete", "a", "main", code=2).stderr
    assert "Missing command" in run(path, "branch", code=2).stderr


def test_movements_newest_first(path: str) -> None:
    run(path, "rollback", "a", "3")
    run(path, "undo", "a")
    head, *rows = run(path, "movements", "a").stdout.splitlines()
    assert head.split() == ["movement", "time", "what"]
    assert [row.split("  ")[-1].strip() for row in rows] == [
        "undo of movement 2: main moved from 3 to 5, which gains 2 checkpoints",
        "rollback of main from 5 to 3, which leaves 2 checkpoints behind",
        "fork of what-if at 3",
    ]
    as_data = found(path, "movements", "a")["movements"]
    assert [(each["number"], each["what"]) for each in as_data] == [
        (3, "undo"),
        (2, "rollback"),
        (1, "fork"),
    ]
    assert as_data[0]["taken"] == 2
    with Store(path) as store, store.open("calm") as session:
        session.state["n"] = 1
    none = run(path, "movements", "calm")
    assert (none.stdout, none.stderr) == ("", "no branch was made or moved\n")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (["rollback", "a", "3"], r"perdure rollback a [0-9a-f]{12}"),
        (
            ["rollback", "a", "4", "--branch", "what-if"],
            r"perdure rollback a \w{12} --branch what-if",
        ),
        (["branch", "delete", "a", "what-if"], r"perdure fork a what-if --at [0-9a-f]{12}"),
        (["branch", "rename", "a", "what-if", "b"], r"perdure branch rename a b what-if"),
        (["undo", "a"], r"perdure fork a what-if --at [0-9a-f]{12}"),
    ],
)
def test_the_other_way_back_holds_after_others_moved_branches(
    path: str, call: list[str], says: str
) -> None:
    before = {branch: value(path, "n", "--at", branch) for branch in tips(path)}
    told = run(path, *call).stderr
    back = re.fullmatch(rf"after further movements this does: ({says})\n", told)
    assert back is not None, told
    run(path, "fork", "a", "another")  # which undo would take back
    run(path, *back[1].split()[1:])
    assert {branch: value(path, "n", "--at", branch) for branch in before} == before


def test_an_undo_says_what_became_of_the_branch(path: str) -> None:
    run(path, "branch", "rename", "a", "what-if", "b")
    run(path, "branch", "delete", "a", "b")
    told = [run(path, what, "a").stdout.split(";")[0] for what in ["undo"] * 3 + ["redo"]]
    assert told == [
        "undo of movement 3: b restored at 5",
        "undo of movement 2: b renamed to what-if",
        "undo of movement 1: what-if removed, which stood at 5",
        "redo of movement 6: what-if restored at 5",
    ]
    run(path, "undo", "a")
    assert (
        "every movement of the branches of 'a' was taken back"
        in run(path, "undo", "a", code=2).stderr
    )


def test_a_branch_that_is_not_there_is_told_with_those_alike_or_else_with_some(path: str) -> None:
    alike = run(path, "promote", "a", "what-of", code=3).stderr
    assert alike.endswith("Did you mean 'what-if'?\n")
    others = run(path, "promote", "a", "zzz", code=3).stderr
    assert others.endswith("'a' has no branch 'zzz'. It has 'main', 'what-if'\n")


def test_a_value_that_is_no_container_is_told_with_its_article(path: str) -> None:
    assert "is an int and" in run(path, "show", "a", "n/x", code=3).stderr
    assert "is an int and" in run(path, "show", "a", "n", "--last", "1", code=2).stderr
