"""Whole runs: every state below a prefix, in pages; what is told of them is bounded."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from msgspec.structs import replace

from perdure import limits
from perdure.core.diff import name_of
from perdure.engine.read import Site
from perdure.engine.requests import HeadRow, ListHeads, Now, Random, Steps
from perdure.errors import MigrationChanged, MigrationMissing, UsageError
from perdure.fleet import listing, moving, undo
from perdure.fleet.looked import Looked
from perdure.fleet.moving import Task
from perdure.fleet.together import run_together
from perdure.fleet.trying import Outcome, Trying
from perdure.schemas.declare import Declared, declared_of
from perdure.schemas.met import Met
from perdure.schemas.report import (
    Fate,
    Migrated,
    MigrationFailure,
    Migrations,
    MigrationSample,
    Unmigrated,
)
from perdure.schemas.stamp import Run

if TYPE_CHECKING:
    from perdure.drive import Driver

T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int], None]
Pausing: TypeAlias = Callable[[], None]

OF_THE_CODE = (MigrationChanged.kind, MigrationMissing.kind)
"""Failures that are the code's, and the same for each state: they are told once, and counted."""

_HASHES = 1 << 128
"""Hashes of all states are added up below this: whatever their order, the sum is the same."""


class _LastHead:
    """What was verified last of a state's head, so that it is not verified once more by each read.

    Nothing else is kept: of so many states none is read again.
    """

    __slots__ = ("_kept", "_place")

    def __init__(self) -> None:
        self._place: Hashable = None
        self._kept: Any = None

    def get(self, place: Hashable) -> Any:
        """The head, if this is its place."""
        return self._kept if place == self._place else None

    def keep(self, place: Hashable, thing: Any, size_bytes: int) -> None:
        """Keep it, if it is the head: that is what is read first of each state."""
        if self._place is None:
            self._place = place
        if place == self._place:
            self._kept = thing


class Fleet:
    """The states below a prefix, and how far a run has come through them."""

    def __init__(
        self,
        driver: Driver,
        prefix: str,
        rounds: int,
        progress: Progress | None = None,
        pausing: Pausing | None = None,
    ) -> None:
        self.driver = driver
        self.prefix = prefix.removesuffix("*")  # as the command line has it
        self.states = 0
        """Begun in the round that is under way."""
        driver.is_made()  # opens it then, and so its id is known
        self._pausing = pausing
        self._progress = progress
        self._done = 0
        self._all = 0
        if progress is not None:
            self._all = rounds * sum(1 for _ in self._heads())

    def each(self, work: Callable[[Site, HeadRow], Steps[list[T]]]) -> Iterator[T]:
        """What the work on each state returns, many at once."""
        self.states = 0
        store = self.driver.store_id

        def works() -> Iterator[Steps[list[T]]]:
            for key, row in self._heads():
                self.states += 1
                yield work(Site(store, key, _LastHead()), row)

        for found in run_together(self.driver, works(), self._pausing):
            yield from found
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, max(self._all, self._done))

    def _heads(self) -> Iterator[tuple[str, HeadRow]]:
        """The heads that there are, a page at a time."""
        after = None
        while True:
            request = ListHeads(self.prefix, after, limits.heads_listed_max)
            page = self.driver.answer(request)
            yield from page
            if len(page) < limits.heads_listed_max:
                return
            after = page[-1][0]


class _Tally:
    """What a round found, as far as it is kept."""

    def __init__(self) -> None:
        self.counts: dict[Fate, int] = {}
        self.failures: list[MigrationFailure] = []
        self._held: list[MigrationFailure] = []
        self.samples: list[MigrationSample] = []
        self.met = Met()
        self._before = self._after = self._bytes = 0

    def wants_sample(self) -> bool:
        """Whether another sample is wanted."""
        return len(self.samples) < limits.migration_samples_max

    def add(self, found: Outcome) -> None:
        """Count one branch."""
        self.counts[found.fate] = self.counts.get(found.fate, 0) + 1
        # Those that are busy, however many, leave no failure without its name.
        named = self._held if found.fate == "busy" else self.failures
        is_new = bool(found.problem) and not self._is_told(found)
        if is_new and len(named) < limits.migration_failures_max:
            named.append(MigrationFailure(found.key, found.branch, found.path, found.problem))
        if found.sample is not None and self.wants_sample():
            self.samples.append(found.sample)
        if found.fate == "migrated":
            self._bytes += found.size
            self._before = (self._before + _number(found, found.before)) % _HASHES
            self._after = (self._after + _number(found, found.after)) % _HASHES

    def _is_told(self, found: Outcome) -> bool:
        """Whether the same was told of another branch: it is counted there."""
        if found.problem.partition(":")[0] not in OF_THE_CODE:
            return False
        for at, failure in enumerate(self.failures):
            if failure.problem == found.problem:
                self.failures[at] = replace(failure, count=failure.count + 1)
                return True
        return False

    def report(self, fleet: Fleet, declared: Declared, run: str | None) -> Migrated:
        """What it comes to."""
        return Migrated(
            schema=declared.name,
            version=declared.version,
            prefix=fleet.prefix,
            dry_run=run is None,
            run=run if run is not None and self.counts.get("migrated") else "",
            states=fleet.states,
            counts=self.counts,
            failures=(*self.failures, *self._held)[: limits.migration_failures_max],
            samples=tuple(self.samples),
            unmet=self.met.unmet(),
            bytes=self._bytes,
            before=f"{self._before:032x}",
            after=f"{self._after:032x}",
        )


