"""Damage and tampering behind the store's back are met on the read path (P5, plain stores)."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import errors
from perdure.core.changes import pack_changes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with two states of five checkpoints each."""
    path = tmp_path / "agents.db"
    with perdure.Store(path) as store:
        for key in ("a", "b"):
            with store.open(key) as session:
                for n in range(5):
                    session.state["n"] = n
                    session.state.setdefault("messages", []).append(f"message {n} of {key}")
                    session.save()
    return path


def tamper(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            changed = connection.execute(statement).rowcount
            assert changed > 0, statement
    connection.close()


A = "(SELECT incarnation FROM heads WHERE CAST(key AS TEXT) = 'a')"
B = "(SELECT incarnation FROM heads WHERE CAST(key AS TEXT) = 'b')"

TAMPERINGS = {
    "a record's last byte changed": [
        (
            "UPDATE records SET blob = CAST(substr(blob, 1, length(blob) - 1) || x'00' AS BLOB) "
            f"WHERE incarnation = {A} AND number = 3"
        )
    ],
    "the tail cut off": [f"DELETE FROM records WHERE incarnation = {A} AND number = 5"],
    "the front cut off": [f"DELETE FROM records WHERE incarnation = {A} AND number = 1"],
    "the middle deleted": [f"DELETE FROM records WHERE incarnation = {A} AND number = 3"],
    "two records exchanged": [
        f"UPDATE records SET number = 30 WHERE incarnation = {A} AND number = 3",
        f"UPDATE records SET number = 3 WHERE incarnation = {A} AND number = 2",
        f"UPDATE records SET number = 2 WHERE incarnation = {A} AND number = 30",
    ],
    "a record from another state": [
        (
            f"UPDATE records SET blob = (SELECT blob FROM records WHERE incarnation = {B} "
            f"AND number = 3) WHERE incarnation = {A} AND number = 3"
        )
    ],
    "an older record in place of a newer": [
        (
            f"UPDATE records SET blob = (SELECT blob FROM records WHERE incarnation = {A} "
            f"AND number = 3) WHERE incarnation = {A} AND number = 4"
        )
    ],
    "a record emptied": [f"UPDATE records SET blob = x'' WHERE incarnation = {A} AND number = 3"],
    "another state's head": [
        (
            "UPDATE heads SET (token, head, incarnation) = (SELECT token, head, incarnation "
            "FROM heads WHERE CAST(key AS TEXT) = 'b') WHERE CAST(key AS TEXT) = 'a'"
        )
    ],
    "the head's token changed": [
        "UPDATE heads SET token = zeroblob(16) WHERE CAST(key AS TEXT) = 'a'"
    ],
    "the head's tail shortened": ["UPDATE heads SET after = 2 WHERE CAST(key AS TEXT) = 'a'"],
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_reported_and_touches_no_other_state_P5(path: Path, name: str) -> None:
    tamper(path, *TAMPERINGS[name])
    with perdure.Store(path) as store:
        with pytest.raises(errors.Damaged, match=r"'a'|of [0-9a-f]{12}"):
            store.open("a")
        assert store.open("b").state["n"] == 4
        assert [found.ok for found in store.verify("b")] == [True]


def test_a_history_page_is_checked_against_the_head(path: Path) -> None:
    tamper(
        path,
        f"UPDATE records SET blob = (SELECT blob FROM records WHERE incarnation = {A} "
        f"AND number = 4) WHERE incarnation = {A} AND number = 5",
    )
    with perdure.Store(path) as store:
        with pytest.raises(errors.Damaged):
            store.history("a", limit=1)
        (found,) = store.verify("a")
        assert not found.ok
        assert found.problem is not None
        assert found.problem.startswith("damaged: ")


def test_a_flipped_byte_anywhere_is_never_a_wrong_value(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    with perdure.Store(path) as store:
        expected = {key: store.at(key, 5).plain() for key in ("a", "b")}
    chosen = random.Random(7)
    reported = 0
    for at in chosen.sample(range(100, len(whole)), 150):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << chosen.randrange(8)
        copy = tmp_path / "copy.db"
        copy.write_bytes(flipped)
        reported += _reads_right_or_refuses(copy, expected)
        for leftover in tmp_path.glob("copy.db*"):
            leftover.unlink()
    assert reported > 10


def _reads_right_or_refuses(copy: Path, expected: dict[str, dict[str, Any]]) -> bool:
    refused = False
    with perdure.Store(copy) as store:
        for key, value in expected.items():
            try:
                assert store.at(key, 5).plain() == value
            except (errors.NeedsPerson, errors.StateNotFound):
                refused = True
    return refused


# ---- among other states ---------------------------------------------------------------------

OF_A = "WHERE CAST(key AS TEXT) = 'a'"
HEADS = {
    "one byte changed": (
        "UPDATE heads SET head = CAST(substr(head, 1, length(head) - 1) || CASE "
        "WHEN substr(head, -1) = x'00' THEN x'01' ELSE x'00' END AS BLOB) " + OF_A
    ),
    "emptied": "UPDATE heads SET head = x'' " + OF_A,
    "turned into text": "UPDATE heads SET head = CAST('caf' || x'e9' AS TEXT) " + OF_A,
    "turned into a number": "UPDATE heads SET head = 17 " + OF_A,
    "token turned into a number": "UPDATE heads SET token = 17 " + OF_A,
    "token turned into text": "UPDATE heads SET token = CAST(x'e9' AS TEXT) " + OF_A,
}


@pytest.mark.parametrize("name", HEADS)
def test_a_damaged_head_is_listed_among_the_others(path: Path, name: str) -> None:
    tamper(path, HEADS[name])
    with perdure.Store(path) as store:
        damaged, sound = store.states()
        assert (damaged.key, damaged.status, damaged.number) == ("a", "damaged", 0)
        assert damaged.problem is not None
        assert damaged.problem.startswith("damaged: head of 'a'")
        assert sound == store.info("b")
        assert (sound.status, sound.problem, sound.number) == ("closed", None, 5)
        assert store.states(limit=1) == [damaged]
        assert store.states(limit=1, after="a") == [sound]
        assert store.states(deleted=True) == []
        found = store.verify()
        assert [(each.key, each.ok, each.problem) for each in found] == [
            ("a", False, damaged.problem),
            ("b", True, None),
        ]
        assert store.verify("a") == found[:1]
        for ask in (store.info, store.open, store.history, store.delete):
            with pytest.raises(errors.Damaged):
                ask("a")


def test_a_damaged_head_is_listed_by_an_async_store(path: Path) -> None:
    tamper(path, HEADS["emptied"])

    async def statuses() -> list[str]:
        async with perdure.AsyncStore(path) as store:
            return [info.status for info in await store.states()]

    assert asyncio.run(statuses()) == ["damaged", "closed"]


def test_a_damaged_key_is_a_damaged_state_of_another_name(path: Path) -> None:
    tamper(path, "UPDATE heads SET key = x'61ff' " + OF_A)
    with perdure.Store(path) as store:
        assert [info.status for info in store.states()] == ["damaged", "closed"]
        (odd,) = store.states(limit=1)
        assert odd.key.encode(errors="surrogateescape") == b"a\xff"
        assert [info.key for info in store.states(after=odd.key)] == ["b"]
        assert [found.ok for found in store.verify()] == [False, True]


@pytest.mark.parametrize("key", ["x'ff61'", "x'ffffff'"])
def test_a_key_that_is_no_text_hides_no_head(path: Path, key: str) -> None:
    tamper(path, f"UPDATE heads SET key = {key} WHERE key = x'61'")
    with perdure.Store(path) as store:
        assert "damaged" in [info.status for info in store.states()]
        assert [found.ok for found in store.verify()].count(False) == 1


def test_a_key_of_another_type_is_a_damaged_state(path: Path) -> None:
    with perdure.Store(path) as store:
        keys = [info.key for info in store.states()]
    tamper(path, "UPDATE heads SET key = CAST(key AS TEXT) WHERE key = x'61'")
    with perdure.Store(path) as store:
        found = {info.key: info.status for info in store.states()}
        assert list(found) == keys
        assert found["a"] == "damaged"
        paged = [store.states(limit=1, after=after)[0].key for after in (None, *keys[:-1])]
        assert paged == keys
        assert [each.key for each in store.verify() if not each.ok] == ["a"]
        for ask in (store.open, store.info, store.history):
            with pytest.raises(errors.Damaged):
                ask("a")


def test_the_head_of_a_newer_version_hides_no_other_P10(path: Path) -> None:
    """The fifth byte is the format."""
    tamper(
        path,
        "UPDATE heads SET head = CAST(substr(head, 1, 4) || x'63' || substr(head, 6) AS BLOB) "
        + OF_A,
    )
    with perdure.Store(path) as store:
        newer, sound = store.states()
        assert (newer.status, sound.status) == ("newer-format", "closed")
        assert newer.problem is not None
        assert newer.problem.startswith("newer-format: ")


@pytest.mark.parametrize("value", ["17", "'text'", "CAST(x'e9' AS TEXT)"])
def test_a_record_of_another_type_is_damage(path: Path, value: str) -> None:
    tamper(path, f"UPDATE records SET blob = {value} WHERE incarnation = {A} AND number = 3")
    with perdure.Store(path) as store:
        with pytest.raises(errors.Damaged):
            store.open("a")
        assert [found.ok for found in store.verify()] == [False, True]


def save_what_does_not_apply(store: perdure.Store, key: str) -> None:
    """Two checkpoints; the second would splice a number."""
    with store.open(key) as session:
        session.state["n"] = 1
        session.save()
        session.state["n"] = 2
        with pytest.MonkeyPatch.context() as patch:
            wrong = pack_changes([perdure.Splice(("n",), 0, 0, ["x"])])
            patch.setattr("perdure.engine.capturing.pack_changes", lambda _: wrong)
            session.save()


def test_a_checkpoint_that_does_not_apply_is_found_in_a_deleted_life_too_P5(path: Path) -> None:
    """Its tag and its links are right: it was written so."""
    with perdure.Store(path) as store:
        save_what_does_not_apply(store, "c")
        (found,) = store.verify("c")
        assert found.problem is not None
        assert found.problem.startswith("replay-mismatch: checkpoint 2 ")
        store.delete("c")
        assert [each.problem for each in store.verify("c")] == [found.problem]
        with store.open("c") as session:
            session.state["n"] = 1
        assert [(each.ok, each.problem) for each in store.verify("c")] == [(False, found.problem)]
