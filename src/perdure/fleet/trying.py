"""One branch of a state, tried: its migrations are run, and what would be sealed is proved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.changes import Change, apply, unpack_changes
from perdure.core.diff import diff, name_of
from perdure.core.head import Head
from perdure.core.values import take
from perdure.engine.bodies import Body
from perdure.engine.load import Loaded, load
from perdure.engine.read import Site
from perdure.engine.requests import Steps
from perdure.errors import MigrationFailed
from perdure.evolving import Plan, body_of, planned
from perdure.schemas.fitting import require_fit
from perdure.schemas.met import Met
from perdure.schemas.report import Fate, MigrationSample
from perdure.schemas.stamp import Run
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


class Tried(msgspec.Struct, frozen=True):
    """A migration that was run on what is stored, and gives what its outcome says."""

    head: Head
    """By which it was read."""
    body: Body
    outcome: Outcome


class Trying(msgspec.Struct, frozen=True):
    """What is tried on each branch, and what is wanted of it."""

    schema: type
    """To whose version it is to be migrated."""
    samples: Sampling
    met: Met | None = None
    """What notes which lenses found what they are about."""
    run: Run | None = None
    """The run that commits what is tried."""


def try_branch(task: Trying, site: Site, branch: str) -> Steps[Tried | Outcome]:
    """Read what the migrations reach, run them, and prove what would be sealed.

    Args:
        task: to what it is to be migrated.
        site: where the state is.
        branch: of it.

    Returns:
        The migration; or what became of a branch that needs none.
    """
    loaded = yield from load(site, branch, lambda _: False)
    if loaded is None or loaded.head.deleted_us is not None:
        return Outcome(site.key, branch, "deleted")
    found = yield from planned(task.schema, loaded, site, branch, whole=False)
    if found.is_older_code:
        return Outcome(site.key, branch, "newer")
    if not found.migrations:
        return Outcome(site.key, branch, _as_it_is(found, loaded))
    return _tried(task, site, branch, loaded, replace(found, run=task.run))


def _as_it_is(found: Plan, loaded: Loaded) -> Fate:
    """What is said of a branch that no migration is for."""
    if all(name.startswith(RESERVED) for name in loaded.sections):
        return "new"
    stamps = found.section or {}
    return "other" if stamps and found.declared.name not in stamps else "current"


def _tried(task: Trying, site: Site, branch: str, loaded: Loaded, found: Plan) -> Tried:
    """Run the migrations of a plan; what they change is packed, and proved to give their result.

    Raises:
        MigrationFailed: they do not fit, the schema does not fit their result, or what is packed
            would not give it.
        NotStorable: they give something that cannot be stored, or not in one save.
    """
    names = found.reached(loaded.sections)
    content = {name: value for name, value in loaded.sections.items() if name in names}
    seen = task.met.see if task.met is not None else None
    migrated, changes = found.migrated(dict(loaded.sections), seen)
    body = body_of(found, changes)
    before = _hash(content)
    reached = [name for name in migrated if _is_reached(name, names, loaded)]
    require_fit(found.cls, migrated, reached)
    after = _hash({name: migrated[name] for name in reached})
    _prove(loaded, names, body, after)
    sample = _sample(site, branch, loaded, migrated, names) if task.samples() else None
    size = len(body.changes)
    own = Outcome(site.key, branch, "migrated", "", "", size, before, after, sample)
    return Tried(loaded.head, body, own)


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
