"""What a step and an effect of a task cost beyond their saves, and finding finished steps."""

from __future__ import annotations

from itertools import count

import msgspec

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.measure import MICROSECONDS, MILLISECONDS, Run, interleaved, percentile
from perdure.agent.records import TASKS

ADDED = 100
"""Steps per task, as agents have them."""


def steps(run: Run) -> list[Figure]:
    """A step beside a save, an effect beside two; 2,000 finished steps found again."""
    return [_step(run), _effect(run), _resume(run)]


def _made() -> str:
    return "made"


def _step(run: Run) -> Figure:
    numbers = count()
    with perdure.Store(run.path("store"), durability="process", maintenance="off") as store:
        session, plain = store.open("bench/agent"), store.open("bench/plain")
        with session, plain:
            task = session.task("first")
            task.__enter__()
            plain.state["tasks"] = {"first": {"steps": {}}}

            def step() -> None:
                nonlocal task
                number = next(numbers)
                if number % ADDED == ADDED - 1:
                    task.__exit__(None, None, None)
                    task = session.task(f"task {number}")
                    task.__enter__()
                task.step(f"step {number}", _made)

            def save() -> None:
                number = next(numbers)
                tasks = plain.state["tasks"]
                if number % ADDED == 0:
                    tasks.clear()
                    tasks["first"] = {"steps": {}}
                ended = plain.checkpoint.time if plain.checkpoint else None
                record = {"status": "done", "ended": ended, "result": "made", "attempts": 1}
                tasks["first"]["steps"][f"step {number}"] = record
                plain.save()

            times, floor = interleaved(run.size(40, 1), run.size(50, 2), step, save)
            task.__exit__(None, None, None)
    value, least = (percentile(each, 50) * MICROSECONDS for each in (times, floor))
    goal = Goal(over_floor_max=30)
    return Figure("a step", "µs", value, least, "a save of the same record", goal, "median")


def _effect(run: Run) -> Figure:
    numbers = count()
    with perdure.Store(run.path("effects"), maintenance="off") as store:
        session, plain = store.open("bench/agent"), store.open("bench/plain")
        with session, plain, session.task("first") as task:
            plain.state["steps"] = {}

            def effect() -> None:
                number = next(numbers)
                task.effect(f"effect {number}", _made)
                if number % ADDED == 0:
                    store.maintain("bench/agent")  # which is no part of the median

            def save_twice() -> None:
                number = next(numbers)
                plain.state["steps"][f"effect {number}"] = {"status": "claimed"}
                ended = plain.save().time
                record = {"status": "done", "ended": ended, "result": "made", "attempts": 1}
                plain.state["steps"][f"effect {number}"] = record
                plain.save()

            times, floor = interleaved(run.size(20, 1), run.size(20, 2), effect, save_twice)
    value, least = (percentile(each, 50) * MICROSECONDS for each in (times, floor))
    goal = Goal(over_floor_max=30)
    return Figure("an effect", "µs", value, least, "two saves of its record", goal, "median")


def _resume(run: Run) -> Figure:
    number = run.size(2_000, 20)
    names = [f"step {at}" for at in range(number)]
    record = {"status": "done", "attempts": 1, "result": {"lines": 17, "path": "json/decoder.py"}}
    done = dict.fromkeys(names, record)
    task = {"status": "failed", "attempts": 1, "steps": done}
    packed = msgspec.msgpack.encode(task)
    with perdure.Store(run.path("resumed"), durability="process", maintenance="off") as store:
        with store.open("bench/agent") as session:
            session._document.write_reserved(TASKS, {"t": task})

        def resume() -> None:
            session = store.open("bench/agent")
            found = session.task("t")
            found.__enter__()
            for name in names:
                found.step(name, _made)
            session._closed = True  # nothing of it is saved: the next one finds the same

        times, floor = interleaved(
            run.size(10, 1), run.size(3, 1), resume, lambda: msgspec.msgpack.decode(packed)
        )
    value, least = (percentile(each, 50) * MILLISECONDS for each in (times, floor))
    what = f"opening and going through {number:,} finished steps"
    return Figure(
        what, "ms", value, least, "decoding them with msgspec", Goal(value_max=50), "median"
    )
