"""What took the place of what was redacted is bound by the receipt, all else by the chain (P5)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.pruned import require_sound

import perdure
from perdure import errors
from perdure.core import seal
from perdure.core.changes import Set, pack_changes
from perdure.core.codec import pack
from perdure.core.journal import JOURNAL_LINE
from perdure.core.record import Record, leaf_of, opening, seal_again
from perdure.core.redacted import kept_leaf, with_leaf
from perdure.core.seal import Place
from perdure.engine import redactions
from perdure.engine.read import Site, read_head
from perdure.engine.redactions import receipts
from perdure.engine.requests import ReadRecords, RecordRow, Reseal, Resealed

MAIL = "alice@example.com"
REDACTED = 0x0800


@pytest.fixture
def store() -> Iterator[perdure.Store]:
    """Three checkpoints, of which the second is redacted."""
    with perdure.Store("memory:", maintenance="off") as made:
        with made.open("a") as session:
            for number, text in enumerate(("hello", MAIL, "bye")):
                session.state["n"], session.state["text"] = number, text
                session.save()
        made.redact("a", match=MAIL)
        require_sound(made)
        yield made


def rows(store: perdure.Store, line: int = 0) -> list[RecordRow]:
    incarnation = head(store).incarnation
    found: tuple[RecordRow, ...] = store._driver.answer(
        ReadRecords(incarnation, line, 1, 100, 10**6)
    )
    return list(found)


def head(store: perdure.Store) -> Any:
    return store._driver.run(read_head(Site(store._driver.store_id, "a")))


def record(store: perdure.Store, number: int) -> Record:
    site = Site(store._driver.store_id, "a")
    (found,) = site.records(head(store).incarnation, rows(store)[number - 1])
    return found


def put(store: perdure.Store, found: Record) -> None:
    """Put a record in the place of another, sealed as anybody can without a key."""
    incarnation, store_id = head(store).incarnation, store._driver.store_id
    new = seal_again(found, store=store_id, incarnation=incarnation, parent=found.parent)
    old = rows(store)[found.number - 1]
    row = RecordRow(found.line, found.number, new.blob)
    assert store._driver.answer(Reseal(incarnation, (Resealed(old.blob, row),))) == 1
    if store._driver.cache is not None:
        store._driver.cache.clear()


def other(store: perdure.Store, number: int) -> Record:
    """A record that says it was redacted, keeps its leaf, and says something else."""
    found = record(store, number)
    place = Place(store._driver.store_id, head(store).incarnation, 0, number)
    start = opening(found.id, found.time_us, found.session)
    said = start + pack_changes([Set(("text",), "forged")]) + pack(found.extra)
    return replace(found, canonical=with_leaf(said, leaf_of(place, found.salt, found.canonical)))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_no_receipt_tells_of_is_found_P5(store: perdure.Store, number: int) -> None:
    chain = [each.hash for each in store.history("a")]
    put(store, other(store, number))
    assert [each.hash for each in store.history("a")] == chain  # which the chain cannot tell
    assert store.at("a", number)["text"] == "forged"
    (found,) = store.verify("a")
    assert found.problem is not None
    assert f"record {number} on line 0" in found.problem
    assert "no receipt" in found.problem


def test_another_salt_is_found_too(store: perdure.Store) -> None:
    put(store, replace(record(store, 2), salt=bytes(16)))
    (found,) = store.verify("a")
    assert "no receipt" in str(found.problem)


def test_another_leaf_breaks_the_chain_P5(store: perdure.Store) -> None:
    found = record(store, 2)
    put(store, replace(found, canonical=found.canonical[:-32] + bytes(32)))
    with pytest.raises(errors.Damaged):
        store.at("a", 3)
    assert not store.verify("a")[0].ok


def test_a_record_that_keeps_no_leaf_is_damaged(store: perdure.Store) -> None:
    found = record(store, 2)
    assert kept_leaf(found.canonical) is not None
    place = Place(store._driver.store_id, head(store).incarnation, 0, 2)
    with pytest.raises(errors.Damaged, match="does not keep its leaf"):
        leaf_of(place, found.salt, found.canonical[:-1])


def test_redacted_records_of_the_journal_are_told_of_as_well(store: perdure.Store) -> None:
    store.fork("a", "for-alice")
    store.delete_branch("a", "for-alice")
    store.redact("a", match="alice", reason="why")
    flags = [int.from_bytes(row.blob[6:8], "big") & REDACTED for row in rows(store, JOURNAL_LINE)]
    assert flags == [0, REDACTED, REDACTED, 0]
    require_sound(store)
    store.redact("a", match="why")  # of the receipt before: it still tells of the others
    assert store.movements("a")[1].reason == "[redacted]"
    require_sound(store)


def test_the_path_that_a_receipt_told_of_is_redacted_too(store: perdure.Store) -> None:
    def paths() -> str:
        site = Site(store._driver.store_id, "a")
        return repr([each.receipt.path for each in store._driver.run(receipts(site, head(store)))])

    with store.open("a") as session:
        session.state["of_bob"] = 1
    store.redact("a", path="of_bob")
    assert "of_bob" in paths()
    store.redact("a", match="bob")
    assert "bob" not in paths()
    require_sound(store)


def test_the_salt_of_what_was_there_is_forgotten_P8(store: perdure.Store) -> None:
    """With it, a guess of what was there could be tried by the hash, which stays."""
    kept, changed = record(store, 1), record(store, 3)
    store.redact("a", match="bye")
    assert record(store, 1).salt == kept.salt
    assert record(store, 3).salt != changed.salt


def test_an_earlier_version_refuses_it_by_name_P10(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [int.from_bytes(row.blob[6:8], "big") & REDACTED for row in rows(store)]
    assert flags == [0, REDACTED, 0]
    monkeypatch.setattr(seal, "REDACTED", 0)
    with pytest.raises(errors.NewerFormat, match=r"record 2 on line 0.*flags 0x0800"):
        store.at("a", 3)


def test_a_file_whose_receipts_do_not_tell_is_not_imported_P5(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    site = Site(store._driver.store_id, "a")
    told = store._driver.run(redactions.receipts(site, head(store)))
    line, first, leaves = told[0].receipt.leaves[0]
    wrong = replace(told[0].receipt, leaves=((line, first, bytes(len(leaves))),))
    for false in ([], [replace(told[0], receipt=wrong)]):

        def receipts(*_: object, false: Any = false) -> Any:
            yield from ()
            return false

        monkeypatch.setattr(redactions, "receipts", receipts)
        file.seek(0)
        store.export("a", file)
        file.seek(0)
        with perdure.Store("memory:") as copy:
            with pytest.raises(errors.Damaged, match="checkpoint 2 says that it was redacted"):
                copy.import_(file)
            assert copy.states() == []
