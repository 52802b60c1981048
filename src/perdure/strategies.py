"""The strategies that a session or a call of `merge` is given: whether they are any."""

from __future__ import annotations

from typing import Any

from perdure.errors import UsageError
from perdure.types import Strategies


def checked(strategies: Strategies | None, *, merges: bool = True) -> dict[Any, Any]:
    """A copy of the strategies that were given; empty where none were.

    Args:
        strategies: as `Store.merge` takes them.
        merges: whether what they are for merges at all.

    Raises:
        UsageError: they are no mapping, there is no such strategy or pattern, or nothing merges.
    """
    if strategies is None:
        return {}
    from perdure.core.merge_rules import Rules  # only who merges needs it

    Rules(strategies)
    if strategies and not merges:
        raise UsageError('strategies are those of a session that merges: on_conflict="merge"')
    return dict(strategies)
