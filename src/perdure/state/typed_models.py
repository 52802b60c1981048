"""Views of models: objects whose class says it is the user's, and whose fields are the state's.

For each model class there is one class of views. It has a descriptor for each field and, as they
are, the functions, properties and constants of the user's class, which so run with the view as
`self`. What a dataclass generates works on it too, as it only reads fields.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from typing import Any

from perdure.core.paths import Path, format_path
from perdure.core.values import SIZED
from perdure.errors import BadStored, PerdureError, WrongType
from perdure.schemas.kinds import bare
from perdure.schemas.models import Field, ModelKind
from perdure.state.door import admitted, is_watched
from perdure.state.mapping import TrackedDict
from perdure.state.marks import ABSENT
from perdure.state.place import place_of
from perdure.state.sections import State
from perdure.state.typed_ghosts import default_of
from perdure.state.typed_reading import shown, typed
from perdure.state.typed_view import TypedView
from perdure.state.unseen import replacing

_SKIPPED = frozenset(
    {
        *("__class__", "__class_getitem__", "__copy__", "__deepcopy__", "__delattr__", "__dict__"),
        *("__getattribute__", "__getstate__", "__init__", "__init_subclass__", "__new__"),
        *("__reduce__", "__reduce_ex__", "__replace__", "__setattr__", "__setstate__"),
        *("__slots__", "__weakref__", "__subclasshook__", "__sizeof__", "__post_init__"),
    }
)
"""What a view does not take from the user's class."""

_FOREIGN = ("pydantic", "msgspec", "typing", "builtins", "abc")
"""Packages whose base classes work on their own objects only."""


class MissingField(BadStored, AttributeError):
    """A field that the schema needs is not stored."""


class FrozenModel(WrongType, dataclasses.FrozenInstanceError):
    """A field of a frozen model cannot be assigned; the whole model can."""


class FieldView:
    """One field, as an attribute of a view."""

    __slots__ = ("atoms", "field", "name")

    def __init__(self, field: Field) -> None:
        self.field = field
        self.name = field.name
        self.atoms = field.kind.atoms

    def __get__(self, view: Any, owner: Any = None) -> Any:
        if view is None:
            return self.field.default
        node = view._perdure_node
        if type(node) is TrackedDict:
            stored = dict.get(node, self.name, ABSENT)
            if type(stored) in self.atoms:
                return stored
        return read(view, self.field)

    def __set__(self, view: Any, value: Any) -> None:
        if type(value) in self.atoms and type(value) not in SIZED and _is_open(view):
            view._perdure_node._assign(self.name, value)
        else:
            write(view, self.field, value)

    def __delete__(self, view: Any) -> None:
        remove(view, self.field)


