"""A file with two versions of a head: of a state that was saved on, `recover` gives the newer (P5).

A page that SQLite moved a row out of may still have it, and no list says which is the newer. Heads
say so: by how many commits led to each.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

import perdure
from perdure.backends.sqlite_salvage import SalvagedFile
from perdure.recovering import recover

HEAD_COLUMNS = 7
More = Callable[[Path, Path, Path], object]


def copied(path: Path, copy: Path) -> None:
    """The store as a power cut would leave it now."""
    with closing(apsw.Connection(str(path))) as base:
        assert base.execute("PRAGMA wal_checkpoint(FULL)").get[0] == 0
    shutil.copy(path, copy)


def save(path: Path, older: Path, newer: Path) -> None:
    """A save, which changes time and all."""
    copied(path, older)
    with perdure.Store(path, maintenance="off") as store, store.open("a") as session:
        session.state["n"] = "newer"
    copied(path, newer)


def maintain(path: Path, older: Path, newer: Path) -> None:
    """What changes no checkpoint."""
    copied(path, older)
    with perdure.Store(path, maintenance="off") as store:
        assert store.maintain("a")
    copied(path, newer)


def claim(path: Path, older: Path, newer: Path) -> None:
    """What changes neither the newest checkpoint nor what was maintained."""
    with (
        perdure.Store(path, maintenance="off") as store,
        store.open("a") as session,
        session.task("task") as task,
    ):
        task.effect("one", lambda: 1)
        copied(path, older)
        task.effect("two", lambda: copied(path, newer))


def begun(path: Path) -> None:
    with perdure.Store(path, maintenance="off") as store, store.open("a") as session:
        for number in range(70):
            session.state["n"] = number
            session.save()


def page_of_heads(path: Path) -> tuple[int, bytes, int]:
    """Which page has the heads, its bytes, and how large pages are."""
    with SalvagedFile(path) as file:
        (number,) = {at for at, row in file.numbered_rows() if len(row) == HEAD_COLUMNS}
        return number, bytes(file.page(number)), file.page_bytes


def all_of(path: Path) -> Any:
    with perdure.Store(path, maintenance="off") as store:
        return store.info("a"), store.at("a", "main").plain(), store.effects("a")


@pytest.mark.parametrize("more", [save, maintain, claim])
@pytest.mark.parametrize("is_newer_first", [True, False])
def test_of_two_versions_of_a_head_the_newer_is_recovered(
    tmp_path: Path, is_newer_first: bool, more: More
) -> None:
    before, broken = tmp_path / "older.db", tmp_path / "newer.db"
    begun(tmp_path / "a.db")
    more(tmp_path / "a.db", before, broken)
    number, older, size = page_of_heads(before)
    same, newer, _ = page_of_heads(broken)
    assert (same, newer == older) == (number, False)
    expected = all_of(Path(shutil.copy(broken, tmp_path / "whole.db")))
    data = bytearray(broken.read_bytes())
    if not is_newer_first:
        data[(number - 1) * size : number * size] = older
    broken.write_bytes(data + (older if is_newer_first else newer))
    done = recover(broken, tmp_path / "new.db")
    assert [(each.key, each.ok, each.losses) for each in done.states] == [("a", True, ())]
    assert all_of(tmp_path / "new.db") == expected
    assert len(expected[2]) == (2 if more is claim else 0)
