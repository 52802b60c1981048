"""Exceptions between any two steps, as Ctrl-C or a timeout's signal handler raises them."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import FrameType
from typing import Any

ENGINE = tuple(
    f"perdure/engine/{name}.py" for name in ("session", "live", "queue", "placing", "refresh")
)
PLACES = ("perdure/state/", *ENGINE, "_interrupts.py")
"""Files whose steps count: those of the tests among them."""


class Interrupt(BaseException):
    """As from a signal handler."""


def was_interrupted(action: Callable[[], object], step: int) -> bool:
    """Do it, with an exception before its line or bytecode `step`; whether it has so many."""
    left = step

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if not _counts(frame.f_code.co_filename):
            return None
        frame.f_trace_opcodes = True
        return count

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        # 3.13.0 leaves out opcodes of code that was traced before, but no lines.
        if event in ("opcode", "line"):
            if left == 0:
                raise Interrupt
            left -= 1
        return count

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        next(_apart(action))
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@cache
def _counts(file: str) -> bool:
    """Whether steps of this file count."""
    return any(place in file.replace("\\", "/") for place in PLACES)


def _apart(action: Callable[[], object]) -> Iterator[object]:
    """Do it where an exception cut off in its handling is not still handled afterwards.

    An interrupt between the end of a handler and its last bytecode leaves the exception as the one
    being handled, which Python then gives to later ones as their context; a generator has its own.
    """
    yield action()


_CONTENT = pickle.dumps(
    {
        "list": [1, [2], {"n": 3}, "four", ([5], 6)],
        "dict": {"a": 1, "b": [2], "c": {"n": 3}, "d": "four"},
        "set": {"a", "b"},
        "deep": {"in": [{"items": [1, 2]}]},
    }
)


def content() -> Any:
    """What is edited, made anew; so often that `copy.deepcopy` would take a third of the time."""
    return pickle.loads(_CONTENT)


def moved(node: dict[str, Any], key: str) -> None:
    value = node.pop(key)
    node[key] = value


def edit_all(state: Any, value: str) -> None:
    """Edit every container, those below first: no later edit may be lost either."""

    def edit(node: Any) -> None:
        children = node.values() if isinstance(node, dict) else node
        for child in [] if isinstance(node, set) else list(children):
            if isinstance(child, dict | list | set | tuple):
                edit(child)
        if isinstance(node, list):
            node.append(value)
        elif isinstance(node, dict):
            node[value] = value
        elif isinstance(node, set):
            node.add(value)

    for section in list(state.values()):
        edit(section)
