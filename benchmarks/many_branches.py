"""What ten thousand forks and rollbacks leave behind: opening, forking, looking at all of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.measure import MICROSECONDS, MILLISECONDS, Run, interleaved, percentile, timed
from benchmarks.messages import messages

KEY = "bench/many"
NONE = "the same state, of which no branch was moved"
FIRST = "the median of the first 100"


def many_branches(run: Run) -> list[Figure]:
    """A state after many forks, and after as many rollbacks, beside one with neither."""
    count = run.size(10_000, 30)
    plain, forked, rolled = (run.path(name) for name in ("plain", "forked", "rolled"))
    for path in (plain, forked, rolled):
        _made(path)
    forks = _forks(forked, count)
    rollbacks = _rollbacks(rolled, count)
    figures = [
        *_opened(f"{count:,} forks", forked, plain),
        *_opened(f"{count:,} rollbacks", rolled, plain),
        _grown("a fork", forks),
        _grown("a rollback", rollbacks),
    ]
    for what, path in (("forks", forked), ("rollbacks", rolled)):
        figures += _looked_at(f"{count:,} {what}", path, plain)
    return figures


def _made(path: Path) -> None:
    with perdure.Store(path, maintenance="off") as store:
        with store.open(KEY) as session:
            session.state["messages"] = messages(1_000)
            session.state["turn"] = 0
            for turn in range(100):
                session.state["turn"] = turn
                session.save(durability="process")
        store.maintain(KEY)


def _forks(path: Path, count: int) -> list[float]:
    with perdure.Store(path, maintenance="off") as store:
        return [timed(partial(store.fork, KEY, f"try-{n}")) for n in range(count)]


def _rollbacks(path: Path, count: int) -> list[float]:
    """Each after a save, which it leaves."""
    times: list[float] = []
    with perdure.Store(path, maintenance="off") as store:
        for n in range(count):
            with store.open(KEY) as session:
                session.state["turn"] = n
                session.save(durability="process")
            times.append(timed(partial(store.rollback, KEY, "~1")))
        store.maintain(KEY)
    return times


def _opened(after: str, path: Path, plain: Path) -> list[Figure]:
    """Opening and reading a small section, with nothing kept in memory."""
    with _read_only(path) as moved, _read_only(plain) as unmoved:
        ours, bare = interleaved(20, 5, partial(_open, moved), partial(_open, unmoved))
    values = percentile(ours, 50) * MICROSECONDS, percentile(bare, 50) * MICROSECONDS
    return [Figure(f"open after {after}: p50", "µs", *values, NONE, Goal(ratio_max=1.25))]


def _read_only(path: Path) -> perdure.Store:
    return perdure.Store(path, maintenance="off", cache_bytes=0, read_only=True)


def _open(store: perdure.Store) -> None:
    with store.open(KEY) as session:
        assert session.state["turn"] is not None


def _grown(what: str, times: list[float]) -> Figure:
    ours, first = times[-100:], times[:100]
    return Figure(
        f"{what}, after {len(times):,}: p50",
        "µs",
        percentile(ours, 50) * MICROSECONDS,
        percentile(first, 50) * MICROSECONDS,
        FIRST,
        Goal(ratio_max=1.5),
        f"mean {sum(ours) / len(ours) * MICROSECONDS:,.0f} µs, "
        f"of the first {sum(first) / len(first) * MICROSECONDS:,.0f} µs",
    )


def _looked_at(after: str, path: Path, plain: Path) -> list[Figure]:
    looks: dict[str, Callable[[perdure.Store], object]] = {
        "history of every line": lambda store: store.history(KEY, every=True),
        "verify": lambda store: store.verify(KEY),
    }
    figures: list[Figure] = []
    with _read_only(path) as moved, _read_only(plain) as unmoved:
        for name, look in looks.items():
            ours, bare = (timed(partial(look, store)) * MILLISECONDS for store in (moved, unmoved))
            figures.append(Figure(f"{name}, after {after}", "ms", ours, bare, NONE))
    return figures
