"""`store.blame`: the checkpoint that last wrote a path."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import perdure
from perdure import errors, limits
from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import ReadPages, ReadRecords


@pytest.fixture
def store() -> Any:
    with perdure.Store("memory:", maintenance="off") as made:
        with made.open("a") as session:
            state = session.state
            state["plan"] = [
                {"text": "search", "status": "open"},
                {"text": "pay", "status": "open"},
            ]
            state["facts"] = {"3": "three"}
            session.save()  # 1
            state["plan"][1]["status"] = "done"
            session.save(label="paid")  # 2
            state["plan"].insert(0, {"text": "ask", "status": "open"})
            session.save()  # 3
            state["facts"]["city"] = "Lisbon"
            session.save()  # 4
        yield made


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("plan/2/status", 2),
        ("plan/-1/status", 2),
        (("plan", 2, "status"), 2),
        (["plan", -1, "status"], 2),
        ("plan/2/text", 1),
        ("plan/2", 2),
        ("plan/1", 1),
        ("plan/0/text", 3),
        ("plan", 3),
        ("facts/3", 1),
        ("facts", 4),
    ],
)
def test_who_last_wrote_a_path(store: perdure.Store, path: Any, number: int) -> None:
    found = store.blame("a", path)
    assert found == next(each for each in store.history("a") if each.number == number)
    store.maintain("a")
    assert store.blame("a", path) == found


def test_at_a_checkpoint_paths_are_those_of_then(store: perdure.Store) -> None:
    assert store.blame("a", "plan/1/status", at=2).label == "paid"
    assert store.blame("a", "plan/1/status", at=1).number == 1
    newest = store.history("a")[0]
    assert store.blame("a", "facts/city", at=newest.id[:12]) == newest


def test_the_async_store_says_the_same(store: perdure.Store) -> None:
    async def asked() -> perdure.Checkpoint:
        async with perdure.AsyncStore(store._driver.backend, maintenance="off") as twin:
            return await twin.blame("a", "plan/2/status", at=3)

    expected = store.blame("a", "plan/2/status")
    assert asyncio.run(asked()) == expected  # which closes what both share


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("plans", "no 'plans' in (state), which has 'plan', 'facts'"),
        ("plan/3", "no '3' in plan, which is a list of 3 (0 to 2)"),
        ("plan/0/state", "no 'state' in plan/0, which has 'text', 'status'"),
        ("facts/4", "no '4' in facts, which has '3', 'city'"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    store: perdure.Store, path: str, message: str
) -> None:
    with pytest.raises(errors.PathNotFound) as caught:
        store.blame("a", path)
    assert str(caught.value) == message


def test_what_cannot_be_asked(store: perdure.Store) -> None:
    with pytest.raises(errors.UsageError, match="name a section"):
        store.blame("a", ())
    with pytest.raises(errors.CheckpointNotFound):
        store.blame("a", "plan", at=9)
    with pytest.raises(errors.StateNotFound):
        store.blame("b", "plan")


class Counting(MemoryBackend):
    """A backend that counts what is read from it."""

    def __init__(self) -> None:
        super().__init__()
        self.pages, self.runs = 0, list[tuple[int, int]]()

    def perform(self, request: Any) -> Any:
        if isinstance(request, ReadPages):
            self.pages += len(request.ids)
        if isinstance(request, ReadRecords):
            self.runs.append((request.first, request.last))
        return super().perform(request)


def test_a_recent_writer_in_a_long_list_is_found_by_reading_little() -> None:
    backend = Counting()
    with (
        perdure.Store(backend, maintenance="off", cache_bytes=0) as store,
        store.open("a") as session,
    ):
        session.state["messages"] = [f"message {n} " * 9 for n in range(20_000)]
        for n in range(3 * limits.tail_records_max):
            session.state["step"] = n
            session.save()
        session.state["messages"][9] = "edited"
        edited = session.save()
        store.maintain("a")
        backend.pages, backend.runs = 0, []
        assert edited is not None
        assert store.blame("a", "messages/9") == edited
        assert backend.pages < 12
        assert min(first for first, _ in backend.runs) > limits.tail_records_max
        assert store.blame("a", "messages/10").number == 1
