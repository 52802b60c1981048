"""Floors: the least that SQLite itself takes for the same work, through the same binding."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import apsw


class Floor:
    """One table in its own file; each insert is a commit of its own, and nothing else.

    Page size and automatic checkpoints are SQLite's defaults.
    """

    def __init__(
        self, path: Path, synchronous: Literal["FULL", "NORMAL"], vfs: str | None = None
    ) -> None:
        self.path = path
        self._connection = apsw.Connection(str(path), vfs=vfs)
        self._connection.pragma("journal_mode", "wal")
        self._connection.pragma("synchronous", synchronous)
        self._execute = self._connection.execute
        self._execute(
            "CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, blob BLOB NOT NULL)"
        )

    def insert(self, blob: bytes) -> None:
        self._execute("INSERT INTO log (blob) VALUES (?)", (blob,))

    def transaction(self) -> apsw.Connection:
        """Inserts in its `with` block are one commit."""
        return self._connection

    def last(self) -> int:
        """Number of the row that was inserted last."""
        return self._connection.last_insert_rowid()

    def read(self, number: int) -> bytes:
        blob: bytes = self._execute("SELECT blob FROM log WHERE number = ?", (number,)).get
        return blob

    def read_all(self) -> list[bytes]:
        return [blob for (blob,) in self._execute("SELECT blob FROM log ORDER BY number")]

    def pragma(self, name: str, value: str | None = None) -> Any:
        pragma = self._connection.pragma
        return pragma(name) if value is None else pragma(name, value)

    def close(self) -> None:
        self._connection.close()


def wal_bytes(path: Path) -> int:
    """Size of a database's log now."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        return 0


def disk_bytes(path: Path) -> int:
    """Size of a database with its log."""
    return path.stat().st_size + wal_bytes(path)
