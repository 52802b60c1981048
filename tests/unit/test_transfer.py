"""States as files: what is refused on the way in, and what is left of a failure on the way out."""

import errno
import io
import os
import sqlite3
import stat
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import errors, limits
from perdure.core.changes import pack_changes
from perdure.engine.requests import ListStaged, Stage
from perdure.reports import Exported
from perdure.state_file import Reader
from perdure.testing.clock import Clock
from perdure.transfer import _manifest


@pytest.fixture
def store(tmp_path: Path) -> Iterator[perdure.Store]:
    (tmp_path / "stores").mkdir()
    with perdure.Store(tmp_path / "stores" / "agents.db") as store:
        yield store


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Where the files go; nothing else is there."""
    directory = tmp_path / "files"
    directory.mkdir()
    return directory


def save(store: perdure.Store, key: str, count: int = 3) -> None:
    with store.open(key) as session:
        for n in range(count):
            session.state["n"] = n
            session.save()


# ---- on the way in --------------------------------------------------------------------------


def save_what_does_not_apply(store: perdure.Store, key: str, at: int, count: int) -> None:
    """So many checkpoints; one would splice a number. All checksums and links are right."""
    wrong = pack_changes([perdure.Splice(("n",), 0, 0, ["x"])])
    with store.open(key) as session:
        for n in range(1, count + 1):
            session.state["n"] = n
            with pytest.MonkeyPatch.context() as patch:
                if n == at:
                    patch.setattr("perdure.engine.capturing.pack_changes", lambda _: wrong)
                session.save()


@pytest.mark.parametrize("at", [2, 5, 6])
def test_a_state_whose_changes_do_not_apply_is_refused_P5(
    store: perdure.Store, files: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a later batch of records than the first."""
    save_what_does_not_apply(store, "a", at, count=6)
    monkeypatch.setattr(limits, "read_bytes_max", 500)
    store.export("a", files / "a.perdure")
    seen: list[tuple[int, int]] = []
    with perdure.Store(files / "there.db") as other:
        with pytest.raises(errors.Damaged, match=rf"a\.perdure: checkpoint {at} does not apply"):
            other.import_(files / "a.perdure", progress=lambda *done: seen.append(done))
        assert other.states() == []
        assert all(done < at for done, _ in seen)
        assert rows_of(files / "there.db") == (0, 0)


def rows_of(path: Path) -> tuple[int, int]:
    """Records, and stagings that nobody gave up."""
    with closing(sqlite3.connect(path)) as base:
        (records,) = base.execute("SELECT count(*) FROM records").fetchone()
        (staged,) = base.execute("SELECT count(*) FROM staged").fetchone()
        return records, staged


