"""Every byte of an encrypted store, changed: never a wrong value, never a foreign error (P5)."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from perdure import Store
from perdure.backends.memory import MemoryBackend, Tables
from perdure.errors import Damaged, KeyMissing, NewerFormat, PerdureError, Tampered, WrongKey

ROOT = bytes(range(32))
Put = Callable[[bytes], None]


@pytest.fixture(scope="module")
def name() -> str:
    with Store("memory:flips", key=ROOT, maintenance="off") as store:
        for key in ("one", "two"):
            with store.open(key) as session:
                for number in range(12):
                    session.state["n"] = number
                    session.state[f"text {number}"] = "x" * 2_000
                    session.save(label=f"label {number}")
            store.fork(key, "aside", at=3)
            store.maintain(key)
            with store.open(key) as session:
                session.state["last"] = [1, 2, 3]
    return "flips"


def everything(name: str) -> Any:
    with Store(f"memory:{name}", key=ROOT, maintenance="off") as store:
        found: dict[str, Any] = {}
        for key in ("one", "two"):
            history = store.history(key)
            view = store.at(key, history[0].number)
            points = [(point.hash, point.label, point.metadata) for point in history]
            found[key] = points, {each: view[each] for each in view}, store.branches(key)
            found[key + " verified"] = store.verify(key)[0].ok
    return found


def blobs(tables: Tables) -> Iterator[tuple[str, bytes, Put]]:
    """Every stored blob: what it is, its bytes, and how to put others in its place."""
    for key, (head, tail) in list(tables.heads.items()):

        def put_head(blob: bytes, key: str = key, head: Any = head, tail: Any = tail) -> None:
            tables.heads[key] = replace(head, blob=blob), tail

        yield f"head of {key}", head.blob, put_head
    for lines in tables.records.values():
        for row in list(lines):

            def put_row(blob: bytes, lines: Any = lines, row: Any = row) -> None:
                lines._rows[row.line, row.number] = replace(row, blob=blob)

            yield f"row {row.line}/{row.number}", row.blob, put_row
    for pages in tables.pages.values():
        for id_, blob in list(pages.items()):

            def put_page(blob: bytes, pages: Any = pages, id_: bytes = id_) -> None:
                pages[id_] = blob

            yield f"page {id_.hex()[:6]}", blob, put_page
    for owner, blob in list(tables.keys.items()):

        def put_key(blob: bytes, owner: bytes = owner) -> None:
            tables.keys[owner] = blob

        yield f"key of {owner.hex()[:6] or 'the store'}", blob, put_key


REFUSED = (Tampered, Damaged, KeyMissing, WrongKey)


def outcome(name: str, before: Any) -> str:
    """What reading everything comes to; `harmless` where the change was not even met."""
    try:
        found = everything(name)
    except NewerFormat:
        return "newer"
    except REFUSED as error:
        return type(error).__name__
    except PerdureError as error:  # pragma: no cover - what this test is there to find
        return f"other: {error!r}"
    # A page that is made from others may be gone around, which `verify` tells.
    values = {key: value for key, value in found.items() if not key.endswith("verified")}
    wanted = {key: value for key, value in before.items() if not key.endswith("verified")}
    assert values == wanted, "a wrong value was given"
    return "told" if found != before else "harmless"


def changes(blob: bytes, chance: random.Random) -> Iterator[tuple[int, bytes]]:
    """Bytes of a blob changed: all of the first and the last, and some of the others."""
    near = {*range(min(len(blob), 64)), *range(max(len(blob) - 20, 0), len(blob))}
    for at in sorted(near | {chance.randrange(len(blob)) for _ in range(12)}):
        yield at, blob[:at] + bytes([blob[at] ^ 1 << chance.randrange(8)]) + blob[at + 1 :]


def test_a_changed_byte_is_refused_and_gives_no_wrong_value(name: str) -> None:
    tables, chance = MemoryBackend(name)._tables, random.Random(7)
    before = everything(name)
    met: dict[str, int] = {}
    for what, blob, put in list(blobs(tables)):
        for at, broken in changes(blob, chance):
            put(broken)
            came = outcome(name, before)
            put(blob)
            met[came] = met.get(came, 0) + 1
            assert not came.startswith("other"), (what, at, came)
            assert came != "newer" or at in (3, 4, 5) or what.startswith("key"), (what, at)
            assert came != "harmless", (what, at)
    assert everything(name) == before
    assert met["Tampered"] > 500, met


def test_rows_cut_swapped_and_replaced_by_earlier_ones_are_refused(name: str) -> None:
    tables = MemoryBackend(name)._tables
    before = everything(name)
    every = list(blobs(tables))
    for what, blob, put in every:
        for cut in (0, 1, 7, 8, 24, 41, 42, 58, len(blob) - 1):
            put(blob[:cut])
            came = outcome(name, before)
            put(blob)
            assert came not in ("harmless", "newer"), (what, cut, came)
            assert not came.startswith("other"), (what, cut, came)
    for one, (what, blob, put) in enumerate(every):
        for other, (_, elsewhere, _) in enumerate(every):
            if one != other:
                put(elsewhere)
                came = outcome(name, before)
                put(blob)
                assert came not in ("harmless", "newer"), (what, other, came)
                assert not came.startswith("other"), (what, other, came)
    assert everything(name) == before
