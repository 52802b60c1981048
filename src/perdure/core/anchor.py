"""Marks: the little that an anchor keeps of a state, to know an older version of it (P5).

A mark is kept outside of the store. A head that is read has to be the one that was marked, or to
have gone on from it.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from perdure.core.abbreviate import count as told
from perdure.core.compress import decompress
from perdure.core.head import Head, Journal, commits_of
from perdure.core.seal import COMPRESSED, HEADER_BYTES, TAG_BYTES
from perdure.errors import Form, Malformed
from perdure.limits import head_bytes_max

_order = struct.Struct(">Q")
_encode = msgspec.msgpack.Encoder().encode


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a state's newest head."""

    commits: int
    """How many commits led to it."""
    incarnation: bytes
    token: bytes
    sure: int
    """How many of them survive a power cut."""
    boot: str = ""
    """Of the machine, while later ones do not; empty: all do."""
    journal: tuple[int, bytes] = (0, b"")
    """Number and hash of the newest movement."""
    lines: dict[int, tuple[int, bytes]] = {}
    """By line, where a branch stands on it: number, and the chain's hash there. No names."""

    def packed(self) -> bytes:
        """As it is kept: of two marks of a state, the greater bytes are the newer."""
        return _order.pack(self.commits) + _encode(self)

    def surely(self, sure: int, boot: str) -> Mark:
        """The same, of which only so many commits survive a power cut."""
        return msgspec.structs.replace(self, sure=sure, boot=boot)


_decode = msgspec.msgpack.Decoder(Mark).decode


def read_mark(packed: bytes) -> Mark:
    """A mark that was kept.

    Raises:
        Malformed: it is none.
    """
    try:
        return _decode(packed[_order.size :])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the anchor does not hold a mark: {error}") from error


def pack_store(store: bytes) -> bytes:
    """What an anchor keeps of the store itself."""
    return _order.pack(0) + bytes(store)


def read_store(packed: bytes) -> bytes:
    """The store's id in that."""
    return packed[_order.size :]


class _Tip(msgspec.Struct, array_like=True):
    line: int
    number: int
    record: bytes
    hash: bytes


class _Peeked(msgspec.Struct, rename={"incarnation": "inc"}):
    incarnation: bytes
    token: bytes
    branches: dict[str, _Tip] = {}
    journal: Journal | None = None
    commits: int = 0


_peek = msgspec.msgpack.Decoder(_Peeked).decode


def mark_of_sealed(blob: bytes) -> Mark:
    """The mark of a head that this process has just sealed: nothing is verified."""
    body = blob[HEADER_BYTES:-TAG_BYTES]
    flags = blob[6] << 8 | blob[7]
    head = _peek(decompress(body, head_bytes_max) if flags & COMPRESSED else body)
    return _marked(head, head.commits)


def mark_of(head: Head) -> Mark:
    """The mark of a head that was read."""
    return _marked(head, commits_of(head))


def _marked(head: Any, commits: int) -> Mark:
    journal = head.journal
    return Mark(
        commits,
        head.incarnation,
        head.token,
        commits,
        journal=(journal.number, journal.hash) if journal is not None else (0, b""),
        lines={tip.line: (tip.number, tip.hash) for tip in head.branches.values()},
    )


class Unfit(msgspec.Struct, frozen=True):
    """Why a head is not the marked one, and did not go on from it."""

    form: Form
    why: str


def unfit(mark: Mark, head: Head, boot: str) -> Unfit | None:
    """What is wrong with a head, by its mark; None: it is at the mark, or beyond.

    What was not sure to survive a power cut may be lost after the machine was started again: `boot`
    tells which start this is.
    """
    lives = {head.incarnation, *(life.incarnation for life in head.former)}
    if mark.incarnation not in lives:
        return Unfit("replaced", "it is another life of the state, which knows nothing of that one")
    least = mark.commits if mark.boot in ("", boot) else mark.sure
    count = commits_of(head)
    if count < least:
        return Unfit("older", f"it has {told(count, 'commit')}, and there were {least:,}")
    if count < mark.commits or mark.incarnation != head.incarnation:
        return None
    return _unfit_journal(mark, head)


def _unfit_journal(mark: Mark, head: Head) -> Unfit | None:
    now = (head.journal.number, head.journal.hash) if head.journal is not None else (0, b"")
    if now[0] < mark.journal[0]:
        return Unfit("older", "its journal has fewer movements")
    if now[0] > mark.journal[0]:
        return None
    if now != mark.journal:
        return Unfit("replaced", "its journal tells other movements")
    there = {tip.line: (tip.number, tip.hash) for tip in head.branches.values()}
    for line, (number, hash_) in mark.lines.items():
        if line not in there:
            if head.parked is None:
                return Unfit("replaced", f"no branch is on line {line} any more")
        elif there[line][0] < number:
            return Unfit("older", f"line {line} ends at {there[line][0]}, and was at {number}")
        elif there[line][0] == number and there[line][1] != hash_:
            return Unfit("replaced", f"record {number} on line {line} is another one")
    return None


def passed(mark: Mark, head: Head) -> dict[int, tuple[int, bytes]]:
    """Marked records that a head has gone on from, by line: its chain has to lead over them."""
    if mark.incarnation != head.incarnation:
        return {}
    there = {tip.line: tip for tip in head.branches.values()}
    return {
        line: (number, hash_)
        for line, (number, hash_) in mark.lines.items()
        if line in there and there[line].first <= number < there[line].number
    }
