"""Merging saves that wait, whose answers are lost, or that others are faster than."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from tests.unit.merging import begin, elsewhere, is_as_stored, merging, stored

import perdure
from perdure import errors, limits
from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import Answer, Commit


class Meddling(MemoryBackend):
    """A backend in which something is done before a commit, or its answer lost after it."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Callable[[], object]] = []
        self.loses = False

    def commit(self, batch: Sequence[Commit]) -> list[Answer | errors.PerdureError]:
        if self.before:
            self.before.pop(0)()
        answers = super().commit(batch)
        if self.loses:
            return [errors.CommitUnknown("lost") for _ in answers]
        return answers


@pytest.fixture
def backend() -> Meddling:
    return Meddling()


@pytest.fixture
def meddled(backend: Meddling) -> Iterator[perdure.Store]:
    with perdure.Store(backend, maintenance="off") as store:
        begin(store)
        yield store


def test_a_lost_answer_is_settled_before_anything_is_merged_P4(
    backend: Meddling, meddled: perdure.Store
) -> None:
    session = merging(meddled, log="append")
    session.state["log"].append("ours")
    backend.loses = True
    with pytest.raises(errors.CommitUnknown):
        session.save()
    backend.loses = False
    elsewhere(meddled, lambda state: state["log"].append("theirs"))
    session.state["log"].append("more")
    session.save()
    assert stored(meddled)["log"] == ["begun", "ours", "theirs", "more"]
    assert is_as_stored(meddled, session)


def test_a_merge_whose_answer_was_lost_lands_once_P4(
    backend: Meddling, meddled: perdure.Store
) -> None:
    session = merging(meddled, log="append")
    elsewhere(meddled, lambda state: state["log"].append("theirs"))
    session.state["log"].append("ours")
    backend.before = [lambda: None, lambda: setattr(backend, "loses", True)]
    with pytest.raises(errors.CommitUnknown):
        session.save()
    assert session.state["log"] == ["begun", "theirs", "ours"]
    backend.loses = False
    checkpoint = session.save()
    assert checkpoint.number == 3
    assert checkpoint.merged is not None
    assert stored(meddled)["log"] == ["begun", "theirs", "ours"]
    assert is_as_stored(meddled, session)


def meddler(backend: Meddling) -> Callable[[], object]:
    """Saves to the same state, through a store of its own."""
    session = merging(perdure.Store(backend, maintenance="off"), log="append")

    def meddle() -> None:
        session.state["log"].append("theirs")
        session.save()

    return meddle


def test_who_comes_second_again_and_again_still_loses_nothing(
    backend: Meddling, meddled: perdure.Store
) -> None:
    meddle = meddler(backend)
    session = merging(meddled, log="append")
    session.state["log"].append("ours")
    backend.before = [meddle, lambda: None] * 5
    session.save()
    assert stored(meddled)["log"] == ["begun", *["theirs"] * 5, "ours"]
    assert is_as_stored(meddled, session)


def test_the_number_of_tries_is_bounded(
    backend: Meddling, meddled: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "merge_tries_max", 3)
    meddle = meddler(backend)
    session = merging(meddled, log="append")
    session.state["log"].append("ours")
    backend.before = [meddle, lambda: None] * 20
    with pytest.raises(errors.Busy, match="nothing was saved or lost"):
        session.save()
    backend.before = []
    session.save()
    assert stored(meddled)["log"] == ["begun", *["theirs"] * 4, "ours"]
    assert is_as_stored(meddled, session)


def test_saves_that_wait_keep_their_labels_and_metadata(
    backend: Meddling, meddled: perdure.Store
) -> None:
    session = merging(meddled, log="append")
    elsewhere(meddled, lambda state: [state["log"].append("theirs"), state["plan"].update(n=1)])
    for number in range(3):
        session.state["log"].append(number)
        session.state["facts"][f"f{number}"] = {"n": number}
        session.state["plan"][f"p{number}"] = number
        backend.loses = True
        backend.before = [_raising] * 20
        with pytest.raises(errors.StorageFull):
            session.save(label=f"save {number}", metadata={"n": number})
        backend.loses = False
    backend.before = []
    session.summary = "a summary"
    session.save()
    kept = meddled.history("a", limit=5, changes=True)
    assert [each.label for each in kept][-4:-1] == ["save 2", "save 1", "save 0"]
    assert [each.metadata for each in kept][-4:-1] == [{"n": 2}, {"n": 1}, {"n": 0}]
    assert [bool(each.merged) for each in kept] == [False, False, False, True, False]
    assert meddled.at("a", perdure.label("save 1"))["log"] == ["begun", "theirs", 0, 1]
    assert meddled.info("a").summary == "a summary"
    assert list(stored(meddled)["plan"]) == ["step", "n", "p0", "p1", "p2"]
    assert is_as_stored(meddled, session)


def _raising() -> None:
    raise errors.StorageFull("no room")
