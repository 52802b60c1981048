"""Going through values for secrets, and putting markers in their place.

Where a marker goes into a live container, it does so without leaving a mark of its own: what is
looked at is what a save is about to write whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from perdure.core.changes import Change, Delete, Members, Set, Splice
from perdure.core.paths import Path
from perdure.secrets.detector import Detector
from perdure.state.node import Node

AROUND = 512
"""Of a text that grew, so much is looked at before and after what came (characters)."""


def texts_in(value: Any) -> Iterator[str]:
    """All texts, bytes as texts of their codes, and keys of dicts in a value."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, bytes):
            yield item.decode("latin-1")
        elif isinstance(item, dict):
            yield from dict.keys(item)
            stack += dict.values(item)
        elif isinstance(item, list):
            stack += list.__iter__(item)
        elif isinstance(item, tuple | set | frozenset):
            stack += item


def found_in(detector: Detector, value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """The place and kind of each secret in a value; no path has one in it."""
    if isinstance(value, str | bytes):
        text = value if isinstance(value, str) else value.decode("latin-1")
        for _, _, kind in detector.spans(text):
            yield path, kind
    elif isinstance(value, dict):
        for key, item in list(dict.items(value)):
            shown = detector.masked(key)
            for _, _, kind in detector.spans(key):
                yield (*path, shown), kind
            yield from found_in(detector, item, (*path, shown))
    elif isinstance(value, list):
        for position, item in enumerate(list.__iter__(value)):
            yield from found_in(detector, item, (*path, position))
    elif isinstance(value, tuple):
        for position, item in enumerate(value):
            yield from found_in(detector, item, (*path, position))
    elif isinstance(value, set | frozenset):
        for item in value:
            yield from found_in(detector, item, path)


def found_in_changes(
    detector: Detector, changes: list[Change], live: Any = None
) -> list[tuple[Path, str]]:
    """The place and kind of each secret that changes bring."""
    if not detector.has_own and not detector.is_suspect("\n".join(_texts(changes, live))):
        return []
    found: list[tuple[Path, str]] = []
    for change in changes:
        path = _shown(detector, change.path)
        match change:
            case Set(path=(*_, part), value=value):
                if isinstance(part, str):
                    found += [(path, kind) for _, _, kind in detector.spans(part)]
                found += found_in(detector, value, path)
            case Splice(items=str() | bytes()):
                text = _around(change, live)
                found += found_in(detector, text, path)
            case Splice(start=start, items=items):
                for position, item in enumerate(items, start):
                    found += found_in(detector, item, (*path, position))
            case Members(added=added):
                for item in added:
                    found += found_in(detector, item, path)
    return found


def _texts(changes: list[Change], live: Any) -> Iterator[str]:
    for change in changes:
        if isinstance(change, Delete):
            continue
        if isinstance(change.path[-1], str):
            yield change.path[-1]
        match change:
            case Set(value=value):
                yield from texts_in(value)
            case Splice(items=str() | bytes()):
                yield from texts_in(_around(change, live))
            case Splice(items=items):
                yield from texts_in(items)
            case Members(added=added):
                yield from texts_in(added)


def _shown(detector: Detector, path: Path) -> Path:
    """A path with no secret in it."""
    return tuple([detector.masked(part) if isinstance(part, str) else part for part in path])


def _around(change: Splice, live: Any) -> Any:
    """What came into a text, with what stands beside it, where the text is at hand."""
    items = change.items
    if live is None:
        return items
    whole = at(live, change.path)
    return whole[max(change.start - AROUND, 0) : change.start + len(items) + AROUND]


def at(live: Any, path: Path) -> Any:
    """What is at a path of live sections."""
    value = live
    for part in path:
        if isinstance(part, str):
            value = dict.__getitem__(value, part)
        else:
            value = list.__getitem__(value, part - getattr(value, "offset", 0))
    return value


# ---- masking --------------------------------------------------------------------------------


def masked(detector: Detector, value: Any) -> Any:
    """The value with markers in place of secrets; containers that can be edited are, in place."""
    if isinstance(value, str):
        return detector.masked(value)
    if isinstance(value, bytes):
        return detector.masked(value.decode("latin-1")).encode("latin-1", "replace")
    if isinstance(value, dict):
        return _masked_dict(detector, value)
    if isinstance(value, list):
        for position, item in enumerate(list.copy(value)):
            put(value, position, item, masked(detector, item))
        return value
    if isinstance(value, tuple):
        items = [masked(detector, item) for item in value]
        same = all(new is old or new == old for new, old in zip(items, value))
        return value if same else tuple(items)
    if isinstance(value, set | frozenset):
        return _masked_set(detector, value)
    return value


def _masked_dict(detector: Detector, value: dict[str, Any]) -> dict[str, Any]:
    for key, item in list(dict.items(value)):
        put(value, key, item, masked(detector, item))
    names = {key: detector.masked(key) for key in dict.keys(value)}
    if any(new != old for old, new in names.items()):
        items = list(dict.items(value))
        dict.clear(value)
        for key, item in items:
            dict.__setitem__(value, free(names[key], value), item)
    return value


def free(name: str, taken: dict[str, Any]) -> str:
    """A name that a dict does not have: two secrets may leave the same marker."""
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name} {count}"
    return found


def _masked_set(detector: Detector, value: Any) -> Any:
    news = {item: masked(detector, item) for item in value}
    changed = [item for item, new in news.items() if new != item]
    if changed and isinstance(value, frozenset):
        return type(value)(news.values())
    for item in changed:
        value.discard(item)
        value.add(news[item])
    return value


def put(holder: Any, at: Any, old: Any, new: Any) -> None:
    """Put what was masked where it was."""
    if new is old or (type(new) is type(old) and isinstance(new, str | bytes) and new == old):
        return
    if isinstance(new, str | bytes) or not isinstance(holder, Node):
        base: Any = dict if isinstance(holder, dict) else list
        base.__setitem__(holder, at, new)
    else:
        holder[at] = new  # type: ignore[index]  # a dict or a list


def mask_changes(detector: Detector, changes: list[Change], live: Any) -> None:
    """Put markers in place of the secrets that changes brought, in the live sections themselves."""
    for change in changes:
        if isinstance(change, Delete):
            continue
        *above, part = change.path
        if isinstance(change, Set) or isinstance(
            change.items if isinstance(change, Splice) else 0, str | bytes
        ):
            holder = at(live, tuple(above))
            if isinstance(part, str):
                _mask_entry(detector, holder, part)
            else:
                position = part - getattr(holder, "offset", 0)
                old = list.__getitem__(holder, position)
                put(holder, position, old, masked(detector, old))
        elif isinstance(change, Splice):
            holder = at(live, change.path)
            first = change.start - getattr(holder, "offset", 0)
            for position in range(first, first + len(change.items)):
                old = list.__getitem__(holder, position)
                put(holder, position, old, masked(detector, old))
        elif isinstance(change, Members):
            _masked_set(detector, at(live, change.path))


def _mask_entry(detector: Detector, holder: dict[str, Any], key: str) -> None:
    """Mask the value of an entry, and its key."""
    old = dict.__getitem__(holder, key)
    put(holder, key, old, masked(detector, old))
    name = detector.masked(key)
    if name != key:
        holder[free(name, holder)] = dict.__getitem__(holder, key)
        del holder[key]
