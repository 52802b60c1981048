"""What it costs that two processes save to one state, each of whose sessions merges."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import perdure
from benchmarks.figure import Figure
from benchmarks.measure import Run

WRITER = """
import sys, time
import perdure
path, key, section, saves = *sys.argv[1:4], int(sys.argv[4])
with perdure.Store(path) as store:
    session = store.open(key, on_conflict="merge", strategies={"log": "append"})
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    merged = 0
    for number in range(saves):
        session.state.setdefault(section, []).append([sys.argv[5], number])
        merged += session.save().merged is not None
    print(time.perf_counter() - began, merged, flush=True)
    session.close()
"""
"""Saves so often, as fast as it can; says how long it took and how often it came second."""


def write(path: Path, tasks: list[tuple[str, str]], saves: int) -> list[tuple[float, int]]:
    """Let processes save at the same time: how long each took (seconds), and its merges.

    Args:
        path: of the store.
        tasks: for each process the key of a state, and the section to which it appends.
        saves: of each process.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), key, section, str(saves), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, (key, section) in enumerate(tasks)
    ]
    said: list[list[str]] = []
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate()
        assert process.returncode == 0
        said.append(out.split())
    return [(float(seconds), int(merged)) for seconds, merged in said]


def merging(run: Run) -> list[Figure]:
    """Two processes saving as fast as they can, to sections of one state, and to one list of it."""
    saves = run.size(5_000, 20)
    floor = _throughput(run, [("one", "mine"), ("other", "mine")], saves)[0]
    figures = []
    for what, tasks in (
        ("different sections", [("both", "first"), ("both", "second")]),
        ("one list, append", [("both", "log"), ("both", "log")]),
    ):
        found, merged, lost = _throughput(run, tasks, saves)
        note = f"{2 * saves:,} acknowledged, {lost} of them lost, {merged:,} merged"
        floor_is = "the same processes, each on a state of its own"
        figures.append(
            Figure(f"merging saves, {what}", "saves/s", found, floor, floor_is, None, note)
        )
    return figures


def _throughput(run: Run, tasks: list[tuple[str, str]], saves: int) -> tuple[float, int, int]:
    """Saves in a second, how many were merged, and how many acknowledged ones are not there."""
    path = run.path("merging")
    with perdure.Store(path) as store:
        for key in {key for key, _ in tasks}:
            with store.open(key) as session:
                session.state["log"] = []
    said = write(path, tasks, saves)
    with perdure.Store(path) as store:
        kept = {(key, *item) for key, name in tasks for item in store.at(key, "main").plain()[name]}
        lost = len(tasks) * saves - len(kept)
        assert all(found.ok for found in store.verify())
    slowest = max(seconds for seconds, _ in said)
    return len(tasks) * saves / slowest, sum(merged for _, merged in said), lost
