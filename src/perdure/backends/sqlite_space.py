"""Giving space that nothing uses back to the file system, a little at a time.

SQLite keeps the pages of a file that were freed and uses them for what is written next. Those that
are left are given back from the end of the file, where pages in use move into free ones. That goes
through the log like any commit, so it is cut into steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import apsw

STEP_PAGES = 16
"""Pages given back in one transaction, during which no commit can be made (pages)."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step gave back, and what is left to give (bytes)."""

    bytes: int
    bytes_left: int


Work = Callable[[apsw.Connection, None], Step | None]


def give_back(
    write: Callable[[Work, None, str], Step | None], progress: Callable[[int, int], None] | None
) -> int:
    """Give back all there is, each step by `write` in a transaction of its own; the bytes."""
    given_back = 0
    while done := write(step, None, "NORMAL"):
        given_back += done.bytes
        if progress:
            progress(given_back, given_back + done.bytes_left)
    return given_back


def step(connection: apsw.Connection, _request: None) -> Step | None:
    """Give back some pages in the open transaction; None if there are none."""
    before = connection.pragma("freelist_count")
    if not before:
        return None
    connection.execute(f"PRAGMA incremental_vacuum({STEP_PAGES})").fetchall()
    after = connection.pragma("freelist_count")
    if after == before:  # a store made without a map of its pages
        return None
    page_bytes = connection.pragma("page_size")
    return Step((before - after) * page_bytes, after * page_bytes)
