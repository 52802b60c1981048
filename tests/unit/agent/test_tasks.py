"""Tasks: their record, what they wait for and come after, and who is at them."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.agent.counted import Counted, newest

from perdure import Store
from perdure.agent import current_task
from perdure.errors import (
    NotStorable,
    PlanCycle,
    SaveInsideAtomic,
    TaskTaken,
    UsageError,
    Waiting,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "a.db")


def test_a_task_has_a_record_and_a_result(store: Store) -> None:
    with store.open("a") as session:
        task = session.task("t")
        assert (task.status, task.done, task.result, task.attempts) == ("pending", False, None, 0)
        with task:
            assert task.status == "running"
            task.result = {"found": 3}
            with pytest.raises(NotStorable):
                task.result = object()
        assert task.done and task.result == {"found": 3}
        record = session.raw["perdure.tasks"]["t"].plain()
    assert set(record) == {"status", "attempts", "created", "started", "ended", "result", "holder"}
    again = store.open("a").task("t")
    assert again.result == {"found": 3}


def test_run_skips_what_is_done(store: Store) -> None:
    made = Counted((1, 2))
    for _ in range(2):
        with store.open("a") as session:
            assert session.task("t").run(made, 1, two=2) == (1, 2)
    assert made.calls == 1
    with store.open("a") as session, pytest.raises(ValueError, match="try 1"):
        session.task("u").run(Counted(fails=9))
    assert store.open("a").task("u").status == "failed"


def test_a_task_that_ended_is_not_edited_again(store: Store) -> None:
    with store.open("a") as session, session.task("t") as task:
        task.step("one", Counted())
    before = store.info("a").number
    with store.open("a") as session, session.task("t") as task:
        assert task.step("one", Counted(2)) == "made"
        with pytest.raises(UsageError, match="is done, and the record"):
            task.step("new", Counted())
    assert store.info("a").number == before


def test_waiting_and_interrupts_are_no_failures(store: Store) -> None:
    with pytest.raises(Waiting), store.open("a") as session, session.task("w"):
        raise Waiting("for a person")
    assert store.open("a").task("w").status == "waiting"
    with pytest.raises(KeyboardInterrupt), store.open("a") as session, session.task("i"):
        raise KeyboardInterrupt
    left = store.open("a").task("i")
    assert (left.status, left.attempts) == ("pending", 1)
    made = Counted()

    def waits() -> Any:
        if made() and made.calls == 1:
            raise Waiting("inside")
        return 1

    for _ in range(2):
        try:
            with store.open("a") as session, session.task("s") as task:
                task.options(attempts_max=1).step("ask", waits)
        except Waiting:
            continue
    assert made.calls == 2
    assert store.open("a").task("s").done


def test_tasks_come_after_others_and_never_after_themselves(store: Store) -> None:
    with store.open("a") as session:
        with pytest.raises(UsageError, match="'b' comes after 'a', which is not done"):
            session.task("b", after=["a"]).__enter__()
        with session.task("a"):
            pass
        with session.task("b", after=["a"]):
            pass
        with pytest.raises(PlanCycle, match="'c' → 'c'") as caught:
            session.task("c", after=["c"]).__enter__()
        assert caught.value.cycle == ("c", "c")
        with pytest.raises(UsageError, match="is a list of names"):
            session.task("d", after="abc")
        with pytest.raises(UsageError, match="has a name"):
            session.task("")


def test_a_task_that_a_living_session_is_at_is_taken(store: Store) -> None:
    with store.open("a", on_conflict="merge") as one, store.open("a", on_conflict="merge") as two:
        with one.task("t") as task:
            task.step("one", Counted())
            two.refresh()
            with pytest.raises(TaskTaken):
                two.task("t").__enter__()
            with pytest.raises(TaskTaken):
                one.task("t").__enter__()
        two.refresh()
        assert two.task("t").done


def test_of_two_sessions_that_merge_the_first_has_the_task(store: Store) -> None:
    with store.open("a") as session:
        session.state["x"] = 1
    one, two = (store.open("a", on_conflict="merge") for _ in range(2))
    with one, two, one.task("t"):  # `two` knows nothing of it
        with pytest.raises(TaskTaken, match="took the task 't' first"):
            two.task("t").__enter__()
        with two.task("u") as other:
            other.step("one", Counted(5))
    left = newest(store)["perdure.tasks"]
    assert {name: each["status"] for name, each in left.items()} == {"t": "done", "u": "done"}
    assert left["t"]["attempts"] == 1


def test_misuse_is_told(store: Store) -> None:
    with store.open("a") as session:
        task = session.task("t")
        with pytest.raises(UsageError, match="is not entered"):
            task.step("one", Counted())
        with pytest.raises(UsageError, match="is not entered"):
            task.result = 1
        with task:
            with pytest.raises(UsageError, match="entered already"):
                task.__enter__()
            with session.atomic(), pytest.raises(SaveInsideAtomic):
                task.step("two", Counted())
            with pytest.raises(UsageError, match="retries= is 0 or more"):
                task.options(attempts_max=0)
    with pytest.raises(UsageError, match="in no task"):
        current_task()


def test_an_abandoned_task_stays_so(store: Store) -> None:
    with store.open("a") as session:
        session.task("t").abandon("nobody wants it")
        assert session.task("t").status == "abandoned"
        with pytest.raises(UsageError, match="cannot become"):
            session.task("t").run(Counted())
        with pytest.raises(UsageError, match="cannot become"):
            session.task("t").abandon()


def test_the_clock_of_a_dead_hold_runs_out_only_where_nobody_can_tell(store: Store) -> None:
    with store.open("a") as session, session.task("t") as task:
        task.step("one", Counted())
        hold = session.raw["perdure.tasks"]["t"]["holder"].plain()
    assert hold["session"] == session.id
    assert hold["at"][1] > 0
