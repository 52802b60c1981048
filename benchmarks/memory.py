"""The memory that a window of a very large state takes, in a process that does nothing else."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.floor import Floor
from benchmarks.measure import MEGABYTE, Run
from benchmarks.messages import Message, message, packed
from benchmarks.written import see_to

KEY = "bench/memory"
REPEATED = 7
"""Texts that say the same over and over are quick to compress; in memory they are as long."""
TEXTS = 600
AT_ONCE = 2_000
"""Messages in a checkpoint: 8 MB, so that a state of 1 GB is made in a minute."""
WINDOW = 50

# The most memory that a process held is in VmHWM; getrusage would count its parent's as its own.
_PEAK = """\
import sys
def peak():
    try:
        lines = open("/proc/self/status").read().splitlines()
    except FileNotFoundError:
        import resource
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size if sys.platform == "darwin" else size * 1024
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
"""
_SESSION = """\
import perdure
before = peak()
with perdure.Store(sys.argv[1]) as store, store.open("bench/memory", {options}) as session:
    assert {read} == {expected}
print(peak() - before)
"""
_ROW = """\
before = peak()
import apsw, msgspec
row = apsw.Connection(sys.argv[1]).execute("SELECT blob FROM log").get
assert len(msgspec.msgpack.decode(row)) == {expected}
print(peak() - before)
"""


def window_memory(run: Run) -> list[Figure]:
    path, floor_path = run.path("store"), run.path("floor")
    count = run.size(1_000_000_000, 4_000_000) // len(packed(_long(0)))
    stored = _keep(path, count)
    with closing(Floor(floor_path, "FULL")) as floor:
        floor.insert(packed([_long(number) for number in range(WINDOW)]))
    bare = _peak_bytes(_ROW.format(expected=WINDOW), floor_path)
    windowed = f"windows={{'messages': {WINDOW}}}"
    asked = {
        f"open a window of {WINDOW}": (windowed, "len(session.state['messages'])", WINDOW),
        "session.window(last=20)": ("", "len(session.window('messages', last=20))", 20),
        "session.length": ("", "session.length('messages')", count),
    }
    return [
        Figure(
            f"memory above import, a state of {stored / MEGABYTE:,.0f} MB: {what}",
            "MB",
            _peak_bytes(_SESSION.format(options=options, read=read, expected=expected), path)
            / MEGABYTE,
            bare / MEGABYTE,
            f"import apsw and msgspec, and read {WINDOW} messages as one row",
            Goal(value_max=60),
            f"{count:,} messages of 4 kB",
        )
        for what, (options, read, expected) in asked.items()
    ]


def _keep(path: Path, count: int) -> int:
    """A state of `count` long messages, as maintenance leaves it; its size as msgpack (bytes)."""
    size = 0
    with perdure.Store(path, durability="process", maintenance="off") as store:
        for first in range(0, count - 1, AT_ONCE):
            some = [_long(number) for number in range(first, min(first + AT_ONCE, count - 1))]
            size += len(packed(some))
            _append(store, some)
            see_to(store, KEY)
        _append(store, [_long(count - 1)])
        store.maintain(KEY)
    return size


def _append(store: perdure.Store, some: list[Message]) -> None:
    """One checkpoint more, without holding what the state has already."""
    with store.open(KEY, windows={"messages": 0}) as session:
        session.state.setdefault("messages", []).extend(some)


def _long(number: int) -> Message:
    text = message(number % TEXTS)["content"] * REPEATED
    return {"role": "tool", "content": text, "turn": number}


def _peak_bytes(script: str, path: Path) -> int:
    """How far the memory of a new process grew at most (bytes)."""
    command = [sys.executable, "-c", _PEAK + script, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)
