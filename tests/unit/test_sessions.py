"""Sessions on a real SQLite store and in memory: saving, ending, resuming, conflicting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.sessions import save

import perdure
from perdure import errors
from perdure.backends.memory import MemoryBackend
from perdure.core.changes import Splice
from perdure.engine.requests import Answer, Commit
from perdure.testing.clock import Clock


def test_a_state_comes_back_whole_in_the_next_session(store: perdure.Store) -> None:
    with store.open("support/alice") as session:
        assert session.resumed is None
        session.state["messages"] = [{"role": "user", "content": "Where is my order?"}]
        session.state["goal"] = "refund"
    with store.open("support/alice") as session:
        assert session.resumed is not None
        assert session.resumed.ended == "closed"
        assert session.resumed.checkpoint.number == 1
        assert session.state.plain() == {
            "messages": [{"role": "user", "content": "Where is my order?"}],
            "goal": "refund",
        }


def test_a_section_made_by_setdefault_is_tracked(store: perdure.Store) -> None:
    with store.open("a") as session:
        messages = session.state.setdefault("messages", [])
        messages.append("hello")
        session.save()
        messages.append("again")
        session.save()
    assert store.at("a", 2).plain() == {"messages": ["hello", "again"]}


def test_a_session_that_saved_nothing_writes_nothing(store: perdure.Store) -> None:
    with store.open("a"):
        pass
    assert store.states() == []
    with pytest.raises(errors.StateNotFound):
        store.open("a", must_exist=True)


def test_saving_writes_only_what_changed(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["messages"] = []
        session.state["big"] = {"text": "x" * 10_000_000, "rows": list(range(1000))}
        session.save()
        session.state["messages"].append("hello")
        assert session.changes() == [Splice(("messages",), 0, 0, ["hello"])]
        session.save()
        session.state["big"]["text"] += "y"
        session.state["big"]["rows"][500] = -1
        session.save()
    sizes = [sum(len(repr(c)) for c in cp.changes or ()) for cp in store.history("a", changes=True)]
    assert sizes[0] < 500
    assert sizes[1] < 500


def test_a_no_op_save_writes_nothing(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["n"] = 1
        first = session.save()
        session.state["n"] = 1
        assert session.save() is first or session.save() == first
    assert [cp.number for cp in store.history("a")] == [1]


def test_labels_metadata_and_history(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["n"] = 1
        session.save(label="start", metadata={"cost": 0.5})
        session.state["n"] = 2
        second = session.save()
        assert session.save(label="again").number == 3
    newest = store.history("a")
    assert [(cp.number, cp.label) for cp in newest] == [(3, "again"), (2, None), (1, "start")]
    assert newest[2].metadata == {"cost": 0.5}
    assert newest[1].id == second.id and newest[1].hash == second.hash
    assert newest[1].sections == ("n",)
    assert [cp.number for cp in store.history("a", limit=1, before=3)] == [2]
    assert store.at("a", 1).plain() == {"n": 1}
    assert store.at("a", second.id[:8])["n"] == 2
    with pytest.raises(errors.CheckpointNotFound, match="1 to 3"):
        store.at("a", 4)


def test_times_never_go_back(tmp_path: Path) -> None:
    clock = Clock("2026-01-01T00:00:00Z")
    with perdure.Store(tmp_path / "a.db", clock=clock) as store, store.open("a") as session:
        session.state["n"] = 1
        first = session.save()
        clock.advance(-3600)
        session.state["n"] = 2
        assert session.save().time >= first.time


def test_states_are_paged_in_key_order(store: perdure.Store) -> None:
    for name in ("support/b", "support/a", "sales/z", "support/ü"):
        with store.open(name) as session:
            session.state["n"] = 1
            session.summary = f"about {name}"
    page = store.states("support/", limit=2)
    assert [(info.key, info.summary) for info in page] == [
        ("support/a", "about support/a"),
        ("support/b", "about support/b"),
    ]
    assert [info.key for info in store.states("support/", after=page[-1].key)] == ["support/ü"]


def test_a_summary_is_saved_and_can_be_the_only_change(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["n"] = 1
        session.save()
        session.summary = "waiting for the carrier"
        assert session.save().number == 2
    with store.open("a") as session:
        assert session.summary == "waiting for the carrier"


def test_an_edit_by_another_thread_is_no_part_of_an_atomic_block(store: perdure.Store) -> None:
    import threading

    def edit() -> None:
        with pytest.raises(errors.ConcurrentEdit, match="atomic block"):
            session.state["other"] = 1

    with store.open("a") as session:
        with pytest.raises(RuntimeError), session.atomic():
            session.state["mine"] = 1
            with session.atomic():
                session.state["inner"] = 1
            thread = threading.Thread(target=edit)
            thread.start()
            thread.join()
            raise RuntimeError
        session.state["after"] = 1
        assert session.state.plain() == {"after": 1}


def test_saves_from_many_threads_on_one_session_lose_nothing(store: perdure.Store) -> None:
    import threading

    with store.open("a") as session:
        session.state["n"] = 0
        seen: list[int] = []

        def work() -> None:
            for _ in range(25):
                with session.atomic():  # containers are for one thread at a time; saves are not
                    session.state["n"] += 1
                seen.append(session.save().number)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 100
    assert store.history("a", limit=1)[0].number == max(seen)
    with store.open("a") as session:
        assert session.state["n"] == 100


@pytest.mark.parametrize("key", ["", "a\x00b", "x" * 2000, "\ud800"])
def test_keys_that_cannot_be_are_refused(store: perdure.Store, key: str) -> None:
    with pytest.raises(errors.InvalidKey):
        store.open(key)


def test_events_tell_what_was_done(tmp_path: Path) -> None:
    seen: list[perdure.Event] = []
    with perdure.Store(tmp_path / "a.db", on_event=seen.append) as store:
        save(store, "a", n=1)
    assert [event.name for event in seen] == ["load", "open", "save", "close"]
    assert seen[2].detail == {"number": 1}
    assert all(event.key == "a" and event.seconds >= 0 and event.error is None for event in seen)


def test_an_observer_that_fails_does_not_fail_the_save(tmp_path: Path) -> None:
    def broken(event: perdure.Event) -> None:
        raise ValueError(event)

    with perdure.Store(tmp_path / "a.db", on_event=broken) as store:
        assert save(store, "a", n=1).number == 1


def test_what_cannot_be_stored_is_refused_where_it_is_put_with_its_path(
    store: perdure.Store,
) -> None:
    with store.open("a") as session:
        session.state["plan"] = [{"steps": []}]
        with pytest.raises(errors.NotStorable, match="plan/0/steps") as caught:
            session.state["plan"][0]["steps"].append({"do": print})
        assert caught.value.path == ("plan", 0, "steps", 0, "do")
        assert session.state.plain() == {"plan": [{"steps": []}]}
        with pytest.raises(errors.NotStorable, match="metadata"):
            session.save(metadata={"x": object()})
        with pytest.raises(errors.UsageError, match="durability"):
            session.save(durability="forever")  # type: ignore[arg-type]
        with pytest.raises(errors.UsageError, match="label"):
            session.save(label="x" * 501)
        assert session.save().number == 1


def test_edits_behind_perdures_back_are_found_at_save(store: perdure.Store) -> None:
    import heapq

    with store.open("a") as session:
        session.state["queue"] = [2, 3]
        session.save()
        heapq.heappush(session.state["queue"], 1)
        with pytest.raises(errors.UntrackedEdit, match="queue"):
            session.save()
        session.state["queue"] = list(session.state["queue"])
        session.save()
    assert store.at("a", 2)["queue"] == [1, 3, 2]


def test_check_edits_finds_edits_that_leave_the_length_alone(tmp_path: Path) -> None:
    import heapq

    with perdure.Store(tmp_path / "a.db", check_edits=True) as store:
        session = store.open("a")
        session.state["queue"] = [1, 2, 3]
        session.save()
        heapq.heapreplace(session.state["queue"], 9)
        with pytest.raises(errors.UntrackedEdit, match="queue"):
            session.save()


def test_bad_arguments_are_refused_before_anything_is_done(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["n"] = 1
        with pytest.raises(errors.UsageError, match="surrogate"):
            session.summary = "\ud83d"
        with pytest.raises(errors.UsageError, match="surrogate"):
            session.save(label="\ud83d")
        assert session.save().number == 1
    with pytest.raises(errors.UsageError, match="True"):
        store.at("a", True)
    with pytest.raises(errors.UsageError, match="limit"):
        store.history("a", limit=-1)


def at_depth(calls: int, do: Callable[[], Any]) -> Any:
    return do() if calls == 0 else at_depth(calls - 1, do)


def test_a_save_that_fails_before_it_is_sent_forgets_no_edit_P1(store: perdure.Store) -> None:
    """Out of stack, at every depth at which a save can run out of it, then saved for good."""
    refused = 0
    for calls in range(700, 1000, 3):
        with store.open(f"a/{calls}") as session:
            session.state["m"] = [{"role": "user", "content": "hi"}]
            try:
                at_depth(calls, session.save)
            except RecursionError:
                refused += 1
        assert store.at(f"a/{calls}", 1).plain() == {"m": [{"role": "user", "content": "hi"}]}
        assert len(store.history(f"a/{calls}")) == 1
    assert refused > 3


def test_a_shared_record_is_as_durable_as_the_strongest_that_asked() -> None:
    asked: list[str] = []

    class Noting(MemoryBackend):
        def commit(self, batch: Sequence[Commit]) -> list[Answer | errors.PerdureError]:
            asked.extend(commit.durability for commit in batch)
            return super().commit(batch)

    with perdure.Store(Noting()) as store:
        session = store.open("a")
        session.state["n"] = 1
        session._stage(None, None, "power")
        session.state["n"] = 2
        session.save(durability="process")
        assert asked == ["power"]
        session.state["n"] = 3
        session.save(durability="process")
        assert asked == ["power", "process"]


def test_upkeep_that_fails_fails_no_save() -> None:
    class Failing(MemoryBackend):
        def after_commit(self) -> None:
            raise OSError("no room for the checkpoint")

    async def main() -> None:
        async with perdure.AsyncStore(Failing()) as store, store.open("a") as session:
            for n in range(3):
                session.state["n"] = n
                assert (await session.save()).number == n + 1

    with perdure.Store(Failing()) as store:
        assert save(store, "a", n=1).number == 1
    asyncio.run(main())


def test_what_certainly_did_not_land_can_be_given_up() -> None:
    class Full(MemoryBackend):
        full = False

        def commit(self, batch: Any) -> Any:
            if self.full:
                raise errors.Busy("others kept the store")
            return super().commit(batch)

    backend = Full()
    with perdure.Store(backend) as store:
        session = store.open("a")
        session.state["x"] = 1
        session.save()
        session.state["x"] = 2
        backend.full = True
        with pytest.raises(errors.Busy):
            session.save(label="not wanted any more")
        backend.full = False
        session.refresh()
        assert session.state["x"] == 1
        session.close()
        assert [each.label for each in store.history("a")] == [None]


@pytest.mark.parametrize("wait", [None, "5", -1, float("nan"), float("inf"), 1e12, True])
def test_a_wait_that_is_none_is_refused_at_once(tmp_path: Path, wait: Any) -> None:
    with pytest.raises(errors.UsageError, match="busy_timeout is seconds from 0"):
        perdure.Store(tmp_path / "a.db", busy_timeout=wait)
