"""`perdure migrate`: what it shows, does and takes back, and what it exits with."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner, Result

from perdure import Store, lenses
from perdure.cli.app import FOUND, RETRY, USAGE, app
from perdure.schemas.declare import migration, schema

RESEARCH, PLAN = "tests.unit.fleet_agent:Research", "tests.unit.fleet_agent:Plan"


@schema("Mistaken", version=2)
@dataclass
class Mistaken:
    subject: str = ""


migration(Mistaken, 1, 2, [lenses.rename("topik", "subject")])


@schema("Unreachable", version=3)
@dataclass
class Unreachable:
    subject: str = ""


migration(Unreachable, 2, 3, [lenses.rename("topic", "subject")])


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "agents.db")
    with Store(name) as store:
        for key in ("r/a", "r/b", "s/a"):
            with store.open(key) as session:
                session.state["topic"] = key
                session.state["steps"] = 7 if key == "r/b" else [1]
    return name


def call(path: str, *args: str) -> Result:
    return CliRunner().invoke(app, ["migrate", *args, "--store", path])


def answer(path: str, *args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(path, *args, "--json").stdout)
    return found


def test_dry_run_shows_samples_and_changes_nothing(path: str) -> None:
    found = call(path, RESEARCH, "r/*", "--dry-run")
    assert found.exit_code == 0
    assert "added subject: 'r/a'" in found.stdout
    assert "would migrate 2 to Research 2" in found.stdout
    assert answer(path, RESEARCH, "r/*", "--dry-run")["migration"]["counts"] == {"migrated": 2}


def test_a_migration_that_changes_nothing_is_told_of(path: str) -> None:
    typed = call(path, f"{__name__}:Mistaken", "r/*", "--dry-run")
    assert typed.stdout.count("nothing but its version") == 2
    assert "nothing but its version" not in call(path, RESEARCH, "r/*", "--dry-run").stdout


def test_run_is_migrated_and_taken_back(path: str) -> None:
    found = answer(path, RESEARCH, "r/*")["migration"]
    assert (found["counts"], found["as_foretold"]) == ({"migrated": 2}, True)
    with Store(path) as store, store.open("r/a") as session:
        assert session.state["subject"] == "r/a"
        session.state["subject"] = "later"
    undone = call(path, "--undo", found["run"])
    assert undone.exit_code == FOUND
    assert "r/a" in undone.stdout
    assert "rolled back 1 of run" in undone.stdout
    assert call(path, RESEARCH, "*").exit_code == 0


def test_failures_refuse_all_and_are_named(path: str) -> None:
    found = call(path, PLAN, "*")
    assert found.exit_code == FOUND
    assert "r/b" in found.stdout
    assert "migration-failed" in found.stdout
    assert "nothing was migrated" in found.stdout
    assert "--skip-failures" in found.stderr
    done = call(path, PLAN, "*", "--skip-failures")
    assert done.exit_code == FOUND
    assert "migrated 2 to Plan 1; 1 failed" in done.stdout


def test_states_that_are_held_are_for_another_try(path: str) -> None:
    with Store(path) as store, store.open("r/a", exclusive=True):
        assert call(path, RESEARCH, "*").exit_code == RETRY
    assert call(path, RESEARCH, "*").exit_code == 0


def test_undoing_what_is_held_is_for_another_try(path: str) -> None:
    run = answer(path, RESEARCH, "*")["migration"]["run"]
    with Store(path) as store, store.open("r/a", exclusive=True):
        found = call(path, "--undo", run)
        assert (found.exit_code, found.stdout[:3]) == (RETRY, "key")
        assert "rolled back 2" in found.stdout
    assert call(path, "--undo", run).exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "name the schema"),
        ((RESEARCH,), "name the schema"),
        ((RESEARCH, "r/a"), "with a star after it"),
        ((RESEARCH, "r/*/a*"), "with a star after it"),
        (("Research", "*"), "module:Class"),
        (("nowhere:Research", "*"), "run this where it is, or set PYTHONPATH"),
        (("v1/agent.py:Research", "*"), "as Python imports it: v1.agent:Research"),
        (("tests.unit.fleet_agent:Nobody", "*"), "cannot be imported"),
        (
            ("__main__:Nobody", "*"),
            "let the script end with `from perdure.cli import main; main()`",
        ),
        (("json:dumps", "*"), "is no class"),
        (("--undo", "yesterday"), "names no run"),
        ((RESEARCH, "*", "--undo", "yesterday"), "without a schema"),
    ],
)
def test_wrong_calls_say_how_it_goes(path: str, args: tuple[str, ...], message: str) -> None:
    found = call(path, *args)
    assert found.exit_code == USAGE
    assert message in " ".join(found.stderr.split())


def process(path: str, module: str, source: str, *args: str) -> "subprocess.CompletedProcess[str]":
    """The command as a process, beside a module of this source."""
    directory = Path(path).parent
    (directory / f"{module}.py").write_text(source)
    command = [sys.executable, "-m", "perdure.cli", "migrate", *args, "--store", path]
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import os; os.environ['NOT_SET_ANYWHERE']", "KeyError: 'NOT_SET_ANYWHERE'"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("def (", "invalid syntax"),
        ("class Agent: pass", "cannot be a schema"),
    ],
)
def test_modules_that_cannot_be_used_are_a_wrong_call(path: str, source: str, message: str) -> None:
    found = process(path, "broken", source, "broken:Agent", "*")
    assert found.returncode == USAGE
    assert message in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr


PRINTS = """
from dataclasses import dataclass
from perdure.schemas.declare import migration, schema

