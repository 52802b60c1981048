"""Steps: done once, found again, and told alike however often their task is resumed."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.unit.agent.counted import Counted, newest

from perdure import Session, Store
from perdure.agent import current_task
from perdure.agent import step as as_step
from perdure.errors import (
    ConcurrentEdit,
    NotStorable,
    ParallelEdit,
    StepFailed,
    StepRepeated,
    UsageError,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "a.db")


def test_a_step_is_called_once_and_later_sessions_are_given_its_result(store: Store) -> None:
    parse = Counted({"lines": 3})
    for _ in range(3):
        with store.open("a") as session, session.task("audit") as task:
            assert task.step("parse", parse, "a.py") == {"lines": 3}
    assert parse.calls == 1
    assert store.open("a").task("audit").done


def test_a_step_that_returned_is_found_though_its_session_died(store: Store) -> None:
    one, two = Counted(1), Counted(2)
    died = store.open("a")  # never ended
    task = died.task("audit")
    task.__enter__()
    task.step("one", one)
    died._closed = True  # as if its process were gone: its edits are not told of
    with store.open("a") as session, session.task("audit") as task:
        assert task.attempts == 2
        assert task.step("one", one) == 1
        assert task.step("two", two) == 2
    assert (one.calls, two.calls) == (1, 1)


def test_a_step_is_one_save(store: Store) -> None:
    with store.open("a") as session, session.task("audit") as task:
        for number in range(1, 4):
            task.step(f"step {number}", Counted())
            assert session.checkpoint is not None and session.checkpoint.number == number
    assert store.info("a").number == 4


@dataclass
class Report:
    title: str
    at: tuple[int, ...]


def test_a_result_comes_the_first_time_as_it_comes_later_P13(store: Store) -> None:
    found = []
    for _ in range(2):
        with store.open("a") as session, session.task("t") as task:
            found.append(task.step("report", Counted(Report("x", (1, 2)))))
    assert found[0] == found[1] == {"title": "x", "at": (1, 2)}
    assert type(found[0]) is type(found[1]) is dict


def test_what_is_returned_is_detached_from_the_record(store: Store) -> None:
    for _ in range(2):
        with store.open("a") as session, session.task("t") as task:
            result = task.step("list", Counted([1]))
            assert result == [1]
            result.append(2)


def test_a_failure_is_told_alike_by_every_session(store: Store) -> None:
    fails = Counted(fails=99)
    told = []
    for _ in range(3):
        with (
            pytest.raises(StepFailed) as caught,
            store.open("a") as session,
            session.task("t") as task,
        ):
            task.options(attempts_max=1).step("break", fails)
        told.append(caught.value)
    assert fails.calls == 1
    assert len({str(each) for each in told}) == 1
    assert {(each.task, each.step, each.error_type, each.attempts) for each in told} == {
        ("t", "break", "ValueError", 1)
    }
    assert isinstance(told[0].__cause__, ValueError)
    assert told[1].error_message == "try 1"
    assert store.open("a").task("t").status == "failed"
    assert "the step 'break' of the task 't' failed: ValueError: try 1" in str(
        store.open("a").task("t").error
    )


def test_a_failed_step_runs_again_when_its_task_is_entered_again(store: Store) -> None:
    fails = Counted(fails=1)
    with pytest.raises(StepFailed), store.open("a") as session, session.task("t") as task:
        task.step("break", fails)
    with store.open("a") as session, session.task("t") as task:
        assert task.step("break", fails) == "made"
    assert fails.calls == 2
    assert session.raw["perdure.tasks"]["t"]["steps"]["break"]["attempts"] == 2
    assert "error" not in session.raw["perdure.tasks"]["t"]


def test_retries_wait_in_between_and_count(store: Store) -> None:
    waited: list[int] = []

    def backoff(tried: int) -> float:
        waited.append(tried)
        return 0

    fails = Counted(fails=2)
    with store.open("a") as session, session.task("t") as task:
        assert task.options(retries=3, backoff=backoff).step("break", fails) == "made"
        assert session.raw["perdure.tasks"]["t"]["steps"]["break"]["attempts"] == 3
    assert waited == [1, 2]


def test_attempts_max_ends_retries_and_counts_all_sessions(store: Store) -> None:
    fails = Counted(fails=99)
    for _ in range(3):
        with pytest.raises(StepFailed), store.open("a") as session, session.task("t") as task:
            task.options(retries=1, backoff=0, attempts_max=3).step("break", fails)
    assert fails.calls == 3


def test_a_step_that_kills_its_process_is_not_resumed_for_ever(store: Store) -> None:
    calls = []
    told: list[StepFailed] = []
    for _ in range(4):
        session = store.open("a")
        task = session.task("t")
        task.__enter__()

        def kills() -> None:
            calls.append(1)
            raise SystemExit

        try:
            task.options(attempts_max=2).step("kill", kills)
        except SystemExit:
            pass  # the record stays as a dead process leaves it
        except StepFailed as failed:
            told.append(failed)
        session._closed = True
    assert len(calls) == 2
    assert [(each.error_type, each.attempts) for each in told] == [("Interrupted", 2)] * 2


def test_a_step_reached_twice_in_one_entry_is_refused_and_a_key_helps(store: Store) -> None:
    with store.open("a") as session, session.task("t") as task:
        task.step("one", Counted())
        with pytest.raises(StepRepeated, match="came to its step 'one' twice"):
            task.step("one", Counted())
        assert task.options(key="one/2").step("one", Counted(2)) == 2


def test_only_declared_inputs_and_versions_are_compared(store: Store) -> None:
    made = Counted()
    for inputs, version in [(1, 1), (1, 1), (2, 1), (2, 2), (2, 2), (2.0, 2)]:
        session = store.open("a")
        task = session.task("t")
        task.__enter__()
        task.options(inputs=inputs, version=version).step("make", made, object())
        session._closed = True
    assert made.calls == 4


def test_options_never_collide_with_the_functions_own_keywords(store: Store) -> None:
    def own(name: str, key: int, apply: int, retries: int) -> Any:
        return [name, key, apply, retries]

    with store.open("a") as session, session.task("t") as task:
        assert task.step("one", own, name="n", key=1, apply=2, retries=3) == ["n", 1, 2, 3]
        found = task.options(key="k").step("one", own, name="n", key=1, apply=2, retries=3)
        assert found == ["n", 1, 2, 3]
        task.step("two", lambda: 7, apply=lambda result: session.state.update(seven=result))
    assert newest(store)["seven"] == 7


def test_apply_is_in_the_checkpoint_of_the_step(store: Store) -> None:
    with store.open("a") as session, session.task("t") as task:
        options = task.options(apply=lambda result: session.state.update(total=result))
        options.step("sum", Counted(17))
        at = store.at("a", session.checkpoint.number if session.checkpoint else 0).plain()
    assert at["total"] == 17
    assert at["perdure.tasks"]["t"]["steps"]["sum"]["result"] == 17


def test_what_apply_edits_is_undone_if_it_fails_and_the_step_fails(store: Store) -> None:
    def half(_: Any) -> None:
        session.state["half"] = True
        raise KeyError("no")

    made = Counted()
    session = store.open("a")
    with pytest.raises(StepFailed, match="KeyError"), session, session.task("t") as task:
        task.options(apply=half, attempts_max=1).step("make", made)
    left = newest(store)
    assert "half" not in left
    assert left["perdure.tasks"]["t"]["steps"]["make"]["status"] == "failed"


def test_a_result_that_no_state_can_hold_fails_the_step(store: Store) -> None:
    made = Counted(result=object())
    session = store.open("a")
    with (
        pytest.raises(StepFailed, match="NotStorable") as caught,
        session,
        session.task("t") as task,
    ):
        task.step("make", made)
    assert isinstance(caught.value.__cause__, NotStorable)


def test_edits_beside_several_running_steps_are_refused(store: Store) -> None:
    meet = threading.Barrier(3)
    errors: list[BaseException] = []

    def body() -> int:
        meet.wait()
        meet.wait()
        return 1

    with store.open("a") as session, session.task("t") as task:
        session.state["plan"] = {}

        def run(name: str) -> None:
            try:
                task.options(apply=lambda _: session.state["plan"].update({name: 1})).step(
                    name, body
                )
            except BaseException as error:
                errors.append(error)

        threads = [
            threading.Thread(target=run, args=(name,), daemon=True) for name in ("one", "two")
        ]
        for thread in threads:
            thread.start()
        meet.wait()
        with pytest.raises(ParallelEdit, match="plan was edited while 2 steps run"):
            session.state["plan"]["x"] = 1
        with pytest.raises(ParallelEdit, match="edited while 2 steps run"):
            session.state["y"] = 1
        with session.atomic():
            session.state["z"] = 1
        meet.wait()
        for thread in threads:
            thread.join()
        session.state["plan"]["after"] = 1
    assert not errors
    assert set(newest(store)["plan"]) == {"one", "two", "after"}


def test_a_step_inside_a_step_is_none_beside_it(store: Store) -> None:
    with store.open("a") as session, session.task("t") as task:

        def outer() -> int:
            found: int = task.step("inner", inner)
            session.state["outer"] = 1
            return found + 1

        def inner() -> int:
            session.state["inner"] = 1
            return 1

        assert task.step("outer", outer) == 2
        session.state["free"] = 1


def test_a_decorated_function_is_a_step_of_the_task_it_is_called_in(store: Store) -> None:
    calls: list[str] = []

    @as_step(key=lambda path: f"parse {path}", retries=1, backoff=0)
    def parse(path: str) -> str:
        calls.append(path)
        if len(calls) == 1:
            raise ValueError
        return path.upper()

    @as_step
    def report() -> int:
        return len(calls)

    for _ in range(2):
        with store.open("a") as session, session.task("t") as task:
            assert current_task() is task
            assert [parse("a"), parse("b"), report()] == ["A", "B", 3]
    assert calls == ["a", "a", "b"]
    assert parse.__wrapped__("c") == "C"
    with pytest.raises(UsageError, match="runs in no task"):
        parse("d")


def test_edits_of_another_thread_in_a_block_stay_refused(store: Store) -> None:
    with store.open("a") as session, session.task("t") as task:
        task.step("one", Counted())
        refused: list[Callable[[], Any] | BaseException] = []

        def edit(session: Session) -> None:
            try:
                session.state["x"] = 1
            except ConcurrentEdit as error:
                refused.append(error)

        with session.atomic():
            thread = threading.Thread(target=edit, args=(session,))
            thread.start()
            thread.join()
    assert refused
