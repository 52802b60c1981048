"""The stamp: which version of which schema a state is in, and what led there.

It is a section of the state, so it has history, and goes with branches, copies and exports:

    perdure.schema: {"Research": {"version": 3, "steps": [[1, 2, [<lens>, …], null],
                                                          [2, 3, null, ["plan"]]]}}

A step is: from, to, lenses (null for a function), the sections touched (null: not said). Steps stay
when the code that declared them is gone. Keys that this version does not know are kept (P10).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from perdure.core.abbreviate import abbreviate
from perdure.core.lens import Lens, Unknown, from_wire, to_wire
from perdure.core.versions import SECTION, STEPS, VERSION
from perdure.errors import Malformed
from perdure.schemas.declare import Declared, shortest


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


class Stamp(msgspec.Struct, frozen=True):
    """What a state says of one schema."""

    version: int
    steps: Steps = {}

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


def stamped(section: Any, declared: Declared) -> dict[str, Any]:
    """The section with the stamp of this version of a schema, and all steps known of it.

    Args:
        section: what it holds now, plain; None: there is none.
        declared: the schema in whose newest version the state now is.
    """
    sections = dict(section or {})
    former = sections.get(declared.name, {})
    known = stamps_in({declared.name: former})[declared.name].steps if former else {}
    steps: Steps = {**known, **steps_of(declared)}
    wires = [step.wire() for _, step in sorted(steps.items())]
    sections[declared.name] = {**former, VERSION: declared.version, STEPS: wires}
    return sections


def steps_of(declared: Declared) -> Steps:
    """What is declared of a schema, as it is kept with states."""
    return {
        at: Step(each.older, each.newer, each.lenses, each.touches)
        for at, each in declared.migrations.items()
    }


def is_understood(lenses: Iterable[Lens]) -> bool:
    """Whether this version of Perdure knows all of these lenses."""
    return not any(isinstance(each, Unknown) for each in lenses)


def _stamp(name: str, found: Any) -> Stamp:
    if not isinstance(found, dict) or type(found.get(VERSION)) is not int:
        raise _malformed({name: found})
    wires = found.get(STEPS, [])
    if not isinstance(wires, list | tuple):
        raise _malformed({name: found})
    steps = map(_step, wires)
    return Stamp(found[VERSION], {(step.older, step.newer): step for step in steps})


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
