"""Mending: pages of kept snapshots that are damaged or missing are made anew.

What they held is in the log, and which pages a state consists of goes by its content alone: so the
pages that are made are those that are lost, byte for byte. Of what was pruned there is no log, nor
of claims; their pages are kept twice, and either copy is made from the other.
"""

from __future__ import annotations

from perdure.core.claims import roots_of_claims
from perdure.core.head import Branch, Head, Snapshot
from perdure.core.seal import damaged
from perdure.core.tree import building
from perdure.core.tree_read import reachable
from perdure.engine.load import state_at
from perdure.engine.pages import in_pieces, put, unusable, walk
from perdure.engine.parked import all_branches
from perdure.engine.read import Site
from perdure.engine.requests import Steps
from perdure.engine.twins import base_trees, mend_twins, runs_with_snapshots
from perdure.errors import Damaged, Malformed, NewerFormat, ReplayMismatch


def mend(site: Site, head: Head) -> Steps[int]:
    """Read every page of the kept snapshots, and make anew those that cannot be used.

    How many that were.

    Raises:
        Damaged: a snapshot cannot be mended; it was left as it is, and the others are mended.
    """
    count, sound, problems = 0, set[bytes](), list[str]()
    bases = base_trees((yield from runs_with_snapshots(site, head)))
    for root in [each.root for each in bases] + roots_of_claims(head):
        try:
            count += yield from mend_twins(site, head, [root])
        except Damaged as error:
            problems.append(str(error))
    for tip in (yield from all_branches(site, head)).values():
        for snapshot in reversed(tip.snapshots or ()):  # newer ones are made from those mended
            if snapshot == tip.base_tree:
                continue
            try:
                if not (yield from _is_sound(site, head, snapshot, sound)):
                    count += yield from _make_anew(site, head, tip, snapshot, sound)
            except (Damaged, Malformed, ReplayMismatch, NewerFormat) as error:
                problems.append(f"the snapshot at checkpoint {snapshot.number} is no use: {error}")
    if problems:
        raise damaged(site.store, "; ".join(problems), "", f"state {site.key!r}")
    return count


def _is_sound(site: Site, head: Head, snapshot: Snapshot, sound: set[bytes]) -> Steps[bool]:
    """Whether all pages of a snapshot can be used; those in `sound` can, more are added."""
    try:
        ids = yield from walk(site, head.incarnation, reachable([snapshot.root]))
    except Damaged:
        return False
    bad = yield from unusable(site, head.incarnation, ids - sound, head.secret)
    sound |= ids - bad
    return not bad


def _make_anew(
    site: Site, head: Head, tip: Branch, snapshot: Snapshot, sound: set[bytes]
) -> Steps[int]:
    """Put the pages of a snapshot that cannot be used; how many there were."""
    number = snapshot.number
    sections, _ = yield from state_at(site, head, tip, number, below=number)
    built = yield from in_pieces(building(sections, head.secret))
    if built.root != snapshot.root:
        raise ReplayMismatch("it is not what replaying the records gives")
    bad = yield from unusable(site, head.incarnation, built.pages.keys() - sound, head.secret)
    yield from put(site, head.incarnation, {id_: built.pages[id_] for id_ in sorted(bad)})
    sound |= built.pages.keys()
    return len(bad)
