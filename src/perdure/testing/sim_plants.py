"""Bugs to plant: each breaks the engine or the backend in one small place, while it is planted.

A simulator that has never caught a bug proves nothing. Every plant names the rule that it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from unittest.mock import patch

from msgspec.structs import replace

from perdure.backends.in_process import InProcess
from perdure.backends.memory import MemoryBackend
from perdure.core import journal, lineage
from perdure.core.head import MAIN, Base, Branch, Head
from perdure.core.record import Sealed
from perdure.engine import branches, collecting, generations, load, moving, read, save
from perdure.engine.load import Loaded
from perdure.engine.read import Site
from perdure.engine.refs import Point
from perdure.engine.requests import (
    Answer,
    Commit,
    Moved,
    ReadHead,
    ReadRecords,
    ReadState,
    Run,
    Steps,
    Unchanged,
)
from perdure.engine.session import SessionCore
from perdure.errors import CommitUnknown
from perdure.testing.sim_world import Face, World

Plant: TypeAlias = Callable[[], AbstractContextManager[None]]


@contextmanager
def _head_ignored() -> Iterator[None]:
    perform = InProcess.perform

    def planted(self: InProcess, request: Any) -> Any:
        if isinstance(request, Commit):
            present = self._read_head(ReadHead(request.key))
            request = replace(request, expect=present.token if present else None)
        return perform(self, request)

    with patch.object(InProcess, "perform", planted):
        yield


@contextmanager
def _place_ignored() -> Iterator[None]:
    with patch.object(save, "same_place", lambda current, expected, branch: True):
        yield


@contextmanager
def _line_compared() -> Iterator[None]:
    def planted(current: Head, expected: Head, branch: str) -> bool:
        now, then = current.branches.get(branch), expected.branches.get(branch)
        return now is not None and then is not None and now.line == then.line

    with patch.object(save, "same_place", planted):
        yield


@contextmanager
def _dedupe_dropped() -> Iterator[None]:
    def planted(site: Site, current: Head, branch: str, sealed: Sealed) -> Steps[bool]:
        return False
        yield

    with patch.object(save, "has_landed", planted):
        yield


@contextmanager
def _new_id() -> Iterator[None]:
    send = SessionCore._send

    def planted(self: SessionCore, sent: Any, durability: Any) -> Steps[None]:
        try:
            yield from send(self, sent, durability)
        except CommitUnknown:
            self._sent = None
            raise

    with patch.object(SessionCore, "_send", planted):
        yield


@contextmanager
def _newer_tail() -> Iterator[None]:
    def planted(
        site: Site, branch: str = MAIN, wanted: load.Wanted = load.everything
    ) -> Steps[Loaded | None]:
        row = yield ReadHead(site.key)
        if row is None:
            return None
        head = site.head(row)
        if head.deleted_us is not None:
            return Loaded(head, {}, None)
        tip = head.branches[branch]
        rows = yield ReadRecords(head.incarnation, tip.line, 1, 2**62, 2**62)
        records = site.run(head.incarnation, rows, 1, 2**62)
        return Loaded(head, read.replay(records), records[-1])

    with (
        patch.object(load, "load", planted),
        patch("perdure.engine.refresh.load", planted),
        patch("perdure.engine.audit.load", planted),
    ):
        yield


@contextmanager
def _losers_rows() -> Iterator[None]:
    settle = MemoryBackend._settle

    def planted(self: MemoryBackend, request: Commit) -> Answer:
        answer = settle(self, request)
        if isinstance(answer, Moved):
            places = [Run(row.line, row.number, row.number) for row in request.records]
            self._tables.add(request.tail.incarnation, request.records, places)
        return answer

    with patch.object(MemoryBackend, "_settle", planted):
        yield


@contextmanager
def _torn_commit() -> Iterator[None]:
    begin = World.__post_init__

    def planted(self: World) -> None:
        begin(self)
        self.is_tearing = True

    with patch.object(World, "__post_init__", planted):
        yield


@contextmanager
def _clock_trusted() -> Iterator[None]:
    with patch("perdure.engine.placing.max", lambda now, newest: now, create=True):
        yield


@contextmanager
def _generation_ignored() -> Iterator[None]:
    goes_on = generations.goes_on

    def planted(current: Head, made_from: Head, branch: str = MAIN) -> bool:
        return goes_on(current, replace(made_from, generation=current.generation), branch)

    with patch.object(generations, "goes_on", planted):
        yield


@contextmanager
def _deletion_unnamed() -> Iterator[None]:
    commit = generations.commit_step

    def planted(
        site: Site, made_from: Head, change: Any, branch: str = MAIN, **what: Any
    ) -> Steps[Head | None]:
        found = yield from commit(site, made_from, change, branch, **what)
        while found is None and "dropped" in what:
            head = yield from read.read_head(site)
            found = yield from commit(site, head, change, branch, **what)
        return found

    with patch.object(collecting, "commit_step", planted):
        yield


@contextmanager
def _deletion_uncounted() -> Iterator[None]:
    commit = generations.commit_step

    def uncounted(head: Head) -> Head:
        return replace(head, generation=head.generation - 1)

    def planted(
        site: Site, made_from: Head, change: Any, branch: str = MAIN, **what: Any
    ) -> Steps[Head | None]:
        change = uncounted if "dropped" in what else change
        return (yield from commit(site, made_from, change, branch, **what))

    with patch.object(collecting, "commit_step", planted):
        yield


@contextmanager
def _newer_section() -> Iterator[None]:
    def planted(site: Site, head: Head, branch: str, name: str, unread: Any) -> Steps[Any]:
        loaded = yield from load.load(site)
        return loaded.sections[name] if loaded is not None else None

    with patch.object(load, "read_section", planted):
        yield


@contextmanager
def _moved_head() -> Iterator[None]:
    perform = InProcess.perform

    def planted(self: InProcess, request: Any) -> Any:
        if isinstance(request, ReadState) and request.known is not None:
            return Unchanged()
        return perform(self, request)

    with patch.object(InProcess, "perform", planted):
        yield


@contextmanager
def _old_line() -> Iterator[None]:
    def planted(head: Head, at: Branch, bases: Iterable[Base]) -> Branch:
        new = lineage.moved_to(head, at, bases)
        on = head.branches[MAIN]
        return replace(new, line=on.line, bases=on.bases) if at.line == on.line else new

    with patch.object(branches, "moved_to", planted):
        yield


@contextmanager
def _branch_uncollected() -> Iterator[None]:
    walkable = collecting.walkable

    def planted(site: Site, head: Head) -> Steps[Any]:
        return (yield from walkable(site, replace(head, branches={MAIN: head.branches[MAIN]})))

    with patch.object(collecting, "walkable", planted):
        yield


@contextmanager
def _unrecorded() -> Iterator[None]:
    def written(head: Head, move: Any, taken: Any = None, **what: Any) -> tuple[Sealed, Head]:
        sealed, _ = journal.written(head, move, taken, **what)
        return sealed, head

    def commit(key: str, expect: Any, row: Any, tail: Any, _records: Any, **_more: Any) -> Commit:
        return Commit(key, expect, row, tail)

    with patch.object(moving, "written", written), patch.object(moving, "Commit", commit):
        yield


@contextmanager
def _same_line() -> Iterator[None]:
    standing = branches.standing

    def planted(site: Site, head: Head, point: Point) -> Steps[Branch]:
        is_left = point.tip not in head.branches.values() and point.number == point.tip.number
        return point.tip if is_left else (yield from standing(site, head, point))

    with patch.object(branches, "standing", planted):
        yield


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug to plant, and on which faces there is a place for it."""

    about: str
    plant: Plant
    faces: tuple[Face, ...] = ("transactional", "objects")
    needs_skew: bool = False
    """Whether it shows only where clocks differ, which they do not in the exhaustive world."""
    by_chance: bool = False
    """Whether it is in what the exhaustive world has not: maintenance, and reading later."""


