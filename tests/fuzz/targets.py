"""Parsers of stored bytes, each as a function of a payload: sealed anew, so that it is reached.

An input is one byte, which names the target, and a payload. Whatever the payload, a target ends,
with nothing raised but errors of ours, and takes no more memory than a multiple of its length.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from contextlib import suppress

import msgspec

from perdure import Store
from perdure.core.changes import apply
from perdure.core.codec import pack, unpack
from perdure.core.head import Head, lives
from perdure.core.head_bytes import open_head, seal_head
from perdure.core.journal import entry_of
from perdure.core.pack import open_pack
from perdure.core.page import Ref, Shape, read_block, read_children, read_list, read_map, read_pair
from perdure.core.record import Record, open_record
from perdure.core.seal import EXPORT_OWNER, Kind, Place, seal
from perdure.engine.read import Site
from perdure.engine.replaying import replay_all
from perdure.errors import PerdureError

STORE, INCARNATION, KEY = bytes(range(16)), bytes(range(16, 32)), "k"
LINE, NUMBER = 0, 5
Target = Callable[[bytes], None]


def head(payload: bytes) -> None:
    """A head, and what is made of one that is taken."""
    place = Place(STORE, KEY.encode())
    found = open_head(seal(Kind.HEAD, place, payload), store=STORE, key=KEY)
    again = open_head(seal_head(found, store=STORE, key=KEY), store=STORE, key=KEY)
    assert again == found
    for life in lives(found):
        with suppress(PerdureError):
            _replayed(life)


def _replayed(life: Head) -> None:
    """Go through a head as verifying does, where nothing else is stored."""
    with Store("memory:", maintenance="off") as store:
        store._driver.connect()
        store._driver.run(replay_all(Site(STORE, KEY), life))


def record(payload: bytes) -> None:
    """A record, its changes, and a movement if it holds one."""
    place = Place(STORE, INCARNATION, LINE, NUMBER)
    blob = seal(Kind.RECORD, place, payload)
    _used(open_record(blob, store=STORE, incarnation=INCARNATION, line=LINE, number=NUMBER))


def packed(payload: bytes) -> None:
    """A pack, and each record of it."""
    place = Place(STORE, INCARNATION, LINE, NUMBER)
    blob = seal(Kind.PACK, place, payload)
    for count in (2, 3, 4, 5):
        with suppress(PerdureError):
            at = {"store": STORE, "incarnation": INCARNATION}
            for each in open_pack(blob, **at, line=LINE, number=NUMBER, count=count):
                with suppress(PerdureError):
                    _used(each)


def _used(found: Record) -> None:
    found.sections()
    with suppress(PerdureError):
        entry_of(found)
    changes = found.changes()
    with suppress(PerdureError):
        apply({"n": 0, "text": "", "items": [{"n": 0}]}, changes)


def page(payload: bytes) -> None:
    """A page, taken for one of each shape."""
    for shape in Shape:
        for level, count in ((0, 1), (0, 3), (1, 3)):
            ref = Ref(shape, bytes(32), level, count, len(payload))
            for read in (read_children, read_list, read_map, read_block):
                with suppress(PerdureError):
                    read(payload, ref)
            with suppress(PerdureError):
                read_pair(payload, ref, "a")


def value(payload: bytes) -> None:
    """Any packed value: what it comes to, it comes to again."""
    found = unpack(payload)
    assert pack(unpack(pack(found))) == pack(found)


def export(payload: bytes) -> None:
    """An export file of these frames: each a length and its payload."""
    file = io.BytesIO()
    file.write(b"PERDSTAT" + STORE)
    number, at = 0, 0
    while at + 4 <= len(payload) and number < FRAMES_MAX:
        (size,) = struct.unpack_from(">I", payload, at)
        frame = payload[at + 4 : at + 4 + min(size, len(payload))]
        number, at = number + 1, at + 4 + len(frame)
        blob = seal(Kind.EXPORT, Place(STORE, EXPORT_OWNER, 0, number), frame)
        file.write(struct.pack(">I", len(blob)) + blob)
    file.seek(0)
    with Store("memory:", maintenance="off") as store:
        with suppress(PerdureError):
            info = store.import_(file)
            with suppress(PerdureError):
                store.open(info.key).close()
            store.verify(info.key)
        assert all(each.what == "staged" for each in store.unreferenced())


FRAMES_MAX = 8

TARGETS: tuple[Target, ...] = (head, record, packed, page, value, export)


def run(data: bytes) -> None:
    """Give an input to its target; errors of ours are as it should be."""
    if not data:
        return
    with suppress(PerdureError):
        TARGETS[data[0] % len(TARGETS)](data[1:])


def names_its_target(target: Target, payload: bytes) -> bytes:
    """The input that gives a payload to a target."""
    return bytes([TARGETS.index(target)]) + payload


def bombs() -> list[bytes]:
    """Payloads that claim to be much more than they are."""
    deep = b"\x91" * 100_000 + b"\xc0"
    nested = b"\xc0"
    for _ in range(400):
        nested = b"\xc9" + struct.pack(">I", len(nested) + 1) + b"\x05" + b"\x91" + nested
    large = [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x05",
    ]
    numbers = pack([2**63 - 1, -(2**63), 2**64 - 1])
    decimal = msgspec.msgpack.encode(msgspec.msgpack.Ext(8, b"1E+999999999999999999"))
    return [deep, nested, *large, *(b"\x93" + each for each in large), numbers, decimal]
