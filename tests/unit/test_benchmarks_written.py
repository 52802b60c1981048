"""What is written is counted: by kind as the backend is told, and by file as SQLite does it."""

from contextlib import closing
from pathlib import Path

from benchmarks.editing import _LIST_EDITS, _MAP_EDITS
from benchmarks.floor import Floor, disk_bytes
from benchmarks.longrun import _collections
from benchmarks.measure import MEGABYTE
from benchmarks.messages import messages
from benchmarks.reading import TAIL_BYTES, TAIL_SAVES, with_large_tail
from benchmarks.saves import save_each
from benchmarks.written import DISK, CountingBackend, Written, counting_disk, see_to

import perdure
from perdure import limits

KEY = "bench/written"


def test_what_is_kept_was_counted_by_its_kind(tmp_path: Path) -> None:
    backend = CountingBackend(tmp_path / "store.db")
    with perdure.Store(backend, maintenance="off") as store:
        save_each(store, KEY, messages(limits.tail_records_max))
        saved = backend.written
        assert saved.records == store.stats(KEY).stored["records"]
        assert saved.packs == saved.pages == saved.pages_count == 0
        save_each(store, KEY, messages(2))
        see_to(store, KEY)
        stored = store.stats(KEY).stored
        made = backend.written.since(saved)
        assert made.pages == stored["pages"] > 0
        assert made.packs == stored["packs"] > 0
        assert made.pages_count > 1
        assert made.heads > 0
        assert made.content == made.records + made.packs + made.pages


def test_kinds_are_told_in_megabytes() -> None:
    written = Written(records=1_500_000, packs=20_000, pages=int(3 * MEGABYTE))
    assert written.by_kind() == (
        "1.50 MB of records, 0.02 MB of packs, 3.00 MB of pages, 0.00 MB of heads"
    )


def test_a_file_on_the_counting_disk_holds_what_was_counted(tmp_path: Path) -> None:
    path = tmp_path / "floor.db"
    with counting_disk() as counts:
        with closing(Floor(path, "NORMAL", vfs=DISK)) as floor:
            floor.insert(bytes(100_000))
            assert counts["log"] > 100_000
            log = path.with_name("floor.db-wal").stat().st_size
            assert counts["log"] == log
        assert counts["file"] >= path.stat().st_size == disk_bytes(path)


def test_each_edit_changes_what_it_says() -> None:
    for name, edit in _LIST_EDITS.items():
        many = messages(100)
        edit(many)
        assert many != messages(100), name
    for name, edit in _MAP_EDITS.items():
        entries = {f"turn {each['turn']}": each for each in messages(100)}
        edit(entries)
        assert entries != {f"turn {each['turn']}": each for each in messages(100)}, name


def test_the_worst_tail_is_one_save_short_of_its_writers_own_step(tmp_path: Path) -> None:
    many = with_large_tail(messages(TAIL_SAVES + 1))
    with perdure.Store(tmp_path / "store.db", maintenance="off") as store:
        save_each(store, KEY, many[:1])
        before = store.stats(KEY).stored["records"]
        save_each(store, KEY, many[1:])
        stats = store.stats(KEY)
        assert stats.tail == limits.tail_records_max * limits.tail_excess_max - 1
        assert 0.95 * TAIL_BYTES < stats.stored["records"] - before < TAIL_BYTES


def test_collections_of_garbage_are_timed_only_meanwhile() -> None:
    import gc

    with _collections() as took:
        gc.collect()
    assert len(took) > 1
    seen = len(took)
    gc.collect()
    assert len(took) == seen
