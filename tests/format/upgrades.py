"""Stores to be upgraded, and what is compared of them before and after."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from tests.format.tagged import tagged

import perdure
from perdure.cli.app import app

GOLDEN = Path(__file__).parent / "golden"
STORES = sorted(GOLDEN.glob("*/*.db"))
EXPORTS = sorted(GOLDEN.glob("*/*.perdure"))
EARLY = GOLDEN / "format-0" / "early.db"


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def copied(store: Path, directory: Path) -> Path:
    return Path(shutil.copy(store, directory / "agents.db"))


def stored(path: Path) -> dict[str, Any]:
    """Every blob with its place, as it is in the file, whatever its tables look like."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as base:
        places = {
            "perdure": "name, value",
            "heads": "key, token, head, incarnation, line, after",
            "records": "incarnation, line, number, blob",
            "staged": "incarnation",
        }
        return {
            table: sorted(base.execute(f"SELECT {columns} FROM {table}").fetchall())
            for table, columns in places.items()
        }


def schema(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as base:
        rows = base.execute("SELECT name, sql FROM sqlite_schema ORDER BY name")
        return [(name, sql) for name, sql in rows if sql is not None]


def assert_whole(path: Path, written_as: Path) -> None:
    """That a store is read as the JSON beside the golden one says."""
    beside = written_as.with_suffix(".json")
    if not beside.exists():
        beside = written_as.with_name("expected.json")
    expected = json.loads(beside.read_text(encoding="ascii"))
    with perdure.Store(path, read_only=True) as store:
        history = store.history(expected["key"])[::-1]
        checkpoints = expected.get("checkpoints", [])
        hashes = expected.get("hashes") or [each["hash"] for each in checkpoints]
        assert [each.hash for each in history] == hashes
        for found, each in zip(history, checkpoints, strict=False):
            assert (found.id, found.label) == (each["id"], each["label"])
            if "state" in each:  # of the early one, the newest alone: the hashes tell of the others
                state = store.at(expected["key"], found.number).plain()
                assert tagged(state) == each["state"]
        assert [each for each in store.verify() if not each.ok] == []


def run(path: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["--store", str(path), *args])
