"""Lineage: the lines that a branch's records are on, from its newest one down to the first.

A line is written to by one branch, once. Whenever a branch's name moves it gets a new line, whose
base is the record that it stands on; numbers go on from there. So what was left can never be saved
to again, and nothing is copied. See `docs/design/0012-branches.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from perdure import limits
from perdure.core.head import Base, Branch, Head, Snapshot


def is_whole(tip: Branch) -> bool:
    """Whether `tip.bases` has all the bases there are; if not, lines' first records have others."""
    return len(tip.bases) < limits.lineage_inline_max


def starts_at(tip: Branch) -> int:
    """Number of the first record that its own line has, or will have."""
    return tip.bases[0].number + 1 if tip.bases else 1


def is_empty(tip: Branch) -> bool:
    """Whether nothing was saved on its own line yet."""
    return tip.number < starts_at(tip)


def moved_to(head: Head, at: Branch, bases: Iterable[Base]) -> Branch:
    """A branch on a new line that stands on the record that `at` stands on.

    Args:
        head: which line comes next is its `lines`.
        at: the record, the snapshots of its lineage, and where that was cut off.
        bases: of the new line: the place of that record first.
    """
    return replace(at, line=head.lines, bases=tuple(bases)[: limits.lineage_inline_max])


def bases_at(tip: Branch, number: int) -> tuple[Base, ...] | None:
    """The bases of a new line that stands on one of a branch's records.

    None: what the head has does not tell, and lines' first records have to be read.

    Example:
        >>> tip = Branch(2, 9, bytes(16), bytes(32), 0, None, (Base(1, 7), Base(0, 4)))
        >>> bases_at(tip, 5)
        (Base(line=1, number=5), Base(line=0, number=4))
    """
    every = (Base(tip.line, tip.number), *tip.bases)
    for each, (there, below) in enumerate(zip(every, (*every[1:], None), strict=True)):
        if below is None and not is_whole(tip):
            return None
        if there.number >= number and (below is None or below.number < number):
            found = (Base(there.line, number), *every[each + 1 :])
            # A list that is shorter than it may be says that there are no more.
            is_enough = is_whole(tip) or len(found) >= limits.lineage_inline_max
            return found if is_enough else None
    return None


def bases_through(ends: Mapping[int, int]) -> tuple[Base, ...]:
    """The bases of the newest of the lines that some records are on.

    Args:
        ends: by line, oldest first, the number of the last of the records that is on it.

    Example:
        >>> bases_through({0: 5, 3: 7, 4: 9})
        (Base(line=3, number=7), Base(line=0, number=5))
    """
    below = [Base(line, number) for line, number in ends.items()][-2::-1]
    return tuple(below[: limits.lineage_inline_max])


def snapshots_to(tip: Branch, number: int) -> tuple[Snapshot, ...] | None:
    """The kept snapshots of a branch up to a checkpoint."""
    return tuple(each for each in tip.snapshots or () if each.number <= number) or None


def shared_number(one: Branch, other: Branch) -> int | None:
    """Number of the newest record that two branches have in common, as far as their heads tell.

    0: they have none; None: lines' first records have to be read to know.
    """
    ends = {base.line: base.number for base in reversed((Base(one.line, one.number), *one.bases))}
    for base in (Base(other.line, other.number), *other.bases):
        if base.line in ends:
            return min(base.number, ends[base.line])
    return 0 if is_whole(one) and is_whole(other) else None
