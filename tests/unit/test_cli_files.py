"""`perdure export`, `import`, `backup`, `verify`, `stats` and `doctor`."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from perdure import Store
from perdure.cli.app import app
from perdure.cli.findings import WAL_BYTES_MAX, library, wal_size


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "agents.db")
    with Store(name) as store:
        for key in ("a", "b"):
            with store.open(key) as session:
                session.state["text"] = key * 5000
                session.save()
                session.state["plan"] = [1, 2]
    return name


def run(path: str | Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["--store", str(path), *args])


def data(result: Result) -> Any:
    assert result.stderr == ""
    return json.loads(result.stdout)


def damage(path: str) -> None:
    """Change one byte of one record, as a failing disk would."""
    with closing(sqlite3.connect(path)) as base:
        row, blob = base.execute("SELECT number, blob FROM records ORDER BY number").fetchone()
        worse = blob[:-1] + bytes([blob[-1] ^ 1])
        base.execute("UPDATE records SET blob = ? WHERE blob = ?", (worse, blob))
        base.commit()
        assert row == 1


def test_a_state_travels_in_a_file(path: str, tmp_path: Path) -> None:
    file, there = tmp_path / "a state.perdure", tmp_path / "there.db"
    assert run(path, "export", "a", str(file)).stdout.startswith("exported a to ")
    assert run(there, "import", str(file)).stdout == "imported a, up to checkpoint 2\n"
    assert run(there, "import", str(file), "other").exit_code == 0
    here = data(run(path, "log", "a", "--json"))
    assert data(run(there, "log", "a", "--json")) == here
    assert data(run(there, "diff", "other", "1", "2", "--json"))["differences"]
    assert run(there, "verify").exit_code == 0


def test_nothing_is_written_over(path: str, tmp_path: Path) -> None:
    file = tmp_path / "kept"
    file.write_bytes(b"kept")
    assert run(path, "export", "a", str(file)).exit_code == 2
    assert run(path, "backup", str(file)).exit_code in (2, 6)
    assert file.read_bytes() == b"kept"


@pytest.mark.parametrize("command", [["export", "a"], ["backup"]], ids=["export", "backup"])
def test_a_place_that_cannot_be_written_is_told_by_the_name_given(
    path: str, tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "none" / "file"
    missing = run(path, *command, str(file))
    assert missing.exit_code == 6
    assert missing.stderr == f"Error: Cannot write {file}: make the directory {file.parent}.\n"
    file.parent.mkdir()
    # Whoever runs the tests may be allowed everything.
    monkeypatch.setattr("perdure.newfile.may_write", lambda _: False)
    refused = run(path, *command, str(file))
    assert refused.exit_code == 6
    assert f"Cannot write {file}: let this user write to {file.parent}." in refused.stderr
    assert list(file.parent.iterdir()) == []


def test_a_file_that_is_no_exported_state(path: str, tmp_path: Path) -> None:
    assert run(path, "backup", str(tmp_path / "backup.db")).exit_code == 0
    result = run(path, "import", str(tmp_path / "backup.db"))
    assert result.exit_code == 6
    assert "backup.db is not a state exported by Perdure" in result.stderr
    assert "--store" in result.stderr
    assert "perdure import langgraph or perdure import openai-agents" in result.stderr


def test_a_key_in_use_is_told_with_the_way_to_choose_another(path: str, tmp_path: Path) -> None:
    file = tmp_path / "a state.perdure"
    assert run(path, "export", "a", str(file)).exit_code == 0
    result = run(path, "import", str(file))
    assert result.exit_code == 2
    assert result.stderr.endswith(f"choose another key: perdure import '{file}' KEY\n")


def test_a_bad_file_leaves_the_store_as_it_was(path: str, tmp_path: Path) -> None:
    file = tmp_path / "a.perdure"
    assert run(path, "export", "a", str(file)).exit_code == 0
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])
    before = data(run(path, "ls", "--json"))
    assert run(path, "import", str(file), "new").exit_code == 6
    assert run(path, "import", str(tmp_path / "missing")).exit_code == 2
    assert data(run(path, "ls", "--json")) == before


def test_a_backup_is_a_store(path: str, tmp_path: Path) -> None:
    copy = tmp_path / "backup.db"
    found = data(run(path, "backup", str(copy), "--json"))
    assert found == {"file": str(copy), "bytes": copy.stat().st_size}
    assert data(run(copy, "ls", "--json")) == data(run(path, "ls", "--json"))


def test_verify_finds_what_is_not_as_saved(path: str) -> None:
    good = run(path, "verify")
    assert good.exit_code == 0
    assert [line.split()[-1] for line in good.stdout.splitlines()[1:]] == ["ok", "ok"]
    damage(path)
    bad = run(path, "verify")
    assert bad.exit_code == 1
    assert "1 of 2 states" in bad.stderr
    found = json.loads(run(path, "verify", "--json").stdout)
    assert found["ok"] is False
    (problem,) = [each["problem"] for each in found["states"] if not each["ok"]]
    assert problem.startswith("damaged: ")
    sound = next(each["key"] for each in found["states"] if each["ok"])
    assert run(path, "verify", sound).exit_code == 0
    assert run(path, "verify", "nobody").exit_code == 3


def damage_head(path: str) -> None:
    with closing(sqlite3.connect(path)) as base:
        done = base.execute("UPDATE heads SET head = x'00' WHERE CAST(key AS TEXT) = 'a'")
        base.commit()
        assert done.rowcount == 1


def test_a_damaged_head_is_listed_and_named(path: str) -> None:
    damage_head(path)
    listed = run(path, "ls")
    assert listed.exit_code == 0
    assert [row.split()[:4] for row in listed.stdout.splitlines()[1:]] == [
        ["a", "-", "-", "damaged"],
        ["b", "2", "1", "closed"],
    ]
    assert "1970" not in listed.stdout
    assert listed.stderr == "not readable: a (perdure verify a tells more)\n"
    damaged, sound = json.loads(run(path, "ls", "--json").stdout)["states"]
    assert damaged["problem"].startswith("damaged: head of 'a'")
    assert sound["problem"] is None
    told = run(path, "verify", "a")
    assert told.exit_code == 1
    assert "head of 'a'" in told.stdout
    problems = [
        each["problem"] for each in json.loads(run(path, "verify", "--json").stdout)["states"]
    ]
    assert problems == [damaged["problem"], None]


def test_a_damaged_head_fails_the_examination(path: str) -> None:
    damage_head(path)
    assert "The state 'a' exists" in run(path, "show", "a/text").stderr
    result = run(path, "doctor", "--json")
    assert result.exit_code == 1
    found = findings(result)["damaged states"]
    assert (found["status"], found["found"]) == ("fail", "1 state: a")
    assert "perdure verify KEY" in found["way_out"]
    assert findings(result)["states"]["found"] == "2"


def test_an_examination_says_that_it_reads_heads_alone(path: str) -> None:
    damage(path)
    found = findings(run(path, "doctor", "--json"))["damaged states"]
    assert found["found"] == "none by their heads; perdure verify reads everything"
    assert run(path, "verify").exit_code == 1


@pytest.mark.parametrize("worsen", [damage, damage_head], ids=["record", "head"])
def test_a_damaged_state_hides_the_cost_of_no_other(
    path: str, worsen: Callable[[str], None]
) -> None:
    worsen(path)
    result = run(path, "stats", "--json")
    assert result.exit_code == 1
    (found,), (other,) = data(result)["states"], data(result)["unreadable"]
    assert {found["key"], other} == {"a", "b"}
    text = run(path, "stats")
    assert [row.split()[0] for row in text.stdout.splitlines()[1:]] == [found["key"]]
    assert text.stderr == f"not readable: {other} (perdure verify {other} tells more)\n"
    alone = run(path, "stats", other)
    assert (alone.exit_code, alone.stdout) == (6, "")
    assert alone.stderr.startswith(f"Error: '{other}' in {path}: ")
    assert f"perdure --store {path} verify {other}" in alone.stderr
    assert "backup" in alone.stderr


def test_the_cost_of_no_readable_state_is_no_table(tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"
    with Store(empty) as store:
        store._driver.connect()
    result = run(empty, "stats")
    assert (result.stdout, result.stderr) == ("", "no states\n")
    with Store(empty) as store, store.open("a") as session:
        session.state["n"] = 1
    damage_head(str(empty))
    result = run(empty, "stats")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "not readable: a (perdure verify a tells more)\n"


def test_what_states_cost(path: str) -> None:
    assert [row.split()[0] for row in run(path, "stats").stdout.splitlines()[1:]] == ["a", "b"]
    (found,) = data(run(path, "stats", "a", "--json"))["states"]
    assert found["checkpoints"] == 2
    assert found["raw_bytes"] > 5000 > found["stored_bytes"] > 0
    assert list(found["sections"]) == ["text", "plan"]
    assert "4.9 KiB" in run(path, "stats", "a").stdout


def findings(result: Result) -> dict[str, dict[str, Any]]:
    return {each["check"]: each for each in json.loads(result.stdout)["findings"]}


def test_a_store_in_good_order(path: str) -> None:
    result = run(path, "doctor", "--json")
    assert result.exit_code == 0
    found = findings(result)
    assert {each["status"] for each in found.values() if each["check"] != "file system"} == {"ok"}
    assert found["states"]["found"] == "2"
    assert list(found) == [
        "python", "perdure", "sqlite", "store", "file system", "permissions", "format", "size",
        "write-ahead log", "free space", "encryption", "states", "damaged states",
        "last session interrupted",
    ]  # fmt: skip
    text = run(path, "doctor").stdout
    assert "ok    states: 2\n" in text


def test_every_complaint_names_a_way_out(path: str) -> None:
    Path(path).chmod(0o644)
    found = findings(run(path, "doctor", "--json"))
    assert found["permissions"]["status"] == "warn"
    assert found["permissions"]["way_out"] == f"chmod 600 {path}"
    assert f"warn  permissions: 0644: other users may reach it\n      chmod 600 {path}\n" in (
        run(path, "doctor").stdout
    )
    for complaint in (library("3.51.2"), wal_size(WAL_BYTES_MAX + 1)):
        assert complaint.status != "ok"
        assert complaint.way_out
    assert library("3.51.3").status == wal_size(WAL_BYTES_MAX).status == "ok"


def test_an_unusable_store_fails_and_is_left_alone(tmp_path: Path) -> None:
    missing = run(tmp_path / "missing.db", "doctor", "--json")
    assert missing.exit_code == 1
    found = findings(missing)["store"]["found"]
    assert found.startswith("unavailable: There is no store at ")
    assert "--store or PERDURE_STORE" in found
    assert list(tmp_path.iterdir()) == []
    other = tmp_path / "other.txt"
    other.write_text("not a store " * 1000)
    examined = json.loads(run(other, "doctor", "--json").stdout)
    assert examined["ok"] is False
    assert [each["check"] for each in examined["findings"]] == [
        "python", "perdure", "sqlite", "store",
    ]  # fmt: skip
    assert examined["findings"][-1]["found"].startswith("not-a-store: ")
    assert "was not touched" in examined["findings"][-1]["found"]
    assert "--store" in examined["findings"][-1]["way_out"]
    assert other.read_text() == "not a store " * 1000


def test_without_a_store_the_machine_is_examined() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"], env={"PERDURE_STORE": ""})
    assert result.exit_code == 0
    found = findings(result)
    assert found["store"]["status"] == "warn"
    assert "--store" in found["store"]["way_out"]
