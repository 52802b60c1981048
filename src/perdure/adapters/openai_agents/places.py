"""Where a conversation of the OpenAI Agents SDK is in a store: its key, and names of sections."""

from __future__ import annotations

from perdure.naming import key

MESSAGES = "messages"
"""The items of the conversation, as the SDK gave them."""
RUNS = "runs"
"""Runs that wait, by name: each its calls that wait, and what the SDK says of it."""
UNDERWAY = "underway"
"""The calls that a run is making, with the outcomes that are known."""
COMPACTED = "compacted"
"""What compactions took out of `messages`, newest last: how many turns, and where they are."""


def key_of(prefix: str, session_id: str) -> str:
    """The key of the state that a conversation is kept in. Other ids have other keys.

    Args:
        prefix: what it begins with.
        session_id: what the SDK calls the conversation.

    Raises:
        InvalidKey: the id is empty, or too long.

    Example:
        >>> key_of("sessions/", "alice/7"), key_of("sessions/", "../bob")
        ('sessions/alice/7', 'sessions/..%2Fbob')
    """
    parts = session_id.split("/")
    if not all(part not in ("", ".", "..") for part in parts):
        parts = [session_id]
    return prefix + key(*parts)
