"""One state of a fleet: what its migration does, tried out, and then committed branch by branch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from perdure import limits
from perdure.core import chain
from perdure.core.changes import Change, apply, unpack_changes
from perdure.core.diff import diff, name_of
from perdure.core.head import Branch, Head
from perdure.core.lineage import is_empty
from perdure.core.paths import format_path
from perdure.core.record import BASE, ID_BYTES, Draft, Sealed, seal_draft
from perdure.core.values import take
from perdure.engine.around import UNREADABLE
from perdure.engine.bodies import Body
from perdure.engine.leases import passed, removing
from perdure.engine.load import Loaded, load
from perdure.engine.moving import NOBODY
from perdure.engine.parked import all_branches
from perdure.engine.read import Site
from perdure.engine.requests import HeadRow, Now, Random, Steps
from perdure.engine.save import HeadMoved, Position, append
from perdure.errors import (
    BranchNotFound,
    Busy,
    MigrationFailed,
    PerdureError,
    Retryable,
    SchemaMismatch,
)
from perdure.evolving import Plan, body_of, planned
from perdure.schemas.report import Fate, MigrationSample
from perdure.state.sections import RESERVED

Sampling: TypeAlias = Callable[[], bool]
"""Whether another sample is wanted."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one branch, or would."""

    key: str
    branch: str
    fate: Fate
    path: str = ""
    problem: str = ""
    size: int = 0
    """Of the changes that are written (bytes)."""
    before: bytes = b""
    """Hash of the sections that were reached, as they were; of what is migrated."""
    after: bytes = b""
    sample: MigrationSample | None = None


class Task(msgspec.Struct, frozen=True):
    """What is done to every state."""

    schema: type
    run: str | None
    """The run whose migrations are committed; None: they are only tried out."""
    samples: Sampling


class _Tried(msgspec.Struct, frozen=True):
    """A migration that was run on what is stored."""

    loaded: Loaded
    body: Body
    outcome: Outcome


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
    outcomes: list[Outcome] = []
    for name in names:
        outcomes += [(yield from _branch(task, site, name))]
    return outcomes


def _branch(task: Task, site: Site, branch: str) -> Steps[Outcome]:
    """Migrate one branch; from what there is then, should others save to it meanwhile."""
    try:
        for _ in range(limits.migration_tries_max):
            tried = yield from _try(task, site, branch)
            if isinstance(tried, Outcome):
                return tried
            if task.run is None or (yield from _commit(site, branch, tried)):
                return tried.outcome
    except (PerdureError, HeadMoved) as error:
        return _failed(site, branch, error)
    tries = limits.migration_tries_max
    return _failed(site, branch, Busy(f"others saved to it {tries} times in a row meanwhile"))


def _failed(site: Site, branch: str, error: Exception) -> Outcome:
    """What is told of an error, by what would be done about it."""
    fate: Fate = "failed"
    if isinstance(error, SchemaMismatch):
        return Outcome(site.key, branch, "other")
    if isinstance(error, Retryable):
        fate = "busy"
    elif isinstance(error, UNREADABLE):
        fate = "damaged"
    elif isinstance(error, BranchNotFound):
        return Outcome(site.key, branch, "deleted")
    path = format_path(getattr(error, "path", ()) or ())
    kind = getattr(error, "kind", type(error).__name__)
    return Outcome(site.key, branch, fate, path, f"{kind}: {error}")


# ---- trying out -----------------------------------------------------------------------------


def _try(task: Task, site: Site, branch: str) -> Steps[_Tried | Outcome]:
    """Read what the migrations reach, run them, and prove what would be sealed."""
    loaded = yield from load(site, branch, lambda _: False)
    if loaded is None or loaded.head.deleted_us is not None:
        return Outcome(site.key, branch, "deleted")
    found = yield from planned(task.schema, loaded, site, branch, whole=False)
    if found.is_older_code:
        return Outcome(site.key, branch, "newer")
    if not found.migrations:
        is_new = all(name.startswith(RESERVED) for name in loaded.sections)
        return Outcome(site.key, branch, "new" if is_new else "current")
    told = {} if task.run is None else {"run": task.run}
    return _tried(task, site, branch, loaded, found, told)