print("noise")

@schema("Noisy", version=1)
@dataclass
class Noisy:
    topic: str = ""

@migration(Noisy, 0, 1)
def prints(state):
    state["topic"] += "!"
    print("more noise")
"""


def test_what_modules_and_migrations_print_is_none_of_the_output(path: str) -> None:
    found = process(path, "noisy", PRINTS, "noisy:Noisy", "r/a*", "--json")
    assert json.loads(found.stdout)["migration"]["counts"] == {"migrated": 1}
    assert found.stderr.split("\n") == ["noise", "more noise", ""]


INTERRUPTED = """
import os
import signal
from perdure import limits
from tests.unit.fleet_agent import Research
from perdure.fleet import moving

limits.batch_commits_max = 1
committed = []
commit = moving._commit

def interrupted(*args):
    if committed:
        os.kill(os.getpid(), signal.SIGINT)
    committed.append(1)
    return commit(*args)

moving._commit = interrupted
"""


def test_interrupted_it_says_how_what_was_migrated_is_taken_back(path: str) -> None:
    found = process(path, "stopped", INTERRUPTED, "stopped:Research", "*")
    assert found.returncode == 128 + signal.SIGINT
    run = found.stderr.split("of run ")[1].split(",")[0]
    undone = call(path, "--undo", run)
    assert (undone.exit_code, undone.stdout[:13]) == (0, "rolled back 1")
    again = call(path, "--undo", run)
    assert "its id is another one" in again.stderr


def test_prefix_that_no_key_has_is_told(path: str) -> None:
    for args in ((), ("--dry-run",)):
        found = call(path, RESEARCH, "nobody/*", *args)
        told = "nothing to migrate: no key begins with 'nobody/'\n"
        assert (found.exit_code, found.stderr) == (FOUND, told)
    with closing(apsw.Connection(path)) as connection:
        connection.execute("DELETE FROM heads")
    assert "the store is empty" in call(path, RESEARCH, "*").stderr


def test_samples_are_left_out_where_nobody_is_to_see_what_users_wrote(path: str) -> None:
    assert "'r/a'" in call(path, RESEARCH, "r/*", "--dry-run").stdout
    for args in (("--dry-run",), ()):
        found = call(path, RESEARCH, "r/*", "--no-samples", *args)
        assert "r/a" not in found.stdout
        assert "migrate" in found.stdout
    assert answer(path, RESEARCH, "s/*", "--no-samples")["migration"]["samples"] == []


def test_what_no_state_had_is_named(path: str) -> None:
    found = call(path, f"{__name__}:Mistaken", "r/*", "--dry-run")
    assert "no state had topik: rename topik to subject (1 → 2) did nothing" in found.stderr
    (unmet,) = answer(path, f"{__name__}:Mistaken", "r/*", "--dry-run")["migration"]["unmet"]
    assert unmet == {"older": 1, "newer": 2, "path": "topik", "lens": "rename topik to subject"}


def test_a_missing_migration_is_told_once(path: str) -> None:
    found = call(path, f"{__name__}:Unreachable", "*", "--dry-run")
    assert found.exit_code == FOUND
    assert found.stdout.count("no migrations lead from version 1 of Unreachable to 3") == 1
    assert "(so are 2 more)" in found.stdout


def test_runs_are_listed(path: str) -> None:
    assert "no state says" in call(path, "--list").stderr
    first = answer(path, RESEARCH, "r/*")["migration"]["run"]
    second = answer(path, RESEARCH, "*")["migration"]["run"]
    found = call(path, "--list")
    assert found.exit_code == 0
    assert [line.split()[0] for line in found.stdout.splitlines()] == ["run", second, first]
    assert "0 → 2: 2" in found.stdout
    assert "done" in found.stdout
    (run,) = answer(path, "--list", "r/*")["runs"]
    assert (run["run"], run["counts"], run["left"]) == (first, {"0": 2}, 0)
    assert call(path, "--list", "--dry-run").exit_code == USAGE
    call(path, "--undo", second)
    assert [run["run"] for run in answer(path, "--list")["runs"]] == [first]
