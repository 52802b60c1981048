"""Files of other libraries are read as they were at one moment, and nothing is left beside them."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from perdure.adapters.sqlite_files import opened_to_read, reading
from perdure.errors import StoreUnavailable

ROWS = 20_000
OLD, NEW = "a" * 200, "b" * 200


def filled(file: Path, mode: str) -> sqlite3.Connection:
    base = sqlite3.connect(file, isolation_level=None, timeout=0.1)
    base.execute(f"PRAGMA journal_mode = {mode}")
    base.execute("CREATE TABLE t (x TEXT)")
    base.execute("BEGIN")
    base.executemany("INSERT INTO t VALUES (?)", [(OLD,)] * ROWS)
    base.execute("COMMIT")
    return base


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "theirs.db"


def beside(file: Path) -> set[str]:
    return {each.name.removeprefix(file.name) for each in file.parent.iterdir()}


def is_changed(writer: sqlite3.Connection) -> bool:
    try:
        writer.execute("UPDATE t SET x = ?", (NEW,))
    except sqlite3.OperationalError:
        return False
    writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return True


@pytest.mark.parametrize("mode", ["delete", "truncate", "wal"])
@pytest.mark.parametrize("emptied", [False, True])
def test_what_is_written_meanwhile_is_not_seen(file: Path, mode: str, emptied: bool) -> None:
    with closing(filled(file, mode)) as writer:
        if emptied:
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = beside(file)
        with closing(opened_to_read(file)) as base:
            rows = base.execute("SELECT x FROM t")
            found = [next(rows)[0] for _ in range(10)]
            assert is_changed(writer) == (mode == "wal"), "others wait"
            found += [x for (x,) in rows]
        assert found == [OLD] * ROWS
        assert beside(file) - {"-journal"} == before - {"-journal"}


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_nothing_is_left_beside_one_that_is_not_in_use(file: Path, mode: str) -> None:
    filled(file, mode).close()
    with closing(opened_to_read(file)) as base:
        assert base.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)
    assert beside(file) == {""}


def die_while_writing(file: Path) -> None:
    if child := os.fork():
        os.waitpid(child, 0)
        return
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("PRAGMA cache_size = 5")
    writer.execute("BEGIN")
    writer.execute("UPDATE t SET x = ?", (NEW,))
    os._exit(9)


def test_what_a_writer_that_died_had_not_committed_is_not_taken_for_true(file: Path) -> None:
    filled(file, "delete").close()
    die_while_writing(file)
    with pytest.raises(StoreUnavailable, match="died while writing"):
        opened_to_read(file)
    assert beside(file) == {"", "-journal"}
    with closing(sqlite3.connect(file)) as base:  # as the message says
        base.execute("SELECT count(*) FROM t").fetchone()
    with closing(opened_to_read(file)) as base:
        assert base.execute("SELECT DISTINCT x FROM t").fetchall() == [(OLD,)]


def test_damage_that_is_come_upon_later_is_told(file: Path) -> None:
    filled(file, "delete").close()
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 40_960] = b"\xff" * 40_960
    file.write_bytes(data)
    with (
        closing(opened_to_read(file)) as base,
        pytest.raises(StoreUnavailable, match="theirs cannot be read"),
        reading("theirs"),
    ):
        base.execute("SELECT x FROM t").fetchall()