BUGS: dict[str, Bug] = {
    "head-ignored": Bug(
        "The backend does not compare the token that a commit expects (P3).", _head_ignored
    ),
    "place-ignored": Bug(
        "The engine takes every moved head for one where its branch is unmoved (P3).",
        _place_ignored,
    ),
    "line-compared": Bug(
        "The engine compares the line of the branch, not its newest record (P3).", _line_compared
    ),
    "dedupe-dropped": Bug(
        "The engine does not look for its record after an answer was lost (P4).", _dedupe_dropped
    ),
    "new-id": Bug("A save whose answer was lost is sent again under a new id (P4).", _new_id),
    "newer-tail": Bug(
        "A load reads the records after the head, and keeps those that are newer (P2).",
        _newer_tail,
    ),
    "losers-rows": Bug(
        "The records of a commit that lost are stored (P2).", _losers_rows, ("transactional",)
    ),
    "torn-commit": Bug(
        "A crash in a commit leaves its head without its records (P2).", _torn_commit
    ),
    "collected-page": Bug(
        "A snapshot is committed though pages it reuses were collected meanwhile (P5, P6).",
        _generation_ignored,
        by_chance=True,
    ),
    "deletion-unnamed": Bug(
        "Pages are deleted though a snapshot that uses them was committed meanwhile (P5, P6).",
        _deletion_unnamed,
        by_chance=True,
    ),
    "deletion-uncounted": Bug(
        "Deleting pages leaves the generation as it is, so who reuses them goes on (P5, P6).",
        _deletion_uncounted,
        by_chance=True,
    ),
    "newer-section": Bug(
        "A section that is read later is that of a newer head (P2).", _newer_section, by_chance=True
    ),
    "moved-head": Bug(
        "What is in the cache is taken for the state, though its head has moved (P1, P2).",
        _moved_head,
        by_chance=True,
    ),
    "clock-trusted": Bug(
        "A record takes the time of a clock that is behind its parent's.",
        _clock_trusted,
        needs_skew=True,
    ),
}
"""Every bug that can be planted where one branch is saved to, by name."""

MOVING_BUGS: dict[str, Bug] = {
    "old-line": Bug("A branch that is rolled back goes on on its old line (P3, P7).", _old_line),
    "branch-uncollected": Bug(
        "A collection keeps what `main` and parked branches need, and not the others (P2, P7).",
        _branch_uncollected,
        by_chance=True,
    ),
    "unrecorded": Bug("A movement is made without a record in the journal (P5, P7).", _unrecorded),
    "same-line": Bug(
        "An undo goes back to the line that was left, with whoever saves there (P3).",
        _same_line,
        by_chance=True,
    ),
}
"""Those of movements, by name; see `perdure.testing.sim_branches`."""
