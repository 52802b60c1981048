"""Objects that are no plain values: the data some of them stand for, and what to do with the rest.

Libraries are recognised by what their classes carry and are never imported.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any
from uuid import UUID

NOTHING: Any = object()
"""Said of an object that stands for no data."""

_PLAIN = (
    *(NoneType, bool, int, float, str, bytes, list, dict, tuple, set, frozenset),
    *(date, time, timedelta, UUID, Decimal, Enum),
)
"""What an attribute may be for its object's `vars` to be worth a try."""

_HINTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("numpy.generic",), "use value.item()"),
    (("numpy.ndarray", "torch.Tensor", "jax.Array"), "use value.tolist()"),
    (("pandas.core.frame.DataFrame", "polars.dataframe.frame.DataFrame"), "use its rows as dicts"),
    (("pandas.core.series.Series", "polars.series.series.Series"), "use value.to_list()"),
    (("pandas.core.indexes.base.Index",), "use value.tolist()"),
    (("pandas._libs.missing.NAType",), "use None"),
    (("pydantic.types.SecretStr", "pydantic.types.SecretBytes"), "keep secrets out of the state"),
    (("pydantic.main.BaseModel", "pydantic.v1.main.BaseModel"), "use value.dict()"),
    (("google.protobuf.message.Message",), "use MessageToDict(value)"),
    (("pathlib.PurePath", "pathlib._local.PurePath"), "use str(value)"),  # the latter in 3.13
    (("ipaddress._IPAddressBase", "fractions.Fraction"), "use str(value)"),
    (("re.Pattern",), "use value.pattern"),
    (("builtins.complex",), "use [value.real, value.imag]"),
    (("builtins.range", "collections.deque", "array.array"), "use list(value)"),
    (("io.IOBase", "_io._IOBase"), "store what it holds, or the path of the file"),
    (("builtins.BaseException",), "use str(value), or repr(value) to keep its type"),
    (("asyncio.locks.Lock", "_thread.lock", "_thread.RLock"), "locks live as long as a process"),
    (("_asyncio.Future", "_asyncio.Task", "concurrent.futures._base.Future"), "store its result"),
)


def data_of(value: Any) -> Any:
    """The data that a model or record object stands for, not yet plain; or `NOTHING`.

    pydantic models give what `model_dump` does, dataclasses, attrs classes and `msgspec.Struct` a
    dict of their fields.
    """
    kind = type(value)
    if callable(getattr(kind, "model_dump", None)):
        return value.model_dump(mode="python")
    names: Iterable[str]
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    elif hasattr(kind, "__attrs_attrs__"):
        names = [attribute.name for attribute in kind.__attrs_attrs__]
    elif hasattr(kind, "__struct_fields__"):
        names = kind.__struct_fields__
    else:
        return NOTHING
    data = {name: getattr(value, name) for name in names}
    config = getattr(kind, "__struct_config__", None)
    if config is not None and config.tag is not None:  # by which a reader knows which Struct it is
        data = {config.tag_field: config.tag, **data}
    return data


def refusal(value: Any) -> str:
    """Why `value` cannot be stored and what to store instead: the end of an error's message."""
    return f"{_named(value)} cannot be stored; {_hint(value)}"


def key_refusal(key: Any) -> str:
    """The same for a mapping key."""
    shown = f" ({key!r})" if isinstance(key, int | float) else ""
    return (
        f"a key that is {_named(key)}{shown} cannot be stored; keys are str: "
        "use str(key), or store a list of [key, value] pairs"
    )


def _named(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    if isinstance(value, types.ModuleType):
        return f"the module {value.__name__}"
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else kind.__module__ + "."
    return f"a value of type {module}{kind.__qualname__}"


def _hint(value: Any) -> str:
    if isinstance(value, type | types.ModuleType):
        return "store its name, and look it up in your own table of what may be named"
    names = {f"{base.__module__}.{base.__qualname__}" for base in type(value).__mro__}
    for known, hint in _HINTS:
        if not names.isdisjoint(known):
            return hint
    if isinstance(value, types.CoroutineType | types.AsyncGeneratorType):
        return "await it, and store its result"
    if callable(value):
        return "store its name, and look it up in your own table of what may be called"
    if isinstance(value, Mapping):
        return "use dict(value)"
    if isinstance(value, Iterable):
        return "use list(value)"
    if not hasattr(value, "__dict__"):
        return "store the plain values it is made of"
    if all(isinstance(each, _PLAIN) for each in vars(value).values()):
        return "use vars(value), or make its class a dataclass"
    return "store what it is made from (a name, an id, settings), and make it again from that"
