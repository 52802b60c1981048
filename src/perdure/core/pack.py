"""A pack: many records kept as one stored row, losslessly.

The records of a run are laid out column by column, so that what is alike stands together, and are
compressed as one. Each comes out with its canonical bytes as they were, so every hash of the chain
does (P5, P7). The payload of the blob is a msgpack array, see `docs/format.md`; its place is that
of the newest record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, TypeAlias

import msgspec

from perdure import limits
from perdure.core import chain, compress
from perdure.core.codec import reader
from perdure.core.pieces import Pieces, at_once
from perdure.core.record import (
    ARRAYS,
    ID_BYTES,
    Record,
    Sealed,
    hash_of,
    is_array,
    opening,
    read_canonical,
    read_extra,
)
from perdure.core.seal import REDACTED, Kind, Place, damaged_at, seal, unseal
from perdure.errors import Malformed, UsageError

_Raws = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=limits.pack_records_max)]
_Ints = Annotated[list[int], msgspec.Meta(max_length=limits.pack_records_max)]

_EMPTY = msgspec.Raw(b"\x80")
_TIME_US_MAX = 2**62
"""The difference of two times up to here is an integer of msgpack."""


class _Columns(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The payload. What is random stands first, so that it can be kept apart by the compressor."""

    parent: bytes
    """The chain hash before the oldest record; all others follow from it."""
    ids: bytes
    salts: bytes
    sessions: bytes
    """Each session once, in the order of their first records."""
    turns: _Ints
    """Which of `sessions` saved the record."""
    times: _Ints
    """When the first was saved, then how much later each was than the one before."""
    changes: _Raws
    """The packed array of changes; or the canonical bytes whole, as bytes, where they are not what
    the columns would give."""
    extras: _Raws


_read_columns = reader(_Columns)
_read_bytes = reader(bytes)
_encode = msgspec.msgpack.Encoder().encode


def seal_pack(
    records: Sequence[Record], *, store: bytes, incarnation: bytes, parent: bytes
) -> Sealed:
    """A run of records as one row, in this or another state; the result names the newest.

    `parent` is the chain hash before the oldest. The pack is read back before it is trusted: what
    it is made of may be removed once it is stored.

    Raises:
        UsageError: they are fewer than two, or more than one pack holds.
    """
    return at_once(sealing(records, store=store, incarnation=incarnation, parent=parent))


def sealing(
    records: Sequence[Record], *, store: bytes, incarnation: bytes, parent: bytes
) -> Pieces[Sealed]:
    """The same, in pieces."""
    newest = records[-1]
    place = Place(store, incarnation, newest.line, newest.number)
    payload = yield from packing(records, parent)
    hash_ = yield from _read_back(payload, place, records)
    # The hash before, ids and salts, apart from their lengths.
    random = chain.HASH_BYTES + (ID_BYTES + chain.SALT_BYTES) * len(records)
    flags = REDACTED if any(record.is_redacted for record in records) else 0
    level = compress.PACK_LEVEL
    blob = seal(Kind.PACK, place, payload, level=level, random_bytes=random, flags=flags)
    return Sealed(newest.line, newest.number, newest.id, newest.time_us, parent, hash_, blob)


def _read_back(payload: bytes, place: Place, records: Sequence[Record]) -> Pieces[bytes]:
    """That a pack gives back these records; the chain hash of the newest."""
    columns = _columns_of(payload, place)
    is_whole, hash_ = len(columns.turns) == len(records), b""
    for at, (found, record) in enumerate(zip(_each(columns, place, 0), records), 1):
        is_whole = is_whole and _kept(found) == _kept(record)
        hash_ = found.hash
        if not at % limits.piece_records_max:
            yield ()
    if not is_whole:
        raise damaged_at(place, "does not come out of a pack as it went in")
    return hash_


def _kept(record: Record) -> tuple[object, ...]:
    """What a pack has to give back."""
    return record.line, record.number, record.salt, record.canonical


def open_pack(
    blob: bytes, *, store: bytes, incarnation: bytes, line: int, number: int, count: int
) -> list[Record]:
    """Verify and decode a stored pack of `count` records, the newest of which is `number` (P5).

    Raises:
        Damaged: it is not what was saved at this place.
        NewerFormat: it needs a newer Perdure.
    """
    place = Place(store, incarnation, line, number)
    return list(opening_pack(blob, place, count))


