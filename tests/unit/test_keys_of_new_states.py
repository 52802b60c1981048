"""A state that is made has its data key stored with it, however often its first save is sent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.keyed import ROOT, filled, next_commit

from perdure import Store
from perdure.backends.memory import MemoryBackend
from perdure.core.head import Head
from perdure.core.head_bytes import open_head, seal_head
from perdure.engine.requests import (
    Commit,
    Committed,
    HeadRow,
    Moved,
    PutKey,
    ReadHead,
    ReadKeys,
    Tail,
)
from perdure.errors import CommitUnknown, Erased, Tampered


class Unsure(MemoryBackend):
    """One of whose commits so many get lost on their way."""

    lost = 0

    def commit(self, batch: Sequence[Commit]) -> list[Any]:
        if self.lost:
            self.lost -= 1
            raise CommitUnknown("the request was lost")
        return super().commit(batch)


@pytest.mark.parametrize("lost", [1, 9])
def test_a_state_whose_first_save_got_lost_has_its_key_P1(lost: int) -> None:
    """With 9 of them the save itself raises `CommitUnknown`, and the next one sends it again."""
    backend = Unsure()
    with Store(backend, key=ROOT, maintenance="off") as store, store.open("a") as session:
        session.state["n"] = 1
        backend.lost = lost
        with suppress(CommitUnknown):
            session.save()
        session.save()
        keyed(store).renew()  # as in a new process: nothing is at hand
        assert store.at("a", "main").plain() == {"n": 1}


def test_one_made_in_a_batch_that_was_taken_apart_has_its_key_P1(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    filled(url)
    with Store(url, key=ROOT, maintenance="off") as store:
        bad, backend = next_commit(store, "MARK-one"), keyed(store)
        (row,) = backend.inner.perform(ReadKeys((bad.tail.incarnation,)))
        assert backend.inner.perform(PutKey(row.owner, row.blob, b"no row"))
        backend._keys.clear()
        new = founding(backend, "new")
        outcomes = backend.commit([new, bad])
        assert outcomes[0] == Committed()
        assert isinstance(outcomes[1], Tampered)
        assert len(backend.inner.perform(ReadKeys((new.tail.incarnation,)))) == 1


def test_who_comes_late_leaves_no_key_of_what_was_erased_P8() -> None:
    """Where keys are apart, they are put before the commit that is refused then."""
    apart = MemoryBackend()
    with Store("memory:late", key=ROOT, keys_url=apart, maintenance="off") as store:
        with store.open("a") as session:
            session.state["n"] = 1
        late, backend = next_commit(store, "a"), keyed(store)
        store.erase("a")
        there = set(apart._tables.keys)
        assert backend.perform(late) == Moved(None)
        assert set(apart._tables.keys) == there
        with pytest.raises(Erased):
            backend.perform(replace(late, expect=None))
        assert set(apart._tables.keys) == there


def test_a_key_stays_where_a_head_is_missing_and_nothing_was_erased() -> None:
    """What damage left of the state may yet be recovered, with its key."""
    apart = MemoryBackend()
    with Store("memory:missing", key=ROOT, keys_url=apart, maintenance="off") as store:
        with store.open("a") as session:
            session.state["n"] = 1
        late, there = next_commit(store, "a"), set(apart._tables.keys)
        MemoryBackend("missing")._tables.heads.clear()
        assert keyed(store).perform(late) == Moved(None)
        assert set(apart._tables.keys) == there


def test_of_two_that_make_one_life_the_loser_reads_what_the_other_made() -> None:
    with Store("memory:two", key=ROOT) as one, Store("memory:two", key=ROOT) as two:
        first, second = keyed(one), keyed(two)
        new = founding(first, "a")
        second.connect()
        second._sealed(new)  # by a key that was drawn before the other's was there
        assert first.perform(new) == Committed()
        place = {"store": first.connect().store_id, "key": "a"}
        assert open_head(second.perform(ReadHead("a")).blob, **place).created_us == 7
        moved = second.perform(founding(second, "a"))
        assert open_head(moved.head.blob, **place).created_us == 7


def keyed(store: Store) -> Any:
    """The layer that encrypts."""
    return store._driver.backend


def founding(backend: Any, key: str) -> Commit:
    """The commit that makes a state."""
    owner, token = bytes(range(16)), os.urandom(16)
    head = Head(owner, 7, 7, token)
    row = HeadRow(token, seal_head(head, store=backend.connect().store_id, key=key))
    return Commit(key, None, row, Tail(owner, 0, 0))
