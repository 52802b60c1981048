"""Plans: tasks that come after one another, taken by one worker each, threads and processes."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import AsyncStore, Store
from perdure.agent import Todo, graph
from perdure.errors import PlanCycle, StepFailed, UsageError, Waiting


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "a.db")


def test_what_is_missing_is_added_once(store: Store) -> None:
    todos: list[Any] = [
        "read",
        {"name": "audit", "after": ["read"], "input": {"path": "a.py"}},
        Todo("tell", after=("audit",)),
        "read",
    ]
    with store.open("a") as session:
        assert session.plan.add_missing(todos) == ["read", "audit", "tell"]
        before = session.checkpoint
        assert session.plan.add_missing([*todos, "more"]) == ["more"]
        assert session.plan.add_missing(todos) == []
        assert before is not None and session.checkpoint is not None
        assert session.checkpoint.number == before.number + 1
        assert session.task("audit").input == {"path": "a.py"}
        assert str(session.plan.progress) == "0 of 4 done, 4 pending"


def test_what_is_no_task_is_refused_and_cycles_are_named(store: Store) -> None:
    with store.open("a") as session:
        for wrong in (1, {"named": "a"}, {"name": "a", "more": 1}, ""):
            with pytest.raises(UsageError):
                session.plan.add_missing([wrong])  # type: ignore[list-item]
        with pytest.raises(PlanCycle, match="'a' → 'b' → 'c' → 'a'") as caught:
            session.plan.add_missing(
                [Todo("a", ["b"]), Todo("b", ["c"]), Todo("c", ["a"]), Todo("d", ["a"])]
            )
        assert caught.value.cycle == ("a", "b", "c", "a")
        assert "perdure.tasks" not in session.raw
        session.plan.add_missing([Todo("a", ["later"])])
        with pytest.raises(PlanCycle, match="later"):
            session.plan.add_missing([Todo("later", ["a"])])


def test_work_goes_through_a_plan_in_order_and_ends(store: Store) -> None:
    with store.open("a") as session:
        session.plan.add_missing([Todo("c", ["b"]), Todo("b", ["a"]), "a", "d"])
        names = []
        for task in session.plan.work():
            with task:
                names.append(task.name)
        assert names == session.plan.order == ["a", "b", "c", "d"]
        assert session.plan.progress.is_over
        assert list(session.plan.work()) == []


def test_what_comes_after_a_failed_or_waiting_task_is_blocked_while_the_rest_goes_on(
    store: Store,
) -> None:
    def do(name: str) -> str:
        if name == "fails":
            raise ValueError(name)
        if name == "waits":
            raise Waiting(name)
        return name

    with store.open("a") as session:
        session.plan.add_missing(
            [
                *("fails", "waits", Todo("after fails", ["fails"])),
                *(Todo("after both", ["after fails", "waits"]), "free", Todo("far", ["free"])),
            ]
        )
        for task in session.plan.work():
            try:
                task.run(do, task.name)
            except (ValueError, Waiting):
                continue
        progress = session.plan.progress
        assert str(progress) == "2 of 6 done, 1 waiting, 1 failed, 2 blocked"
        assert progress.blocked == ("after fails", "after both")
        assert not progress.is_over
        for task in session.plan.work(attempts_max=2):
            assert task.name == "fails"
            with pytest.raises(ValueError, match="fails"):
                task.run(do, task.name)
        assert session.task("fails").attempts == 2
    with store.open("a") as session:
        assert [task.name for task in session.plan.work(attempts_max=2)] == []


def test_a_task_that_was_not_entered_is_put_back(store: Store) -> None:
    with store.open("a") as session:
        session.plan.add_missing(["a", "b"])
        assert [task.name for task in session.plan.work()] == ["a", "b"]
        assert str(session.plan.progress) == "0 of 2 done, 2 pending"


def test_threads_share_the_tasks_of_a_plan(store: Store) -> None:
    done: list[str] = []

    def do(task: Any) -> None:
        with task:
            done.append(task.step("name", lambda: task.name))

    names = [f"t{number}" for number in range(30)]
    with store.open("a") as session:
        session.plan.add_missing([*names, Todo("last", names)])
        with ThreadPoolExecutor(5) as pool:
            for task in session.plan.work(concurrency=5):
                pool.submit(do, task)
        assert session.plan.progress.is_over
    assert sorted(done[:-1]) == sorted(names)
    assert done[-1] == "last"


def test_several_sessions_share_a_plan_and_merge_without_conflict(store: Store) -> None:
    names = [f"t{number}" for number in range(24)]
    with store.open("a") as session:
        session.plan.add_missing(names)
    done: list[str] = []
    errors: list[BaseException] = []

    def worker() -> None:
        try:
            with store.open("a", on_conflict="merge") as session:
                for task in session.plan.work():
                    with task:
                        done.append(task.step("name", lambda task=task: task.name))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=worker, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(done) == sorted(names)
    with store.open("a") as session:
        assert session.plan.progress.is_over


def test_two_sessions_that_make_the_same_plan_at_once_merge(store: Store) -> None:
    with store.open("a", on_conflict="merge") as one, store.open("a", on_conflict="merge") as two:
        two.state["x"] = 1  # both think that there is nothing yet
        one.plan.add_missing(["a", Todo("b", ["a"])])
    with store.open("a", on_conflict="merge") as one, store.open("a", on_conflict="merge") as two:
        one.plan.add_missing(["c", "d"])
        two.plan.add_missing(["c", "e"])
    with store.open("a") as session:
        assert set(session.plan.order) == {"a", "b", "c", "d", "e"}


def test_asyncio_works_the_same(tmp_path: Path) -> None:
    async def run() -> tuple[list[str], str]:
        done: list[str] = []

        async def do(task: Any) -> None:
            async with task:

                async def body() -> str:
                    await asyncio.sleep(0)
                    return str(task.name)

                done.append(await task.step("name", body))

        names = [f"t{number}" for number in range(20)]
        async with AsyncStore(tmp_path / "a.db") as store, store.open("a") as session:
            await session.plan.add_missing([*names, Todo("last", names)])
            async with asyncio.TaskGroup() as group:
                async for task in session.plan.work(concurrency=7):
                    group.create_task(do(task))
            return done, str(session.plan.progress)

    done, progress = asyncio.run(run())
    assert done[-1] == "last"
    assert len(set(done)) == len(done) == 21
    assert progress == "21 of 21 done"


def test_asyncio_tells_failures_alike(tmp_path: Path) -> None:
    async def fails() -> None:
        raise ValueError("no")

    async def run() -> list[str]:
        told = []
        async with AsyncStore(tmp_path / "a.db") as store:
            for _ in range(2):
                try:
                    async with store.open("a") as session, session.task("t") as task:
                        await task.options(attempts_max=1).step("break", fails)
                except StepFailed as failed:
                    told.append(str(failed))
            async with store.open("a") as session:
                assert await session.task("u").run(int, "3") == 3
                assert await session.task("u").run(int, "4") == 3
                await session.task("v").abandon()
                assert session.task("v").status == "abandoned"
        return told

    told = asyncio.run(run())
    assert len(told) == 2 and told[0] == told[1]


NAMES = "abcdefgh"


@st.composite
def graphs(draw: st.DrawFn, *, acyclic: bool) -> dict[str, list[str]]:
    """What comes after what; some of it is nowhere."""
    names = draw(st.permutations(NAMES))
    found = {}
    for at, name in enumerate(names):
        before = [*names[:at], "nowhere"] if acyclic else [*NAMES]
        found[name] = draw(st.lists(st.sampled_from(before), unique=True, max_size=3))
    shuffled = draw(st.permutations(list(found)))
    return {name: found[name] for name in shuffled}


@given(graphs(acyclic=True))
def test_the_order_is_topological_and_stable(after: dict[str, list[str]]) -> None:
    order = graph.order(after)
    assert sorted(order) == sorted(after)
    for name in after:
        for behind in after[name]:
            assert behind not in after or order.index(behind) < order.index(name)
    assert graph.cycle(after) is None
    sorted_already = {name: after[name] for name in order}
    assert graph.order(sorted_already) == order


@given(graphs(acyclic=False))
def test_a_cycle_is_found_where_there_is_one(after: dict[str, list[str]]) -> None:
    left = {name: set(behind) for name, behind in after.items()}
    while free := [name for name, behind in left.items() if not behind & left.keys()]:
        for name in free:
            del left[name]
    found = graph.cycle(after)
    assert (found is not None) == bool(left)
    if found is not None:
        assert found[0] == found[-1]
        assert all(behind in after[name] for name, behind in pairwise(found))


def refuse(name: str) -> None:
    raise KeyError(name)


@settings(max_examples=30, deadline=None)
@given(graphs(acyclic=True), st.sets(st.sampled_from(NAMES)))
def test_work_does_what_a_plain_model_says(after: dict[str, list[str]], fails: set[str]) -> None:
    with Store("memory:").open("a") as session:
        session.plan.add_missing([Todo(name, behind) for name, behind in after.items()])
        done: list[str] = []
        for task in session.plan.work():
            assert all(each in done for each in after[task.name])
            try:
                task.run(refuse if task.name in fails else done.append, task.name)
            except KeyError:
                continue
        expected: set[str] = set()
        while more := {
            name
            for name in after
            if name not in fails | expected and all(each in expected for each in after[name])
        }:
            expected |= more
        assert set(done) == expected and len(done) == len(expected)
        assert session.plan.progress.done == len(expected)
