"""Making room in a head, as a step of maintenance: branches are parked, and claims shelved.

Saves bring parked branches back into the head, one by one.
"""

from __future__ import annotations

from perdure.core.head import Head
from perdure.engine import parked, shelving
from perdure.engine.generations import commit_step
from perdure.engine.parked import parked_away, parking
from perdure.engine.read import Site
from perdure.engine.requests import Steps


def is_crowded(head: Head) -> bool:
    """Whether a head has more branches, or more claims, than it should."""
    return parked.is_crowded(head) or shelving.is_crowded(head)


def make_room(site: Site, head: Head) -> Steps[bool]:
    """Park branches, or shelve claims, whichever there is too much of."""
    if parked.is_crowded(head):
        return (yield from park(site, head))
    return (yield from shelving.shelve(site, head))


def park(site: Site, head: Head) -> Steps[bool]:
    """Park branches of a crowded head, none of which was saved to or moved meanwhile."""
    root, secret, names = yield from parking(site, head)

    def still(now: Head) -> bool:
        tips = ((now.branches.get(name), head.branches[name]) for name in names)
        return now.journal == head.journal and all(tip == was for tip, was in tips)

    def away(now: Head) -> Head:
        return parked_away(now, root, secret, names)

    return bool(names) and (yield from commit_step(site, head, away, still=still)) is not None
