"""The checks of the backend contract that one thread makes; each docstring is what it checks."""

from __future__ import annotations

import os

from perdure.engine.requests import (
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
    Run,
    StateRows,
    Tail,
)
from perdure.errors import StateExists, StoreClosed
from perdure.testing.contract_kit import LAST, Make, Writer, must_be, must_raise, opened

# ---- one commit -----------------------------------------------------------------------------


def check_connect_tells_one_identity(make: Make) -> None:
    """Connecting is idempotent, and tells the same 16-byte store id wherever it is opened."""
    with opened(make) as one, opened(make) as two:
        info = one.connect()
        must_be(len(info.store_id), 16, "length of the store id")
        must_be(one.connect(), info, "connecting again")
        must_be(two.connect(), info, "connecting from elsewhere")


def check_absent_is_none(make: Make) -> None:
    """What is not there reads as None, or as no rows."""
    with opened(make) as backend:
        writer = Writer()
        must_be(backend.perform(ReadHead(writer.key)), None, "ReadHead")
        must_be(backend.perform(ReadState(writer.key)), None, "ReadState")
        must_be(writer.read(backend), (), "ReadRecords")


def check_committed_is_whole(make: Make) -> None:
    """After a commit answered `Committed`, every read sees its head and its records."""
    with opened(make) as backend:
        writer = Writer()
        commit = writer.save(backend, b"one", b"two", durability="power")
        must_be(backend.perform(ReadHead(writer.key)), commit.head, "ReadHead")
        state = StateRows(commit.head, commit.records)
        must_be(backend.perform(ReadState(writer.key)), state, "ReadState")
        must_be(writer.read(backend), commit.records, "ReadRecords")


def check_token_is_compared(make: Make) -> None:
    """A commit takes effect if and only if the stored head still has the token it expects."""
    with opened(make) as backend:
        writer = Writer()
        stale = writer.commit(b"stale")
        present = writer.save(backend, b"one").head
        for expect in (None, os.urandom(16), b""):
            commit = Commit(writer.key, expect, stale.head, stale.tail, stale.records, "process")
            must_be(backend.perform(commit), Moved(present), f"expecting {expect!r}")
        must_be(backend.perform(ReadHead(writer.key)), present, "the head")
        must_be(writer.read(backend), tuple(writer.rows), "the records")


def check_expecting_a_head_where_none_is(make: Make) -> None:
    """A commit that expects a head where there is none answers `Moved` with None."""
    with opened(make) as backend:
        writer = Writer()
        writer.token = os.urandom(16)
        must_be(backend.perform(writer.commit(b"one")), Moved(None), "the answer")
        must_be(backend.perform(ReadState(writer.key)), None, "the state")
        must_be(writer.read(backend), (), "the records")


def check_moved_leaves_nothing(make: Make) -> None:
    """After `Moved`, which carries the present head, no read sees any part of the commit."""
    with opened(make) as backend:
        writer = Writer()
        late = writer.commit(b"late", b"later", head=b"late")
        present = writer.save(backend, head=b"first").head
        must_be(backend.perform(late), Moved(present), "the answer")
        must_be(backend.perform(ReadState(writer.key)), StateRows(present, ()), "the state")
        must_be(writer.read(backend), (), "the records")


def check_taken_place_leaves_nothing(make: Make) -> None:
    """A commit with a record whose place is taken raises `StateExists` and has no effect."""
    with opened(make) as backend:
        writer = Writer()
        present = writer.save(backend, b"one", b"two")
        before = writer.rows[:]
        rows = (RecordRow(0, 3, b"new"), RecordRow(0, 2, b"taken"))
        again = Commit(writer.key, writer.token, writer.commit().head, present.tail, rows)
        with must_raise(StateExists, "a record's place was taken"):
            backend.perform(again)
        must_be(writer.read(backend), tuple(before), "the records")
        must_be(backend.perform(ReadHead(writer.key)), present.head, "the head")


