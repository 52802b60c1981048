"""A power cut loses nothing acknowledged with "power", and leaves nothing in part (P1, P2)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from perdure import limits
from perdure.backends.sqlite import SqliteBackend
from perdure.engine import requests
from perdure.engine.requests import Durability, PageRow, ReadRecords, ReadState, RecordRow
from perdure.errors import PerdureError
from perdure.testing.contract_kit import LAST, Writer
from perdure.testing.powercut import PowerCut

COMMITS = 40
CUTS = 120


@pytest.fixture(autouse=True)
def frequent_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "wal_checkpoint_bytes", 64 * 1024)


class Run:
    """Commits under a VFS, and a cut at each of some operations of the disk."""

    def __init__(self, directory: Path, durability: Durability, seed: int) -> None:
        self.directory = directory
        self.durability: Durability = durability
        self.random = Random(seed)
        self.writer = Writer("agent")
        self.acknowledged = 0
        self.cuts: list[tuple[Path, int]] = []

    def blob(self, number: int) -> bytes:
        return Random(number).randbytes(Random(-number).choice((10, 600, 5_000, 20_000)))

    def cut(self, disk: PowerCut) -> None:
        after = self.directory / f"cut{len(self.cuts)}"
        after.mkdir()
        disk.survivors(after, seed=self.random.randrange(2**32))
        self.cuts.append((after / "store.db", self.acknowledged))

    def perhaps_cut(self, disk: PowerCut, share: float) -> None:
        if self.random.random() < share:
            self.cut(disk)

    def work(self, share: float, backend_class: type[SqliteBackend] = SqliteBackend) -> None:
        with PowerCut() as disk:
            backend = backend_class(self.directory / "store.db", vfs=disk.name)
            backend.connect()
            disk.on_operation = lambda _: self.perhaps_cut(disk, share)
            for number in range(1, COMMITS + 1):
                self.save(backend, number)
                self.acknowledged = number
                backend.after_commit()
            disk.on_operation = None
            backend.close()

    def save(self, backend: SqliteBackend, number: int, **options: Any) -> None:
        blobs = self.blob(2 * number - 1), self.blob(2 * number)
        head = b"%d" % number
        self.writer.save(backend, *blobs, head=head, durability=self.durability, **options)

    def found(self, store: Path) -> int:
        """How many commits a store holds after its cut; each of them has to be whole."""
        with opened(store) as backend:
            state = backend.perform(ReadState("agent"))
            rows = backend.perform(ReadRecords(self.writer.incarnation, 0, 0, LAST, LAST))
            assert (state.records if state else ()) == rows
            number = int(state.head.blob) if state else 0
            self.check(number, rows, state.pages if state else ())
            # The store is fit for use, too.
            backend.perform(Writer("another").commit(b"one", durability="power"))
        return number

    def check(self, number: int, rows: Sequence[RecordRow], pages: Sequence[PageRow]) -> None:
        """That this is what the commit of this number left."""
        assert [row.number for row in rows] == list(range(1, 2 * number + 1))
        assert all(row.blob == self.blob(row.number) for row in rows)


class Upkeep(Run):
    """Each commit names a page put before it; some pack what was there; space is given back."""

    def page(self, number: int) -> bytes:
        return Random(f"page {number}").randbytes(Random(number).choice((0, 900, 40_000)))

    def save(self, backend: SqliteBackend, number: int, **options: Any) -> None:
        self.writer.put(backend, (b"%d" % number, self.page(number)), (b"loser", b"x" * 9_000))
        last = 2 * number - 2
        if last and number % 3 == 0:
            options["rows"] = (RecordRow(0, last, self.pack(last), last),)
            options["removed"] = (requests.Run(0, 1, last),)
        old = (b"%d" % (number - 1), b"loser")
        super().save(backend, number, page=b"%d" % number, dropped=old, **options)
        if number % 8 == 0:
            backend.compact()

    def pack(self, last: int) -> bytes:
        return b"".join(self.blob(number) for number in range(1, last + 1))

    def check(self, number: int, rows: Sequence[RecordRow], pages: Sequence[PageRow]) -> None:
        wanted = ((PageRow(b"%d" % number, self.page(number)),)) if number else ()
        assert tuple(pages) == wanted
        packed = 2 * (number - number % 3) - 2 if number >= 3 else 0
        newest = [row.number for row in rows]
        assert newest == ([packed] if packed else []) + list(range(packed + 1, 2 * number + 1))
        for row in rows:
            wanted_blob = self.pack(packed) if row.number == packed else self.blob(row.number)
            assert (row.blob, row.count) == (wanted_blob, packed if row.number == packed else 1)


@contextmanager
def opened(store: Path) -> Iterator[SqliteBackend]:
    backend = SqliteBackend(store, create=False)
    try:
        yield backend
    finally:
        backend.close()


class NeverFull(SqliteBackend):
    """A backend that forgets what "power" asks of it."""

    def _begin(self, synchronous: str) -> object:  # type: ignore[override]
        return super()._begin("NORMAL")


class NeverSyncs(SqliteBackend):
    def _begin(self, synchronous: str) -> object:  # type: ignore[override]
        return super()._begin("OFF")


def test_acknowledged_with_power_survives_every_cut(tmp_path: Path) -> None:
    run = Run(tmp_path, "power", seed=1)
    run.work(share=0.25)
    assert len(run.cuts) >= CUTS
    for store, acknowledged in run.cuts:
        # One more may be there: written whole, and cut before it was acknowledged.
        assert run.found(store) in (acknowledged, acknowledged + 1)


def test_upkeep_that_was_acknowledged_survives_every_cut(tmp_path: Path) -> None:
    run = Upkeep(tmp_path, "power", seed=4)
    run.work(share=0.12)
    assert len(run.cuts) >= CUTS
    for store, acknowledged in run.cuts:
        assert run.found(store) in (acknowledged, acknowledged + 1)


def test_upkeep_under_process_durability_leaves_a_whole_prefix(tmp_path: Path) -> None:
    run = Upkeep(tmp_path, "process", seed=5)
    run.work(share=0.12)
    assert len(run.cuts) >= CUTS
    found = [(run.found(store), acknowledged) for store, acknowledged in run.cuts]
    assert all(number <= acknowledged + 1 for number, acknowledged in found)
    assert any(number < acknowledged for number, acknowledged in found), "nothing was ever at risk"


def test_process_durability_leaves_a_whole_prefix(tmp_path: Path) -> None:
    run = Run(tmp_path, "process", seed=2)
    run.work(share=0.25)
    assert len(run.cuts) >= CUTS
    found = [(run.found(store), acknowledged) for store, acknowledged in run.cuts]
    assert all(number <= acknowledged + 1 for number, acknowledged in found)
    assert any(number < acknowledged for number, acknowledged in found), "nothing was ever at risk"


@pytest.mark.parametrize("backend_class", [NeverFull, NeverSyncs])
def test_a_backend_that_does_not_sync_is_found_out(
    tmp_path: Path, backend_class: type[SqliteBackend]
) -> None:
    run = Run(tmp_path, "power", seed=3)
    run.work(share=0.25, backend_class=backend_class)
    lost = 0
    for store, acknowledged in run.cuts:
        try:
            lost += run.found(store) < acknowledged
        except (AssertionError, PerdureError):
            lost += 1
    assert lost
