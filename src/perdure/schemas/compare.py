"""What differs between two JSON Schemas: the fields added, removed and changed, by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["added", "removed", "type changed", "required changed", "values changed"]
Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One difference: where it is, of what kind, and the two sides (None where there is none)."""

    path: tuple[str, ...]
    kind: Kind
    before: Any
    after: Any


def compare(old: Schema, new: Schema) -> list[Difference]:
    """List what differs from ``old`` to ``new``.

    In a path, the items of a list are the part ``[]`` and the values of a map the part ``{}``.
    References (``$ref``) are not followed.
    """
    return list(_differences(old, new, ()))


def _differences(old: Schema, new: Schema, path: tuple[str, ...]) -> Iterator[Difference]:
    if old.get("type") != new.get("type"):
        yield Difference(path, "type changed", old.get("type"), new.get("type"))
        return
    if old.get("enum") != new.get("enum"):
        yield Difference(path, "values changed", old.get("enum"), new.get("enum"))
    yield from _fields(old, new, path)
    for word, part in (("items", "[]"), ("additionalProperties", "{}")):
        before, after = old.get(word), new.get(word)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(before, after, (*path, part))


def _fields(old: Schema, new: Schema, path: tuple[str, ...]) -> Iterator[Difference]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in sorted(before.keys() | after.keys()):
        here = (*path, name)
        if name not in after:
            yield Difference(here, "removed", before[name], None)
        elif name not in before:
            yield Difference(here, "added", None, after[name])
        else:
            was, now = name in old.get("required", ()), name in new.get("required", ())
            if was != now:
                yield Difference(here, "required changed", was, now)
            yield from _differences(before[name], after[name], here)
