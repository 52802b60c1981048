"""Commits of maintenance: each builds on the generation it was made from, and begins the next."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from perdure import limits
from perdure.core.head import MAIN, Head, succeeding
from perdure.core.head_bytes import seal_head
from perdure.engine.read import Site
from perdure.engine.requests import (
    Commit,
    Committed,
    HeadRow,
    Moved,
    Random,
    RecordRow,
    Run,
    Steps,
)
from perdure.engine.save import TOKEN_BYTES, send, tail_of


def commit_step(
    site: Site,
    made_from: Head,
    change: Callable[[Head], Head],
    branch: str = MAIN,
    *,
    records: tuple[RecordRow, ...] = (),
    removed: tuple[Run, ...] = (),
    dropped: tuple[bytes, ...] = (),
    still: Callable[[Head], bool] = lambda _: True,
) -> Steps[Head | None]:
    """Commit a step, whatever is saved meanwhile; None if the state went on in another way.

    `still` says of a head that took the place of the one it was made from whether it is right.
    """
    now = made_from
    for _ in range(limits.commit_tries_max):
        token = yield Random(TOKEN_BYTES)
        new = change(succeeding(replace(now, generation=now.generation + 1), now, token))
        row = HeadRow(token, seal_head(new, store=site.store, key=site.key))
        request = Commit(
            site.key, now.token, row, tail_of(new), records, "process", removed, dropped
        )
        answer = yield from send(request)
        if isinstance(answer, Committed):
            return new
        assert isinstance(answer, Moved)
        current = site.head(answer.head) if answer.head is not None else None
        if current is not None and current.token == token:
            return current  # it had landed; the answer was lost
        if current is None or not (goes_on(current, made_from, branch) and still(current)):
            return None
        now = current
    return None


def goes_on(current: Head, made_from: Head, branch: str = MAIN) -> bool:
    """Whether all that happened since is saves, and movements of others than the branch.

    Then what a step was made from is still so. New branches only refer to snapshots that there
    were; what refers to new pages begins a new generation.
    """
    there = current.branches.get(branch)
    return (
        current.incarnation == made_from.incarnation
        and current.deleted_us is None
        and current.fence == made_from.fence
        and current.generation == made_from.generation
        and there is not None
        and there.line == made_from.branches[branch].line
    )
