"""The kinds of models, which are stored as dicts of their fields, and of unions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from itertools import repeat
from operator import is_
from typing import Any

from perdure.core.paths import Path
from perdure.schemas.kinds import (
    ChoiceKind,
    Kind,
    Problem,
    Refused,
    all_of,
    bare,
    first,
    found,
    within,
)

NO_DEFAULT: Any = object()
"""Of a field: it has none."""

_ABSENT: Any = object()


class Field:
    """One field of a model."""

    __slots__ = ("_make", "default", "kind", "name", "required")

    def __init__(
        self,
        name: str,
        kind: Kind,
        *,
        required: bool,
        default: Any = NO_DEFAULT,
        make: Callable[[], Any] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.required = required
        """Whether it has to be stored."""
        self.default = default
        """What it reads as where it is not stored, if it is the same for all."""
        self._make = make

    @property
    def has_default(self) -> bool:
        """Whether it reads as something where it is not stored."""
        return self._make is not None or self.default is not NO_DEFAULT

    @property
    def is_made(self) -> bool:
        """Whether its default is made anew each time, and so may be another."""
        return self._make is not None

    def fresh(self) -> Any:
        """Its default, made anew if it is one that can be changed."""
        return self.default if self._make is None else self._make()


class ModelKind(Kind):
    """A dataclass, a TypedDict, a `msgspec.Struct` or a pydantic model."""

    def __init__(self, cls: type, family: str) -> None:
        super().__init__(cls.__name__)
        self.cls = cls
        self.family = family
        """ "dataclass", "typeddict", "struct" or "pydantic"."""
        self.form = "plain" if family == "typeddict" else "model"
        self.fields: dict[str, Field] = {}
        """By name; filled once the kinds of all are known, which may be this one."""
        self.tag: tuple[str, Any] | None = None
        """The field and value by which a Struct says which one it is."""
        self.frozen = False
        self.hidden: set[str] = set()
        """Fields that a repr does not show."""
        self.validate: Callable[[dict[str, Any]], None] | None = None
        """Refuses fields that are given as a dict and that the class itself refuses."""
        self._telling: list[Field] | None = None

    def kids(self) -> Iterable[Kind]:
        """Those of its fields."""
        return [field.kind for field in self.fields.values()]

    def child(self, at: str | int) -> Kind | None:
        """That of a field; None for a field that it does not know."""
        field = self.fields.get(str(at))
        return None if field is None else field.kind

    def is_required(self, at: str | int) -> bool:
        """Whether this key cannot be taken out."""
        field = self.fields.get(str(at))
        if self.tag is not None and at == self.tag[0]:
            return True
        return field is not None and field.required

    def is_marked(self, stored: Any) -> bool:
        """Whether it is a dict, with the tag of this model if it has one."""
        return isinstance(stored, dict) and (self.tag is None or self._has_tag(stored))

    def may_be(self, stored: Any) -> bool:
        """Whether it is a dict with the tag and the literals of this model."""
        if not self.is_marked(stored):
            return False
        for field in self._choices():
            value = dict.get(stored, field.name, _ABSENT)
            if field.required if value is _ABSENT else not field.kind.may_be(value):
                return False
        return True

    def _choices(self) -> list[Field]:
        """Its fields that may tell it apart from others, found once its kids are known."""
        if self._telling is None:
            fields = self.fields.values()
            self._telling = [field for field in fields if isinstance(field.kind, ChoiceKind)]
        return self._telling

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all are dicts with the fields that they need, and all of these fit."""
        if not values:  # at the end of a recursive model
            return True
        if not all_of(dict, values):
            return False
        if self.tag is not None and not all(map(self._has_tag, values)):
            return False
        for field in self.fields.values():
            column = list(map(dict.get, values, repeat(field.name), repeat(_ABSENT)))
            if any(map(is_, column, repeat(_ABSENT))):
                if field.required:
                    return False
                column = [value for value in column if value is not _ABSENT]
            if not field.kind.accepts_all(column):
                return False
        return True

    def _has_tag(self, value: dict[str, Any]) -> bool:
        assert self.tag is not None
        return bool(dict.get(value, self.tag[0]) == self.tag[1])

    def problem(self, value: Any, path: Path) -> Problem | None:
        """Which field is missing or does not fit."""
        if not isinstance(value, dict):
            return Problem(path, self.said, found(value))
        if self.tag is not None and not self._has_tag(value):
            tag = dict.get(value, self.tag[0])
            return Problem((*path, self.tag[0]), repr(self.tag[1]), found(tag))
        return first(self._field_problem(field, value, path) for field in self.fields.values())

    def _field_problem(self, field: Field, value: dict[str, Any], path: Path) -> Problem | None:
        item = dict.get(value, field.name, _ABSENT)
        where = (*path, field.name)
        if item is not _ABSENT:
            return field.kind.problem(item, where)
        return Problem(where, field.kind.said, "nothing") if field.required else None

    def owns(self, value: Any) -> bool:
        """Whether `value` is an object of the class."""
        return self.family != "typeddict" and isinstance(value, self.cls)

    def take_in(self, value: Any) -> Any:
        """The stored fields of an object of the class, or of a dict like it."""
        value = bare(value)
        if self.owns(value):
            taken = {
                field.name: within(field.name, field.kind, getattr(value, field.name))
                for field in self.fields.values()
                if hasattr(value, field.name)
            }
            return taken if self.tag is None else {self.tag[0]: self.tag[1], **taken}
        if self.is_plain or not isinstance(value, dict):
            return value
        if self.validate is not None:
            self.validate(value)
        return {
            key: within(key, self.fields[key].kind, item) if key in self.fields else item
            for key, item in value.items()
        }


