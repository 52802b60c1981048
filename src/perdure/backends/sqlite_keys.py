"""The SQL of wrapped keys, and of bytes that are sealed anew, on a connection that is given."""

from __future__ import annotations

from collections.abc import Iterable

import apsw

from perdure.engine.requests import (
    ErasedRow,
    KeyRow,
    ListKeys,
    PutKey,
    ReadKeys,
    RecordRow,
    Reseal,
    Resealed,
)

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS keys (owner BLOB PRIMARY KEY, blob BLOB NOT NULL) WITHOUT ROWID"
)
"""Made with the first key: a store that is not encrypted goes without."""

_IS_THERE = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'keys'"
_KEY = "SELECT owner, IFNULL(CAST(blob AS BLOB), x'') FROM keys"


def store_key(connection: apsw.Connection) -> bytes:
    """The store's own key, where there is a table of them; empty if there is none."""
    found = connection.execute(f"{_KEY} WHERE owner = x''").fetchone()
    return found[1] if found else b""


def read_keys(connection: apsw.Connection, request: ReadKeys) -> tuple[KeyRow, ...]:
    """Answer a `ReadKeys`."""
    if not connection.execute(_IS_THERE).get:
        return ()
    found = (connection.execute(f"{_KEY} WHERE owner = ?", (each,)) for each in request.owners)
    return tuple(KeyRow(*row) for rows in found for row in rows)


def list_keys(connection: apsw.Connection, request: ListKeys) -> tuple[KeyRow, ...]:
    """Answer a `ListKeys`."""
    if not connection.execute(_IS_THERE).get:
        return ()
    # Every owner is a blob, and sorts after every number.
    after = -1 if request.after is None else request.after
    sql = f"{_KEY} WHERE owner > ? ORDER BY owner LIMIT ?"
    return tuple(KeyRow(*row) for row in connection.execute(sql, (after, request.count)))


def add_keys(connection: apsw.Connection, keys: Iterable[KeyRow]) -> None:
    """Store keys where their owners have none."""
    connection.execute(SCHEMA)
    connection.executemany(
        "INSERT INTO keys VALUES (?, ?) ON CONFLICT DO NOTHING",
        ((key.owner, key.blob) for key in keys),
    )


def put_key(connection: apsw.Connection, request: PutKey) -> bool:
    """Answer a `PutKey`."""
    connection.execute(SCHEMA)
    owner = request.owner
    there = connection.execute("SELECT blob FROM keys WHERE owner = ?", (owner,)).get
    if there != request.expect:
        return False
    # Of a key that goes, nothing stays behind in the page.
    connection.pragma("secure_delete", True)
    try:
        connection.execute("DELETE FROM keys WHERE owner = ?", (owner,))
        if request.blob is not None:
            connection.execute("INSERT INTO keys VALUES (?, ?)", (owner, request.blob))
    finally:
        connection.pragma("secure_delete", False)
    return True


_RESEAL_RECORD = (
    "UPDATE records SET blob = ? WHERE incarnation = ? AND line = ? AND number = ? AND count = ?"
    " AND blob = ?"
)
_RESEAL_PAGE = "UPDATE pages SET blob = ? WHERE incarnation = ? AND id = ? AND blob = ?"
_RESEAL_ERASED = "UPDATE erased SET blob = ? WHERE incarnation = ? AND blob = ?"


def reseal(connection: apsw.Connection, request: Reseal) -> int:
    """Answer a `Reseal`."""
    before = connection.total_changes()
    for each in request.rows:
        connection.execute(*_resealing(request.incarnation, each))
    return connection.total_changes() - before


def _resealing(incarnation: bytes, each: Resealed) -> tuple[str, tuple[bytes | int, ...]]:
    row = each.row
    if isinstance(row, ErasedRow):
        return _RESEAL_ERASED, (row.blob, row.incarnation, each.was)
    if isinstance(row, RecordRow):
        place = row.line, row.number, row.count
        return _RESEAL_RECORD, (row.blob, incarnation, *place, each.was)
    return _RESEAL_PAGE, (row.blob, incarnation, row.id, each.was)
