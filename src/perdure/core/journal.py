"""The journal: every movement of a branch's name, as a chain of records of its own.

A movement is a record on a line that no branch has. It is committed together with the head that it
leads to, and tells the branch before and after: so nothing that a movement left is lost, and any
movement can be taken back by another one.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import msgspec
from msgspec.structs import replace

from perdure.core import chain
from perdure.core.changes import pack_changes
from perdure.core.head import Branch, Head, Journal
from perdure.core.learning import learn
from perdure.core.receipt import Receipt
from perdure.core.record import MOVE, Draft, Record, Sealed, seal_draft
from perdure.errors import UPGRADE, Damaged, NewerFormat

JOURNAL_LINE = 2**62
"""The line of the journal's records: no branch ever gets so far."""

Movement: TypeAlias = Literal[
    "fork", "rollback", "promote", "rename", "delete", "undo", "redo", "prune", "redact"
]
"""What was done to a branch, or to all of the state."""

FINAL: frozenset[Movement] = frozenset({"prune", "redact"})
"""What moves no branch, and cannot be taken back."""

_NOTHING = pack_changes([])
_encode = msgspec.msgpack.Encoder().encode
"""A movement is made of what any encoder knows, so `pack` need not look through it."""


class RedactReceipt(msgspec.Struct, frozen=True, array_like=True):
    """The receipt of a redaction: never what it took away."""

    path: str | None
    """Where, if it was not everywhere."""
    is_match: bool
    """Whether it took away a text that was looked for; if not, whatever stood at the path."""
    reason: str | None
    values: int
    """How many values and texts it changed."""
    leaves: tuple[tuple[int, int, bytes], ...]
    """Of the records that it changed, what they hold by now: line, number of the first, and a leaf
    for it and for each that follows it there."""

    @property
    def checkpoints(self) -> int:
        """How many records it changed, those of the journal aside."""
        size = chain.HASH_BYTES
        return sum(len(told) // size for line, _, told in self.leaves if line != JOURNAL_LINE)


class Move(msgspec.Struct, frozen=True):
    """One movement, as the journal keeps it."""

    what: Movement
    branch: str
    before: Branch | None = None
    """Where it stood; None: there was no such branch."""
    after: Branch | None = None
    """Where it stands; None: there is no such branch any more."""
    name: str | None = None
    """Its new name, of a rename and of one taken back; only then."""
    source: str | None = None
    """Of a promotion the branch that was promoted."""
    receipt: Receipt | None = None
    """Of a pruning: what it kept and removed."""
    taken: int = 0
    """Of an undo or a redo: the movement that it took back, or made again."""
    undo: int = 0
    """What an undo after this one was taken back takes back."""
    redo: int = 0
    """What a redo after this one was taken back takes back."""
    damage: str | msgspec.UnsetType = msgspec.UNSET
    """Of a rollback that damage led to: what was wrong."""
    redaction: RedactReceipt | msgspec.UnsetType = msgspec.UNSET
    """Of a redaction: what it did."""


learn(Move)  # before threads ask for it


class Entry(msgspec.Struct, frozen=True):
    """A movement read back."""

    number: int
    time_us: int
    session: bytes
    move: Move


def written(
    head: Head,
    move: Move,
    taken: Move | None = None,
    *,
    store: bytes,
    id_: bytes,
    salt: bytes,
    session: bytes,
    time_us: int,
) -> tuple[Sealed, Head]:
    """The next record of the journal, and the head that has it.

    `taken` is the movement that this one takes back. `move.undo` and `move.redo` are filled in.
    """
    old = head.journal or Journal(0, bytes(16), chain.ORIGIN, 0)
    number, time_us = old.number + 1, max(time_us, old.time_us)
    move = replace(move, undo=old.undo, redo=old.redo)
    extra = _encode({MOVE: _bare(move)})
    sealed = seal_draft(
        Draft(id_, time_us, session, _NOTHING, salt, extra),
        store=store,
        incarnation=head.incarnation,
        line=JOURNAL_LINE,
        number=number,
        parent=old.hash,
    )
    return sealed, replace(head, journal=_after(old, move, taken, sealed))


def _after(old: Journal, move: Move, taken: Move | None, sealed: Sealed) -> Journal:
    """Where the journal stands after a movement, and what the next undo and redo take back."""
    undo, redo, receipt = sealed.number, 0, old.receipt
    if move.what in FINAL:
        undo, redo = old.undo, old.redo
        receipt = sealed.number if move.what == "prune" else old.receipt
    elif taken is not None and move.what == "undo":
        undo, redo = taken.undo, sealed.number
    elif taken is not None:
        redo = taken.redo
    at = sealed.number, sealed.id, sealed.hash, sealed.time_us
    return Journal(*at, undo, redo, receipt, old.swept)


def _bare(move: Move) -> Move:
    """A movement without snapshots: maintenance does not keep them for it."""
    return replace(move, before=bare(move.before), after=bare(move.after))


def bare(branch: Branch | None) -> Branch | None:
    """A branch without snapshots, but for the one that nothing can make anew."""
    if branch is None:
        return None
    base = branch.base_tree
    return replace(branch, snapshots=(base,) if base is not None else None)


def entry_of(record: Record) -> Entry:
    """The movement in a record of the journal.

    Raises:
        Damaged: it holds none.
        NewerFormat: it holds one that only a newer Perdure knows.
    """
    wire: Any = record.extra.get(MOVE)
    try:
        move = msgspec.convert(wire, Move)
    except msgspec.ValidationError as error:
        if isinstance(wire, dict) and _is_newer(wire.get("what")):
            where = f"record {record.number} of the journal"
            what = f"the movement {wire['what']!r} is unknown to this version"
            raise NewerFormat(f"{where}: {what}; {UPGRADE}") from error
        raise Damaged(f"record {record.number} of the journal holds no movement") from error
    return Entry(record.number, record.time_us, record.session, move)


def _is_newer(what: object) -> bool:
    return isinstance(what, str) and what not in get_args(Movement)