class UnionKind(Kind):
    """One of several kinds."""

    is_choice = True
    is_leaf = True

    def __init__(self, options: tuple[Kind, ...]) -> None:
        super().__init__(" | ".join(option.said for option in options))
        self.options = options
        self.atoms = frozenset().union(*[option.atoms for option in options])

    def kids(self) -> Iterable[Kind]:
        """Its kinds."""
        return self.options

    def resolve(self, stored: Any) -> Kind:
        """The kind that it is of: the only one that looks like it, or the first that fits.

        Itself if it is of none.
        """
        likely = [option for option in self.options if option.may_be(stored)]
        if not likely:  # a model with a bad literal is still the one that it can be
            models = [option for option in self.options if isinstance(option, ModelKind)]
            likely = [option for option in models if option.is_marked(stored)]
        if len(likely) == 1:
            return likely[0].resolve(stored)
        return next((each for each in likely if each.accepts_all([stored])), self)

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether each fits one of the kinds."""
        if self.atoms.issuperset(map(type, values)):
            return True
        return all(map(self._accepts, values))

    def _accepts(self, value: Any) -> bool:
        kind = self.resolve(value)
        return kind is not self and kind.accepts_all([value])

    def problem(self, value: Any, path: Path) -> Problem | None:
        """What is wrong in the kind that it looks like; else that it is of none."""
        if self._accepts(value):
            return None
        kind = self.resolve(value)
        inner = None if kind is self else kind.problem(value, path)
        return inner or Problem(path, self.said, found(value))

    def take_in(self, value: Any) -> Any:
        """The stored form that the kind gives which takes the value.

        Raises:
            Refused: an object would be read as one of another class.
        """
        for option in self.options:
            if isinstance(option, ModelKind) and option.owns(value):
                return self._unmistaken(option, value)
        value = bare(value)
        refused: Refused | None = None
        for option in self.options:
            try:
                taken = option.take_in(value)
            except Refused as error:
                refused = refused or error
                continue
            if option.accepts_all([taken]):
                self._require_same_member(value, taken)
                return taken
        if refused is not None:
            raise refused
        return value

    def _require_same_member(self, value: Any, taken: Any) -> None:
        if isinstance(value, Enum):
            read = self.resolve(taken).read(taken)
            if isinstance(read, Enum) and read is not value:
                raise Refused(f"this {value!r} would be read as {read!r}, whose value is the same")

    def _unmistaken(self, option: ModelKind, value: Any) -> Any:
        taken = option.take_in(value)
        read = self.resolve(taken)
        if read is not option and read is not self:
            raise Refused(
                f"this {option.said} would be read as {read.said}, whose fields it has too: give "
                f'both a field that tells them apart, such as kind: Literal["{option.said}"]'
            )
        return taken
