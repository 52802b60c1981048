"""What is written to a store: by kind, as the backend is told, and by file, as SQLite does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apsw

import perdure
from benchmarks.measure import MEGABYTE
from perdure.backends.sqlite import SqliteBackend
from perdure.engine import maintain
from perdure.engine.requests import Answer, Commit, PutPages, StorageRequest
from perdure.errors import PerdureError

DISK = "perdure-counting-disk"


@dataclass(slots=True)
class Written:
    """What a store was given to keep (bytes)."""

    records: int = 0
    packs: int = 0
    pages: int = 0
    heads: int = 0
    pages_count: int = 0

    @property
    def content(self) -> int:
        return self.records + self.packs + self.pages

    def by_kind(self) -> str:
        kinds = ("records", "packs", "pages", "heads")
        return ", ".join(f"{getattr(self, kind) / MEGABYTE:.2f} MB of {kind}" for kind in kinds)

    def since(self, before: Written) -> Written:
        return Written(
            self.records - before.records,
            self.packs - before.packs,
            self.pages - before.pages,
            self.heads - before.heads,
            self.pages_count - before.pages_count,
        )


NOTHING = Written()


class CountingBackend(SqliteBackend):
    """A store in one SQLite file that counts what it is given."""

    def __init__(self, path: Path, *, vfs: str | None = None, written: Written = NOTHING) -> None:
        super().__init__(path, vfs=vfs)
        self._written = replace(written)

    @property
    def written(self) -> Written:
        """So far."""
        return replace(self._written)

    def perform(self, request: StorageRequest) -> Any:
        answer = super().perform(request)
        if isinstance(request, PutPages):
            self._written.pages += sum(len(page.blob) for page in request.pages)
            self._written.pages_count += len(request.pages)
        return answer

    def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
        outcomes = super().commit(batch)
        for commit in batch:
            self._written.heads += len(commit.head.blob)
            for row in commit.records:
                if row.count > 1:
                    self._written.packs += len(row.blob)
                else:
                    self._written.records += len(row.blob)
        return outcomes


def see_to(store: perdure.Store, key: str) -> None:
    """At once what the background does for a state, when it is never late."""
    store._driver.run(maintain.maintain(store._site(key)))


class _File(apsw.VFSFile):
    """A real file whose written bytes are counted."""

    def __init__(
        self, name: apsw.URIFilename | str | None, flags: list[int], counts: dict[str, int]
    ) -> None:
        super().__init__("", name, flags)
        self._counts = counts
        self._kind = "log" if flags[0] & apsw.SQLITE_OPEN_WAL else "file"

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        self._counts[self._kind] += len(data)


class _Disk(apsw.VFS):
    def __init__(self, counts: dict[str, int]) -> None:
        super().__init__(DISK, "")
        self._counts = counts

    def xOpen(  # noqa: N802 - SQLite's name
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        return _File(name, flags, self._counts)


@contextmanager
def counting_disk() -> Iterator[dict[str, int]]:
    """A VFS named `DISK`; what was written through it, to the "log" and the "file" (bytes)."""
    counts = {"log": 0, "file": 0}
    disk = _Disk(counts)
    try:
        yield counts
    finally:
        disk.unregister()
