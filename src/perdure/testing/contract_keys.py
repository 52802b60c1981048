"""The checks of the backend contract on wrapped keys and on bytes sealed anew."""

from __future__ import annotations

import os

from perdure.backends.protocol import Backend
from perdure.engine.requests import (
    Commit,
    Committed,
    KeyRow,
    ListKeys,
    PageRow,
    PutKey,
    ReadHead,
    ReadKeys,
    RecordRow,
    Reseal,
    Resealed,
)
from perdure.testing.contract_kit import Make, Writer, must_be, opened


def _read(backend: Backend, *owners: bytes) -> dict[bytes, bytes]:
    rows: tuple[KeyRow, ...] = backend.perform(ReadKeys(owners))
    must_be(len({row.owner for row in rows}), len(rows), "keys answered, each once")
    return {row.owner: row.blob for row in rows}


def check_wrapped_keys(make: Make) -> None:
    """A key is put, replaced and removed only where the one that is expected is there."""
    one, other = os.urandom(16), os.urandom(16)
    with opened(make) as backend:
        must_be(_read(backend, one, other), {}, "keys of nobody")
        must_be(backend.perform(PutKey(one, b"not there", b"a key")), False, "one expected")
        must_be(backend.perform(PutKey(one, None, b"a key")), True, "none expected")
        must_be(backend.perform(PutKey(one, None, b"another")), False, "none expected again")
        must_be(_read(backend, one, other), {one: b"a key"}, "the keys")
        must_be(backend.perform(PutKey(one, b"a key", b"newer")), True, "the one that is there")
        must_be(backend.perform(PutKey(one, b"a key", None)), False, "removal of a former one")
        must_be(_read(backend, one), {one: b"newer"}, "the key")
    with opened(make) as backend:
        must_be(_read(backend, one), {one: b"newer"}, "the key, opened anew")
        must_be(backend.perform(PutKey(one, b"newer", None)), True, "removal")
        must_be(_read(backend, one), {}, "the key, removed")


def check_list_wrapped_keys(make: Make) -> None:
    """`ListKeys` answers keys in the order of their owners, page by page."""
    owners = sorted(os.urandom(16) for _ in range(7))
    with opened(make) as backend:
        for owner in owners:
            backend.perform(PutKey(owner, None, owner[:4]))
        for count in (1, 3, 99):
            found: list[KeyRow] = []
            while True:
                after = found[-1].owner if found else None
                rows = backend.perform(ListKeys(after, count))
                if not rows:
                    break
                if len(rows) > count:
                    raise AssertionError(f"{len(rows)} keys where {count} were asked for")
                found += rows
            mine = [row for row in found if row.owner in owners]
            must_be(mine, [KeyRow(owner, owner[:4]) for owner in owners], f"by {count}")
            must_be(found, sorted(found, key=lambda row: row.owner), "the order")


def check_wrapped_keys_of_commits(make: Make) -> None:
    """A commit that takes effect has its keys stored, where there are none; another has not."""
    with opened(make) as backend:
        writer, other = Writer(), Writer()
        writer.save(backend, b"one", keys=(KeyRow(writer.incarnation, b"its key"),))
        writer.save(backend, b"two", keys=(KeyRow(writer.incarnation, b"a later one"),))
        must_be(_read(backend, writer.incarnation), {writer.incarnation: b"its key"}, "the key")
        there = backend.perform(ReadHead(writer.key))
        late: Commit = Writer(writer.key).commit(b"late", keys=(KeyRow(other.incarnation, b"x"),))
        outcomes = backend.commit((late, other.commit(b"first")))
        must_be(outcomes[1], Committed(), "the other's commit")
        must_be(backend.perform(ReadHead(writer.key)), there, "the head")


def check_resealing(make: Make) -> None:
    """`Reseal` replaces bytes where they are still what they were, and touches no head."""
    with opened(make) as backend:
        writer, other = Writer(), Writer()
        for each in (writer, other):
            each.save(backend, b"one", b"two", b"three")
            each.put(backend, (b"id", b"page"), (b"id 2", b"other"))
        head = backend.perform(ReadHead(writer.key))
        asked = (
            Resealed(b"two", RecordRow(0, 2, b"two anew")),
            Resealed(b"another", RecordRow(0, 3, b"never")),
            Resealed(b"one", RecordRow(1, 1, b"never")),
            Resealed(b"one", RecordRow(0, 1, b"never", 2)),
            Resealed(b"nowhere", RecordRow(0, 9, b"never")),
            Resealed(b"page", PageRow(b"id", b"page anew")),
            Resealed(b"page", PageRow(b"id 2", b"never")),
            Resealed(b"page", PageRow(b"nowhere", b"never")),
        )
        must_be(backend.perform(Reseal(writer.incarnation, asked)), 2, "what was replaced")
        rows = tuple(
            RecordRow(0, at, blob) for at, blob in enumerate((b"one", b"two anew", b"three"), 1)
        )
        must_be(writer.read(backend), rows, "the rows")
        pages = {b"id": b"page anew", b"id 2": b"other"}
        must_be(writer.pages(backend, *pages), pages, "the pages")
        must_be(backend.perform(ReadHead(writer.key)), head, "the head")
        must_be(other.read(backend), tuple(other.rows), "the other's rows")
        must_be(other.pages(backend, b"id"), {b"id": b"page"}, "the other's page")
        writer.save(backend, b"four")
