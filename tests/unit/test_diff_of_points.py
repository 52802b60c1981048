"""`store.diff` of two checkpoints: what the two whole states differ in, read from few pages."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import msgspec
import pytest

import perdure
from perdure import errors, limits
from perdure.backends.memory import MemoryBackend
from perdure.core.diff import diff
from perdure.core.head import MAIN
from perdure.engine.read import read_head
from perdure.engine.requests import ListPages, ReadPages, ReadRecords

ITEMS = 100_000


class Counting(MemoryBackend):
    """A backend that notes the pages it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[bytes] = []
        self.records = 0

    def perform(self, request: Any) -> Any:
        answer = super().perform(request)
        if isinstance(request, ReadPages):
            self.pages += request.ids
        if isinstance(request, ReadRecords):
            self.records += sum(row.count for row in answer)
        return answer


def head_of(store: perdure.Store) -> Any:
    return store._driver.run(read_head(store._site("a")))


def snapshots_of(store: perdure.Store) -> list[int]:
    return [each.number for each in head_of(store).branches[MAIN].snapshots or ()]


def settled(store: perdure.Store, session: perdure.Session) -> None:
    """Save until a snapshot is due, and make it."""
    for n in range(limits.tail_records_max + 1):
        session.state["step"] = n
        session.save()
    store.maintain("a")


def message(n: int) -> dict[str, Any]:
    return {"role": "user", "n": n, "content": f"message {n} " * 8}


# ---- what is told ---------------------------------------------------------------------------


def grown(store: perdure.Store) -> list[int]:
    """A state with a history of every kind of edit, some before, some after snapshots."""
    numbers = [1]
    with store.open("a") as session:
        state = session.state
        state["step"] = 0
        state["messages"] = [message(n) for n in range(800)]
        state["files"] = {f"file {n}": {"n": n, "hash": f"{n:064x}"} for n in range(800)}
        state["draft"] = "word " * 20_000
        state["long"] = [{"text": "x" * 20_000, "n": n} for n in range(4)]
        session.save()
        edits: list[Any] = [
            lambda: state["messages"].append(message(1)),
            lambda: settled(store, session),
            lambda: state["messages"][400].update(content="changed"),
            lambda: state["files"]["file 400"].update(hash="changed"),
            lambda: settled(store, session),
            lambda: (state["messages"].pop(0), state["files"].pop("file 3")),
            lambda: state["files"].update({"file 5": state["files"].pop("file 5")}),
            lambda: (state.setdefault("new", [1] * 2000), state.pop("draft")),
            lambda: settled(store, session),
            lambda: state["long"][2].update(n=9),
            lambda: state.update(step=state.pop("step")),
            lambda: state.update(messages=state.pop("messages"), long=state.pop("long")),
            lambda: (state.setdefault("again", state.pop("messages")), state.pop("files")),
        ]
        for edit in edits:
            edit()
            checkpoint = session.save()
            assert checkpoint is not None
            numbers.append(checkpoint.number)
    return numbers


@pytest.fixture(scope="module")
def told() -> Any:
    backend = Counting()
    with perdure.Store(backend, maintenance="off", cache_bytes=0) as store:
        numbers = grown(store)
        assert len(snapshots_of(store)) == 3
        yield store, backend, numbers, {n: store.at("a", n).plain() for n in numbers}


def test_any_two_points_differ_in_what_their_whole_states_do(told: Any) -> None:
    store, _, numbers, states = told
    found = 0
    for one, other in permutations(numbers, 2):
        differences = store.diff("a", one, other)
        assert differences == diff(states[one], states[other])
        found += len(differences)
    assert found > len(numbers) ** 2
    assert store.diff("a", numbers[3], numbers[3]) == []


def test_a_point_is_named_as_anywhere_else(told: Any) -> None:
    store, _, numbers, _ = told
    newest, older = store.history("a", limit=1)[0], store.history("a")[-3]
    assert store.diff("a", older.id[:12], newest.id) == store.diff("a", 3, numbers[-1])
    with pytest.raises(errors.CheckpointNotFound):
        store.diff("a", 1, numbers[-1] + 1)
    with pytest.raises(errors.StateNotFound):
        store.diff("none", 1, 2)


def test_pages_that_are_gone_or_damaged_lose_no_answer(told: Any) -> None:
    store, backend, numbers, states = told
    pages = backend._tables.pages[head_of(store).incarnation]
    kept = dict(pages)
    try:
        for broken in ({}, {id_: bytes(len(blob)) for id_, blob in kept.items()}):
            pages.clear()
            pages.update(broken)
            for one, other in pairwise(numbers):
                assert store.diff("a", one, other) == diff(states[one], states[other])
    finally:
        pages.clear()
        pages.update(kept)


