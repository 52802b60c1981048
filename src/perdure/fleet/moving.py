"""One state of a fleet: each of its branches tried, and committed as it was tried."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core import chain
from perdure.core.head import Branch, Head
from perdure.core.lineage import is_empty
from perdure.core.paths import format_path
from perdure.core.record import BASE, ID_BYTES, METADATA, Draft, Sealed, seal_draft
from perdure.engine.around import UNREADABLE
from perdure.engine.bodies import Body
from perdure.engine.leases import passed, removing
from perdure.engine.moving import NOBODY
from perdure.engine.parked import all_branches
from perdure.engine.read import Site
from perdure.engine.requests import HeadRow, Now, Random, Steps
from perdure.engine.save import HeadMoved, Position, append
from perdure.errors import (
    BranchNotFound,
    Busy,
    NewerFormat,
    PerdureError,
    Retryable,
    SchemaMismatch,
    StoreUnavailable,
)
from perdure.evolving import MIGRATED
from perdure.fleet.looked import Looked
from perdure.fleet.trying import Outcome, Tried, Trying, try_branch
from perdure.fleet.undo import OF_THE_STORE, began_us
from perdure.schemas.report import Fate

OF_WRITING = (*OF_THE_STORE, StoreUnavailable, NewerFormat)
"""The same of a commit. Of what is read these tell of one state."""


class Task(msgspec.Struct, frozen=True):
    """What is done to every state."""

    trying: Trying
    run: str | None
    """The run whose migrations are committed; None: they are only tried."""
    looked: Looked | None
    """What a look keeps for the run after it."""


def state(task: Task, site: Site, row: HeadRow) -> Steps[list[Outcome]]:
    """Migrate each branch of a state that needs it, in a commit of its own.

    Args:
        task: what is done.
        site: where the state is.
        row: its head, as it was listed.
    """
    try:
        head = site.head(row)
        if head.deleted_us is not None:
            return [Outcome(site.key, "", "deleted")]
        names = yield from all_branches(site, head)
    except PerdureError as error:
        return [_failed(site, "", error)]
    found = task.looked.take(site.key, head) if task.looked is not None else None
    outcomes: list[Outcome] = []
    for name in names:
        outcomes += [(yield from _branch(task, site, name, found))]
    return outcomes


def _branch(task: Task, site: Site, branch: str, found: Tried | None) -> Steps[Outcome]:
    """Migrate one branch; from what there is then, should others save to it meanwhile.

    What the look `found`, if it looked and nothing changed since, is committed as it is.
    """
    tried: Tried | Outcome | None = found
    writes = False
    try:
        for _ in range(limits.migration_tries_max):
            if tried is None:
                tried = yield from try_branch(task.trying, site, branch)
            if isinstance(tried, Outcome):
                return tried
            if task.run is None:
                return _looked(task, tried)
            writes = True
            if (yield from _commit(site, branch, tried, task.run)):
                return tried.outcome
            tried, writes = None, False
    except (PerdureError, HeadMoved) as error:
        if isinstance(error, OF_WRITING if writes else OF_THE_STORE):
            raise  # it is nothing of this state, and would meet all others, too
        return _failed(site, branch, error)
    tries = limits.migration_tries_max
    return _failed(site, branch, Busy(f"others saved to it {tries} times in a row meanwhile"))


def _looked(task: Task, tried: Tried) -> Outcome:
    """What a look tells of a migration, which it keeps."""
    if task.looked is not None:
        task.looked.keep(tried)
    return tried.outcome


def _failed(site: Site, branch: str, error: Exception) -> Outcome:
    """What is told of an error, by what would be done about it."""
    fate: Fate = "failed"
    if isinstance(error, SchemaMismatch):
        return Outcome(site.key, branch, "other")
    if isinstance(error, NewerFormat):
        return Outcome(site.key, branch, "newer")
    if isinstance(error, Retryable):
        fate = "busy"
    elif isinstance(error, UNREADABLE):
        fate = "damaged"
    elif isinstance(error, BranchNotFound):
        return Outcome(site.key, branch, "deleted")
    at = getattr(error, "path", None)
    path = format_path(at) if at else ""
    kind = getattr(error, "kind", type(error).__name__)
    return Outcome(site.key, branch, fate, path, f"{kind}: {error}")


def _commit(site: Site, branch: str, tried: Tried, run: str) -> Steps[bool]:
    """Commit a migration onto what it was made from; False: that is not the newest any more.

    Raises:
        Busy: a living session holds the branch exclusively.
    """
    head = tried.head
    tip = head.branches[branch]
    position, dead = yield from passed(site, Position(head, head.token), branch)
    sealed = yield from _sealed(site, head, tip, tried.body, run)

    def change(now: Head) -> Head:
        if dead is not None:
            now = removing(branch, dead)(now)
        return _expiring_as_before(head, now, branch)

    try:
        yield from append(site, position, branch, sealed, change, "power")
    except HeadMoved:
        return False
    return True


def _expiring_as_before(old: Head, now: Head, branch: str) -> Head:
    """The head, of which a state expires when it would have: that it was migrated is no use of it.

    Were it one, states that are to be deleted would stay for as long as there are migrations.
    """
    if now.expires_us is None:
        return now
    others = (tip.time_us for name, tip in now.branches.items() if name != branch)
    return replace(now, updated_us=max(old.updated_us, *others, 0))


def _sealed(site: Site, head: Head, tip: Branch, body: Body, run: str) -> Steps[Sealed]:
    drawn = yield Random(ID_BYTES + chain.SALT_BYTES)
    now = yield Now()
    told = {**body.extra[METADATA][MIGRATED], "run": run}
    extra: dict[str, Any] = {**body.extra, METADATA: {MIGRATED: told}}
    if tip.bases and is_empty(tip):
        extra[BASE] = [tip.bases[0].line, tip.bases[0].number]
    id_, salt = drawn[:ID_BYTES], drawn[ID_BYTES:]
    # Never before the run began, though the clock be set back: undoing it looks no further back.
    time_us = max(now, tip.time_us, began_us(run))
    draft = Draft(id_, time_us, NOBODY, body.changes, salt, extra)
    return seal_draft(
        draft,
        store=site.store,
        incarnation=head.incarnation,
        line=tip.line,
        number=tip.number + 1,
        parent=tip.hash,
    )
