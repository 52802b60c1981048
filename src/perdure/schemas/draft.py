"""Drafts of migrations: which lenses lead from one JSON Schema to another, guessed.

What stays where it was is converted, wrapped, nested or entered; fields that went and fields that
came are renamed if they are of like types and names, else removed and added. Where these look like
a move, a split or a merge a comment says so: which it is, only who wrote the schemas knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any

from perdure.core.conversions import conversion
from perdure.schemas.compare import compare, paired
from perdure.schemas.drafted import Place, Step, literal, placed, source, zero
from perdure.schemas.forms import Form, Schema, forms, words
from perdure.schemas.guesses import Guesses, parted

LIKE_MIN = 0.6
"""How like two names are at least, of 1, for a field of one type to be renamed."""

LIKE_TO_CONVERT_MIN = 0.75
"""How like they are at least if its type changed too."""

NAMELESS = "a field whose name is empty is out of a lens's reach: write a function if it changed"

_JSON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_CONVERSIONS = {
    ("string", "integer"): "str->int",
    ("string", "number"): "str->float",
    ("string", "boolean"): "str->bool",
    ("string", "decimal"): "str->decimal",
    ("string", "bytes"): "str->bytes",
    ("string", "date-time"): "iso->datetime",
    ("string", "date"): "iso-date->date",
    ("integer", "string"): "int->str",
    ("integer", "boolean"): "int->bool",
    ("integer", "decimal"): "int->decimal",
    ("integer", "date-time"): "epoch->datetime",
    ("integer", "duration"): "seconds->timedelta",
    ("number", "string"): "float->str",
    ("number", "integer"): "float->int",
    ("number", "decimal"): "float->decimal",
    ("number", "date-time"): "epoch->datetime",
    ("number", "duration"): "seconds->timedelta",
    ("boolean", "integer"): "bool->int",
    ("boolean", "string"): "bool->str",
    ("decimal", "string"): "decimal->str",
    ("decimal", "integer"): "decimal->int",
    ("decimal", "number"): "decimal->float",
    ("date-time", "string"): "datetime->iso",
    ("date-time", "date"): "datetime->date",
    ("date-time", "number"): "datetime->epoch",
    ("date", "string"): "date->iso-date",
    ("date", "date-time"): "date->datetime",
    ("duration", "number"): "timedelta->seconds",
    ("bytes", "string"): "bytes->str",
}


def draft(old: Schema, new: Schema, name: str, older: int, newer: int, module: str = "") -> str:
    """The Python source of a migration from one schema to another, to be read and mended.

    Each lens has a comment: what it was guessed from, or what it cannot do.

    Args:
        old: the JSON Schema of the older version.
        new: that of the newer one.
        name: of the class that the migration is declared for.
        older: the version that is read.
        newer: the version that is made of it.
        module: where the class is imported from; empty: not said.

    Raises:
        UsageError: a reference leads nowhere, or the name is none of a class.
    """
    return source(_Draft(old, new).of(), name, older, newer, module)


class _Draft:
    """Two schemas, in which references are looked up."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new
        self._above: list[tuple[str, str]] = []
        self._guesses = Guesses()

    def of(self) -> list[Step]:
        before, after = forms(self._old, self._old), forms(self._new, self._new)
        steps = [
            step
            for one, other in paired(before, after)
            if one.kind == "object"
            for step in self._fields(one, other, ())
        ]
        return [*self._guesses.moves(), *steps]

    # ---- fields -------------------------------------------------------------------------

    def _fields(self, old: Form, new: Form, place: Place) -> Iterator[Step]:
        names = self._renames(old, new)
        gone = {name: self._old_kinds(old, name) for name in old.fields if name not in new.fields}
        came = {name: self._new_kinds(new, name) for name in new.fields if name not in old.fields}
        self._guesses.note(gone, came, names, place)
        yield from parted(gone, came, place)
        for before, after in names.items():
            kinds = words(forms(old.fields[before], self._old))
            why = f"guessed: {before} and {after} are of like names, and what was {kinds}"
            yield Step(why, "rename", (*place, before), literal(after))
        for name, field in old.fields.items():
            after = names.get(name, name)
            if not name:
                yield Step(NAMELESS)
            elif after in new.fields:
                yield from self._kept(old, new, (name, after), place)
            else:
                why = f"nothing new is like {name}: it is kept beside, older code sees it"
                default = literal(zero(field, self._old))
                yield Step(why, "remove", (*place, name), default)
        for name in new.fields:
            if not name and name not in old.fields:
                yield Step(NAMELESS)
            elif name not in old.fields and name not in names.values():
                yield self._added(new, name, (*place, name))

    def _kept(self, old: Form, new: Form, names: tuple[str, str], place: Place) -> Iterator[Step]:
        before, after = names
        if new.requires(after) and not old.requires(before):
            yield Step(f"{after} must be there now: give it a default, or it is missing in places")
        yield from self._value(old.fields[before], new.fields[after], (*place, after))

    def _added(self, new: Form, name: str, at: Place) -> Step:
        field = new.fields[name]
        if not new.requires(name) and "default" not in field:
            return Step(f"{name} is new and need not be there: no lens")
        guessed = "its default" if "default" in field else "a guess: what do older states have?"
        return Step(f"{name} is new: {guessed}", "add", at, literal(zero(field, self._new)))

    def _old_kinds(self, form: Form, name: str) -> list[str]:
        return _kinds(forms(form.fields[name], self._old))

    def _new_kinds(self, form: Form, name: str) -> list[str]:
        return _kinds(forms(form.fields[name], self._new))

    def _renames(self, old: Form, new: Form) -> dict[str, str]:
        """By older name the newer one, the most like names first."""
        gone = [name for name in old.fields if name and name not in new.fields]
        came = [name for name in new.fields if name and name not in old.fields]
        pairs = [
            (self._likeness(old, new, one, other), one, other) for one in gone for other in came
        ]
        found: dict[str, str] = {}
        for likeness, one, other in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
            if likeness and one not in found and other not in found.values():
                found[one] = other
        return found

    def _likeness(self, old: Form, new: Form, one: str, other: str) -> float:
        """How like two fields are, of 1; 0: not enough."""
        names = SequenceMatcher(None, one.lower(), other.lower(), autojunk=False).ratio()
        before, after = old.fields[one], new.fields[other]
        alike = self._old_kinds(old, one) == self._new_kinds(new, other)
        with self._guesses.aside():
            steps = [] if alike else self._value(before, after, ("x",))
        if any(step.call == "remove" for step in steps):
            return 0.0
        return names if names >= (LIKE_MIN if alike else LIKE_TO_CONVERT_MIN) else 0.0

    # ---- values -------------------------------------------------------------------------

    def _value(self, old: Schema, new: Schema, at: Place) -> list[Step]:
        before, after = forms(old, self._old), forms(new, self._new)
        ones, others = _held(before), _held(after)
        steps: list[Step] | None
        if len(ones) == 1 == len(others):
            steps = self._one(ones[0], others[0], at)
        else:
            steps = self._several(ones, others, at)
        if steps is None and len(before) == len(ones) == 1 == len(others):
            steps = self._nested(ones[0], others[0], at)
        if steps is None:
            return self._replaced(old, new, at)
        if len(before) > len(ones) and len(after) == len(others) and "any" not in _kinds(after):
            steps.insert(0, Step(f"{'/'.join(at)} must not be None now: right those that are"))
        return steps

    def _one(self, old: Form, new: Form, at: Place) -> list[Step] | None:
        """What makes one value of another; None: nothing does."""
        if new.kind == "any":
            return []
        if old.kind == new.kind:
            return self._same(old, new, at)
        if "enum" in (old.kind, new.kind):
            return _chosen(old, new, at)
        if (old.kind, new.kind) == ("integer", "number"):
            return []
        if (old.kind, new.kind) in _CONVERSIONS:
            return [_converted(old, new, at)]
        if new.kind == "array":
            return self._wrapped(old, new, at)
        return self._unwrapped(old, new, at) if old.kind == "array" else None

    def _same(self, old: Form, new: Form, at: Place) -> list[Step] | None:
        if old.kind == "enum":
            return _tabled(old, new, at) if _can_be_keys(old, new) else None
        if old.kind == "tuple":
            return None if self._differ(old.schema, new.schema) else []
        if old.kind not in ("object", "array", "set", "map"):
            return []
        pair = (old.name, new.name)
        if all(pair) and pair in self._above:
            what = f"{'/'.join(at)} holds its like: lenses reach so deep only if they are said"
            return [Step(what)] if self._differ(old.schema, new.schema) else []
        self._above.append(pair)
        try:
            return (
                [*self._fields(old, new, at)] if old.kind == "object" else self._all(old, new, at)
            )
        finally:
            self._above.pop()

    def _all(self, old: Form, new: Form, at: Place) -> list[Step] | None:
        """What is done to all items of a list, or to all values of a map."""
        before, after = forms(old.item, self._old), forms(new.item, self._new)
        if not self._differ(old.item, new.item) or _kinds(after) == ["any"]:
            return []
        if old.kind == "set" or _kinds(before) != ["object"] or _kinds(after) != ["object"]:
            return [] if set(_kinds(before)) < set(_kinds(after)) else None
        with self._guesses.aside():  # their places are not of the state
            steps = self._same(before[0], after[0], ())
        if not steps or not any(step.call for step in steps):
            return steps
        call = "map_values" if old.kind == "map" else "in_items"
        return [Step(f"of each of {'/'.join(at) or 'them'}:", call, at, inner=tuple(steps))]

    def _several(self, old: list[Form], new: list[Form], at: Place) -> list[Step] | None:
        """Alternatives: they stay if all are still there."""
        if set(_kinds(old)) - set(_kinds(new)) and "any" not in _kinds(new):
            return None
        changed = any(self._differ(one.schema, other.schema) for one, other in paired(old, new))
        what = f"{'/'.join(at)} is {words(new)}, which no lens tells apart: look at what changed"
        return [Step(what)] if changed else []

    def _wrapped(self, old: Form, new: Form, at: Place) -> list[Step] | None:
        items = _held(forms(new.item, self._new))
        if len(items) != 1 or items[0].kind != old.kind:
            return None
        wrapped = Form("array", {"items": self._inline(old)})
        within = self._all(wrapped, new, at)
        why = f"{'/'.join(at)} is a list now: what there was is its first item"
        return None if within is None else [Step(why, "wrap", at), *within]

    def _unwrapped(self, old: Form, new: Form, at: Place) -> list[Step] | None:
        items = _held(forms(old.item, self._old))
        if len(items) != 1 or items[0].kind != new.kind:
            return None
        within = self._same(items[0], new, at)
        why = f"{'/'.join(at)} was a list: its first item is taken, of an empty one None"
        return None if within is None else [Step(why, "unwrap", at), *within]

    def _nested(self, old: Form, new: Form, at: Place) -> list[Step] | None:
        """What makes of a value a mapping that has it in one of its fields, or a list of such."""
        if new.kind == "array":
            items = _held(forms(new.item, self._new))
            within = self._nested(old, items[0], at) if len(items) == 1 else None
            why = f"{'/'.join(at)} is a list now: what there was is its first item"
            return None if within is None else [*within, Step(why, "wrap", at)]
        name = self._home_of(old, new)
        if name is None:
            return None
        where, beside = "/".join(at), f"{at[-1]}_was"
        others = [each for each in new.fields if each != name and new.requires(each)]
        return [
            Step(f"{where} is a mapping now, and what it was is its {name}: out of its place,",
                 "rename", at, literal(beside)),
            Step("and into it", "move", (*at[:-1], beside), placed((*at, name))),
            *(self._added(new, each, (*at, each)) for each in others),
        ]  # fmt: skip

    def _home_of(self, old: Form, new: Form) -> str | None:
        """The field of a mapping that is all a value can have become; None: there is no such."""
        if old.kind in ("any", "object", "map") or new.kind != "object":
            return None
        alike = [
            name
            for name, field in new.fields.items()
            if name and self._new_kinds(new, name) == [old.kind] and not self._differs(old, field)
        ]
        needed = [name for name in alike if new.requires(name)]
        found = needed or alike
        return found[0] if len(found) == 1 else None

    def _differs(self, old: Form, new: Schema) -> bool:
        return old.kind not in _JSON and self._differ(old.schema, new)

    def _made_of_each(self, old: Schema, new: Schema) -> str:
        """What a function would make of each item or value, in Python; empty if it is not clear."""
        before, after = forms(old, self._old), forms(new, self._new)
        if _kinds(before) != _kinds(after) or _kinds(before) not in (["array"], ["map"]):
            return ""
        ones, others = forms(before[0].item, self._old), forms(after[0].item, self._new)
        name = self._home_of(ones[0], others[0]) if len(ones) == 1 == len(others) else None
        if name is None:
            return ""
        form = others[0]
        rest = [
            f"{each!r}: {literal(zero(form.fields[each], self._new))}"
            for each in form.fields
            if each != name and form.requires(each)
        ]
        return "{" + ", ".join([f"{name!r}: each", *rest]) + "}"

    def _replaced(self, old: Schema, new: Schema, at: Place) -> list[Step]:
        before, after = words(forms(old, self._old)), words(forms(new, self._new))
        made = f"{after} of {before}" if after != before else f"of one {before} the other"
        why = f"no lens makes {made}: it is kept beside; to carry it over, write a function"
        each = self._made_of_each(old, new)
        why += f" that makes {each} of each" if each else ""
        return [
            Step(why, "remove", at, literal(zero(old, self._old))),
            Step("and what there is of it now: a guess", "add", at, literal(zero(new, self._new))),
        ]

    def _inline(self, form: Form) -> Schema:
        if form.name:
            return {"$ref": form.name}
        return form.schema if form.schema else _schema_of(form.kind)

    def _differ(self, old: Schema, new: Schema) -> bool:
        before = {**old, "$defs": self._old.get("$defs", {})}
        return bool(compare(before, {**new, "$defs": self._new.get("$defs", {})}))


