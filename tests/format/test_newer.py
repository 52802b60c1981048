"""What a newer version wrote is refused where it has to be understood, and kept where not (P10)."""

import io
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import blake2b
from typing import Any

import apsw
import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace

import perdure
from perdure import limits
from perdure.core import seal
from perdure.core.changes import Set, pack_changes
from perdure.core.codec import pack
from perdure.core.head import Head, Unknown
from perdure.core.head_bytes import open_head, seal_head
from perdure.core.journal import JOURNAL_LINE, entry_of
from perdure.core.page import Ref, Shape, leaf_payload, read_list
from perdure.core.record import LABEL, MOVE, Draft, open_record, seal_draft
from perdure.core.seal import Kind, Place, unseal
from perdure.engine.requests import Commit, HeadRow, ReadHead, RecordRow
from perdure.engine.save import tail_of
from perdure.errors import Damaged, KeyMissing, NewerFormat
from perdure.keys.data import DataKeys
from perdure.state_file import MAGIC

WAY_OUT = r".*nothing was touched\. Upgrade: pip install --upgrade perdure$"
SOME = bytes(range(16))

# ---- refused --------------------------------------------------------------------------------

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


# ---- kept -----------------------------------------------------------------------------------

KEPT = {"later": [1, {"deep": b"bytes"}, None], "-odd": "é"}
"""What a newer version wrote, as an extra of a record and in a head."""


def head_of(store: perdure.Store, key: str) -> tuple[Head, bytes]:
    backend = store._driver.backend
    row = backend.perform(ReadHead(key))
    return open_head(row.blob, store=backend.connect().store_id, key=key), row.token


def plant(store: perdure.Store) -> int:
    """Save as a newer version might, with more in the record and in the head; its number."""
    head, token = head_of(store, "a")
    tip = head.branches["main"]
    changes = pack_changes([Set(("n",), "planted")])
    draft = Draft(os.urandom(16), tip.time_us, bytes(16), changes, SOME, {"label": "here", **KEPT})
    store_id = store._driver.store_id
    sealed = seal_draft(
        draft,
        store=store_id,
        incarnation=head.incarnation,
        line=tip.line,
        number=tip.number + 1,
        parent=tip.hash,
    )
    new = replace(head.advanced("main", sealed), token=os.urandom(16), unknown=Unknown(KEPT, {}))
    row = HeadRow(new.token, seal_head(new, store=store_id, key="a"))
    records = (RecordRow(sealed.line, sealed.number, sealed.blob),)
    store._driver.backend.perform(Commit("a", token, row, tail_of(new), records))
    return sealed.number


