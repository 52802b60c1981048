"""What an anchor demands after a power cut: all that was sure to survive one, and no more (P5)."""

import os
import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.anchors import FileAnchor, backend
from perdure.anchors.backend import AnchoredBackend
from perdure.core.anchor import read_mark
from perdure.engine.read import Site
from perdure.engine.requests import Commit, ReadHead
from perdure.engine.save import tail_of
from perdure.errors import CommitUnknown, Malformed, StoreUnavailable, Tampered

KEY = "support/alice"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(backend, "_boot", lambda: "first start")
    return tmp_path / "agents.db"


def opened(path: Path, **more: Any) -> perdure.Store:
    anchor = path.with_name("safe.anchor")
    return perdure.Store(path, anchor=anchor, maintenance="off", **more)


def save(store: perdure.Store, number: int) -> None:
    with store.open(KEY) as session:
        session.state["n"] = number


def kept(path: Path, name: str) -> Path:
    return Path(shutil.copy(path, path.with_name(name)))


def put_back(copy: Path, path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    shutil.copy(copy, path)


def test_a_restart_excuses_what_was_not_sure_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path) as store:
        save(store, 1)
    older = kept(path, "older.db")
    with opened(path) as store:
        save(store, 2)
    sure = kept(path, "sure.db")
    for number in (3, 4):  # each in a process that kept no mark itself
        with opened(path, durability="process") as store:
            save(store, number)
    put_back(sure, path)
    with opened(path) as store, pytest.raises(Tampered):
        store.at(KEY, "main")
    monkeypatch.setattr(backend, "_boot", lambda: "second start")
    put_back(older, path)
    with opened(path) as store, pytest.raises(Tampered) as caught:
        store.at(KEY, "main")
    assert caught.value.form == "older"
    put_back(sure, path)
    with opened(path) as store:
        assert store.at(KEY, "main")["n"] == 2


def test_what_another_process_made_sure_stays_so(path: Path) -> None:
    anchor = FileAnchor(path.with_name("safe.anchor"))
    with opened(path, durability="process") as one, opened(path) as two:
        save(one, 1)
        save(two, 2)
        sure = read_mark(anchor.get(KEY) or b"").commits
        save(one, 3)
        mark = read_mark(anchor.get(KEY) or b"")
    assert mark.commits > sure
    assert mark.sure == sure


# ---- the file ---------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[os.stat_result]:
    """What was synced, as it was then."""
    found: list[os.stat_result] = []
    fsync = os.fsync

    def noting(handle: int) -> None:
        fsync(handle)
        found.append(os.fstat(handle))

    monkeypatch.setattr(os, "fsync", noting)
    return found


def test_a_mark_that_a_reader_kept_is_synced_for_who_saved(
    tmp_path: Path, synced: list[os.stat_result]
) -> None:
    file = tmp_path / "safe.anchor"
    FileAnchor(file).advance_all({"a": b"1"}, sync=False)
    assert not synced
    FileAnchor(file).advance_all({"a": b"1"}, sync=True)
    now = file.stat()
    assert (now.st_ino, now.st_size) in {(each.st_ino, each.st_size) for each in synced}


def test_the_name_of_a_new_anchor_is_synced_too(
    tmp_path: Path, synced: list[os.stat_result]
) -> None:
    FileAnchor(tmp_path / "safe.anchor").put("a", b"1")
    assert tmp_path.stat().st_ino in {each.st_ino for each in synced}


def test_a_mark_whose_sync_failed_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "safe.anchor"
    anchor = FileAnchor(file)
    anchor.put("a", b"1")
    before = file.read_bytes()

    def failing(handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as failed, pytest.raises(OSError, match="Input/output"):
        failed.setattr(os, "fsync", failing)
        anchor.advance("a", b"2")
    assert file.read_bytes() == before
    assert FileAnchor(file).get("a") == b"1"
    anchor.advance("a", b"2")
    assert FileAnchor(file).get("a") == b"2"


def test_what_is_left_out_of_an_anchor_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "safe.anchor"
    anchor = FileAnchor(file)
    anchor.put("a", b"1")
    size = file.stat().st_size
    anchor.put("a", b"2")
    anchor.put("b", b"1")
    assert FileAnchor(file).get("a") == b"2"
    assert not caplog.text
    data = bytearray(file.read_bytes())
    data[size + 9] ^= 1
    file.write_bytes(data)
    assert FileAnchor(file).get("a") == b"1"
    assert f"its last {len(data) - size} bytes are torn or damaged" in caplog.text


def test_marks_of_a_kind_that_is_not_known_are_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "safe.anchor"
    FileAnchor(file).put("a", b"1")
    body = b"\xa5newer"
    entry = len(body).to_bytes(4, "big") + body + blake2b(body, digest_size=8).digest()
    file.write_bytes(data := file.read_bytes() + entry)
    for use in (FileAnchor(file).names, lambda: FileAnchor(file).put("b", b"1")):
        with pytest.raises(Malformed, match="not known here"):
            use()
    assert file.read_bytes() == data


# ---- batches ----------------------------------------------------------------------------------


class Away:
    """An anchor that has nothing, and keeps nothing."""

    def get(self, name: str) -> bytes | None:
        return None

    def put(self, name: str, mark: bytes) -> None:
        raise OSError("the anchor is away")


def test_no_commit_of_a_batch_that_took_effect_is_told_as_failed() -> None:
    with perdure.Store("memory:") as store:
        for key in ("a", "b"):
            with store.open(key) as session:
                session.state["n"] = 1
        inner = store._driver.backend
        anchored = AnchoredBackend(inner, Away())
        anchored.connect()
        batch = []
        for key, expect in (("a", None), ("b", b"another token")):
            row = inner.perform(ReadHead(key))
            tail = tail_of(Site(store._driver.store_id, key).head(row))
            batch.append(Commit(key, expect or row.token, row, tail))
        took_effect, had_moved = anchored.commit(batch)
    assert isinstance(took_effect, CommitUnknown)
    assert isinstance(had_moved, StoreUnavailable)