def _kinds(found: list[Form]) -> list[str]:
    return sorted(form.kind for form in found)


def _held(found: list[Form]) -> list[Form]:
    """The alternatives but None, unless it is the only one."""
    return [form for form in found if form.kind != "null"] or found


def _schema_of(kind: str) -> Schema:
    """The schema of single values of a kind."""
    if kind == "bytes":
        return {"type": "string", "contentEncoding": "base64"}
    if kind in (*_JSON, "any"):
        return {"type": kind} if kind != "any" else {}
    return {"type": "string", "format": kind}


def _converted(old: Form, new: Form, at: Place) -> Step:
    by = _CONVERSIONS[old.kind, new.kind]
    lost = conversion(by).loses
    why = f"{'/'.join(at)} was {old.kind} and is {new.kind}" + (
        f": this loses {lost}" if lost else ""
    )
    return Step(why, "convert", at, f"{by!r}{', lossy=True' if lost else ''}")


def _chosen(old: Form, new: Form, at: Place) -> list[Step] | None:
    """An enum of what was any value, or the other way round; None: they have nothing in common."""
    enum, other = (old, new) if old.kind == "enum" else (new, old)
    if any(type(each) not in _JSON.get(other.kind, ()) for each in enum.choices):
        return None
    if enum is old:
        return []
    table = {each: each for each in enum.choices}
    why = f"{'/'.join(at)} is one of these now: say what becomes of others, a dry run finds them"
    return [Step(why, "convert", at, literal(table))]


def _tabled(old: Form, new: Form, at: Place) -> list[Step]:
    gone = [each for each in old.choices if each not in new.choices]
    if not gone:
        return []
    fresh = [each for each in new.choices if each not in old.choices]
    table: dict[Any, Any] = {each: each for each in old.choices if each not in gone}
    for each in gone:
        taken = list(table.values())
        table[each] = _likest(each, [one for one in fresh if one not in taken] or new.choices)
    lossy = len(set(table.values())) < len(table)
    why = f"{'/'.join(at)} has other values: guessed, which became which"
    why += "; several became one, so that which it was is lost" if lossy else ""
    return [Step(why, "convert", at, literal(table) + (", lossy=True" if lossy else ""))]


def _can_be_keys(*enums: Form) -> bool:
    return all(isinstance(each, str | int | float) for enum in enums for each in enum.choices)


def _likest(value: Any, among: list[Any]) -> Any:
    def likeness(other: Any) -> float:
        return SequenceMatcher(None, str(value).lower(), str(other).lower()).ratio()

    return max(among, key=likeness)
