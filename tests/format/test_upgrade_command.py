"""`perdure upgrade` as people and programs call it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.format.upgrades import run

from perdure.backends.sqlite_upgrade import STEPS


def test_the_command_says_what_it_would_do_and_did(early: Path) -> None:
    assert run(early, "ls").exit_code == 6
    assert "upgrade" in run(early, "ls").stderr
    assert "perdure upgrade" in run(early, "doctor").stdout
    assert run(early, "upgrade", "--dry-run").stdout == "".join(
        f"would be done: {step.what}\n" for step in STEPS
    )
    assert run(early, "upgrade").stdout == (
        f"copied to {early}.before-upgrade first\n"
        + "".join(f"done: {step.what}\n" for step in STEPS)
        + "verified: 3 states, none damaged\n"
    )
    assert run(early, "upgrade").stdout == (
        "nothing to do: the store is of the newest form, format 1\n"
        "verified: 3 states, none damaged\n"
    )
    assert run(early, "verify").exit_code == 0


def test_the_command_gives_json_and_takes_where_the_copy_goes(golden: Path) -> None:
    file = golden.parent / "old.db"
    planned = json.loads(run(golden, "upgrade", "--dry-run", "--json").stdout)["upgraded"]
    told = json.loads(run(golden, "upgrade", "--backup", str(file), "--json").stdout)
    done = told["upgraded"]
    assert done["steps"] == planned["steps"]
    assert (told["ok"], done["after"]) == (True, 1)
    assert all(each["ok"] for each in done["verified"])
    assert file.exists() == bool(done["steps"])
    both = run(golden, "upgrade", "--backup", str(file), "--no-backup")
    assert both.exit_code == 2


def test_the_command_makes_no_copy_where_it_is_told_so(early: Path) -> None:
    assert run(early, "upgrade", "--no-backup").exit_code == 0
    assert [path.name for path in early.parent.iterdir()] == ["agents.db"]


def test_damage_is_told_and_is_the_exit_code(early: Path) -> None:
    with closing(sqlite3.connect(early)) as base, base:
        base.execute("UPDATE records SET blob = x'00' WHERE number = 5")
    found = run(early, "upgrade")
    assert found.exit_code == 1
    assert "verified: 3 states, 1 damaged" in found.stdout
    assert "golden/all" in found.stdout
