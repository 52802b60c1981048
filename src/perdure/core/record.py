"""A record: one checkpoint as stored.

Payload of the blob: `parent hash(32) ‖ salt(16) ‖ canonical`. Canonical is the msgpack array
`[id, time, session, changes, extra]`: what was saved, and all the chain commits to besides place
and salt. `changes` is an array of wire changes; `extra` is a map for what most records lack.
Readers keep keys of `extra` that they do not know (P10).
"""

from __future__ import annotations

from typing import Any

import msgspec

from perdure import limits
from perdure.core import chain
from perdure.core.changes import Change, from_wire, sections_of
from perdure.core.codec import pack, unpack
from perdure.core.seal import Kind, Place, seal, unseal
from perdure.errors import Damaged, Malformed

ID_BYTES = 16
LABEL, METADATA, SUMMARY, START, END, ENDED_BEFORE = (
    "label",
    "metadata",
    "summary",
    "start",
    "end",
    "ended",
)
"""Keys of `extra`: the first three are the user's; `start` and `end` of the session that saved
it, and how earlier sessions ended whose end no record holds."""

_encode = msgspec.msgpack.Encoder().encode
_NOTHING = pack({})


class Draft(msgspec.Struct, frozen=True):
    """What one save says, before it has a place."""

    id: bytes
    time_us: int
    session: bytes
    changes: bytes
    """Packed array of wire changes, as `perdure.core.changes.pack_changes` makes it."""
    salt: bytes
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def canonical(self) -> bytes:
        """The bytes the chain commits to."""
        # An array of five; the changes were packed at capture and are spliced in as they are.
        head = _encode((self.id, self.time_us, self.session))
        extra = pack(self.extra) if self.extra else _NOTHING
        return b"\x95" + head[1:] + self.changes + extra


class Sealed(msgspec.Struct, frozen=True):
    """A record in its place: what a commit stores, and what the head will say of it."""

    line: int
    number: int
    id: bytes
    time_us: int
    parent: bytes
    hash: bytes
    blob: bytes


class Record(msgspec.Struct, frozen=True):
    """A record read back and verified against its place."""

    line: int
    number: int
    id: bytes
    time_us: int
    session: bytes
    wire: list[Any]
    """Its changes, as `perdure.core.changes.from_wire` takes them."""
    extra: dict[str, Any]
    parent: bytes
    hash: bytes
    salt: bytes
    canonical: bytes
    stored_bytes: int

    def changes(self) -> list[Change]:
        """Its changes, in order; their values are shared with `wire`."""
        return [from_wire(wire) for wire in self.wire]

    def sections(self) -> tuple[str, ...]:
        """Names of the sections it changes, sorted."""
        return tuple(sorted(sections_of(self.changes())))


def seal_draft(
    draft: Draft, *, store: bytes, incarnation: bytes, line: int, number: int, parent: bytes
) -> Sealed:
    """Bind a save to its place and to the chain before it."""
    place = Place(store, incarnation, line, number)
    return _seal(place, draft.id, draft.time_us, parent, draft.salt, draft.canonical())


def seal_again(record: Record, *, store: bytes, incarnation: bytes, parent: bytes) -> Sealed:
    """The same record in another state (a copy) or store (an import): same line and number."""
    place = Place(store, incarnation, record.line, record.number)
    return _seal(place, record.id, record.time_us, parent, record.salt, record.canonical)


def _seal(
    place: Place, id_: bytes, time_us: int, parent: bytes, salt: bytes, canonical: bytes
) -> Sealed:
    leaf = chain.leaf(salt, place.owner, place.line, place.number, canonical)
    blob = seal(Kind.RECORD, place, parent + salt + canonical)
    return Sealed(place.line, place.number, id_, time_us, parent, chain.link(parent, leaf), blob)


def open_record(blob: bytes, *, store: bytes, incarnation: bytes, line: int, number: int) -> Record:
    """Verify and decode one stored record (P5).

    Raises:
        Damaged: it is not what was saved at this place.
        NewerFormat: it needs a newer Perdure.
    """
    place = Place(store, incarnation, line, number)
    payload = unseal(Kind.RECORD, place, blob, limits.record_bytes_max)
    return open_payload(payload, place, len(blob))


def open_payload(payload: bytes, place: Place, stored_bytes: int) -> Record:
    """Decode a record whose bytes were verified already.

    Raises:
        Damaged: these are not the bytes of a record.
    """
    start = chain.HASH_BYTES + chain.SALT_BYTES
    parent, salt = payload[: chain.HASH_BYTES], payload[chain.HASH_BYTES : start]
    canonical = payload[start:]
    try:
        fields = unpack(canonical)
    except Malformed as error:
        raise Damaged(f"{place}: {error}") from error
    match fields:
        case [bytes(id_), int(time_us), bytes(session), list(wire), dict(extra)] if (
            len(id_) == len(session) == ID_BYTES and len(salt) == chain.SALT_BYTES
        ):
            leaf = chain.leaf(salt, place.owner, place.line, place.number, canonical)
            return Record(
                line=place.line,
                number=place.number,
                id=id_,
                time_us=time_us,
                session=session,
                wire=wire,
                extra=extra,
                parent=parent,
                hash=chain.link(parent, leaf),
                salt=salt,
                canonical=canonical,
                stored_bytes=stored_bytes,
            )
    raise Damaged(f"{place}: does not hold a record")
