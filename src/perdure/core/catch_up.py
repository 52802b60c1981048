"""What leads from one state to another, of which both were made from one base by changes.

A live tree has ours, what is to be stored is the merged state: both are told as deltas in the
positions of the base (`core.delta`), so what differs is found place by place. The base is asked for
only where both did something to one value and that alone does not tell.

Keys of mappings come in an order, which changes alone could bring about only by taking keys out and
putting them in again. It is told apart, so that what they hold can stay where it is.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import msgspec

from perdure.core.changes import Change, Delete, Set
from perdure.core.delta import (
    ABSENT,
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
from perdure.core.list_edits import Hunk, Items
from perdure.core.merge_lists import Side, items_of, meeting, told_from
from perdure.core.paths import KeysLast, Path
from perdure.core.values import same


class CatchUp(msgspec.Struct, frozen=True):
    """What leads to the other state."""

    changes: list[Change]
    """To be made first. Their values may be shared with those they were found from."""
    orders: list[KeysLast]
    """And then these, at paths of the state that is reached. Sections are not among them."""


class Places(msgspec.Struct, frozen=True):
    """The paths of one value in the three states."""

    base: Path
    here: Path
    there: Path

    def at(self, base: str | int, here: str | int, there: str | int) -> Places:
        """Those of a value inside."""
        return Places((*self.base, base), (*self.here, here), (*self.there, there))


def catch_up(here: Sequence[Change], there: Sequence[Change]) -> Generator[Path, Any, CatchUp]:
    """What leads from the state that `here` made of a base to the one that `there` did.

    Args:
        here: changes to the base, one after another.
        there: the same, of the state to be reached.

    Yields:
        Paths in the base; send the value there, or `ABSENT`.

    Raises:
        ReplayMismatch: changes do not fit those before them.

    Example:
        >>> steps = catch_up([Set(("a",), 1)], [Set(("a",), 1), Set(("b",), 2)])
        >>> try:
        ...     next(steps)
        ... except StopIteration as done:
        ...     done.value
        CatchUp(changes=[Set(path=('b',), value=2)], orders=[])
    """
    one, other = compose(here), compose(there)
    yield from settle(one)
    yield from settle(other)
    way = _Way()
    yield from way.keys(Places((), (), ()), one, other)
    return CatchUp(way.changes, way.orders)


class _Way:
    """What was found so far, and what is known of the base."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.orders: list[KeysLast] = []
        self.known: dict[Path, Any] = {}

    def base(self, path: Path | None) -> Asking:
        """The value of the base at a path; nothing is at None."""
        if path is None:
            return ABSENT
        if path not in self.known:
            self.known[path] = yield path
        return self.known[path]

    def node(self, places: Places, here: Node | None, there: Node | None) -> Asking:
        """What leads from one value to the other."""
        if here is None and there is not None:
            self.changes += changes_of(there, places.here)
        elif isinstance(here, Keys) and isinstance(there, Keys | None):
            yield from self.keys(places, here, there or Keys({}))
        elif isinstance(here, Items) and isinstance(there, Items | None):
            yield from self.items(places, here, there or Items())
        elif isinstance(here, Membership) and isinstance(there, Membership | None):
            self.members(places, here, there or Membership({}, {}))
        elif here is not None:
            is_told = isinstance(here, Put) and isinstance(there, Put)
            base = ABSENT if is_told else (yield from self.base(places.base))
            self.values(places.here, places.there, value_of(here, base), value_of(there, base))

    # ---- mappings -------------------------------------------------------------------------

    def keys(self, places: Places, here: Keys, there: Keys) -> Asking:
        """What leads from one edited mapping to the other."""
        for key in dict.fromkeys((*there.keys, *here.keys)):
            inside = places.at(key, key, key)
            yield from self.node(inside, here.keys.get(key), there.keys.get(key))
        if places.here and any(
            _may_be_last(node) or _leaves(there.keys.get(key)) for key, node in here.keys.items()
        ):
            yield from self._ordered(places, here, there)

    def _ordered(self, places: Places, here: Keys, there: Keys) -> Asking:
        """Note the order of the keys that the other mapping has last."""
        last = yield from self._last(places.base, there)
        if any(
            _leaves(node) and not _leaves(there.keys.get(key)) for key, node in here.keys.items()
        ):
            # It comes again where it was in the base, before others.
            base = yield from self.base(places.base)
            kept = () if base is ABSENT else tuple(base)
            last = [key for key in kept if not _leaves(there.keys.get(key))] + last
        elif last == (yield from self._last(places.base, here)):
            return
        if last:
            self.orders.append((places.there, tuple(last)))

    def _last(self, where: Path, keys: Keys) -> Asking:
        """The keys that come after those of the base which stayed, in order."""
        last: list[str] = []
        for key, node in keys.keys.items():
            if not isinstance(node, Put) or node.value is ABSENT:
                continue
            if not node.gone and node.had is None:
                node.had = (yield from self.base((*where, key))) is not ABSENT
            if node.gone or not node.had:
                last.append(key)
        return last

    # ---- lists and sets -------------------------------------------------------------------

    def items(self, places: Places, here: Items, there: Items) -> Asking:
        """What leads from one edited list to the other."""
        one, other = Side(here), Side(there)
        hunks: list[Hunk] = []
        told: list[range] = []
        """Runs of the base that are told by their values."""
        for zone in meeting(one, other):
            if zone.contested or not zone.theirs:
                told.append(range(zone.start, zone.end))
                base = yield from items_of(self, places.base, zone.start, zone.end)
                runs = one.run(base, zone, zone.ours), other.run(base, zone, zone.theirs)
                values = [[value for _, value in run] for run in runs]
                start = one.place(zone.start, before=True)
                hunks += told_from(self.changes, places.here, start, values[0], values[1])
            elif not zone.ours:
                hunks += [
                    Hunk(one.place(hunk.start), hunk.removed, hunk.items) for hunk in zone.theirs
                ]
        for at in dict.fromkeys((*there.edits, *here.edits)):
            if not (one.lacks(at) or other.lacks(at) or any(at in run for run in told)):
                inside = places.at(at, one.place(at), other.place(at))
                yield from self.node(inside, here.edits.get(at), there.edits.get(at))
        self.changes += changes_of(Items(hunks), places.here)

    def members(self, places: Places, here: Membership, there: Membership) -> None:
        """What leads from one edited set to the other."""
        removed = _joined(beyond(here.added, there.added), beyond(there.removed, here.removed))
        added = _joined(beyond(there.added, here.added), beyond(here.removed, there.removed))
        self.changes += changes_of(Membership(removed, added), places.here)

    # ---- values ---------------------------------------------------------------------------

    def values(self, path: Path, final: Path, here: Any, there: Any) -> None:
        """What leads from one known value to another; both may be absent."""
        if same(here, there):
            return
        if there is ABSENT:
            self.changes.append(Delete(path))
        elif here is ABSENT:
            self.changes.append(Set(path, there))
        elif isinstance(here, dict) and isinstance(there, dict):
            self._mappings(path, final, here, there)
        else:
            node = between(here, there)
            assert node is not None
            self.changes += changes_of(node, path)

    def _mappings(
        self, path: Path, final: Path, here: dict[str, Any], there: dict[str, Any]
    ) -> None:
        stay = [key for key in here if key in there]
        for key in dict.fromkeys((*here, *there)):
            inside = here.get(key, ABSENT), there.get(key, ABSENT)
            self.values((*path, key), (*final, key), *inside)
        if stay + [key for key in there if key not in here] != list(there):
            self.orders.append((final, tuple(there)))


def _leaves(node: Node | None) -> bool:
    """Whether a key of the base went, be it to come again, last."""
    return isinstance(node, Put) and node.gone and node.had is not False


def _may_be_last(node: Node) -> bool:
    """Whether a key may be new, or have left its place in the base."""
    return isinstance(node, Put) and (node.gone or not node.had)


def _joined(one: dict[bytes, list[Any]], other: dict[bytes, list[Any]]) -> dict[bytes, list[Any]]:
    keys = dict.fromkeys((*one, *other))
    return {key: [*one.get(key, ()), *other.get(key, ())] for key in keys}