def check_ownership(make: Make) -> None:
    """Bytes given to a backend are not kept by reference to a caller's mutable buffer."""
    with opened(make) as backend:
        writer = Writer()
        token, head, blob = bytearray(b"t" * 16), bytearray(b"head"), bytearray(b"record")
        tail = Tail(writer.incarnation, 0, 0)
        row = RecordRow(0, 1, blob)  # type: ignore[arg-type]
        given = HeadRow(token, head)  # type: ignore[arg-type]
        backend.perform(Commit(writer.key, None, given, tail, (row,), "process"))
        must_be((token, head, blob), (b"t" * 16, b"head", b"record"), "the caller's buffers")
        for buffer in (token, head, blob):
            buffer[:] = b"x" * len(buffer)
        kept = StateRows(HeadRow(b"t" * 16, b"head"), (RecordRow(0, 1, b"record"),))
        must_be(backend.perform(ReadState(writer.key)), kept, "what is stored")


def check_sizes(make: Make) -> None:
    """Empty blobs, and records and heads of a megabyte, come back as they were given."""
    with opened(make) as backend:
        writer = Writer()
        large = os.urandom(1024 * 1024)
        writer.save(backend, b"", large, b"", head=b"")
        commit = writer.save(backend, large[::-1], head=large)
        state = StateRows(commit.head, tuple(writer.rows))
        must_be(backend.perform(ReadState(writer.key)), state, "the state")
        must_be(writer.read(backend), tuple(writer.rows), "the records")
        if backend.size_bytes() < 3 * len(large):
            raise AssertionError("size_bytes() is less than what was stored")


def check_keys(make: Make) -> None:
    """Any text is a key of its own: with NUL, slashes, dots, blanks, accents, emoji, or long."""
    with opened(make) as backend:
        mark = os.urandom(6).hex()
        ends = ["", "\0", "\0b", "/", "//", "/../x", "%2F", "?", "#", " ", "a", "A", "é", "e\u0301"]
        ends += ["\U0001f600", "\uffff", "x" * 900, "'", '"', "\\", "_", "\n"]
        heads = {}
        for end in ends:
            heads[mark + end] = Writer(mark + end).save(backend, end.encode()).head
        for key, head in heads.items():
            must_be(backend.perform(ReadHead(key)), head, f"the head of {key!r:.60}")
        listed = backend.perform(ListHeads(mark, None, 1000))
        wanted = tuple(sorted(heads.items(), key=lambda each: each[0].encode()))
        must_be(listed, wanted, "all of them, in the order of their UTF-8 bytes")


# ---- batches --------------------------------------------------------------------------------


def check_batch_is_independent(make: Make) -> None:
    """A member that does not fit answers for itself and touches no other."""
    with opened(make) as backend:
        good, moved, taken, last = Writer(), Writer(), Writer(), Writer()
        late = moved.commit(b"late")
        there = moved.save(backend, b"first").head
        taken.number = 1
        taken.save(backend, b"second")
        taken.number = 0
        batch = (good.commit(b"a"), late, taken.commit(b"a", b"taken"), last.commit(b"b"))
        outcomes = backend.commit(batch)
        must_be(outcomes[:2], [Committed(), Moved(there)], "the first two outcomes")
        must_be(type(outcomes[2]), StateExists, "the outcome of the one whose place was taken")
        must_be(outcomes[3], Committed(), "the outcome of the last")
        must_be(good.read(backend), batch[0].records, "the first member's record")
        must_be(last.read(backend), batch[3].records, "the last member's record")
        must_be(moved.read(backend), tuple(moved.rows), "the records where the head moved")
        must_be(taken.read(backend), tuple(taken.rows), "the records where a place was taken")


def check_batch_may_name_a_key_twice(make: Make) -> None:
    """The members of a batch are settled in order; two may name the same key."""
    with opened(make) as backend:
        writer = Writer()
        first = writer.commit(b"one")
        rival = writer.commit(b"rival")
        writer.took(first)
        second = writer.commit(b"two")
        outcomes = backend.commit((first, rival, second))
        must_be(outcomes, [Committed(), Moved(first.head), Committed()], "the outcomes")
        state = StateRows(second.head, (*first.records, *second.records))
        must_be(backend.perform(ReadState(writer.key)), state, "the state")


