"""A record's changes stay packed until they are asked for, and are then what was saved."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perdure.core.changes import (
    SET,
    Change,
    Delete,
    Members,
    Set,
    Splice,
    moves_of,
    pack_changes,
    to_wire,
)
from perdure.core.codec import Code, pack
from perdure.core.outline import INSIDE, moves_in, touches_of
from perdure.core.record import Draft, Record, open_payload, open_record, seal_draft
from perdure.core.seal import Kind, Place, seal
from perdure.errors import Damaged, Malformed, NewerFormat
from perdure.testing.strategies import changes_for, sections, values

WHERE: dict[str, Any] = {
    "store": bytes(16),
    "incarnation": bytes(range(16)),
    "line": 0,
    "number": 3,
}


def record_of(changes: bytes, extra: dict[str, Any] | None = None) -> Record:
    """A record with these packed changes, stored and read back."""
    draft = Draft(b"i" * 16, 5, b"s" * 16, changes, b"x" * 16, extra or {})
    return open_record(seal_draft(draft, **WHERE, parent=bytes(32)).blob, **WHERE)


def wires(changes: list[Change]) -> list[bytes]:
    return [pack(to_wire(change)) for change in changes]


@given(sections(), st.data(), st.dictionaries(st.text(max_size=5), values(3), max_size=2))
def test_changes_come_back_whole_or_by_section(
    before: dict[str, Any], data: st.DataObject, extra: dict[str, Any]
) -> None:
    saved = data.draw(changes_for(before))
    record = record_of(pack_changes(saved), extra)
    names = {str(change.path[0]) for change in saved}
    assert pack(record.extra) == pack(extra)
    assert bytes(record.packed) == pack_changes(saved)
    assert record.sections() == tuple(sorted(names))
    assert wires(record.changes()) == wires(saved)
    chosen = data.draw(st.sets(st.sampled_from(sorted(names) or ["messages"])))
    wanted = [change for change in saved if change.path[0] in chosen]
    assert wires(record.changes_of(chosen)) == wires(wanted)
    assert wires(record.changes_of(names)) == wires(saved)
    touches = record.touches()
    assert touches == touches_of(saved)
    assert moves_in(touches) == list(moves_of(saved))
    places = [at for at, (name, _) in enumerate(touches) if name in chosen]
    assert wires(record.changes_at(places)) == wires(wanted)


UNKNOWN = msgspec.msgpack.Ext(99, b"")
"""A value of a newer version."""


def raw(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def test_values_of_other_sections_are_not_decoded() -> None:
    record = record_of(raw([[1, ["odd", "key"], UNKNOWN], [1, ["plan"], 2], [2, ["odd"]]]))
    assert record.sections() == ("odd", "plan")
    assert wires(record.changes_of({"plan"})) == [raw([1, ["plan"], 2])]
    for read in (record.changes, lambda: record.changes_of({"odd"})):
        with pytest.raises(NewerFormat, match=r"record 3 on line 0: extension type 99"):
            read()


def test_a_section_with_a_lone_surrogate_in_its_name_is_found() -> None:
    name = msgspec.msgpack.Ext(Code.TEXT.value, "\ud83d".encode("utf-8", "surrogatepass"))
    record = record_of(raw([[1, [name], 1], [1, ["plan"], 2]]))
    assert record.sections() == ("plan", "\ud83d")
    assert wires(record.changes_of({"\ud83d"})) == [raw([1, [name], 1])]


@pytest.mark.parametrize(
    "changes",
    [[5], [[1]], [[1, []]], [[1, [2], 3]], [[1, "plan", 2]], [["x", ["a"], 1]], [[1, ["a"], 1, 2]]],
    ids=repr,
)
def test_what_is_no_change_is_malformed(changes: list[Any]) -> None:
    record = record_of(raw([[1, ["plan"], 2], *changes]))
    for read in (record.changes, lambda: record.changes_of({"plan", "a"})):
        with pytest.raises(Malformed, match="not a change"):
            read()


def test_a_change_of_a_newer_version_still_tells_its_section_P10() -> None:
    record = record_of(raw([[9, ["a"], 1, 2, 3, 4], [1, ["plan"], 2]]))
    assert record.sections() == ("a", "plan")
    assert wires(record.changes_of({"plan"})) == [raw([1, ["plan"], 2])]
    for read in (lambda: record.changes_of({"a"}), lambda: record.changes_at([0]), record.touches):
        with pytest.raises(NewerFormat, match="record 3 on line 0: a change of kind 9 is unknown"):
            read()
    inside = record_of(raw([[9, ["a", "b"], 1, 2, 3, 4], [1, ["plan"], 2]]))
    assert inside.touches() == [("a", INSIDE), ("plan", SET)]


_PARTS = st.one_of(
    st.sampled_from(["plan", "", -1, 0, 3, 2**63, True, 1.0, None, b"plan", ["plan"], UNKNOWN]),
    st.just(msgspec.msgpack.Ext(Code.TEXT.value, b"\xed\xa0\xbd")),
)
_REST = st.one_of(
    _PARTS,
    st.sampled_from(["text", [], [1], {"a": {1: 2}}, {"a": {"b": 2}}, [{None: 1}]]),
    st.builds(msgspec.Raw, values(2).map(pack)),
)
_WIRES = st.one_of(
    st.tuples(
        st.sampled_from([0, 1, 2, 3, 3, 4, 5, -1, True, 1.0, "1", None]),
        st.one_of(st.lists(st.one_of(st.just("plan"), _PARTS), max_size=3), _PARTS),
        st.lists(_REST, max_size=4),
    ).map(lambda parts: [parts[0], parts[1], *parts[2]]),
    st.tuples(st.just(3), st.just(["plan"]), st.integers(-1, 2), st.integers(-1, 2), _REST),
    _REST,
)


@given(st.lists(_WIRES, max_size=3))
@example([[1, [3, "plan"], 1]])
@example([[1, [], 1]])
@example([[1, ["plan", -1], 1]])
@example([[1, ["plan", True], 1]])
@example([[1, ["plan", 1.0], 1]])
@example([[1, ["plan"], {"a": {1: 2}}]])
@example([[1, ["plan"], UNKNOWN]])
@example([[1.0, ["plan"], 1]])
@example([[1, ["plan"], 1, 2]])
@example([[2, ["plan"]], [2, ["plan"], 1]])
@example([[3, ["plan"], 0, 0, 5]])
@example([[3, ["plan"], 0, 0, {}]])
@example([[3, ["plan"], 0, -1, []]])
@example([[3, ["plan"], True, 0, []]])
@example([[4, ["plan"], [], {}]])
@example([[5, ["plan"]]])
def test_changes_read_in_one_go_are_those_read_value_by_value(changes: list[Any]) -> None:
    record = record_of(raw(changes))
    told: list[Any] = []
    for read in (record.changes, lambda: record._changes(record._unpack(record.packed))):
        try:
            found = read()
            told.append([(type(change), to_wire(change)) for change in found])
            told.append(wires(found))
        except (Damaged, Malformed, NewerFormat) as error:
            told.append((type(error), str(error)))
    half = len(told) // 2
    assert repr(told[:half]) == repr(told[half:])


def test_usual_changes_are_read_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[Change] = [
        Set(("plan", "step"), {"at": [1, 2.5, None, "x", b"y"]}),
        Delete(("plan", "old")),
        Splice(("messages",), 3, 0, [{"role": "user"}]),
        Splice(("draft",), 0, 2, "text"),
        Members(("plan", "tags"), [1], ["a"]),
    ]
    record = record_of(pack_changes(saved))
    monkeypatch.setattr(Record, "_unpack", None)
    assert record.changes() == saved


ID = raw(bytes(16))
SHAPES = {
    "nothing": b"",
    "no array": raw(1),
    "too few": b"\x94" + ID + b"\x05" + ID + b"\x90",
    "too many": b"\x96" + ID + b"\x05" + ID + b"\x90\x80\x00",
    "more behind": b"\x95" + ID + b"\x05" + ID + b"\x90\x80\x00",
    "cut": b"\x95" + ID + b"\x05" + ID + b"\x91\xa5abc",
    "a short id": b"\x95" + raw(bytes(15)) + b"\x05" + ID + b"\x90\x80",
    "a short session": b"\x95" + ID + b"\x05" + raw(b"") + b"\x90\x80",
    "a time of day": b"\x95" + ID + raw(1.0) + ID + b"\x90\x80",
    "a flag for a time": b"\x95" + ID + raw(True) + ID + b"\x90\x80",
    "a map of changes": b"\x95" + ID + b"\x05" + ID + b"\x80\x80",
    "changes as text": b"\x95" + ID + b"\x05" + ID + raw("x") + b"\x80",
    "an array of extras": b"\x95" + ID + b"\x05" + ID + b"\x90\x90",
    "a key that is no text": b"\x95" + ID + b"\x05" + ID + b"\x90" + raw({1: 2}),
    "no opcode": b"\x95" + ID + b"\x05" + ID + b"\x91\xc1\x80",
    "too deep": b"\x95" + ID + b"\x05" + ID + b"\x91" * 100_000 + b"\x00\x80",
    "a huge claim": b"\x95" + ID + b"\x05" + ID + b"\xdd" + struct.pack(">I", 2**32 - 1),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_no_record_is_damage_P5(name: str) -> None:
    place = Place(WHERE["store"], WHERE["incarnation"], WHERE["line"], WHERE["number"])
    blob = seal(Kind.RECORD, place, bytes(48) + SHAPES[name])
    with pytest.raises(Damaged, match="record 3 on line 0"):
        open_record(blob, **WHERE)


def test_a_value_of_a_newer_kind_in_what_a_record_says_is_of_a_newer_format_P10() -> None:
    place = Place(WHERE["store"], WHERE["incarnation"], WHERE["line"], WHERE["number"])
    said = b"\x95" + ID + b"\x05" + ID + b"\x90" + raw({"a": UNKNOWN})
    blob = seal(Kind.RECORD, place, bytes(48) + said)
    with pytest.raises(NewerFormat, match=r"record 3 on line 0 of .*: extension type 99"):
        open_record(blob, **WHERE)


@pytest.mark.parametrize("size", [0, 31, 47])
def test_a_payload_without_room_for_a_record_is_damage_P5(size: int) -> None:
    with pytest.raises(Damaged):
        open_payload(bytes(size), Place(bytes(16), bytes(16), 0, 3), size)
