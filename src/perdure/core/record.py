"""A record: one checkpoint as stored.

Payload of the blob: `parent hash(32) ‖ salt(16) ‖ canonical`. Canonical is the msgpack array
`[id, time, session, changes, extra]`: what was saved, and all the chain commits to besides place
and salt. `changes` is an array of wire changes; `extra` is a map for what most records lack.
Readers keep keys of `extra` that they do not know (P10). Many records are kept as one row by
`perdure.core.pack`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any

import msgspec

from perdure import limits
from perdure.core import chain
from perdure.core.changes import Change, are_changes, from_wire, sections_of
from perdure.core.codec import pack, quick_reader, reader, unpack
from perdure.core.outline import (
    UNKNOWN,
    Touch,
    pieces_of,
    sections_in,
    touches_in,
    touches_of,
)
from perdure.core.redacted import REDACTED_ARRAY, is_redacted, kept_leaf, without_leaf
from perdure.core.seal import REDACTED, Kind, Place, damaged_at, located, seal, unseal
from perdure.errors import Damaged, Malformed, NewerFormat

ID_BYTES = 16
LABEL, METADATA, SUMMARY, START, END, ENDED_BEFORE, BASE, MERGED, MOVE, MASKED = (
    "label",
    "metadata",
    "summary",
    "start",
    "end",
    "ended",
    "base",
    "merged",
    "move",
    "masked",
)
"""Keys of `extra`: the first three are the user's; `start` and `end` of the session that saved
it, and how earlier sessions ended whose end no record holds; of the first record of a line, what
that is based on; of a merge, the record that was merged; of the journal's records, the movement;
where secrets were masked before it was saved."""

_encode = msgspec.msgpack.Encoder().encode
_NOTHING = pack({})
_USUAL = b"\x95"
"""What the canonical bytes of a record begin with: they are an array of five."""
_ID = b"\xc4" + bytes((ID_BYTES,))
"""What the bytes of an id begin with, as a value."""
ARRAYS = frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])
"""What the bytes of an array begin with."""
_LENGTHS = (ID_BYTES, ID_BYTES, chain.HASH_BYTES, chain.SALT_BYTES)
_read_usual = reader(tuple[bytes, int, bytes, msgspec.Raw, msgspec.Raw])
_read_redacted = reader(tuple[bytes, int, bytes, msgspec.Raw, msgspec.Raw, bytes])
_quick_usual = quick_reader(tuple[bytes, int, bytes, list[Change], msgspec.Raw])


class Draft(msgspec.Struct, frozen=True):
    """What one save says, before it has a place."""

    id: bytes
    time_us: int
    session: bytes
    changes: bytes
    """Packed array of wire changes, as `perdure.core.changes.pack_changes` makes it."""
    salt: bytes
    extra: dict[str, Any] | bytes = msgspec.field(default_factory=dict)
    """What most records lack; or the bytes of it, as `pack` makes them."""

    def canonical(self) -> bytes:
        """The bytes the chain commits to."""
        # The changes were packed at capture and are spliced in as they are.
        extra = self.extra
        if isinstance(extra, dict):
            extra = pack(extra) if extra else _NOTHING
        return opening(self.id, self.time_us, self.session) + self.changes + extra


def opening(id_: bytes, time_us: int, session: bytes) -> bytes:
    """What the canonical bytes of a record begin with; its changes and its extra follow."""
    # An array of five, of which these are three.
    return b"".join((_USUAL, _ID, id_, _encode(time_us), _ID, session))


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
    """A record read back and verified against its place.

    Its changes stay packed until they are asked for: most readers want no more than its header, or
    the changes of a section or two.
    """

    line: int
    number: int
    id: bytes
    time_us: int
    session: bytes
    extra: dict[str, Any]
    parent: bytes
    hash: bytes
    salt: bytes
    canonical: bytes
    stored_bytes: int
    """Its share of the row that holds it."""

    @property
    def packed(self) -> msgspec.Raw:
        """Its changes as the bytes of one array."""
        return _fields_of(self.canonical)[3]

    @property
    def is_redacted(self) -> bool:
        """Whether something in it was redacted: the chain commits to what it was, not to this."""
        return self.canonical.startswith(REDACTED_ARRAY)

    def content_leaf(self, incarnation: bytes) -> bytes:
        """What the receipt of its redaction commits to: a leaf of what it holds by now."""
        return chain.leaf(self.salt, incarnation, self.line, self.number, self.canonical)

    def changes(self) -> list[Change]:
        """Its changes, in order; decoded anew each time.

        Raises:
            Damaged: they are no packed values.
            Malformed: one is no change.
            NewerFormat: one, or a value in it, is of a kind that this version does not know.
        """
        quick = _quick_usual(self.canonical)
        if quick is not None and are_changes(quick[3]):
            return quick[3]
        return self._changes(self._unpack(self.packed))

    def changes_of(self, sections: Container[str]) -> list[Change]:
        """Those of its changes that are in `sections`, in order; values of others stay packed.

        Raises as `changes` does.
        """
        packed = self.packed
        names = sections_in(packed)
        if names is None:
            return [change for change in self.changes() if change.path[0] in sections]
        if all(name in sections for name in names):
            return self.changes()
        chosen = zip(names, pieces_of(packed), strict=True)
        return self._changes(self._unpack(piece) for name, piece in chosen if name in sections)

    def changes_at(self, places: Sequence[int]) -> list[Change]:
        """Those of its changes that stand at these places, in order; the others stay packed.

        Raises as `changes` does.
        """
        pieces = pieces_of(self.packed)
        if len(places) == len(pieces):
            return self.changes()
        return self._changes(self._unpack(pieces[at]) for at in places)

    def touches(self) -> list[Touch]:
        """What each of its changes touches, in order; values stay packed.

        Raises:
            Damaged: they are no packed values.
            Malformed: one is no change.
            NewerFormat: one does what this version does not know to a whole section.
        """
        touches = touches_in(self.packed)
        if touches is None or any(what == UNKNOWN for _, what in touches):
            return touches_of(self.changes())
        return touches

    def sections(self) -> tuple[str, ...]:
        """Names of the sections it changes, sorted; values stay packed. Raises as `changes`."""
        names = sections_in(self.packed)
        return tuple(sorted(sections_of(self.changes()) if names is None else set(names)))

    def _unpack(self, data: msgspec.Raw) -> Any:
        try:
            return unpack(data)
        except Malformed as error:
            raise Damaged(f"record {self.number} on line {self.line}: {error}") from error
        except NewerFormat as error:
            raise NewerFormat(f"record {self.number} on line {self.line}: {error}") from error

    def _changes(self, wires: Iterable[Any]) -> list[Change]:
        found: list[Change] = []
        for wire in wires:
            try:
                found.append(from_wire(wire))
            except NewerFormat as error:
                raise NewerFormat(f"record {self.number} on line {self.line}: {error}") from error
        return found


def seal_draft(
    draft: Draft, *, store: bytes, incarnation: bytes, line: int, number: int, parent: bytes
) -> Sealed:
    """Bind a save to its place and to the chain before it."""
    place = Place(store, incarnation, line, number)
    return _seal(place, draft.id, draft.time_us, parent, draft.salt, draft.canonical())


def changes_of(records: Iterable[Record]) -> list[Change]:
    """All that these records changed, in order.

    Raises as `Record.changes` does.
    """
    return [change for record in records for change in record.changes()]


def seal_again(record: Record, *, store: bytes, incarnation: bytes, parent: bytes) -> Sealed:
    """The same record in another state (a copy) or store (an import): same line and number."""
    place = Place(store, incarnation, record.line, record.number)
    return _seal(place, record.id, record.time_us, parent, record.salt, record.canonical)


def as_saved(record: Record) -> Record:
    """A record for a chain that begins anew: a redacted one is as if it had been saved so."""
    if not record.is_redacted:
        return record
    return msgspec.structs.replace(record, canonical=without_leaf(record.canonical))


def _seal(
    place: Place, id_: bytes, time_us: int, parent: bytes, salt: bytes, canonical: bytes
) -> Sealed:
    hash_ = hash_of(place, parent, salt, canonical)
    flags = REDACTED if is_redacted(canonical) else 0
    blob = seal(Kind.RECORD, place, parent + salt + canonical, flags=flags)
    return Sealed(place.line, place.number, id_, time_us, parent, hash_, blob)


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
    return read_canonical(payload[start:], place, parent, salt, stored_bytes)


def read_canonical(
    canonical: bytes, place: Place, parent: bytes, salt: bytes, stored_bytes: int
) -> Record:
    """The record of these canonical bytes.

    Raises:
        Damaged: they are not those of a record.
    """
    try:
        id_, time_us, session, changes, extra = _fields_of(canonical)
    except (Malformed, NewerFormat) as error:
        raise located(place, error) from error
    lengths = len(id_), len(session), len(parent), len(salt)
    if lengths != _LENGTHS or not is_array(changes):
        raise damaged_at(place, "does not hold a record")
    return Record(
        line=place.line,
        number=place.number,
        id=id_,
        time_us=time_us,
        session=session,
        extra=read_extra(place, extra),
        parent=parent,
        hash=hash_of(place, parent, salt, canonical),
        salt=salt,
        canonical=canonical,
        stored_bytes=stored_bytes,
    )


def hash_of(place: Place, parent: bytes, salt: bytes, canonical: bytes) -> bytes:
    """The chain hash of the record at `place`."""
    return chain.link(parent, leaf_of(place, salt, canonical))


def leaf_of(place: Place, salt: bytes, canonical: bytes) -> bytes:
    """What the chain commits to for a record; of a redacted one, what it committed to before.

    Raises:
        Damaged: it says that it was redacted, and keeps no leaf.
    """
    if not is_redacted(canonical):
        return chain.leaf(salt, place.owner, place.line, place.number, canonical)
    leaf = kept_leaf(canonical)
    if leaf is None:
        raise damaged_at(place, "says that it was redacted, and does not keep its leaf", "forged")
    return leaf


def _fields_of(canonical: bytes) -> tuple[bytes, int, bytes, msgspec.Raw, msgspec.Raw]:
    """Id, time and session of a record, its changes and its extra as they are packed."""
    if is_redacted(canonical):
        return _read_redacted(canonical)[:5]
    return _read_usual(canonical)


def is_array(packed: msgspec.Raw) -> bool:
    """Whether these are the bytes of an array, as changes have to be."""
    return memoryview(packed)[0] in ARRAYS


def read_extra(place: Place, packed: msgspec.Raw) -> dict[str, Any]:
    """The extra map of a record.

    Raises:
        Damaged: it is none.
    """
    if bytes(packed) == _NOTHING:
        return {}
    try:
        extra = unpack(packed)
    except (Malformed, NewerFormat) as error:
        raise located(place, error) from error
    if not isinstance(extra, dict):
        raise damaged_at(place, "does not hold a record")
    return extra
