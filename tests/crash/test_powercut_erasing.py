"""The power goes while a state is erased or redacted: it is done or not, and done again it ends.

That is tried after every operation of the disk. Once it was answered no cut undoes it (P8).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import Store
from perdure.backends.sqlite import SqliteBackend
from perdure.errors import StateNotFound
from perdure.testing.powercut import PowerCut
from perdure.testing.sim_stores import small_world

ROOT = bytes(range(32))
KEY, OTHER, MARK = "support/alice", "support/bob", "MARK-alice"


def begun(path: Path, key: bytes | None) -> None:
    """Two states, one of which says what is to go."""
    with Store(path, key=key, maintenance="off") as store:
        for name, text in ((KEY, MARK), (OTHER, "kept")):
            with store.open(name) as session:
                for number in range(8):
                    session.state.setdefault("messages", []).append(f"{text} {number} " * 40)
                    session.save(label=f"{text}, label {number}")
            store.maintain(name)


def erase(store: Store) -> None:
    store.erase(KEY)


def redact(store: Store) -> None:
    store.redact(KEY, match=MARK)


def is_there(store: Store) -> bool:
    """Whether the state still says it; it is whole in any case."""
    try:
        state = store.at(KEY, "main").plain()
    except StateNotFound:
        return False
    assert len(state["messages"]) == 8
    found = [MARK in text for text in state["messages"]]
    assert all(found) or not any(found)
    return found[0]


@pytest.mark.parametrize("key", [None, ROOT], ids=["plain", "keyed"])
@pytest.mark.parametrize("work", [erase, redact], ids=["erase", "redact"])
def test_whenever_the_power_goes_it_is_done_or_not(
    work: Callable[[Store], None], key: bytes | None, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    path, cuts = tmp_path / "store.db", list[Path]()
    with small_world():
        begun(path, key)

        def cut(_operation: str) -> None:
            directory = tmp_path / f"cut-{len(cuts)}"
            directory.mkdir()
            disk.survivors(directory, seed=len(cuts))
            cuts.append(directory / path.name)

        with PowerCut() as disk:
            backend = SqliteBackend(str(path), vfs=disk.name)
            with Store(backend, key=key, maintenance="off") as store:
                disk.on_operation = cut
                work(store)
                cut("answered")
                disk.on_operation = None
        undone = 0
        for each in cuts:
            with Store(each, key=key, maintenance="off") as store:
                assert [found.problem for found in store.verify() if not found.ok] == []
                is_left = is_there(store)
                undone += is_left
                assert not (is_left and each == cuts[-1])
                work(store)
                assert not is_there(store)
                assert len(store.at(OTHER, "main")["messages"]) == 8
                assert all(found.ok for found in store.verify())
            left = b"".join(file.read_bytes() for file in each.parent.iterdir())
            assert MARK.encode() not in left
    tell(f"{len(cuts)} cuts, {undone} before it was done")
    assert 0 < undone < len(cuts)
