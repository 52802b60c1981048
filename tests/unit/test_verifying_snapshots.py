"""`verify` holds every snapshot against the records, however it goes about it (P6)."""

import pytest
from msgspec.structs import replace

import perdure
from perdure import limits
from perdure.core.head import Head, Snapshot, open_head, seal_head
from perdure.engine.requests import Commit, HeadRow, ReadHead
from perdure.engine.save import tail_of

KEY = "agent"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> perdure.Store:
    """A store with a state of which several snapshots are kept, each a little after the last."""
    monkeypatch.setattr(limits, "tail_records_max", 2)
    store = perdure.Store("memory:", maintenance="off")
    with store.open(KEY) as session:
        session.state["messages"] = [{"turn": turn, "text": "x" * 200} for turn in range(400)]
    for turn in range(9):
        with store.open(KEY) as session:
            session.state["messages"].append({"turn": turn, "text": f"more {turn}"})
        store.maintain(KEY)
    return store


def head_of(store: perdure.Store) -> Head:
    backend = store._driver.backend
    row = backend.perform(ReadHead(KEY))
    return open_head(row.blob, store=backend.connect().store_id, key=KEY)


def keep_instead(store: perdure.Store, snapshots: tuple[Snapshot, ...]) -> None:
    """Let the head name these snapshots."""
    backend, head = store._driver.backend, head_of(store)
    main = replace(head.branches["main"], snapshots=snapshots)
    newer = replace(head, token=b"another token 16", branches={"main": main})
    blob = seal_head(newer, store=backend.connect().store_id, key=KEY)
    row = HeadRow(newer.token, blob)
    backend.perform(Commit(KEY, head.token, row, tail_of(newer)))


def test_each_snapshot_that_is_not_what_its_records_give_is_found(store: perdure.Store) -> None:
    kept = head_of(store).branches["main"].snapshots
    assert kept is not None and len(kept) >= 4
    [whole] = store.verify(KEY)
    assert whole.ok
    for at, snapshot in enumerate(kept):
        # A tree of this very state, and all of its pages are whole: it is that of another moment.
        other = kept[at - 1].root
        keep_instead(store, (*kept[:at], replace(snapshot, root=other), *kept[at + 1 :]))
        [found] = store.verify(KEY)
        assert not found.ok
        assert found.problem is not None
        assert f"the snapshot at checkpoint {snapshot.number} of" in found.problem
        keep_instead(store, kept)
        [again] = store.verify(KEY)
        assert again.ok
