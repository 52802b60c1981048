"""What a newer version wrote is refused where it has to be understood (P10)."""

import io
import struct
from contextlib import closing
from hashlib import blake2b
from typing import Any

import apsw
import msgspec
import pytest
from tests.format.later import SOME, head_of

import perdure
from perdure.core import seal
from perdure.core.changes import pack_changes
from perdure.core.codec import pack
from perdure.core.head_bytes import open_head
from perdure.core.journal import JOURNAL_LINE, entry_of
from perdure.core.page import Ref, Shape, leaf_payload, read_list
from perdure.core.record import MOVE, Draft, open_record, seal_draft
from perdure.core.seal import Kind, Place, unseal
from perdure.engine.requests import Commit, HeadRow, ReadHead
from perdure.engine.save import tail_of
from perdure.errors import Damaged, KeyMissing, NewerFormat
from perdure.keys.data import DataKeys
from perdure.state_file import MAGIC

WAY_OUT = r".*nothing was touched\. Upgrade: pip install --upgrade perdure$"


PLACES = {
    Kind.HEAD: (Place(SOME, b"agent"), "head of 'agent'"),
    Kind.RECORD: (Place(SOME, SOME, 2, 7), "record 7 on line 2 of 000102"),
    Kind.EXPORT: (Place(SOME, b"export", 0, 3), "frame 3 of an exported file"),
    Kind.PACK: (Place(SOME, SOME, 2, 70), "record 70 on line 2 of 000102"),
    Kind.PAGE: (Place(SOME, SOME, page=bytes(32)), "page 000000"),
    Kind.ERASED: (Place(SOME, b"erased" + SOME), "receipt of the erasure of 000102"),
}
HEADERS = {
    "format": ((4, 2), "is of format 2, and this version reads up to 1"),
    "kind": ((5, 7), "holds kind 7, unknown to this version"),
    "flag": ((6, 0x40), "uses a feature unknown to this version (flags 0x4000)"),
}


def blob(kind: Kind, place: Place, payload: bytes, *changes: tuple[int, int]) -> bytes:
    """A blob with other bytes in its header, sealed as a newer version would."""
    head = bytearray(b"PERD" + bytes([seal.FORMAT, kind, 0, 0]))
    for at, byte in changes:
        head[at] = byte
    covered = place.bound() + bytes(head) + payload
    return bytes(head) + payload + blake2b(covered, digest_size=16, person=b"perdure.seal").digest()


def test_every_kind_of_blob_has_a_place_here() -> None:
    assert set(PLACES) == set(Kind)
    assert seal.FORMAT == 1


@pytest.mark.parametrize("what", HEADERS)
@pytest.mark.parametrize("kind", Kind)
def test_a_blob_that_needs_more_is_refused_by_its_place(kind: Kind, what: str) -> None:
    (change, told), (place, name) = HEADERS[what], PLACES[kind]
    with pytest.raises(NewerFormat) as caught:
        unseal(kind, place, blob(kind, place, b"body", change), 100)
    assert caught.match(WAY_OUT)
    assert str(caught.value).startswith(name)
    assert told in str(caught.value)


@pytest.mark.parametrize("kind", Kind)
def test_flags_that_are_not_required_are_passed_over(kind: Kind) -> None:
    place, _ = PLACES[kind]
    for flag in (0x01, 0x80):
        assert unseal(kind, place, blob(kind, place, b"body", (7, flag)), 100) == b"body"


@pytest.mark.parametrize("kind", Kind)
def test_a_newer_looking_header_that_was_damaged_is_damage(kind: Kind) -> None:
    place, _ = PLACES[kind]
    for at, byte in ((5, 7), (6, 0x40)):
        broken = bytearray(blob(kind, place, b"body"))
        broken[at] = byte
        with pytest.raises(Damaged, match="checksum"):
            unseal(kind, place, bytes(broken), 100)


@pytest.mark.parametrize("kind", Kind)
def test_a_blob_that_says_it_is_encrypted_is_told_from_one_that_is(kind: Kind) -> None:
    place, name = PLACES[kind]
    clear = blob(kind, place, b"body")
    flipped = clear[:6] + b"\x02" + clear[7:]
    keys = DataKeys(bytes(16), {1: bytes(32)})
    for broken in (flipped, blob(kind, place, b"body", (6, 0x02))):
        with pytest.raises(Damaged):
            unseal(kind, place, broken, 100)
    with pytest.raises(KeyMissing, match="is encrypted") as caught:
        unseal(kind, place, keys.seal(place, clear), 100)
    assert str(caught.value).startswith(name)


NEWER = msgspec.msgpack.Ext(99, b"")


def record(changes: list[Any], extra: dict[str, Any]) -> bytes:
    draft = Draft(
        SOME, 1, SOME, msgspec.msgpack.encode(changes), SOME, msgspec.msgpack.encode(extra)
    )
    where = {"store": SOME, "incarnation": SOME, "line": 2, "number": 7}
    return seal_draft(draft, **where, parent=bytes(32)).blob  # type: ignore[arg-type]


def test_newer_things_in_a_record_are_refused_by_their_place() -> None:
    where: dict[str, Any] = {"store": SOME, "incarnation": SOME, "line": 2, "number": 7}
    for changes in ([[5, ["a"], 1]], [[1, ["a"], NEWER]], [[1, ["a"], [1, {"x": NEWER}]]]):
        opened = open_record(record(changes, {}), **where)
        with pytest.raises(NewerFormat, match="record 7 on line 2.* unknown to this" + WAY_OUT):
            opened.changes()
    with pytest.raises(NewerFormat, match="record 7 on line 2.* type 99 is unknown" + WAY_OUT):
        open_record(record([], {"later": NEWER}), **where)


