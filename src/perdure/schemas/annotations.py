"""From the annotations of a class to kinds: once for each class, recursive ones too."""

from __future__ import annotations

import collections.abc
import dataclasses
import sys
import types
import typing
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

import msgspec

from perdure.errors import UsageError
from perdure.schemas.containers import DictKind, ListKind, SetKind, TupleKind
from perdure.schemas.kinds import (
    ANY,
    ChoiceKind,
    FlagKind,
    Kind,
    LeafKind,
    LimitedKind,
    is_leaf,
    reachable,
)
from perdure.schemas.models import NO_DEFAULT, Field, ModelKind, UnionKind
from perdure.schemas.variables import bound_for, bounds_of, given

_LEAVES: dict[Any, Kind] = {
    Any: ANY,
    object: ANY,
    None: LeafKind("None", type(None)),
    type(None): LeafKind("None", type(None)),
    float: LeafKind("float", float, int),
    **{
        each: LeafKind(each.__name__, each)
        for each in (bool, int, str, bytes, datetime, date, time, timedelta, UUID, Decimal)
    },
}
_LISTS = (list, collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Iterable)
_SETS = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_BARE: dict[Any, Any] = {
    **dict.fromkeys((*_LISTS, *_SETS), (Any,)),
    **dict.fromkeys(_DICTS, (str, Any)),
    tuple: (Any, ...),
}
_QUALIFIERS = {"Required", "NotRequired", "ReadOnly", "Final"}
_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz")
UNLIMITED = (
    "a limit on what can be edited in place is not checked at each edit: drop it, check it in a "
    "method, or limit the items"
)
"""The way out for a limit of a container."""

_kinds: dict[Any, ModelKind] = {}
"""By class (or class with its arguments): what it was compiled to."""


def kind_of(cls: Any) -> ModelKind:
    """What a model class says of its fields.

    Raises:
        UsageError: it is no class that Perdure knows to read, or a field's annotation is not one;
            the message names class and field, and the way out.
    """
    known = _kinds.get(cls)
    if known is not None:
        return known
    before = set(_kinds)
    try:
        return _compile(cls)
    except BaseException:  # what refers to it is not whole either
        for made in set(_kinds) - before:
            del _kinds[made]
        raise


def family_of(cls: Any) -> str | None:
    """Which kind of model class `cls` is; None if none."""
    if not isinstance(cls, type):
        return None
    if issubclass(cls, dict) and hasattr(cls, "__required_keys__"):  # also of typing_extensions
        return "typeddict"
    if issubclass(cls, msgspec.Struct):
        return "struct"
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and issubclass(cls, pydantic.BaseModel):
        return "pydantic"
    return "dataclass" if dataclasses.is_dataclass(cls) else None


def _compile(cls: Any) -> ModelKind:
    origin = get_origin(cls) or cls
    family = family_of(origin)
    if family is None:
        raise UsageError(
            f"{cls!r} cannot be a schema: it has to be a dataclass, a TypedDict, a msgspec.Struct "
            "or a pydantic model"
        )
    kind = _kinds[cls] = ModelKind(origin, family)
    bound = dict(zip(getattr(origin, "__parameters__", ()), get_args(cls)))
    if family == "pydantic" or hasattr(origin, "__pydantic_fields__"):
        kind.fields = _checked_fields(kind, bound)
        return kind
    hints, where, bounds = _hints(origin), origin.__qualname__, bounds_of(origin, bound)

    def of(name: str) -> Kind:
        return _annotation(hints[name], Scope(f"{where}.{name}", bound_for(name, bounds)))

    read = {"dataclass": _dataclass, "typeddict": _typeddict, "struct": _struct}
    kind.fields = read[family](kind, hints, of)
    return kind


def _checked_fields(kind: ModelKind, bound: dict[Any, Any]) -> dict[str, Field]:
    """The fields of a class that pydantic checks."""
    from perdure.schemas.pydantic_models import adapted, checked, fields_of

    if kind.family == "dataclass":
        kind.frozen = kind.cls.__dataclass_params__.frozen  # type: ignore[attr-defined]

    def of(hint: Any, where: str) -> Kind:
        return _annotation(hint, Scope(where, bound, adapted, checked))

    return fields_of(kind, of)


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        if error.name == cls.__name__:  # made in a function, and it names itself
            return typing.get_type_hints(cls, localns={cls.__name__: cls}, include_extras=True)
        raise unknown_name(cls, error.name) from error


