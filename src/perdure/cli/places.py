"""The place that `perdure diff --path` names: whether either side has anything there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perdure.core.paths import WHOLE_STATE, is_position, parse_path, resolve
from perdure.errors import PathNotFound


def parts_of(path: str) -> list[str]:
    """The written parts of a path; the slash with which a JSON pointer begins is dropped.

    Example:
        >>> parts_of("/plan/3#pay"), parts_of("(state)")
        (['plan', '3#pay'], [])
    """
    return [] if path == WHOLE_STATE else path.removeprefix("/").split("/")


def require_place(sides: Sequence[Mapping[str, Any]], path: str) -> None:
    """Raise `PathNotFound` if there is nothing at a path in any of these states.

    Example:
        >>> require_place([{"plan": {}}, {"plan": {"goal": 1}}], "plan/goal")
    """
    missing = [_missing(side, path) for side in sides]
    if all(missing):
        raise PathNotFound(f"neither side has anything at {path!r}: {missing[-1]}")


def _missing(state: Mapping[str, Any], path: str) -> str:
    """Why there is nothing at a path; empty if there is something."""
    value: Any = state
    at: tuple[str | int, ...] = ()
    for written in parts_of(path):
        part = written
        if isinstance(value, list | tuple):
            part = written.partition("#")[0]  # what follows is an id, as places are shown
            if not is_position(part):
                return f"{written!r} is no position in a list: they count from 0"
        try:
            at, value = resolve(value, parse_path(part), at)
        except PathNotFound as error:
            return str(error)
    return ""