def test_a_movement_of_a_newer_kind_is_refused_by_its_place() -> None:
    where: dict[str, Any] = {"store": SOME, "incarnation": SOME, "number": 7}
    for what, kind in (("weave", NewerFormat), (None, Damaged), (5, Damaged)):
        said = Draft(SOME, 1, SOME, pack_changes([]), SOME, {MOVE: {"what": what, "branch": "b"}})
        sealed = seal_draft(said, **where, line=JOURNAL_LINE, parent=bytes(32))
        opened = open_record(sealed.blob, **where, line=JOURNAL_LINE)
        with pytest.raises(kind, match="record 7 of the journal"):
            entry_of(opened)
    with pytest.raises(Damaged, match="holds no movement"):
        entry_of(open_record(record([], {}), store=SOME, incarnation=SOME, line=2, number=7))


def test_a_newer_value_in_a_page_is_refused_by_its_place() -> None:
    payload = leaf_payload(Shape.LIST, msgspec.msgpack.encode([1, NEWER]))
    with pytest.raises(NewerFormat, match=r"page 070707.* type 99 is unknown" + WAY_OUT):
        read_list(payload, Ref(Shape.LIST, bytes([7] * 32), 0, 2, 5))


def test_a_newer_head_is_refused_by_its_place() -> None:
    life = {"inc": SOME, "made": 1, "at": 1, "token": SOME}
    newer_tree = [max(Shape) + 1, bytes(32), 0, 0, 0, 0]
    tip = [0, 3, SOME, bytes(32), 1, [[2, newer_tree]]]
    for more in (
        {"branches": {"main": tip}},
        {"parked": newer_tree},
        {"former": [{**life, "parked": newer_tree}]},
        {"later": NEWER},
    ):
        payload = msgspec.msgpack.encode({**life, **more})
        stored = seal.seal(Kind.HEAD, Place(SOME, b"agent"), payload)
        with pytest.raises(NewerFormat, match="^head of 'agent'" + WAY_OUT):
            open_head(stored, store=SOME, key="agent")


def exported(*frames: bytes) -> io.BytesIO:
    return io.BytesIO(
        MAGIC + SOME + b"".join(struct.pack(">I", len(each)) + each for each in frames)
    )


@pytest.mark.parametrize("what", HEADERS)
def test_an_export_that_needs_more_is_refused_and_leaves_nothing(what: str) -> None:
    change, told = HEADERS[what]
    place = Place(SOME, b"export", 0, 1)
    file = exported(blob(Kind.EXPORT, place, pack({"key": "a"}), change))
    with perdure.Store("memory:") as store:
        with pytest.raises(NewerFormat, match="^frame 1 of an exported file" + WAY_OUT) as caught:
            store.import_(file)
        assert told in str(caught.value)
        assert (store.states(), store.unreferenced()) == ([], [])


def test_an_exported_change_of_a_newer_kind_is_refused_and_leaves_nothing() -> None:
    with perdure.Store("memory:") as store:
        with store.open("a") as session, pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "perdure.engine.capturing.pack_changes", lambda _: b"\x91\x93\x05\x91\xa1a\x01"
            )
            session.state["a"] = 1
            session.save()
        file = io.BytesIO()
        store.export("a", file)
        file.seek(0)
        with pytest.raises(NewerFormat, match="record 1 on line 0.*kind 5 is unknown" + WAY_OUT):
            store.import_(file, "b")
        assert [each.key for each in store.states()] == ["a"]
        assert store.unreferenced() == []


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_a_newer_format_is_refused_by_its_name(tmp_path: Any, read_only: bool) -> None:
    path = tmp_path / "agents.db"
    with perdure.Store(path) as store, store.open("a") as session:
        session.state["a"] = 1
    with closing(apsw.Connection(str(path))) as newer:
        newer.pragma("user_version", 2)
    before = path.read_bytes()
    for use in (perdure.Store.states, lambda store: store.upgrade(dry_run=read_only)):
        with (
            perdure.Store(path, read_only=read_only) as store,
            pytest.raises(NewerFormat, match=r"agents\.db is of format 2.* up to 1" + WAY_OUT),
        ):
            use(store)
    assert path.read_bytes() == before


def test_a_state_that_is_newer_keeps_nobody_from_the_others() -> None:
    with perdure.Store("memory:") as store:
        for key in ("a", "b"):
            with store.open(key) as session:
                session.state["n"] = 1
        place = Place(store._driver.store_id, b"a")
        _, token = head_of(store, "a")
        newer = HeadRow(SOME, blob(Kind.HEAD, place, b"\x80", (6, 0x40)))
        head, _ = head_of(store, "a")
        store._driver.backend.perform(Commit("a", token, newer, tail_of(head)))
        assert [(each.key, each.status) for each in store.states()] == [
            ("a", "newer-format"),
            ("b", "closed"),
        ]
        found = {each.key: each for each in store.verify()}
        assert found["b"].ok
        assert "newer-format" in str(found["a"].problem) or "unknown" in str(found["a"].problem)
        for use in (store.open, store.delete, store.history, store.branches):
            with pytest.raises(NewerFormat, match="head of 'a'" + WAY_OUT):
                use("a")
        assert store._driver.backend.perform(ReadHead("a")) == newer
