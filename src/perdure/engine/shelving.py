"""Making room in a head: claims that have an outcome go into the state's tree of them."""

from __future__ import annotations

from msgspec.structs import replace

from perdure import limits
from perdure.core.changes import Change, Delete, Set
from perdure.core.claims import (
    claimed_of,
    claims_of,
    is_open,
    told_more_of_claims,
    without_claims,
)
from perdure.core.codec import pack
from perdure.core.head import Claim, Head
from perdure.core.head_bytes import to_wire
from perdure.core.tree import build
from perdure.core.tree_edit import edit
from perdure.core.tree_read import read_keys
from perdure.engine.carry import put_twice
from perdure.engine.claimed import result_of
from perdure.engine.generations import commit_step
from perdure.engine.pages import walk
from perdure.engine.parked import SECRET_BYTES
from perdure.engine.read import Site
from perdure.engine.requests import Random, Steps


def is_crowded(head: Head, times: int = 1) -> bool:
    """Whether a head has so many times more claims inline than it should."""
    most = times * limits.claims_inline_max
    return len(claims_of(head)) > most and len(_movable(head)) > most // 2


def _movable(head: Head) -> dict[str, Claim]:
    """The inline claims that have an outcome, oldest first.

    Without those of which a newer version wrote more than this one knows: they stay (P10).
    """
    claims, more = claims_of(head), told_more_of_claims(head)
    return {key: each for key, each in claims.items() if not is_open(each) and key not in more}


def shelve(site: Site, head: Head) -> Steps[bool]:
    """Put the oldest claims that have an outcome into the tree of pages; whether that was done."""
    ended = _movable(head)
    going = dict(list(ended.items())[: max(0, len(ended) - limits.claims_inline_max // 2)])
    if not going:
        return False
    changes: list[Change] = []
    for key, each in going.items():
        if each.kept is not None:
            value = pack((yield from result_of(site, head, each)))
            changes.append(Set((key,), to_wire(replace(each, kept=None, result=value))))
        else:
            changes.append(Set((key,), to_wire(each)))
    secret = head.secret or (yield Random(SECRET_BYTES))
    root = claimed_of(head)
    if root is None:
        built = build(
            {str(each.path[0]): each.value for each in changes if type(each) is Set}, secret
        )
    else:
        # In the order of the outcomes: one that took the place of another comes last, too.
        there = yield from walk(site, head.incarnation, read_keys(root))
        old: list[Change] = [Delete((key,)) for key in going if pack(key) in there]
        built = yield from walk(site, head.incarnation, edit(root, [*old, *changes], secret))
    yield from put_twice(site, head.incarnation, built.pages)  # nothing can make them anew

    def still(now: Head) -> bool:
        same = all(claims_of(now).get(key) == each for key, each in going.items())
        return same and claimed_of(now) == root and now.secret in (b"", secret)

    def away(now: Head) -> Head:
        return replace(without_claims(now, frozenset(going)), claimed=built.root, secret=secret)

    return (yield from commit_step(site, head, away, still=still)) is not None
