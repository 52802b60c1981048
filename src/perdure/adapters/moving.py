"""Moving in: what another library kept becomes states, copied, read back and compared.

An adapter says what there is and how it is copied (`Mover`); the order of things is the same for
all. Everything is read first, so that what could not be kept is told before anything is written.
Then what is not there yet is copied, which an interrupted run that is started again goes on with.
At last all of it is read back from the store, and compared by count and by content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias

import msgspec

from perdure.errors import PerdureError, SecretFound, StateDeleted, StateExists, UsageError
from perdure.naming import check_new

Progress: TypeAlias = Callable[[int, int], None]
Told: TypeAlias = Callable[[PerdureError], str]
"""Says what is wrong with a unit, and the way out, to whoever asked for the move."""


class Unit(msgspec.Struct, frozen=True):
    """What becomes one state, such as a thread."""

    name: str
    """What the source calls it."""
    key: str
    """The key of the state."""
    count: int
    """How many items the source has of it."""
    whole: str
    """What it is a part of, as a namespace is of a thread: what has a secret is refused whole."""


class Content(msgspec.Struct, frozen=True):
    """One item, such as a checkpoint, by what it holds."""

    id: str
    digest: bytes
    """A hash of all that the library has of it, as it gives it back."""
    parts: int = 0
    """How many parts it has that are counted, such as pending writes."""


class Mover(Protocol):
    """What of another library is moved, and how. It reads the source, and never writes to it."""

    source: str
    """Where it moves from, as a user named it, without secrets."""
    nouns: tuple[str, str, str]
    """What units, items and parts are called: `thread`, `checkpoint`, `write`."""

    def units(self) -> Sequence[Unit]:
        """All there is."""
        ...

    def contents(self, unit: Unit) -> Iterator[Content]:
        """The items of one, in the order in which they are copied.

        Raises:
            PerdureError: one of them cannot be read, or could not be kept.
        """
        ...

    def present(self, unit: Unit) -> Collection[str]:
        """Ids of the items that the state has already."""
        ...

    def copy(self, unit: Unit, wanted: Collection[str]) -> Iterator[str]:
        """Copy these items; gives the id of each when it is durable."""
        ...

    def require_no_secrets(self, unit: Unit) -> None:
        """See that there is no secret in what `contents` gave last.

        Raises:
            SecretFound: there is, and the store is to have none.
        """
        ...

    def stored(self, unit: Unit, ids: Sequence[str]) -> Iterator[Content]:
        """These items, read back from the store, not from memory; those that are not there not."""
        ...


class Tally(msgspec.Struct, frozen=True):
    """What one side has of a unit.

    Args:
        items: how many.
        parts: how many parts these have.
        hash: of the contents of all, in order, with their ids (hexadecimal digits).
    """

    items: int
    parts: int
    hash: str


class MovedUnit(msgspec.Struct, frozen=True):
    """What became of one unit.

    Args:
        name: what the source calls it.
        key: the key of the state.
        source: what the source has; None: it could not be read.
        stored: what the store has of that now; None: nothing was copied.
        already: items that were there before, as the source has them.
        copied: items that were copied now, or of which something was missing.
        problem: why it is not moved; None: it is, or would be.
    """

    name: str
    key: str
    source: Tally | None = None
    stored: Tally | None = None
    already: int = 0
    copied: int = 0
    problem: str | None = None


class Moved(msgspec.Struct, frozen=True):
    """What a run moved, or under `dry_run` would.

    Args:
        source: where from.
        dry_run: whether nothing was to be written.
        units: by unit, in the source's order.
        nouns: what units, items and parts are called.
    """

    source: str
    dry_run: bool
    units: tuple[MovedUnit, ...]
    nouns: tuple[str, str, str]

    @property
    def ok(self) -> bool:
        """Whether all of it is there, and as it was; or under `dry_run` could be."""
        return all(each.problem is None for each in self.units)

    @property
    def is_refused(self) -> bool:
        """Whether nothing was copied since something could not have been."""
        return not self.ok and not self.dry_run and all(not each.stored for each in self.units)


def move(
    mover: Mover,
    *,
    dry_run: bool = False,
    skip_failures: bool = False,
    progress: Progress | None = None,
    told: Told | None = None,
) -> Moved:
    """Copy what another library kept into a store, and compare.

    What has a secret that the store is not to have is refused, and does not hold up others.

    Args:
        mover: what is moved.
        dry_run: read all, and say what would be copied; write nothing.
        skip_failures: move all others where some cannot be; else none is moved then.
        progress: called with what is done and what there is (items).
        told: says what is wrong; by default as the library has it.

    Returns:
        What became of each unit. What is not in the store as it is in the source has a `problem`.

    Example:
        >>> move(ThreadMover(rows, saver), dry_run=True).ok
        True
    """
    units = mover.units()
    steps = 1 if dry_run else 3
    tick = _Ticks(steps * sum(unit.count for unit in units), progress)
    plans = [_Plan(mover, unit, tick, told or _told) for unit in units]
    secret = {plan.unit.whole: plan.unit.name for plan in plans if plan.has_secret}
    for plan in plans:
        if plan.unit.whole in secret:
            plan.refuse(f"{secret[plan.unit.whole]} has a secret, and they belong together")
    goes_on = not dry_run and (skip_failures or not any(plan.is_failed for plan in plans))
    moved = tuple(plan.carried_out(tick) if goes_on else plan.told() for plan in plans)
    return Moved(mover.source, dry_run, moved, mover.nouns)


def _told(error: PerdureError) -> str:
    """What is wrong, and what in the library helps."""
    way_out = "; perdure.Secrets(allow=…) says what is none"
    return f"{error}{way_out if isinstance(error, SecretFound) else ''}"


class _Ticks:
    """Counts items."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._done = 0
        self._progress = progress

    def add(self, count: int = 1) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)