def opening_pack(blob: bytes, place: Place, count: int, first: int = 0) -> Iterator[Record]:
    """The same records one by one, oldest first, from number `first` on.

    `place` is that of the newest. Of those before, only what the chain needs is looked at.
    """
    payload = unseal(Kind.PACK, place, blob, limits.pack_payload_bytes_max)
    columns = _columns_of(payload, place)
    if len(columns.turns) != count:
        raise damaged_at(
            place, f"is a pack of {len(columns.turns)} records, not of {count}", "metadata"
        )
    yield from _each(columns, place, len(blob), first)


# ---- payloads -------------------------------------------------------------------------------


def pack_records(records: Sequence[Record], parent: bytes | None = None) -> bytes:
    """The payload of a pack of `records`, which follow each other on one line.

    `parent` is the chain hash before the oldest, where that is not what the record says.

    Raises:
        UsageError: they are fewer than two, or more than one pack holds.
    """
    return at_once(packing(records, parent))


def packing(records: Sequence[Record], parent: bytes | None = None) -> Pieces[bytes]:
    """The same, in pieces."""
    count = len(records)
    if not 2 <= count <= limits.pack_records_max:
        raise UsageError(f"{count} records: a pack holds 2 to {limits.pack_records_max}")
    bodies = yield from _bodies_of(records)
    sessions: dict[bytes, int] = {}
    times = accumulate(records, _later, initial=0)
    columns = _Columns(
        records[0].parent if parent is None else parent,
        b"".join([record.id for record in records]),
        b"".join([record.salt for record in records]),
        turns=[sessions.setdefault(record.session, len(sessions)) for record in records],
        sessions=b"".join(sessions),
        times=[after - before for before, after in pairwise(times)],
        changes=[changes for changes, _ in bodies],
        extras=[extra for _, extra in bodies],
    )
    yield ()
    payload = _encode(columns)
    if len(payload) > limits.pack_payload_bytes_max:
        raise UsageError(
            f"{count} records of {len(payload)} bytes: a pack holds {limits.pack_payload_bytes_max}"
        )
    return payload


_Body: TypeAlias = tuple[msgspec.Raw, msgspec.Raw]
"""What stands in the last two columns."""


def _bodies_of(records: Sequence[Record]) -> Pieces[list[_Body]]:
    bodies: list[_Body] = []
    for start in range(0, len(records), limits.piece_records_max):
        some = records[start : start + limits.piece_records_max]
        bodies += map(_body_of, some)
        yield ()
    return bodies


def _later(time_us: int, record: Record) -> int:
    """The time of a record; that of the one before where the columns cannot say it."""
    return record.time_us if 0 <= record.time_us <= _TIME_US_MAX else time_us


def _body_of(record: Record) -> _Body:
    canonical, changes = record.canonical, record.packed
    start = opening(record.id, record.time_us, record.session)
    end = len(start) + len(changes)
    is_usual = 0 <= record.time_us <= _TIME_US_MAX and canonical[:end] == start + bytes(changes)
    if is_usual:
        return changes, msgspec.Raw(canonical[end:])
    return msgspec.Raw(_encode(canonical)), _EMPTY


def unpack_records(payload: bytes, place: Place, stored_bytes: int) -> list[Record]:
    """The records of a pack whose bytes were verified already; `place` is that of the newest.

    Their values stay packed. `stored_bytes` is shared among them evenly.

    Raises:
        Damaged: these are not the bytes of a pack.
    """
    return list(_each(_columns_of(payload, place), place, stored_bytes))


def _columns_of(payload: bytes, place: Place) -> _Columns:
    """The columns of a pack, which fit each other."""
    try:
        columns = _read_columns(payload)
    except Malformed as error:
        raise damaged_at(place, str(error)) from error
    count = len(columns.turns)
    if not _fit(columns, count) or count > place.number:
        raise damaged_at(place, "does not hold a pack")
    return columns


