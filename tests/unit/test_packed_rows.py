"""Everything reads the same whether records are stored one by one or as packs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import perdure
from perdure import errors, limits
from perdure.backends.lines import page_of
from perdure.backends.memory import MemoryBackend
from perdure.core.head import Head
from perdure.core.pack import seal_pack
from perdure.core.record import Record, Sealed
from perdure.engine.read import Site, read_head, read_run
from perdure.engine.requests import (
    Held,
    ListHeld,
    ReadRecords,
    ReadState,
    RecordRow,
    Stage,
    StateRows,
    Steps,
    StorageRequest,
)
from perdure.engine.save import has_landed
from perdure.engine.states import read_some, rows_again

SAVES = 24


class Packed(MemoryBackend):
    """A store in memory, some of whose records are seen only in packs."""

    def __init__(self) -> None:
        super().__init__()
        self.packs: dict[bytes, list[RecordRow]] = {}
        self.inside: dict[bytes, set[int]] = {}
        """Numbers of the records that are seen in no row of their own."""

    def perform(self, request: StorageRequest) -> Any:
        if isinstance(request, ReadRecords):
            return self._page(request)
        if isinstance(request, Stage):
            packs = [row for row in request.records if row.count > 1]
            self.add(request.incarnation, packs)
            alone = tuple(row for row in request.records if row.count == 1)
            request = replace(request, records=alone)
        answer = super().perform(request)
        if isinstance(request, ListHeld):
            there = self.packs.get(request.incarnation)
            held = (Held(request.incarnation, 0, len(there), there[-1].number, 0),) if there else ()
            return (*answer, *held)
        if isinstance(request, ReadState) and isinstance(answer, StateRows):
            head = Site(self.connect().store_id, request.key).head(answer.head)
            answer = replace(answer, records=self._seen(head.incarnation, answer.records))
        return answer

    def _page(self, request: ReadRecords) -> tuple[RecordRow, ...]:
        everything = replace(request, first=1, last=2**62, bytes_max=2**62, newest_first=False)
        found = [
            row
            for row in self._seen(request.incarnation, super().perform(everything))
            if row.number >= request.first and row.number - row.count < request.last
        ]
        return page_of(reversed(found) if request.newest_first else found, request.bytes_max)

    def _seen(self, incarnation: bytes, rows: Sequence[RecordRow]) -> tuple[RecordRow, ...]:
        inside = self.inside.get(incarnation, ())
        alone = [row for row in rows if row.number not in inside]
        packs = self.packs.get(incarnation, [])
        return tuple(sorted([*alone, *packs], key=lambda row: row.number))

    def add(self, incarnation: bytes, packs: Sequence[RecordRow]) -> None:
        """Show these packs in the place of what they hold."""
        self.packs.setdefault(incarnation, []).extend(packs)
        numbers = self.inside.setdefault(incarnation, set())
        for row in packs:
            numbers.update(range(row.number - row.count + 1, row.number + 1))

    def pack(self, key: str, sizes: Sequence[int]) -> None:
        """Show the oldest records of a state in packs of these sizes; one of 1 stays as it is."""
        self.unpack()
        site = Site(self.connect().store_id, key)
        head = run(self, read_head(site))
        records = run(
            self, read_run(site, head, head.branches["main"], 1, head.branches["main"].number)
        )
        packs, at = [], 0
        for size in sizes:
            if size > 1 and len(group := records[at : at + size]) > 1:
                packs.append(pack_of(site, head, group))
            at += size
        self.add(head.incarnation, packs)

    def unpack(self) -> None:
        """Show every record by itself again."""
        self.packs.clear()
        self.inside.clear()


def pack_of(site: Site, head: Head, records: Sequence[Record]) -> RecordRow:
    place: dict[str, Any] = {"store": site.store, "incarnation": head.incarnation}
    sealed = seal_pack(records, **place, parent=records[0].parent)
    return RecordRow(sealed.line, sealed.number, sealed.blob, len(records))


def run(backend: MemoryBackend, steps: Steps[Any]) -> Any:
    """What an engine function returns when this backend answers it."""
    answer: Any = None
    while True:
        try:
            answer = backend.perform(steps.send(answer))  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value


def saved(text: str = "message") -> tuple[Packed, perdure.Store]:
    """A state of SAVES checkpoints by four sessions."""
    backend = Packed()
    ticks = count(1_767_225_600_000_000, 1_234_567)
    store = perdure.Store(backend, cache_bytes=0, clock=lambda: next(ticks))
    for turn in range(4):
        with store.open("a") as session:
            for number in range(SAVES // 4):
                session.state.setdefault("messages", []).append(f"{text} {turn} {number}")
                session.state[f"plan {number % 3}"] = {"turn": turn, "n": number}
                session.save(label=f"{turn}.{number}", metadata={"odd": (number, {turn})})
    return backend, store


def told(store: perdure.Store, key: str) -> dict[str, Any]:
    """All that the store tells of a state, as far as it does not depend on how it is stored."""
    file = BytesIO()
    exported = store.export(key, file)
    stats = store.stats(key)
    return {
        "exported": (exported.checkpoints, exported.hash),
        "now": store.at(key, SAVES).plain(),
        "history": store.history(key, changes=True),
        "page": store.history(key, limit=5, before=15),
        "newest": store.history(key, limit=1),
        "states": [store.at(key, number).plain() for number in range(1, SAVES + 1)],
        "found": store.at(key, store.history(key)[9].id[:12]).checkpoint,
        "diff": store.diff(key, 3, 17),
        "sessions": store.sessions(key),
        "verified": store.verify(key),
        "stats": (stats.checkpoints, stats.raw_bytes, stats.sections),
    }


SIZES = [[24], [12, 12], [1, 22, 1], [5, 1, 1, 7, 10], [2] * 12, [10], [1] * 12 + [12], [23]]


@pytest.mark.parametrize("bytes_max", [1, 3_000, limits.read_bytes_max])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_packs_change_nothing_of_what_is_read(
    sizes: list[int], bytes_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, store = saved()
    expected = told(store, "a")
    monkeypatch.setattr(limits, "read_bytes_max", bytes_max)
    backend.pack("a", sizes)
    assert [row.count for rows in backend.packs.values() for row in rows] == (
        [size for size in sizes if size > 1]
    )
    assert told(store, "a") == expected
    with store.open("a") as session:
        assert session.resumed is not None
        assert session.resumed.checkpoint.number == SAVES
        session.state["messages"].append("after")
    assert [each.ok for each in store.verify("a")] == [True]
    assert store.at("a", SAVES + 1).plain()["messages"] == [*expected["now"]["messages"], "after"]


@given(st.lists(st.integers(1, SAVES), max_size=SAVES), st.data())
@settings(max_examples=30)
def test_any_part_of_a_history_is_read_from_any_rows(sizes: list[int], data: st.DataObject) -> None:
    backend, store = SHARED
    backend.unpack()
    history = store.history("a", changes=True)
    backend.pack("a", sizes)
    before = data.draw(st.integers(1, SAVES))
    limit = data.draw(st.integers(1, SAVES))
    wanted = [each for each in history if each.number < before][:limit]
    assert store.history("a", limit=limit, before=before, changes=True) == wanted
    first, last = sorted(data.draw(st.tuples(st.integers(1, SAVES), st.integers(1, SAVES))))
    site = Site(backend.connect().store_id, "a")
    head = run(backend, read_head(site))
    records = run(backend, read_run(site, head, head.branches["main"], first, last))
    hashes = [each.hash for each in reversed(history)][first - 1 : last]
    assert [record.hash.hex() for record in records] == hashes


SHARED = saved()


def test_a_share_of_the_stored_bytes_is_each_records() -> None:
    backend, store = saved()
    alone = store.stats("a").stored_bytes
    backend.pack("a", [SAVES])
    ((pack,),) = backend.packs.values()
    site = Site(backend.connect().store_id, "a")
    head = run(backend, read_head(site))
    records = run(backend, read_run(site, head, head.branches["main"], 1, SAVES))
    assert sum(record.stored_bytes for record in records) == len(pack.blob) < alone


# ---- copies, exports ------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[24], [5, 1, 1, 7, 10], [10]], ids=str)
def test_a_copy_of_packs_is_made_of_packs(sizes: list[int]) -> None:
    backend, store = saved()
    backend.pack("a", sizes)
    (original,) = backend.packs
    store.copy("a", "b")
    (copied,) = backend.packs.keys() - {original}
    assert [(row.number, row.count) for row in backend.packs[copied]] == (
        [(row.number, row.count) for row in backend.packs[original]]
    )
    assert [each.ok for each in store.verify("b")] == [True]
    assert store.at("b", 17).plain() == store.at("a", 17).plain()
    hashes = [[each.hash for each in store.history(key)] for key in ("a", "b")]
    assert not set(hashes[0]) & set(hashes[1])
    backend.packs.pop(copied)
    with pytest.raises(errors.Damaged):
        store.open("b")  # its packs are all there is of it


def test_a_copy_of_packs_is_the_same_chain_as_one_of_single_records() -> None:
    backend, _ = saved()
    site = Site(backend.connect().store_id, "a")
    head = run(backend, read_head(site))
    records = run(backend, read_run(site, head, head.branches["main"], 1, SAVES))
    target = Site(b"store of another", "b")
    groups = [records[:5], records[5:6], records[6:]]
    _, together = rows_again(groups, target, b"another life :-)", bytes(32))
    rows, last = rows_again([[each] for each in records], target, b"another life :-)", bytes(32))
    assert (together.hash, together.id, together.number) == (last.hash, last.id, last.number)
    assert [row.count for row in rows] == [1] * SAVES


def test_a_packed_state_is_exported_and_imported_with_its_hashes() -> None:
    backend, store = saved()
    backend.pack("a", [5, 1, 1, 7])
    file = BytesIO()
    store.export("a", file)
    file.seek(0)
    with perdure.Store("memory:") as other:
        other.import_(file)
        assert other.history("a", changes=True) == store.history("a", changes=True)
    file.seek(0)
    store.import_(file, "b")  # this life is here already, packed: another is made
    assert store.at("b", SAVES).plain() == store.at("a", SAVES).plain()
    assert store.history("b")[0].hash != store.history("a")[0].hash


def test_reading_in_passing_takes_no_more_packs_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, store = saved("a long message " * 300)
    backend.pack("a", [6] * 4)
    site = Site(backend.connect().store_id, "a")
    head = run(backend, read_head(site))
    ((first, *others),) = backend.packs.values()
    monkeypatch.setattr(limits, "read_bytes_max", 30_000)
    assert sum(len(row.blob) for row in (first, *others)) < 30_000
    after: Record | None = None
    numbers = []
    while after is None or after.number < SAVES:
        records = run(backend, read_some(site, head, after))
        numbers.append([record.number for record in records])
        after = records[-1]
    assert numbers[0] == list(range(1, 13))
    assert [number for some in numbers for number in some] == list(range(1, SAVES + 1))
    assert [each.ok for each in store.verify("a")] == [True]


# ---- others' work ---------------------------------------------------------------------------


def test_a_session_takes_in_what_was_packed_since_it_read() -> None:
    backend, store = saved()
    ours, theirs = store.open("a"), store.open("a")
    theirs.state["theirs"] = 1
    theirs.save()
    theirs.state["theirs"] = 2
    theirs.save()
    backend.pack("a", [20, 6])
    ours.state["ours"] = 1
    with pytest.raises(errors.Conflict) as caught:
        ours.save()
    assert [each.number for each in caught.value.theirs] == [25, 26]
    ours.refresh(keep_changes=True)
    ours.save()
    assert store.at("a", 27).plain()["theirs"] == 2
    theirs.close()
    ours.close()


def landed(row: RecordRow | None, sealed: Sealed, site: Site, head: Head) -> bool:
    steps = has_landed(site, head, "main", sealed)
    request = next(steps)
    assert isinstance(request, ReadRecords)
    assert (request.first, request.last) == (sealed.number, sealed.number)
    with pytest.raises(StopIteration) as stop:
        steps.send((row,) if row is not None else ())
    assert isinstance(stop.value.value, bool)
    return stop.value.value


def test_a_record_that_was_packed_meanwhile_is_known_to_have_landed_P4() -> None:
    backend, _ = saved()
    site = Site(backend.connect().store_id, "a")
    head = run(backend, read_head(site))
    records = run(backend, read_run(site, head, head.branches["main"], 1, SAVES))
    mine = records[9]
    sealed = Sealed(0, 10, mine.id, mine.time_us, mine.parent, mine.hash, b"as it was sent")
    pack = pack_of(site, head, records[5:15])
    (single,) = backend.perform(ReadRecords(head.incarnation, 0, 10, 10, 1))
    other = replace(sealed, hash=b"another" + mine.hash[7:])
    assert landed(pack, sealed, site, head)
    assert landed(single, sealed, site, head)
    assert not landed(pack, other, site, head)
    assert not landed(single, other, site, head)
    assert not landed(None, sealed, site, head)
    with pytest.raises(errors.Damaged):
        landed(replace(pack, blob=pack.blob[:-1] + b"x"), sealed, site, head)


# ---- damage ---------------------------------------------------------------------------------


HARMS: dict[str, Callable[[RecordRow, RecordRow], list[RecordRow]]] = {
    "the older is missing": lambda old, new: [new],
    "the newer is missing": lambda old, new: [old],
    "one is there twice": lambda old, new: [old, new, old],
    "one counts fewer": lambda old, new: [replace(old, count=9), new],
    "one counts more": lambda old, new: [old, replace(new, count=11)],
    "one counts none": lambda old, new: [replace(old, count=0), new],
    "one counts less than none": lambda old, new: [replace(old, count=-3), new],
    "one says to be a record": lambda old, new: [replace(old, count=1), new],
    "one byte changed": lambda old, new: [
        old,
        replace(new, blob=new.blob[:-1] + bytes([new.blob[-1] ^ 1])),
    ],
    "one in another's place": lambda old, new: [old, replace(new, blob=old.blob)],
}


@pytest.mark.parametrize("name", HARMS)
def test_damaged_packs_are_reported_and_touch_no_other_state_P5(name: str) -> None:
    backend, store = saved()
    store.copy("a", "b")
    backend.pack("a", [10, 10])
    (incarnation,) = [each for each, packs in backend.packs.items() if packs]
    backend.packs[incarnation] = HARMS[name](*backend.packs[incarnation])
    for read in (store.open, store.sessions, store.history, store.stats):
        with pytest.raises(errors.Damaged):
            read("a")
    with pytest.raises(errors.Damaged):
        store.at("a", 15)
    assert [(each.key, each.ok) for each in store.verify()] == [("a", False), ("b", True)]


def test_a_pack_of_another_past_does_not_fit_the_chain_P5() -> None:
    """Its tag is right, as that of a record put there by somebody who can compute it."""
    backend, store = saved()
    backend.pack("a", [10, 10])
    ((incarnation, packs),) = backend.packs.items()
    site = Site(backend.connect().store_id, "a")
    head = run(backend, read_head(site))
    records = run(backend, read_run(site, head, head.branches["main"], 11, 20))
    records[4] = replace(records[4], salt=b"other" + records[4].salt[5:])
    backend.packs[incarnation] = [packs[0], pack_of(site, head, records)]
    for read in (store.open, store.history, store.stats):
        with pytest.raises(errors.Damaged, match="not the one that its chain names"):
            read("a")
    assert [each.ok for each in store.verify("a")] == [False]


def test_rows_outside_of_what_is_asked_for_are_not_opened() -> None:
    backend, _ = saved()
    backend.pack("a", [6] * 4)
    ((incarnation, packs),) = backend.packs.items()
    rows = [replace(row, blob=b"broken") for row in packs]
    rows[1] = packs[1]
    site = Site(backend.connect().store_id, "a")
    assert [each.number for each in site.run(incarnation, rows, 8, 10)] == [8, 9, 10]
    assert [each.number for each in site.run(incarnation, rows, 7, 12)] == list(range(7, 13))
    for first, last in ((6, 7), (12, 13)):
        with pytest.raises(errors.Damaged):
            site.run(incarnation, rows, first, last)
