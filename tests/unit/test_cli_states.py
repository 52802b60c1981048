"""`perdure ls`, `copy`, `rm`, `undelete`; which store is meant; exit codes."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from perdure import Store, errors
from perdure.cli.app import EXIT_CODES, App, app

KEYS = ("a/1", "a/2", "a/3", "b")


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "agents.db")
    with Store(name) as store:
        for number, key in enumerate(KEYS):
            with store.open(key) as session:
                session.state["n"] = number
                session.summary = "waits\nfor \x1b[31mAnn" if key == "b" else None
    return name


@pytest.fixture(autouse=True)
def _no_store_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERDURE_STORE", raising=False)


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, args, env=env)


def listed(result: Result) -> list[str]:
    assert result.exit_code == 0, result.stderr
    return [state["key"] for state in json.loads(result.stdout)["states"]]


def test_states_are_listed_in_plain_stable_text(path: str) -> None:
    result = run("--store", path, "ls")
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["key", "checkpoint", "sessions", "status", "updated", "summary"]
    assert [row.split()[:4] for row in rows] == [[key, "1", "1", "closed"] for key in KEYS]
    assert rows[-1].endswith("waits\\nfor \\x1b[31mAnn")
    assert "\t" not in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stderr == ""


def test_a_prefix_and_pages(path: str) -> None:
    first = run("--store", path, "ls", "a/", "--limit", "2", "--json")
    assert listed(first) == ["a/1", "a/2"]
    assert json.loads(first.stdout)["next"] == "a/2"
    second = run("--store", path, "ls", "a/", "--limit", "2", "--after", "a/2", "--json")
    assert listed(second) == ["a/3"]
    assert json.loads(second.stdout)["next"] is None
    assert "--after a/2" in run("--store", path, "ls", "--limit", "2").stderr


def test_in_a_pipe_a_long_key_pushes_only_its_own_row_aside(path: str) -> None:
    with Store(path) as store, store.open("c" * 1000) as session:
        session.state["n"] = 1
    head, *rows, long = run("--store", path, "ls").stdout.splitlines()
    assert max(map(len, (head, *rows))) < 120
    assert long.startswith("c" * 1000 + "  ")


def test_without_arguments_it_prints_its_help() -> None:
    result = run()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == run("--help").stdout
    assert "\n  ls " in result.stdout


def test_an_empty_listing_says_so_apart_from_the_data(path: str) -> None:
    result = run("--store", path, "ls", "zzz")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no states\n")


def test_the_store_may_be_named_before_after_or_in_the_environment(
    path: str, tmp_path: Path
) -> None:
    other = str(tmp_path / "other.db")
    env = {"PERDURE_STORE": other}
    assert listed(run("ls", "--json", env={"PERDURE_STORE": path})) == list(KEYS)
    assert listed(run("--store", path, "ls", "--json", env=env)) == list(KEYS)
    assert listed(run("--store", other, "ls", "--store", path, "--json", env=env)) == list(KEYS)


@pytest.mark.parametrize("env", [{}, {"PERDURE_STORE": ""}])
def test_no_store_named_is_an_error_that_says_both_ways(env: dict[str, str]) -> None:
    result = run("ls", env=env)
    assert result.exit_code == 2
    assert "--store PATH" in result.stderr
    assert "PERDURE_STORE" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["ls"], ["show", "k"], ["log", "k"], ["diff", "k", "1"], ["sessions", "k"],
        ["export", "k", "out"], ["backup", "out"], ["copy", "k", "k2"], ["rm", "k", "--yes"],
        ["undelete", "k"], ["verify"], ["stats"],
    ],
)  # fmt: skip
def test_no_command_but_import_makes_a_store(tmp_path: Path, command: list[str]) -> None:
    missing = tmp_path / "missing.db"
    result = CliRunner().invoke(app, [*command, "--store", str(missing)])
    assert result.exit_code == 6
    assert f"There is no store at {missing}. Name another with --store or PERDURE_STORE" in (
        result.stderr
    )
    assert list(tmp_path.iterdir()) == []
    assert not Path("out").exists()


def test_a_copy_is_a_state_of_its_own(path: str) -> None:
    result = run("--store", path, "copy", "b", "b2")
    assert result.stdout == "copied b to b2, up to checkpoint 1\n"
    assert run("--store", path, "rm", "b", "--yes").exit_code == 0
    assert listed(run("--store", path, "ls", "b", "--json")) == ["b2"]
    taken = run("--store", path, "copy", "b2", "a/1")
    assert taken.exit_code == 2
    assert taken.stderr.endswith("choose another key: perdure copy b2 NEW\n")


def test_a_deleted_state_is_hidden_and_brought_back(path: str) -> None:
    deleted = run("--store", path, "rm", "a/1", "--yes")
    assert deleted.exit_code == 0
    assert "perdure undelete a/1" in deleted.stdout
    assert listed(run("--store", path, "ls", "--json")) == ["a/2", "a/3", "b"]
    assert listed(run("--store", path, "ls", "--deleted", "--json")) == ["a/1"]
    hidden = run("--store", path, "show", "a/1")
    assert hidden.exit_code == 3
    assert "undelete" in hidden.stderr
    assert run("--store", path, "undelete", "a/1").exit_code == 0
    assert listed(run("--store", path, "ls", "--json")) == list(KEYS)


def test_an_earlier_life_is_listed_and_brought_back(path: str) -> None:
    for note in ("second", "third"):
        run("--store", path, "rm", "a/1", "--yes")
        with Store(path) as store, store.open("a/1") as session:
            session.state["note"] = note
    result = run("--store", path, "ls", "--deleted")
    head, *rows = result.stdout.splitlines()
    assert head.split()[:2] == ["key", "life"]
    assert [row.split()[:2] for row in rows] == [["a/1", "2"], ["a/1", "1"]]
    assert "life" not in run("--store", path, "ls").stdout
    assert run("--store", path, "undelete", "a/1", "--life", "2").exit_code == 2
    run("--store", path, "rm", "a/1", "--yes")
    page = json.loads(run("--store", path, "ls", "--deleted", "--limit", "1", "--json").stdout)
    assert [state["life"] for state in page["states"]] == [3, 2, 1]
    assert page["next"] is None
    assert run("--store", path, "undelete", "a/1", "--life", "2").exit_code == 0
    assert run("--store", path, "undelete", "a/1", "--life", "9").exit_code == 2
    with Store(path) as store:
        assert store.open("a/1").state["note"] == "second"


def test_nothing_is_deleted_when_nobody_can_be_asked(path: str) -> None:
    result = run("--store", path, "rm", "a/1")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert listed(run("--store", path, "ls", "--json")) == list(KEYS)


@pytest.mark.parametrize(
    ("args", "code", "kind"),
    [
        (["show", "nobody", "--json"], 3, "state-not-found"),
        (["show", "b", "--at", "9", "--json"], 3, "checkpoint-not-found"),
        (["show", "b", "n/deep", "--json"], 3, "path-not-found"),
        (["copy", "b", "a/1", "--json"], 2, "state-exists"),
        (["rm", "b", "--json"], 2, "usage"),
        (["ls", "--no-such-option", "--json"], 2, "usage"),
        (["no-such-command", "--json"], 2, "usage"),
    ],
)
def test_under_json_an_error_is_an_object_on_stderr(
    path: str, args: list[str], code: int, kind: str
) -> None:
    result = run("--store", path, *args)
    assert result.exit_code == code
    assert result.stdout == ""
    error = json.loads(result.stderr)["error"]
    assert error["kind"] == kind
    assert error["message"]


def failing(error: BaseException) -> App:
    @click.group(cls=App)
    def group() -> None:
        """Fail."""

    @group.command()
    def fail() -> None:
        raise error

    return group


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Busy("x"), 4),
        (errors.CommitUnknown("x"), 4),
        (errors.Conflict("x"), 5),
        (errors.StateDeleted("x"), 5),
        (errors.Damaged("x"), 6),
        (errors.StoreUnavailable("x"), 6),
        (errors.StateNotFound("x"), 3),
        (errors.InvalidKey("x"), 2),
        (errors.PerdureError("x"), 6),
        (click.ClickException("x"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes_say_what_to_do(error: BaseException, code: int) -> None:
    result = CliRunner().invoke(failing(error), ["fail"])
    assert result.exit_code == code
    assert code in EXIT_CODES
    if code != 130:
        assert result.stderr == "Error: x\n"


def test_an_error_cannot_steer_the_terminal() -> None:
    result = CliRunner().invoke(failing(errors.Damaged("a\x1b[2Jb")), ["fail"])
    assert result.stderr == "Error: a\\x1b[2Jb\n"


def test_a_bug_is_not_dressed_up_as_an_answer() -> None:
    result: Any = CliRunner().invoke(failing(ZeroDivisionError()), ["fail"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_who_holds_a_branch_is_listed(path: str) -> None:
    with Store(path) as store, store.open("b", exclusive=True) as session:
        result = run("--store", path, "ls", "b")
        (lease,) = store.info("b").leases
        assert f"main held by process {lease.holder.pid} on {lease.holder.host}" in result.stdout
        (state,) = json.loads(run("--store", path, "ls", "b", "--json").stdout)["states"]
        (told,) = state["leases"]
        assert (told["branch"], told["session"], told["alive"]) == ("main", session.id, True)
        assert told["holder"]["pid"] == lease.holder.pid
    assert "held" not in run("--store", path, "ls", "b").stdout
