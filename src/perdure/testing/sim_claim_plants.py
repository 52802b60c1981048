"""Bugs of claims to plant: see `perdure.testing.sim_plants`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from msgspec import UNSET
from msgspec.structs import replace

from perdure.core.claims import claims_of
from perdure.core.head import Claim, Head
from perdure.core.journal import Move
from perdure.engine import branches, claimed, claims, session
from perdure.engine.claims import Kept
from perdure.engine.moving import Planned
from perdure.engine.read import Site
from perdure.engine.requests import Steps
from perdure.testing.sim_plants import Bug


@contextmanager
def _shelf_unread() -> Iterator[None]:
    def planted(site: Site, head: Head, key: str) -> Steps[Claim | None]:
        return claims_of(head).get(key)
        yield

    with patch.object(claimed, "find", planted):
        yield


@contextmanager
def _unlooked() -> Iterator[None]:
    same_life = claims._same_life

    def planted(site: Site, before: Head, now: Head | None) -> Head:
        return replace(same_life(site, before, now), claims=before.claims)

    with patch.object(claims, "_same_life", planted):
        yield


@contextmanager
def _branch_bound() -> Iterator[None]:
    placed = branches.placed

    def planted(head: Head, move: Move) -> Planned:
        planned, after = placed(head, move), move.after
        if move.what != "rollback" or after is None:
            return planned
        kept = {k: c for k, c in claims_of(head).items() if c.number <= after.number}
        return replace(planned, head=replace(planned.head, claims=kept or UNSET))

    with patch.object(branches, "placed", planted):
        yield


@contextmanager
def _outcome_lost() -> Iterator[None]:
    def planted(site: Site, sent: Any, change: Callable[[Head], Head]) -> Steps[Any]:
        return change
        yield

    with patch.object(session, "settling", planted):
        yield


@contextmanager
def _pages_uncompared() -> Iterator[None]:
    with patch.object(Kept, "fits", lambda self, head: head.secret in (b"", self.secret)):
        yield


@contextmanager
def _retried_anew() -> Iterator[None]:
    claim_for = claims.claim_for

    def planted(core: Any, key: str, about: str) -> Steps[tuple[Claim, bool]]:
        found, is_ours = yield from claim_for(core, key, about)
        return found, is_ours or found.session == core.id or found.holder[3] == core.holder[3]

    with patch.object(claims, "claim_for", planted):
        yield


CLAIMING_BUGS: dict[str, Bug] = {
    "shelf-unread": Bug("A claim that was put into pages is not looked for (P9).", _shelf_unread),
    "claim-unlooked": Bug(
        "Who was overtaken claims without looking at what others claimed (P9).", _unlooked
    ),
    "branch-bound": Bug("A rollback drops the claims of what it leaves (P9).", _branch_bound),
    "outcome-lost": Bug("A save is committed without the outcome it has (P9).", _outcome_lost),
    "pages-uncompared": Bug(
        "A claim refers to pages that were collected before its commit (P9).",
        _pages_uncompared,
        by_chance=True,
    ),
    "own-repeated": Bug(
        "A process takes the claim that it died with for one to act by (P9).", _retried_anew
    ),
}
"""Those of claims, by name; see `perdure.testing.sim_claims`."""