def test_what_is_staged_tells_when_it_was_last_added_to(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that one a killed process left behind can be told from one under way."""
    monkeypatch.setattr(limits, "read_bytes_max", 500)
    clock = Clock("2026-01-01T00:00:00Z")
    with perdure.Store(files / "agents.db", clock=clock) as store:
        save(store, "a", count=6)
        store.export("a", files / "a.perdure")
        backend = store._driver.backend
        perform, told = backend.perform, list[tuple[int, int]]()

        def watched(request: Any) -> Any:
            answer = perform(request)
            if isinstance(request, Stage):
                [(_, at_us)] = perform(ListStaged())
                told.append((at_us, clock()))
                clock.advance(60)
            return answer

        monkeypatch.setattr(backend, "perform", watched)
        store.import_(files / "a.perdure", "b")
        imported = len(told)
        store.copy("a", "c")
        assert 1 < imported < len(told) - 1
        assert [at_us for at_us, _ in told] == [now for _, now in told]
        assert perform(ListStaged()) == ()


def test_importing_needs_memory_for_the_state_not_for_its_history(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "read_bytes_max", 100_000)
    with perdure.Store(files / "a.db", maintenance="off") as store:  # nothing else takes memory
        with store.open("a") as session:
            for _ in range(100):
                session.state["text"] = os.urandom(50_000)
                session.save(durability="process")
        store.export("a", files / "a.perdure")
        tracemalloc.start()
        try:
            store.import_(files / "a.perdure", "b")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert os.path.getsize(files / "a.perdure") > 5_000_000
        assert peak < 2_000_000
        assert store.at("b", 100).plain() == store.at("a", 100).plain()


def test_a_key_that_no_state_may_have_is_refused(store: perdure.Store, files: Path) -> None:
    save(store, "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "key_bytes_max", 3)
        save(store, "abc")
        store.export("abc", files / "a.perdure")
        patch.setattr(limits, "key_bytes_max", 2)
        with pytest.raises(errors.InvalidKey):
            store.import_(files / "a.perdure")
        assert store.import_(files / "a.perdure", "ab").number == 3


class Dribbling(io.RawIOBase):
    """An unbuffered stream, which takes and gives as little as it likes."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.data += bytes(data[:7])
        return min(len(data), 7)

    def read(self, size: int = -1, /) -> bytes:
        given = bytes(self.data[: min(size, 7)])
        del self.data[: len(given)]
        return given


def test_a_state_goes_through_a_stream_that_takes_little_at_a_time(store: perdure.Store) -> None:
    save(store, "a")
    stream = Dribbling()
    exported = store.export("a", stream)  # type: ignore[arg-type]
    assert len(stream.data) == exported.bytes
    assert store.import_(Dribbling(stream.data), "b").number == 3  # type: ignore[arg-type]
    with pytest.raises(errors.Damaged, match="cut short in frame 3"):
        store.import_(Dribbling(stream.data[:-1]), "c")  # type: ignore[arg-type]


# ---- on the way out -------------------------------------------------------------------------


def test_of_two_exports_to_one_file_one_is_kept_whole(store: perdure.Store, files: Path) -> None:
    save(store, "a", 2)
    save(store, "b", 3)

    def other(done: int, total: int) -> None:
        store.export("b", files / "file")

    with pytest.raises(errors.UsageError, match="exists already"):
        store.export("a", files / "file", progress=other)
    assert os.listdir(files) == ["file"]
    assert store.import_(files / "file", "c").number == 3


def test_of_many_exports_to_one_file_at_once_one_succeeds(
    store: perdure.Store, files: Path
) -> None:
    for key in "abcdef":
        save(store, key)
    begun = threading.Barrier(6)
    done: dict[str, Exported] = {}

    def export(key: str) -> None:
        begun.wait()
        with suppress(errors.UsageError):
            done[key] = store.export(key, files / "file")

    threads = [threading.Thread(target=export, args=(key,)) for key in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.listdir(files) == ["file"]
    ((key, exported),) = done.items()
    assert exported.bytes == os.path.getsize(files / "file")
    assert store.import_(files / "file", "new").number == 3
    assert store.history("new")[0].id == store.history(key)[0].id


def no_links(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_where_there_are_no_links_nothing_is_replaced_either(
    store: perdure.Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", no_links)
    save(store, "a")
    store.export("a", files / "one")
    assert store.import_(files / "one", "b").number == 3

    def meanwhile(done: int, total: int) -> None:
        (files / "two").write_bytes(b"theirs")

    with pytest.raises(errors.UsageError, match="exists already"):
        store.export("a", files / "two", progress=meanwhile)
    with pytest.raises(errors.UsageError, match="replaces nothing"):
        store.backup(files / "two")
    assert (files / "two").read_bytes() == b"theirs"
    store.backup(files / "three")
    assert sorted(os.listdir(files)) == ["one", "three", "two"]
    monkeypatch.setattr(os, "replace", no_links)
    with pytest.raises(errors.UsageError, match="cannot write"):
        store.export("a", files / "four")
    assert sorted(os.listdir(files)) == ["one", "three", "two"]


def told(write: Callable[[Path], object], file: Path) -> str:
    with pytest.raises(errors.StoreUnavailable) as caught:
        write(file)
    return str(caught.value)


def test_an_export_and_a_backup_say_alike_where_no_file_can_be(
    store: perdure.Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(store, "a")
    for write in (partial(store.export, "a"), store.backup):
        missing = files / "none" / "file"
        assert told(write, missing) == f"Cannot write {missing}: make the directory {files}/none."
        (files / "plain").write_bytes(b"")
        below = files / "plain" / "file"
        assert told(write, below) == (
            f"Cannot write {below}: {files}/plain is no directory; name another place."
        )
        with monkeypatch.context() as patch:
            patch.setattr("perdure.newfile.may_write", lambda _: False)  # root may everything
            kept = files / "file"
            assert told(write, kept) == f"Cannot write {kept}: let this user write to {files}."
        assert os.listdir(files) == ["plain"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, errors.Damaged])
def test_a_failed_export_leaves_nothing(
    store: perdure.Store, files: Path, error: type[BaseException]
) -> None:
    save(store, "a")

    def fail(done: int, total: int) -> None:
        raise error("planted")

    with pytest.raises((error, errors.UsageError)):
        store.export("a", files / "file", progress=fail)
    assert os.listdir(files) == []


def test_an_exported_file_is_on_the_disk_before_it_has_its_name_and_its_name_after(
    store: perdure.Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(store, "a")
    synced: list[tuple[str, list[str]]] = []
    fsync = os.fsync

    def noting(handle: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        synced.append((kind, [name.split(".")[-1] for name in os.listdir(files)]))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noting)
    store.export("a", files / "a.perdure")
    assert synced == [("file", ["partial"]), ("directory", ["perdure"])]


def test_progress_counts_every_checkpoint_once_and_ends_at_all_of_them(
    store: perdure.Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "read_bytes_max", 500)
    save(store, "a", 9)
    out: list[tuple[int, int]] = []
    back: list[tuple[int, int]] = []
    store.export("a", files / "a.perdure", progress=lambda *done: out.append(done))
    store.import_(files / "a.perdure", "b", progress=lambda *done: back.append(done))
    assert out == back
    assert len(out) > 2
    assert out == sorted(set(out))
    assert out[-1] == (9, 9)


def test_what_goes_on_after_its_end_is_refused(store: perdure.Store) -> None:
    save(store, "a")
    file = io.BytesIO()
    store.export("a", file)
    with pytest.raises(errors.Damaged, match="goes on after its end"):
        store.import_(io.BytesIO(file.getvalue() + b"\0"), "b")
    assert [info.key for info in store.states()] == ["a"]


def test_a_text_stream_is_no_place_for_a_state(store: perdure.Store) -> None:
    save(store, "a")
    with pytest.raises(errors.UsageError, match="mode 'wb'"):
        store.export("a", io.StringIO())  # type: ignore[arg-type]
    with pytest.raises(errors.UsageError, match="mode 'rb'"):
        store.import_(io.StringIO())  # type: ignore[arg-type]


def test_an_export_to_a_full_disk_says_so_and_leaves_nothing(
    store: perdure.Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    save(store, "a")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.StorageFull, match="No room left"):
        store.export("a", files / "a.perdure")
    assert not list(files.glob("a.perdure*"))


def test_what_was_deleted_before_is_not_in_the_file(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["n"] = 1
        session.summary = "of the first life"
    store.fork("a", "of-the-first-life")
    store.delete("a")
    save(store, "a")
    file = io.BytesIO()
    store.export("a", file)
    file.seek(0)
    _, head, *_ = _manifest(Reader(file))
    assert head.former == ()
    file.seek(0)
    assert store.import_(file, "b").number == 3
