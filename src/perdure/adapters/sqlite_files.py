"""SQLite files of other libraries: read, and never written to."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from perdure.errors import StoreUnavailable


def opened_to_read(path: str | Path) -> sqlite3.Connection:
    """A connection to a file as it is now; what is written to it meanwhile is not seen.

    A file without a write-ahead log beside it is opened as one that nobody changes, so that SQLite
    leaves nothing beside it. Of one that is in use, the log is read too.

    Args:
        path: of the file.

    Raises:
        StoreUnavailable: it is not there, or is no SQLite file.
    """
    file = Path(path).absolute()
    if not file.is_file():
        raise StoreUnavailable(f"there is no file {path}")
    log = Path(f"{file}-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
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
        raise StoreUnavailable(f"{path} cannot be read: {error}") from error
    return base
