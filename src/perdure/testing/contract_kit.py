"""What the checks of the backend contract are written with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from perdure.backends.lines import gives_way
from perdure.backends.protocol import Backend
from perdure.engine.requests import (
    Commit,
    Committed,
    Durability,
    HeadRow,
    KeyRow,
    PageRow,
    PutPages,
    ReadPages,
    ReadRecords,
    RecordRow,
    Run,
    Tail,
)
from perdure.errors import PerdureError

Make: TypeAlias = Callable[[], Backend]

LAST = 2**62


def must_be(got: Any, wanted: Any, what: str) -> None:
    """Fail with both values, cut to a readable length, unless they are equal."""
    if got != wanted:
        raise AssertionError(f"{what}: expected {wanted!r:.300}, got {got!r:.300}")


@contextmanager
def must_raise(error: type[PerdureError], what: str) -> Iterator[None]:
    """Fail unless the block raises `error`."""
    try:
        yield
    except error:
        return
    raise AssertionError(f"{what}: expected {error.__name__}")


@contextmanager
def opened(make: Make) -> Iterator[Backend]:
    """A backend for one check."""
    backend = make()
    try:
        backend.connect()
        yield backend
    finally:
        backend.close()


class Writer:
    """One state of a check: makes the commits that follow one another."""

    def __init__(self, key: str | None = None) -> None:
        self.key = f"contract/{os.urandom(8).hex()}" if key is None else key
        self.incarnation = os.urandom(16)
        self.token: bytes | None = None
        self.number = 0
        self.rows: list[RecordRow] = []

    def commit(
        self,
        *blobs: bytes,
        head: bytes = b"head",
        after: int = 0,
        line: int = 0,
        durability: Durability = "process",
        page: bytes | None = None,
        rows: tuple[RecordRow, ...] = (),
        removed: tuple[Run, ...] = (),
        dropped: tuple[bytes, ...] = (),
        keys: tuple[KeyRow, ...] = (),
    ) -> Commit:
        """The next commit: `rows`, then these records after those that `took` took note of."""
        numbers = range(self.number + 1, self.number + 1 + len(blobs))
        rows += tuple(RecordRow(line, number, blob) for number, blob in zip(numbers, blobs))
        new = HeadRow(os.urandom(16), head)
        tail = Tail(self.incarnation, line, after, page)
        return Commit(self.key, self.token, new, tail, rows, durability, removed, dropped, keys)

    def took(self, commit: Commit) -> None:
        """Take note that `commit` took effect."""
        self.token = commit.head.token
        self.number = max((self.number, *(row.number for row in commit.records)))
        kept = (
            row
            for row in self.rows
            if not gives_way((row.line, row.number, row.count), commit.removed)
        )
        self.rows = sorted((*kept, *commit.records), key=lambda row: (row.line, row.number))

    def save(self, backend: Backend, *blobs: bytes, **options: Any) -> Commit:
        """Commit these records; it has to take effect."""
        commit = self.commit(*blobs, **options)
        must_be(backend.perform(commit), Committed(), "a commit onto the present head")
        self.took(commit)
        return commit

    def read(self, backend: Backend, **options: Any) -> tuple[RecordRow, ...]:
        """Records of the state, all of them unless told otherwise."""
        wanted = {"line": 0, "first": 0, "last": LAST, "bytes_max": LAST, **options}
        rows = backend.perform(ReadRecords(self.incarnation, **wanted))
        assert isinstance(rows, tuple)
        return rows

    def put(self, backend: Backend, *pages: tuple[bytes, bytes]) -> tuple[PageRow, ...]:
        """Put pages, each given as id and blob."""
        rows = tuple(PageRow(id_, blob) for id_, blob in pages)
        backend.perform(PutPages(self.incarnation, rows))
        return rows

    def pages(self, backend: Backend, *ids: bytes) -> dict[bytes, bytes]:
        """These pages, as id and blob, without those that are not there."""
        rows = backend.perform(ReadPages(self.incarnation, ids))
        assert isinstance(rows, tuple)
        must_be(len({row.id for row in rows}), len(rows), "pages answered, each once")
        return {row.id: row.blob for row in rows}