class ModelView(TypedView):
    """What stands before a stored model."""

    __slots__ = ()

    _perdure_kind: ModelKind

    def __getitem__(self, name: str) -> Any:
        field = self._perdure_kind.fields.get(name)
        if field is not None:
            return read(self, field)
        return _section(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        field = self._perdure_kind.fields.get(name)
        if field is not None:
            write(self, field, value)
        else:
            _section(self, name, value)

    def __delitem__(self, name: str) -> None:
        field = self._perdure_kind.fields.get(name)
        if field is not None:
            remove(self, field)
        elif isinstance(self._perdure_node, State):
            del self._perdure_node[name]
        else:
            raise KeyError(name)

    __iter__: Any = None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if getattr(other, "__class__", None) is not self._perdure_kind.cls:
            return NotImplemented
        names = self._perdure_kind.fields
        return all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        kind, node = self._perdure_kind, self._perdure_node
        names = [name for name in kind.fields if name not in kind.hidden]
        fields = ", ".join(f"{name}={shown(self.__getitem__, node, name)}" for name in names)
        return f"{kind.cls.__qualname__}({fields})"

    def __dir__(self) -> list[str]:
        kind = self._perdure_kind
        return sorted({*dir(kind.cls), *kind.fields})

    def __copy__(self) -> Any:
        return _real(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _real(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _real(self).__reduce_ex__(protocol)


def read(view: Any, field: Field) -> Any:
    """A field of a model: what is stored, or its default.

    Raises:
        BadStored: what is stored does not fit; also an AttributeError if there is nothing.
    """
    node = view._perdure_node
    stored = node.get(field.name, ABSENT)
    if stored is ABSENT:
        if not field.has_default:
            raise _missing(view, field)
        stored, is_ghost = default_of(field, node, view._perdure_home)
        if not is_ghost:
            return stored
    return typed(field.kind, stored, view._perdure_home, node, field.name)


def write(view: Any, field: Field, value: Any) -> None:
    """Assign a field of a model.

    Raises:
        WrongType: the schema does not allow the value.
        FrozenModel: the model is frozen; also an AttributeError, as for real ones.
    """
    kind = view._perdure_kind
    _require_changeable(view, field.name)
    node = view._perdure_node
    if place_of(bare(value)) is not None and node.get(field.name) is bare(value):
        return  # as after `+=`, which has edited it already
    if kind.family == "pydantic":
        from perdure.schemas.pydantic_models import validated

        value = validated(kind, view, field.name, value)
    value = replacing(field.kind, value, node, field.name)
    if not isinstance(node, State) and not is_watched(node):
        value = admitted(field.kind, value, node, field.name)
    node[field.name] = value


def _is_open(view: Any) -> bool:
    """Whether what the door would ask of an atom is known: that it is of its field's classes."""
    node, kind = view._perdure_node, view._perdure_kind
    if type(node) is not TrackedDict or kind.frozen or kind.family == "pydantic":
        return False
    door = node._tracker.door
    return door is not None and door.kind_of(node) is kind


def remove(view: Any, field: Field) -> None:
    """Delete a field of a model, which then reads as its default."""
    _require_changeable(view, field.name)
    if field.name not in view._perdure_node:
        raise AttributeError(field.name)
    del view._perdure_node[field.name]


def _require_changeable(view: Any, name: str) -> None:
    kind = view._perdure_kind
    if kind.frozen:
        path = _path_of(view, name)
        raise FrozenModel(
            f"{format_path(path)}: cannot assign to field {name!r}: {kind.said} is frozen. Assign "
            "a new one in its place",
            path=path,
        )


def _path_of(view: Any, name: str) -> Path:
    node = view._perdure_node
    return (name,) if isinstance(node, State) else (*node._path(), name)


def _missing(view: Any, field: Field) -> MissingField:
    path = _path_of(view, field.name)
    return MissingField(
        f"{format_path(path)}: the schema needs this field, and nothing is stored there. Assign "
        f'it, or give it a default; as stored: session.raw["{path[0]}"]',
        path=path,
    )


def _section(view: ModelView, name: str, value: Any = ABSENT) -> Any:
    """A section that the schema does not know, as it is."""
    if not isinstance(view._perdure_node, State):
        raise KeyError(name)
    if value is ABSENT:
        return view._perdure_node[name]
    view._perdure_node[name] = value
    return None


def _real(view: Any) -> Any:
    from perdure.materializing import materialize

    return materialize(view)


_classes: dict[int, tuple[ModelKind, type[ModelView]]] = {}


def view_class(kind: ModelKind) -> type[ModelView]:
    """The class of the views of a model class, made once."""
    known = _classes.get(id(kind))
    if known is None:
        made = type(kind.cls.__name__, (ModelView,), _namespace(kind))
        known = _classes[id(kind)] = kind, made
    return known[1]


def _namespace(kind: ModelKind) -> dict[str, Any]:
    cls = kind.cls
    space: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] not in _FOREIGN:
            space.update({name: _carried(each, name, cls) for name, each in vars(base).items()})
    space = {
        name: each
        for name, each in space.items()
        if name not in _SKIPPED and not isinstance(each, types.MemberDescriptorType)
    }
    space = {name: each for name, each in space.items() if _is_carried(name, each)}
    if kind.family == "pydantic":
        from perdure.schemas.pydantic_models import through_real

        space = {**through_real(cls, _real), **space}
    space.update({name: FieldView(field) for name, field in kind.fields.items()})
    for name in ("__match_args__", "__struct_fields__"):
        if hasattr(cls, name):
            space[name] = getattr(cls, name)
    if cls.__dictoffset__:
        space["__dict__"] = property(readable)  # for vars() and dir()
    return {**space, "__slots__": (), "__class__": property(lambda view: cls)}


def readable(view: Any) -> dict[str, Any]:
    """The fields of a model that can be read, by name."""
    fields: dict[str, Any] = {}
    for name in view._perdure_kind.fields:
        try:
            fields[name] = getattr(view, name)
        except PerdureError:
            continue
    return fields


def _carried(attribute: Any, name: str, cls: type) -> Any:
    """What stands in a view's class for an attribute of the user's."""
    if isinstance(attribute, functools.cached_property):
        return property(attribute.func, doc=attribute.__doc__)
    if isinstance(attribute, classmethod):
        return staticmethod(getattr(cls, name))  # it is the user's class that it is called with
    return attribute


def _is_carried(name: str, attribute: Any) -> bool:
    """Leaves out what pydantic and msgspec keep in their classes for their own objects."""
    if name.startswith(("__pydantic_", "__struct_", "model_", "__private_", "__fields_set__")):
        return name == "__struct_fields__"
    if name == "__repr__" and _is_generated(attribute):  # which stops at what does not fit
        return False
    return not isinstance(attribute, types.GetSetDescriptorType)


def _is_generated(method: Any) -> bool:
    """Whether a method was made by `dataclasses`, and not written by the user."""
    code = getattr(inspect.unwrap(method), "__code__", None)
    return code is not None and code.co_filename == "<string>"
