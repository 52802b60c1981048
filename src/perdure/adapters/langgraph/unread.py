"""What was done to channels past LangGraph that a run did not read, so that it must not put."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from perdure.adapters.langgraph.places import channel_of, is_put
from perdure.types import Checkpoint


def unread(
    records: Iterable[Checkpoint],
    read: str | None,
    channels: Collection[str],
    new: Collection[str] = (),
) -> tuple[list[str], str] | None:
    """The channels of the newest edit or merge that was not read, and which of both it was.

    Args:
        records: newest first; looked at down to what was read, or to what was put last.
        read: the record that was the newest when the checkpoint was read, if it was.
        channels: what a put would write or empty.
        new: those of them that have a value which no put gave them: it may be from before the last,
            which had nothing to do with it.
    """
    for each in records:
        if each.id == read:
            break
        if is_put(each):
            if not new:
                break
            channels = new
            continue
        changed = [name for name in each.sections if channel_of(name) in channels]
        if changed:
            return changed, "merged" if each.merged is not None else "edited"
    return None
