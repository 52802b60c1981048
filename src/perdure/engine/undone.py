"""Effects that a movement of a branch leaves behind, and that no movement takes back."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.core.claims import claimed_of, claims_of
from perdure.core.head import Branch, Claim, Head
from perdure.engine.branches import common_number
from perdure.engine.claimed import newest
from perdure.engine.effects import info_of
from perdure.engine.questions import ANSWERS
from perdure.engine.read import Site, spans
from perdure.engine.requests import Run, Steps
from perdure.errors import CheckpointPruned
from perdure.types import EffectInfo


def has_effects(head: Head) -> bool:
    """Whether anything was ever claimed in a state; where not, nothing has to be read to tell."""
    return bool(claims_of(head)) or claimed_of(head) is not None


def undone_by(site: Site, head: Head, left: Branch, standing: Branch) -> Steps[dict[str, Claim]]:
    """The claims of effects that are in the history of one branch, and not in that of another.

    Where no record has an outcome (it is unknown, or a person found out), by time: what was claimed
    after the checkpoint that the other one stands on. Nothing, where the one has no record that the
    other lacks.

    Args:
        site: where the state is.
        head: of the state.
        left: where the branch stood, or that which another was forked from.
        standing: where it stands.

    Returns:
        By effect key, the oldest first.

    Raises:
        Damaged: the pages that claims are in cannot be read.
    """
    common = yield from _common(site, head, left, standing)
    first = max(common + 1, left.first)
    if first > left.number:  # as of a fork of where a branch stands: nothing is read
        return {}
    runs = yield from spans(site, head, left, first, left.number)
    # Whatever got its outcome before a record that both have is in no record after it.
    shared = {base.line: min(base.number, common) for base in left.bases}
    shared[left.line] = common
    found = yield from newest(site, head, lambda each: 0 < each.number <= shared.get(each.line, 0))
    undone = [pair for pair in found.items() if _is_undone(pair[1], runs, standing)]
    return dict(sorted(undone, key=lambda pair: pair[1].at_us))


def _is_undone(claim: Claim, runs: Sequence[Run], standing: Branch) -> bool:
    if claim.of is not None:
        return False  # it is in the history of another state
    if not claim.number:
        return claim.at_us > standing.time_us
    return any(run.line == claim.line and run.first <= claim.number <= run.last for run in runs)


def _common(site: Site, head: Head, left: Branch, standing: Branch) -> Steps[int]:
    """Number of the newest record that two branches have; 0: they parted in what was pruned."""
    try:
        return (yield from common_number(site, head, left, standing))
    except CheckpointPruned:
        return 0


def told_undone(
    site: Site, head: Head, left: Branch | None, standing: Branch | None
) -> Steps[tuple[EffectInfo, ...]]:
    """What is told of them; nothing, where a branch is made anew, or removed."""
    if left is None or standing is None or not has_effects(head):
        return ()
    found: list[EffectInfo] = []
    for key, claim in (yield from undone_by(site, head, left, standing)).items():
        if not key.startswith(ANSWERS):
            found.append((yield from info_of(site, head, key, claim)))
    return tuple(found)
