"""`perdure log` of branches, of all of them, and as a graph."""

import re
from pathlib import Path

import pytest
from tests.unit.cli_branched import branched, found, run


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A store whose state has a branch."""
    return branched(tmp_path)


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
