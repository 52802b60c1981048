"""What is in the files, byte by byte, after each step of a store's life (P5, P8).

After a save, a redaction, an erasure and a change of keys: the store's file, its log while it is
open, a backup, and a copy that SQLite makes. Where a store is encrypted no text shows whether a row
is still there, so its own bytes are looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner
from tests.unit.test_erase_files import KEY, MARKS, others, written

import perdure
from perdure.cli.app import app
from perdure.core.seal import MAGIC, TAG_BYTES, is_encrypted

ROOT, OTHER = bytes(range(32)), bytes(range(1, 33))
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "keyed": {"key": ROOT},
    "hidden, keys apart": {"key": ROOT, "hide_names": True},
}
COLUMNS = {"heads": "head", "records": "blob", "pages": "blob", "keys": "blob"}
STAY = {"NAME", "CLAIM", "BRANCH"}
"""Names by which something is found: a redaction leaves them, and says so."""

COMPRESSED = {"SECTION", "CLAIM", "RESULT"}
"""Such as need not be seen as they are even where nothing is encrypted."""


@pytest.fixture(params=OPTIONS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path) -> Iterator[perdure.Store]:
    """A store with a state that has a marker wherever a text can be, and its log beside it."""
    apart = {"keys_url": tmp_path / "agents.db.keys"} if "apart" in kind else {}
    options = {"maintenance": "off", **OPTIONS[kind], **apart}
    with perdure.Store(tmp_path / "agents.db", **options) as made:
        others(made)
        written(made)
        written(made, "stays")
        yield made


def copies(store: perdure.Store, kind: str, path: Path) -> dict[str, bytes]:
    """All bytes there are of the store now, by what they are in."""
    at = path / "agents.db"
    assert (path / "agents.db-wal").exists()
    found = {"the files": b"".join(each.read_bytes() for each in path.glob("agents.db*"))}
    targets = {name: path / f"copy {len(list(path.iterdir()))} {name}" for name in "abc"}
    store.backup(targets["a"])
    key = ["--key", f"file:{keyfile(path)}"] if kind != "plain" else []
    key += ["--keys-url", f"{at}.keys"] if "apart" in kind else []
    told = CliRunner().invoke(app, ["--store", str(at), *key, "backup", str(targets["b"])])
    assert told.exit_code == 0, told.output
    with closing(apsw.Connection(str(at))) as base:
        base.execute("VACUUM INTO ?", (str(targets["c"]),))
    return found | {each.name: each.read_bytes() for each in targets.values()}


def keyfile(path: Path) -> Path:
    file = path / "root.key"
    file.write_text(ROOT.hex())
    file.chmod(0o600)
    return file


def marks_in(data: bytes) -> set[str]:
    return {mark for mark in MARKS if f"x{mark}x".encode() in data}


def rows_of(path: Path) -> set[bytes]:
    """Every blob that is stored."""
    found = set()
    for name in ("agents.db", "agents.db.keys"):
        if (path / name).exists():
            with closing(apsw.Connection(str(path / name))) as base:
                there = {name for (name,) in base.execute("SELECT name FROM sqlite_schema")}
                for table in COLUMNS.keys() & there:
                    sql = f"SELECT {COLUMNS[table]} FROM {table}"
                    found |= {blob for (blob,) in base.execute(sql)}
    return found


def left_of(gone: set[bytes], data: bytes) -> int:
    """How many of these blobs are there yet: their end, or where it is as random, their middle."""

    def is_there(blob: bytes) -> bool:
        is_plain = blob.startswith(MAGIC) and not is_encrypted(blob)
        middle = blob[len(blob) // 2 :][:24]
        return blob[-TAG_BYTES:] in data or (not is_plain and middle in data)

    return sum(map(is_there, gone))


def test_nothing_is_left_in_any_file_of_what_went_P8(
    store: perdure.Store, kind: str, tmp_path: Path
) -> None:
    """One step after another, each seen in all files, and in copies made then."""
    searched = Searched(store, kind, tmp_path)
    seen = {"plain": set(MARKS), "keyed": {"NAME"}}.get(kind, set())
    searched.none_is_gone(seen - COMPRESSED)
    goes = sorted(set(MARKS) - STAY)
    for key in (KEY, "stays"):
        told = store.redact(key, match=re.compile(f"x({'|'.join(goes)})x"))
        assert told.checkpoints >= 60
        assert all(told.elsewhere.values())
    searched.gone(4, seen & STAY)
    if kind != "plain":
        store.rotate(OTHER)
        store.rotate(ROOT)
        searched.gone(1, seen)
        for deep, count in ((False, 20), (True, 40)):
            assert store.rewrap(deep=deep).problems == ()
            searched.gone(count, seen)
    assert all(each.ok for each in store.verify())
    for key in (KEY, "stays"):
        store.erase(key)
    searched.gone(4, set())
    assert len(store.states()) == 20


class Searched:
    """A store whose bytes are searched after each step."""

    def __init__(self, store: perdure.Store, kind: str, path: Path) -> None:
        self._store, self._kind, self._path = store, kind, path
        self._rows = rows_of(path)

    def none_is_gone(self, marks: set[str]) -> None:
        """The files have these markers, and what is encrypted no others."""
        files = copies(self._store, self._kind, self._path)
        # Of some the end is cut by that of a page: all others are found where they are.
        assert left_of(self._rows, files["the files"]) > len(self._rows) * 3 // 4
        seen = {name: marks_in(data) for name, data in files.items()}
        assert seen["the files"] >= marks
        for name, found in seen.items():
            assert self._kind == "plain" or found == marks, name

    def gone(self, count: int, marks: set[str]) -> None:
        """At least so many rows went since; nothing is left of them, and no other marker."""
        rows = rows_of(self._path)
        gone, self._rows = self._rows - rows, rows
        assert len(gone) >= count
        for name, data in copies(self._store, self._kind, self._path).items():
            assert marks_in(data) <= marks, name
            assert left_of(gone, data) == 0, name