@pytest.fixture(params=["memory:", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[perdure.Store]:
    """A store whose state `a` a newer version saved to, with saves of this one around it."""
    url = request.param if request.param == "memory:" else tmp_path / "agents.db"
    with perdure.Store(url, maintenance="off") as store:
        save(store, 3)
        plant(store)
        save(store, 3)
        yield store


def save(store: perdure.Store, times: int, branch: str = "main") -> None:
    with store.open("a", branch=branch) as session:
        for n in range(times):
            session.state["n"] = f"{branch} {n}"
            session.save()


def extras(store: perdure.Store, key: str, branch: str = "main") -> list[dict[str, Any]]:
    """What the records of a branch say beyond what this version knows, newest first."""
    from perdure.engine.past import take_back
    from perdure.engine.read import Site, read_head

    site = Site(store._driver.store_id, key)
    head = store._driver.run(read_head(site))
    records = store._driver.run(take_back(site, head, branch, before=None, count=None))
    return [
        {name: value for name, value in each.extra.items() if name in KEPT}
        for each in records
        if each.extra.get(LABEL) == "here"
    ]


def forked(store: perdure.Store) -> str:
    store.fork("a", "b", at=5)
    save(store, 2, "b")
    assert extras(store, "a", "b") == [KEPT]
    return "a"


def merged(store: perdure.Store) -> str:
    store.fork("a", "b")
    with store.open("a", branch="b") as session:
        session.state["other"] = 1
    save(store, 1)
    store.merge("a", "b")
    return "a"


def rolled_back(store: perdure.Store) -> str:
    store.rollback("a", to=5)
    save(store, 1)
    return "a"


def undone(store: perdure.Store) -> str:
    store.rollback("a", to=5)
    store.undo("a")
    store.redo("a")
    return "a"


def promoted(store: perdure.Store) -> str:
    store.fork("a", "b")
    save(store, 1, "b")
    store.promote("a", "b")
    store.rename_branch("a", "b", "c")
    store.delete_branch("a", "c")
    return "a"


def pruned(store: perdure.Store) -> str:
    store.prune(perdure.Retention(keep_last=1, keep_labels=True), "a")
    store.maintain("a")
    return "a"


def maintained(store: perdure.Store) -> str:
    for _ in range(2):
        save(store, limits.tail_records_max + 1)
        store.maintain("a")
    assert store.stats("a").stored["packs"]
    return "a"


def copied(store: perdure.Store) -> str:
    return store.copy("a", "copy").key


def imported(store: perdure.Store) -> str:
    file = io.BytesIO()
    store.export("a", file)
    file.seek(0)
    return store.import_(file, "imported").key


def came_back(store: perdure.Store) -> str:
    store.delete("a")
    store.undelete("a")
    return "a"


def lived_on(store: perdure.Store) -> str:
    store.delete("a")
    save(store, 1)
    assert head_of(store, "a")[0].unknown == UNSET  # of the first life, not of this
    store.delete("a")
    store.undelete("a", life=1)
    return "a"


def held(store: perdure.Store) -> str:
    with store.open("a", exclusive=True) as session:
        session.state["n"] = "alone"
    return "a"


def merged_at_save(store: perdure.Store) -> str:
    with store.open("a", on_conflict="merge") as session:
        session.state["mine"] = 1
        save(store, 1)
        session.save()
    return "a"


def diverged(store: perdure.Store) -> str:
    with store.open("a", on_conflict="fork") as session:
        session.state["mine"] = 1
        save(store, 1)
        session.save()
    assert extras(store, "a", session.branch) == [KEPT]
    return "a"


def upgraded(store: perdure.Store) -> str:
    store.upgrade()
    save(store, 1)
    return "a"


def compacted(store: perdure.Store) -> str:
    pruned(store)
    store.compact()
    return "a"


DONE: tuple[Callable[[perdure.Store], str], ...] = (
    *(forked, merged, rolled_back, undone, promoted, pruned, maintained, copied, imported),
    *(came_back, lived_on, held, merged_at_save, diverged, upgraded, compacted),
)


@pytest.mark.parametrize("done", DONE, ids=lambda done: done.__name__)
def test_what_a_newer_version_added_is_kept_by(
    store: perdure.Store, done: Callable[[perdure.Store], str]
) -> None:
    key = done(store)
    head, _ = head_of(store, key)
    assert isinstance(head.unknown, Unknown)
    assert head.unknown.keys == KEPT
    assert extras(store, key) == [KEPT]
    assert [each for each in store.verify() if not each.ok] == []


AFTER_PRUNING = (merged, promoted, maintained, came_back, held, merged_at_save, diverged, upgraded)
"""Others go to a checkpoint that was pruned, or take the newest run of `main` alone."""


@pytest.mark.parametrize("done", DONE, ids=lambda done: done.__name__)
def test_what_a_newer_version_added_is_kept_one_after_another_with(
    store: perdure.Store, done: Callable[[perdure.Store], str]
) -> None:
    """After maintenance, where it can be a pruning too, and before more saves."""
    maintained(store)
    if done in AFTER_PRUNING:
        pruned(store)
    key = done(store)
    with store.open(key) as session:
        session.state["n"] = "last"
    store.maintain(key)
    assert head_of(store, key)[0].unknown != UNSET
    assert extras(store, key) == [KEPT]


def test_a_backup_has_it_too(tmp_path: Any) -> None:
    with perdure.Store(tmp_path / "agents.db", maintenance="off") as store:
        save(store, 2)
        plant(store)
        store.backup(tmp_path / "backup.db")
    with perdure.Store(tmp_path / "backup.db") as store:
        save(store, 1)
        unknown = head_of(store, "a")[0].unknown
        assert isinstance(unknown, Unknown)
        assert unknown.keys == KEPT
        assert extras(store, "a") == [KEPT]
