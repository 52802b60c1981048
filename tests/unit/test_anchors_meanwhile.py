"""What others do while a store with an anchor reads: none of it is taken for an older copy (P5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.unit.overtaken import Overtaken

import perdure
from perdure.anchors import FileAnchor
from perdure.engine.requests import ListHeads, ReadHead, ReadState
from perdure.errors import Tampered

KEY = "support/alice"


class Two:
    """A store whose reads others overtake, and the others; both with one anchor."""

    def __init__(self, path: Path) -> None:
        self.name = name = uuid4().hex
        self.anchor = path / "safe.anchor"
        self.backend = Overtaken(name)
        self.store = perdure.Store(self.backend, anchor=self.anchor, maintenance="off")
        self.others = perdure.Store(f"memory:{name}", anchor=self.anchor, maintenance="off")

    def save(self, number: int, key: str = KEY) -> None:
        """Let the others save."""
        with self.others.open(key) as session:
            session.state["n"] = number

    def close(self) -> None:
        self.store.close()
        self.others.close()


@pytest.fixture
def two(tmp_path: Path) -> Any:
    made = Two(tmp_path)
    made.save(1)
    made.save(1, "other")
    yield made
    made.close()


def test_a_list_that_is_older_than_the_mark_by_now_hides_nothing(two: Two) -> None:
    two.backend.kinds, two.backend.after = (ListHeads,), lambda: two.save(2)
    assert {each.key: each.status for each in two.store.states()} == {
        KEY: "closed",
        "other": "closed",
    }
    assert two.backend.after is None
    assert two.store.info(KEY).number == 2


def test_a_state_that_is_erased_while_it_is_listed_is_not_missed_afterwards_P8(two: Two) -> None:
    two.backend.kinds, two.backend.after = (ListHeads,), lambda: two.others.erase(KEY)
    two.store.states()
    assert two.backend.after is None
    assert KEY not in FileAnchor(two.anchor).names()
    assert KEY.encode() not in two.anchor.read_bytes()
    for store in (two.store, two.others):
        assert [each.key for each in store.states()] == ["other"]
        with pytest.raises(perdure.errors.StateNotFound):
            store.info(KEY)
    two.save(7)
    assert two.store.at(KEY, "main")["n"] == 7


@pytest.mark.parametrize("kind", [ReadHead, ReadState])
def test_a_state_that_is_erased_while_it_is_looked_for_is_not_there(two: Two, kind: Any) -> None:
    two.backend.kinds, two.backend.before = (kind,), lambda: two.others.erase(KEY)
    with pytest.raises(perdure.errors.StateNotFound):
        two.store.open(KEY, must_exist=True) if kind is ReadState else two.store.info(KEY)
    assert two.backend.before is None


def test_a_state_that_is_only_kept_from_it_is_not_forgotten_P5(two: Two) -> None:
    with (
        perdure.Store(f"memory:{two.name}", maintenance="off") as store,
        store.open(KEY) as session,
    ):
        session.state["n"] = 2  # newer than its mark
    two.backend.kinds = (ReadHead,)
    two.backend.after = lambda: setattr(two.backend, "hides", True)
    assert two.store.info(KEY).number == 2
    assert not two.backend.hides
    assert KEY in FileAnchor(two.anchor).names()
    two.backend.hides = True
    with pytest.raises(Tampered, match="No erasure of it is on record"):
        two.store.info(KEY)
