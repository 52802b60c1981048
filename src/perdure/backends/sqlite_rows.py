"""The SQL of each storage request, on a connection that is given."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from perdure.engine.requests import (
    Answer,
    Commit,
    Committed,
    Discard,
    HeadRow,
    ListHeads,
    Moved,
    ReadHead,
    ReadRecords,
    ReadState,
    RecordRow,
    Stage,
    StateRows,
)
from perdure.errors import PerdureError, StateExists

COMMITTED = Committed()
"""The outcome of every member that takes effect."""

# ---- reading --------------------------------------------------------------------------------

# A damaged row may hold values of any type. They are read as bytes and ints, so that whoever
# verifies them finds the damage, and one row keeps nobody from reading the others.
_HEAD = "IFNULL(CAST(token AS BLOB), x''), IFNULL(CAST(head AS BLOB), x'')"
_RECORD = "line, CAST(number AS INTEGER), IFNULL(CAST(blob AS BLOB), x'')"


def read_head(connection: apsw.Connection, request: ReadHead) -> HeadRow | None:
    """Answer a `ReadHead`."""
    found = connection.execute(
        f"SELECT {_HEAD} FROM heads WHERE key = ?", (_stored(request.key),)
    ).fetchone()
    return HeadRow(*found) if found else None


def read_state(connection: apsw.Connection, request: ReadState) -> StateRows | None:
    """Answer a `ReadState`, in one read transaction."""
    connection.execute("BEGIN")
    try:
        found = connection.execute(
            f"SELECT {_HEAD}, incarnation, line, after FROM heads WHERE key = ?",
            (_stored(request.key),),
        ).fetchone()
        if found is None:
            return None
        token, head, *tail = found
        rows = connection.execute(
            f"SELECT {_RECORD} FROM records"
            " WHERE incarnation = ? AND line = ? AND number > ? ORDER BY number",
            tail,
        )
        return StateRows(HeadRow(token, head), tuple(RecordRow(*row) for row in rows))
    finally:
        connection.execute("COMMIT")


_RECORDS = (
    f"SELECT {_RECORD} FROM records"
    " WHERE incarnation = ?1 AND line = ?2 AND number BETWEEN ?3 AND ?4"
    " AND NOT EXISTS (SELECT 1 FROM staged WHERE incarnation = ?1)"
    " ORDER BY number"
)
_RECORDS_NEWEST_FIRST = f"{_RECORDS} DESC"


def read_records(connection: apsw.Connection, request: ReadRecords) -> tuple[RecordRow, ...]:
    """Answer a `ReadRecords`."""
    cursor = connection.execute(
        _RECORDS_NEWEST_FIRST if request.newest_first else _RECORDS,
        (request.incarnation, request.line, request.first, request.last),
    )
    page: list[RecordRow] = []
    size = 0
    for line, number, blob in cursor:
        size += len(blob)
        if page and size > request.bytes_max:
            # Left unfinished, the statement would hold its read transaction open.
            cursor.close()
            break
        page.append(RecordRow(line, number, blob))
    return tuple(page)


def list_heads(connection: apsw.Connection, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
    """Answer a `ListHeads`."""
    prefix = _stored(request.prefix)
    # The bytes after a key are the key and a NUL; no UTF-8 holds 0xff, so it closes a prefix.
    first = prefix if request.after is None else max(prefix, _stored(request.after) + b"\0")
    rows = connection.execute(
        f"SELECT key, {_HEAD} FROM heads WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
        (first, prefix + b"\xff", request.count),
    )
    return tuple(
        (key.decode(errors="surrogateescape"), HeadRow(token, head)) for key, token, head in rows
    )


def _stored(key: str) -> bytes:
    """A key as it is stored, also one that `list_heads` found damaged."""
    return key.encode(errors="surrogateescape")


# ---- writing, inside a transaction ----------------------------------------------------------


def settle(connection: apsw.Connection, commit: Commit) -> Answer | PerdureError:
    """Let one commit take effect in the open transaction, or leave the transaction as it was."""
    key, head, tail = commit.key.encode(), commit.head, commit.tail
    execute = connection.execute
    present = execute("SELECT token, incarnation FROM heads WHERE key = ?", (key,)).fetchone()
    if (present[0] if present else None) != commit.expect:
        return Moved(read_head(connection, ReadHead(commit.key)))
    refused = _insert(connection, tail.incarnation, commit.records)
    if refused:
        return refused
    row = (head.token, head.blob, tail.incarnation, tail.line, tail.after, key)
    if present:
        execute(
            "UPDATE heads SET token = ?, head = ?, incarnation = ?, line = ?, after = ?"
            " WHERE key = ?",
            row,
        )
    else:
        execute(
            "INSERT INTO heads (token, head, incarnation, line, after, key)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )
    if present is None or present[1] != tail.incarnation:
        execute("DELETE FROM staged WHERE incarnation = ?", (tail.incarnation,))
    return COMMITTED


def _insert(
    connection: apsw.Connection, incarnation: bytes, rows: Sequence[RecordRow]
) -> StateExists | None:
    """Insert all of `rows`, or none if the place of one is taken."""
    done = 0
    try:
        for row in rows:
            connection.execute(
                "INSERT INTO records (incarnation, line, number, blob) VALUES (?, ?, ?, ?)",
                (incarnation, row.line, row.number, row.blob),
            )
            done += 1
    except apsw.ConstraintError:
        connection.executemany(
            "DELETE FROM records WHERE incarnation = ? AND line = ? AND number = ?",
            ((incarnation, row.line, row.number) for row in rows[:done]),
        )
        taken = rows[done]
        return StateExists(
            f"Record {taken.number} of line {taken.line} is already stored. Nothing was written."
        )
    return None


def stage(connection: apsw.Connection, request: Stage) -> None:
    """Answer a `Stage`; raises `StateExists` for the transaction to be rolled back."""
    incarnation = (request.incarnation,)
    is_staged = connection.execute("SELECT 1 FROM staged WHERE incarnation = ?", incarnation).get
    if not is_staged:
        if connection.execute(
            "SELECT 1 FROM records WHERE incarnation = ? LIMIT 1", incarnation
        ).get:
            raise StateExists("These records belong to a state that is already there.")
        connection.execute("INSERT INTO staged VALUES (?)", incarnation)
    refused = _insert(connection, request.incarnation, request.records)
    if refused:
        raise refused


def discard(connection: apsw.Connection, request: Discard) -> None:
    """Answer a `Discard`."""
    incarnation = (request.incarnation,)
    connection.execute(
        "DELETE FROM records WHERE incarnation = ?1"
        " AND EXISTS (SELECT 1 FROM staged WHERE incarnation = ?1)",
        incarnation,
    )
    connection.execute("DELETE FROM staged WHERE incarnation = ?", incarnation)
