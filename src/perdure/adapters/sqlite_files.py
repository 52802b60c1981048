"""SQLite files of other libraries: read, and never written to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from perdure.errors import StoreUnavailable

_WAL = b"\x02"
_WRITE_VERSION_AT = 18
"""Where the header of a file says whether a write-ahead log goes with it (bytes)."""


def opened_to_read(path: str | Path) -> sqlite3.Connection:
    """A connection to a file as it is now; what is written to it meanwhile is not seen.

    Nothing is left beside the file. Who would write to one that has no write-ahead log waits until
    the connection is closed. One whose log is not there is not in use, and is read as one that
    nobody changes.

    Args:
        path: of the file.

    Raises:
        StoreUnavailable: it is not there, is no SQLite file, or somebody died while writing to it.
    """
    file = Path(path).absolute()
    if not file.is_file():
        raise StoreUnavailable(f"there is no file {path}")
    mode = "immutable=1" if _is_at_rest(file) else "mode=ro"
    base = None
    try:
        base = sqlite3.connect(
            f"file:{quote(str(file))}?{mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        base.execute("BEGIN")
        base.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if base is not None:
            base.close()
        raise StoreUnavailable(f"{path} cannot be read: {_told(error)}") from error
    return base


def _is_at_rest(file: Path) -> bool:
    """Whether SQLite would make a log beside a file that has none, only to read it."""
    with file.open("rb") as opened:
        version = opened.read(_WRITE_VERSION_AT + 1)[_WRITE_VERSION_AT:]
    log, index = Path(f"{file}-wal"), Path(f"{file}-shm")
    return version == _WAL and not index.exists() and not (log.exists() and log.stat().st_size)


def _told(error: sqlite3.Error) -> str:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_ROLLBACK:
        return "somebody died while writing to it; let what wrote it open it once, which mends it"
    return str(error)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Tell of damage that is come upon only when rows are read.

    Args:
        name: of the file.

    Raises:
        StoreUnavailable: a part of it cannot be read.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoreUnavailable(f"{name} cannot be read: {error}") from error
