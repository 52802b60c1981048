"""Looking at claims: those that stand in the head of a state, and those in its tree of pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from perdure.core.claims import (
    claimed_of,
    claims_of,
    told_more_of_claims,
)
from perdure.core.codec import unpack
from perdure.core.head import Claim, Head
from perdure.core.page import Ref
from perdure.core.seal import damaged
from perdure.core.tree_read import Reading, find_pair, newest_pairs, read_root, read_value
from perdure.engine.pages import walk
from perdure.engine.read import Site, as_of_now
from perdure.engine.requests import Steps
from perdure.errors import Damaged

RESULT = "result"
"""The key of the only value in the tree that has a large result."""


def find(site: Site, head: Head, key: str) -> Steps[Claim | None]:
    """The claim of an effect; None: there is none.

    Raises:
        Damaged: the pages that have it cannot be read.
    """
    claim = claims_of(head).get(key)
    root = claimed_of(head)
    if claim is not None or root is None:
        return claim
    found = yield from walk(site, head.incarnation, find_pair(root, key))
    return (yield from _claim_of(site, head, key, found[0])) if found is not None else None


def every(site: Site, head: Head) -> Steps[dict[str, Claim]]:
    """All claims of a state by effect key, the newest last."""
    root = claimed_of(head)
    found: dict[str, Claim] = {}
    if root is not None:
        wires: dict[str, Any] = yield from walk(site, head.incarnation, read_root(root))
        for key, wire in wires.items():
            found[key] = yield from _claim_of(site, head, key, wire)
    found |= claims_of(head)
    return dict(sorted(found.items(), key=lambda each: each[1].at_us))


def newest(site: Site, head: Head, is_enough: Callable[[Claim], bool]) -> Steps[dict[str, Claim]]:
    """Claims by effect key, in the order of their outcomes: at least those after the last such one.

    Of what is in pages, no more are read than it takes to come to it.
    """
    inline, root = claims_of(head), claimed_of(head)
    more = told_more_of_claims(head)  # those stay, however old they are
    if root is None or any(is_enough(each) for key, each in inline.items() if key not in more):
        return inline

    def is_there(page: dict[str, Any]) -> bool:
        # A large one is a tree of its own, and does not tell.
        return any(
            type(wire) is not Ref and is_enough(_converted(site, key, wire))
            for key, wire in page.items()
        )

    found: dict[str, Claim] = {}
    wires = yield from walk(site, head.incarnation, newest_pairs(root, is_there))
    for key, wire in wires.items():
        found[key] = yield from _claim_of(site, head, key, wire)
    return found | inline


def _claim_of(site: Site, head: Head, key: str, wire: Any) -> Steps[Claim]:
    """A claim as the tree keeps it: its fields, or the tree that keeps them."""
    if type(wire) is Ref:
        wire = yield from walk(site, head.incarnation, read_value(wire))
    return _converted(site, key, wire)


def _converted(site: Site, key: str, wire: Any) -> Claim:
    return _claim(f"claim {key!r} of {site.key!r}", wire)


def _claim(what: str, wire: Any) -> Claim:
    try:
        return msgspec.convert(wire, Claim)
    except msgspec.ValidationError as error:
        raise Damaged(f"{what}: {error}") from error


def result_of(site: Site, head: Head, claim: Claim) -> Steps[Any]:
    """What the action gave; None while that is not known."""
    if claim.result is not None:
        return unpack(claim.result)
    if claim.kept is None:
        return None
    found = yield from walk(site, head.incarnation, find_pair(claim.kept, RESULT))
    if found is None:
        what = f"a result that a claim of {site.key!r} refers to is not there"
        raise damaged(site.store, what, "missing", f"state {site.key!r}")
    value = found[0]
    if type(value) is Ref:
        value = yield from walk(site, head.incarnation, read_value(value))
    return unpack(value)


def results(head: Head) -> Reading[dict[str, Any]]:
    """What the actions gave, by effect key, as far as that is known in this state."""
    claims = dict(claims_of(head))
    wires: dict[str, Any] = {}
    root = claimed_of(head)
    if root is not None:
        wires = yield from read_root(root)
    for key, wire in wires.items():
        if key not in claims:
            claims[key] = _claim(f"claim {key!r}", (yield from _whole(wire)))
    found: dict[str, Any] = {}
    for key, claim in claims.items():
        if claim.result is not None:
            found[key] = unpack(claim.result)
        elif claim.kept is not None:
            pair = yield from find_pair(claim.kept, RESULT)
            if pair is not None:
                found[key] = unpack((yield from _whole(pair[0])))
    return found


def _whole(value: Any) -> Reading[Any]:
    """A value of a tree; one that is a tree of its own is read."""
    return (yield from read_value(value)) if type(value) is Ref else value


def known(site: Site, key: str) -> Steps[tuple[Claim | None, Any]]:
    """The claim of an effect as of now, and what the action gave, whatever is moved meanwhile."""

    def look(head: Head) -> Steps[tuple[Claim | None, Any]]:
        found = yield from find(site, head, key)
        result = (yield from result_of(site, head, found)) if found is not None else None
        return found, result

    return (yield from as_of_now(site, look))
