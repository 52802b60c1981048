"""The runs that migrated states of a store, as the stamps of these tell of them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from perdure import limits
from perdure.core.versions import SECTION
from perdure.engine.around import UNREADABLE
from perdure.engine.load import load
from perdure.engine.parked import all_branches
from perdure.engine.read import Site
from perdure.engine.requests import HeadRow, Steps
from perdure.errors import BranchNotFound, StateNotFound, UsageError
from perdure.evolving import section_of
from perdure.fleet.undo import began_us
from perdure.schemas.report import MigrationFailure, MigrationRun, Migrations
from perdure.schemas.stamp import Stamp, stamps_in

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Found(msgspec.Struct, frozen=True):
    """The stamps of one branch of a state; or why it cannot be read."""

    key: str
    branch: str
    stamps: dict[str, Stamp] = {}
    problem: str = ""


def state(site: Site, row: HeadRow) -> Steps[list[Found]]:
    """Read the stamps of each branch of a state."""
    try:
        head = site.head(row)
        names = {} if head.deleted_us is not None else (yield from all_branches(site, head))
    except UNREADABLE as error:
        return [Found(site.key, "", problem=f"{error.kind}: {error}")]
    found: list[Found] = []
    for name in names:
        try:
            found.append(Found(site.key, name, (yield from _stamps(site, name))))
        except (BranchNotFound, StateNotFound):
            continue  # it was deleted meanwhile
        except UNREADABLE as error:
            found.append(Found(site.key, name, problem=f"{error.kind}: {error}"))
    return found


def _stamps(site: Site, branch: str) -> Steps[dict[str, Stamp]]:
    loaded = yield from load(site, branch, SECTION.__eq__)
    return stamps_in((yield from section_of(loaded, site, branch)))


class Listing:
    """What the stamps of many branches come to."""

    def __init__(self) -> None:
        self._unreadable: list[MigrationFailure] = []
        self._unread = 0
        self._counts: dict[tuple[str, str], Counter[int]] = {}
        """By schema and run, how many branches it migrated from which version."""
        self._runs: dict[tuple[str, str], tuple[int, str]] = {}
        """And to which version, and the prefix that it was for."""
        self._keys: dict[tuple[str, int], list[str]] = {}
        """Keys by the schema and version of each branch."""

    def add(self, found: Found) -> None:
        """Take in one branch."""
        if found.problem:
            self._unread += 1
            if len(self._unreadable) < limits.migration_failures_max:
                failure = MigrationFailure(found.key, found.branch, "", found.problem)
                self._unreadable.append(failure)
        for name, stamp in found.stamps.items():
            self._keys.setdefault((name, stamp.version), []).append(found.key)
            for run, told in stamp.runs.items():
                self._add_run(name, run, told)

    def _add_run(self, name: str, run: str, told: Any) -> None:
        match told:
            case [int(older), int(newer), str(prefix), *_]:
                self._counts.setdefault((name, run), Counter())[older] += 1
                self._runs[name, run] = newer, prefix

    def result(self, states: int) -> Migrations:
        """The runs, the newest first."""
        runs = [self._run(name, run) for name, run in self._runs if _is_run(run)]
        runs.sort(key=lambda run: run.run, reverse=True)
        return Migrations(tuple(runs), states, tuple(self._unreadable), self._unread)

    def _run(self, name: str, run: str) -> MigrationRun:
        version, prefix = self._runs[name, run]
        left = sum(
            key.startswith(prefix)
            for (schema, older), keys in self._keys.items()
            if schema == name and older < version
            for key in keys
        )
        began = _EPOCH + timedelta(microseconds=began_us(run))
        counts = dict(sorted(self._counts[name, run].items()))
        return MigrationRun(run, began, name, version, prefix, counts, left)


def _is_run(run: str) -> bool:
    """Whether this is the id of a run that could be taken back."""
    try:
        began_us(run)
    except UsageError:
        return False
    return True
