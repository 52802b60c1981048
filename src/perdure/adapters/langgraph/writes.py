"""The writes of tasks, as they are kept beside the checkpoint they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from langgraph.checkpoint.base import WRITES_IDX_MAP, PendingWrite, writes_sort_key

from perdure.adapters.langgraph.coding import Coder
from perdure.adapters.langgraph.places import PENDING
from perdure.core.changes import Change, Set, Splice

Entry: TypeAlias = Mapping[str, Any]
"""One write: `task`, `path`, `idx`, `channel` and `value`, as they are stored."""


def entries_of(
    coder: Coder, writes: Sequence[tuple[str, Any]], task_id: str, path: str
) -> list[Entry]:
    """Writes as they are stored. Those to special channels have numbers of their own."""
    return [
        {
            "task": task_id,
            "path": path,
            "idx": WRITES_IDX_MAP.get(channel, at),
            "channel": channel,
            "value": coder.encode(value),
        }
        for at, (channel, value) in enumerate(writes)
    ]


def added(stored: Any, entries: Sequence[Entry]) -> bool:
    """Add writes to a tracked list, each once; a special one takes the earlier one's place.

    Returns:
        Whether there was anything to add.
    """
    places = {(each["task"], each["idx"]): at for at, each in enumerate(stored)}
    new = []
    for entry in entries:
        at = places.get((entry["task"], entry["idx"]))
        if at is None:
            new.append(entry)
        elif entry["idx"] < 0:
            stored[at] = entry
    stored.extend(new)
    return bool(new) or any(entry["idx"] < 0 for entry in entries)


def joined(pending: Iterable[Entry], late: Iterable[Entry]) -> list[Entry]:
    """All writes of a checkpoint, in the order in which a run applies them."""
    found = {(each["task"], each["idx"]): each for each in pending}
    for each in late:
        if each["idx"] < 0:
            found[each["task"], each["idx"]] = each
        else:
            found.setdefault((each["task"], each["idx"]), each)
    return sorted(
        found.values(), key=lambda each: writes_sort_key(each["path"], each["task"], each["idx"])
    )


def decoded(coder: Coder, entries: Iterable[Entry]) -> list[PendingWrite]:
    """Writes as LangGraph has them."""
    return [(each["task"], each["channel"], coder.decode(each["value"])) for each in entries]


def replayed(entries: list[Entry], changes: Iterable[Change]) -> None:
    """Make the changes of one record to the pending writes, in place; others are passed over."""
    for change in changes:
        if change.path[0] != PENDING:
            continue
        if isinstance(change, Set) and len(change.path) == 1:
            entries[:] = change.value
        elif isinstance(change, Set) and isinstance(change.path[1], int):
            entries[change.path[1]] = change.value
        elif isinstance(change, Splice) and isinstance(change.items, list):
            entries[change.start : change.start + change.removed] = change.items
        else:
            entries.clear()
