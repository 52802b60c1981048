"""The simulator's mixed fleets: one state that code of several versions works on (P10).

Every save tells its token in its metadata, so the facts of each checkpoint follow from the saves
that led to it, in no version's words. Every version has to see those facts in it, whoever wrote
it. See `perdure.testing.sim_fleet_actors` for who works on it.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from perdure.core.head import Branch, Head
from perdure.core.journal import Entry
from perdure.core.record import LABEL, METADATA, Record
from perdure.engine.journal import read_journal
from perdure.engine.parked import all_branches
from perdure.engine.read import read_head, read_line, replay
from perdure.errors import PerdureError
from perdure.evolving import MIGRATED
from perdure.testing.model import Broken, require
from perdure.testing.sim_branches import Branched, Kept
from perdure.testing.sim_fleet_versions import (
    NAME,
    VERSIONS,
    Facts,
    Op,
    hold,
    seen,
    shown,
    shown_by,
    version_in,
)

TOKEN = "token"
"""What a save's metadata calls its token."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One save as a session of a version meant it."""

    version: int
    ops: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """One checkpoint, from the records that led to it."""

    kept: Kept
    facts: Facts
    version: int
    sections: dict[str, Any]


class Fleet(Branched):
    """A world whose state is worked on by several versions of one schema."""

    __slots__ = ("edits", "given_up", "known", "migrations")

    def __post_init__(self) -> None:
        """Make the store, of which nothing was tried yet."""
        super().__post_init__()
        self.edits: dict[str, Edit] = {}
        """By token."""
        self.known: dict[str, Known] = {}
        """By id of its checkpoint."""
        self.given_up: set[str] = set()
        """Tokens of saves that were refused, and dropped: none of them lands."""
        self.migrations = 0
        """How many checkpoints are migrations."""

    # ---- what has to be seen ------------------------------------------------------------------

    def saw(self, who: str, id_: str, number: int, sections: dict[str, Any]) -> None:
        """Somebody was shown what is stored at a checkpoint: it is what its records make (P2)."""
        known = self._known_at(id_)
        require(
            sections == known.sections,
            f"P2: {who} was shown {sections} at checkpoint {number}; its records make "
            f"{known.sections}",
        )

    def saw_as(self, who: str, version: int, id_: str, state: Any) -> None:
        """A session shows a checkpoint to code of a version, with nothing edited (P10, P13)."""
        if self.is_known:
            return
        known = self._known_at(id_)
        wanted = seen(version, known.facts, known.version)
        found = shown_by(version, state, known.version)
        require(found == wanted, f"P10: {who} shows version {version} {found}, not {wanted}")

    def _known_at(self, id_: str) -> Known:
        if id_ not in self.known:
            head = self.ask(read_head(self.site))
            for tip in self._tips(head, self.ask(read_journal(self.site, head))):
                if tip.record.hex() not in self.known:
                    self._learn(head, tip)
        require(id_ in self.known, f"P7: checkpoint {id_[:8]} was shown, and is on no line")
        return self.known[id_]

    def _tips(self, head: Head, journal: list[Entry]) -> list[Branch]:
        """Where branches stand, and where movements left them."""
        left = [entry.move.before for entry in journal if entry.move.before is not None]
        return [*self.ask(all_branches(self.site, head)).values(), *left]

    def _kept(self, head: Head, journal: list[Entry]) -> dict[str, Kept]:
        """Every checkpoint on a line that a branch has or left: what it holds follows from it."""
        for tip in self._tips(head, journal):
            self._learn(head, tip)
        if all(entry.move.what == "fork" for entry in journal):
            # Else what was given up may have landed on what its branch has left.
            landed = {token for known in self.known.values() for token in known.kept.tokens}
            late = landed & self.given_up
            require(not late, f"P4: given up, and landed: {late}")
        return {id_: known.kept for id_, known in self.known.items()}

    def _learn(self, head: Head, tip: Branch) -> None:
        """Go through all that led to a branch's newest checkpoint."""
        last: Known | None = None
        sections: dict[str, Any] = {}
        sessions: set[bytes] = set()
        for run in self._runs(head, tip):
            for record in self.ask(read_line(self.site, head, run)):
                replay([record], sections)
                is_first = record.session not in sessions
                sessions.add(record.session)
                last = self._led_to(last, record, sections, is_first=is_first)

    def _led_to(
        self, before: Known | None, record: Record, sections: dict[str, Any], *, is_first: bool
    ) -> Known:
        """What a record leads to."""
        id_, version = record.id.hex(), version_in(sections)
        tokens = before.kept.tokens if before is not None else ()
        facts = deepcopy(before.facts) if before is not None else Facts()
        told = record.extra.get(METADATA) or {}
        require(version is not None, f"P10: checkpoint {record.number} says no version")
        assert version is not None
        if MIGRATED in told:
            _check_migration(before, record, version, is_first=is_first)
        else:
            edit = self.edits.get(str(told.get(TOKEN)))
            require(edit is not None, f"P2: checkpoint {record.number} was never saved: {told}")
            assert edit is not None
            was = before.version if before is not None else edit.version
            require(version == was, f"P10: checkpoint {record.number} goes from {was} to {version}")
            tokens = (*tokens, told[TOKEN])
            require(len(set(tokens)) == len(tokens), f"P4: a save landed twice: {tokens}")
            hold(edit.version, facts, edit.ops)
        if id_ not in self.known:
            self.migrations += MIGRATED in told
            now = Known(Kept(record, tokens), facts, version, deepcopy(sections))
            self.known[id_] = _checked(now)
        same = self.known[id_]
        is_same = (same.kept.tokens, same.facts, same.sections) == (tokens, facts, sections)
        require(is_same, f"P6: checkpoint {record.number} is two states")
        return same


def _checked(known: Known) -> Known:
    """That every version sees in a checkpoint what is true of it (P10)."""
    number = known.kept.record.number
    for version in VERSIONS:
        wanted = seen(version, known.facts, known.version)
        try:
            found = shown(version, known.sections)
        except PerdureError as error:
            raise Broken(
                f"P10: version {version} cannot see checkpoint {number}: {error}"
            ) from None
        require(
            found == wanted,
            f"P10: at checkpoint {number}, in version {known.version}, version {version} sees "
            f"{found}; the saves made {wanted}",
        )
    return known


def _check_migration(before: Known | None, record: Record, version: int, *, is_first: bool) -> None:
    """That it is one step up of what was there, is called so, and its session's first save."""
    was = before.version if before is not None else 0
    told = {"schema": NAME, "from": was, "to": version}
    says = record.extra.get(LABEL), record.extra[METADATA]
    is_right = says == (f"migrate {NAME} {was} → {version}", {MIGRATED: told})
    where = f"checkpoint {record.number}, from version {was} to {version},"
    require(0 < was < version, f"P10: {where} is no migration")
    require(is_right, f"P10: {where} says {says}")
    require(is_first, f"P10: {where} is not its session's first save")
