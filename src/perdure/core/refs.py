"""References: how a checkpoint of a state is named.

| | |
| --- | --- |
| `17`, `"17"` | checkpoint 17 of the branch that is asked |
| `"what-if@17"` | checkpoint 17 of another branch |
| `"what-if"` | the newest checkpoint of a branch |
| `"9f2c41"` | the checkpoint whose id is, or begins with, these hex digits (4 or more) |
| `"what-if~3"`, `"~3"` | three checkpoints before what stands before the tilde; before the newest |
| `label("before refund")` | the newest checkpoint with this label on the branch that is asked |
| `label("tried", branch="what-if")` | the newest with this label on another branch |
| `time(datetime(2026, 11, 3))` | the newest checkpoint saved at this time or before; so too |

A label or a time is never guessed from a string.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

import msgspec

from perdure import limits
from perdure.errors import CheckpointNotFound, UsageError

PREFIX_DIGITS_MIN = 4
_HEX = frozenset("0123456789abcdef")
_RESERVED = frozenset("@~^:*\\")
"""Characters that mean something in a reference or a pattern, or may."""


class Label(msgspec.Struct, frozen=True):
    """Names the newest checkpoint with a label; see `label`."""

    text: str
    branch: str | None = None
    """The branch on which it is looked for; None: the one that is asked."""


class Time(msgspec.Struct, frozen=True):
    """Names the newest checkpoint saved at a time or before; see `time`."""

    when: datetime | timedelta
    """A time, or how long ago."""
    branch: str | None = None
    """The branch on which it is looked for; None: the one that is asked."""


Ref: TypeAlias = int | str | Label | Time
"""How a checkpoint is named: a number, text (see this module), a label or a time."""


class Parsed(msgspec.Struct, frozen=True):
    """A reference, taken apart."""

    what: str | Label | Time | None = None
    """The name of a branch, an id or the beginning of one, a number's digits; None: the branch that
    is asked."""
    number: int | None = None
    """A checkpoint of that branch; None: the newest."""
    back: int = 0
    """So many checkpoints before it."""


def label(text: str, *, branch: str | None = None) -> Label:
    """The newest checkpoint with this label, wherever a checkpoint is to be named.

    Args:
        text: the label.
        branch: the branch on which to look for it; by default the one that is asked, `main` where
            none is.

    Raises:
        UsageError: it is no string.

    Example:
        >>> store.rollback("support/alice", to=perdure.label("before refund"))
        >>> store.diff("support/alice", "main", perdure.label("tried", branch="what-if"))
    """
    if not isinstance(text, str):  # what is typed wrong elsewhere is told here
        raise UsageError(f"a label is a string, not {text!r}")
    return Label(text, _named(branch))


def time(when: datetime | timedelta, *, branch: str | None = None) -> Time:
    """The newest checkpoint saved at this time or before, wherever a checkpoint is to be named.

    Args:
        when: a time with a time zone, or how long ago.
        branch: the branch on which to look for it; by default the one that is asked, `main` where
            none is.

    Raises:
        UsageError: it has no time zone, or is no time.

    Example:
        >>> store.at("support/alice", perdure.time(datetime(2026, 11, 3, 9, tzinfo=UTC)))
    """
    if not isinstance(when, timedelta) and getattr(when, "tzinfo", None) is None:
        raise UsageError(
            f"a time is a datetime with a time zone, or a timedelta (how long ago), not {when!r}"
        )
    return Time(when, _named(branch))


def _named(branch: object) -> str | None:
    if branch is None or isinstance(branch, str):
        return branch
    raise UsageError(f"a branch is named by a string, not {branch!r}")


def parse(ref: object) -> Parsed:
    """Take a reference apart.

    Raises:
        UsageError: it is of no type that names a checkpoint.
        CheckpointNotFound: it is no reference; the message says what is.

    Example:
        >>> parse("what-if@17~3")
        Parsed(what='what-if', number=17, back=3)
    """
    if isinstance(ref, Label | Time):
        return Parsed(ref)
    if isinstance(ref, bool) or not isinstance(ref, int | str):
        raise UsageError(
            f"a checkpoint is named by a number, an id, a branch, perdure.label(…) or "
            f"perdure.time(…), not by {ref!r}"
        )
    if isinstance(ref, int):
        return Parsed(number=ref)
    name, tilde, steps = ref.partition("~")
    back = _number(steps, ref) if tilde and steps else int(bool(tilde))
    name, at, number = name.partition("@")
    if at:
        return Parsed(name or None, _number(number, ref), back)
    return Parsed(name or None, None, back)


def _number(text: str, ref: str) -> int:
    if not text.isdecimal() or len(text) > len(str(limits.checkpoints_max)):
        raise CheckpointNotFound(
            f"{ref!r} names no checkpoint: after @ and ~ stands a number, as in main@17 or main~3"
        )
    return int(text)


def is_id(text: str) -> bool:
    """Whether this may be an id or the beginning of one."""
    return len(text) >= PREFIX_DIGITS_MIN and not set(text.lower()) - _HEX


def check_branch(name: object) -> str:
    """A name that a new branch may have.

    Raises:
        UsageError: it may not; the message says why.
    """
    if not isinstance(name, str):
        raise UsageError(f"a branch is named by a string, not {name!r}")
    if not name or len(name) > limits.branch_chars_max:
        raise UsageError(
            f"a branch's name has 1 to {limits.branch_chars_max} characters, not {len(name)}"
        )
    odd = [char for char in name if char in _RESERVED or not char.isprintable() or char == " "]
    if odd:
        raise UsageError(f"a branch's name cannot hold {odd[0]!r}: {name!r}")
    if name.isdecimal():
        raise UsageError(f"a branch cannot be named {name!r}: that is a checkpoint's number")
    if name.startswith("-"):
        raise UsageError(f"a branch's name cannot begin with a dash: {name!r}")
    return name
