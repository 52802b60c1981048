"""A drafted migration as Python source: lenses, each with a comment that says why it is there."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from perdure import limits
from perdure.core.paths import parse_path
from perdure.errors import UsageError
from perdure.schemas.forms import Form, Schema, forms

Place = tuple[str, ...]
_MODULES = {
    "datetime.": "import datetime",
    "Decimal(": "from decimal import Decimal",
    "UUID(": "from uuid import UUID",
}
_ZEROS: dict[str, Any] = {
    "boolean": False,
    "integer": 0,
    "number": 0.0,
    "string": "",
    "bytes": b"",
    "date-time": datetime(1970, 1, 1, tzinfo=UTC),
    "date": date(1970, 1, 1),
    "time": time(0),
    "duration": timedelta(0),
    "uuid": UUID(int=0),
    "decimal": Decimal(0),
    "array": [],
    "set": set(),
    "map": {},
    "null": None,
    "any": None,
}


class Step(msgspec.Struct, frozen=True):
    """A lens, or a comment alone where there is none."""

    comment: str
    call: str = ""
    at: Place = ()
    rest: str = ""
    """The other arguments, as source."""
    inner: tuple[Step, ...] = ()
    """The lenses of items or values."""


def source(steps: list[Step], name: str, older: int, newer: int, module: str = "") -> str:
    """The source of a migration.

    Args:
        steps: what it does, in order.
        name: of the class.
        older: the version that is read.
        newer: the version that is made of it.
        module: where the class is imported from; empty: not said.

    Raises:
        UsageError: the name is none of a class.
    """
    if not name.isidentifier() or not all(
        part.isidentifier() for part in module.split(".") if module
    ):
        raise UsageError(f"a class is named as in Python, not {name!r}")
    lines = [line for step in steps for line in _lines(step, "        ")]
    text = "\n".join(lines)
    calls = sorted(_calls(steps))
    head = [found for sign, found in _MODULES.items() if sign in text]
    head += ["", "import perdure"] if head else ["import perdure"]
    head += [f"from perdure.lenses import {', '.join(calls)}"] if calls else []
    head += ["", f"from {module} import {name}"] if module else []
    title = f'"""{name} from version {older} to {newer}, a draft: read each line first."""'
    body = ["perdure.migration(", *(f"    {each}," for each in (name, older, newer))]
    return "\n".join([title, "", *head, "", *body, "    [", *lines, "    ],", ")", ""])


def literal(value: Any) -> str:
    """A plain value as Python source.

    Example:
        >>> literal({"a": [1, float("inf")]})
        "{'a': [1, float('inf')]}"
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {literal(held)}" for key, held in value.items()) + "}"
    return repr(value)


def zero(schema: Schema, root: Schema, depth: int = 0) -> Any:
    """A value of a schema: its default, else the plainest one.

    Raises:
        UsageError: there is none, as of a model that always holds itself.
    """
    if "default" in schema:
        return schema["default"]
    if depth > limits.depth_max:
        raise UsageError("no value fits a schema that always holds itself: let one be None")
    found = forms(schema, root)
    plain = next((form for form in found if form.kind == "null"), found[0])
    return _zero(plain, root, depth + 1)


def _zero(form: Form, root: Schema, depth: int) -> Any:
    if form.kind == "enum":
        return form.choices[0]
    if form.kind == "tuple":
        return tuple(zero(each, root, depth) for each in form.schema["prefixItems"])
    if form.kind == "object":
        needed = (name for name in form.fields if form.requires(name))
        return {name: zero(form.fields[name], root, depth) for name in needed}
    return _ZEROS.get(form.kind, "")


def _calls(steps: list[Step] | tuple[Step, ...]) -> set[str]:
    found = {step.call for step in steps if step.call}
    return found.union(*(_calls(step.inner) for step in steps))


def _lines(step: Step, indent: str) -> list[str]:
    lines = [f"{indent}# {_one_line(step.comment)}"]
    if not step.call:
        return lines
    start = f"{indent}{step.call}({placed(step.at)}"
    if not step.inner:
        return [*lines, f"{start}{', ' if step.rest else ''}{step.rest}),"]
    inner = [line for each in step.inner for line in _lines(each, f"{indent}    ")]
    return [*lines, f"{start}, [", *inner, f"{indent}]),"]


def _one_line(text: str) -> str:
    """A comment that cannot end before its line does, whatever names are in it."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def placed(at: Place) -> str:
    """A place as Python source."""
    path = "/".join(at)
    try:
        return repr(path) if tuple(parse_path(path)) == at else repr(at)
    except (ValueError, UsageError):
        return repr(at)
