"""The stamp: which version of which schema a state is in, and what led there.

It is a section of the state, so it has history, and goes with branches, copies and exports:

    perdure.schema: {"Research": {"version": 3, "steps": [[1, 2, [<lens>, …], null],
                                                          [2, 3, null, ["plan"]]]}}

A step is: from, to, lenses (null for a function), the sections touched (null: not said). From every
older version one step leads on, so that there is one way to this version: the steps that it took,
and for versions that the state was never in the way that was declared when it first could be seen
from there. It is never changed after that: what older code writes is kept where that way keeps it.
Steps stay when the code that declared them is gone. A state that a run of `Store.migrate` migrated
says so below "runs": by the run's id the versions from and to, and the prefix that it was for.
Keys that this version does not know are kept (P10).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from perdure.core.abbreviate import abbreviate
from perdure.core.lens import Lens, describe, from_wire, to_wire
from perdure.core.values import same
from perdure.core.versions import SECTION, STEPS, VERSION
from perdure.errors import Malformed, MigrationChanged
from perdure.schemas.declare import Declared, Migration, shortest


class Step(msgspec.Struct, frozen=True):
    """A migration, as it is kept with a state."""

    older: int
    newer: int
    lenses: tuple[Lens, ...] | None
    """None: it was a function."""
    touches: frozenset[str] | None = None
    """The sections that a function touched; None: it may be any."""

    def wire(self) -> list[Any]:
        """The step as it is stored."""
        lenses = None if self.lenses is None else to_wire(self.lenses)
        touches = None if self.touches is None else sorted(self.touches)
        return [self.older, self.newer, lenses, touches]


Steps: TypeAlias = dict[tuple[int, int], Step]
"""By older and newer version."""
RUNS = "runs"


class Run(msgspec.Struct, frozen=True):
    """A migration of many states."""

    id: str
    prefix: str
    """Of their keys."""


class Stamp(msgspec.Struct, frozen=True):
    """What a state says of one schema."""

    version: int
    steps: Steps = {}
    runs: dict[str, Any] = {}
    """Of migrations of many states, as they are stored: by id."""

    def back_to(self, version: int) -> tuple[Step, ...] | None:
        """The steps that led here from an older version, first to last; None: not known."""
        found = shortest(self.steps, version, self.version)
        return None if found is None else tuple(self.steps[step] for step in found)


def stamps_in(section: Any) -> dict[str, Stamp]:
    """The stamps of a state, by name of the schema, from what its section holds.

    Raises:
        Malformed: it holds something else.
    """
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise _malformed(section)
    return {name: _stamp(name, found) for name, found in section.items()}


def stamped(
    section: Any, declared: Declared, taken: Sequence[Migration] = (), run: Run | None = None
) -> dict[str, Any]:
    """The section with the stamp of this version of a schema, and the way to it.

    Args:
        section: what it holds now, plain; None: there is none.
        declared: the schema in whose newest version the state now is.
        taken: the migrations that were run, from the version that the section says.
        run: the migration of many states that ran them.
    """
    sections = dict(section or {})
    former = sections.get(declared.name, {})
    stamp = _stamp(declared.name, former) if former else Stamp(declared.version)
    stored = {(each[0], each[1]): each for each in former.get(STEPS, ())}
    way = _one_way(stamp.steps, stamp.version)
    way |= {each.older: each.newer for each in taken}
    way = _with_others(way, declared)
    steps = steps_of(declared)
    wires = [stored.get(at) or steps[at].wire() for at in sorted(way.items())]
    made = {**former, VERSION: declared.version, STEPS: wires}
    if run is not None and taken:
        made[RUNS] = {**stamp.runs, run.id: [taken[0].older, declared.version, run.prefix]}
    sections[declared.name] = made
    return sections


def _one_way(steps: Iterable[tuple[int, int]], version: int) -> dict[int, int]:
    """Of each older version the next one: that by which older code went until now.

    A stamp that an earlier Perdure wrote has all steps that were declared.
    """
    found: dict[int, int] = {}
    for older, newer in sorted(steps):
        shorter = shortest(steps, older, version) or ((older, newer),)
        found.setdefault(older, shorter[0][1])
    return found


def _with_others(way: dict[int, int], declared: Declared) -> dict[int, int]:
    """A way, and the shortest onto it from each version that no step leads on from yet."""
    found = dict(way)
    for older in sorted({older for older, _ in declared.migrations}, reverse=True):
        if older in way or older >= declared.version:
            continue
        steps = [*found.items(), *(at for at in declared.migrations if at[0] == older)]
        there = shortest(steps, older, declared.version)
        if there is not None:
            found[older] = there[0][1]
    return found


def require_as_declared(stamp: Stamp, declared: Declared) -> None:
    """See to it that versions mean to the code what they mean to a state.

    Raises:
        MigrationChanged: a step that the state has is declared otherwise.
    """
    step = _redeclared(stamp, declared)
    if step is None:
        return
    had = "a function" if step.lenses is None else ", ".join(map(describe, step.lenses))
    raise MigrationChanged(
        f"the migration of {declared.name} from {step.older} to {step.newer} is declared otherwise "
        f"than the state has it, which is by: {had or 'no lenses'}. Old code reads the state by "
        "that, and it cannot be changed afterwards. Declare it as it was, with the same values "
        f"each time, and what is to be changed as a migration from {declared.version} to "
        f"{declared.version + 1}; or roll the state back to before it was migrated"
    )


def _redeclared(stamp: Stamp, declared: Declared) -> Step | None:
    """The first of the steps of a state that is declared otherwise now; None: there is none.

    Two functions are taken to be one: what they do nobody can tell.
    """
    for at, step in sorted(stamp.steps.items()):
        migration = declared.migrations.get(at)
        if migration is None or (step.lenses is None and migration.lenses is None):
            continue
        if step.lenses is None or not same(to_wire(step.lenses), _wire_of(migration)):
            return step
    return None


@lru_cache(maxsize=256)
def _wire_of(migration: Migration) -> list[Any] | None:
    """Its lenses as they are stored: the same for every state."""
    return None if migration.lenses is None else to_wire(migration.lenses)


def is_one_way(one: Iterable[Step] | None, other: Iterable[Step] | None) -> bool:
    """Whether two ways lead by the same steps."""
    if one is None or other is None:
        return one is other
    return same([each.wire() for each in one], [each.wire() for each in other])


def steps_of(declared: Declared) -> Steps:
    """What is declared of a schema, as it is kept with states."""
    return {
        at: Step(each.older, each.newer, each.lenses, each.touches)
        for at, each in declared.migrations.items()
    }


def _stamp(name: str, found: Any) -> Stamp:
    if not isinstance(found, dict) or type(found.get(VERSION)) is not int:
        raise _malformed({name: found})
    wires = found.get(STEPS, [])
    if not isinstance(wires, list | tuple):
        raise _malformed({name: found})
    steps = {(step.older, step.newer): step for step in map(_step, wires)}
    runs = found.get(RUNS)
    return Stamp(found[VERSION], steps, runs if isinstance(runs, dict) else {})


def _step(wire: Any) -> Step:
    match wire:
        case [int(older), int(newer), lenses, touches, *_]:
            known = None if lenses is None else from_wire(lenses)
            return Step(older, newer, known, None if touches is None else _names(touches))
    raise _malformed(wire)


def _names(touches: Any) -> frozenset[str]:
    if not isinstance(touches, list | tuple) or not all(isinstance(name, str) for name in touches):
        raise _malformed(touches)
    return frozenset(touches)


def _malformed(section: Any) -> Malformed:
    return Malformed(
        f"the section {SECTION} does not say a schema and its version: {abbreviate(section)}"
    )
