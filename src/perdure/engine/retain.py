"""What a retention policy keeps of a state: of its branches, and of what they left.

A plan is made of what is read and changes nothing; `perdure.engine.prune` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TypeAlias

import msgspec

from perdure.core.head import Branch, Head
from perdure.core.receipt import Merged, Receipt, islands_below
from perdure.core.record import LABEL, MERGED, Record
from perdure.core.retention import Retention, Seen, kept_numbers
from perdure.engine.journal import left_of, read_journal, read_receipt
from perdure.engine.parked import all_branches
from perdure.engine.read import Site, joined, next_records, spans
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
    merged: Spot | None
    """Of a merge, the checkpoint that was merged."""


class Owner(msgspec.Struct, frozen=True):
    """A branch, or what one left, whose history a policy is applied to."""

    name: str
    runs: tuple[Branch, ...]
    """All of it that there is: the topmost run first."""
    spans: tuple[tuple[Run, ...], ...]
    """Of each run where its records are, newest first."""
    entry: int = 0
    """The movement that left it; 0: it is a branch."""

    def spots(self) -> Iterator[Spot]:
        """All of its records, newest first."""
        return (spot for some in self.spans for spot in spots_in(some))


def spots_in(runs: Iterable[Run]) -> Iterator[Spot]:
    """The records of a run, newest first, as its spans are."""
    for each in runs:
        for number in range(each.last, each.first - 1, -1):
            yield each.line, number


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
    merges: tuple[Merged, ...]
    """All merges whose records are gone then."""


def retained(site: Site, head: Head, policy: Retention, now_us: int) -> Steps[Retained]:
    """What a policy keeps, as of now (microseconds since 1970 UTC)."""
    receipt = yield from read_receipt(site, head)
    owners, old = yield from _owners(site, head, receipt, policy, now_us)
    known = yield from _read_known(site, head, owners)
    kept: set[Spot] = set()
    for owner in owners:
        spots = {number: (line, number) for line, number in owner.spots()}
        seen = [Seen(number, known[at].time_us, known[at].label) for number, at in spots.items()]
        kept |= {spots[number] for number in kept_numbers(policy, seen, now_us)}
    merges = _merges(receipt, known)
    kept |= _meeting_points(owners, known, merges)
    # What was left long ago can still be gone back to where others keep all of it.
    owners += [owner for owner in old if next(owner.spots()) in kept]
    gone = [owner for owner in old if next(owner.spots()) not in kept]
    stays = tuple(tuple(_stays(owner, kept)) for owner in owners)
    lost = [Run(line, number, number) for line, number in known.keys() - kept]
    lost += _without([run for owner in gone for runs in owner.spans for run in runs], known)
    merges = [each for each in merges if (each.line, each.number) not in kept]
    final = tuple(owner.entry for owner in gone)
    return Retained(tuple(owners), stays, known, tuple(joined(lost)), final, tuple(merges))


def _owners(
    site: Site, head: Head, receipt: Receipt, policy: Retention, now_us: int
) -> Steps[tuple[list[Owner], list[Owner]]]:
    """What the policy is applied to, and what was left so long ago that it keeps nothing of it."""
    owners: list[Owner] = []
    for name, tip in (yield from all_branches(site, head)).items():
        owners.append((yield from _owner(site, head, receipt, name, tip)))
    old: list[Owner] = []
    for entry in (yield from read_journal(site, head)):
        left = left_of(head, entry, receipt) if entry.move.name is None else None
        if left is None:
            continue
        owner = yield from _owner(site, head, receipt, entry.move.branch, left, entry.number)
        is_young = entry.time_us > now_us - policy.keep_left // _US
        (owners if is_young else old).append(owner)
    return owners, old


def _owner(
    site: Site, head: Head, receipt: Receipt, name: str, tip: Branch, entry: int = 0
) -> Steps[Owner]:
    runs = (tip, *islands_below(receipt, tip))
    found: list[tuple[Run, ...]] = []
    for run in runs:
        there = yield from spans(site, head, run, run.first, run.number)
        found.append(tuple(reversed(there)))
    return Owner(name, runs, tuple(found), entry)


def _read_known(site: Site, head: Head, owners: Iterable[Owner]) -> Steps[dict[Spot, Known]]:
    """Read every record that a policy looks at, each once."""
    known: dict[Spot, Known] = {}
    for run in joined(run for owner in owners for some in owner.spans for run in some):
        first = run.first
        while first <= run.last:
            records = yield from next_records(site, head, Run(run.line, first, run.last))
            for each in records:
                known[each.line, each.number] = _known(each)
            first = records[-1].number + 1
    return known


def _known(record: Record) -> Known:
    merged = record.extra.get(MERGED)
    return Known(
        record.id,
        record.time_us,
        record.hash,
        record.parent,
        record.extra.get(LABEL),
        (merged[0], merged[1]) if merged is not None else None,
    )


def _merges(receipt: Receipt, known: Mapping[Spot, Known]) -> list[Merged]:
    """Every merge of branches that there ever was; none that a session made on its own line."""
    found = list(receipt.merges)
    for (line, number), each in known.items():
        if each.merged is not None and each.merged[0] != line:
            found.append(Merged(line, number, each.time_us, *each.merged))
    return found


def _meeting_points(
    owners: Iterable[Owner], known: Mapping[Spot, Known], merges: Iterable[Merged]
) -> set[Spot]:
    """Where branches begin, and what they took in of others last: so that they can be merged."""
    live = [owner.runs[0] for owner in owners if not owner.entry]
    if len(live) < 2:
        return set()
    points = {(tip.bases[0].line, tip.bases[0].number) for tip in live if tip.bases}
    newest: dict[Spot, Merged] = {}
    for each in sorted(merges, key=lambda each: each.number):
        newest[each.line, each.from_line] = each
    points |= {(each.from_line, each.from_number) for each in newest.values()}
    return points & known.keys()


def _stays(owner: Owner, kept: set[Spot]) -> Iterable[Stay]:
    """The runs of neighbours that are kept, newest first."""
    for run, some in zip(owner.runs, owner.spans, strict=True):
        first: Spot | None = None
        last: Spot | None = None
        for spot in spots_in(some):
            if spot in kept:
                first, last = spot, last or spot
            elif first is not None and last is not None:
                yield Stay(run, first, last)
                first = last = None
        if first is not None and last is not None:
            yield Stay(run, first, last)


def _without(gone: list[Run], known: Mapping[Spot, Known]) -> list[Run]:
    """What goes of lines that branches left, but for what others have too."""
    alone = (
        Run(run.line, number, number)
        for run in joined(gone)
        for number in range(run.first, run.last + 1)
    )
    return [run for run in alone if (run.line, run.first) not in known]
