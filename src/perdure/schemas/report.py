"""What a migration of many states came to: counts, failures, samples, and how fast it went."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from perdure.core.abbreviate import count

Fate: TypeAlias = Literal[
    "migrated", "current", "newer", "other", "new", "deleted", "busy", "damaged", "failed"
]
"""What became of a branch of a state, or would: it is migrated; it is in the schema's version
already; newer code wrote it, or a newer Perdure; it is another schema's; nothing was saved in it
yet; it is deleted; others hold it, or moved it again and again; it cannot be read; a migration does
not fit it."""


class MigrationFailure(msgspec.Struct, frozen=True):
    """A branch of a state that cannot be migrated, or rolled back; or not now, as it is busy."""

    key: str
    branch: str
    path: str
    """Where in the state; empty if that is not known."""
    problem: str
    """The error's kind, and what it says."""
    count: int = 1
    """Of how many branches the same is told, this one the first: of a migration that is missing, or
    was changed."""


class MigrationSample(msgspec.Struct, frozen=True):
    """A branch of a state that is migrated, or would be, to be looked at."""

    key: str
    branch: str
    differences: tuple[str, ...]
    """The first of what changes, a line each, as `Difference.summary` says it."""
    more: int
    """How many more there are."""
    before: str
    """Hash of the sections that the migrations reach, as they were (hex)."""
    after: str
    """The same, as they are then."""


class UnmetLens(msgspec.Struct, frozen=True):
    """A lens that did nothing: no state that was migrated had what it is about."""

    older: int
    newer: int
    """Of the migration that has it."""
    path: str
    """What no state had; `[]` are the items of a list, `{}` the values of a mapping."""
    lens: str

    def summary(self) -> str:
        """One line: what was not there, for which lens."""
        step = f"{self.older} → {self.newer}"
        return f"no state had {self.path}: {self.lens} ({step}) did nothing; is it spelt right?"


class Migrated(msgspec.Struct, frozen=True, kw_only=True):
    """What `Store.migrate` did, or would do.

    Counts are of branches of states: most states have one.
    """

    schema: str
    version: int
    """To which they are migrated."""
    prefix: str
    dry_run: bool
    refused: bool = False
    """Whether nothing was migrated, because the look at all states found failures."""
    run: str = ""
    """Names the run, for `Store.unmigrate`; empty where nothing was migrated."""
    states: int = 0
    """States looked at."""
    counts: dict[Fate, int] = {}
    """Branches by what became of them; one that is not there is 0."""
    failures: tuple[MigrationFailure, ...] = ()
    """The first of those that failed or are damaged, then of those that are busy; `counts` has
    all."""
    samples: tuple[MigrationSample, ...] = ()
    unmet: tuple[UnmetLens, ...] = ()
    """Lenses that take from a place which none of the states that they were run on had."""
    bytes: int = 0
    """What the changes take that are written, before they are compressed (bytes)."""
    before: str = ""
    """Hash of what all that is migrated was (hex), in whatever order."""
    after: str = ""
    """The same of what it is then."""
    as_foretold: bool | None = None
    """Whether just that was migrated which the look at all states had seen, to what it foretold;
    where agents saved meanwhile it is not. None: nothing was foretold."""
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """Branches that cannot be migrated: failed or damaged."""
        return self.counts.get("failed", 0) + self.counts.get("damaged", 0)

    @property
    def states_per_s(self) -> float:
        """States looked at, and migrated where that was due (states per second)."""
        return self.states / self.seconds if self.seconds else 0.0

    def summary(self) -> str:
        """One line: what was done, how many, and how fast."""
        done = "would migrate" if self.dry_run or self.refused else "migrated"
        parts = [f"{done} {self.counts.get('migrated', 0):,} to {self.schema} {self.version}"]
        parts += [f"{n:,} {fate}" for fate, n in self.counts.items() if n and fate != "migrated"]
        if self.refused:
            parts.append("nothing was migrated, because of the failures")
        pace = f"{count(self.states, 'state')} in {self.seconds:.1f} s"
        return "; ".join([*parts, f"{pace}, {self.states_per_s:,.0f} a second"])


class Unmigrated(msgspec.Struct, frozen=True, kw_only=True):
    """What `Store.unmigrate` did, or would do. Counts are of branches of states."""

    run: str
    dry_run: bool
    states: int = 0
    """States looked at."""
    rolled_back: int = 0
    left: tuple[tuple[str, str], ...] = ()
    """Key and branch of the first that were saved to since, and stay as they are."""
    left_count: int = 0
    failures: tuple[MigrationFailure, ...] = ()
    """The first of those that could not be rolled back, then of those that are busy."""
    failed: int = 0
    busy: int = 0
    """Those that others hold, or moved again and again: run it again."""
    seconds: float = 0.0

    def summary(self) -> str:
        """One line: what was done, and how many are left."""
        done = "would roll back" if self.dry_run else "rolled back"
        parts = [f"{done} {self.rolled_back:,} of run {self.run}"]
        if self.left_count:
            parts.append(f"{self.left_count:,} saved to since are left as they are")
        if self.busy:
            parts.append(f"{self.busy:,} busy")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return "; ".join([*parts, f"{count(self.states, 'state')} in {self.seconds:.1f} s"])


class MigrationRun(msgspec.Struct, frozen=True):
    """A run of `Store.migrate`, as the states tell of it that it migrated.

    What was rolled back, or deleted, tells of it no more; a run that was taken back whole is gone.
    """

    run: str
    """Its id, for `Store.unmigrate`."""
    began: datetime
    """When it began (UTC)."""
    schema: str
    version: int
    """To which it migrated."""
    prefix: str
    """Of the states that it was for."""
    counts: dict[int, int]
    """Branches that it migrated, by the version in which they were."""
    left: int
    """Branches below the prefix that are in an older version now: the run was interrupted or
    passed them over, or they came there later."""

    @property
    def migrated(self) -> int:
        """Branches that it migrated."""
        return sum(self.counts.values())

    @property
    def is_done(self) -> bool:
        """Whether no state that is stamped with the schema is left in an older version."""
        return not self.left


class Migrations(msgspec.Struct, frozen=True):
    """The runs that `Store.migrations` found."""

    runs: tuple[MigrationRun, ...] = ()
    """The newest first."""
    states: int = 0
    """States looked at."""
    unreadable: tuple[MigrationFailure, ...] = ()
    """The first of the branches that could not be read, whose runs are not known."""
    unreadable_count: int = 0
