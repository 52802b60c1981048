"""A disk that fails, or is full, while a state is erased: it is there whole, or it is gone (P8)."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

import perdure
from perdure.backends.sqlite import SqliteBackend
from perdure.errors import PerdureError
from perdure.testing.faults import FailingDisk

KEY = "support/alice"


def written(path: Path) -> None:
    with perdure.Store(path) as store:
        for key in (KEY, "other"):
            with store.open(key) as session:
                for number in range(12):
                    session.state.setdefault("messages", []).append(f"x{key}MARKx {number}" * 20)
                    session.save()


def marked(path: Path) -> bool:
    files = [each for each in path.parent.iterdir() if each.name.startswith(path.name)]
    return any(f"x{KEY}MARKx".encode() in each.read_bytes() for each in files)


def erase(path: Path, disk: FailingDisk) -> str:
    """What becomes of an erasure on this disk."""
    store = perdure.Store(SqliteBackend(path, vfs=disk.name, busy_timeout=0.05), maintenance="off")
    try:
        return "done" if store.erase(KEY).is_wiped else "unwiped"
    except PerdureError as error:
        return "told" if "is erased" in str(error) else "failed"
    finally:
        with suppress(PerdureError):
            store.close()


@pytest.mark.parametrize("is_full", [False, True])
def test_the_disk_fails_at_any_operation_of_an_erasure(tmp_path: Path, is_full: bool) -> None:
    whole = tmp_path / "whole.db"
    written(whole)
    with FailingDisk(is_full=is_full) as disk:
        path = tmp_path / "counted.db"
        shutil.copyfile(whole, path)
        assert erase(path, disk) == "done"
        total = disk.count
    assert total > 10
    fates, states = Counter[str](), Counter[str]()
    step = 1 if os.environ.get("PERDURE_EVERY_OPERATION") else max(1, total // 40)
    for at in range(1, total + 1, step):
        path = tmp_path / str(at) / "agents.db"
        path.parent.mkdir()
        shutil.copyfile(whole, path)
        with FailingDisk(at, for_ever=at % 2 == 0, is_full=is_full) as disk:
            fate = erase(path, disk)
        with perdure.Store(path) as store:
            assert store.verify("other")[0].ok
            keys = [each.key for each in store.states()]
            gone = KEY not in keys
            assert len(store.erasures(KEY)) == gone
            assert gone or store.verify(KEY)[0].ok
            assert gone or fate == "failed"
            store.erase(KEY)
            assert [each.key for each in store.states()] == ["other"]
        assert not marked(path)
        fates[fate] += 1
        states["gone" if gone else "whole"] += 1
        shutil.rmtree(path.parent)
    assert states["gone"] > 3
    assert states["whole"] > 3
    assert fates["failed"] > 3
