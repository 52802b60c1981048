"""The SQL of pages and of stagings, on a connection that is given."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from perdure.backends import sqlite_erased
from perdure.engine.requests import (
    Discard,
    Held,
    ListHeld,
    ListPages,
    ListStaged,
    PageRow,
    PutPages,
    ReadPages,
)

# A damaged row may hold values of any type: see `sqlite_rows`.
_PAGE = "SELECT IFNULL(CAST(blob AS BLOB), x'') FROM pages WHERE incarnation = ? AND id = ?"


def read_pages(connection: apsw.Connection, request: ReadPages) -> tuple[PageRow, ...]:
    """Answer a `ReadPages`."""
    return found(connection, request.incarnation, request.ids)


def found(
    connection: apsw.Connection, incarnation: bytes, ids: Sequence[bytes]
) -> tuple[PageRow, ...]:
    """These pages, without those that are not there."""
    rows = ((id_, connection.execute(_PAGE, (incarnation, id_)).fetchone()) for id_ in ids)
    return tuple(PageRow(id_, row[0]) for id_, row in rows if row)


def list_pages(connection: apsw.Connection, request: ListPages) -> tuple[tuple[bytes, int], ...]:
    """Answer a `ListPages`."""
    # Every id is a blob, and sorts after every number.
    after = -1 if request.after is None else request.after
    rows = connection.execute(
        "SELECT CAST(id AS BLOB), IFNULL(length(blob), 0) FROM pages"
        " WHERE incarnation = ? AND id > ? ORDER BY id LIMIT ?",
        (request.incarnation, after, request.count),
    )
    return tuple(rows)


def drop(connection: apsw.Connection, incarnation: bytes, ids: Sequence[bytes]) -> None:
    """Remove these pages, where they are there."""
    connection.executemany(
        "DELETE FROM pages WHERE incarnation = ? AND id = ?", ((incarnation, id_) for id_ in ids)
    )


def put_pages(connection: apsw.Connection, request: PutPages) -> None:
    """Answer a `PutPages`."""
    incarnation = request.incarnation
    if not is_known(connection, incarnation):
        if late := sqlite_erased.erased(connection, incarnation):
            raise late
        connection.execute(
            "INSERT INTO staged VALUES (?, 0) ON CONFLICT DO NOTHING", (incarnation,)
        )
    connection.executemany(
        "INSERT INTO pages (incarnation, id, blob) VALUES (?, ?, ?)"
        " ON CONFLICT (incarnation, id) DO UPDATE SET blob = excluded.blob",
        ((incarnation, page.id, page.blob) for page in request.pages),
    )


# ---- stagings -------------------------------------------------------------------------------

_KNOWN = (
    "SELECT 1 FROM records WHERE incarnation = ? LIMIT 1",
    "SELECT 1 FROM pages WHERE incarnation = ? LIMIT 1",
    # No index serves this; whoever has neither records nor pages has hardly begun.
    "SELECT 1 FROM heads WHERE incarnation = ? LIMIT 1",
)


def is_known(connection: apsw.Connection, incarnation: bytes) -> bool:
    """Whether anything of this incarnation is stored."""
    return any(connection.execute(sql, (incarnation,)).get for sql in _KNOWN)


def is_staged(connection: apsw.Connection, incarnation: bytes) -> bool:
    """Whether no head names this incarnation yet, as far as anything of it is stored."""
    found = connection.execute("SELECT 1 FROM staged WHERE incarnation = ?", (incarnation,)).get
    return bool(found)


def mark_staged(connection: apsw.Connection, incarnation: bytes, at_us: int) -> None:
    """Note that a staging was added to."""
    connection.execute(
        "INSERT INTO staged VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET at_us = max(at_us, excluded.at_us)",
        (incarnation, at_us),
    )


def list_staged(connection: apsw.Connection, _request: ListStaged) -> tuple[tuple[bytes, int], ...]:
    """Answer a `ListStaged`."""
    return tuple(connection.execute(_STAGED))


# A time that is none makes nothing look abandoned.
_STAGED = (
    "SELECT CAST(incarnation AS BLOB), CASE typeof(at_us) WHEN 'integer' THEN at_us"
    " ELSE 0x7fffffffffffffff END FROM staged WHERE incarnation NOTNULL ORDER BY 1"
)


_NEXT_HELD = (
    "SELECT min(incarnation) FROM (SELECT min(incarnation) AS incarnation FROM records"
    " WHERE incarnation >= ?1 UNION ALL SELECT min(incarnation) FROM pages WHERE incarnation >= ?1)"
)
_HELD = (
    "SELECT NULL, count(*), 0, sum(IFNULL(length(blob), 0)) FROM pages"
    " WHERE incarnation = ?1 HAVING count(*) UNION ALL"
    " SELECT IFNULL(CAST(line AS INTEGER), 0), count(*), max(IFNULL(CAST(number AS INTEGER), 0)),"
    " sum(IFNULL(length(blob), 0)) FROM records WHERE incarnation = ?1 GROUP BY 1 ORDER BY 1"
)


def list_held(connection: apsw.Connection, request: ListHeld) -> tuple[Held, ...]:
    """Answer a `ListHeld`, in one read transaction."""
    connection.execute("BEGIN")
    try:
        found: list[Held] = []
        at = request.incarnation
        for _ in range(request.count):
            incarnation = connection.execute(_NEXT_HELD, (at,)).get
            if incarnation is None:
                break
            found += (Held(incarnation, *row) for row in connection.execute(_HELD, (incarnation,)))
            at = incarnation + b"\0"
        return tuple(found)
    finally:
        connection.execute("COMMIT")


def discard(connection: apsw.Connection, request: Discard) -> None:
    """Answer a `Discard`."""
    if is_staged(connection, request.incarnation):
        for table in ("records", "pages", "staged"):
            connection.execute(f"DELETE FROM {table} WHERE incarnation = ?", (request.incarnation,))
    if sqlite_erased.erased(connection, request.incarnation):
        sqlite_erased.remove(connection, request.incarnation)
