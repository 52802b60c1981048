"""Bugs of mixed fleets to plant: see `perdure.testing.sim_plants`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from perdure import locking
from perdure.core.changes import Change, apply
from perdure.core.diff import to_changes
from perdure.core.lens import Lenses
from perdure.core.lens_run import forward, get
from perdure.core.values import take
from perdure.core.versions import SECTION
from perdure.evolving import Evolution, Plan
from perdure.schemas.stamp import stamped
from perdure.state import evolved
from perdure.state.document import Document
from perdure.testing.sim_plants import Bug


@contextmanager
def _whole_sections() -> Iterator[None]:
    def planted(
        changes: Iterable[Change], source: Mapping[str, Any], lenses: Lenses
    ) -> list[Change]:
        view = get(source, lenses)
        apply(view, list(changes))
        forward(view, lenses)
        return to_changes(take(dict(source)), take(view))

    with patch.object(evolved, "translate", planted):
        yield


@contextmanager
def _stamp_back() -> Iterator[None]:
    before_save = Evolution.before_save

    def planted(self: Evolution, core: Any, document: Any, *given: Any, **options: Any) -> None:
        before_save(self, core, document, *given, **options)
        if self.plan.is_older_code and document.stored.has_edits():
            stamp = stamped(self.plan.section, self.plan.declared)
            document.stored.write_reserved(SECTION, stamp)

    with patch.object(Evolution, "before_save", planted):
        yield


@contextmanager
def _unstamped() -> Iterator[None]:
    migrated = Plan.migrated

    def planted(self: Plan, content: dict[str, Any]) -> tuple[dict[str, Any], list[Change]]:
        after, changes = migrated(self, content)
        return after, [each for each in changes if each.path[0] != SECTION]

    with patch.object(Plan, "migrated", planted):
        yield


@contextmanager
def _unchecked() -> Iterator[None]:
    with patch.object(Evolution, "check", lambda *_: None):
        yield


@contextmanager
def _rolled_back() -> Iterator[None]:
    def planted(self: Evolution) -> int:
        return self.plan.version  # of the state as it was opened, migrated or not

    with patch.object(Evolution, "_held", property(planted)):
        yield


@contextmanager
def _not_shown() -> Iterator[None]:
    with patch.object(Document, "show", lambda self: None):
        yield


@contextmanager
def _unlocked() -> Iterator[None]:
    with patch.object(locking, "locks_of", lambda *_: {}):
        yield


@contextmanager
def _unlabelled() -> Iterator[None]:
    before_save = Evolution.before_save

    def planted(self: Evolution, core: Any, document: Any, *given: Any, **options: Any) -> None:
        body, self.migration = self.migration, None
        before_save(self, core, document, *given, **options)
        if body is not None and not core.queue.has(body):
            body.extra.clear()
            core.queue.put(body)

    with patch.object(Evolution, "before_save", planted):
        yield


FLEET_BUGS: dict[str, Bug] = {
    "whole-sections": Bug(
        "Old code writes what it sees as its whole sections, without what it does not see (P10).",
        _whole_sections,
    ),
    "stamp-back": Bug("Old code stamps a newer state with its own version (P10).", _stamp_back),
    "unstamped": Bug("A migration is saved without its stamp (P10).", _unstamped),
    "unlabelled": Bug("A migration goes as a save like any other (P10).", _unlabelled),
    "unchecked": Bug(
        "A session takes in, and saves over, what is in another version (P10).",
        _unchecked,
        by_chance=True,
    ),
    "rolled-back": Bug(
        "A session that migrated takes the version before that for its own (P10, P13).",
        _rolled_back,
        by_chance=True,
    ),
    "not-shown": Bug(
        "Old code does not see what came into a newer state meanwhile (P13).",
        _not_shown,
        by_chance=True,
    ),
    "unlocked": Bug("Old code edits what it does not understand (P10).", _unlocked, by_chance=True),
}
"""Those of mixed fleets, by name; see `perdure.testing.sim_fleet`."""