def unknown_name(cls: Any, name: str | None) -> UsageError:
    """What is said where an annotation names what cannot be found."""
    return UsageError(
        f"{cls.__qualname__}: an annotation names {name!r}, which its module does not have: import "
        "it there at run time too, and define classes at the top of a module"
    )


def _dataclass(
    kind: ModelKind, hints: dict[str, Any], of: Callable[[str], Kind]
) -> dict[str, Field]:
    kind.frozen = kind.cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    kind.hidden = {field.name for field in dataclasses.fields(kind.cls) if not field.repr}
    found: dict[str, Field] = {}
    for field in dataclasses.fields(kind.cls):
        make = None if field.default_factory is dataclasses.MISSING else field.default_factory
        default = NO_DEFAULT if field.default is dataclasses.MISSING else field.default
        required = make is None and default is NO_DEFAULT
        found[field.name] = Field(
            field.name, of(field.name), required=required, default=default, make=make
        )
    return found


def _typeddict(
    kind: ModelKind, hints: dict[str, Any], of: Callable[[str], Kind]
) -> dict[str, Field]:
    required = kind.cls.__required_keys__  # type: ignore[attr-defined]
    return {name: Field(name, of(name), required=_needs(name, hints, required)) for name in hints}


def _needs(name: str, hints: dict[str, Any], required: frozenset[str]) -> bool:
    """Whether a TypedDict needs a key: string annotations hide it from Python before 3.14."""
    hint = hints[name]
    while (origin := get_origin(hint)) is not None:
        if origin is typing.Required or origin is typing.NotRequired:
            return bool(origin is typing.Required)
        if getattr(origin, "_name", None) != "ReadOnly" and origin is not typing.Annotated:
            break
        hint = get_args(hint)[0]
    return name in required


def _struct(kind: ModelKind, hints: dict[str, Any], of: Callable[[str], Kind]) -> dict[str, Field]:
    config = kind.cls.__struct_config__  # type: ignore[attr-defined]
    kind.frozen = config.frozen
    if config.tag is not None:
        kind.tag = config.tag_field, config.tag
    found: dict[str, Field] = {}
    for field in _struct_fields(kind.cls):
        make = None if field.default_factory is msgspec.NODEFAULT else field.default_factory
        default = NO_DEFAULT if field.default is msgspec.NODEFAULT else field.default
        found[field.name] = Field(
            field.name, of(field.name), required=field.required, default=default, make=make
        )
    return found


def _struct_fields(cls: type[Any]) -> tuple[Any, ...]:
    try:
        return msgspec.structs.fields(cls)
    except NameError as error:
        raise unknown_name(cls, error.name) from error


@dataclasses.dataclass(frozen=True)
class Scope:
    """Where an annotation stands, and what is known of the names in it."""

    where: str
    """Class and field, for messages."""
    bound: dict[Any, Any] = dataclasses.field(default_factory=dict)
    """What the type variables stand for."""
    adapted: Callable[[Any, str], Kind] | None = None
    """Makes the kind of a class that Perdure does not know; None where such are refused."""
    checked: Callable[[Kind, Any, str], Kind] | None = None
    """Makes the kind that heeds what an `Annotated` says besides."""

    def binding(self, bound: dict[Any, Any]) -> Scope:
        """The same place, where type variables stand for something else."""
        return dataclasses.replace(self, bound=bound)


def _annotation(hint: Any, scope: Scope) -> Kind:
    """What one annotation says."""
    try:
        leaf = _LEAVES.get(hint)
    except TypeError:  # Annotated with what cannot be hashed
        leaf = None
    if leaf is not None:
        return leaf
    if isinstance(hint, TypeVar):
        return _variable(hint, scope)
    if isinstance(hint, typing.NewType):
        return _annotation(hint.__supertype__, scope)
    origin = get_origin(hint)
    if type(hint).__name__ == "TypeAliasType" and origin is None:
        return _annotation(hint.__value__, scope)
    if origin is None:
        return _class(hint, scope)
    return _generic(hint, origin, scope)


def _variable(hint: TypeVar, scope: Scope) -> Kind:
    if hint in scope.bound:
        return _annotation(scope.bound[hint], scope.binding({}))
    if hint.__constraints__:
        return _union(hint.__constraints__, scope)
    return ANY if hint.__bound__ is None else _annotation(hint.__bound__, scope)


