"""What it costs to look for secrets: in each save, and in a state that is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from time import perf_counter

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.measure import MICROSECONDS, Run, interleaved, percentile
from benchmarks.messages import Message, message, messages
from benchmarks.saves import save_each

GOAL = Goal(value_max=100)
KEY = "bench/secrets"


def secrets_found(run: Run) -> list[Figure]:
    """What a message's save takes longer; then a long state gone through."""
    return [
        _added(run, "prose", _prose, GOAL),
        _added(run, "a tool's JSON", _json, GOAL),
        _added(run, "prose with a token, which is masked and logged", _with_token, None),
        _scanned(run),
    ]


def _prose(number: int) -> Message:
    return message(number)


def _json(number: int) -> Message:
    rows = [{"id": f"{number:08x}-{each:04x}-4e5d-abff", "token_count": each} for each in range(10)]
    return {"role": "tool", "content": json.dumps(rows)[:560], "turn": number}


def _with_token(number: int) -> Message:
    said = message(number)
    return {**said, "content": f"{said['content'][:500]} ghp_{'aB3' * 12} {number}"}


def _added(run: Run, what: str, make: Callable[[int], Message], goal: Goal | None) -> Figure:
    with (
        perdure.Store(run.path("plain"), durability="process", maintenance="off") as plain_store,
        perdure.Store(
            run.path("looked"), durability="process", maintenance="off", secrets="mask"
        ) as store,
        plain_store.open(KEY) as plain_session,
        store.open(KEY) as session,
    ):
        plain_session.state["messages"], session.state["messages"] = [], []
        numbers = count()

        def save_plain() -> None:
            plain_session.state["messages"].append(make(next(numbers)))
            plain_session.save()

        def save() -> None:
            session.state["messages"].append(make(next(numbers)))
            session.save()

        save()  # the library is imported by the first
        looked, plain = interleaved(run.size(60, 2), 25, save, save_plain)
    floor = percentile(plain, 50) * MICROSECONDS
    return Figure(
        f"a save of {what} takes longer with secrets looked for: p50",
        "µs",
        percentile(looked, 50) * MICROSECONDS - floor,
        floor,
        "the save without",
        goal,
        'messages of about 600 bytes, durability="process"',
    )


def _scanned(run: Run) -> Figure:
    many = run.size(5_000, 100)
    with perdure.Store(run.path("scanned"), durability="process") as store:
        save_each(store, KEY, messages(many))
        store.maintain(KEY)
        store.scan(KEY)
        began = perf_counter()
        store.history(KEY, changes=True)
        read = perf_counter()
        found = store.scan(KEY, history=True)
        ended = perf_counter()
    if found:
        raise RuntimeError(f"secrets in what was made up: {found[0]}")
    return Figure(
        f"a state of {many:,} messages scanned with its history: a message",
        "µs",
        (ended - read) / many * MICROSECONDS,
        (read - began) / many * MICROSECONDS,
        "its history read, with changes",
        None,
        "as it stands now, and each record",
    )
