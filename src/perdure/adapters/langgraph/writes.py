"""The writes of tasks, as they are kept beside the checkpoint they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from langgraph.checkpoint.base import WRITES_IDX_MAP, PendingWrite, writes_sort_key
from langgraph.checkpoint.serde.types import INTERRUPT

from perdure.adapters.langgraph.coding import Coder
from perdure.adapters.langgraph.places import PENDING
from perdure.core.changes import Change, Set, Splice

Entry: TypeAlias = Mapping[str, Any]
"""One write: `checkpoint`, `task`, `path`, `idx`, `channel` and `value`, as they are stored."""

ASKS = "asks"
"""Where the write of interrupts has the ids of the questions that they are told as."""


def entries_of(
    coder: Coder, checkpoint_id: str, writes: Sequence[tuple[str, Any]], task_id: str, path: str
) -> list[Entry]:
    """Writes as they are stored. Those to special channels have numbers of their own."""
    return [
        entry_of(
            coder, checkpoint_id, (task_id, path, WRITES_IDX_MAP.get(channel, at)), channel, value
        )
        for at, (channel, value) in enumerate(writes)
    ]


def entry_of(
    coder: Coder, checkpoint_id: str, place: tuple[str, str, int], channel: str, value: Any
) -> Entry:
    """One write as it is stored; `place` is its task, the path of that, and its number."""
    task_id, path, idx = place
    entry = {
        "checkpoint": checkpoint_id,
        "task": task_id,
        "path": path,
        "idx": idx,
        "channel": channel,
        "value": coder.encode(value),
    }
    if channel == INTERRUPT:
        entry[ASKS] = [id_ for id_, _ in interrupts_in(value)]
    return entry


def interrupts_in(value: Any) -> list[tuple[str, Any]]:
    """The interrupts that were written together: ids of their questions, and what they ask."""
    interrupts = value if isinstance(value, list | tuple) else (value,)
    return [
        (f"interrupt {getattr(each, 'id', at)}", getattr(each, "value", each))
        for at, each in enumerate(interrupts)
    ]


def added(stored: Any, entries: Sequence[Entry]) -> bool:
    """Add writes to a tracked list, each once; a special one takes the earlier one's place.

    Returns:
        Whether there was anything to add.
    """
    places = {_place(each): at for at, each in enumerate(stored)}
    new = []
    for entry in entries:
        at = places.get(_place(entry))
        if at is None:
            new.append(entry)
        elif entry["idx"] < 0:
            stored[at] = entry
    stored.extend(new)
    return bool(new) or any(entry["idx"] < 0 for entry in entries)


def joined(entries: Iterable[Entry], checkpoint_id: str) -> list[Entry]:
    """The writes of one checkpoint among these, each once, in the order in which a run has them.

    Args:
        entries: those that came first go first; special ones of a task give way to later ones.
        checkpoint_id: the checkpoint's.
    """
    found: dict[tuple[str, str, int], Entry] = {}
    for each in entries:
        if each["checkpoint"] == checkpoint_id and (each["idx"] < 0 or _place(each) not in found):
            found[_place(each)] = each
    return sorted(
        found.values(), key=lambda each: writes_sort_key(each["path"], each["task"], each["idx"])
    )


def _place(entry: Entry) -> tuple[str, str, int]:
    """What no two writes have in common."""
    return entry["checkpoint"], entry["task"], entry["idx"]


def decoded(coder: Coder, entries: Iterable[Entry]) -> list[PendingWrite]:
    """Writes as LangGraph has them."""
    return [(each["task"], each["channel"], coder.decode(each["value"])) for each in entries]


def named(changes: Iterable[Change]) -> list[Entry]:
    """The writes that the changes of one record put among the pending ones, in order."""
    found: list[Entry] = []
    for change in changes:
        if change.path[0] != PENDING:
            continue
        if isinstance(change, Set):
            found += change.value if len(change.path) == 1 else [change.value]
        elif isinstance(change, Splice) and isinstance(change.items, list):
            found += change.items
    return found
