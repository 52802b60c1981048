"""The checks of the backend contract on reading a state that was read before."""

from __future__ import annotations

import os

from perdure.backends.protocol import Backend
from perdure.engine.requests import Known, PageRow, ReadState, RecordRow, StateRows, Tail, Unchanged
from perdure.testing.contract_kit import Make, Writer, must_be, opened

_ROOT = PageRow(b"root", b"root page")


def _read(backend: Backend) -> tuple[Writer, Known]:
    """A state of six records and a root page, and what is known of it."""
    writer = Writer()
    writer.save(backend, *(b"%d" % number for number in range(1, 7)))
    writer.put(backend, (_ROOT.id, _ROOT.blob), (b"other", b"another page"))
    commit = writer.save(backend, after=2, page=_ROOT.id)
    return writer, Known(commit.head.token, commit.tail, 6)


def check_known_head_is_unchanged(make: Make) -> None:
    """`ReadState` answers `Unchanged` if and only if the head that is known is the one stored."""
    with opened(make) as backend:
        writer, known = _read(backend)
        other, _ = _read(backend)
        must_be(backend.perform(ReadState(writer.key, known)), Unchanged(), "the head is known")
        elsewhere = Tail(os.urandom(16), 7, 1, b"other")
        for tail, number in ((elsewhere, 6), (known.tail, 0), (known.tail, 99)):
            asked = ReadState(writer.key, Known(known.token, tail, number))
            must_be(backend.perform(asked), Unchanged(), "its token is what counts")
        for key, what in ((other.key, "another state's head"), ("contract/absent", "no head")):
            if backend.perform(ReadState(key, known)) == Unchanged():
                raise AssertionError(f"{what} was answered as unchanged")
        must_be(backend.perform(ReadState("contract/absent", known)), None, "no head")
        for token in (os.urandom(16), b"", bytes(16)):
            answer = backend.perform(ReadState(writer.key, Known(token, elsewhere, 6)))
            must_be(answer, backend.perform(ReadState(writer.key)), f"knowing {token!r}")
        writer.save(backend, after=2, page=_ROOT.id)
        if backend.perform(ReadState(writer.key, known)) == Unchanged():
            raise AssertionError("a head that was replaced was answered as unchanged")


def check_known_tail_is_left_out(make: Make) -> None:
    """Of a tail that is known, the page and the rows of known records alone are left out."""
    with opened(make) as backend:
        writer, known = _read(backend)
        head = writer.save(backend, head=b"no record", after=2, page=_ROOT.id).head
        must_be(backend.perform(ReadState(writer.key, known)), StateRows(head, ()), "a new head")
        commit = writer.save(backend, b"seven", b"eight", after=2, page=_ROOT.id)
        state = StateRows(commit.head, commit.records)
        must_be(backend.perform(ReadState(writer.key, known)), state, "two new records")
        for number in (0, 1, 2):
            asked = ReadState(writer.key, Known(known.token, known.tail, number))
            must_be(
                backend.perform(asked),
                StateRows(head=commit.head, records=_after(writer, 2)),
                "no fewer than the tail's",
            )
        for number in (3, 5, 7, 8, 99):
            asked = ReadState(writer.key, Known(known.token, known.tail, number))
            state = StateRows(commit.head, _after(writer, number))
            must_be(backend.perform(asked), state, f"knowing those up to {number}")


def check_known_part_of_a_row(make: Make) -> None:
    """A row that holds records beyond those known is answered whole."""
    with opened(make) as backend:
        writer, known = _read(backend)
        pack = RecordRow(0, 12, b"7 to 12", 6)
        commit = writer.save(backend, rows=(pack,), after=2, page=_ROOT.id)
        for number, rows in ((6, (pack,)), (9, (pack,)), (11, (pack,)), (12, ())):
            asked = ReadState(writer.key, Known(known.token, known.tail, number))
            must_be(backend.perform(asked), StateRows(commit.head, rows), f"up to {number}")


def check_other_tail_is_answered_whole(make: Make) -> None:
    """Where the tail is not the one that is known, in any part, everything is answered."""
    with opened(make) as backend:
        writer, known = _read(backend)
        writer.save(backend, b"seven", after=2, page=_ROOT.id)
        whole = backend.perform(ReadState(writer.key))
        must_be((len(whole.records), whole.pages), (5, (_ROOT,)), "the whole state")
        tail = known.tail
        for other in (
            Tail(os.urandom(16), tail.line, tail.after, tail.page),
            Tail(tail.incarnation, 1, tail.after, tail.page),
            Tail(tail.incarnation, tail.line, 3, tail.page),
            Tail(tail.incarnation, tail.line, tail.after, b"other"),
            Tail(tail.incarnation, tail.line, tail.after),
        ):
            answer = backend.perform(ReadState(writer.key, Known(known.token, other, 6)))
            must_be(answer, whole, f"knowing {other}")


def _after(writer: Writer, number: int) -> tuple[RecordRow, ...]:
    return tuple(row for row in writer.rows if row.number > number)
