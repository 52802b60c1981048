"""Processes that work through a plan, killed at random moments: no finished step is done again."""

import multiprocessing
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from perdure import Store
from perdure.agent import Todo

# Sizes for the suite; the whole proof is PERDURE_PLAN=315,20,20.
TASKS, KILLS, WORKERS = map(int, os.environ.get("PERDURE_PLAN", "40,5,8").split(","))
KEY = "plan"


def note(path: str, line: str) -> None:
    """Append a line to a file, whole: it outlives the process at once."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def audit(path: str, name: str) -> str:
    note(path, f"audit {name}")
    time.sleep(random.random() / 200)
    return f"audited {name}"


def work_in_threads(url: str, path: str, workers: int) -> None:
    """One process, one session, many threads."""
    with Store(url) as store, store.open(KEY) as session, ThreadPoolExecutor(workers) as pool:
        for task in session.plan.work(concurrency=workers):
            pool.submit(do, task, path)


def work_alone(url: str, path: str, workers: int) -> None:
    """One of several processes."""
    with (
        Store(url, busy_timeout=60.0) as store,
        store.open(KEY, on_conflict="merge") as session,
    ):
        for task in session.plan.work():
            do(task, path)


def do(task: Any, path: str) -> None:
    with task:
        found = task.step("audit", audit, path, task.name)
        note(path, f"kept {task.name}")  # the step returned: it is durable (P1)
        task.result = task.step("report", str.upper, found)
    note(path, f"ended {task.name}")


def start(target: Any, *args: Any) -> Any:
    context: Any = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
    process = context.Process(target=target, args=args, daemon=True)
    process.start()
    return process


@pytest.mark.parametrize(
    ("target", "processes"), [(work_in_threads, 1), (work_alone, 3)], ids=["threads", "processes"]
)
def test_no_finished_step_is_done_again_and_none_is_lost(
    tmp_path: Path, target: Any, processes: int
) -> None:
    url, path = str(tmp_path / "a.db"), str(tmp_path / "log")
    names = [f"task {number}" for number in range(TASKS)]
    todos = [Todo(name, names[max(0, at - 7) : at : 3]) for at, name in enumerate(names)]
    with Store(url) as store, store.open(KEY) as session:
        session.plan.add_missing(todos)
    chance = random.Random(TASKS)
    for _ in range(KILLS):
        workers = [start(target, url, path, WORKERS) for _ in range(processes)]
        time.sleep(0.3 + chance.random() / 2)
        for worker in workers:
            worker.kill()
            worker.join()
            assert worker.exitcode != 1, "a worker failed; its traceback is on stderr"
    last = [start(target, url, path, WORKERS) for _ in range(processes)]
    for worker in last:
        worker.join(120)
        assert worker.exitcode == 0

    lines = Path(path).read_text().splitlines()
    told: dict[str, set[str]] = {"audit": set(), "kept": set(), "ended": set()}
    for line in lines:
        what, _, name = line.partition(" ")
        if what == "audit":
            assert name not in told["kept"], f"{name} was audited again after that was kept"
        assert name not in told["ended"], f"{name} was done again after it had ended"
        told[what].add(name)
    with Store(url) as store, store.open(KEY) as session:
        assert session.plan.progress.counts == {"done": TASKS}
        for name in names:
            assert session.task(name).result == f"AUDITED {name.upper()}"
    assert told["audit"] == set(names)