def _number(found: Outcome, hash_: bytes) -> int:
    return int.from_bytes(name_of([found.key, found.branch, hash_]), "big")


# ---- migrating ------------------------------------------------------------------------------


def migrate(
    fleet: Fleet, schema: type, *, dry_run: bool, skip_failures: bool, first: Migrated | bool
) -> Migrated:
    """Look at every state, and then migrate those that need it; see `Store.migrate`."""
    began = time.perf_counter()
    look = _checked(first, declared_of(schema), fleet) if isinstance(first, Migrated) else None
    run = None if dry_run else Run(_new_run(fleet.driver), fleet.prefix)
    looked = None
    if dry_run or first is True:
        looked = Looked() if not dry_run else None
        look = _round(fleet, schema, run, looked, commits=False)
        if dry_run:
            return replace(look, seconds=time.perf_counter() - began)
    assert run is not None
    if look is not None and look.failed and not skip_failures:
        taken = time.perf_counter() - began
        return replace(look, dry_run=False, refused=True, seconds=taken)
    done = _named(fleet, schema, run, looked)
    foretold = None if look is None else (done.before, done.after) == (look.before, look.after)
    unmet = done.unmet if look is None else look.unmet
    seconds = time.perf_counter() - began
    return replace(done, as_foretold=foretold, unmet=unmet, seconds=seconds)


def _named(fleet: Fleet, schema: type, run: Run, looked: Looked | None) -> Migrated:
    """Migrate all; what ends that says by which name the part that is done is taken back."""
    try:
        return _round(fleet, schema, run, looked, commits=True)
    except BaseException as error:
        error.add_note(
            f"what was migrated until then is of run {run.id}, by which it is taken back"
        )
        raise


def _checked(look: Migrated, declared: Declared, fleet: Fleet) -> Migrated:
    """That a report is that of a dry run of the same.

    Raises:
        UsageError: it is not.
    """
    same = (look.schema, look.version, look.prefix)
    if not look.dry_run or same != (declared.name, declared.version, fleet.prefix):
        raise UsageError(
            f"verify_first is the report of a dry run of {declared.name} {declared.version} on "
            f"{fleet.prefix!r}; this is another one: {look.summary()}"
        )
    return look


def _round(
    fleet: Fleet, schema: type, run: Run | None, looked: Looked | None, *, commits: bool
) -> Migrated:
    """Go over all states once: look, or commit what was looked at."""
    tally = _Tally()
    met = None if commits and looked is not None else tally.met  # else the look saw it
    trying = Trying(schema, tally.wants_sample, met, run)
    task = Task(trying, run.id if run is not None and commits else None, looked)
    for outcome in fleet.each(partial(moving.state, task)):
        tally.add(outcome)
    return tally.report(fleet, declared_of(schema), task.run)


def _new_run(driver: Driver) -> str:
    return undo.run_id(driver.answer(Now()), driver.answer(Random(undo.RUN_BYTES)))


# ---- taking it back -------------------------------------------------------------------------


def unmigrate(fleet: Fleet, run: str, *, dry_run: bool) -> Unmigrated:
    """Roll back what a run migrated; see `Store.unmigrate`."""
    began = time.perf_counter()
    undo.began_us(run)
    left: list[tuple[str, str]] = []
    failures: list[MigrationFailure] = []
    held: list[MigrationFailure] = []
    counts = {"rolled back": 0, "left": 0, "busy": 0, "failed": 0}
    for found in fleet.each(partial(undo.state, run, dry_run=dry_run)):
        counts[found.fate] += 1
        if found.fate == "left" and len(left) < limits.migration_failures_max:
            left.append((found.key, found.branch))
        named = held if found.fate == "busy" else failures
        if found.problem and len(named) < limits.migration_failures_max:
            named.append(MigrationFailure(found.key, found.branch, "", found.problem))
    return Unmigrated(
        run=run,
        dry_run=dry_run,
        states=fleet.states,
        rolled_back=counts["rolled back"],
        left=tuple(left),
        left_count=counts["left"],
        failures=(*failures, *held)[: limits.migration_failures_max],
        failed=counts["failed"],
        busy=counts["busy"],
        seconds=time.perf_counter() - began,
    )


# ---- what there was -------------------------------------------------------------------------


def migrations(fleet: Fleet) -> Migrations:
    """The runs that migrated states; see `Store.migrations`."""
    found = listing.Listing()
    for each in fleet.each(listing.state):
        found.add(each)
    return found.result(fleet.states)
