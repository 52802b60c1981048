"""Damage and tampering behind the store's back are met on the read path (P5, plain stores)."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import errors


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
