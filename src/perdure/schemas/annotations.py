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
from enum import Enum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

import msgspec

from perdure.errors import UsageError
from perdure.schemas.kinds import (
    ANY,
    ChoiceKind,
    DictKind,
    Kind,
    LeafKind,
    LimitedKind,
    ListKind,
    SetKind,
    TupleKind,
)
from perdure.schemas.models import NO_DEFAULT, Field, ModelKind, UnionKind

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
    if typing.is_typeddict(cls):
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
    hints = _hints(origin)
    read = {"dataclass": _dataclass, "typeddict": _typeddict, "struct": _struct}
    if family == "pydantic":
        from perdure.schemas.pydantic_models import fields_of

        kind.fields = fields_of(kind, lambda hint, where: _annotation(hint, where, bound))
    else:
        where = origin.__qualname__
        kind.fields = read[family](
            kind, hints, lambda name: _annotation(hints[name], f"{where}.{name}", bound)
        )
    return kind


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise UsageError(
            f"{cls.__qualname__}: an annotation names {error.name!r}, which its module does not "
            "have: import it there at run time too, and define classes at the top of a module"
        ) from error


def _dataclass(
    kind: ModelKind, hints: dict[str, Any], of: Callable[[str], Kind]
) -> dict[str, Field]:
    kind.frozen = kind.cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
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
    for field in msgspec.structs.fields(kind.cls):
        make = None if field.default_factory is msgspec.NODEFAULT else field.default_factory
        default = NO_DEFAULT if field.default is msgspec.NODEFAULT else field.default
        found[field.name] = Field(
            field.name, of(field.name), required=field.required, default=default, make=make
        )
    return found


Bound = dict[Any, Any]


def _annotation(hint: Any, where: str, bound: Bound) -> Kind:
    """What one annotation says."""
    try:
        leaf = _LEAVES.get(hint)
    except TypeError:  # Annotated with what cannot be hashed
        leaf = None
    if leaf is not None:
        return leaf
    if isinstance(hint, TypeVar):
        return _variable(hint, where, bound)
    if isinstance(hint, typing.NewType):
        return _annotation(hint.__supertype__, where, bound)
    if type(hint).__name__ == "TypeAliasType":
        return _annotation(hint.__value__, where, bound)
    origin = get_origin(hint)
    if origin is None:
        return _class(hint, where, bound)
    return _generic(hint, origin, where, bound)


def _variable(hint: TypeVar, where: str, bound: Bound) -> Kind:
    if hint in bound:
        return _annotation(bound[hint], where, {})
    if hint.__constraints__:
        return _union(hint.__constraints__, where, bound)
    return ANY if hint.__bound__ is None else _annotation(hint.__bound__, where, bound)


def _class(hint: Any, where: str, bound: Bound) -> Kind:
    """What an annotation without arguments says."""
    if hint in _BARE:
        return _container(hint, _BARE[hint], where, bound)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ChoiceKind(hint.__name__, [each.value for each in hint], hint)
    if family_of(hint) is not None:
        return _model(hint)
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        hints = _hints(hint)
        items = [_annotation(hints.get(name, Any), where, bound) for name in hint._fields]
        return TupleKind(tuple(items), None, hint)
    raise _refusal(hint, where)


def _model(hint: Any) -> ModelKind:
    return _kinds[hint] if hint in _kinds else _compile(hint)


def _generic(hint: Any, origin: Any, where: str, bound: Bound) -> Kind:
    """What an annotation with arguments says."""
    arguments = get_args(hint)
    if origin is typing.Annotated:
        return _annotated(hint, where, bound)
    if origin is Union or origin is types.UnionType:
        return _union(arguments, where, bound)
    if origin is Literal:
        return ChoiceKind(
            " or ".join(map(repr, arguments)),
            [each.value if isinstance(each, Enum) else each for each in arguments],
        )
    if getattr(origin, "_name", None) in _QUALIFIERS:
        return _annotation(arguments[0], where, bound)
    if type(origin).__name__ == "TypeAliasType":
        inner = dict(zip(origin.__type_params__, [bound.get(each, each) for each in arguments]))
        return _annotation(origin.__value__, where, inner)
    if family_of(origin) is not None:
        arguments = tuple([bound.get(each, each) for each in arguments])
        return _model(origin[arguments])
    return _container(origin, arguments, where, bound)


def _container(origin: Any, arguments: tuple[Any, ...], where: str, bound: Bound) -> Kind:
    if origin in _LISTS:
        return ListKind(_annotation(arguments[0], where, bound))
    if origin in _SETS:
        item = _annotation(arguments[0], where, bound)
        if not item.is_plain or item.form != "plain":
            raise _refusal(origin[arguments], where, "use a list of them")
        return SetKind(item)
    if origin in _DICTS:
        if not _is_text(arguments[0]):
            raise _refusal(origin[arguments], where, "keys are str: use list[tuple[key, value]]")
        return DictKind(_annotation(arguments[1], where, bound))
    if origin is tuple:
        return _tuple(arguments, where, bound)
    raise _refusal(origin, where)


def _is_text(hint: Any) -> bool:
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    return hint is str or hint is Any


def _tuple(arguments: tuple[Any, ...], where: str, bound: Bound) -> Kind:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        kind = TupleKind((), _annotation(arguments[0], where, bound))
    else:
        items = [_annotation(each, where, bound) for each in arguments if each != ()]
        kind = TupleKind(tuple(items), None)
    kind.form = "plain" if all(each.form == "plain" for each in kind.kids()) else "tuple"
    return kind


def _annotated(hint: Any, where: str, bound: Bound) -> Kind:
    inner = _annotation(hint.__origin__, where, bound)
    metas = [each for each in hint.__metadata__ if isinstance(each, msgspec.Meta)]
    if not metas or not isinstance(inner, LeafKind):
        return inner
    limited: Any = hint.__origin__
    for meta in metas:
        limited = typing.Annotated[limited, meta]
    return LimitedKind(inner, limited)


def _union(arguments: tuple[Any, ...], where: str, bound: Bound) -> Kind:
    return UnionKind(tuple([_annotation(each, where, bound) for each in arguments]))


def _refusal(hint: Any, where: str, way_out: str = "") -> UsageError:
    named = hint.__qualname__ if isinstance(hint, type) else str(hint)
    way_out = (
        way_out or "annotate it with what it is stored as, or with Any, and convert it in a method"
    )
    return UsageError(f"{where}: {named} cannot be a field of a schema; {way_out}")
