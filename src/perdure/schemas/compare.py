"""What differs between two JSON Schemas: the fields added, removed and changed, by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from perdure.schemas.forms import Form, forms, words

Kind: TypeAlias = Literal["added", "removed", "type changed", "required changed", "values changed"]
Schema: TypeAlias = Mapping[str, Any]
Pair: TypeAlias = tuple[str, str]
ITEMS, VALUES = "[]", "{}"
"""In a path, the items of a list and the values of a map."""


class SchemaDifference(msgspec.Struct, frozen=True):
    """One difference: where it is, of what kind, and the two sides (None where there is none)."""

    path: tuple[str, ...]
    kind: Kind
    before: Any
    after: Any
    needs_version: bool = True
    """False: a field that was added with a default or need not be there."""

    @property
    def where(self) -> str:
        """Its path as text."""
        return "/".join(self.path) or "(state)"

    @property
    def what(self) -> str:
        """What differs, in words."""
        if self.kind in ("added", "removed"):
            return self.kind
        if self.kind == "required changed":
            return "required now" if self.after else "not required any more"
        return f"{self.kind}: {self.before} → {self.after}"


def compare(old: Schema, new: Schema) -> list[SchemaDifference]:
    """List what differs from ``old`` to ``new``, references followed.

    In a path, the items of a list are the part ``[]`` and the values of a map the part ``{}``, the
    places of a tuple their numbers.

    Raises:
        UsageError: a reference leads nowhere.
    """
    return list(_Comparison(old, new).between(old, new, (), ()))


def paired(old: list[Form], new: list[Form]) -> list[tuple[Form, Form]]:
    """The alternatives of one kind on both sides: those of one name, then by their order."""
    left, pairs = list(new), []
    named = {form.name: form for form in new if form.name}
    for form in sorted(old, key=lambda form: form.name not in named):
        match = named.get(form.name) or next((e for e in left if e.kind == form.kind), None)
        if match is not None and match in left and match.kind == form.kind:
            left.remove(match)
            pairs.append((form, match))
    return pairs


class _Comparison:
    """Two schemas, in which references are looked up."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new

    def between(
        self, old: Schema, new: Schema, path: tuple[str, ...], above: tuple[Pair, ...]
    ) -> Iterator[SchemaDifference]:
        before, after = forms(old, self._old), forms(new, self._new)
        if sorted(form.kind for form in before) != sorted(form.kind for form in after):
            yield SchemaDifference(path, "type changed", words(before), words(after))
        for one, other in paired(before, after):
            pair = (one.name, other.name)
            # What holds itself was compared further up.
            if not all(pair) or pair not in above:
                yield from self._within(one, other, path, (*above, pair))

    def _within(
        self, old: Form, new: Form, path: tuple[str, ...], above: tuple[Pair, ...]
    ) -> Iterator[SchemaDifference]:
        if old.kind == "enum" and not _alike(old.choices, new.choices):
            yield SchemaDifference(path, "values changed", old.choices, new.choices)
        if old.kind == "object":
            yield from self._fields(old, new, path, above)
        if old.kind in ("array", "set", "map", "object"):
            part = VALUES if old.kind in ("map", "object") else ITEMS
            yield from self.between(old.item, new.item, (*path, part), above)
        if old.kind == "tuple":
            yield from self._places(old, new, path, above)

    def _fields(
        self, old: Form, new: Form, path: tuple[str, ...], above: tuple[Pair, ...]
    ) -> Iterator[SchemaDifference]:
        for name in sorted(old.fields.keys() | new.fields.keys()):
            here = (*path, name)
            if name not in new.fields:
                yield SchemaDifference(here, "removed", old.fields[name], None)
            elif name not in old.fields:
                field = new.fields[name]
                needs = new.requires(name) and "default" not in field
                yield SchemaDifference(here, "added", None, field, needs)
            else:
                was, now = old.requires(name), new.requires(name)
                if was != now:
                    yield SchemaDifference(here, "required changed", was, now)
                yield from self.between(old.fields[name], new.fields[name], here, above)

    def _places(
        self, old: Form, new: Form, path: tuple[str, ...], above: tuple[Pair, ...]
    ) -> Iterator[SchemaDifference]:
        before, after = old.schema["prefixItems"], new.schema["prefixItems"]
        for at in range(max(len(before), len(after))):
            here = (*path, str(at))
            if at >= len(after):
                yield SchemaDifference(here, "removed", before[at], None)
            elif at >= len(before):
                yield SchemaDifference(here, "added", None, after[at])
            else:
                yield from self.between(before[at], after[at], here, above)


def _alike(old: list[Any], new: list[Any]) -> bool:
    """Whether two enums have the same values, in whatever order."""
    return sorted(map(repr, old)) == sorted(map(repr, new))
