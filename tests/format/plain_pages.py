"""The part of the plain reader that reads pages, made from docs/format.md alone, as the rest of it.

A tree is read whole, and all that the specification says of its pages is checked on the way: their
ids, counts and lengths, and that each ends where the rule says.
"""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from tests.format.plain_reader import (
    HEAD,
    PACK,
    RECORD,
    Record,
    head_of,
    payload_of,
    place,
    record_of,
    records_of,
    value_of,
)

PAGE = 5
LIST, MAP, TEXT, BYTES, WHOLE = 1, 2, 3, 4, 5
BLOCK = 65_536
LEAVES, INNER = (16_384, 49_152, 114_688), (2_048, 6_144, 14_336)
"""The least, the aim and the full, in bytes of packed entries."""

Fetch = Callable[[bytes], bytes]
"""The payload of a page, by its id."""


def page_id(payload: bytes, secret: bytes) -> bytes:
    return blake2b(payload, digest_size=32, key=secret, person=b"perdure.page").digest()


def cut_hash(entry: bytes, secret: bytes) -> int:
    digest = blake2b(entry, digest_size=8, key=secret, person=b"perdure.cut").digest()
    return int.from_bytes(digest, "big")


def rolled(rolling: int, entry: bytes, secret: bytes, least: int) -> int:
    """`R` after one more entry."""
    step = least // 128
    return ((rolling << -(-len(entry) // step)) + cut_hash(entry, secret)) % 2**64


def ends(size: int, rolling: int, entry: bytes, bounds: tuple[int, int, int]) -> bool:
    """Whether a page of so many bytes ends after its last entry."""
    least, aim, full = bounds
    return size >= least and (size >= full or rolling * aim < 2**64 * len(entry))


def cuts(entries: list[bytes], secret: bytes, bounds: tuple[int, int, int]) -> list[int]:
    """Where pages end in these entries: how many there are up to each end."""
    found: list[int] = []
    size = rolling = 0
    for at, entry in enumerate(entries, 1):
        size, rolling = size + len(entry), rolled(rolling, entry, secret, bounds[0])
        if ends(size, rolling, entry, bounds):
            found.append(at)
            size = rolling = 0
    return found


@dataclass
class Page:
    shape: int
    level: int
    body: bytes
    references: list[list[Any]]


def page_of(payload: bytes) -> Page:
    shape, level, body, references = msgspec.msgpack.decode(payload, type=list[msgspec.Raw])
    decode = msgspec.msgpack.decode
    return Page(decode(shape), decode(level), bytes(body), decode(references))


def entries_of(page: Page) -> tuple[list[bytes], int, list[Any]]:
    """Of a list or map: the packed entries that cuts go by, their length, and the fields."""
    fields = [bytes(raw) for raw in msgspec.msgpack.decode(page.body, type=list[msgspec.Raw])]
    step = 1 if page.shape == LIST else 2
    starts = range(0, len(fields), step)
    entries = [b"".join(fields[at : at + step]) for at in starts]
    size = sum(map(len, entries))
    values: list[Any] = [value_of(field) for field in fields]
    for at, reference in page.references:
        assert fields[step * at + step - 1] == b"\xc0"
        entries[at] = entries[at][:-1] + msgspec.msgpack.encode(reference)
        size += reference[4] - 1
        values[step * at + step - 1] = reference
    return entries, size, values


class Tree:
    """A tree being read."""

    def __init__(self, secret: bytes, fetch: Fetch) -> None:
        self.secret = secret
        self.fetch = fetch
        self.pages = 0
        self.shapes: set[tuple[int, int]] = set()
        """Shape and level of the pages that were read."""

    def value(self, reference: list[Any]) -> Any:
        """What a tree keeps, as JSON."""
        shape, id_, level, *sums = reference
        leaves = list(self.leaves(shape, id_, level, sums))
        match shape:
            case 1:
                return [item for values in leaves for item in values]
            case 2:
                pairs = [
                    list(pair)
                    for values in leaves
                    for pair in zip(values[::2], values[1::2], strict=True)
                ]
                assert len({key for key, _ in pairs}) == len(pairs)
                return {"map": pairs}
            case 3:
                return "".join(leaves)
            case 4:
                return {"bytes": "".join(leaf["bytes"] for leaf in leaves)}
        [value] = leaves
        return value

    def leaves(self, shape: int, id_: bytes, level: int, sums: list[int]) -> Iterator[Any]:
        """What the pages of content hold, in order; each page that is not the last ends rightly."""
        found = [(id_, sums)]
        for below in range(level, 0, -1):
            found = list(self.children(shape, below, found))
        for at, (leaf, its_sums) in enumerate(found):
            yield self.leaf(shape, leaf, its_sums, is_last=at == len(found) - 1)

    def page(self, shape: int, level: int, id_: bytes) -> Page:
        payload = self.fetch(id_)
        assert page_id(payload, self.secret) == id_
        self.pages += 1
        self.shapes.add((shape, level))
        page = page_of(payload)
        assert (page.shape, page.level) == (shape, level)
        return page

    def children(
        self, shape: int, level: int, parents: list[tuple[bytes, list[int]]]
    ) -> Iterator[tuple[bytes, list[int]]]:
        for at, (id_, sums) in enumerate(parents):
            page = self.page(shape, level, id_)
            assert page.body == b"\x90"
            entries = [msgspec.msgpack.encode(child) for child in page.references]
            self.check_cut(entries, INNER, at_least=2, is_last=at == len(parents) - 1)
            columns = [list(column) for column in zip(*page.references, strict=True)]
            assert [sum(column) for column in columns[1:]] == sums
            yield from ((child[0], child[1:]) for child in page.references)

    def leaf(self, shape: int, id_: bytes, sums: list[int], *, is_last: bool) -> Any:
        page = self.page(shape, 0, id_)
        count, size, trees = sums
        assert trees == len(page.references)
        if shape in (LIST, MAP):
            entries, found, values = entries_of(page)
            assert (len(entries), found) == (count, size)
            self.check_cut(entries, LEAVES, at_least=1, is_last=is_last)
            return [self.value(each) if _is_reference(each) else each for each in values]
        value = value_of(page.body)
        if shape == WHOLE:
            assert (count, size) == (1, len(page.body))
            return value
        piece: Any = bytes.fromhex(value["bytes"]) if shape == BYTES else value
        raw = piece if shape == BYTES else piece.encode("utf-8", "surrogatepass")
        assert (len(piece), len(raw)) == (count, size)
        assert count <= BLOCK if is_last else count == BLOCK
        return value

    def check_cut(
        self, entries: list[bytes], bounds: tuple[int, int, int], *, at_least: int, is_last: bool
    ) -> None:
        """That a page ends with its last entry, unless the tree does, and could not before."""
        size = rolling = 0
        for at, entry in enumerate(entries, 1):
            size, rolling = size + len(entry), rolled(rolling, entry, self.secret, bounds[0])
            ended = at >= at_least and ends(size, rolling, entry, bounds)
            assert not ended if at < len(entries) else ended or is_last or at == at_least


def _is_reference(value: Any) -> bool:
    # As JSON, no other value is a list with bytes in it.
    return isinstance(value, list) and len(value) == 6 and isinstance(value[1], bytes)


@dataclass
class Stored:
    """A state in a SQLite file: its head, its snapshots as trees, and its records."""

    head: dict[str, Any]
    records: list[Record]
    packs: int
    """Rows that hold more than one record."""
    snapshots: list[tuple[int, Any, int]]
    """Of each, newest first: the number, the state, and how many pages it has."""
    pages: set[bytes]
    """The ids of all that are there."""
    shapes: set[tuple[int, int]]
    """Shape and level of those that the snapshots lead to."""

    def kept(self) -> list[Any]:
        """What the head says of its snapshots: number and reference of each."""
        return self.head["branches"]["main"][5]  # type: ignore[no-any-return]


def read_snapshots(path: Path, key: str) -> Stored:
    """A state with all that is kept of it, each page and record checked."""
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        [store] = database.execute("SELECT value FROM perdure WHERE name = 'store_id'").fetchone()
        found = database.execute(
            "SELECT head, after, page FROM heads WHERE key = ?", (key.encode(),)
        )
        blob, after, page = found.fetchone()
        head = head_of(payload_of(blob, HEAD, place(store, key.encode())))
        incarnation, secret = bytes.fromhex(head["inc"]), bytes.fromhex(head["secret"])
        line, number, *_ = head["branches"]["main"]
        rows = database.execute(
            "SELECT number, count, blob FROM records WHERE incarnation = ? AND line = ?"
            " ORDER BY number",
            (incarnation, line),
        ).fetchall()
        pages = dict(
            database.execute("SELECT id, blob FROM pages WHERE incarnation = ?", (incarnation,))
        )
    finally:
        database.close()
    records = [
        each
        for at, count, blob in rows
        for each in _records(blob, store, incarnation, line, at, count)
    ]
    assert len(records) == number
    snapshots, shapes = [], set()
    for at, reference in head["branches"]["main"][5]:
        tree = Tree(
            secret, lambda id_: payload_of(pages[id_], PAGE, place(store, incarnation + id_))
        )
        reference[1] = bytes.fromhex(reference[1])
        snapshots.append((at, tree.value(reference), tree.pages))
        shapes |= tree.shapes
    newest = head["branches"]["main"][5][0]
    assert (after, page) == (newest[0], newest[1][1])
    packs = sum(count > 1 for _, count, _ in rows)
    return Stored(head, records, packs, snapshots, set(pages), shapes)


def _records(
    blob: bytes, store: bytes, incarnation: bytes, line: int, number: int, count: int
) -> list[Record]:
    where = place(store, incarnation, line, number)
    if count == 1:
        return [record_of(payload_of(blob, RECORD, where), incarnation, line, number)]
    records = records_of(payload_of(blob, PACK, where), incarnation, line, number)
    assert len(records) == count
    return records
