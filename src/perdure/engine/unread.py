"""Sections that are not loaded: what they begin with, and the records that changed them since.

The changes stay packed until they are needed, and are decoded anew each time: to make changes is to
take over their values, so decoded ones serve only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from perdure import limits
from perdure.core.changes import DELETE, SET, Change, apply, copies
from perdure.core.outline import INSIDE
from perdure.core.page import Ref, Shape
from perdure.core.pieces import Meter, Pieces
from perdure.core.record import Record
from perdure.core.values import take
from perdure.errors import Malformed, ReplayMismatch, retold

Part: TypeAlias = tuple[Record, list[int]]
"""A record, and the places of those of its changes that concern a section."""

Numbered: TypeAlias = tuple[int, Change]
"""A change, and the number of its checkpoint; 0 where that is not known."""

NOTHING: Any = msgspec.UNSET
"""What a section begins with that the first of its records sets."""


class Unread(msgspec.Struct, frozen=True):
    """A section that was not loaded: where it is kept, and what changed in it since."""

    name: str
    snapshot: int
    """Number of the checkpoint at which `base` is what it holds; 0: none is kept."""
    base: Any
    """A `Ref`, a small value, or `NOTHING`."""
    since: tuple[Part, ...] = ()
    """What changed it since, in order."""
    news: list[Change] = []
    """What others changed in it, taken in since, in order."""

    @property
    def in_parts(self) -> Ref | None:
        """The tree of a list of which parts can be read; None if it is no such."""
        return self.base if type(self.base) is Ref and self.base.shape is Shape.LIST else None

    @property
    def is_small(self) -> bool:
        """Whether to decode it is hardly more than to look at what is not decoded."""
        size = sum(len(record.canonical) for record, _ in self.since)
        return type(self.base) is not Ref and size <= limits.inline_bytes_max

    def changes(self) -> list[Change]:
        """What changed in it, in order; the caller's own.

        Raises:
            Damaged: a record does not hold packed values.
            NewerFormat: it holds a change that this version does not know; names the record.
        """
        return [change for _, change in self._numbered()]

    def making(self, value: Any) -> Pieces[Any]:
        """The section, of the value that its base stands for; takes that over.

        Raises as `changes`, and:
            ReplayMismatch: a change does not fit; names the checkpoint.
        """
        holder = {} if value is NOTHING else {self.name: value}
        meter = Meter()
        for number, change in self._numbered():
            try:
                apply(holder, [change])
            except ReplayMismatch as error:
                raise named(error, number) from error
            if meter.is_full():
                yield ()
        return holder[self.name]

    def own_base(self) -> Any:
        """The base, the caller's own where it is a value."""
        return self.base if type(self.base) is Ref or self.base is NOTHING else take(self.base)

    def _numbered(self) -> Iterator[Numbered]:
        for record, places in self.since:
            try:
                changes = record.changes_at(places)
            except Malformed as error:
                raise named(error, record.number) from error
            yield from ((record.number, change) for change in changes)
        yield from ((0, change) for change in copies(self.news))


class Touched:
    """Which sections records touch, and what that does to their order; no value is decoded.

    Args:
        base: the sections before the records, in order.
        records: in order.

    Raises:
        NewerFormat: a section is changed as a whole in a way that this version does not know.
        ReplayMismatch: one is changed that is not there.
    """

    def __init__(self, base: Iterable[str], records: Iterable[Record]) -> None:
        self.order = dict.fromkeys(base)
        """The sections after the records, in order."""
        self.since: dict[str, list[Part]] = {}
        """By section, what changes it, from where it is set for the last time."""
        self.set: set[str] = set()
        """The sections that are set."""
        for record in records:
            try:
                for place, (name, what) in enumerate(record.touches()):
                    found = self.since.setdefault(name, [])
                    if what != INSIDE or name not in self.order:
                        self._note(found, name, what)
                    if found and found[-1][0] is record:
                        found[-1][1].append(place)
                    else:
                        found.append((record, [place]))
            except (Malformed, ReplayMismatch) as error:
                raise named(error, record.number) from error

    def _note(self, found: list[Part], name: str, what: int) -> None:
        """A change of a whole section, or one of a section that is not there."""
        if what == SET:
            self.order.setdefault(name)
            self.set.add(name)
        elif name not in self.order:
            raise ReplayMismatch(f"there is no section {name!r}")
        elif what == DELETE:
            del self.order[name]
        if what in (SET, DELETE):
            found.clear()


def none_read(base: dict[str, Any], snapshot: int, records: Sequence[Record]) -> dict[str, Unread]:
    """Every section of a state, in order, none of them read.

    Args:
        base: the sections at the snapshot: small ones as they are, of others the `Ref`.
        snapshot: number of its checkpoint; 0 for none.
        records: those after it.

    Raises as `Touched`.
    """
    touched = Touched(base, records)
    return {
        name: Unread(
            name,
            snapshot,
            NOTHING if name in touched.set else base[name],
            tuple(touched.since.get(name, ())),
        )
        for name in touched.order
    }


def named(error: Malformed | ReplayMismatch, number: int) -> Malformed | ReplayMismatch:
    """The error with the checkpoint whose change it is about."""
    return retold(error, f"checkpoint {number} does not apply: {error}") if number else error
