"""The checks of the backend contract that need threads; each docstring is what it checks."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from perdure.backends.protocol import Backend
from perdure.engine.requests import (
    Commit,
    Committed,
    HeadRow,
    ListHeads,
    Moved,
    ReadHead,
    ReadState,
    RecordRow,
    Run,
    Tail,
)
from perdure.testing.contract_kit import Make, Writer, must_be, opened

ROUNDS = 25


def check_readers_see_whole_commits(make: Make) -> None:
    """No read, ever, sees part of a commit; reads may come from any thread while one commits."""
    with opened(make) as backend:
        writer = Writer()
        done, was_read = threading.Event(), threading.Event()

        def watch() -> int:
            newest = 0
            while not done.is_set():
                state = backend.perform(ReadState(writer.key))
                if state:
                    number = int(state.head.blob)
                    must_be(len(state.records), 3 * number, f"records of head {number}")
                    must_be(newest <= number, True, f"head {newest} comes before {number}")
                    newest = number
                rows = writer.read(backend)
                must_be(len(rows) % 3, 0, "rows beyond the whole commits of three")
                was_read.set()
            return newest

        with ThreadPoolExecutor(3) as pool:
            watching = [pool.submit(watch) for _ in range(3)]
            try:
                for number in range(1, ROUNDS + 1):
                    writer.save(backend, b"a", b"b", b"c", head=b"%d" % number)
                    backend.after_commit()
                    # Each commit meets reads, however the threads are scheduled.
                    was_read.clear()
                    while not was_read.wait(0.5) and not any(each.done() for each in watching):
                        continue
                    if any(each.done() for each in watching):
                        break
            finally:
                done.set()
            for each in watching:
                each.result()


def check_readers_see_whole_replacements(make: Make) -> None:
    """While commits pack rows and exchange root pages, every read sees one or the other."""
    with opened(make) as backend:
        writer = Writer()
        done, was_read = threading.Event(), threading.Event()

        def watch() -> None:
            while not done.is_set():
                state = backend.perform(ReadState(writer.key))
                if state:
                    number = int(state.head.blob)
                    must_be(sum(row.count for row in state.records), number, "records in a state")
                    must_be([page.blob for page in state.pages], [b"%d" % number], "its root")
                rows = writer.read(backend)
                newest = rows[-1].number if rows else 0
                must_be(sum(row.count for row in rows), newest, "records in all rows")
                was_read.set()

        with ThreadPoolExecutor(3) as pool:
            watching = [pool.submit(watch) for _ in range(3)]
            try:
                for number in range(1, ROUNDS + 1):
                    _replace(backend, writer, number)
                    was_read.clear()
                    while not was_read.wait(0.5) and not any(each.done() for each in watching):
                        continue
                    if any(each.done() for each in watching):
                        break
            finally:
                done.set()
            for each in watching:
                each.result()


def _replace(backend: Backend, writer: Writer, number: int) -> None:
    """Record `number` and a root page of its own, with all that was before it packed as one."""
    mark = b"%d" % number
    writer.put(backend, (mark, mark))
    before = number - 1
    rows = (RecordRow(0, before, b"packed", before),) if before else ()
    options: dict[str, Any] = {"rows": rows, "removed": (Run(0, 1, before),)} if before else {}
    dropped = (b"%d" % before,)
    writer.save(backend, b"new", head=mark, page=mark, dropped=dropped, **options)


def check_one_wins_per_token(make: Make) -> None:
    """Of two commits from two backends that expect the same token, exactly one takes effect."""
    with opened(make) as one, opened(make) as two:
        writer = Writer()
        start = threading.Barrier(2, timeout=30)

        def race(backend: Backend, mark: bytes) -> list[bool]:
            wins = []
            for _ in range(ROUNDS):
                start.wait()
                head = backend.perform(ReadHead(writer.key))
                start.wait()
                number = int(head.blob) + 1 if head else 1
                new = HeadRow(os.urandom(16), b"%d" % number)
                rows = (RecordRow(0, number, mark),)
                tail = Tail(writer.incarnation, 0, 0)
                expect = head.token if head else None
                commit = Commit(writer.key, expect, new, tail, rows, "process")
                outcome = backend.perform(commit)
                if isinstance(outcome, Moved):
                    must_be(outcome.head and outcome.head.token != expect, True, "Moved's head")
                wins.append(outcome == Committed())
            return wins

        with ThreadPoolExecutor(2) as pool:
            racing = [pool.submit(race, one, b"1"), pool.submit(race, two, b"2")]
            wins = [each.result() for each in racing]
        must_be([a + b for a, b in zip(*wins)], [1] * ROUNDS, "winners of each round")
        marks = [row.blob for row in writer.read(one)]
        must_be(marks, [b"1" if won else b"2" for won in wins[0]], "what the winners wrote")


def check_two_backends_lose_nothing(make: Make) -> None:
    """Two backends that commit to different keys of one store lose nothing."""
    with opened(make) as one, opened(make) as two:

        def work(backend: Backend) -> Writer:
            writer = Writer()
            for number in range(ROUNDS):
                writer.save(backend, b"%d" % number)
            return writer

        with ThreadPoolExecutor(2) as pool:
            for each in [pool.submit(work, one), pool.submit(work, two)]:
                writer = each.result()
                for backend in (one, two):
                    must_be(writer.read(backend), tuple(writer.rows), "the records")
                    listed = backend.perform(ListHeads(writer.key, None, 2))
                    must_be([key for key, _ in listed], [writer.key], "the key")
