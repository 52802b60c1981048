"""Collecting pages: those that no kept snapshot leads to are removed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec.structs import replace

from perdure import limits
from perdure.core.claims import roots_beside_snapshots, roots_of_claims
from perdure.core.head import Branch, Head, Snapshot
from perdure.core.page import twin_of
from perdure.core.tree_read import reachable
from perdure.engine.around import Around
from perdure.engine.generations import commit_step
from perdure.engine.pages import walk
from perdure.engine.read import Site
from perdure.engine.requests import ListPages, Steps
from perdure.engine.twins import base_trees, runs_with_snapshots
from perdure.errors import Damaged


def collect_pages(site: Site, head: Head, around: Around) -> Steps[bool]:
    """Remove the pages that no kept snapshot leads to.

    A snapshot whose pages of references are damaged or missing is let go: what it leads to cannot
    be known, and the log has every checkpoint.
    """
    kept, needed, problems = yield from walkable(site, head)
    if problems:

        def change(now: Head) -> Head:
            branches = {name: _keeping(tip, kept) for name, tip in now.branches.items()}
            return replace(now, branches=branches)

        after = yield from commit_step(site, head, change)
        if after is None:
            return False  # others' maintenance came between: what it removed is not lost
        head = after
        around.problems += problems
    garbage = _twins_first((yield from _garbage(head, needed)))
    now, dropped = head, 0
    for some in _bounded(garbage):
        after = yield from commit_step(site, now, lambda each: each, dropped=some)
        if after is None:
            break
        now = after
        dropped += len(some)
    return dropped > 0


def _keeping(tip: Branch, kept: Collection[Snapshot]) -> Branch:
    """A branch with only those of its snapshots that are to be kept."""
    return replace(tip, snapshots=tuple(each for each in tip.snapshots or () if each in kept))


def walkable(site: Site, head: Head) -> Steps[tuple[list[Snapshot], set[bytes], list[str]]]:
    """The snapshots whose pages of references can all be read, and the pages that are needed.

    And for each of the others what is wrong with it. The pages of claims and of parked branches are
    needed, and those of the snapshots of these: that they can be read is not asked for here. What
    stands in for what was pruned is never let go.
    """
    runs = yield from runs_with_snapshots(site, head)
    kept = base_trees(runs)
    beside = roots_beside_snapshots(head)
    snapshots = list(dict.fromkeys(each for run in runs for each in run.snapshots or ()))
    incarnation = head.incarnation
    primary = [each.root for each in kept] + roots_of_claims(head)
    bases: set[bytes] = yield from walk(site, incarnation, reachable(primary))
    twins = set(map(twin_of, bases))
    try:
        roots = [each.root for each in snapshots]
        needed = yield from walk(site, incarnation, reachable(beside + roots))
        return snapshots, needed | twins, []
    except Damaged:
        pass  # which of them it is
    needed = bases | twins | (yield from walk(site, incarnation, reachable(beside)))
    problems: list[str] = []
    for each in snapshots:
        if each in kept:
            continue
        try:
            needed |= yield from walk(site, incarnation, reachable([each.root]))
        except Damaged as error:
            problems.append(f"the snapshot at checkpoint {each.number} was let go: {error}")
        else:
            kept.append(each)
    return kept, needed, problems


def _garbage(head: Head, needed: set[bytes]) -> Steps[list[tuple[bytes, int]]]:
    """The pages that are not needed: their ids, and what they take in the store (bytes)."""
    found: list[tuple[bytes, int]] = []
    after: bytes | None = None
    while True:
        listed = yield ListPages(head.incarnation, after, limits.piece_rows_max)
        found += (page for page in listed if page[0] not in needed)
        if len(listed) < limits.piece_rows_max:
            return found
        after = listed[-1][0]


def _twins_first(pages: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    """The same, so ordered that no page goes before its twin.

    Who is reading what goes would take it for damaged if only the twin were still there.
    """
    twins = {twin_of(id_) for id_, _ in pages}
    return sorted(pages, key=lambda page: page[0] not in twins)


def _bounded(pages: Iterable[tuple[bytes, int]]) -> Iterator[tuple[bytes, ...]]:
    """Ids of pages, as many at a time as one transaction may remove."""
    some: list[bytes] = []
    size = 0
    for id_, stored in pages:
        is_full = size + stored > limits.upkeep_bytes_max or len(some) == limits.piece_rows_max
        if some and is_full:
            yield tuple(some)
            some, size = [], 0
        some.append(id_)
        size += stored
    if some:
        yield tuple(some)