def _class(hint: Any, scope: Scope) -> Kind:
    """What an annotation without arguments says."""
    own = getattr(hint, "_perdure_annotation", None)
    if own is not None:  # a class of ours, which knows itself
        kind: Kind = own()
        return kind
    if hint in _BARE:
        return _container(hint, _BARE[hint], scope)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(hint, scope)
    if family_of(hint) is not None:
        return _model(hint)
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        hints = _hints(hint)
        items = [_annotation(hints.get(name, Any), scope) for name in hint._fields]
        return TupleKind(tuple(items), None, hint)
    return _unknown(hint, scope)


def _enum(hint: type[Enum], scope: Scope) -> Kind:
    if issubclass(hint, Flag):
        return FlagKind(hint)
    if any(isinstance(each.value, dict | list | set) for each in hint):
        raise _refusal(hint, scope, "its values can be edited: give its members texts or numbers")
    return ChoiceKind(hint.__name__, hint)


def _model(hint: Any) -> ModelKind:
    return _kinds[hint] if hint in _kinds else _compile(hint)


def _generic(hint: Any, origin: Any, scope: Scope) -> Kind:
    """What an annotation with arguments says."""
    arguments = get_args(hint)
    if origin is typing.Annotated:
        return _annotated(hint, scope)
    if origin is Union or origin is types.UnionType:
        return _union(arguments, scope)
    if origin is Literal:
        return ChoiceKind(" or ".join(map(repr, arguments)), arguments)
    if getattr(origin, "_name", None) in _QUALIFIERS:
        return _annotation(arguments[0], scope)
    if type(origin).__name__ == "TypeAliasType":
        inner = dict(zip(origin.__type_params__, [given(each, scope.bound) for each in arguments]))
        return _annotation(origin.__value__, scope.binding(inner))
    if family_of(origin) is not None:
        return _model(origin[tuple([given(each, scope.bound) for each in arguments])])
    if origin is tuple or origin in _BARE:
        return _container(origin, arguments, scope)
    return _unknown(hint, scope)


def _container(origin: Any, arguments: tuple[Any, ...], scope: Scope) -> Kind:
    if origin in _LISTS:
        return ListKind(_annotation(arguments[0], scope))
    if origin in _SETS:
        item = _annotation(arguments[0], scope)
        if not all(each is ANY or each.is_leaf for each in reachable(item)):
            raise _refusal(origin[arguments], scope, "use a list of them")
        return SetKind(item, is_frozen=origin is frozenset)
    if origin in _DICTS:
        if not _is_text(arguments[0]):
            raise _refusal(origin[arguments], scope, "keys are str: use list[tuple[key, value]]")
        return DictKind(_annotation(arguments[1], scope))
    return _tuple(arguments, scope)


def _is_text(hint: Any) -> bool:
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    return hint is str or hint is Any


def _tuple(arguments: tuple[Any, ...], scope: Scope) -> Kind:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return TupleKind((), _annotation(arguments[0], scope))
    return TupleKind(tuple([_annotation(each, scope) for each in arguments if each != ()]), None)


def _annotated(hint: Any, scope: Scope) -> Kind:
    inner = _annotation(hint.__origin__, scope)
    metas = [each for each in hint.__metadata__ if isinstance(each, msgspec.Meta)]
    if any(getattr(each, name) is not None for each in metas for name in _LIMITS):
        limited: Any = hint.__origin__
        for meta in metas:
            limited = typing.Annotated[limited, meta]
        if not is_leaf(inner):
            raise _refusal(hint.__origin__, scope, UNLIMITED)
        try:
            inner = LimitedKind(inner, limited)
        except TypeError as error:
            raise UsageError(f"{scope.where}: {error}") from error
    return inner if scope.checked is None else scope.checked(inner, hint, scope.where)


def _union(arguments: tuple[Any, ...], scope: Scope) -> Kind:
    return UnionKind(tuple([_annotation(each, scope) for each in arguments]))


def _unknown(hint: Any, scope: Scope) -> Kind:
    if scope.adapted is None:
        raise _refusal(hint, scope)
    return scope.adapted(hint, scope.where)


def _refusal(hint: Any, scope: Scope, way_out: str = "") -> UsageError:
    named = hint.__qualname__ if isinstance(hint, type) else str(hint)
    way_out = (
        way_out or "annotate it with what it is stored as, or with Any, and convert it in a method"
    )
    return UsageError(f"{scope.where}: {named} cannot be a field of a schema; {way_out}")
