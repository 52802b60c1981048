"""The checks of the backend contract on rows of many records; each docstring is what it checks."""

from __future__ import annotations

import os
from itertools import product

from perdure.backends.protocol import Backend
from perdure.engine.requests import (
    ROW_START_BYTES,
    Commit,
    ListRows,
    Moved,
    ReadHead,
    ReadState,
    RecordRow,
    Run,
    Stage,
    StateRows,
)
from perdure.errors import StateExists
from perdure.testing.contract_kit import LAST, Make, Writer, must_be, must_raise, opened

_ROWS = (
    RecordRow(0, 4, b"1 to 4", 4),
    RecordRow(0, 5, b"5"),
    RecordRow(0, 9, b"6 to 9", 4),
    RecordRow(0, 12, b"11 and 12", 2),
    RecordRow(0, 13, b"13"),
)
"""Records 1 to 13 of a line, without 10."""


def _holding(first: int, last: int) -> tuple[RecordRow, ...]:
    asked = set(range(first, last + 1))
    return tuple(
        row for row in _ROWS if asked & set(range(row.number - row.count + 1, row.number + 1))
    )


def _packed(backend: Backend) -> Writer:
    writer = Writer()
    writer.save(backend, rows=(*_ROWS, RecordRow(1, 6, b"another line", 3)))
    return writer


# ---- reading --------------------------------------------------------------------------------


def check_rows_hold_runs(make: Make) -> None:
    """Who asks for records is answered every row that holds any of them, and no other."""
    with opened(make) as backend:
        writer = _packed(backend)
        for first, last in product(range(16), range(16)):
            wanted = _holding(first, last)
            for reverse in (False, True):
                rows = writer.read(backend, first=first, last=last, newest_first=reverse)
                must_be(rows, wanted[::-1] if reverse else wanted, f"{first} to {last}")
        must_be(writer.read(backend, first=6, last=8, bytes_max=0), _holding(6, 6), "in a pack")
        must_be(len(writer.read(backend, line=1, first=4, last=4)), 1, "line 1")
        must_be(writer.read(backend, line=1, first=3, last=3), (), "line 1, before the pack")


def check_tail_in_a_pack(make: Make) -> None:
    """`ReadState` answers a row whole whose records are only in part after the tail's number."""
    with opened(make) as backend:
        writer = _packed(backend)
        for after in range(14):
            commit = writer.save(backend, after=after)
            state = StateRows(commit.head, _holding(after + 1, 99))
            must_be(backend.perform(ReadState(writer.key)), state, f"the tail after {after}")


def check_list_rows(make: Make) -> None:
    """`ListRows` answers number, count, size and start of the rows that hold some records."""
    with opened(make) as backend:
        writer = _packed(backend)
        for first, last, count in product((0, 2, 6, 10), (0, 5, 8, 10, LAST), (1, 2, 99)):
            wanted = tuple(
                (row.number, row.count, len(row.blob), row.blob[:ROW_START_BYTES])
                for row in _holding(first, 99)
            )
            rows = _holding(first, min(last, 99))
            asked = ListRows(writer.incarnation, 0, first, last, count)
            must_be(backend.perform(asked), wanted[: min(len(rows), count)], f"{asked}")
        staged = Writer()
        backend.perform(Stage(staged.incarnation, _ROWS))
        must_be(backend.perform(ListRows(staged.incarnation, 0, 0, LAST, 9)), (), "staged rows")


# ---- committing -----------------------------------------------------------------------------


def check_place_within_a_row_is_taken(make: Make) -> None:
    """A row of several records, one of which is in another row, raises `StateExists`."""
    with opened(make) as backend:
        writer = _packed(backend)
        head = backend.perform(ReadHead(writer.key))
        for number, count in ((2, 2), (3, 2), (4, 1), (4, 4), (5, 2), (8, 2), (11, 2), (20, 20)):
            rows = (RecordRow(0, 30, b"new"), RecordRow(0, number, b"taken", count))
            with must_raise(StateExists, f"{count} records up to {number}"):
                backend.perform(writer.commit(rows=rows))
            must_be(writer.read(backend), _ROWS, "the records")
            must_be(backend.perform(ReadHead(writer.key)), head, "the head")
        twice = (RecordRow(0, 22, b"one", 2), RecordRow(0, 25, b"reaches into it", 4))
        with must_raise(StateExists, "two rows of one commit that overlap"):
            backend.perform(writer.commit(rows=twice))
        writer.save(backend, rows=(RecordRow(0, 10, b"the gap"),))
        gap = (RecordRow(0, 10, b"the gap"),)
        must_be(writer.read(backend, first=10, last=10), gap, "record 10")


