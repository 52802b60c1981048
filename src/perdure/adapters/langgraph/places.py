"""Where things of LangGraph are in a state: names of sections, times of ids."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from perdure.types import Checkpoint

CHECKPOINT, PENDING, LATE = "langgraph", "langgraph.pending", "langgraph.late"
"""The sections besides the channels: what a checkpoint says of itself; the writes that came after
it, until the next; those that came for another than the newest, by its id."""

_OWN = "langgraph"
_CHANNEL = "langgraph.channel."

MARK = "__perdure__"
"""What `get_tuple` puts into `configurable`; LangGraph keeps no name with underscores as metadata.
Its value says how the checkpoint was come by, `LATEST` or `CHOSEN` by its id, and which record was
the newest in it then: what came after that was not read."""

LATEST, CHOSEN = "latest", "chosen"

_EPOCH = datetime(1582, 10, 15, tzinfo=UTC)


UNVERSIONED = "unversioned"
"""In what a checkpoint says of itself: its channels that have a value and no version, if any."""


METADATA = "metadata"
"""In the same: what LangGraph said of it. It is in the record too, by which checkpoints are listed;
but that record may be pruned while later ones of the checkpoint stay."""


def channels_in(told: Mapping[str, Any]) -> set[str]:
    """The channels of a checkpoint, by what it says of itself: other sections are not LangGraph's.

    Args:
        told: the section `CHECKPOINT`; empty where there is none yet.
    """
    return {*told.get("channel_versions", ()), *told.get(UNVERSIONED, ())}


def is_put(record: Checkpoint) -> bool:
    """Whether a record saves a checkpoint; others are of tasks, or were made past LangGraph."""
    return "langgraph" in (record.metadata or ())


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
