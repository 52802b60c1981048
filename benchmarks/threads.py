"""Sixteen threads that save to sixteen states of one store, beside one thread."""

from __future__ import annotations

import threading
import time
from statistics import median

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.measure import Run
from benchmarks.messages import endless
from benchmarks.saves import Saver
from benchmarks.slowdisk import slow_disk

THREADS = 16


def threads(run: Run) -> list[Figure]:
    with perdure.Store(run.path("store")) as store:
        return [_throughput(run, store, "this disk", Goal(ratio_min=2), saves=(200, 50), rounds=5)]


def threads_slow_sync(run: Run) -> list[Figure]:
    from perdure.backends.sqlite import SqliteBackend

    with (
        slow_disk(wait_s=0.002) as vfs,
        perdure.Store(SqliteBackend(run.path("store"), vfs=vfs)) as store,
    ):
        what = "a sync takes 2 ms more"
        return [_throughput(run, store, what, Goal(ratio_min=6), saves=(40, 20), rounds=5)]


def _throughput(
    run: Run,
    store: perdure.Store,
    what: str,
    goal: Goal,
    *,
    saves: tuple[int, int],
    rounds: int,
) -> Figure:
    sessions = [store.open(f"bench/{number}") for number in range(THREADS)]
    savers = [Saver(session, endless()) for session in sessions]
    one, many = [], []
    for turn in range(run.size(rounds, 1) + 1):
        alone = _saves_a_second(savers[:1], run.size(saves[0], 10))
        together = _saves_a_second(savers, run.size(saves[1], 5))
        if turn:
            one.append(alone)
            many.append(together)
    for saver, session in zip(savers, sessions):
        saver.check()
        session.close()
    return Figure(
        f"{THREADS} threads, FULL, {what}",
        "saves/s",
        median(many),
        median(one),
        "one thread",
        goal,
    )


def _saves_a_second(savers: list[Saver], count: int) -> float:
    start = threading.Barrier(len(savers) + 1)
    errors: list[BaseException] = []

    def work(saver: Saver) -> None:
        start.wait()
        try:
            for _ in range(count):
                saver.save()
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(saver,)) for saver in savers]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - began
    if errors:
        raise errors[0]
    return len(savers) * count / took
