"""Which checkpoints of a branch a policy keeps. See `docs/design/0017-retention.md`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import TypeAlias

import msgspec

from perdure import limits
from perdure.errors import UsageError

Thinning: TypeAlias = Sequence[tuple[timedelta, timedelta]]
"""Pairs of (older than, one per)."""

_US = timedelta(microseconds=1)


class Seen(msgspec.Struct, frozen=True):
    """A checkpoint as far as a policy looks at it."""

    number: int
    time_us: int
    """When it was saved (microseconds since 1970 UTC)."""
    label: str | None = None


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Which checkpoints of each branch to keep; the newest of a branch always is.

    A checkpoint is kept if any of these says so. Without `keep_last`, `max_age` and `thin`, all
    are kept.

    Example:
        >>> from datetime import timedelta
        >>> day = timedelta(days=1)
        >>> policy = Retention(keep_last=100, max_age=90 * day, thin=[(7 * day, day)])

    Raises:
        UsageError: a number or a duration makes no sense.
    """

    keep_last: int | None = None
    """So many of the newest."""
    max_age: timedelta | None = None
    """Those saved less than this ago, as far as `thin` keeps them."""
    keep_labels: bool | Collection[str] = True
    """Those with a label; or only those with one of these labels."""
    thin: Thinning | None = None
    """Pairs of (older than, one per): of those that are older, the newest of each period."""
    keep_left: timedelta = timedelta(microseconds=limits.left_us)
    """How long after a branch was moved or deleted what it left is kept, and can be undone."""

    def __post_init__(self) -> None:
        if self.keep_last is not None and not _is_count(self.keep_last):
            raise UsageError(f"keep_last is a number, at least 1, not {self.keep_last!r}")
        if not _are_labels(self.keep_labels):
            raise UsageError(f"keep_labels is True, False or a list, not {self.keep_labels!r}")
        thin = self.thin or ()
        if not _are_rules(thin):
            raise UsageError(f"thin is a list of (older than, one per) as timedelta, not {thin!r}")
        if any(per <= timedelta(0) for _, per in thin):
            raise UsageError("what thin keeps one per is longer than nothing")
        _check_age("keep_left", self.keep_left)
        for name, age in [("max_age", self.max_age), *(("thin", older) for older, _ in thin)]:
            if age is not None:
                _check_age(name, age)


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


def _are_labels(labels: object) -> bool:
    return isinstance(labels, bool | Collection) and not isinstance(labels, str)


def _are_rules(thin: object) -> bool:
    return isinstance(thin, Sequence) and all(map(_is_rule, thin))


def _is_rule(pair: object) -> bool:
    if not isinstance(pair, Sequence) or len(pair) != 2:
        return False
    return all(isinstance(each, timedelta) for each in pair)


def _check_age(name: str, age: object) -> None:
    if not isinstance(age, timedelta):
        raise UsageError(f"{name} is a timedelta, not {age!r}")
    if age < timedelta(0):
        raise UsageError(f"an age is not negative, as {name} is: {age}")


def kept_numbers(policy: Retention, seen: Iterable[Seen], now_us: int) -> set[int]:
    """The numbers of the checkpoints of one branch that are kept.

    Args:
        policy: what to keep.
        seen: the checkpoints of the branch that there are, in any order.
        now_us: what ages are counted to (microseconds since 1970 UTC).
    """
    newest_first = sorted(seen, key=lambda each: each.number, reverse=True)
    last = policy.keep_last or 1
    kept = {each.number for each in newest_first[:last]}
    kept |= {each.number for each in newest_first if _is_labelled(policy, each)}
    periods = set[tuple[int, int]]()
    for each in newest_first:
        age_us = now_us - each.time_us
        if not _is_young(policy, age_us):
            continue
        per_us = _period(policy.thin or (), age_us)
        period = per_us, each.time_us // per_us if per_us else each.number
        if period not in periods:
            periods.add(period)
            kept.add(each.number)
    return kept


def runs_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Runs of neighbours among these numbers, newest first: the first and the last of each.

    Example:
        >>> runs_of({9, 4, 10, 3, 7})
        [(9, 10), (7, 7), (3, 4)]
    """
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers, reverse=True):
        if runs and runs[-1][0] == number + 1:
            runs[-1] = number, runs[-1][1]
        else:
            runs.append((number, number))
    return runs


def _is_labelled(policy: Retention, seen: Seen) -> bool:
    if isinstance(policy.keep_labels, bool):
        return policy.keep_labels and seen.label is not None
    return seen.label in policy.keep_labels


def _is_young(policy: Retention, age_us: int) -> bool:
    """Whether an age alone does not let a checkpoint go."""
    if policy.max_age is not None:
        return age_us < policy.max_age // _US
    return policy.keep_last is None or bool(policy.thin)


def _period(thin: Thinning, age_us: int) -> int:
    """Of how long one is kept at this age (microseconds); 0: all are."""
    rules = [(older, per) for older, per in thin if age_us >= older // _US]
    return max(max(rules)[1] // _US, 1) if rules else 0
