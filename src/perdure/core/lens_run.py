"""Running lenses: the newer form of a document, its older view, and an edited view put back.

Nothing is edited in place: what changes is copied, and the rest is shared, so that what fails has
changed nothing, and every stage of a chain can be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from perdure.core.codec import pack
from perdure.core.delta import ABSENT
from perdure.core.lens import (
    KEPT,
    Add,
    InItems,
    Lens,
    Lenses,
    MapValues,
    Move,
    Nested,
    Place,
    Simple,
    Unknown,
    home,
    news,
    olds,
    slot_of,
)
from perdure.core.lens_fields import Values, failed, newer_of, older_of
from perdure.core.paths import Path
from perdure.core.values import same, take

Fields: TypeAlias = dict[str, Any]
"""A mapping that lenses are for: sections, or the fields of one below them."""


def forward(sections: Fields, lenses: Lenses) -> None:
    """Give the sections their newer form, in place.

    Sections and fields that are not there stay so; what was added is there.

    Raises:
        MigrationFailed: a lens does not fit what is there; nothing was changed.

    Example:
        >>> from perdure.core.lens import Rename
        >>> sections = {"topic": "owls"}
        >>> forward(sections, (Rename(("topic",), "subject"),))
        >>> sections
        {'subject': 'owls'}
    """
    newer = ahead(sections, lenses, ())
    sections.clear()
    sections.update(newer)


def get(sections: Mapping[str, Any], lenses: Lenses) -> Fields:
    """The older view of a newer form: plain copies.

    Raises:
        MigrationFailed: a lens does not fit what is there.
    """
    return dict(take(back(dict(sections.items()), lenses, ())))


def put(sections: Mapping[str, Any], view: Mapping[str, Any], lenses: Lenses) -> Fields:
    """The newer form that an edited view is of; it shares values with both arguments.

    What the view has no room for, and what was not edited, is as in `sections`.

    Raises:
        MigrationFailed: a lens does not fit what is there.
    """
    return put_back(dict(sections.items()), dict(view.items()), lenses, ())


# ---- chains ---------------------------------------------------------------------------------


def ahead(older: Fields, lenses: Lenses, path: Path) -> Fields:
    """The newer form of a mapping at a path."""
    for lens in lenses:
        older = _up(older, lens, None, path)
    return dict(older)


def back(newer: Fields, lenses: Lenses, path: Path) -> Fields:
    """The older view of a mapping at a path."""
    for lens in reversed(lenses):
        newer = _down(newer, lens, path)
    return newer


def put_back(newer: Fields, view: Fields, lenses: Lenses, path: Path) -> Fields:
    """The newer form of a view of a mapping at a path."""
    stages = [newer]
    for lens in reversed(lenses):
        stages.append(_down(stages[-1], lens, path))
    if same(view, stages.pop()):
        return newer
    for lens in lenses:
        source = stages.pop()
        view = _in_order(_up(view, lens, source, path), source, _touched(lens))
    return view


def _up(older: Fields, lens: Lens, source: Fields | None, path: Path) -> Fields:
    if isinstance(lens, Unknown):
        raise failed(path, lens, "this version of Perdure does not know it: upgrade Perdure")
    if isinstance(lens, InItems | MapValues):
        return _up_all(older, lens, source, path)
    return _up_one(older, lens, source, path)


def _down(newer: Fields, lens: Lens, path: Path) -> Fields:
    if isinstance(lens, Unknown):
        raise failed(path, lens, "this version of Perdure does not know it: upgrade Perdure")
    if isinstance(lens, InItems | MapValues):
        return _down_all(newer, lens, path)
    return _down_one(newer, lens, path)


# ---- fields ---------------------------------------------------------------------------------


def _up_one(older: Fields, lens: Simple, source: Fields | None, path: Path) -> Fields:
    if not _has_home(older, lens, path):
        return older
    known = source is not None and _has_home(source, lens, path)
    if isinstance(lens, Add):
        return _added(older, lens, source if known else None, path)
    values = _values(older, olds(lens), lens, path)
    before: Values | None = None
    now: Values = {}
    kept: Any = ABSENT
    if source is not None and known:
        now, kept = _values(source, news(lens), lens, path), _kept(source, lens, path)
        before = older_of(lens, now, kept, path)
    newer = _without(older, values)
    if before is None or not _same_values(values, before):
        now, kept = newer_of(lens, values, now if known else None, path)
    if isinstance(lens, Move):
        kept = _made(newer, lens, kept, path) if values else ABSENT
    return _keeping(_with(newer, now, lens, path), lens, kept, path)


def _has_home(mapping: Fields, lens: Simple, path: Path) -> bool:
    """Whether there is a mapping that the lens is for; a None is none, and stays one."""
    found = find(mapping, home(lens), lens, path)
    return found is not ABSENT and found is not None


def _added(older: Fields, lens: Add, source: Fields | None, path: Path) -> Fields:
    if find(older, lens.at, lens, path) is not ABSENT:
        return older
    value = take(lens.default) if source is None else find(source, lens.at, lens, path)
    return older if value is ABSENT else _replaced(older, lens.at, value)


def _down_one(newer: Fields, lens: Simple, path: Path) -> Fields:
    if not _has_home(newer, lens, path) and not isinstance(lens, Move):
        return newer
    values = _values(newer, news(lens), lens, path)
    kept = _kept(newer, lens, path)
    before = older_of(lens, values, kept, path)
    older = _without(_keeping(newer, lens, ABSENT, path), values)
    if isinstance(lens, Move) and type(kept) is int:
        older = _unmade(older, lens, kept)
    return _with(older, before, lens, path)


def _same_values(a: Values, b: Values) -> bool:
    return a.keys() == b.keys() and all(same(a[place], b[place]) for place in a)


def _made(mapping: Fields, lens: Move, kept: Any, path: Path) -> Any:
    """How many mappings must be made on the way to where a field goes; below 0, if for a None."""
    for size in range(1, len(lens.to)):
        found = find(mapping, lens.to[:size], lens, path)
        if found is ABSENT:
            return len(lens.to) - size
        if found is None:
            return size - len(lens.to)
        if found == {}:
            kept = ABSENT
    return kept


def _unmade(mapping: Fields, lens: Move, count: int) -> Fields:
    """Without the mappings that were made for a field, as far as nothing else is in them."""
    outermost = max(1, len(lens.to) - abs(count))
    for size in range(len(lens.to) - 1, outermost - 1, -1):
        if find(mapping, lens.to[:size], lens, ()) != {}:
            break
        was = None if count < 0 and size == outermost else ABSENT
        mapping = _replaced(mapping, lens.to[:size], was)
    return mapping


# ---- items and values -----------------------------------------------------------------------


def _up_all(older: Fields, lens: Nested, source: Fields | None, path: Path) -> Fields:
    values = find(older, lens.at, lens, path)
    if values is ABSENT or values is None:
        return older
    sources = find(source, lens.at, lens, path) if source is not None else ABSENT
    return _replaced(older, lens.at, newer_all(values, sources, lens, (*path, *lens.at)))


def newer_all(values: Any, sources: Any, lens: Nested, path: Path) -> Any:
    """The newer form of the list or mapping at a path that a lens is for.

    Args:
        values: its older form.
        sources: its newer form before an edit of the view; whatever else if there was none.
        lens: which lens.
        path: where it is.
    """
    if isinstance(lens, MapValues):
        require(values, dict, lens, path)
        sources = sources if isinstance(sources, dict) else {}
        return {
            key: value
            if key == KEPT
            else _newer(value, sources.get(key, ABSENT), lens, (*path, key))
            for key, value in values.items()
        }
    require(values, list, lens, path)
    sources = sources if isinstance(sources, list) else []
    pairs = aligned([*_older_items(sources, lens, path)], values)
    return [
        _newer(value, ABSENT if at is None else sources[at], lens, (*path, place))
        for place, (value, at) in enumerate(zip(values, pairs))
    ]


def _older_items(sources: list[Any], lens: Nested, path: Path) -> Iterator[Any]:
    for place, item in enumerate(sources):
        require(item, dict, lens, (*path, place))
        yield back(item, lens.lenses, (*path, place))


def aligned(before: list[Any], after: list[Any]) -> list[int | None]:
    """For each item of a list as it is, which one of the list as it was it stands for.

    Equal ones first, wherever they are now: what the view has no room for goes with its item.

    Example:
        >>> aligned(["a", "b", "c"], ["a", "x", "y", "c"])
        [0, None, None, 2]
    """
    shorter = min(len(before), len(after))
    head = 0
    while head < shorter and same(before[head], after[head]):
        head += 1
    tail = 0
    while tail < shorter - head and same(before[-1 - tail], after[-1 - tail]):
        tail += 1
    middle = range(head, len(after) - tail)
    equal = _equal(before, after, range(head, len(before) - tail), middle)
    taken, paired = set(equal.values()), len(before) == len(after)
    return [
        *range(head),
        *(equal.get(at, at if paired and at not in taken else None) for at in middle),
        *range(len(before) - tail, len(before)),
    ]


def _equal(
    before: list[Any], after: list[Any], there: Iterable[int], here: Iterable[int]
) -> dict[int, int]:
    """Of items of a list as it is, by place, an equal one of the list as it was, each one once."""
    places: dict[bytes, list[int]] = {}
    for at in there:
        places.setdefault(pack(before[at]), []).append(at)
    found = {}
    for at in here:
        equal = places.get(pack(after[at]))
        if equal:
            found[at] = equal.pop(0)
    return found


def _newer(value: Any, source: Any, lens: Nested, path: Path) -> Fields:
    require(value, dict, lens, path)
    if isinstance(source, dict):
        return put_back(source, value, lens.lenses, path)
    return ahead(value, lens.lenses, path)


def _down_all(newer: Fields, lens: Nested, path: Path) -> Fields:
    values = find(newer, lens.at, lens, path)
    if values is ABSENT or values is None:
        return newer
    path = (*path, *lens.at)
    require(values, dict if isinstance(lens, MapValues) else list, lens, path)
    if isinstance(values, list):
        return _replaced(newer, lens.at, [*_older_items(values, lens, path)])
    older = {}
    for key, value in values.items():
        if key != KEPT:
            require(value, dict, lens, (*path, key))
            value = back(value, lens.lenses, (*path, key))
        older[key] = value
    return _replaced(newer, lens.at, older)


def require(value: Any, kind: type, lens: Lens, path: Path) -> None:
    """Refuse a value of another type.

    Raises:
        MigrationFailed: it is of another.
    """
    if not isinstance(value, kind):
        named = "a mapping" if kind is dict else "a list"
        problem = f"there is a value of type {type(value).__name__}, not {named}: right the value"
        raise failed(path, lens, problem)


# ---- places in mappings ---------------------------------------------------------------------


def find(mapping: Fields, place: Place, lens: Lens, path: Path) -> Any:
    """What is at a place, `ABSENT` if nothing is; nothing is in a None."""
    value: Any = mapping
    for depth, name in enumerate(place):
        if value is None:
            return ABSENT
        require(value, dict, lens, (*path, *place[:depth]))
        if name not in value:
            return ABSENT
        value = value[name]
    return value


def _values(mapping: Fields, places: tuple[Place, ...], lens: Simple, path: Path) -> Values:
    found = {place: find(mapping, place, lens, path) for place in places}
    return {place: value for place, value in found.items() if value is not ABSENT}


def _without(mapping: Fields, places: Any) -> Fields:
    for place in places:
        mapping = _replaced(mapping, place, ABSENT)
    return mapping


def _with(mapping: Fields, values: Values, lens: Simple, path: Path) -> Fields:
    for place, value in values.items():
        if find(mapping, place, lens, path) is not ABSENT:
            problem = "there is a field already: rename or remove that one first"
            raise failed((*path, *place), lens, problem)
        mapping = _replaced(mapping, place, value)
    return mapping


def _replaced(mapping: Fields, place: Place, value: Any) -> Fields:
    """A mapping with another value at a place; `ABSENT` takes away what is there."""
    name, *rest = place
    copy = dict(mapping.items())
    if rest:
        copy[name] = _replaced(copy.get(name) or {}, tuple(rest), value)
    elif value is ABSENT:
        copy.pop(name, None)
    else:
        copy[name] = value
    return copy


def _kept(mapping: Fields, lens: Simple, path: Path) -> Any:
    slot = slot_of(lens)
    if slot is None:
        return ABSENT
    found = find(mapping, (*home(lens), KEPT), lens, path)
    return found.get(slot, ABSENT) if isinstance(found, dict) else ABSENT


def _keeping(mapping: Fields, lens: Simple, kept: Any, path: Path) -> Fields:
    """The mapping with this in the slot of a lens."""
    slot = slot_of(lens)
    if slot is None or (kept is ABSENT and _kept(mapping, lens, path) is ABSENT):
        return mapping
    place = (*home(lens), KEPT)
    slots = find(mapping, place, lens, path)
    slots = dict(slots.items()) if isinstance(slots, dict) else {}
    if kept is ABSENT:
        del slots[slot]
    else:
        slots[slot] = kept
    return _replaced(mapping, place, slots or ABSENT)


def _touched(lens: Lens) -> set[Place]:
    """The mappings whose keys a lens may put in another order, and those around them."""
    if isinstance(lens, Unknown):
        return set()
    if isinstance(lens, InItems | MapValues):
        return {lens.at[:size] for size in range(len(lens.at) + 1)}
    places = [*news(lens), (*home(lens), KEPT, "")]
    return {place[:size] for place in places for size in range(len(place))}


def _in_order(mapping: Fields, source: Fields, touched: set[Place]) -> Fields:
    """The mapping with the keys that the source has too in the order that they have there."""
    for place in sorted(touched, key=len):
        now, then = _at(mapping, place), _at(source, place)
        if isinstance(now, dict) and isinstance(then, dict):
            order = [key for key in then if key in now]
            if order != list(now)[: len(order)]:
                ordered = {key: now[key] for key in dict.fromkeys([*order, *now])}
                mapping = _replaced(mapping, place, ordered) if place else ordered
    return mapping


def _at(mapping: Any, place: Place) -> Any:
    for name in place:
        mapping = mapping.get(name) if isinstance(mapping, dict) else None
    return mapping
