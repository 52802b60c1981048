"""What a schema costs: a field of one item in a long list, saved, and only read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.measure import Run, interleaved, percentile
from perdure.state import Document
from perdure.state.typed import install, typed_state

SAVE_GOAL = Goal(ratio_max=1.5)


@dataclass
class Step:
    title: str
    done: int = 0


@dataclass
class Plan:
    steps: list[Step] = field(default_factory=list)


def typed(run: Run) -> list[Figure]:
    """A typed field's update, saved and only captured, and its reading, against the untyped."""
    count, rounds = run.size(10_000, 50), run.size(20, 2)
    steps = [{"title": f"step {number}", "done": 0} for number in range(count)]
    return [_saved(run, steps, rounds), _captured(steps, rounds), _read(steps, rounds)]


def _saved(run: Run, steps: list[dict[str, Any]], rounds: int) -> Figure:
    with (
        perdure.Store(run.path("plain"), durability="process", maintenance="off") as plain_store,
        perdure.Store(run.path("typed"), durability="process", maintenance="off") as store,
        plain_store.open("bench/plain") as plain_session,
        store.open("bench/typed") as session,
    ):
        plain_session.state["steps"], session.state["steps"] = steps, steps
        install(Plan, session._document)
        view = typed_state(Plan, session.state)

        def update_plain(number: int) -> None:
            plain_session.state["steps"][number]["done"] += 1
            plain_session.save()

        def update_typed(number: int) -> None:
            view.steps[number].done += 1
            session.save()

        plain, seen = interleaved(
            rounds, 20, _each(update_plain, len(steps)), _each(update_typed, len(steps))
        )
    return _figure(f"a field of one of {len(steps):,} items, saved", seen, plain, SAVE_GOAL)


def _captured(steps: list[dict[str, Any]], rounds: int) -> Figure:
    plain_document, document = Document({"steps": steps}), Document({"steps": steps})
    plain_state = plain_document.state
    install(Plan, document)
    view = typed_state(Plan, document.state)

    def update_plain(number: int) -> None:
        plain_state["steps"][number]["done"] += 1
        plain_document.capture()

    def update_typed(number: int) -> None:
        view.steps[number].done += 1
        document.capture()

    plain, seen = interleaved(
        rounds, 100, _each(update_plain, len(steps)), _each(update_typed, len(steps))
    )
    return _figure(f"a field of one of {len(steps):,} items, captured", seen, plain, None)


def _read(steps: list[dict[str, Any]], rounds: int) -> Figure:
    plain_state = Document({"steps": steps}).state
    document = Document({"steps": steps})
    install(Plan, document)
    view = typed_state(Plan, document.state)
    plain, seen = interleaved(
        rounds,
        100,
        _each(lambda number: plain_state["steps"][number]["done"], len(steps)),
        _each(lambda number: view.steps[number].done, len(steps)),
    )
    return _figure(f"a field of one of {len(steps):,} items, read", seen, plain, None)


def _each(action: Callable[[int], object], count: int) -> Callable[[], object]:
    """The action, on another item at each call."""
    number = 0

    def call() -> None:
        nonlocal number
        number = (number + 7) % count
        action(number)

    return call


def _figure(what: str, typed: list[float], plain: list[float], goal: Goal | None) -> Figure:
    value, floor = (percentile(times, 50) * 1e6 for times in (typed, plain))
    return Figure(what, "µs", value, floor, "the same, untyped", goal, "median")
