"""How long to wait before a step is tried again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from perdure import limits
from perdure.errors import UsageError

Backoff: TypeAlias = float | Callable[..., float]
"""Seconds; or a function of how many times it was tried; or a `wait` strategy of tenacity."""


def pause(backoff: Backoff | None, tried: int) -> float:
    """How long to wait after that many tries (seconds).

    Args:
        backoff: as a user gives it; None: longer after each, with jitter, up to a limit.
        tried: how many times it was, since it was begun.

    Raises:
        UsageError: none is given, and tenacity is not installed.
    """
    if isinstance(backoff, int | float):
        return float(backoff)
    if backoff is None:
        return float(_exponential()(_tried(tried)))
    # Who gives a strategy of tenacity has imported it.
    tenacity: Any = sys.modules.get("tenacity")
    if tenacity is not None and isinstance(backoff, tenacity.wait.wait_base):
        return float(backoff(_tried(tried)))
    return float(backoff(tried))


def _exponential() -> Any:
    try:
        from tenacity import wait_exponential_jitter
    except ImportError:
        raise UsageError(
            "retries without backoff= take the library tenacity: pip install 'perdure[agent]', or "
            "give backoff= as seconds, or as a function of how many times it was tried"
        ) from None
    first, most = limits.step_backoff_first_s, limits.step_backoff_max_s
    return wait_exponential_jitter(initial=first, max=most, jitter=first)


def _tried(tried: int) -> Any:
    from tenacity import RetryCallState

    nobody: Any = None  # a strategy of waiting looks at nothing but the number
    state = RetryCallState(nobody, None, (), {})
    state.attempt_number = tried
    return state
