"""Pruning that is really killed, beside a writer: nothing acknowledged is lost (P1, P2, P7)."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

from perdure import Retention, Store

KEY = "a"
KILLS, SAVES_EACH, LAST = 8, 12, 3


def _prune(url: str, ready: Connection) -> None:
    """Prune and maintain again and again, and tell that it has begun."""
    with Store(url, maintenance="off", busy_timeout=60) as store:
        ready.send_bytes(b"ready")
        while True:
            store.prune(Retention(keep_last=LAST), KEY)
            store.maintain(KEY)


def save(store: Store, count: int) -> None:
    """So many more saves, each tenth of them with a label."""
    with store.open(KEY) as session:
        for _ in range(count):
            log = session.state.setdefault("log", [])
            log.append(len(log) + 1)
            session.state["text"] = f"{len(log)} " * 3_000
            assert session.save(label="kept" if len(log) % 10 == 0 else None).number == len(log)


def test_a_pruner_that_is_killed_beside_a_writer_loses_nothing(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    context = multiprocessing.get_context("spawn")
    with Store(url, maintenance="off", busy_timeout=60, durability="process") as store:
        save(store, SAVES_EACH)
        for kill in range(KILLS):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_prune, args=(url, theirs))
            process.start()
            assert ours.recv_bytes() == b"ready"
            save(store, SAVES_EACH + kill)
            process.kill()
            process.join()
            check(store)
        store.maintain(KEY)
        store.prune(Retention(keep_last=LAST), KEY)
        numbers = check(store)
        newest = numbers[-1]
        labelled = list(range(10, newest - LAST + 1, 10))
        assert numbers == [*labelled, *range(newest - LAST + 1, newest + 1)]
        assert store.verify()[0].unreferenced == ()


def check(store: Store) -> list[int]:
    """All that there is reads as it was saved; the numbers of it, oldest first."""
    assert store.verify()[0].problem is None
    numbers = [each.number for each in reversed(store.history(KEY))]
    with store.open(KEY) as session:
        assert session.state["log"] == list(range(1, numbers[-1] + 1))
    for number in numbers:
        assert store.at(KEY, number)["log"] == list(range(1, number + 1))
    return numbers
