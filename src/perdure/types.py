"""The plain data that the public API gives back. All frozen; all of it safe to keep.

Structs, because a save makes one, and they take a tenth of a frozen dataclass's time to make.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from perdure.core.abbreviate import count

if TYPE_CHECKING:
    from perdure.core.changes import Change
    from perdure.core.diff import Difference
    from perdure.core.merge import MergeConflict

Durability: TypeAlias = Literal["power", "process"]
"""What an acknowledged save survives: `"power"` (a power cut) or `"process"` (`kill -9`)."""

OnConflict: TypeAlias = Literal["raise", "fork", "merge"]
"""What a save does that finds its branch moved by others."""

Strategy: TypeAlias = (
    Literal["error", "ours", "theirs", "append", "set", "counter"] | Callable[[Any, Any, Any], Any]
)
"""What a merge does where both sides changed the same place; see `Store.merge`."""

Strategies: TypeAlias = Mapping[Any, Strategy]
"""Strategies by path: a pattern (str), such as `"plan/*/status"`, or the parts of one place
(tuple), such as the `path` of a conflict."""

End: TypeAlias = Literal["closed", "failed", "cancelled", "waiting"]
"""How a session that ended by itself ended."""

Ended: TypeAlias = Literal[
    "closed", "failed", "cancelled", "waiting", "interrupted", "maybe running"
]
"""How a session ended, as far as the next one can tell."""


class Holder(msgspec.Struct, frozen=True):
    """The process that works on a state: enough to tell later whether it still lives."""

    host: str
    pid: int
    boot: str
    """Id of the machine's present boot; empty where the system has none."""
    started: str
    """When the process started, in the system's own words, which tell a reused pid apart; and after
    a blank the namespace of its pid, where the system has them: containers may share a host's
    name."""


class SessionInfo(msgspec.Struct, frozen=True):
    """One period of work on a state."""

    id: str
    """32 hex digits."""
    started: datetime
    last_saved: datetime
    ended: Ended
    holder: Holder
    first: int
    """Number of the first checkpoint it saved."""
    last: int
    """Number of the last checkpoint it saved."""
    error: str | None = None
    """Type of the exception that ended it, when `ended` is "failed"."""


class FoundSecret(msgspec.Struct, frozen=True):
    """Where something is, or was, that looks like a secret; never what it is.

    Example:
        >>> [(each.kind, each.path) for each in store.scan("support/alice")]
        [('AWS Access Key', ('messages', 3, 'content'))]
    """

    key: str
    """Of the state."""
    kind: str
    """Such as `"AWS Access Key"`."""
    path: tuple[str | int, ...]
    """Of the value, or of the dict key, that it is in; a secret in a key stands masked here."""
    branch: str | None = None
    """Where `Store.scan` found it."""
    number: int | None = None
    """The checkpoint at which it was there, or which wrote it."""


