"""A disk that fails: the Nth operation, once or from then on; or one that is full.

`FailingDisk` is an apsw VFS over real files. It counts what SQLite asks of the database and of its
logs (reads, writes, truncations and syncs), and fails the operation with the number that it was
given; or, if `is_full`, the write with that number, as a disk without room does.

Example:
    >>> with FailingDisk(fail_at=17) as disk:
    ...     backend = SqliteBackend("agents.db", vfs=disk.name)
    ...     ...
    ...     disk.failed
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import apsw

_KEPT_FLAGS = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL


class FailingDisk(apsw.VFS):
    """A VFS that fails when it is told to; use it as a context manager.

    Args:
        fail_at: number of the operation that fails, the first being 1; 0: none does.
        for_ever: whether all after it fail too.
        is_full: count, and fail, writes alone, as where there is no room left.
    """

    def __init__(self, fail_at: int = 0, *, for_ever: bool = False, is_full: bool = False) -> None:
        self.name = f"failing-{uuid4().hex}"
        self.fail_at = fail_at
        self.for_ever = for_ever
        self.is_full = is_full
        self.count = 0
        """Operations so far."""
        self.failed = 0
        """How many of them failed."""
        super().__init__(self.name, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unregister()

    def operation(self, what: str) -> None:
        """Count an operation, and fail it if it is its turn."""
        if self.is_full and what != "write":
            return
        self.count += 1
        is_due = self.count == self.fail_at or (self.for_ever and 0 < self.fail_at < self.count)
        if not is_due:
            return
        self.failed += 1
        if self.is_full:
            raise apsw.FullError(f"write {self.count} found no room, as planted")
        raise apsw.IOError(f"{what} {self.count} failed, as planted")

    def xOpen(  # noqa: N802 (SQLite's name)
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        """Open a file; the database and its logs may fail."""
        if name is None or not flags[0] & _KEPT_FLAGS:
            return super().xOpen(name, flags)
        return _FailingFile(self, name, flags)


class _FailingFile(apsw.VFSFile):
    """A file on such a disk."""

    def __init__(self, disk: FailingDisk, name: str | apsw.URIFilename, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 (SQLite's name)
        self._disk.operation("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 (SQLite's name)
        self._disk.operation("write")
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 (SQLite's name)
        self._disk.operation("truncation")
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 (SQLite's name)
        self._disk.operation("sync")
        super().xSync(flags)
