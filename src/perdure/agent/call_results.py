"""Results of tool calls: what steps and effects gave under their keys, and as what it is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from perdure.agent import status
from perdure.agent.records import TASKS, field
from perdure.core.codec import pack
from perdure.core.values import take
from perdure.state.node import plain
from perdure.state.place import Place
from perdure.state.root import Root

HASH_BYTES = 4
"""Of a call's arguments, in its key: ids are of one kind already, or come again in other turns."""


def key_of(name: str, id_: str, arguments: Any) -> str:
    """What a tool call is known by: the tool, the provider's id, and a hash of the arguments."""
    packed = pack(take(arguments, ("arguments",)))
    return f"{name}/{id_}/{hashlib.blake2b(packed, digest_size=HASH_BYTES).hexdigest()}"


def recorded(node: Place, keys: Iterable[str]) -> dict[str, Any]:
    """By key, the results that the state which a container is in has of steps and effects.

    What a session that only explored took for a result is none.

    Raises:
        SectionNotLoaded: the tasks are not loaded, under asyncio.
    """
    wanted, root = set(keys), node._top()
    if not wanted or not isinstance(root, Root) or TASKS not in root:
        return {}
    tasks = root[TASKS]
    found: dict[str, Any] = {}
    for task in dict.values(tasks) if isinstance(tasks, dict) else ():
        steps = field(task, "steps", {})
        for key in wanted.intersection(steps):
            step = dict.__getitem__(steps, key)
            if field(step, "status") == status.DONE and not field(step, "stood_in", False):
                found[key] = plain(field(step, "result"))
    return found


def content_of(result: Any, part_types: frozenset[str]) -> Any:
    """What a tool gave, as the content of a result."""
    if isinstance(result, str):
        return result
    if isinstance(result, BaseException):
        return f"{type(result).__name__}: {result}"
    result = plain(take(result))
    if isinstance(result, list) and result:
        types = [part.get("type") if isinstance(part, dict) else None for part in result]
        if all(isinstance(each, str) and each in part_types for each in types):
            return result
    return json.dumps(result, ensure_ascii=False, default=_in_json)


def _in_json(value: Any) -> Any:
    return list(value) if isinstance(value, set | frozenset) else str(value)
