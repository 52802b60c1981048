"""What reads a state while it is pruned begins again: nothing is lost that was pruned."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import perdure
from perdure import Retention, errors
from perdure.core.refs import Ref
from perdure.engine import branches, maintain, moving, states
from perdure.engine.prune import prune
from perdure.engine.requests import ListHeld, ReadRecords, Stage, Steps

COUNT = 40
URLS = ("memory:", "memory+objects:")


@pytest.fixture(params=URLS)
def store(request: pytest.FixtureRequest) -> Iterator[perdure.Store]:
    with perdure.Store(request.param, maintenance="off") as made:
        with made.open("a") as session:
            for n in range(1, COUNT + 1):
                session.state["n"] = n
                session.save()
        yield made


def run(store: perdure.Store, steps: Steps[Any], at: type, what: Callable[[], object]) -> Any:
    """Run steps; others do `what` just before the first request of a kind."""
    answer: Any = None
    is_done = False
    try:
        while True:
            request = steps.send(answer)
            if not is_done and isinstance(request, at):
                is_done = True
                what()
            answer = store._driver.answer(request)
    except StopIteration as stop:
        assert is_done
        return stop.value


def pruning(store: perdure.Store, keep_last: int) -> Callable[[], object]:
    return lambda: store.prune(Retention(keep_last=keep_last), "a")


def test_a_copy_of_a_pruned_state_keeps_what_stands_in_for_its_past(store: perdure.Store) -> None:
    pruning(store, 3)()

    def discard() -> None:
        assert store._driver.run(maintain.discard_abandoned(store._driver.store_id)) == 0

    for kind in (Stage, perdure.engine.requests.Commit):
        steps = states.copy(store._site("a"), store._site(kind.__name__))
        run(store, steps, kind, discard)
        assert store.at(kind.__name__, COUNT).plain() == {"n": COUNT}
        assert store.verify(kind.__name__)[0].problem is None


def test_a_copy_begins_again(store: perdure.Store) -> None:
    run(store, states.copy(store._site("a"), store._site("b")), Stage, pruning(store, 3))
    with_records = states.copy(store._site("a"), store._site("c"))
    run(store, with_records, ReadRecords, pruning(store, 2))
    for key in "bc":
        assert store.at(key, COUNT).plain() == {"n": COUNT}
        assert store.verify(key)[0].problem is None
    assert store.unreferenced() == []


def test_two_prunings_at_once(store: perdure.Store) -> None:
    steps = prune(store._site("a"), Retention(keep_last=9), dry_run=False)
    told = run(store, steps, ReadRecords, pruning(store, 3))
    assert told.removed == 0
    assert [each.number for each in store.history("a")] == [COUNT, COUNT - 1, COUNT - 2]


@pytest.mark.parametrize("to", [20, "~5"])
def test_a_rollback_to_what_goes_is_told_so(store: perdure.Store, to: Ref) -> None:
    plan = branches.rolling_back(store._site("a"), to, "main")
    with pytest.raises(errors.CheckpointPruned):
        run(store, moving.move(store._site("a"), plan), ReadRecords, pruning(store, 3))


def test_an_export_says_that_it_was_pruned(store: perdure.Store) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("perdure.limits.read_bytes_max", 1)  # a record at a time
        is_first = iter([True])

        def progress(done: int, total: int) -> None:
            if next(is_first, False):
                pruning(store, 3)()

        with pytest.raises(errors.Busy, match="was pruned while"):
            store.export("a", io.BytesIO(), progress=progress)
    store.export("a", io.BytesIO())


def test_a_copy_that_was_removed_as_abandoned_is_not_made(store: perdure.Store) -> None:
    def discard() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("perdure.limits.staging_us_max", -(10**9))  # it slept for a day
            assert store._driver.run(maintain.discard_abandoned(store._driver.store_id)) == 1

    steps = states.copy(store._site("a"), store._site("b"))
    with pytest.raises(errors.Busy, match="abandoned"):
        run(store, steps, ListHeld, discard)
    assert [info.key for info in store.states()] == ["a"]


def test_an_import_that_was_removed_as_abandoned_is_not_made(store: perdure.Store) -> None:
    file = io.BytesIO()
    store.export("a", file)
    file.seek(0)

    def progress(done: int, total: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("perdure.limits.staging_us_max", -(10**9))
            store._driver.run(maintain.discard_abandoned(store._driver.store_id))

    with pytest.raises(errors.Busy, match="abandoned"):
        store.import_(file, "b", progress=progress)
    assert [info.key for info in store.states()] == ["a"]
