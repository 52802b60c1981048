"""The checks of the backend contract on pages and on space; each docstring is what it checks."""

from __future__ import annotations

import os
from typing import Any

from perdure.backends.protocol import Backend
from perdure.engine.requests import (
    HeadRow,
    ListPages,
    PageRow,
    PutPages,
    ReadState,
    RecordRow,
    Run,
    StateRows,
)
from perdure.testing.contract_kit import Make, Writer, must_be, opened


def _begun(backend: Backend) -> Writer:
    writer = Writer()
    writer.save(backend, b"one")
    return writer


def check_pages(make: Make) -> None:
    """Pages that were put are answered by their ids; those that are not there are left out."""
    with opened(make) as backend:
        writer, other = _begun(backend), _begun(backend)
        wanted = {os.urandom(32): os.urandom(size) for size in (0, 1, 999, 5000, 60_000, 250_000)}
        wanted[b"a short id"] = b"a page"
        pages = list(wanted.items())
        writer.put(backend, *pages[:3])
        writer.put(backend, *pages[3:])
        other.put(backend, (b"a short id", b"of another state"))
        must_be(writer.pages(backend, *wanted, os.urandom(32), b""), wanted, "the pages")
        must_be(writer.pages(backend), {}, "no pages asked for")
        must_be(other.pages(backend, *wanted), {b"a short id": b"of another state"}, "the other's")
        if backend.size_bytes() < sum(map(len, wanted.values())):
            raise AssertionError("size_bytes() is less than the pages that were stored")


def check_pages_put_again(make: Make) -> None:
    """A page put again under its id is there once, as it was put last."""
    with opened(make) as backend:
        writer = _begun(backend)
        for blob in (b"page", b"page", b"mended"):
            writer.put(backend, (b"id", blob), (b"id 2", b"other"))
            wanted = {b"id": blob, b"id 2": b"other"}
            must_be(writer.pages(backend, b"id", b"id 2"), wanted, "the pages")
        sizes = ((b"id", 6), (b"id 2", 5))
        must_be(backend.perform(ListPages(writer.incarnation, None, 9)), sizes, "the list")


def check_page_ownership(make: Make) -> None:
    """A page is not kept by reference to a caller's mutable buffer."""
    with opened(make) as backend:
        writer, blob = _begun(backend), bytearray(b"page")
        row: Any = PageRow(b"id", blob)  # type: ignore[arg-type]
        backend.perform(PutPages(writer.incarnation, (row,)))
        must_be(blob, b"page", "the caller's buffer")
        blob[:] = b"xxxx"
        must_be(writer.pages(backend, b"id"), {b"id": b"page"}, "what is stored")


def check_list_pages(make: Make) -> None:
    """`ListPages` answers ids and sizes in the order of the ids, page by page."""
    with opened(make) as backend:
        writer, other = _begun(backend), _begun(backend)
        ids = (b"", b"\0", b"\0\1", b"a", b"a\0", b"ab", b"\x7f", b"\xff", b"\xff\xff", b"b" * 32)
        writer.put(backend, *((id_, b"x" * number) for number, id_ in enumerate(ids)))
        other.put(backend, (b"c", b"of another state"))
        wanted = tuple(sorted((id_, number) for number, id_ in enumerate(ids)))
        must_be(backend.perform(ListPages(writer.incarnation, None, 99)), wanted, "all")
        for count in (1, 3):
            found: list[tuple[bytes, int]] = []
            while len(found) <= len(wanted):
                after = found[-1][0] if found else None
                page = backend.perform(ListPages(writer.incarnation, after, count))
                must_be(len(page), min(count, len(wanted) - len(found)), "ids in one answer")
                if not page:
                    break
                found += page
            must_be(tuple(found), wanted, f"by {count}")
        must_be(backend.perform(ListPages(os.urandom(16), None, 9)), (), "of no state")