def check_removed_gives_way(make: Make) -> None:
    """Rows whose records all lie in a removed run give way, before others are stored."""
    with opened(make) as backend:
        writer, other = _packed(backend), _packed(backend)
        one = RecordRow(0, 9, b"5 to 9", 5)
        # Of 1 to 4 a part is in the run only; it stays.
        writer.save(backend, rows=(one,), removed=(Run(0, 2, 10),))
        must_be(writer.read(backend), (_ROWS[0], one, *_ROWS[3:]), "5 to 9 as one")
        all_ = RecordRow(0, 13, b"1 to 13", 13)
        commit = writer.save(backend, rows=(all_,), removed=(Run(0, 1, 6), Run(0, 5, 13)))
        must_be(writer.read(backend), (all_,), "all as one")
        must_be(backend.perform(ReadState(writer.key)), StateRows(commit.head, (all_,)), "state")
        blobs = [row.blob for row in writer.read(backend, line=1)]
        must_be(blobs, [b"another line"], "line 1")
        must_be(other.read(backend), _ROWS, "another state")
        writer.save(backend, removed=(Run(0, 0, LAST), Run(1, 5, LAST), Run(7, 0, LAST)))
        must_be(writer.read(backend), (), "after all was removed")
        must_be(len(writer.read(backend, line=1)), 1, "line 1, of which a part was named")
        writer.save(backend, rows=_ROWS)
        must_be(writer.read(backend), _ROWS, "stored again")


def check_refused_removal_leaves_everything(make: Make) -> None:
    """A commit that is refused removes no row and no page."""
    with opened(make) as backend:
        writer = _packed(backend)
        writer.put(backend, (b"page", b"kept"))
        removed, dropped = (Run(0, 1, 9),), (b"page",)
        rows = (RecordRow(0, 9, b"1 to 9", 9), RecordRow(0, 12, b"taken"))
        present = backend.perform(ReadHead(writer.key))
        taken = writer.commit(rows=rows, removed=removed, dropped=dropped)
        with must_raise(StateExists, "a record's place was taken"):
            backend.perform(taken)
        late = Commit(
            writer.key, os.urandom(16), taken.head, taken.tail, removed=removed, dropped=dropped
        )
        must_be(backend.perform(late), Moved(present), "a late commit")
        batch = backend.commit((late, taken))
        must_be([type(each) for each in batch], [Moved, StateExists], "both as a batch")
        must_be(writer.read(backend), _ROWS, "the records")
        must_be(writer.pages(backend, b"page"), {b"page": b"kept"}, "the page")
        must_be(backend.perform(ReadHead(writer.key)), present, "the head")


def check_refused_removal_touches_no_other(make: Make) -> None:
    """In a batch, a member whose removal is undone leaves the commits around it as they are."""
    with opened(make) as backend:
        first, writer, last = Writer(), _packed(backend), _packed(backend)
        row = RecordRow(0, 13, b"1 to 13", 13)
        taken = (RecordRow(0, 9, b"1 to 9", 9), RecordRow(0, 13, b"taken"))
        run = (Run(0, 1, 9),)
        batch = (
            first.commit(b"one"),
            writer.commit(rows=taken, removed=run),
            last.commit(rows=(row,), removed=(Run(0, 1, 13),)),
        )
        outcomes = backend.commit(batch)
        must_be(type(outcomes[1]), StateExists, "the outcome of the one in the middle")
        must_be(first.read(backend), batch[0].records, "the records of the first")
        must_be(writer.read(backend), _ROWS, "the records where a place was taken")
        must_be(last.read(backend), (row,), "the records of the last")