# ---- what is read ---------------------------------------------------------------------------


class Large:
    """A large state, with edits between two snapshots and after the second."""

    def __init__(self) -> None:
        self.backend = Counting()
        self.store = perdure.Store(self.backend, maintenance="off", cache_bytes=0)
        self.numbers: dict[str, int] = {}
        with self.store.open("a") as session:
            state = session.state
            state["step"] = -1
            state["messages"] = [message(n) for n in range(ITEMS)]
            state["files"] = {f"file {n}": {"n": n, "hash": f"{n:064x}"} for n in range(ITEMS)}
            settled(self.store, session)
            self.save("start", session)
            self.edit("before", session)
            settled(self.store, session)
            self.edit("after", session)
        newest = head_of(self.store).branches[MAIN].newest
        assert newest is not None
        listed = ListPages(head_of(self.store).incarnation, None, 100_000)
        self.total = len(self.backend.perform(listed))

    def save(self, name: str, session: perdure.Session) -> None:
        checkpoint = session.save(label=name)
        assert checkpoint is not None
        self.numbers[name] = checkpoint.number

    def edit(self, when: str, session: perdure.Session) -> None:
        state = session.state
        state["messages"][ITEMS // 2]["content"] = f"changed {when}"
        self.save(f"an item {when}", session)
        state["messages"].append({"new": when})
        self.save(f"an append {when}", session)
        del state["messages"][0]
        self.save(f"a removal {when}", session)
        state["files"]["file 50000"]["hash"] = f"changed {when}"
        self.save(f"an entry {when}", session)

    def pages(self, one: int, other: int) -> tuple[list[perdure.Difference], list[bytes]]:
        self.backend.pages.clear()
        self.backend.records = 0
        return self.store.diff("a", one, other), list(self.backend.pages)


@pytest.fixture(scope="module")
def large() -> Any:
    made = Large()
    assert made.total > 300
    yield made
    made.store.close()


LIST_EDITS = {
    "an item after": ["changed messages/50000/content"],
    "an append after": ["added messages/100000"],
    "a removal after": ["removed messages/0"],
}


@pytest.mark.parametrize("name", LIST_EDITS)
def test_an_edit_of_a_long_list_after_a_snapshot_reads_a_few_pages(large: Large, name: str) -> None:
    number = large.numbers[name]
    found, pages = large.pages(number - 1, number)
    assert [each.summary().split(":")[0].split(" at ")[0] for each in found] == LIST_EDITS[name]
    assert len(pages) <= 12
    assert len(pages) == len(set(pages))
    assert large.backend.records <= limits.tail_records_max + 16


def test_an_edit_of_a_large_map_after_a_snapshot_looks_for_its_key_once(large: Large) -> None:
    number = large.numbers["an entry after"]
    found, pages = large.pages(number - 1, number)
    assert [each.path for each in found] == [("files", "file 50000", "hash")]
    assert len(pages) == len(set(pages))
    assert len(pages) < large.total / 2


def test_edits_between_two_snapshots_read_a_few_pages_on_either_side(large: Large) -> None:
    """One of each kind, at both ends and in the middle of a list, and in a map."""
    start, newest = large.numbers["start"], snapshots_of(large.store)[0]
    found, pages = large.pages(start, newest)
    assert sorted({each.path[:2] for each in found}) == [
        ("files", "file 50000"),
        ("messages", 0),
        ("messages", 49_999),
        ("messages", 99_999),
        ("step",),
    ]
    assert len(pages) <= 32
    assert len(pages) == len(set(pages))


def test_a_section_that_no_record_between_changes_is_not_read(large: Large) -> None:
    first = large.numbers["start"]
    found, pages = large.pages(first - 5, first - 3)
    assert [each.path for each in found] == [("step",)]
    assert len(pages) <= 1


def test_a_change_of_a_newer_kind_fails_only_a_diff_of_its_section_P10() -> None:
    """And the error says at which checkpoint it is."""
    newer = b"\x91" + msgspec.msgpack.encode([9, ["plan", 0], 1])
    with perdure.Store("memory:") as store:
        with store.open("a") as session:
            session.state.update(plan=[1], n=0)
            session.save()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("perdure.engine.capturing.pack_changes", lambda _: newer)
                session.state["n"] = 1
                session.save()
            session.state["n"] = 2
        assert [each.path for each in store.diff("a", 2, 3)] == [("n",)]
        with pytest.raises(errors.NewerFormat, match="record 2 on line 0: a change of kind 9"):
            store.diff("a", 1, 3)
