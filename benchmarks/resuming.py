"""What an agent that comes back pays to learn where it is: its briefing, and what changed."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.measure import MILLISECONDS, Run, interleaved, percentile
from benchmarks.messages import message
from perdure.agent.fingerprint import Asked, take
from perdure.agent.records import TASKS

PER_DIRECTORY = 100


def resuming(run: Run) -> list[Figure]:
    """A briefing of 1,000 tasks and 100,000 messages; a fingerprint of 10,000 unchanged files."""
    return [_briefing(run), _fingerprint(run)]


def _briefing(run: Run) -> Figure:
    tasks, messages = run.size(1_000, 20), run.size(100_000, 200)
    plan = {f"module {at:04}": _task(at, tasks) for at in range(tasks)}
    packed = msgspec.msgpack.encode(plan)
    with perdure.Store(run.path("store"), durability="process", maintenance="off") as store:
        with store.open("bench/agent") as session:
            session._document.write_reserved(TASKS, plan)
            session.state["messages"] = [message(at) for at in range(messages)]
        with store.open("bench/agent") as session:
            session.state["resumed"] = True  # so that the messages are behind the newest checkpoint
        store.maintain()
        with store.open("bench/agent") as session:

            def brief() -> None:
                str(session.briefing())

            times, floor = interleaved(
                run.size(20, 1), run.size(5, 1), brief, lambda: msgspec.msgpack.decode(packed)
            )
    return _figure(
        f"briefing of {tasks:,} tasks and {messages:,} messages",
        times,
        floor,
        "decoding the tasks with msgspec",
        Goal(value_max=5),
    )


def _task(at: int, tasks: int) -> dict[str, object]:
    status = "done" if at < tasks * 0.4 else "running" if at < tasks * 0.41 else "pending"
    return {"status": status, "attempts": 1, **({"after": [f"module {at - 1:04}"]} if at else {})}


def _fingerprint(run: Run) -> Figure:
    root, files = run.directory / "files", run.size(10_000, 200)
    for at in range(files):
        path = root / f"package {at // PER_DIRECTORY}" / f"module_{at}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"x = {at}\n")
        os.utime(path, (1_700_000_000, 1_700_000_000))
    asked = Asked(str(root), ("**/*.py",))
    known = take(asked, {}, b"key").files
    times, floor = interleaved(
        run.size(20, 1), 1, lambda: take(asked, known, b"key"), lambda: _stats(root)
    )
    return _figure(
        f"fingerprint of {files:,} unchanged files",
        times,
        floor,
        "os.scandir of each directory, and stat of each file",
        Goal(value_max=60),
    )


def _stats(root: Path) -> list[os.stat_result]:
    found = []
    for directory in os.scandir(root):
        with os.scandir(directory) as entries:
            found += [entry.stat() for entry in entries]
    return found


def _figure(what: str, times: list[float], floor: list[float], floor_is: str, goal: Goal) -> Figure:
    value, least = (percentile(each, 50) * MILLISECONDS for each in (times, floor))
    return Figure(what, "ms", value, least, floor_is, goal, "median")
