"""The state head: the one small object that says what a state is now.

A head's payload is a msgpack map (see `docs/format.md`). Keys that this version does not know are
kept and written back (P10). Names of branches and the summary are the user's words and stand in
fields of their own, so that a keyed store can seal them apart from what must be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from perdure import limits
from perdure.core.codec import pack, unpack
from perdure.core.record import Sealed
from perdure.core.seal import Kind, Place, seal, unseal
from perdure.errors import Damaged, Malformed
from perdure.types import Holder

MAIN = "main"
TOKEN_BYTES = 16
INCARNATION_BYTES = 16


@dataclass(frozen=True, slots=True)
class Branch:
    """Where a branch stands: its newest record."""

    line: int
    number: int
    record: bytes
    hash: bytes
    time_us: int
    snapshot: Any = None
    """Where the newest snapshot of it is kept; None while there is none."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a head remembers of a session that saved something."""

    id: bytes
    started_us: int
    saved_us: int
    first: int
    last: int
    holder: Holder
    end: str | None = None
    ended_us: int | None = None
    error: str | None = None
    recorded: bool = False
    """Whether a record holds the end; if not, the next session's first record repeats it."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a state is now."""

    incarnation: bytes
    created_us: int
    updated_us: int
    token: bytes
    branches: dict[str, Branch] = field(default_factory=dict)
    lines: int = 1
    """Lines ever made in this incarnation: the next one's number."""
    fence: int = 0
    deleted_us: int | None = None
    summary: str | None = None
    marks: tuple[Mark, ...] = ()
    """Sessions without an end, oldest first, then at most one that ended."""
    sessions: int = 0
    """Sessions that have saved something, ever."""
    former: tuple[Head, ...] = ()
    """Deleted earlier lives of this key, newest first."""
    unknown: dict[str, Any] = field(default_factory=dict)

    def advanced(self, branch: str, sealed: Sealed) -> Head:
        """This head after `sealed` was appended to `branch`."""
        tip = Branch(sealed.line, sealed.number, sealed.id, sealed.hash, sealed.time_us)
        old = self.branches.get(branch)
        if old is not None:
            tip = replace(tip, snapshot=old.snapshot)
        return replace(
            self, branches={**self.branches, branch: tip}, updated_us=sealed.time_us
        )


def seal_head(head: Head, *, store: bytes, key: str) -> bytes:
    """A head as stored under `key`."""
    return seal(Kind.HEAD, Place(store, key.encode()), pack(_to_wire(head)))


def open_head(blob: bytes, *, store: bytes, key: str, token: bytes | None = None) -> Head:
    """Verify and decode a stored head (P5).

    `token`, if given, must be the one inside: a row whose token column was changed is refused.

    Raises:
        Damaged: it is not the head that was stored under this key.
        NewerFormat: it needs a newer Perdure.
    """
    place = Place(store, key.encode())
    payload = unseal(Kind.HEAD, place, blob, limits.head_bytes_max)
    try:
        head = _from_wire(unpack(payload))
    except (Malformed, KeyError, TypeError, ValueError) as error:
        raise Damaged(f"{place}: does not hold a head ({error})") from error
    if token is not None and token != head.token:
        raise Damaged(f"{place}: its token is not the one beside it")
    return head


_NAMES = ("inc", "made", "at", "token", "branches", "lines", "fence", "gone", "about", "marks")
_KNOWN = frozenset((*_NAMES, "sessions", "former"))


def _to_wire(head: Head) -> dict[str, Any]:
    return {
        **head.unknown,
        "inc": head.incarnation,
        "made": head.created_us,
        "at": head.updated_us,
        "token": head.token,
        "branches": {
            name: [b.line, b.number, b.record, b.hash, b.time_us, b.snapshot]
            for name, b in head.branches.items()
        },
        "lines": head.lines,
        "fence": head.fence,
        "gone": head.deleted_us,
        "about": head.summary,
        "marks": [mark_to_wire(mark) for mark in head.marks],
        "sessions": head.sessions,
        "former": [_to_wire(former) for former in head.former],
    }


def _from_wire(wire: dict[str, Any]) -> Head:
    head = Head(
        incarnation=_bytes(wire["inc"], INCARNATION_BYTES),
        created_us=_int(wire["made"]),
        updated_us=_int(wire["at"]),
        token=_bytes(wire["token"], TOKEN_BYTES),
        branches={name: _branch(fields) for name, fields in wire["branches"].items()},
        lines=_int(wire["lines"]),
        fence=_int(wire["fence"]),
        deleted_us=wire["gone"],
        summary=wire["about"],
        marks=tuple(mark_from_wire(mark) for mark in wire["marks"]),
        sessions=_int(wire["sessions"]),
        former=tuple(_from_wire(former) for former in wire["former"]),
        unknown={name: value for name, value in wire.items() if name not in _KNOWN},
    )
    return head


def _branch(fields: list[Any]) -> Branch:
    line, number, record, hash_, time_us, snapshot = fields[:6]
    return Branch(
        _int(line), _int(number), _bytes(record, 16), _bytes(hash_, 32), _int(time_us), snapshot
    )


def mark_to_wire(mark: Mark) -> list[Any]:
    """A mark as heads and records keep it."""
    holder = mark.holder
    return [
        mark.id,
        mark.started_us,
        mark.saved_us,
        mark.first,
        mark.last,
        [holder.host, holder.pid, holder.boot, holder.started],
        mark.end,
        mark.ended_us,
        mark.error,
        mark.recorded,
    ]


def mark_from_wire(fields: list[Any]) -> Mark:
    """The mark that `mark_to_wire` wrote."""
    id_, started, saved, first, last, holder, end, ended, error, recorded = fields[:10]
    host, pid, boot, process = holder[:4]
    return Mark(
        _bytes(id_, 16),
        _int(started),
        _int(saved),
        _int(first),
        _int(last),
        Holder(host, _int(pid), boot, process),
        end,
        ended,
        error,
        bool(recorded),
    )


def _int(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"expected a whole number, found {type(value).__name__}")
    return value


def _bytes(value: object, size: int) -> bytes:
    if type(value) is not bytes or len(value) != size:
        raise TypeError(f"expected {size} bytes, found {type(value).__name__}")
    return value
