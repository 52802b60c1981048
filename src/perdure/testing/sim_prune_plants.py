"""Bugs of pruning to plant: see `perdure.testing.sim_plants`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from perdure.core.head import Head
from perdure.engine import past, prune, save, sweeping
from perdure.engine.read import Site
from perdure.engine.requests import Run, Steps
from perdure.testing.sim_plants import Bug


@contextmanager
def _cut_uncompared() -> Iterator[None]:
    only_saved = prune._only_saved

    def planted(current: Head, made_from: Head) -> bool:
        same = replace(made_from, generation=current.generation, parked=current.parked)
        return only_saved(current, same)

    with patch.object(prune, "_only_saved", planted):
        yield


@contextmanager
def _old_sweep() -> Iterator[None]:
    needed = sweeping._needed

    def planted(site: Site, head: Head) -> Steps[dict[int, list[Run]]]:
        found = yield from needed(site, head)
        most = {tip.line: tip.number for tip in head.branches.values()}
        return {
            line: [Run(line, run.first, min(run.last, most.get(line, run.last))) for run in runs]
            for line, runs in found.items()
        }

    with patch.object(sweeping, "_needed", planted):
        yield


@contextmanager
def _untwinned() -> Iterator[None]:
    def planted(*_: Any) -> Steps[None]:
        return
        yield

    with patch.object(prune, "put_twins", planted):
        yield


@contextmanager
def _left_swept() -> Iterator[None]:
    every_run = past.every_run

    def planted(site: Site, head: Head) -> Steps[Any]:
        found = yield from every_run(site, head)
        return [each for each in found if each[1] in head.branches.values()]

    with patch.object(sweeping, "every_run", planted):
        yield


@contextmanager
def _fence_ignored() -> Iterator[None]:
    with patch.object(save, "same_place", save.same_tip):
        yield


PRUNING_BUGS: dict[str, Bug] = {
    "cut-uncompared": Bug(
        "A pruning is committed though what it builds on was collected meanwhile (P5).",
        _cut_uncompared,
        by_chance=True,
    ),
    "old-sweep": Bug(
        "What was saved since the sweep looked is swept away with what was pruned (P1).",
        _old_sweep,
        by_chance=True,
    ),
    "fence-ignored": Bug(
        "A save does not name who holds the branch: one that lost it saves (P3).", _fence_ignored
    ),
    "untwinned": Bug("What stands in for what was pruned is there once (P5).", _untwinned),
    "left-swept": Bug(
        "What branches left, and islands, are swept away with what was pruned (P7).", _left_swept
    ),
}
"""Those of pruning, by name; see `perdure.testing.sim_pruning`."""
