"""Putting a head anew as it is, so that whoever built on it has to read it first."""

from __future__ import annotations

from msgspec.structs import replace

from perdure import limits
from perdure.core.head import Head, succeeding
from perdure.core.head_bytes import seal_head
from perdure.engine.read import Site
from perdure.engine.requests import Commit, Committed, HeadRow, Random, ReadHead, Steps
from perdure.engine.save import TOKEN_BYTES, send, tail_of
from perdure.errors import Busy


def fence(site: Site) -> Steps[Head | None]:
    """Commit a state's head anew, with a new token and generation; None: there is no such state.

    Saves that were under way read it and go on; a step of maintenance comes to nothing.

    Raises:
        Busy: others save so fast that no attempt came first.
    """
    for _ in range(limits.commit_tries_max):
        row: HeadRow | None = yield ReadHead(site.key)
        if row is None:
            return None
        head = site.head(row)
        token = yield Random(TOKEN_BYTES)
        new = succeeding(replace(head, generation=head.generation + 1), head, token)
        now = HeadRow(token, seal_head(new, store=site.store, key=site.key))
        answer = yield from send(Commit(site.key, head.token, now, tail_of(new)))
        if isinstance(answer, Committed) or (
            answer.head is not None and answer.head.token == token
        ):
            return new
    raise Busy(f"{site.key!r} is saved to so fast that its head could not be put; try again")