def check_batch_of_losers_and_of_none(make: Make) -> None:
    """A batch without a winner, or without members, changes nothing and fails nothing."""
    with opened(make) as backend:
        writer = Writer()
        late = writer.commit(b"late")
        must_be(backend.commit(()), [], "an empty batch")
        there = writer.save(backend, b"one").head
        must_be(backend.commit((late, late)), [Moved(there), Moved(there)], "two losers")
        must_be(writer.read(backend), tuple(writer.rows), "the records")
        writer.save(backend, b"two")


# ---- reading --------------------------------------------------------------------------------


def check_tail(make: Make) -> None:
    """`ReadState` answers the records of the tail's line after its number, and no others."""
    with opened(make) as backend:
        writer = Writer()
        writer.save(backend, *(b"%d" % number for number in range(1, 9)))
        writer.save(backend, b"other line", line=1)
        commit = writer.save(backend, after=5)
        state = backend.perform(ReadState(writer.key))
        must_be(state, StateRows(commit.head, tuple(writer.rows[5:8])), "the tail after 5")
        commit = writer.save(backend, line=1, after=0)
        state = backend.perform(ReadState(writer.key))
        must_be(state, StateRows(commit.head, (writer.rows[8],)), "the tail of line 1")


def check_records_in_pages(make: Make) -> None:
    """`ReadRecords` answers at least one row, then no more than about `bytes_max`, either way."""
    with opened(make) as backend:
        writer = Writer()
        writer.save(backend, *(bytes([number]) * 100 for number in range(1, 11)))
        for reverse in (False, True):
            wanted = tuple(writer.rows[::-1] if reverse else writer.rows)
            must_be(writer.read(backend, newest_first=reverse), wanted, "all rows")
            must_be(
                writer.read(backend, bytes_max=0, newest_first=reverse), wanted[:1], "one at least"
            )
            page = writer.read(backend, bytes_max=350, newest_first=reverse)
            must_be(page, wanted[: len(page)], "a page")
            if not 1 < len(page) <= 4:
                raise AssertionError(f"350 bytes of rows of 100 gave {len(page)} rows")
            part = writer.read(backend, first=3, last=5, newest_first=reverse)
            must_be(part, tuple(row for row in wanted if 3 <= row.number <= 5), "3 to 5")
            must_be(writer.read(backend, first=5, last=3, newest_first=reverse), (), "5 to 3")


def check_holes(make: Make) -> None:
    """Absent numbers are left out, and lines and incarnations are apart."""
    with opened(make) as backend:
        writer, other = Writer(), Writer()
        other.save(backend, b"another incarnation")
        rows = tuple(RecordRow(0, number, b"%d" % number) for number in (9, 2, 7, 4))
        base = writer.commit()
        more = (*rows, RecordRow(1, 3, b"another line"))
        backend.perform(Commit(writer.key, None, base.head, base.tail, more, "process"))
        in_order = tuple(sorted(rows, key=lambda row: row.number))
        must_be(writer.read(backend), in_order, "line 0")
        must_be(writer.read(backend, newest_first=True), in_order[::-1], "line 0 backwards")
        must_be(writer.read(backend, first=3, last=8), in_order[1:3], "3 to 8")
        must_be(writer.read(backend, line=1), more[4:], "line 1")