def check_root_page_in_state(make: Make) -> None:
    """`ReadState` answers the page that the tail names, if it is there, and no other."""
    with opened(make) as backend:
        writer, other = _begun(backend), _begun(backend)
        writer.put(backend, (b"root", b"root page"), (b"leaf", b"another page"))
        other.put(backend, (b"elsewhere", b"of another state"))
        rows = tuple(writer.rows)
        for page, pages in (
            (b"root", (PageRow(b"root", b"root page"),)),
            (b"elsewhere", ()),
            (b"", ()),
            (None, ()),
            (b"leaf", (PageRow(b"leaf", b"another page"),)),
        ):
            commit = writer.save(backend, page=page)
            state = StateRows(commit.head, rows, pages)
            must_be(backend.perform(ReadState(writer.key)), state, f"with the page {page!r}")


def check_dropped(make: Make) -> None:
    """A commit removes the pages that it drops, where they are there; they can be put again."""
    with opened(make) as backend:
        writer, other = _begun(backend), _begun(backend)
        for each in (writer, other):
            each.put(backend, (b"a", b"1"), (b"b", b"2"), (b"c", b"3"))
        writer.save(backend, page=b"a", dropped=(b"a", b"c", b"never there", b"c"))
        must_be(writer.pages(backend, b"a", b"b", b"c"), {b"b": b"2"}, "what is left")
        must_be(backend.perform(ListPages(writer.incarnation, None, 9)), ((b"b", 1),), "the list")
        must_be(backend.perform(ReadState(writer.key)).pages, (), "the root that was dropped")
        must_be(len(other.pages(backend, b"a", b"b", b"c")), 3, "pages of another state")
        root = writer.put(backend, (b"a", b"again"))
        must_be(backend.perform(ReadState(writer.key)).pages, root, "the root, put again")
        writer.save(backend, dropped=(b"b",))
        must_be(writer.pages(backend, b"a", b"b"), {b"a": b"again"}, "after one more commit")


def check_stored_pages_are_there_again(make: Make) -> None:
    """Pages, packed rows and what was removed are as they were when the store is opened again."""
    with opened(make) as backend:
        writer = _begun(backend)
        root, _ = writer.put(backend, (b"root", b"page"), (b"old", b"page"))
        pack = RecordRow(0, 1, b"one, packed")
        commit = writer.save(
            backend, page=b"root", rows=(pack,), removed=(Run(0, 1, 1),), dropped=(b"old",)
        )
    with opened(make) as backend:
        state = StateRows(commit.head, (pack,), (root,))
        must_be(backend.perform(ReadState(writer.key)), state, "the state")
        must_be(writer.pages(backend, b"root", b"old"), {b"root": b"page"}, "the pages")


def check_compact(make: Make) -> None:
    """`compact` tells how far it is, changes nothing but the size, and never makes it greater."""
    with opened(make) as backend:
        writer, kept = _begun(backend), _begun(backend)
        ids = [b"%04d" % number for number in range(64)]
        for id_ in ids:
            writer.put(backend, (id_, os.urandom(30_000)))
        kept.put(backend, *((id_, id_ * 500) for id_ in ids))
        kept.save(backend, b"two" * 500)
        writer.save(backend, dropped=tuple(ids))
        before, told = backend.size_bytes(), list[tuple[int, int]]()
        given_back = backend.compact(lambda done, total: told.append((done, total)))
        must_be(given_back >= 0, True, f"bytes given back, {given_back}, are not negative")
        must_be(told, sorted(told, key=lambda each: each[0]), "what was done, step by step")
        must_be([each for each in told if each[0] > each[1]], [], "more done than there is to do")
        must_be(backend.size_bytes() <= before, True, f"a size of at most {before}")
        must_be(kept.pages(backend, *ids), {id_: id_ * 500 for id_ in ids}, "pages kept")
        must_be(kept.read(backend), tuple(kept.rows), "records kept")
        must_be(backend.compact(), 0, "what a second time gives back")
        state: StateRows = backend.perform(ReadState(kept.key))
        must_be(state.head, HeadRow(kept.token or b"", b"head"), "the head")
