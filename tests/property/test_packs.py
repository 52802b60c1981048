"""What goes into a pack comes out of it byte for byte, or its damage is reported."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from perdure import limits
from perdure.core import chain
from perdure.core import pack as packs
from perdure.core.changes import Splice, pack_changes
from perdure.core.codec import pack
from perdure.core.pack import open_pack, pack_records, seal_pack, unpack_records
from perdure.core.pieces import Pieces
from perdure.core.record import Draft, Record, open_record, read_canonical, seal_again, seal_draft
from perdure.core.seal import HEADER_BYTES, Kind, Place, payload_bytes, seal, unseal
from perdure.errors import Damaged, Malformed, NewerFormat, UsageError
from perdure.testing.strategies import changes_for, values

STORE, INCARNATION, LINE = bytes(16), bytes(range(16)), 2
SITE: dict[str, Any] = {"store": STORE, "incarnation": INCARNATION}


def place_of(records: Sequence[Record], number: int | None = None) -> Place:
    return Place(STORE, INCARNATION, LINE, number or records[-1].number)


def chained(saved: Sequence[tuple[bytes, bytes]], first: int = 1) -> list[Record]:
    """Records with these salts and canonical bytes."""
    records: list[Record] = []
    parent = bytes(range(32))
    for number, (salt, canonical) in enumerate(saved, first):
        place = Place(STORE, INCARNATION, LINE, number)
        records.append(read_canonical(canonical, place, parent, salt, 0))
        parent = records[-1].hash
    return records


def draft(number: int, **fields: Any) -> Draft:
    made = random.Random(number)
    text = f"message {number} says much the same as the others"
    usual = {
        "id": made.randbytes(16),
        "time_us": 1_767_225_600_000_000 + number * 1_000_003,
        "session": bytes(15) + bytes([number // 8]),
        "changes": pack_changes([Splice(("messages",), number, 0, [{"content": text}])]),
        "salt": made.randbytes(16),
    }
    return Draft(**{**usual, **fields})


def run_of(count: int, first: int = 1) -> list[Record]:
    """Records of an ordinary conversation."""
    drafts = [draft(number) for number in range(first, first + count)]
    return chained([(each.salt, each.canonical()) for each in drafts], first)


STATE = {"messages": ["hello", {"a": 1}], "draft": "Dear Ann", "seen": {1, 2}, "plan": {"x": {}}}
MAPS = st.dictionaries(st.text(max_size=5), values(4), max_size=2)
SESSIONS = st.sampled_from([b"a" * 16, b"b" * 16, bytes(16)])


@st.composite
def canonicals(draw: st.DrawFn) -> bytes:
    """Canonical bytes, some not encoded as this library would."""
    time_us = draw(st.one_of(st.integers(0, 2**53), st.integers(-(2**63), 2**64 - 1)))
    changes = pack_changes(draw(changes_for(STATE, 3)))
    id_, session, extra = draw(st.binary(min_size=16, max_size=16)), draw(SESSIONS), draw(MAPS)
    canonical = Draft(id_, time_us, session, changes, bytes(16), extra).canonical()
    write = draw(st.sampled_from(WRITERS))
    return canonical if extra and write is wide_extra else write(canonical)


def wide_array(canonical: bytes) -> bytes:
    return b"\xdc\x00\x05" + canonical[1:]


def wide_id(canonical: bytes) -> bytes:
    return b"\x95\xc5\x00\x10" + canonical[3:]


def wide_extra(canonical: bytes) -> bytes:
    """An empty one; unusual, but only within what the columns keep as it is."""
    return canonical[:-1] + b"\xde\x00\x00"


WRITERS: list[Callable[[bytes], bytes]] = [bytes, bytes, bytes, wide_array, wide_id, wide_extra]
RUNS = st.lists(
    st.tuples(st.binary(min_size=16, max_size=16), canonicals()), min_size=2, max_size=6
)


# ---- round trips ----------------------------------------------------------------------------


def facts(records: Sequence[Record]) -> list[list[Any]]:
    """All that records say, but not how they are stored; comparable, as a NaN is not."""
    said = []
    for record in records:
        fields = msgspec.structs.asdict(record) | {"stored_bytes": 0, "extra": pack(record.extra)}
        said.append(list(fields.values()))
    return said


@given(RUNS, st.integers(1, 2**60))
def test_records_come_out_of_a_pack_as_they_went_in(
    saved: list[tuple[bytes, bytes]], first: int
) -> None:
    records = chained(saved, first)
    found = unpack_records(pack_records(records), place_of(records), 0)
    assert facts(found) == facts(records)
    assert [record.canonical for record in found] == [canonical for _, canonical in saved]
    blob = seal_pack(records, **SITE, parent=records[0].parent).blob
    opened = open_pack(blob, **SITE, line=LINE, number=records[-1].number, count=len(records))
    assert facts(opened) == facts(records)
    assert sum(record.stored_bytes for record in opened) == len(blob)


@given(RUNS)
def test_only_what_is_encoded_unusually_is_kept_whole(saved: list[tuple[bytes, bytes]]) -> None:
    records = chained(saved)
    columns = msgspec.msgpack.decode(pack_records(records), type=list[msgspec.Raw])
    kept = msgspec.msgpack.decode(columns[6], type=list[msgspec.Raw])
    for record, changes in zip(records, kept, strict=True):
        again = Draft(record.id, record.time_us, record.session, bytes(record.packed), record.salt)
        usual = record.canonical.startswith(again.canonical()[:-1]) and 0 <= record.time_us <= 2**62
        assert bytes(changes) == bytes(
            record.packed if usual else msgspec.msgpack.encode(record.canonical)
        )


@given(RUNS)
def test_a_pack_in_another_state_has_the_hashes_that_single_records_would_have(
    saved: list[tuple[bytes, bytes]],
) -> None:
    records = chained(saved)
    site: dict[str, Any] = {"store": b"o" * 16, "incarnation": b"i" * 16}
    parent, expected = chain.ORIGIN, []
    for record in records:
        expected.append(seal_again(record, **site, parent=parent))
        parent = expected[-1].hash
    sealed = seal_pack(records, **site, parent=chain.ORIGIN)
    last = expected[-1]
    assert (sealed.number, sealed.line, sealed.id) == (last.number, last.line, last.id)
    assert (sealed.hash, sealed.time_us) == (last.hash, last.time_us)
    found = open_pack(sealed.blob, **site, line=LINE, number=sealed.number, count=len(records))
    assert [record.hash for record in found] == [one.hash for one in expected]
    assert [record.parent for record in found] == [one.parent for one in expected]


@given(st.integers(2, 40), st.integers(0, 2**62), st.data())
def test_a_payload_is_no_longer_than_those_it_is_made_of(
    count: int, time_us: int, data: st.DataObject
) -> None:
    drafts = []
    for number in range(count):
        time_us = data.draw(st.sampled_from([0, time_us, 2**62]))
        fields = {"time_us": time_us, "session": bytes([number] * 16), "changes": b"\x90"}
        drafts.append(draft(number, **fields))
    records = chained([(each.salt, each.canonical()) for each in drafts])
    singles = sum(48 + len(record.canonical) for record in records)
    assert len(pack_records(records)) <= singles <= limits.pack_bytes_max


def test_a_pack_of_a_conversation_is_a_fraction_of_its_records() -> None:
    records = run_of(200)
    blob = seal_pack(records, **SITE, parent=records[0].parent).blob
    assert len(blob) < 200 * (16 + 16 + 12)  # the ids, the salts, and little more


def test_a_plan_learns_the_length_of_a_payload_from_a_blobs_first_bytes() -> None:
    records = run_of(100)
    blob = seal_pack(records, **SITE, parent=records[0].parent).blob
    size = len(pack_records(records))
    assert len(blob) < size
    assert payload_bytes(blob[: HEADER_BYTES + 18], len(blob)) == size
    short = seal(Kind.RECORD, place_of(records), b"short")
    assert payload_bytes(short[: HEADER_BYTES + 18], len(short)) == 5
    for odd in (b"", blob[:3], blob[:8], blob[:8] + b"x" * 18):
        assert payload_bytes(odd, 1000) == 1000 - 24
    assert payload_bytes(b"", 3) == 0


# ---- what may not be packed -----------------------------------------------------------------


def test_a_pack_holds_two_records_at_least_and_not_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match="1 records"):
        pack_records(run_of(1))
    monkeypatch.setattr(limits, "pack_records_max", 9)
    assert pack_records(run_of(9))
    with pytest.raises(UsageError, match="10 records"):
        pack_records(run_of(10))


def test_a_pack_has_a_largest_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    records = run_of(9)
    size = len(pack_records(records))
    monkeypatch.setattr(limits, "pack_payload_bytes_max", size)
    assert len(pack_records(records)) == size
    monkeypatch.setattr(limits, "pack_payload_bytes_max", size - 1)
    with pytest.raises(UsageError, match=f"{size} bytes"):
        pack_records(records)


def test_a_pack_is_read_back_before_it_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    records = run_of(3)
    changed = [records[0], replace(records[1], salt=b"y" * 16), records[2]]
    payload = pack_records(changed)

    def packing(*_: Any) -> Pieces[bytes]:
        yield ()
        return payload

    monkeypatch.setattr(packs, "packing", packing)
    with pytest.raises(Damaged, match="as it went in"):
        seal_pack(records, **SITE, parent=records[0].parent)


@pytest.mark.parametrize("order", [[0, 2], [1, 0], [0, 0, 1]])
def test_only_a_run_without_gaps_is_sealed(order: list[int]) -> None:
    records = run_of(3)
    with pytest.raises(Damaged, match=r"as it went in|does not hold a pack"):
        seal_pack([records[at] for at in order], **SITE, parent=records[0].parent)


# ---- damage ---------------------------------------------------------------------------------

RECORDS = run_of(20, first=5)
SEALED = seal_pack(RECORDS, **SITE, parent=RECORDS[0].parent)
AT: dict[str, Any] = {**SITE, "line": LINE, "number": 24, "count": 20}


def test_any_changed_byte_of_a_stored_pack_is_noticed_P5() -> None:
    for at in range(len(SEALED.blob)):
        damaged = bytearray(SEALED.blob)
        damaged[at] ^= 1 << at % 8
        with pytest.raises((Damaged, NewerFormat)):
            open_pack(bytes(damaged), **AT)


def test_a_stored_pack_that_was_cut_is_noticed_P5() -> None:
    for size in range(len(SEALED.blob)):
        with pytest.raises(Damaged):
            open_pack(SEALED.blob[:size], **AT)


@pytest.mark.parametrize(
    "moved",
    [
        {"store": b"s" * 16},
        {"incarnation": b"i" * 16},
        {"line": 1},
        {"number": 23},
        {"count": 19},
        {"count": 21},
    ],
    ids=str,
)
def test_a_pack_belongs_to_its_place_P5(moved: dict[str, Any]) -> None:
    assert open_pack(SEALED.blob, **AT)
    with pytest.raises(Damaged, match=r"line [12] of"):
        open_pack(SEALED.blob, **{**AT, **moved})


def test_a_pack_is_no_record_and_a_record_no_pack_P5() -> None:
    with pytest.raises(Damaged, match="holds kind 4, not record"):
        open_record(SEALED.blob, **SITE, line=LINE, number=24)
    one = seal_draft(draft(24), **SITE, line=LINE, number=24, parent=bytes(32))
    with pytest.raises(Damaged, match="holds kind 2, not pack"):
        open_pack(one.blob, **AT)


def read_or_refuse(payload: bytes, place: Place) -> list[Record]:
    """The records, as far as they are such; nothing but these errors comes of any bytes."""
    found = []
    with suppress(Damaged):
        for record in unpack_records(payload, place, 10):
            found.append(record)
            with suppress(Damaged, Malformed):
                record.changes()
    return found


@given(st.data())
def test_a_payload_of_a_strangers_making_is_read_or_refused_P5(data: st.DataObject) -> None:
    payload = bytearray(pack_records(RECORDS[:4]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload) - 1))
        piece = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from(OPENINGS)))
        payload[at : at + data.draw(st.integers(0, 3))] = piece
    for record in read_or_refuse(bytes(payload), place_of(RECORDS, 8)):
        assert len(record.id) == len(record.session) == 16


OPENINGS = [bytes([code, *[0xFF] * 8]) for code in (0xC6, 0xC9, 0xCF, 0xD3, 0xDB, 0xDD, 0xDF)]
"""Beginnings of values that claim to be as long as can be."""


@given(st.binary(max_size=200))
@example(b"")
def test_bytes_that_are_no_payload_are_refused_P5(payload: bytes) -> None:
    with pytest.raises(Damaged):
        unpack_records(payload, place_of(RECORDS), 10)


def columns() -> list[Any]:
    found: list[Any] = msgspec.msgpack.decode(pack_records(RECORDS[:3]))
    return found


BODIES: dict[str, tuple[int, Any]] = {
    "a short hash": (0, bytes(31)),
    "an id too few": (1, bytes(32)),
    "half an id more": (1, bytes(56)),
    "a salt too many": (2, bytes(64)),
    "no session": (3, b""),
    "half a session": (3, bytes(24)),
    "a turn of nobody": (4, [0, 0, 1]),
    "a turn below": (4, [0, -1, 0]),
    "a turn too few": (4, [0, 0]),
    "a turn that is no number": (4, [0, 0, "1"]),
    "a time too few": (5, [1, 2]),
    "a time too many": (5, [1, 2, 3, 4]),
    "a time before all": (5, [-1, 2, 3]),
    "a time beyond all": (5, [2**63, 2**63, 2**63]),
    "a time far beyond": (5, [2**62, 0, 1]),
    "changes too few": (6, [[], []]),
    "changes that are a map": (6, [[], {}, []]),
    "changes that are nothing": (6, [[], None, []]),
    "changes that are text": (6, [[], "text", []]),
    "a whole record that is none": (6, [[], b"\x95", []]),
    "extras too many": (7, [{}, {}, {}, {}]),
    "an extra that is none": (7, [{}, 1, {}]),
    "an extra with odd keys": (7, [{}, {1: 2}, {}]),
    "another column": (8, []),
}


@pytest.mark.parametrize("name", BODIES)
def test_columns_that_do_not_fit_are_damage_P5(name: str) -> None:
    at, wrong = BODIES[name]
    body = columns()
    body[at : at + 1] = [wrong]
    with pytest.raises(Damaged, match="on line 2 of"):
        unpack_records(msgspec.msgpack.encode(body), place_of(RECORDS, 7), 10)


def test_columns_of_one_record_are_damage_P5() -> None:
    one = [bytes(32), bytes(16), bytes(16), bytes(16), [0], [5], [[]], [{}]]
    with pytest.raises(Damaged, match="does not hold a pack"):
        unpack_records(msgspec.msgpack.encode(one), place_of(RECORDS), 10)


def test_more_records_than_the_line_has_are_damage_P5() -> None:
    payload = pack_records(RECORDS[:3])
    assert [each.number for each in unpack_records(payload, place_of(RECORDS, 3), 0)] == [1, 2, 3]
    with pytest.raises(Damaged, match="does not hold a pack"):
        unpack_records(payload, place_of(RECORDS, 2), 0)


def test_a_pack_that_claims_too_much_is_refused_before_it_is_decompressed_P5() -> None:
    place = place_of(RECORDS)
    blob = seal(Kind.PACK, place, bytes(limits.pack_payload_bytes_max + 1))
    assert len(blob) < 1000
    with pytest.raises(Damaged, match="claim 2097153 bytes"):
        open_pack(blob, **AT)
    assert len(unseal(Kind.PACK, place, blob, limits.pack_payload_bytes_max + 1)) > 2**21


@pytest.mark.parametrize("at", [4, 5, 6, 7])
def test_more_records_than_allowed_are_refused_before_they_are_decoded_P5(at: int) -> None:
    body = columns()
    body[at] = [0] * (limits.pack_records_max + 1)
    with pytest.raises(Damaged, match="length <= 16384"):
        unpack_records(msgspec.msgpack.encode(body), place_of(RECORDS), 10)
