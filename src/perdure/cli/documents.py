"""Results as JSON: one document, in ASCII, whatever a state holds.

Values in them have the forms of `perdure.core.json_forms`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from perdure.core.json_forms import encode

if TYPE_CHECKING:
    from perdure.core.changes import Change
    from perdure.core.diff import Difference
    from perdure.core.merge import MergeConflict
    from perdure.types import Movement


def document(result: Any, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """One of the plain results of the public API: its fields by name, times in UTC."""
    return {
        name: _field(name, getattr(result, name))
        for name in result.__struct_fields__
        if name not in without
    }


def _field(name: str, value: Any) -> Any:
    if name in ("metadata", "result"):
        return encode(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if hasattr(value, "__struct_fields__"):
        return document(value)
    return [_field(name, each) for each in value] if isinstance(value, tuple) else value


def change_document(change: Change) -> dict[str, Any]:
    """One change: its kind, its path, and what it holds."""
    from perdure.core.paths import format_path

    names = [name for name in change.__struct_fields__ if name != "path"]
    rest = {name: encode(getattr(change, name)) for name in names}
    return {"kind": type(change).__name__.lower(), "path": format_path(change.path), **rest}


def difference_document(difference: Difference) -> dict[str, Any]:
    """One difference between two checkpoints."""
    from perdure.core.paths import format_path

    return {
        "kind": difference.kind,
        "path": format_path(difference.path),
        "before": encode(difference.before),
        "after": encode(difference.after),
        "summary": difference.summary(),
    }


def conflict_document(conflict: MergeConflict) -> dict[str, Any]:
    """One place that both sides of a merge changed."""
    from perdure.core.paths import format_path

    values = {name: encode(getattr(conflict, name)) for name in ("base", "ours", "theirs")}
    rest = document(conflict, without=("path", *values))
    return {"path": format_path(conflict.path), **values, **rest, "summary": conflict.summary()}


def movement_document(movement: Movement) -> dict[str, Any]:
    """One movement of a branch, done or not; of one that was not, what it would change."""
    found = document(movement, without=("differences",))
    if movement.differences is not None:
        found["differences"] = [difference_document(each) for each in movement.differences]
    return found


def dumps(value: Any) -> str:
    """A document as text: ASCII, so that no terminal or encoding can stumble over it."""
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)
