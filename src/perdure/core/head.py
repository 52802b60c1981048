"""The state head: the one small object that says what a state is now.

A head's payload is a msgpack map (see `docs/format.md`), laid out by the types below. What this
version does not know is kept and written back (P10): keys of a head and of its former lives, and
items at the end of a branch, a mark, a lease, a snapshot or its reference. Names of branches and
the summary are the user's words and stand in fields of their own, so that a keyed store can seal
them apart from what must be compared.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.learning import learn
from perdure.core.page import Ref
from perdure.core.record import Sealed
from perdure.errors import UsageError

MAIN = "main"

Id = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Hash = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A checkpoint whose state is kept as a tree of pages."""

    number: int
    root: Ref


class Base(msgspec.Struct, frozen=True, array_like=True):
    """The record that the first one of a line follows: on another line."""

    line: int
    number: int


class Cut(msgspec.Struct, frozen=True, array_like=True):
    """Where pruning cut a history off: the newest record that went, and the chain's hash there."""

    number: int
    hash: Hash


class Branch(msgspec.Struct, frozen=True, array_like=True):
    """Where a branch stands: its newest record."""

    line: int
    number: int
    record: Id
    hash: Hash
    time_us: int
    snapshots: tuple[Snapshot, ...] | None = None
    """Kept snapshots of its lineage, newest first; None while there is none."""
    bases: tuple[Base, ...] = ()
    """Of its line, and of those below it, nearest first; see `perdure.core.lineage`."""
    cut: Cut | None = None
    """Its oldest snapshot is there, which nothing below it can make anew. None: it was never
    pruned, and its records begin with 1."""

    @property
    def first(self) -> int:
        """Number of the oldest record that it has without a gap."""
        return self.cut.number + 1 if self.cut is not None else 1

    @property
    def base_tree(self) -> Snapshot | None:
        """The snapshot that stands in for what was pruned."""
        return self.snapshots[-1] if self.cut is not None and self.snapshots else None

    @property
    def newest(self) -> Snapshot | None:
        """The newest snapshot."""
        return self.snapshots[0] if self.snapshots else None

    def nearest(self, number: int) -> Snapshot | None:
        """The newest snapshot at or below a checkpoint."""
        fitting = (each for each in self.snapshots or () if each.number <= number)
        return next(fitting, None)


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """What a head remembers of a session that saved something."""

    id: Id
    started_us: int
    saved_us: int
    first: int
    last: int
    holder: tuple[str, int, str, str]
    """The fields of `perdure.types.Holder`."""
    end: str | None = None
    ended_us: int | None = None
    error: str | None = None
    recorded: bool = False
    """Whether a record holds the end; if not, the next session's first record repeats it."""
    branch: str = MAIN


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """Who alone may save to a branch; see `perdure.core.leases`."""

    id: Id
    """Of the session."""
    holder: tuple[str, int, str, str]
    """The fields of `perdure.types.Holder`."""
    since_us: int
    renewed_us: int


class Life(msgspec.Struct, frozen=True, array_like=True):
    """One life of a state, as another state names it."""

    key: str
    incarnation: Id
    origin: Id


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """The right to act on the world once, and what came of it; see `perdure.core.claims`."""

    id: Id
    """Of this claim: by it a lost answer is settled."""
    session: Id
    holder: tuple[str, int, str, str]
    """The fields of `perdure.types.Holder`."""
    at_us: int
    about: str
    """What claimed it, for people."""
    ended_us: int | None = None
    """When its outcome was recorded; None: that is not known."""
    result: bytes | None = None
    """What the action gave, packed."""
    kept: Ref | None = None
    """Instead, where that is large: a tree of pages that has it."""
    line: int = 0
    number: int = 0
    """Of the record that was saved with the outcome; 0: a person settled it."""
    by: str | None = None
    """The person who settled it."""
    elsewhere: Life | None = None
    """The state, shared by many, in which it stands under the same id."""
    of: Life | None = None
    """There: the state that made it."""


class Journal(msgspec.Struct, frozen=True, array_like=True):
    """Where the journal of movements stands; see `perdure.core.journal`."""

    number: int
    record: Id
    hash: Hash
    time_us: int
    undo: int = 0
    """Number of the movement that the next undo takes back; 0: there is none."""
    redo: int = 0
    """Number of the undo that the next redo takes back; 0: there is none."""
    receipt: int = 0
    """Number of the newest pruning, whose receipt tells what is kept; 0: nothing was pruned."""
    swept: int = 0
    """Number of the newest pruning whose rows are all gone."""


Spot: TypeAlias = tuple[str, int, bytes]
"""Which snapshot in a head: the branch, its number and the id of its root."""


class Unknown(msgspec.Struct, frozen=True):
    """What there is in a head that this version does not know."""

    keys: dict[str, Any]
    """The head's further keys."""
    items: dict[Any, list[Any]]
    """Further items at the end of a branch, by its name, of a mark, by its id, of a lease, by the
    name of its branch and the id of its session, and of a claim, by its key and its id."""
    snapshots: dict[Spot, tuple[list[Any], list[Any]]] = {}
    """Further items at the end of a snapshot, and of its reference."""


