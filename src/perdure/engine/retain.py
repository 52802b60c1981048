"""What a retention policy keeps of a state: of its branches, and of what they left.

A plan is made of what is read and changes nothing; `perdure.engine.prune` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TypeAlias

import msgspec

from perdure.core.head import Branch, Head
from perdure.core.receipt import Receipt, islands_below
from perdure.core.record import LABEL
from perdure.core.retention import Retention, Seen, kept_numbers
from perdure.engine.journal import left_of, read_journal, read_receipt
from perdure.engine.parked import all_branches
from perdure.engine.read import Site, check_links, joined, missing, read_groups, spans
from perdure.engine.requests import Run, Steps

Spot: TypeAlias = tuple[int, int]
"""A record's line and number."""


_US = timedelta(microseconds=1)


class Known(msgspec.Struct, frozen=True):
    """What a plan needs of a record."""

    id: bytes
    time_us: int
    hash: bytes
    parent: bytes
    label: str | None


class Owner(msgspec.Struct, frozen=True):
    """A branch, or what one left, whose history a policy is applied to."""

    name: str
    runs: tuple[Branch, ...]
    """All of it that there is: the topmost run first."""
    spans: tuple[tuple[Run, ...], ...]
    """Of each run where its records are, newest first."""
    entry: int = 0
    """The movement that left it; 0: it is a branch."""

    def spots(self) -> Iterable[tuple[Spot, ...]]:
        """Of each run the records, newest first.

        Made anew each time: all of what many movements left is a multiple of what there is.
        """
        for runs in self.spans:
            yield tuple(
                (each.line, number)
                for each in runs
                for number in range(each.last, each.first - 1, -1)
            )


class Stay(msgspec.Struct, frozen=True):
    """A run of checkpoints that stays, within one of those that there were."""

    of: Branch
    first: Spot
    last: Spot


class Retained(msgspec.Struct, frozen=True):
    """What stays and what goes."""

    owners: tuple[Owner, ...]
    stays: tuple[tuple[Stay, ...], ...]
    """Of each owner what stays, newest first."""
    known: Mapping[Spot, Known]
    removed: tuple[Run, ...]
    final: tuple[int, ...]
    """Movements that cannot be taken back any more."""


def retained(site: Site, head: Head, policy: Retention, now_us: int) -> Steps[Retained]:
    """What a policy keeps, as of now (microseconds since 1970 UTC)."""
    owners, final, gone = yield from _owners(site, head, policy, now_us)
    known = yield from _read_known(site, head, owners)
    kept: set[Spot] = set()
    for owner in owners:
        spots = {number: (line, number) for run in owner.spots() for line, number in run}
        seen = [Seen(number, known[at].time_us, known[at].label) for number, at in spots.items()]
        kept |= {spots[number] for number in kept_numbers(policy, seen, now_us)}
    stays = tuple(tuple(_stays(owner, kept)) for owner in owners)
    lost = [Run(line, number, number) for line, number in known.keys() - kept]
    lost += _without(gone, known)
    return Retained(tuple(owners), stays, known, tuple(joined(lost)), final)


def _owners(
    site: Site, head: Head, policy: Retention, now_us: int
) -> Steps[tuple[list[Owner], tuple[int, ...], list[Run]]]:
    """What the policy is applied to, movements whose leavings go, and where those are."""
    receipt = yield from read_receipt(site, head)
    owners: list[Owner] = []
    for name, tip in (yield from all_branches(site, head)).items():
        owners.append((yield from _owner(site, head, receipt, name, tip)))
    final: list[int] = []
    gone: list[Run] = []
    for entry in (yield from read_journal(site, head)):
        left = left_of(head, entry, receipt) if entry.move.name is None else None
        if left is None:
            continue
        owner = yield from _owner(site, head, receipt, entry.move.branch, left, entry.number)
        if entry.time_us > now_us - policy.keep_left // _US:
            owners.append(owner)
        else:
            final.append(entry.number)
            gone += [run for runs in owner.spans for run in runs]
    return owners, tuple(final), gone


def _owner(
    site: Site, head: Head, receipt: Receipt, name: str, tip: Branch, entry: int = 0
) -> Steps[Owner]:
    runs = (tip, *islands_below(receipt, tip))
    found: list[tuple[Run, ...]] = []
    for run in runs:
        each = yield from spans(site, head, run, run.first, run.number)
        found.append(tuple(reversed(each)))
    return Owner(name, runs, tuple(found), entry)


def _read_known(site: Site, head: Head, owners: Iterable[Owner]) -> Steps[dict[Spot, Known]]:
    """Read every record that a policy looks at, each once."""
    known: dict[Spot, Known] = {}
    for run in joined(run for owner in owners for runs in owner.spans for run in runs):
        first = run.first
        while first <= run.last:
            groups = yield from read_groups(site, head, Run(run.line, first, run.last))
            records = [record for group in groups for record in group]
            if not records or records[0].number != first:
                raise missing(site, run.line, first)
            check_links(site, records)
            for each in records:
                label = each.extra.get(LABEL)
                found = Known(each.id, each.time_us, each.hash, each.parent, label)
                known[each.line, each.number] = found
            first = records[-1].number + 1
    return known


def _stays(owner: Owner, kept: set[Spot]) -> Iterable[Stay]:
    """The runs of neighbours that are kept, newest first."""
    for run, spots in zip(owner.runs, owner.spots(), strict=True):
        first: Spot | None = None
        last: Spot | None = None
        for spot in (*spots, None):
            if spot in kept:
                first, last = spot, last or spot
            elif first is not None and last is not None:
                yield Stay(run, first, last)
                first = last = None


def _without(gone: list[Run], known: Mapping[Spot, Known]) -> list[Run]:
    """What goes of lines that branches left, but for what others have too."""
    alone = (
        Run(run.line, number, number)
        for run in joined(gone)
        for number in range(run.first, run.last + 1)
    )
    return [run for run in alone if (run.line, run.first) not in known]
