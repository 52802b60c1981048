"""`perdure fork`, `rollback`, `promote`, `undo` and the rest, references, and `log` of branches."""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from perdure import Store, errors
from perdure.cli.app import app
from perdure.testing.clock import Clock


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Checkpoints 1 to 5 on main, a minute apart; what-if left it at 3 and has two of its own."""
    name, clock = str(tmp_path / "agents.db"), Clock()
    with Store(name, clock=clock) as store:
        with store.open("a") as session:
            session.state["plan"] = {"goal": "refund"}
            for number in range(1, 6):
                session.state["n"] = number
                session.save(label=f"step {number}")
                clock.advance(60)
        store.fork("a", "what-if", at=3)
        with store.open("a", branch="what-if") as session:
            session.state["plan"]["goal"] = "replace"
            session.save(label="tried")
            session.state["sent"] = True
    return name


def run(path: str, *args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["--store", path, *args])
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


def found(path: str, *args: str) -> Any:
    return json.loads(run(path, *args, "--json").stdout)


def tips(path: str) -> dict[str, int]:
    return {
        each["name"]: each["tip"]["number"] for each in found(path, "branches", "a")["branches"]
    }


def value(path: str, *args: str) -> Any:
    return found(path, "show", "a", *args)["value"]


# ---- movements ------------------------------------------------------------------------------


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


# ---- references -----------------------------------------------------------------------------


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


# ---- the log --------------------------------------------------------------------------------


def listed(path: str, *args: str) -> list[tuple[str, int]]:
    page = found(path, "log", "a", *args)["checkpoints"]
    return [(each["branch"], each["number"]) for each in page]


def test_the_log_of_a_branch_of_all_and_of_what_was_left(path: str) -> None:
    own = [(name, number) for name, number in listed(path, "--branch", "what-if")]
    assert own == [("what-if", number) for number in (5, 4, 3, 2, 1)]
    run(path, "rollback", "a", "3")
    assert [number for _, number in listed(path)] == [3, 2, 1]
    every = listed(path, "--all")
    assert sorted(every) == sorted(
        [*(("main", number) for number in range(1, 6)), ("what-if", 4), ("what-if", 5)]
    )
    head, *rows = run(path, "log", "a", "--all").stdout.splitlines()
    assert head.split()[:2] == ["branch", "number"]
    assert [(row.split()[0], int(row.split()[1])) for row in rows] == every
    assert (
        "--all is of all branches" in run(path, "log", "a", "--all", "--branch", "b", code=2).stderr
    )


@pytest.mark.parametrize("options", [["--all"], ["--graph"], ["--graph", "--all"]])
def test_pages_of_all_branches_hold_each_checkpoint_once(path: str, options: list[str]) -> None:
    run(path, "rollback", "a", "3")
    whole = [each["id"] for each in found(path, "log", "a", *options)["checkpoints"]]
    assert len(whole) == (7 if "--all" in options else 5)
    paged: list[str] = []
    before: list[str] = []
    for _ in whole:
        page = found(path, "log", "a", *options, "--limit", "2", *before)
        paged += (each["id"] for each in page["checkpoints"])
        if page["next"] is None:
            break
        hint = run(path, "log", "a", *options, "--limit", "2", *before).stderr
        assert f"add --before {page['next'][:12]}, or a larger --limit" in hint
        before = ["--before", page["next"]]
    assert paged == whole
    first = ["--before", whole[-1]]
    assert run(path, "log", "a", *options, *first).stderr.startswith("no checkpoint before ")


def graph_of(path: str, *args: str) -> list[str]:
    """The graph without ids and times."""
    text = run(path, "log", "a", "--graph", *args).stdout
    return [
        re.sub(r" +", " ", re.sub(r"[0-9a-f]{12}|20\S+ \S+ \(.+?\)", "", row)).strip()
        for row in text.splitlines()
    ]


def test_the_graph_shows_branches_side_by_side(path: str) -> None:
    assert graph_of(path) == [
        "number id branches time label sections",
        "* 5 (main) step 5 n",
        "* 4 step 4 n",
        "| * 5 (what-if) sent",
        "| * 4 tried plan",
        "|/",
        "* 3 step 3 n",
        "* 2 step 2 n",
        "* 1 step 1 n, plan",
    ]
    assert graph_of(path, "--branch", "what-if")[1:] == [
        "* 5 (what-if) sent",
        "* 4 tried plan",
        "* 3 step 3 n",
        "* 2 step 2 n",
        "* 1 step 1 n, plan",
    ]


def test_the_graph_of_all_shows_what_was_left_and_by_whom(path: str) -> None:
    run(path, "rollback", "a", "4")
    run(path, "fork", "a", "idle")
    assert graph_of(path)[1] == "* 4 (main, idle) step 4 n"
    run(path, "branch", "delete", "a", "what-if")
    assert graph_of(path, "--all")[1:] == [
        "* 5 (left by main) step 5 n",
        "* 4 (main, idle) step 4 n",
        "| * 5 (left by what-if) sent",
        "| * 4 tried plan",
        "|/",
        "* 3 step 3 n",
        "* 2 step 2 n",
        "* 1 step 1 n, plan",
    ]
    assert [row for row in graph_of(path) if "left by" in row or "tried" in row] == []
    for command in ("undo", "undo", "undo"):  # where a branch stood for a while is not left
        run(path, command, "a")
    assert not any("left by" in row for row in graph_of(path, "--all"))


def test_the_graph_with_changes_and_cut_short(path: str) -> None:
    assert graph_of(path, "--changes", "--limit", "4")[1:] == [
        "* 5 (main) step 5 n",
        "| set n = 5",
        "* 4 step 4 n",
        "| set n = 4",
        ":",
        "* 5 (what-if) sent",
        "| set sent = True",
        "* 4 tried plan",
        "| set plan/goal = 'replace'",
        ":",
    ]
    assert "3 older: add --before " in run(path, "log", "a", "--graph", "--limit", "4").stderr
