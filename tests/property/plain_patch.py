"""A reader of JSON Patch (RFC 6902) that knows nothing of how patches are made."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any


def patched(document: Any, patch: list[dict[str, Any]]) -> Any:
    """What RFC 6902 says a patch makes of a document."""
    root = {"": deepcopy(document)}
    for operation in json.loads(json.dumps(patch)):
        value = operation.get("value")
        if operation["op"] == "move":
            value = taken(root, operation["from"])
        holder, key = found(root, operation["path"])
        if operation["op"] in ("add", "move"):
            if isinstance(holder, list):
                assert 0 <= key <= len(holder)
                holder.insert(key, value)
            else:
                holder[key] = value
        elif operation["op"] == "replace":
            assert key in holder if isinstance(holder, dict) else 0 <= key < len(holder)
            holder[key] = value
        else:
            assert operation["op"] == "remove"
            taken(root, operation["path"])
    return root[""]


def taken(root: Any, pointer: str) -> Any:
    holder, key = found(root, pointer)
    return holder.pop(key)


def found(root: Any, pointer: str) -> tuple[Any, Any]:
    """The container in which a JSON Pointer ends, and the last part (RFC 6901)."""
    holder: Any = None
    key: Any = None
    value = root
    for part in pointer.split("/"):
        holder = value if holder is None else holder[key]
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(holder, list):
            assert part.isdecimal()
            assert part == str(int(part))
            key = int(part)
    return holder, key