class Checkpoint(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """One durable save.

    Example:
        >>> checkpoint = session.save(label="before refund")
        >>> checkpoint.number, checkpoint.label
        (3, 'before refund')
    """

    key: str
    branch: str
    number: int
    """1 for the first on a branch; a branch has no gaps."""
    id: str
    """32 hex digits, unique."""
    time: datetime
    """UTC; never goes back along a branch."""
    session: str
    """Id of the session that saved it."""
    hash: str
    """Chain hash (64 hex digits): commits to this checkpoint and all before it."""
    label: str | None = None
    metadata: dict[str, Any] | None = None
    sections: tuple[str, ...] = ()
    """Sections it changed."""
    changes: tuple[Change, ...] | None = None
    """What it changed; only where asked for."""
    parent: str | None = None
    """Chain hash of the checkpoint before it; None for the first of a state."""
    merged: str | None = None
    """Of a merge: id of the newest checkpoint that it took in: of the other branch, or of what
    others had saved to this one first (`open(on_conflict="merge")`)."""
    masked: tuple[FoundSecret, ...] = ()
    """Where secrets were masked before it was saved (`Store(secrets="mask")`)."""
    redacted: bool = False
    """Whether something in it was redacted since: the hash is of what was saved."""


class Tip(msgspec.Struct, frozen=True):
    """Where a branch stands, or stood: its newest checkpoint."""

    number: int
    id: str
    """32 hex digits."""
    time: datetime
    """When it was saved."""
    hash: str
    """Its chain hash (64 hex digits)."""


EffectStatus: TypeAlias = Literal["done", "unknown", "running"]
"""What is known of an effect: it was performed; nobody knows; a living process is at it."""


class EffectInfo(msgspec.Struct, frozen=True):
    """An action on the world, and what is known of it: `Store.effects`."""

    key: str
    """Its effect key."""
    status: EffectStatus
    about: str
    """The task and the step that claimed it."""
    claimed: datetime
    ended: datetime | None
    """When its outcome was recorded."""
    result: Any
    """What it gave; None while that is not known."""
    idempotency_key: str
    """What the service was given with it."""
    session: str
    """Id of the session that claimed it (32 hex digits)."""
    number: int | None
    """Number of the checkpoint that was saved with its outcome; None: there is none."""
    by: str | None
    """The person who settled it."""
    claims: str | None = None
    """Key of the other state that it is claimed in, which many share."""
    state: str | None = None
    """There: key of the state that claimed it."""


class BranchInfo(msgspec.Struct, frozen=True):
    """A branch of a state, as `Store.branches` tells of it.

    Example:
        >>> [(each.name, each.tip.number, each.base) for each in store.branches("support/alice")]
        [('main', 40, None), ('what-if', 14, 12)]
    """

    key: str
    name: str
    tip: Tip
    base: int | None = None
    """Number of the checkpoint at which it was forked, or to which it was moved, last; None: it
    has been where it is from the start."""
    first: int = 1
    """Number of the checkpoint from which on none is missing. More than 1: those before it were
    pruned, but for what the policy kept of them, which `Store.history` lists."""
    effects: tuple[EffectInfo, ...] = ()
    """Of what `Store.fork` gave: the effects that the other branch performed since, or claimed, of
    which this one has no record. They are not undone, and not performed again here."""


MovementKind: TypeAlias = Literal[
    "fork", "rollback", "promote", "rename", "delete", "undo", "redo", "prune", "redact"
]


class Movement(msgspec.Struct, frozen=True):
    """What was done to a branch, or with `dry_run` would be. Nothing that it left is lost.

    A `"prune"` or a `"redact"` was done to the whole state: it is the receipt of `Store.prune` or
    `Store.redact`, and moved nothing.

    Example:
        >>> store.rollback("support/alice", to=12, dry_run=True).summary()
        'rollback of main from 40 to 12, which leaves 28 checkpoints behind'
    """

    key: str
    number: int
    """In the state's journal, from 1 on; 0: it was not done."""
    what: MovementKind
    branch: str
    time: datetime
    before: Tip | None
    """Where the branch stood; None: there was none of this name."""
    after: Tip | None
    """Where it stands; None: there is none of this name any more."""
    other: str | None = None
    """The new name, of a rename; the branch that was promoted."""
    taken: int | None = None
    """Of an undo or redo: number of the movement that it took back."""
    left: int | None = None
    """Checkpoints that the branch had and has no more; None: that is not known."""
    gained: int | None = None
    """Checkpoints that the branch has and had not."""
    pruned: int | None = None
    """Of a prune: checkpoints that it removed for good."""
    damage: str | None = None
    """Of a rollback that damage led to (`on_damage="last_good"`): what was wrong."""
    redacted: int | None = None
    """Of a redact: checkpoints that it changed."""
    reason: str | None = None
    """Of a redact: why, as whoever asked for it said."""
    dry_run: bool = False
    differences: tuple[Difference, ...] | None = None
    """Of a dry run: what would change in the state."""
    warnings: tuple[str, ...] = ()
    """What to know first: what cannot be undone, who is at work on it."""
    effects: tuple[EffectInfo, ...] = ()
    """The effects that the branch performed, or claimed, after the checkpoint where it stands now,
    as they were told then; not in `Store.movements`. They are not undone, and not performed again:
    who would is told `AlreadyClaimed`, with the result."""

    def summary(self) -> str:
        """One line."""
        if self.what == "prune":
            return f"pruned {count(self.pruned or 0, 'checkpoint')}"
        if self.what == "redact":
            why = f": {self.reason}" if self.reason else ""
            return f"redacted {count(self.redacted or 0, 'checkpoint')}{why}"
        if self.taken is not None:
            return f"{self.what} of movement {self.taken}: {self._what_became()}"
        where = f"{self.what} of {self.branch}"
        if self.what == "rename":
            return f"{where} to {self.other}"
        if self.before is None:
            return f"{where} at {_number(self.after)}"
        if self.after is None:
            return f"{where}, which stood at {_number(self.before)}"
        return f"{where} {self._way()}"

    def _what_became(self) -> str:
        """What an undo or a redo did to the branch."""
        if self.other is not None:
            return f"{self.branch} renamed to {self.other}"
        if self.before is None:
            return f"{self.branch} restored at {_number(self.after)}"
        if self.after is None:
            return f"{self.branch} removed, which stood at {_number(self.before)}"
        return f"{self.branch} moved {self._way()}"

    def _way(self) -> str:
        """From where to where the branch moved, and what that means for its checkpoints."""
        told = []
        if self.left:
            told.append(f"leaves {count(self.left, 'checkpoint')} behind")
        if self.gained:
            told.append(f"gains {count(self.gained, 'checkpoint')}")
        way = f"from {_number(self.before)} to {_number(self.after)}"
        return f"{way}, which {' and '.join(told)}" if told else way


def _number(tip: Tip | None) -> str:
    return str(tip.number) if tip is not None else "nowhere"


class LeaseInfo(msgspec.Struct, frozen=True):
    """Who holds a branch exclusively: alone may save to it, as `open(key, exclusive=True)` asks.

    Example:
        >>> [(lease.branch, lease.holder.pid) for lease in store.info("support/alice").leases]
        [('main', 4711)]
    """

    branch: str
    session: str
    """Id of the session that holds it (32 hex digits)."""
    holder: Holder
    """Its process."""
    since: datetime
    renewed: datetime
    """When it said last that it is there."""
    alive: bool = True
    """Whether it counts. If not, its process is gone, or not heard of any more: whoever comes next
    takes the branch over."""


class Merge(msgspec.Struct, frozen=True):
    """What `Store.merge` did, or with `dry_run` would do."""

    key: str
    source: str
    """The branch that was merged."""
    into: str
    """The branch that has it now."""
    base: int
    """Number of the newest checkpoint that both had; 0: there was none."""
    changes: tuple[Change, ...]
    """What the merge changes on `into`; none, where strategies were for `into` in all, or both did
    the same: the checkpoint then notes that `source` was taken in."""
    conflicts: tuple[MergeConflict, ...] = ()
    """Of a dry run: places that both changed, where no strategy says which is right."""
    checkpoint: Checkpoint | None = None
    """The checkpoint that it made."""
    dry_run: bool = False
    differences: tuple[Difference, ...] | None = None
    """Of a dry run: what would change on `into`, as `Store.diff` tells it."""

    def summary(self) -> str:
        """One line."""
        sections = sorted({str(each.path[0]) for each in self.changes})
        made = f"checkpoint {self.checkpoint.number}" if self.checkpoint else "nothing saved"
        told = f"merge of {self.source} into {self.into} since {self.base}: {made}"
        if sections:
            told += f", which changes {', '.join(sections)}"
        elif self.checkpoint:
            told += ", which changes nothing"
        count = len(self.conflicts)
        return told + (f"; {count} conflict{'s'[: count != 1]}" if count else "")


class StateInfo(msgspec.Struct, frozen=True):
    """What `Store.states` tells of a state without opening it.

    Of a state whose head cannot be read, only `key`, `status` and `problem` are known: its times
    are 1970-01-01, and its numbers 0.
    """

    key: str
    created: datetime
    updated: datetime
    number: int
    """Number of the newest checkpoint on `main`."""
    status: Ended | Literal["deleted", "damaged", "newer-format", "key-missing"]
    """How the last session ended, or `"deleted"`, or why its head cannot be read."""
    last_end: datetime | None
    """When the last session ended by itself; None if none did or it was interrupted."""
    summary: str | None
    sessions: int
    """Sessions that have saved something."""
    deleted: datetime | None = None
    life: int = 1
    """Which life of its key it is: 1 for the first, and one more each time that the name was used
    again after a deletion. `Store.undelete` brings back any."""
    problem: str | None = None
    """What is wrong with it, after the error's kind: `"damaged: …"`; `Store.verify` tells more."""
    leases: tuple[LeaseInfo, ...] = ()
    """Who holds branches of it exclusively."""
    expires: datetime | None = None
    """When it expires, unless it is saved to before; None: never. `Store.sweep` deletes it then."""


class Question(msgspec.Struct, frozen=True):
    """What an agent waits for: an answer, or a time."""

    key: str
    """Of the state."""
    branch: str
    id: str
    payload: Any
    """What was asked; None for a timer."""
    asked: datetime
    due: datetime | None
    """When it expires, or the timer runs out; None: never."""
    is_timer: bool = False
    where: str | None = None
    """Where it is to be answered; None: here, by `Store.answer`."""


class Loss(msgspec.Struct, frozen=True):
    """What a branch lost by damage, when it went back to the newest checkpoint that is whole.

    What is lost stays in the store as it is, damaged, until it is pruned; `Store.undo` goes back
    to it. Effects and their outcomes are not lost: they belong to the state.

    Example:
        >>> loss = session.resumed.loss
        >>> loss.first, loss.last
        (41, 45)
    """

    branch: str
    first: int
    """Number of the oldest checkpoint that is lost."""
    last: int
    """Number of the newest."""
    after: datetime
    """When the checkpoint before them was saved, which was taken up instead."""
    until: datetime
    """When the newest of them was saved."""
    problem: str
    """What was wrong."""
    movement: int
    """Number of the movement that is the receipt, in `Store.movements`."""

    def summary(self) -> str:
        """One line."""
        which = f"checkpoint {self.first:,}"
        if self.last != self.first:
            which = f"checkpoints {self.first:,} to {self.last:,}"
        times = f"after {_second(self.after)} and until {_second(self.until)}"
        return f"{which} of {self.branch} cannot be read, saved {times}: {self.problem}"


def _second(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ")


class Resumed(msgspec.Struct, frozen=True):
    """What a session took up: `session.resumed`, None for a new state.

    Example:
        >>> if session.resumed and session.resumed.ended == "interrupted":
        ...     print("the last session died", session.resumed.age, "seconds ago")
    """

    checkpoint: Checkpoint
    age: float
    """Seconds since that checkpoint was saved."""
    ended: Ended
    """How the last session ended."""
    session: SessionInfo
    """The last session."""
    others: tuple[SessionInfo, ...] = ()
    """Further sessions that never ended: interrupted, or maybe running."""
    loss: Loss | None = None
    """What damage took, if the branch went back for it (`on_damage="last_good"`); told until
    something is saved to the branch after it."""