class Head(
    msgspec.Struct,
    frozen=True,
    rename={
        "incarnation": "inc",
        "created_us": "made",
        "updated_us": "at",
        "deleted_us": "gone",
        "summary": "about",
        "expires_us": "lasts",
        # No key of the payload, and so no name that a newer version could give one.
        "unknown": "-unknown",
    },
):
    """What a state is now."""

    incarnation: Id
    created_us: int
    updated_us: int
    token: Id
    branches: dict[str, Branch] = {}
    lines: int = 1
    """Lines ever made in this incarnation: the next one's number."""
    fence: int = 0
    deleted_us: int | None = None
    summary: str | None = None
    marks: tuple[Mark, ...] = ()
    """Sessions without an end, oldest first, then at most one that ended."""
    sessions: int = 0
    """Sessions that have saved something, ever."""
    generation: int = 0
    """Commits of maintenance: what one step builds on is unchanged while this is."""
    secret: bytes = b""
    """Keys the ids of pages and the cuts between them; drawn with the first snapshot."""
    journal: Journal | None = None
    """None: no branch was ever moved."""
    parked: Ref | None = None
    """Branches that are not in `branches`, as a tree of pages."""
    leases: dict[str, Lease] | msgspec.UnsetType = msgspec.UNSET
    """By branch; not there while no branch is held, as with most states: each save writes this."""
    claims: dict[str, Claim] | msgspec.UnsetType = msgspec.UNSET
    """By effect key: every open claim, and the newest that have an outcome."""
    claimed: Ref | msgspec.UnsetType = msgspec.UNSET
    """The other claims, as a tree of pages."""
    origin: Id | msgspec.UnsetType = msgspec.UNSET
    """The incarnation that this one was copied from, or that one from, first of all."""
    expires_us: int | None = None
    """How long after its last save the state expires (microseconds); None: never."""
    commits: int | msgspec.UnsetType = msgspec.UNSET
    """How many commits of this key's heads there were, whichever life; not there: none counted."""
    former: tuple[Head, ...] = ()
    """Deleted earlier lives of this key, newest first."""
    unknown: Unknown | msgspec.UnsetType = msgspec.UNSET
    """What a newer version wrote beside these, kept as it was."""

    def advanced(self, branch: str, sealed: Sealed) -> Head:
        """This head after `sealed` was appended to `branch`."""
        old = self.branches.get(branch)
        rest = (old.snapshots, old.bases, old.cut) if old is not None else ()
        at = sealed.number, sealed.id, sealed.hash, sealed.time_us
        tip = Branch(sealed.line, *at, *rest)
        return replace(self, branches={**self.branches, branch: tip}, updated_us=sealed.time_us)


# msgspec learns a class when it is first asked for, and ends the process where two threads ask at
# once: the second reads what the first has not written yet. So it learns all of them here.
learn(Head, Mark, Claim, Base, Branch)


def commits_of(head: Head) -> int:
    """How many commits led to a head, as far as they were counted."""
    return 0 if head.commits is msgspec.UNSET else head.commits


def succeeding(new: Head, old: Head | None, token: bytes) -> Head:
    """`new` as it takes the place of `old`: under a token of its own, and counted."""
    if old is not None and not old.former and not new.former:
        count = commits_of(old)  # as at most saves
    else:
        before = (*new.former, *((old, *old.former) if old is not None else ()))
        # A new life of a key begins with a head of its own, and counts on.
        count = max(map(commits_of, before), default=0)
    return replace(new, token=token, commits=count + 1)


def lives(head: Head) -> list[Head]:
    """Every life of a key, oldest first: life 1 and those after it."""
    return sorted((*reversed(head.former), head), key=lambda life: life.created_us)


def next_life(deleted: Head, now_us: int) -> tuple[int, tuple[Head, ...]]:
    """When a new life of a deleted key begins, and the former lives that it remembers.

    It begins after all others, whatever the clock says: that order is what they are told apart by.

    Raises:
        UsageError: too many lives of it are kept.
    """
    if len(deleted.former) >= limits.former_max:
        raise UsageError(
            f"this key was deleted {limits.former_max} times, and every life of it is kept; use "
            "another key"
        )
    began = max(now_us, lives(deleted)[-1].created_us + 1)
    return began, (replace(deleted, former=()), *deleted.former)


def brought_back(head: Head, incarnation: bytes) -> Head:
    """The head under which one life of a key is live again, and the others are former ones."""
    every = lives(head)[::-1]
    (life,) = (each for each in every if each.incarnation == incarnation)
    former = tuple(replace(each, former=()) for each in every if each is not life)
    return replace(life, deleted_us=None, former=former)


def told_more_of(head: Head) -> set[str]:
    """The branches of which a newer version wrote more than this one knows."""
    if not isinstance(head.unknown, Unknown):
        return set()
    spots = {branch for branch, _, _ in head.unknown.snapshots}
    return {name for name in head.branches if name in head.unknown.items or name in spots}


def renamed(head: Head, old: str, new: str) -> Head:
    """A head in which a branch has another name, and keeps what a newer version wrote of it."""
    branches = {name: tip for name, tip in head.branches.items() if name != old}
    branches[new] = head.branches[old]
    unknown = head.unknown
    if isinstance(unknown, Unknown):
        items = {new if name == old else name: each for name, each in unknown.items.items()}
        snapshots = {
            (new if spot[0] == old else spot[0], *spot[1:]): each
            for spot, each in unknown.snapshots.items()
        }
        unknown = Unknown(unknown.keys, items, snapshots)
    return replace(head, branches=branches, unknown=unknown)
