"""Strategies of a merge: which one applies where, and what it makes of two values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from perdure.core.abbreviate import with_article
from perdure.core.codec import pack
from perdure.core.delta import ABSENT
from perdure.core.delta_between import id_of
from perdure.core.paths import Path, parse_path
from perdure.core.values import take
from perdure.errors import UsageError
from perdure.types import Strategies

NAMES = ("error", "ours", "theirs", "append", "set", "counter")
ONE, REST = "*", "**"


class Unfit(Exception):
    """A strategy has no answer for these values; the text says why."""


class Rule(msgspec.Struct, frozen=True):
    """A path pattern and its strategy."""

    parts: tuple[str | None, ...]
    """None: any part."""
    rest: bool
    """Whether the pattern ends in `**`."""
    strategy: Any

    def covers(self, path: Path) -> bool:
        """Whether the path is one that the pattern matches, or below one."""
        return len(self.parts) <= len(path) and all(
            mine is None or mine == str(part) for mine, part in zip(self.parts, path)
        )

    def is_exactly(self, path: Path) -> bool:
        """Whether the pattern ends at this path, which it covers."""
        return not self.rest and len(self.parts) == len(path)

    @property
    def rank(self) -> tuple[int, int]:
        """Higher if it is more specific."""
        literals = sum(part is not None for part in self.parts)
        return literals, len(self.parts) + self.rest


DEFAULT = Rule((), True, "error")


class Rules:
    """The strategies of a merge.

    Args:
        strategies: by path pattern, or by the parts of a path (a tuple), which are no pattern.

    Raises:
        UsageError: they are no mapping, or there is no such strategy or pattern.

    Example:
        >>> Rules({"plan": "ours", "plan/*/status": "theirs"}).at(("plan", "a", "status")).strategy
        'theirs'
    """

    def __init__(self, strategies: Strategies) -> None:
        if not isinstance(strategies, Mapping):
            raise UsageError(
                'strategies are a mapping from paths to what is done there, {"messages": "append"}'
                f", not {strategies!r}"
            )
        rules = [_rule(pattern, strategy) for pattern, strategy in strategies.items()]
        self._rules = sorted(rules, key=lambda rule: rule.rank, reverse=True)
        self.counting = "counter" in strategies.values()
        """Whether there are counters at all."""

    def at(self, path: Path) -> Rule:
        """The most specific rule for an overlap at this path; "error" if there is none."""
        for rule in self._rules:
            if rule.covers(path):
                return rule
        return DEFAULT

    def of_run(self, path: Path, start: int) -> Rule:
        """That for a run of a list: one that names where it starts, else that of the list.

        Args:
            path: of the list.
            start: position of the run's first item, which is last in the path of its conflict.
        """
        named = self.at((*path, start))
        is_its_own = len(named.parts) == len(path) + 1 and named.parts[-1] == str(start)
        return named if is_its_own else self.at(path)


def _rule(pattern: Any, strategy: Any) -> Rule:
    if not callable(strategy) and strategy not in NAMES:
        known = ", ".join(NAMES)
        raise UsageError(
            f"there is no merge strategy {strategy!r} (for {pattern!r}): use {known}, or a "
            "function of (base, ours, theirs)"
        )
    if isinstance(pattern, tuple) and all(isinstance(part, str | int) for part in pattern):
        return Rule(tuple(map(str, pattern)), False, strategy)
    if not isinstance(pattern, str):
        raise UsageError(
            f'a merge strategy is for a path, "plan/step" or ("plan", "step"), not for {pattern!r}'
        )
    if pattern and not parse_path(pattern):
        return Rule((), False, strategy)
    written = pattern.split("/")
    rest = written[-1] == REST
    written = written[: len(written) - rest]
    if REST in written:
        raise UsageError(f"{pattern!r}: ** can only be the last part of a pattern")
    # As a star itself may be a key: ~u2a; is one.
    parts = tuple(None if each == ONE else parse_path(f"/{each}")[1] for each in written)
    if parts and parts[0] == "":
        raise UsageError(f"{pattern!r} names no section: write plan/step, without a slash before")
    return Rule(parts, rest, strategy)


# ---- what comes of two values ---------------------------------------------------------------


def combined(strategy: Any, base: Any, ours: Any, theirs: Any) -> Any:
    """What a strategy makes of an overlap; the values may be `ABSENT`, and so may the answer.

    Raises:
        Unfit: it makes nothing of these; "error" never does.
    """
    if strategy == "ours":
        return ours
    if strategy == "theirs":
        return theirs
    if callable(strategy):
        # Copies: a function may well edit what it is given, and give that back.
        given = (None if each is ABSENT else take(each) for each in (base, ours, theirs))
        return take(strategy(*given))
    if strategy == "error":
        raise Unfit(_told(ours, theirs))
    return _COMBINED[strategy](base, ours, theirs)


def _told(ours: Any, theirs: Any) -> str:
    if ours is ABSENT:
        return "we deleted what they changed"
    if theirs is ABSENT:
        return "they deleted what we changed"
    return "both sides changed it"


def counted(base: Any, ours: Any, theirs: Any) -> Any:
    """The base and what both sides added to it.

    Raises:
        Unfit: one of them is no number, or what comes of them is none.
    """
    values = (0 if base is ABSENT else base, ours, theirs)
    for each in values:
        if type(each) is not int and type(each) is not float:
            raise Unfit(f"a counter is an int or a float, not {_kind(each)}")
    try:
        return ours + (theirs - values[0])
    except OverflowError:
        raise Unfit("an int is too large to be added to a float") from None


def _appended(base: Any, ours: Any, theirs: Any) -> Any:
    if type(ours) is not type(theirs):
        raise Unfit(f'"append" puts no {_kind(theirs)} after {_kind(ours)}')
    if isinstance(ours, list):
        return ours + theirs
    if isinstance(ours, str | bytes):
        start: Any = base if type(base) is type(ours) else type(ours)()
        if ours.startswith(start) and theirs.startswith(start):
            return ours + theirs[len(start) :]
        raise Unfit('"append": more was done to the text than to append to it')
    raise Unfit(f'"append" does not fit {_kind(ours)}')


def _united(base: Any, ours: Any, theirs: Any) -> Any:
    if isinstance(ours, list) and isinstance(theirs, list):
        return united([], ours, theirs)
    raise Unfit(f'"set" does not fit {_kind(ours)} and {_kind(theirs)}')


def united(base: list[Any], ours: list[Any], theirs: list[Any]) -> list[Any]:
    """Lists merged as sets: what neither removed, without duplicates, ours first.

    Example:
        >>> united(["a", "b"], ["b", "c"], ["a", "b", "d", "c"])
        ['b', 'c', 'd']
    """
    were = {name_in_set(item) for item in base}
    mine = {name_in_set(item): item for item in reversed(ours)}
    others = {name_in_set(item): item for item in reversed(theirs)}
    found = [
        mine.pop(name)
        for name in map(name_in_set, ours)
        if name in mine and (name in others or name not in were)
    ]
    had = {name_in_set(item) for item in ours}
    for item in theirs:
        name = name_in_set(item)
        if name not in were and name not in had:
            had.add(name)
            found.append(item)
    return found


def name_in_set(item: Any) -> bytes:
    """What tells items of a list that is a set apart: their id, else all that they are."""
    found = id_of(item)
    return pack(item) if found is None else b"id" + pack(found)


def _kind(value: Any) -> str:
    return "nothing" if value is ABSENT else with_article(type(value).__name__)


_COMBINED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "append": _appended,
    "set": _united,
    "counter": counted,
}