class _Plan:
    """What is to be done with one unit."""

    def __init__(self, mover: Mover, unit: Unit, tick: _Ticks, told: Told) -> None:
        self._mover = mover
        self.unit = unit
        self._contents: list[Content] = []
        self._whole: set[str] = set()
        self._source: Tally | None = None
        self.problem: str | None = None
        self.has_secret = False
        self.is_failed = False
        """Whether it cannot be moved for another reason than a secret."""
        try:
            self._look(tick)
        except PerdureError as error:
            self.problem = told(error)
            self.is_failed = not isinstance(error, SecretFound)
            self.has_secret = not self.is_failed or self._holds_secret()

    def _look(self, tick: _Ticks) -> None:
        contents = []
        for each in self._mover.contents(self.unit):
            contents.append(each)
            tick.add()
        self._contents = contents
        self._source = tallied(contents)
        self._whole = self._there()
        if self._is_to_be_written:
            self._mover.require_no_secrets(self.unit)

    def _holds_secret(self) -> bool:
        """Whether there is one in what could be read."""
        try:
            self._mover.require_no_secrets(self.unit)
        except SecretFound:
            return True
        return False

    @property
    def _is_to_be_written(self) -> bool:
        return len(self._whole) < len(self._contents)

    def refuse(self, problem: str) -> None:
        """Leave it, if there is anything to copy that was to be."""
        if self.problem is None and self._is_to_be_written:
            self.problem = problem

    def _there(self) -> set[str]:
        """Ids of what is in the store as it is in the source: of one that was cut off may be less.

        Raises:
            StateExists: the store has another state under the key.
            InvalidKey: no state can be made under it.
        """
        present = set(self._mover.present(self.unit))
        if not present:
            check_new(self.unit.key)
        ids = [each.id for each in self._contents if each.id in present]
        if present and not ids:
            raise StateExists(
                f"there is a state {self.unit.key!r} already, and nothing of this is in it"
            )
        stored = {each.id: each for each in self._mover.stored(self.unit, ids)} if ids else {}
        return {each.id for each in self._contents if stored.get(each.id) == each}

    def told(self, stored: Tally | None = None, copied: int = 0) -> MovedUnit:
        """What is to be said of it."""
        unit, problem = self.unit, self.problem
        if problem is None and stored is not None and stored != self._source:
            problem = "what is in the store is not what the source has"
        already = len(self._whole)
        return MovedUnit(unit.name, unit.key, self._source, stored, already, copied, problem)

    def carried_out(self, tick: _Ticks) -> MovedUnit:
        """Copy what is not there, and compare."""
        if self.problem is not None:
            return self.told()
        copied, stored = 0, []
        try:
            wanted = [each.id for each in self._contents if each.id not in self._whole]
            tick.add(len(self._whole))
            for _ in self._mover.copy(self.unit, wanted):
                copied += 1
                tick.add()
            for each in self._mover.stored(self.unit, [each.id for each in self._contents]):
                stored.append(each)
                tick.add()
        except StateDeleted:
            self.problem = "it was deleted in the store, after it was made: undelete it first"
        except PerdureError as error:
            self.problem = str(error)
        if self.problem is not None:
            return self.told(copied=copied)
        return self.told(tallied(stored), copied)


def tallied(contents: Iterable[Content]) -> Tally:
    """The counts of some items, and the hash of all they hold.

    Args:
        contents: the items, in order.

    Example:
        >>> tallied([Content("1", b"x", 2)]).parts
        2
    """
    hashed, items, parts = hashlib.sha256(), 0, 0
    for each in contents:
        items, parts = items + 1, parts + each.parts
        name = each.id.encode("utf-8", "surrogatepass")
        hashed.update(len(name).to_bytes(8, "big") + name)
        hashed.update(len(each.digest).to_bytes(8, "big") + each.digest)
    return Tally(items, parts, hashed.hexdigest())


def parents_first(parents: dict[str, str | None]) -> list[str]:
    """Ids in their own order, but each after its parent, if that is among them.

    Args:
        parents: by id, that of its parent.

    Raises:
        UsageError: some are parents of each other.

    Example:
        >>> parents_first({"b": "a", "a": None, "c": "x"})
        ['a', 'b', 'c']
    """
    done: dict[str, None] = {}
    for id_ in sorted(parents):
        way: dict[str, None] = {}
        at: str | None = id_
        while at is not None and at in parents and at not in done:
            if at in way:
                raise UsageError(f"{at!r} is its own ancestor")
            way[at] = None
            at = parents[at]
        done.update(dict.fromkeys(reversed(way)))
    return list(done)
