"""Where things of LangGraph are in a store: keys of states, names of sections, times of ids."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote, unquote
from uuid import UUID

CHECKPOINT, PENDING, LATE = "langgraph", "langgraph.pending", "langgraph.late"
"""The sections besides the channels: what a checkpoint says of itself; the writes that came after
it, until the next; those that came for another than the newest, by its id."""

MERGING: dict[str, Literal["ours"]] = {
    "langgraph/**": "ours",
    "langgraph.pending/**": "ours",
    "langgraph.late/**": "ours",
}
"""What `Store.merge` of a fork of a thread does where both say which checkpoint they are at: the
thread stays at its own, with the channels of both. A conflict in a channel is still told."""

_OWN = "langgraph"
_CHANNEL = "langgraph.channel."

MARK = "__perdure__"
"""What `get_tuple` puts into `configurable`; LangGraph keeps no name with underscores as metadata.
Its value says how the checkpoint was come by: `LATEST`, or `CHOSEN` by its id."""

LATEST, CHOSEN = "latest", "chosen"

_BETWEEN = "#"
_EPOCH = datetime(1582, 10, 15, tzinfo=UTC)


def key_of(prefix: str, thread_id: str, namespace: str) -> str:
    """The key of the state that a thread is kept in, of one namespace of it.

    Example:
        >>> key_of("threads/", "alice", ""), key_of("threads/", "a#1", "tools:7c9e")
        ('threads/alice', 'threads/a%231#tools:7c9e')
    """
    key = prefix + thread_id.replace("%", "%25").replace(_BETWEEN, quote(_BETWEEN))
    return f"{key}{_BETWEEN}{namespace}" if namespace else key


def place_of(prefix: str, key: str) -> tuple[str, str]:
    """The thread and the namespace that a key stands for."""
    thread_id, _, namespace = key.removeprefix(prefix).partition(_BETWEEN)
    return unquote(thread_id), namespace


def namespaces_of(root: str) -> str:
    """What the keys of a thread's namespaces begin with; `root` is the thread's."""
    return root + _BETWEEN


def is_of_thread(root: str, key: str) -> bool:
    """Whether a key is that of a thread, or of one of its namespaces; `root` is the thread's."""
    return key == root or key.startswith(namespaces_of(root))


def section_of(channel: str) -> str:
    """The section that a channel is kept in; its own name, unless that is taken."""
    is_taken = channel.startswith((_OWN, "perdure.")) or not channel
    return _CHANNEL + channel if is_taken else channel


def channel_of(section: str) -> str | None:
    """The channel that a section holds; None: it holds none."""
    if section.startswith(_CHANNEL):
        return section.removeprefix(_CHANNEL)
    return None if section.startswith((_OWN, "perdure.")) else section


def time_of(checkpoint_id: str) -> datetime | None:
    """When a checkpoint was made, by its id; None: that does not tell."""
    try:
        number = UUID(checkpoint_id)
    except ValueError:
        return None
    if number.version != 6:
        return None
    ticks = (number.int >> 80) << 12 | (number.int >> 64) & 0xFFF
    return _EPOCH + timedelta(microseconds=ticks // 10)


def configurable(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What a config says of where to read or write."""
    found: Mapping[str, Any] = (config or {}).get("configurable") or {}
    return found