def _each(columns: _Columns, place: Place, stored_bytes: int, first: int = 0) -> Iterator[Record]:
    """The records of a pack, oldest first, from number `first` on."""
    count, owner, line = len(columns.turns), place.owner, place.line
    oldest, hash_ = place.number - count + 1, columns.parent
    # All but those with something extra are written out here: reading a history is mostly this.
    for at, (id_, salt, session, time_us, changes, extra) in enumerate(_rows(columns)):
        number, parent = oldest + at, hash_
        share = stored_bytes * (at + 1) // count - stored_bytes * at // count
        is_usual = extra == _EMPTY and 0 <= time_us <= _TIME_US_MAX
        start = opening(id_, time_us, session) if is_usual else b""
        canonical = b"".join((start, changes, extra))
        if not is_usual or canonical[len(start)] not in ARRAYS:
            here = Place(place.store, owner, line, number)
            if number < first:
                hash_ = hash_of(here, parent, salt, _canonical_at(columns, at, time_us, here))
                continue
            record = _record_at(columns, at, time_us, here, parent, share)
            hash_ = record.hash
            yield record
            continue
        hash_ = chain.link(parent, chain.leaf(salt, owner, line, number, canonical))
        if number >= first:
            yield Record(
                line=line,
                number=number,
                id=id_,
                time_us=time_us,
                session=session,
                extra={},
                parent=parent,
                hash=hash_,
                salt=salt,
                canonical=canonical,
                stored_bytes=share,
            )


_Row: TypeAlias = tuple[bytes, bytes, bytes, int, msgspec.Raw, msgspec.Raw]
"""Id, salt, session, time, changes and extra."""


def _rows(columns: _Columns) -> Iterator[_Row]:
    """What the columns have of each record."""
    sessions = _pieces(columns.sessions, ID_BYTES)
    return zip(
        _pieces(columns.ids, ID_BYTES),
        _pieces(columns.salts, chain.SALT_BYTES),
        [sessions[turn] for turn in columns.turns],
        accumulate(columns.times),
        columns.changes,
        columns.extras,
        strict=True,
    )


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _fit(columns: _Columns, count: int) -> bool:
    """Whether the columns are those of `count` records."""
    sessions, rest = divmod(len(columns.sessions), ID_BYTES)
    lengths = {len(columns.times), len(columns.changes), len(columns.extras)}
    return (
        count >= 2
        and lengths == {count}
        and len(columns.parent) == chain.HASH_BYTES
        and len(columns.ids) == ID_BYTES * count
        and len(columns.salts) == chain.SALT_BYTES * count
        and not rest
        and min(columns.turns) >= 0
        and max(columns.turns) < sessions
    )


def _record_at(
    columns: _Columns, at: int, time_us: int, place: Place, parent: bytes, stored_bytes: int
) -> Record:
    salt, changes = _salt_at(columns, at), columns.changes[at]
    if not is_array(changes):
        return read_canonical(_whole(place, changes), place, parent, salt, stored_bytes)
    canonical = _usual_at(columns, at, time_us, place)
    leaf = chain.leaf(salt, place.owner, place.line, place.number, canonical)
    return Record(
        line=place.line,
        number=place.number,
        id=_id_at(columns, at),
        time_us=time_us,
        session=_session_at(columns, at),
        extra=read_extra(place, columns.extras[at]),
        parent=parent,
        hash=chain.link(parent, leaf),
        salt=salt,
        canonical=canonical,
        stored_bytes=stored_bytes,
    )


def _canonical_at(columns: _Columns, at: int, time_us: int, place: Place) -> bytes:
    changes = columns.changes[at]
    return _usual_at(columns, at, time_us, place) if is_array(changes) else _whole(place, changes)


def _usual_at(columns: _Columns, at: int, time_us: int, place: Place) -> bytes:
    """The canonical bytes of a record of which the columns have the parts; so not redacted."""
    if not 0 <= time_us <= _TIME_US_MAX:
        raise damaged_at(place, "was saved at no time")
    start = opening(_id_at(columns, at), time_us, _session_at(columns, at))
    return b"".join((start, columns.changes[at], columns.extras[at]))


def _salt_at(columns: _Columns, at: int) -> bytes:
    return columns.salts[at * chain.SALT_BYTES : (at + 1) * chain.SALT_BYTES]


def _id_at(columns: _Columns, at: int) -> bytes:
    return columns.ids[at * ID_BYTES : (at + 1) * ID_BYTES]


def _session_at(columns: _Columns, at: int) -> bytes:
    turn = columns.turns[at]
    return columns.sessions[turn * ID_BYTES : (turn + 1) * ID_BYTES]


def _whole(place: Place, packed: msgspec.Raw) -> bytes:
    try:
        return _read_bytes(packed)
    except Malformed as error:
        raise damaged_at(place, str(error)) from error