def check_list_heads(make: Make) -> None:
    """`ListHeads` answers the heads with a prefix in order of UTF-8 bytes, page by page."""
    with opened(make) as backend:
        mark = os.urandom(6).hex()
        names = ["b", "a", "a/1", "a/10", "a/2", "ä", "z", "\uffee", "\U0001f600", "a/\U0001f600"]
        heads = {f"{mark}/{name}": Writer(f"{mark}/{name}").save(backend).head for name in names}
        Writer(f"{mark}0").save(backend)
        Writer(f"{mark}").save(backend)
        for prefix in (f"{mark}/", f"{mark}/a", f"{mark}/a/", f"{mark}/\U0001f600", f"{mark}/q"):
            wanted = [each for each in heads.items() if each[0].startswith(prefix)]
            wanted.sort(key=lambda each: each[0].encode())
            must_be(backend.perform(ListHeads(prefix, None, 100)), tuple(wanted), prefix)
            pages: list[tuple[str, HeadRow]] = []
            while page := backend.perform(ListHeads(prefix, pages[-1][0] if pages else None, 2)):
                if len(page) > 2:
                    raise AssertionError(f"asked for 2 heads, got {len(page)}")
                pages += page
                if len(pages) > len(wanted):
                    break
            must_be(pages, wanted, f"{prefix} by twos")
        past = backend.perform(ListHeads(f"{mark}/a/", f"{mark}", 100))
        must_be(len(past), 4, "an `after` that sorts before the prefix")


# ---- life of a backend ----------------------------------------------------------------------


def check_former_life_stays(make: Make) -> None:
    """Records and pages of an incarnation stay when the key's head goes on to another."""
    with opened(make) as backend:
        writer, first = Writer(), Writer()
        first.incarnation = writer.incarnation
        writer.save(backend, b"first life")
        writer.put(backend, (b"page", b"of the first life"))
        former, rows = writer.incarnation, tuple(writer.rows)
        writer.incarnation, writer.number = os.urandom(16), 0
        writer.save(backend, b"second life")
        must_be(backend.perform(ReadRecords(former, 0, 0, LAST, LAST)), rows, "the first life")
        backend.perform(Discard(former))
        must_be(backend.perform(ReadRecords(former, 0, 0, LAST, LAST)), rows, "after Discard")
        must_be(first.pages(backend, b"page"), {b"page": b"of the first life"}, "its page")


def check_former_life_of_pages_stays(make: Make) -> None:
    """Pages of an earlier life stay also where it has no records, and can be put again."""
    with opened(make) as backend:
        writer, first = Writer(), Writer()
        first.incarnation = writer.incarnation
        writer.save(backend, b"first life")
        writer.put(backend, (b"page", b"of the first life"))
        writer.save(backend, removed=(Run(0, 1, 1),))
        writer.incarnation, writer.number = os.urandom(16), 0
        writer.save(backend, b"second life")
        first.put(backend, (b"page 2", b"late"))
        backend.perform(Discard(first.incarnation))
        wanted = {b"page": b"of the first life", b"page 2": b"late"}
        must_be(first.pages(backend, b"page", b"page 2"), wanted, "pages of the first life")


def check_stored_is_there_again(make: Make) -> None:
    """What was committed is there when the store is opened again."""
    writer = Writer()
    with opened(make) as backend:
        info = backend.connect()
        writer.save(backend, b"one", head=b"first")
        commit = writer.save(backend, b"two", head=b"second")
    with opened(make) as backend:
        must_be(backend.connect(), info, "the store's identity")
        state = StateRows(commit.head, tuple(writer.rows))
        must_be(backend.perform(ReadState(writer.key)), state, "the state")
        writer.save(backend, b"more")


def check_close(make: Make) -> None:
    """`close` may be called twice; then every other method raises `StoreClosed`."""
    with opened(make) as backend:
        writer = Writer()
        writer.save(backend, b"one")
        backend.close()
        backend.close()
        with must_raise(StoreClosed, "connect"):
            backend.connect()
        with must_raise(StoreClosed, "a read"):
            backend.perform(ReadHead(writer.key))
        with must_raise(StoreClosed, "a commit"):
            backend.commit((writer.commit(b"two"),))
        with must_raise(StoreClosed, "size_bytes"):
            backend.size_bytes()
        with must_raise(StoreClosed, "after_commit"):
            backend.after_commit()
        with must_raise(StoreClosed, "compact"):
            backend.compact()
