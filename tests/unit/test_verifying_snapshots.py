"""`verify` holds every snapshot against the records, however it goes about it (P6)."""

import pytest
from msgspec.structs import replace

import perdure
from perdure import limits
from perdure.core import tree
from perdure.core.cut import Bounds
from perdure.core.head import Head, Snapshot
from perdure.core.head_bytes import open_head, seal_head
from perdure.core.seal import Kind, Place, seal
from perdure.core.tree import build
from perdure.engine.pages import put
from perdure.engine.read import Site
from perdure.engine.requests import Commit, HeadRow, PageRow, PutPages, ReadHead
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


def put_pages(store: perdure.Store, pages: dict[bytes, bytes]) -> None:
    """Store these payloads as pages of the state, sealed as they should be."""
    backend, head = store._driver.backend, head_of(store)
    site = Site(backend.connect().store_id, KEY)
    for request in put(site, head.incarnation, pages):
        if isinstance(request, PutPages):
            backend.perform(request)


def test_a_tree_of_the_right_content_that_is_cut_elsewhere_is_found(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = head_of(store)
    kept = head.branches["main"].snapshots
    assert kept is not None
    for snapshot in (kept[0], kept[2], kept[-1]):
        at = kept.index(snapshot)
        with monkeypatch.context() as patch:
            patch.setattr(tree, "LEAVES", Bounds(4_000, 8_000, 16_000))
            other = build(store.at(KEY, snapshot.number).plain(), head.secret)
        assert other.root != snapshot.root
        put_pages(store, other.pages)
        keep_instead(store, (*kept[:at], replace(snapshot, root=other.root), *kept[at + 1 :]))
        [found] = store.verify(KEY)
        assert not found.ok
        assert found.problem is not None
        assert f"the snapshot at checkpoint {snapshot.number} of" in found.problem
        keep_instead(store, kept)
        [again] = store.verify(KEY)
        assert again.ok


def test_a_page_sealed_as_it_should_be_that_holds_something_else_is_found_and_made_anew(
    store: perdure.Store,
) -> None:
    backend, head = store._driver.backend, head_of(store)
    newest = head.branches["main"].newest
    assert newest is not None
    built = build(store.at(KEY, newest.number).plain(), head.secret)
    assert built.root == newest.root
    own = next(id_ for id_, payload in built.pages.items() if b"xxxx" in payload)
    place = Place(backend.connect().store_id, head.incarnation, page=own)
    wrong = PageRow(own, seal(Kind.PAGE, place, built.pages[own].replace(b"xxxx", b"yyyy", 1)))
    backend.perform(PutPages(head.incarnation, (wrong,)))
    [found] = store.verify(KEY)
    assert not found.ok
    assert found.problem is not None
    assert f"page {own.hex()[:12]} of" in found.problem
    assert "does not hold what its id says" in found.problem
    assert {each.remedy for each in found.damage} == {"repair"}
    [mended] = store.verify(KEY, repair=True, backup=False)
    assert mended.ok and mended.mended
