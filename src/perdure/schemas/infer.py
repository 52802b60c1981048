"""A JSON Schema for states that have none, from what they hold.

The forms are those of `perdure.schemas.json_schema`, so that the two can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from perdure import limits
from perdure.schemas.json_schema import DIALECT, LEAVES

Schema = dict[str, Any]

RESERVED = "perdure."

_OWN = "^" + re.escape(RESERVED)
_WORD = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*|[A-Z][A-Z0-9]*([_-][A-Z0-9]+)*")


def infer(sections: Iterable[Mapping[str, Any]]) -> Schema:
    """The JSON Schema 2020-12 that every one of some states fits.

    Fields that all have are required. Mappings whose keys are data are told by their values. Texts
    are an enum only where they look like words of a program, and not like what a user wrote: a few,
    each without spaces, of small letters or of capitals, each many times and in several states.
    What is kept while states are looked at
    is bounded: fields beyond `limits.inferred_fields_max` are described together.

    Args:
        sections: of each state; names that begin with `perdure.` are left out, at every depth.

    Example:
        >>> infer([{"goal": "owls"}, {"goal": None}])["properties"]
        {'goal': {'type': ['null', 'string']}}
    """
    found = Inference()
    for held in sections:
        found.see(held)
    return found.schema()


class Inference:
    """A schema that is inferred state by state, as `infer` does."""

    def __init__(self) -> None:
        self._room = _Room()
        self._records = _Records(self._room)

    @property
    def states(self) -> int:
        """How many were seen."""
        return self._records.times

    def see(self, sections: Mapping[str, Any]) -> None:
        """Take in what a state holds."""
        self._room.state += 1
        self._records.see(sections)

    def schema(self) -> Schema:
        """The JSON Schema that all states fit that were seen."""
        return {"$schema": DIALECT, **self._records.record()}


class _Room:
    """How many places may yet be told apart; and which state is looked at."""

    def __init__(self) -> None:
        self.state = 0
        self.left = limits.inferred_places_max

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0


class _Shape:
    """What the values seen at one place have in common."""

    def __init__(self, room: _Room) -> None:
        self._room = room
        self.leaves: set[type] = set()
        self.texts = _Texts(room)
        self.records = _Records(room)
        self.several: dict[str, _Shape] = {}
        self.tuples: list[_Shape] | None = None

    def see(self, value: Any) -> None:
        if isinstance(value, dict):
            self.records.see(value)
        elif isinstance(value, str):
            self.texts.see(value)
        elif isinstance(value, tuple):
            self._see_tuple(value)
        elif isinstance(value, list):
            self._see_items("list", value)
        elif isinstance(value, set | frozenset):
            self._see_items("set", value)
        else:
            self.leaves.add(type(value))

    def _see_items(self, kind: str, values: Iterable[Any]) -> None:
        if kind not in self.several:
            self.several[kind] = _Shape(self._room)
        for each in values:
            self.several[kind].see(each)

    def _see_tuple(self, value: tuple[Any, ...]) -> None:
        """Place by place, until one of another length, or a long one, comes."""
        if "tuple" in self.several or len(value) > limits.inferred_tuple_max:
            self._level()
            self._see_items("tuple", value)
            return
        if self.tuples is None:
            self.tuples = [_Shape(self._room) for _ in value]
        if len(self.tuples) != len(value):
            self._level()
            self._see_items("tuple", value)
            return
        for shape, each in zip(self.tuples, value):
            shape.see(each)

    def _level(self) -> None:
        """Describe the places of tuples together."""
        together = self.several.setdefault("tuple", _Shape(self._room))
        for shape in self.tuples or ():
            together.join(shape)
        self.tuples = None

    def join(self, other: _Shape) -> None:
        """Take in what was seen at another place."""
        self.leaves |= other.leaves
        self.texts.join(other.texts)
        self.records.join(other.records)
        for kind, shape in other.several.items():
            self.several.setdefault(kind, _Shape(self._room)).join(shape)
        if other.tuples is not None:
            if self.tuples is None or len(self.tuples) != len(other.tuples):
                self._level()
                other._level()
                self.several["tuple"].join(other.several["tuple"])
            else:
                for mine, theirs in zip(self.tuples, other.tuples):
                    mine.join(theirs)

    def schema(self) -> Schema:
        leaves = self.leaves - {int} if float in self.leaves else self.leaves
        found = [LEAVES.get(kind, {"title": kind.__name__}) for kind in leaves]
        found += [each for each in (self.texts.schema(), self.records.schema()) if each]
        found += self._arrays()
        return _any_of(found)

    def _arrays(self) -> Iterable[Schema]:
        if self.tuples is not None and "tuple" not in self.several:
            count = len(self.tuples)
            places: Schema = {"prefixItems": [each.schema() for each in self.tuples]}
            yield {"type": "array", **(places if count else {}), **_exactly(count)}
        for kind, shape in sorted(self.several.items()):
            unique = {"uniqueItems": True} if kind == "set" else {}
            yield {"type": "array", "items": shape.schema(), **unique}


class _Text(msgspec.Struct):
    """How often a text came."""

    times: int = 0
    states: int = 0
    """In how many states."""
    last: int = 0
    """The state in which it came last."""


class _Texts:
    """The texts seen at one place, as long as they are few and look like words of a program."""

    def __init__(self, room: _Room) -> None:
        self._room = room
        self.is_seen = False
        self.known: dict[str, _Text] | None = {}

    def see(self, text: str) -> None:
        self.is_seen = True
        found = self._known(str(text))
        if found is not None:
            found.times += 1
            found.states += found.last != self._room.state
            found.last = self._room.state

    def _known(self, text: str) -> _Text | None:
        """What is known of a text; None: it is no choice, and so none of them is."""
        if self.known is None:
            return None
        found = self.known.get(text)
        if found is not None:
            return found
        if len(self.known) == limits.inferred_choices_max or not _is_word(text):
            self.known = None
            return None
        found = self.known[text] = _Text()
        return found

    def join(self, other: _Texts) -> None:
        self.is_seen |= other.is_seen
        if other.known is None:
            self.known = None
        for text, theirs in (other.known or {}).items():
            found = self._known(text)
            if found is not None:
                found.times += theirs.times
                found.states = max(found.states, theirs.states)  # they may be the same states

    def schema(self) -> Schema:
        if not self.is_seen:
            return {}
        known = self.known or {}
        if len(known) < 2 or not all(map(_is_often, known.values())):
            return {"type": "string"}
        return {"enum": sorted(known)}


def _is_word(text: str) -> bool:
    """Whether a program may have written it: names and addresses of people look otherwise."""
    return len(text) <= limits.inferred_choice_chars_max and bool(_WORD.fullmatch(text))


def _is_often(text: _Text) -> bool:
    is_often = text.times >= limits.inferred_choice_times_min
    return is_often and text.states >= limits.inferred_choice_states_min


class _Records:
    """The mappings seen at one place."""

    def __init__(self, room: _Room) -> None:
        self._room = room
        self.times = 0
        self.fields: dict[str, tuple[_Shape, int]] = {}
        self.rest: _Shape | None = None
        self.has_reserved = False

    def see(self, value: Mapping[str, Any]) -> None:
        self.times += 1
        for name, held in value.items():
            if str(name).startswith(RESERVED):
                self.has_reserved = True
            else:
                self._place(name, 1).see(held)

    def join(self, other: _Records) -> None:
        self.times += other.times
        self.has_reserved |= other.has_reserved
        for name, (shape, times) in other.fields.items():
            self._place(name, times).join(shape)
        if other.rest is not None:
            self._others().join(other.rest)

    def _place(self, name: str, times: int) -> _Shape:
        """Where what a field holds is seen."""
        if name in self.fields:
            shape, before = self.fields[name]
        elif len(self.fields) < limits.inferred_fields_max and self._room.take():
            shape, before = _Shape(self._room), 0
        else:
            return self._others()
        self.fields[name] = (shape, before + times)
        return shape

    def _others(self) -> _Shape:
        self.rest = self.rest or _Shape(self._room)
        return self.rest

    def schema(self) -> Schema:
        if not self.times:
            return {}
        return self._mapping() if self._has_keys_of_data() else self.record()

    def _has_keys_of_data(self) -> bool:
        """Whether the keys are no names of fields: too many, no names, or ever others."""
        if self.rest is not None:
            return True
        if not self.fields:
            return False
        if not any(name.isidentifier() for name in self.fields):
            return True
        often = max(seen for _, seen in self.fields.values())
        return len(self.fields) >= limits.inferred_keys_min and often * 2 < self.times

    def _mapping(self) -> Schema:
        together = _Shape(self._room)
        for shape, _ in self.fields.values():
            together.join(shape)
        if self.rest is not None:
            together.join(self.rest)
        return {"type": "object", **self._of_others(together)}

    def _of_others(self, shape: _Shape) -> Schema:
        """What is said of fields that are not named; of the library's own among them nothing."""
        own: Schema = {"patternProperties": {_OWN: {}}} if self.has_reserved else {}
        return {**own, "additionalProperties": shape.schema()}

    def record(self) -> Schema:
        properties = {name: shape.schema() for name, (shape, _) in self.fields.items()}
        required = [name for name, (_, seen) in self.fields.items() if seen == self.times]
        found: Schema = {"type": "object", "properties": properties}
        if required:
            found["required"] = required
        if self.rest is not None:
            found |= self._of_others(self.rest)
        return found


def _exactly(count: int) -> Schema:
    return {"minItems": count, "maxItems": count}


def _any_of(found: list[Schema]) -> Schema:
    if len(found) < 2:
        return found[0] if found else {}
    found = sorted(found, key=repr)
    if all(each.keys() == {"type"} for each in found):
        return {"type": [each["type"] for each in found]}
    return {"anyOf": found}
