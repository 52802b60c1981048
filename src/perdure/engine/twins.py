"""Twins: the pages that stand in for what was pruned, or have claims, are primary: kept twice.

Whichever copy is lost is made from the other. See `docs/design/0017-retention.md`.
"""

from __future__ import annotations

from collections.abc import Iterable

from perdure import limits
from perdure.core.head import Branch, Head, Snapshot
from perdure.core.page import Ref, twin_of
from perdure.core.seal import damaged
from perdure.core.tree_read import reachable
from perdure.engine.carry import read_pages, some_at_a_time
from perdure.engine.pages import put, read_page, unusable, walk
from perdure.engine.parked import all_branches
from perdure.engine.past import every_run
from perdure.engine.read import Site
from perdure.engine.requests import ListPages, Steps
from perdure.errors import Damaged


def runs_with_snapshots(site: Site, head: Head) -> Steps[list[Branch]]:
    """Whatever of a state's history may have snapshots: branches, and what pruning kept."""
    if head.journal is None or not head.journal.receipt:
        return list((yield from all_branches(site, head)).values())
    return [run for _, run in (yield from every_run(site, head))]


def base_trees(runs: Iterable[Branch]) -> list[Snapshot]:
    """The snapshots that stand in for what was pruned, each once."""
    found = (run.base_tree for run in runs)
    return list(dict.fromkeys(each for each in found if each is not None))


def put_twins(site: Site, head: Head, roots: Iterable[Ref]) -> Steps[None]:
    """Keep the pages of these trees twice."""
    ids = yield from walk(site, head.incarnation, reachable(roots))
    there = yield from _stored(head)
    lacking = sorted(id_ for id_ in ids if twin_of(id_) not in there)
    for some in some_at_a_time(lacking):
        pages = yield from read_pages(site, head, some)
        twins = {twin_of(id_): payload for id_, payload in pages.items()}
        yield from put(site, head.incarnation, twins)


def mend_twins(site: Site, head: Head, roots: Iterable[Ref]) -> Steps[int]:
    """Make of the pages of these trees whichever copy cannot be used from the other; how many.

    Raises:
        Damaged: neither copy of a page can be used; the others are mended.
    """
    try:
        ids = yield from walk(site, head.incarnation, reachable(roots))
    except Damaged as error:
        raise _lost(site, f"{error}: pages") from error
    bad = yield from unusable(site, head.incarnation, {*ids, *map(twin_of, ids)}, head.secret)
    lost, count = 0, 0
    for id_ in sorted(ids):
        twin = twin_of(id_)
        if id_ in bad and twin in bad:
            lost += 1
        elif id_ in bad or twin in bad:
            good, other = (twin, id_) if id_ in bad else (id_, twin)
            payload = yield from read_page(site, head.incarnation, good)
            yield from put(site, head.incarnation, {other: payload})
            count += 1
    if lost:
        raise _lost(site, f"{lost} page(s) of {site.key!r}")
    return count


def _lost(site: Site, what: str) -> Damaged:
    told = (
        f"{what} that nothing can make anew are lost, both copies of them. Restore the "
        "store from a backup"
    )
    return damaged(site.store, told, "missing", f"state {site.key!r}")


def _stored(head: Head) -> Steps[set[bytes]]:
    """The ids of all pages that are stored."""
    found: set[bytes] = set()
    after: bytes | None = None
    while listed := (yield ListPages(head.incarnation, after, limits.piece_rows_max)):
        found.update(id_ for id_, _ in listed)
        after = listed[-1][0]
    return found
