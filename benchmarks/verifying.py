"""What it takes to verify a long state: every record, every page, and that both give the same."""

from __future__ import annotations

from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from time import perf_counter

import apsw

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.measure import Run, percentile
from perdure.core.compress import decompress

KEY = "bench/verified"
RECORDS = 100_000
TEXT = "message {}: where is my order, it was to come on the {}th of this month"
_READ_MAX = 2**26


def verifying(run: Run) -> list[Figure]:
    """A state of 100,000 checkpoints, after maintenance."""
    count = run.size(RECORDS, 300)
    path = run.path("verified")
    with perdure.Store(path, durability="process") as store:
        with store.open(KEY) as session:
            messages = session.state.setdefault("messages", [])
            for number in range(count):
                messages.append({"role": "user", "content": TEXT.format(number, number % 31)})
                session.save()
        store.maintain()
    ours: list[float] = []
    bare: list[float] = []
    with perdure.Store(path, read_only=True) as store:
        for _ in range(run.size(5, 1)):
            began = perf_counter()
            (found,) = store.verify(KEY)
            ours.append(perf_counter() - began)
            assert found.ok
            assert found.checkpoints == count
            bare.append(_read_all(path))
    return [
        Figure(
            f"verify {count:,} checkpoints: p50",
            "s",
            percentile(ours, 50),
            percentile(bare, 50),
            "every stored byte read, hashed and decompressed",
            Goal(value_max=1.5),
            "records linked and replayed, snapshots made again from them and compared",
        )
    ]


def _read_all(path: Path) -> float:
    """How long the least takes that any check of the bytes has to do (seconds)."""
    began = perf_counter()
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        for table in ("records", "pages"):
            for (blob,) in connection.execute(f"SELECT blob FROM {table}"):
                blake2b(blob).digest()
                if blob[6] & 1:
                    decompress(blob[8:-16], _READ_MAX)
    return perf_counter() - began
