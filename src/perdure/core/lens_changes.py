"""Changes of an older view, made changes of the newer form that it is a view of.

A path is led through the lenses: by a rename or move it is written anew, into items and values it
goes on with their lenses, and where another lens has to do with it, the edit is made to the view of
that one mapping, and put back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from perdure.core.changes import Change, Delete, Set, Splice, apply, copies
from perdure.core.codec import pack
from perdure.core.delta import ABSENT
from perdure.core.diff import to_changes
from perdure.core.lens import (
    InItems,
    Lenses,
    MapValues,
    Move,
    Nested,
    Place,
    Rename,
    Unknown,
    news,
    olds,
    to_wire,
)
from perdure.core.lens_reach import around, reach
from perdure.core.lens_run import Fields, ahead, back, newer_all, put_back, require
from perdure.core.matching import id_of
from perdure.core.paths import Path
from perdure.core.values import take


def translate(changes: Iterable[Change], source: Mapping[str, Any], lenses: Lenses) -> list[Change]:
    """Changes of the newer form that make the edits that were made to its older view.

    Args:
        changes: made to `get(source, lenses)`, in order.
        source: the newer form as it was before them, at least the sections that the lenses connect
            with those that the changes are of. It is not modified: what changes touch is copied.
        lenses: what leads from the older form to the newer.

    Raises:
        MigrationFailed: an edit cannot be made to the newer form; says where.

    Example:
        >>> source = {"subject": "owls"}
        >>> translate([Set(("topic",), "bees")], source, (Rename(("topic",), "subject"),))
        [Set(path=('subject',), value='bees')]
    """
    changes, moved = list(changes), Moved()
    if any(map(_takes_out, changes)) and any(map(_puts_in, changes)):
        # Once to see what is taken out: what is put in again, be it before that, is no new item.
        _all_translated(changes, source, lenses, moved)
        moved.is_full = True
    return _all_translated(changes, source, lenses, moved)


def _all_translated(
    changes: list[Change], source: Mapping[str, Any], lenses: Lenses, moved: Moved
) -> list[Change]:
    touched = _touched(lenses)
    working = _Working(source)
    found: list[Change] = []
    for change in changes:
        if change.path[0] in touched:
            for made in _translated(change, working.sections, lenses, (), moved):
                working.make(made)
                found.append(made)
        else:
            found.append(change)
    return found


def _takes_out(change: Change) -> bool:
    return isinstance(change, Set | Delete) or (isinstance(change, Splice) and change.removed > 0)


def _puts_in(change: Change) -> bool:
    return isinstance(change, Set) or (isinstance(change, Splice) and bool(change.items))


class Moved:
    """Items and values that are taken out of where lenses are for them, to be put in elsewhere."""

    def __init__(self) -> None:
        self.is_full = False
        """Whether all were noted."""
        self._sources: dict[bytes, deque[Any]] = {}
        """The newer forms, by what they are in the view, or by the ids that they have there."""
        self._served: dict[int, Any] = {}
        """By id, those that were put in again."""

    def note(self, sources: Iterable[Any], lens: Nested, path: Path) -> None:
        """Note the newer forms of what is taken out."""
        if self.is_full:
            return
        for source in sources:
            if isinstance(source, dict):
                view = back(source, lens.lenses, path)
                for name in _names(view, lens):
                    self._sources.setdefault(name, deque()).append(source)

    def source_of(self, value: Any, lens: Nested) -> Any:
        """The newer form of what is put in again; `ABSENT` if it is new. Each serves once."""
        if not self.is_full or not isinstance(value, dict):
            return ABSENT
        for name in _names(value, lens):
            found = self._sources.get(name)
            while found:
                source = found.popleft()
                if id(source) not in self._served:
                    self._served[id(source)] = source
                    return source
        return ABSENT


def _names(view: Mapping[str, Any], lens: Nested) -> Iterator[bytes]:
    """What an item is known by, of all that the same lenses are for; the surest first."""
    lenses = to_wire(lens.lenses)
    yield pack([lenses, take({key: view[key] for key in sorted(view)})])
    known = id_of(view)
    if known is not None:
        yield pack([lenses, "id", known])


def _touched(lenses: Lenses) -> frozenset[str]:
    reached = reach(lenses)
    return reached.older | reached.newer


class _Working:
    """The newer form as it is by then; of what changes touch, copies along their paths."""

    def __init__(self, source: Mapping[str, Any]) -> None:
        self.sections = dict(source.items())
        self._own: dict[int, Any] = {id(self.sections): self.sections}

    def make(self, change: Change) -> None:
        parent: Any = self.sections
        for part in change.path[:-1]:
            parent = self._owned(parent, part)
        if not isinstance(change, Set | Delete):
            self._owned(parent, change.path[-1])
        apply(self.sections, copies([change]))

    def _owned(self, parent: Any, part: Any) -> Any:
        child = parent[part]
        if id(child) in self._own:
            return child
        if isinstance(child, dict):
            child = dict(child.items())
        elif isinstance(child, list):
            child = list(iter(child))
        elif isinstance(child, set):
            child = set(iter(child))
        else:
            return child
        parent[part] = self._own[id(child)] = child
        return child


# ---- one change -----------------------------------------------------------------------------


class _Way(msgspec.Struct):
    """Where a path leads in the newer form, and into which items or values it goes on."""

    path: Path
    depth: int = 0
    """How many parts of it lead to the list or mapping of items; 0 if it goes into none."""
    nested: Nested | None = None


def _translated(
    change: Change, source: Fields, lenses: Lenses, origin: Path, moved: Moved
) -> Iterator[Change]:
    """The changes that one change of the view of a mapping stands for.

    Args:
        change: its path is that in the view, from the mapping on.
        source: the mapping in the newer form.
        lenses: those of the mapping.
        origin: the path of the mapping in the newer form.
        moved: what is taken out of lists and mappings by this change and others.
    """
    way = _led(change.path, lenses)
    if way is None or not _is_there(source, way.path[: (way.depth or len(way.path)) - 1]):
        yield from _by_unit(change, source, lenses, origin)
    elif way.nested is None:
        yield replace(change, path=(*origin, *way.path))
    else:
        yield from _in_nested(change, source, way, way.nested, origin, moved)


def _led(path: Path, lenses: Lenses) -> _Way | None:
    """Where a path leads; None if a lens has more to do with it than its place."""
    way = _Way(path)
    for lens in lenses:
        if isinstance(lens, Unknown):
            return None
        if isinstance(lens, InItems | MapValues):
            if not _goes_in(way, lens):
                return None
        elif not _goes_on(way, lens) or _empties(way.path, lens):
            return None
    return way


def _goes_in(way: _Way, lens: Nested) -> bool:
    """Lead a path into items; False if it is of what holds them, or of other items."""
    depth = len(lens.at)
    if way.path[:depth] != lens.at:
        return way.path != lens.at[: len(way.path)]
    if way.nested is None:
        way.depth, way.nested = depth, lens
        return True
    if way.depth != depth or type(way.nested) is not type(lens):
        return False
    way.nested = type(lens)(lens.at, (*way.nested.lenses, *lens.lenses))
    return True


def _goes_on(way: _Way, lens: Any) -> bool:
    """Lead a path past a lens of fields; False if that has to do with its value."""
    if isinstance(lens, Rename) and _is_below(way.path, lens.at):
        return _is_moved(way, lens.at, news(lens)[0])
    if isinstance(lens, Move) and _is_below(way.path, lens.at):
        return len(way.path) > len(lens.at) and _is_moved(way, lens.at, lens.to)
    return not any(_meet(way.path, place) for place in (*olds(lens), *news(lens)))


def _empties(path: Path, lens: Any) -> bool:
    """Whether a path is of a field beside those that a move made a mapping for, or of such."""
    return isinstance(lens, Move) and len(path) > 1 and path[:-1] == lens.to[: len(path) - 1]


def _is_moved(way: _Way, at: Place, to: Place) -> bool:
    if 0 < way.depth < len(at):
        return False
    way.path = (*to, *way.path[len(at) :])
    way.depth += len(to) - len(at) if way.depth else 0
    return True


def _is_below(path: Path, place: Place) -> bool:
    return path[: len(place)] == place


def _meet(path: Path, place: Place) -> bool:
    shorter = min(len(path), len(place))
    return path[:shorter] == place[:shorter]


def _is_there(source: Any, path: Path) -> bool:
    part: Any
    for part in path:
        if not isinstance(source, dict | list):
            return False
        if isinstance(source, dict):
            if part not in source:
                return False
        elif not (isinstance(part, int) and part < len(source)):
            return False
        source = source[part]
    return True


# ---- items and values -----------------------------------------------------------------------


def _in_nested(
    change: Change, source: Fields, way: _Way, lens: Nested, origin: Path, moved: Moved
) -> Iterator[Change]:
    """A change of a list of items or a mapping of values, or of one of them or in it."""
    where, rest = (*origin, *way.path), way.path[way.depth :]
    held = _find(source, way.path[: way.depth])
    if len(rest) > 1:
        item, inner = _find(held, rest[:1]), replace(change, path=rest[1:])
        path = *where[: -len(rest)], rest[0]
        yield from _translated(inner, item, lens.lenses, path, moved)
    elif isinstance(change, Delete):
        moved.note([_find(held, rest)] if rest else _all_of(held), lens, where)
        yield Delete(where)
    elif isinstance(change, Splice):
        items: Any = change.items
        if not rest and isinstance(items, list):
            moved.note(held[change.start : change.start + change.removed], lens, where)
            items = [_newer_item(item, lens, where, moved) for item in items]
        yield Splice(where, change.start, change.removed, items)
    elif isinstance(change, Set):
        yield from _assigned(change.value, held, rest, lens, where, moved)
    else:
        yield replace(change, path=where)


def _newer_item(item: Any, lens: Nested, path: Path, moved: Moved) -> Fields:
    """The newer form of an item that is put in."""
    require(item, dict, lens, path)
    source = moved.source_of(item, lens)
    return ahead(item, lens.lenses, path) if source is ABSENT else _put(source, item, lens, path)


def _put(source: Any, item: Any, lens: Nested, path: Path) -> Fields:
    return put_back(take(source), item, lens.lenses, path)


def _all_of(held: Any) -> Iterable[Any]:
    """What a list or mapping holds; nothing, if there is none."""
    if isinstance(held, dict):
        return dict.values(held)
    return held if isinstance(held, list) else ()


def _assigned(
    value: Any, held: Any, rest: Path, lens: Nested, path: Path, moved: Moved
) -> Iterator[Change]:
    """Items or values, or one, set as a whole: what the view has no room for stays theirs."""
    if not rest:
        newer = value if value is None else newer_all(value, held, lens, path)
        yield from _difference(held, newer, path)
        return
    before = _find(held, rest)
    moved.note([before], lens, path)
    source = moved.source_of(value, lens)
    if source is not ABSENT:
        yield from _difference(before, _put(source, value, lens, path), path)
    elif isinstance(before, dict) and isinstance(value, dict):
        yield from _difference(before, put_back(before, value, lens.lenses, path), path)
    else:
        require(value, dict, lens, path)
        yield Set(path, ahead(value, lens.lenses, path))


def _find(value: Any, path: Path) -> Any:
    for part in path:
        if not _is_there(value, (part,)):
            return ABSENT
        value = cast("Any", value)[part]
    return value


def _difference(before: Any, after: Any, path: Path) -> Iterator[Change]:
    if before is ABSENT:
        yield Set(path, after)
        return
    for change in to_changes({"": before}, {"": after}):
        yield replace(change, path=(*path, *change.path[1:]))


# ---- units ----------------------------------------------------------------------------------


def _by_unit(change: Change, source: Fields, lenses: Lenses, origin: Path) -> Iterator[Change]:
    """The change made to the view of a mapping, and what that makes of the mapping."""
    # Without the other lenses: what they keep is not here, and they would see defaults for it.
    names, lenses = around(str(change.path[0]), lenses)
    part = {name: value for name, value in source.items() if name in names}
    view = dict(back(part, lenses, origin).items())
    first = change.path[0]
    if first in view:
        view[first] = take(view[first])
    apply(view, copies([change]))
    after = put_back(part, view, lenses, origin)
    for each in to_changes(part, after):
        yield replace(each, path=(*origin, *each.path))