def _tried(
    task: Task, site: Site, branch: str, loaded: Loaded, found: Plan, told: dict[str, Any]
) -> _Tried:
    """Run the migrations of a plan; what they change is packed, and proved to give their result.

    Raises:
        MigrationFailed: they do not fit, or what is packed would not give their result.
        NotStorable: they give something that cannot be stored, or not in one save.
    """
    names = found.reached(loaded.sections)
    content = {name: value for name, value in loaded.sections.items() if name in names}
    migrated, changes = found.migrated(dict(loaded.sections))
    body = body_of(found, changes, **told)
    before = _hash(content)
    after = _hash({name: migrated[name] for name in migrated if _is_reached(name, names, loaded)})
    _prove(loaded, names, body, after)
    sample = _sample(site, branch, loaded, migrated, names) if task.samples() else None
    size = len(body.changes)
    own = Outcome(site.key, branch, "migrated", "", "", size, before, after, sample)
    return _Tried(loaded, body, own)


def _is_reached(name: str, names: frozenset[str], loaded: Loaded) -> bool:
    """Whether the migrations read a section, or made it."""
    if name.startswith(RESERVED):
        return False
    return name in names or name not in loaded.sections


def _hash(sections: dict[str, Any]) -> bytes:
    """Hash of sections by their packed bytes; the library's own, and their order, do not count."""
    return name_of(
        {name: sections[name] for name in sorted(sections) if not name.startswith(RESERVED)}
    )


def _prove(loaded: Loaded, names: frozenset[str], body: Body, after: bytes) -> None:
    """Replay the very bytes that are to be sealed, and see whether they give what was foretold.

    Raises:
        MigrationFailed: they do not.
    """
    held = {
        name: take(value) if name in names or name.startswith(RESERVED) else value
        for name, value in loaded.sections.items()
    }
    changes: list[Change] = unpack_changes(body.changes)
    apply(held, changes)
    if _hash({name: held[name] for name in held if _is_reached(name, names, loaded)}) != after:
        raise MigrationFailed("what would be saved does not give what the migrations made")


def _sample(
    site: Site, branch: str, loaded: Loaded, migrated: dict[str, Any], names: frozenset[str]
) -> MigrationSample:
    before = {name: value for name, value in loaded.sections.items() if name in names}
    before = {name: before[name] for name in before if not name.startswith(RESERVED)}
    after = {name: migrated[name] for name in migrated if _is_reached(name, names, loaded)}
    found = diff(before, after)
    shown = found[: limits.migration_differences_max]
    return MigrationSample(
        site.key,
        branch,
        tuple(each.summary() for each in shown),
        len(found) - len(shown),
        _hash(before).hex(),
        _hash(after).hex(),
    )


# ---- committing -----------------------------------------------------------------------------


def _commit(site: Site, branch: str, tried: _Tried) -> Steps[bool]:
    """Commit a migration onto what it was made from; False: that is not the newest any more.

    Raises:
        Busy: a living session holds the branch exclusively.
    """
    head = tried.loaded.head
    tip = head.branches[branch]
    position, dead = yield from passed(site, Position(head, head.token), branch)
    sealed = yield from _sealed(site, head, tip, tried.body)

    def change(now: Head) -> Head:
        return removing(branch, dead)(now) if dead is not None else now

    try:
        yield from append(site, position, branch, sealed, change, "power")
    except HeadMoved:
        return False
    return True


def _sealed(site: Site, head: Head, tip: Branch, body: Body) -> Steps[Sealed]:
    drawn = yield Random(ID_BYTES + chain.SALT_BYTES)
    now = yield Now()
    extra = dict(body.extra)
    if tip.bases and is_empty(tip):
        extra[BASE] = [tip.bases[0].line, tip.bases[0].number]
    id_, salt = drawn[:ID_BYTES], drawn[ID_BYTES:]
    draft = Draft(id_, max(now, tip.time_us), NOBODY, body.changes, salt, extra)
    return seal_draft(
        draft,
        store=site.store,
        incarnation=head.incarnation,
        line=tip.line,
        number=tip.number + 1,
        parent=tip.hash,
    )
