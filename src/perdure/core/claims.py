"""Claims in a head: each the right to perform one action on the world, which is given once (P9).

A claim belongs to the state, not to a branch: it stands in the head beside the branches, and what
becomes of them leaves it as it is. Those whose outcome is not known are all there, and the newest
of the others; the rest is a tree of pages, under the same keys.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec.structs import replace

from perdure.core.head import Claim, Head, Life, Unknown
from perdure.core.page import Ref

KEY_BYTES = 16
"""Of an idempotency key, before it is written as hex digits."""

ELSEWHERE = "perdure.in "
"""How the keys begin of claims that stand in another state too; no effect may be named so."""

NOBODY = ("", 0, "", "")
"""The holder of an open claim whose session ended: its process may live, and is not at it."""


def claims_of(head: Head) -> dict[str, Claim]:
    """The claims that a head has inline, by effect key, oldest first."""
    return {} if isinstance(head.claims, msgspec.UnsetType) else head.claims


def claimed_of(head: Head) -> Ref | None:
    """The root of the tree of the others."""
    return None if isinstance(head.claimed, msgspec.UnsetType) else head.claimed


def is_open(claim: Claim) -> bool:
    """Whether nobody knows what became of it."""
    return claim.ended_us is None


def open_count(head: Head) -> int:
    """How many claims of a head nobody knows the outcome of."""
    return sum(map(is_open, claims_of(head).values()))


def elsewhere_key(state: str, key: str) -> str:
    """Under which an effect is claimed here that is claimed in another state too.

    Example:
        >>> elsewhere_key("orders/17", "refund")
        'perdure.in orders/17 refund'
    """
    return f"{ELSEWHERE}{state.replace('%', '%25').replace(' ', '%20')} {key}"


def effect_key(key: str) -> str:
    """The effect's own key, wherever it is claimed.

    Example:
        >>> effect_key("perdure.in orders/17 refund")
        'refund'
    """
    return key.split(" ", 2)[2] if key.startswith(ELSEWHERE) else key


def life_of(head: Head, key: str) -> Life:
    """What another state calls the life of a state that is under `key`."""
    return Life(key, head.incarnation, origin_of(head))


def with_claim(head: Head, key: str, claim: Claim) -> Head:
    """The head in which an effect is claimed so; it is the newest then."""
    others = {name: each for name, each in claims_of(head).items() if name != key}
    return replace(head, claims={**others, key: claim})


def without_claims(head: Head, keys: frozenset[str]) -> Head:
    """The head without some claims."""
    left = {name: each for name, each in claims_of(head).items() if name not in keys}
    return replace(head, claims=left or msgspec.UNSET)


def left_open(head: Head, session: bytes) -> Head:
    """The head in which nobody is at the open claims of a session: it ended."""
    claims = {
        key: replace(each, holder=NOBODY) if is_open(each) and each.session == session else each
        for key, each in claims_of(head).items()
    }
    return replace(head, claims=claims or msgspec.UNSET)


def told_more_of_claims(head: Head) -> set[str]:
    """The effect keys of claims of which a newer version wrote more than this one knows."""
    if not isinstance(head.unknown, Unknown):
        return set()
    return {key for key, each in claims_of(head).items() if (key, each.id) in head.unknown.items}


def origin_of(head: Head) -> bytes:
    """The incarnation that a state began as, wherever it was copied to since."""
    return head.incarnation if isinstance(head.origin, msgspec.UnsetType) else head.origin


def roots_of_claims(head: Head) -> list[Ref]:
    """The trees that the claims of a head are in, wholly or in part."""
    claimed = claimed_of(head)
    kept = [each.kept for each in claims_of(head).values() if each.kept is not None]
    return ([claimed] if claimed is not None else []) + kept


def roots_beside_snapshots(head: Head) -> list[Ref]:
    """The trees that a head refers to besides its branches' snapshots."""
    return ([head.parked] if head.parked is not None else []) + roots_of_claims(head)


def idempotency_key(origin: bytes, key: str) -> str:
    """What tells a service that two requests are one: hex digits that follow from an effect's key.

    The same wherever the state is copied, exported or restored to, and never random: nothing has to
    be remembered for it to be known again.

    Args:
        origin: of the state (16 bytes).
        key: of the effect.

    Example:
        >>> idempotency_key(bytes(16), "orders/17")
        '37cca8438731e4cdc64cfcf4997c8edb'
    """
    # As the rest of the format: BLAKE2b (RFC 7693), told apart by its personalisation.
    text = key.encode("utf-8", "surrogatepass")
    hasher = hashlib.blake2b(origin + text, digest_size=KEY_BYTES, person=b"perdure effect")
    return hasher.hexdigest()
