"""Erasing one life of several in an object store: the head object is of all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import perdure
from perdure.backends.bucket import head_name
from perdure.backends.objects import ObjectBackend

KEY = "support/alice"


@pytest.fixture
def backend() -> ObjectBackend:
    return ObjectBackend()


@pytest.fixture
def store(backend: ObjectBackend) -> Iterator[perdure.Store]:
    with perdure.Store(backend, maintenance="off") as store:
        yield store


def live(store: perdure.Store, name: str, *, notes: int = 0) -> None:
    with store.open(KEY) as session:
        session.state["name"] = name
        session.save()
        for number in range(notes):  # more than stands in the head object
            session.state[f"note {number}"] = f"{name} " * 20_000
            session.save()
    if notes:
        store.maintain(KEY)


def head_of(backend: ObjectBackend) -> bytes:
    found = backend._bucket.get(head_name(KEY))
    assert found is not None
    return found[1]


@pytest.mark.parametrize("notes", [0, 20], ids=["inline", "segments"])
def test_the_head_object_says_nothing_of_a_life_that_was_erased_P8(
    store: perdure.Store, backend: ObjectBackend, notes: int
) -> None:
    for name in ("first", "second", "third"):
        live(store, name, notes=notes)
        if name != "third":
            store.delete(KEY)
    gone = store.erase(KEY, life=2, dry_run=True).lives[0].incarnation
    assert bytes.fromhex(gone) in head_of(backend)
    store.erase(KEY, life=2)
    assert bytes.fromhex(gone) not in head_of(backend)
    assert store.at(KEY, "main")["name"] == "third"
    assert all(each.ok for each in store.verify())
