"""What two branches have in common: of their histories, and of what merges took into each.

A branch that merged another has in it all that was merged into that one before. Of each line, what
it has is the records from the first on, so the number of the newest says it all. Merges whose
records were pruned are in the receipt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeAlias

import msgspec

from perdure import limits
from perdure.core.head import Branch, Head
from perdure.core.lineage import bases_at
from perdure.core.receipt import Merged
from perdure.core.record import MERGED, Record
from perdure.engine.journal import read_receipt
from perdure.engine.past import every_run
from perdure.engine.read import Site, base_of, read_line, read_run, spans
from perdure.engine.requests import ReadRecords, Run, Steps
from perdure.errors import CheckpointPruned, Damaged

Ends: TypeAlias = dict[int, int]
"""The number of the newest record, by line."""


class Ancestor(msgspec.Struct, frozen=True, order=True):
    """A checkpoint that two branches have in them; the newest comes last in order."""

    time_us: int
    number: int
    line: int


def newest_ancestor(
    site: Site, head: Head, common: int, sides: Sequence[tuple[Branch, Sequence[Record]]]
) -> Steps[tuple[Branch, int] | None]:
    """The newest checkpoint that both branches have through a merge, and a branch or run with it.

    None: there is none that went on from where the branches parted.

    Raises:
        CheckpointPruned: there is one, but it was pruned.

    Args:
        site: where the state is.
        head: its head.
        common: number of the newest checkpoint that their histories have in common.
        sides: the two branches, each with its records since that, as far as they are kept.
    """
    pruned = (yield from read_receipt(site, head)).merges
    own = [
        [*_merges(records), *((each.from_line, each.from_number) for each in _on(tip, pruned))]
        for tip, records in sides
    ]
    if not any(own):
        return None
    had: list[Ends] = []
    has: list[Ends] = []
    for (tip, _), merged in zip(sides, own, strict=True):
        had.append((yield from _history(site, head, tip)))
        has.append((yield from _with_merged(site, head, had[-1], merged, pruned)))
    lines = [
        line
        for line in sorted(has[0].keys() & has[1].keys())
        if any(ends.get(line, 0) < ends_now[line] for ends, ends_now in zip(had, has, strict=True))
    ]
    found: list[tuple[Ancestor, Branch]] = []
    tips = [tip for tip, _ in sides]
    for line in lines:
        number = min(has[0][line], has[1][line])
        kept = yield from _holding(site, head, tips, line, number)
        is_ours = any(_is_on(tip, line, number) for tip in tips)
        if kept is None:
            if is_ours and number > common:
                raise CheckpointPruned(
                    f"both branches have checkpoint {number} of {site.key!r} through a merge, and "
                    "it was pruned, so they cannot be merged any more"
                )
            continue
        is_after = (
            number > common
            if is_ours
            else (yield from _is_after(site, head, tips[0], common, (line, number), pruned))
        )
        if is_after:
            (record,) = yield from read_line(site, head, Run(line, number, number))
            found.append((Ancestor(record.time_us, number, line), kept))
    if not found:
        return None
    newest, tip = max(found, key=lambda each: each[0])
    return tip, newest.number


def took_in(site: Site, head: Head, tip: Branch, common: int, other: Branch) -> Steps[bool]:
    """Whether a branch has in it, through merges, the checkpoint at which another one stands.

    Args:
        site: where the state is.
        head: its head.
        tip: the branch.
        common: number of the newest checkpoint that both have in their histories.
        other: the other branch.
    """
    own = yield from read_run(site, head, tip, max(common + 1, tip.first), tip.number)
    pruned = (yield from read_receipt(site, head)).merges
    merged = [*_merges(own), *((each.from_line, each.from_number) for each in _on(tip, pruned))]
    if not merged:
        return False
    (run,) = yield from spans(site, head, other, other.number, other.number)
    ends = yield from _history(site, head, tip)
    has = yield from _with_merged(site, head, ends, merged, pruned)
    return has.get(run.line, 0) >= other.number


def _history(site: Site, head: Head, tip: Branch) -> Steps[Ends]:
    ends = {base.line: base.number for base in reversed(tip.bases)}
    return ends | {run.line: run.last for run in (yield from spans(site, head, tip, 1, tip.number))}


def _on(tip: Branch, merges: Iterable[Merged]) -> list[Merged]:
    """Those of these merges that were made on a branch."""
    return [each for each in merges if _is_on(tip, each.line, each.number)]


def _is_on(tip: Branch, line: int, number: int) -> bool:
    """Whether a record is, or was before it was pruned, one of a branch, as far as is known."""
    bases = bases_at(tip, number) if number <= tip.number else None
    return bases is not None and bases[0].line == line


def _with_merged(
    site: Site,
    head: Head,
    ends: Ends,
    merged: Iterable[tuple[int, int]],
    pruned: Iterable[Merged],
) -> Steps[Ends]:
    """What is there with these places, and all that is in them."""
    has, todo = dict(ends), list(merged)
    while todo:
        line, number = todo.pop()
        above = has.get(line, 0)
        if number <= above:
            continue
        has[line] = number
        todo += [
            (each.from_line, each.from_number)
            for each in pruned
            if each.line == line and above < each.number <= number
        ]
        # What was pruned since cannot be asked what it had merged.
        with suppress(Damaged):
            base = yield from base_of(site, head, line)
            if base is not None:
                todo.append((base.line, base.number))
                above = max(above, base.number)
            todo += _merges((yield from _kept_on(site, head, line, above + 1, number)))
    return has


def _kept_on(site: Site, head: Head, line: int, first: int, last: int) -> Steps[list[Record]]:
    """The records of a line, as far as they are there: a pruning may have left some of them."""
    records: list[Record] = []
    while first <= last:
        rows = yield ReadRecords(head.incarnation, line, first, last, limits.read_bytes_max)
        found = site.run(head.incarnation, rows, first, last)
        if not found:
            break
        records += found
        first = found[-1].number + 1
    return records


def _merges(records: Iterable[Record]) -> Iterator[tuple[int, int]]:
    """Line and number of what records say that they took in."""
    for record in records:
        if MERGED in record.extra:
            line, number, _ = record.extra[MERGED]
            yield line, number


def _holding(
    site: Site, head: Head, tips: Sequence[Branch], line: int, number: int
) -> Steps[Branch | None]:
    """One of these branches, or else anything that is kept, that has a record; None: it is gone."""
    for tip in tips:
        if (yield from _has(site, head, tip, line, number)):
            return tip
    for _, run in (yield from every_run(site, head)):
        if (yield from _has(site, head, run, line, number)):
            return run
    return None


def _has(site: Site, head: Head, tip: Branch, line: int, number: int) -> Steps[bool]:
    runs = yield from spans(site, head, tip, number, number)
    return bool(runs) and runs[0].line == line


def _is_after(
    site: Site,
    head: Head,
    tip: Branch,
    common: int,
    place: tuple[int, int],
    pruned: Iterable[Merged],
) -> Steps[bool]:
    """Whether a checkpoint has in it the newest one of what is common to both histories."""
    if not common:
        return True
    bases = bases_at(tip, common)
    runs = yield from spans(site, head, tip, 1, common)
    if not (bases or runs):
        return False  # pruned: nobody can tell
    shared = {base.line: base.number for base in reversed(bases or ())}
    shared |= {run.line: run.last for run in runs}
    line = runs[-1].line if runs else next(reversed(shared))
    shared[line] = common - 1
    return (yield from _with_merged(site, head, shared, [place], pruned))[line] >= common
