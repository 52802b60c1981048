"""Merging what two sides did to one state, three-way.

Both sides are deltas in the positions of the base (`core.delta`), so they are compared place by
place, and the base is asked for only where both touched the same one.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from perdure.core import merge_lists
from perdure.core.abbreviate import abbreviate
from perdure.core.changes import Change, Delete, Set, apply, copies, text_splice
from perdure.core.delta import (
    ABSENT,
    HERE,
    Asking,
    Keys,
    Membership,
    Node,
    Put,
    changes_of,
    compose,
    settle,
    value_of,
)
from perdure.core.delta_between import between, beyond
from perdure.core.list_edits import Items
from perdure.core.merge_rules import Rule, Rules, Unfit, combined, counted
from perdure.core.paths import Path, format_path
from perdure.core.values import same, take
from perdure.types import Strategy

CONTAINERS = (dict, list, set)
"""What both sides may have edited inside."""


class MergeConflict(msgspec.Struct, frozen=True):
    """A place that both sides changed, and no strategy says which is right. Ours was kept.

    Example:
        >>> conflict = MergeConflict(("plan", "step"), 1, 2, 3, "both sides changed it")
        >>> conflict.summary()
        'plan/step: both sides changed it: ours 2, theirs 3, before 1'
    """

    path: Path
    """Where it is in our state, or was, if we deleted it."""
    base: Any
    """The value before; None if `added`."""
    ours: Any
    """Our value; None if `deleted_by` us."""
    theirs: Any
    """Their value; None if `deleted_by` them."""
    reason: str
    """Why it was not merged, in one line."""
    deleted_by: Literal["ours", "theirs"] | None = None
    """Who deleted it, if one side did."""
    added: bool = False
    """Whether there was nothing before."""
    run: bool = False
    """Whether the three values are runs of the items of a list, from the position in `path` on."""

    def summary(self) -> str:
        """One line: the path, the reason, and the values, cut short."""
        ours = "deleted" if self.deleted_by == "ours" else abbreviate(self.ours)
        theirs = "deleted" if self.deleted_by == "theirs" else abbreviate(self.theirs)
        before = "" if self.added else f", before {abbreviate(self.base)}"
        return f"{format_path(self.path)}: {self.reason}: ours {ours}, theirs {theirs}{before}"


class Merged(msgspec.Struct, frozen=True):
    """What a merge came to."""

    changes: list[Change]
    """What makes the merged state of ours. Their values may be shared with the changes that were
    merged: apply `copies` of them."""
    conflicts: tuple[MergeConflict, ...]
    """Places where ours was kept and somebody should look; empty if all was merged."""


def merge(
    ours: Sequence[Change], theirs: Sequence[Change], strategies: Mapping[str, Strategy] = {}
) -> Generator[Path, Any, Merged]:
    """Merge two sequences of changes, each made to the same base.

    Edits of different places are both kept. Where both sides changed the same place, to the same
    value is no conflict, and nor is a side whose edits came to nothing; else a strategy decides.
    Neither side's changes are altered.

    In lists, runs that overlap or touch are the same place, and decided as wholes; if both sides
    only removed items, what either removed goes. Items with an `"id"` (str or int) are the same
    item if they have the same, wherever a side put them.

    A strategy applies to every overlap at or below a path that its pattern matches: parts as in
    `parse_path`, `*` for any one, `**` at the end for any further ones. The one with the most
    literal parts wins, then the longest. Strategies are

    - `"error"`, the default: a conflict;
    - `"ours"`, `"theirs"`;
    - `"append"`: of lists our whole run and then their whole run, of texts the same, of mappings
      the keys of both. Ours is always first;
    - `"set"`: of lists what either added and neither removed, told apart by `id` if items have
      one, without duplicates. It decides for the list whenever both sides edited it;
    - `"counter"`: of numbers the base (0 if there is none) and what both added, even if they added
      the same;
    - a function of (base, ours, theirs), None for what is not there, that returns the value. It is
      called with what is at the path that its pattern matches, whenever both sides changed
      something in it to different values; if the pattern ends in `**` or a more specific one
      matched there, with the overlap itself. Of a list that is a run of its items, and so must be
      the answer. What it raises passes, with a note of the path.

    One that does not fit what it finds leaves a conflict.

    Args:
        ours: changes to the base, one after another.
        theirs: the same of the other side.
        strategies: by path pattern.

    Yields:
        Paths in the base; send the value there, or `ABSENT`.

    Raises:
        UsageError: there is no such strategy or pattern.
        ReplayMismatch: the changes of a side do not fit one another.

    Example:
        >>> steps = merge([Set(("a",), 1)], [Set(("b",), 2)])
        >>> try:
        ...     next(steps)
        ... except StopIteration as done:
        ...     done.value
        Merged(changes=[Set(path=('b',), value=2)], conflicts=())
    """
    merger = Merger(Rules(strategies))
    mine, others = compose(ours), compose(theirs)
    yield from settle(mine)
    yield from settle(others)
    yield from merger.node((), (), mine, others)
    return Merged(merger.out, tuple(merger.conflicts))


class Merger:
    """A merge under way: what it has come to, and what it knows of the base.

    Args:
        rules: the strategies.
        known: values of the base by path.
        conflicts: where to note them.
    """

    def __init__(
        self,
        rules: Rules,
        known: dict[Path, Any] | None = None,
        conflicts: list[MergeConflict] | None = None,
    ) -> None:
        self.rules = rules
        self.known: dict[Path, Any] = {} if known is None else known
        self.conflicts: list[MergeConflict] = [] if conflicts is None else conflicts
        self.out: list[Change] = []

    def base(self, path: Path | None) -> Asking:
        """The value of the base at a path; nothing is at None."""
        if path is None:
            return ABSENT
        if path not in self.known:
            self.known[path] = yield path
        return self.known[path]

    def node(
        self, where: Path | None, path: Path, ours: Node | None, theirs: Node | None
    ) -> Asking:
        """Merge what both sides did to one value.

        Args:
            where: its path in the base; None if it is not there.
            path: its path in our state.
            ours: what we did to it; None: nothing.
            theirs: what they did.
        """
        if theirs is None:
            return
        if ours is None:
            self.out += changes_of(theirs, path)
            return
        rule = self.rules.at(path)
        if callable(rule.strategy) and rule.is_exactly(path):
            yield from self._called(where, path, ours, theirs, rule)
        elif isinstance(ours, Keys) and isinstance(theirs, Keys):
            for key, inner in theirs.keys.items():
                yield from self.node(below(where, key), (*path, key), ours.keys.get(key), inner)
        elif isinstance(ours, Items) and isinstance(theirs, Items):
            yield from merge_lists.merge_items(self, where, path, ours, theirs)
        elif isinstance(ours, Membership) and isinstance(theirs, Membership):
            self._members(path, ours, theirs)
        else:
            yield from self._values(where, path, ours, theirs)

    def _called(
        self, where: Path | None, path: Path, ours: Node, theirs: Node, rule: Rule
    ) -> Asking:
        base = yield from self.base(where)
        mine, others = value_of(ours, base), value_of(theirs, base)
        if same(mine, others) or same(others, base):
            return
        if same(mine, base):
            self.out += changes_of(theirs, path)
            return
        self.put(path, mine, self.combined(path, rule.strategy, base, mine, others))

    def _members(self, path: Path, ours: Membership, theirs: Membership) -> None:
        removed, added = beyond(theirs.removed, ours.removed), beyond(theirs.added, ours.added)
        # 1 and True are two values, but a set holds one of them only: that is ours.
        mine = {each for some in ours.added.values() for each in some}
        added = {
            packed: some
            for packed, some in added.items()
            if not mine.intersection(some) or packed in ours.added
        }
        self.out += changes_of(Membership(removed, added), path)

    def _values(self, where: Path | None, path: Path, ours: Node, theirs: Node) -> Asking:
        """Merge what at least one side replaced, or two edits of a text."""
        base = yield from self.base(where)
        mine, others = value_of(ours, base), value_of(theirs, base)
        if same(others, base):
            return
        if same(mine, base):
            self.out += changes_of(theirs, path)
        elif self._counts(path, base, mine, others):
            self.put(path, mine, counted(base, mine, others))
        # Two that are the same may hold counters, which both sides moved.
        elif self.rules.counting or not same(mine, others):
            start = _start(base, mine, others)
            if start is not ABSENT:
                inside = None if base is ABSENT else where
                one, other = _inside(ours, start, mine), _inside(theirs, start, others)
                yield from self.node(inside, path, one, other)
            elif not same(mine, others):
                yield from self.overlap(where, path, base, mine, others)

    def _counts(self, path: Path, base: Any, ours: Any, theirs: Any) -> bool:
        if self.rules.at(path).strategy != "counter":
            return False
        try:
            counted(base, ours, theirs)
        except Unfit:
            return False
        return True

    def overlap(self, where: Path | None, path: Path, base: Any, ours: Any, theirs: Any) -> Asking:
        """Decide about two values of which both are new."""
        strategy = self.rules.at(path).strategy
        if strategy == "append" and isinstance(ours, dict) and isinstance(theirs, dict):
            mine, others = between({}, ours), between({}, theirs)
            yield from self.node(None, path, mine, others)
        else:
            self.put(path, ours, self.decided(path, base, ours, theirs))

    def decided(self, path: Path, base: Any, ours: Any, theirs: Any) -> Any:
        """What the strategy makes of an overlap; ours, and a conflict is noted, if nothing."""
        try:
            return self.combined(path, self.rules.at(path).strategy, base, ours, theirs)
        except Unfit as unfit:
            self.conflict(path, base, ours, theirs, str(unfit))
            return ours

    def combined(self, path: Path, strategy: Any, base: Any, ours: Any, theirs: Any) -> Any:
        """What a strategy makes of an overlap: see `merge_rules.combined`.

        What a function raises passes, with a note of where.
        """
        try:
            return combined(strategy, base, ours, theirs)
        except Unfit:
            raise
        except Exception as error:
            error.add_note(f"while merging {format_path(path)}")
            raise

    def conflict(
        self, path: Path, base: Any, ours: Any, theirs: Any, reason: str, run: bool = False
    ) -> None:
        """Note a conflict."""
        deleted: Literal["ours", "theirs"] | None = None
        if ours is ABSENT or theirs is ABSENT:
            deleted = "ours" if ours is ABSENT else "theirs"
        was, mine, others = (
            None if each is ABSENT else take(each) for each in (base, ours, theirs)
        )
        added = base is ABSENT
        self.conflicts.append(
            MergeConflict(path, was, mine, others, reason, deleted, added=added, run=run)
        )

    def put(self, path: Path, ours: Any, value: Any) -> None:
        """Let a value be where ours is."""
        if same(ours, value):
            return
        if value is ABSENT:
            self.out.append(Delete(path))
        elif type(ours) is type(value) and isinstance(value, str | bytes):
            self.out.append(text_splice(path, ours, value) or Set(path, value))
        else:
            self.out.append(Set(path, value))

    def apart(
        self, where: Path | None, path: Path, ours: Node, theirs: Node
    ) -> Generator[Path, Any, Any]:
        """The merged value of one place, which does not go where ours is."""
        inner = Merger(self.rules, self.known, self.conflicts)
        yield from inner.node(where, path, ours, theirs)
        base = yield from self.base(where)
        section = {HERE: take(value_of(ours, base))}
        changes = [replace(each, path=(HERE, *each.path[len(path) :])) for each in inner.out]
        apply(section, copies(changes))
        return section[HERE]


def below(where: Path | None, part: str | int) -> Path | None:
    """The path of what is in the value at `where`; None if that is not there."""
    return None if where is None else (*where, part)


def _start(base: Any, ours: Any, theirs: Any) -> Any:
    """What both were made of, if both can be told as edits of it; else `ABSENT`."""
    for kind in CONTAINERS:
        if type(ours) is kind and type(theirs) is kind:
            if base is ABSENT:
                return kind()
            return base if type(base) is kind else ABSENT
    return ABSENT


def _inside(node: Node, start: Any, value: Any) -> Node | None:
    """A container that was replaced, as edits of what it was made of; None if there are none."""
    return between(start, value) if isinstance(node, Put) else node
