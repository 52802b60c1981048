"""What a store does about secrets: `Store(secrets=…)`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

import msgspec

from perdure.errors import UsageError

Action: TypeAlias = Literal["refuse", "mask"]


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken for a secret, and what is done about one.

    Example:
        >>> policy = perdure.Secrets(
        ...     action="mask",
        ...     patterns={"Order Token": "ot_[a-z0-9]{20}"},
        ...     allow=["AKIAIOSFODNN7EXAMPLE"],
        ... )
        >>> store = perdure.Store("agents.db", secrets=policy)
    """

    action: Action = "refuse"
    """`"refuse"` the save (`SecretFound`), or `"mask"` the value in the live state."""
    patterns: Mapping[str, str] = {}
    """Regular expressions of your own, by the kind of secret that each finds."""
    allow: tuple[str, ...] = ()
    """Regular expressions of what is no secret, though it looks like one; whole texts."""
    plugins: tuple[str, ...] = ()
    """Further plugins of detect-secrets, by class: `"KeywordDetector"`, which takes much for a
    secret that is none."""
    builtin: bool = True
    """Whether the patterns of detect-secrets are used, and ours; without them, only yours are."""


def checked(secrets: Any) -> Secrets | None:
    """The policy that a store was given.

    Raises:
        UsageError: it is none, or the library that it needs is not installed.
    """
    if secrets is None:
        return None
    if isinstance(secrets, str):
        if secrets not in ("refuse", "mask"):
            raise UsageError(
                f'secrets is "refuse", "mask", None or a perdure.Secrets, not {secrets!r}'
            )
        return require_library(Secrets(action="refuse" if secrets == "refuse" else "mask"))
    if not isinstance(secrets, Secrets):
        raise UsageError(f'secrets is "refuse", "mask", None or a perdure.Secrets, not {secrets!r}')
    if secrets.action not in ("refuse", "mask"):
        raise UsageError(f'Secrets(action=…) is "refuse" or "mask", not {secrets.action!r}')
    given: Any = secrets
    if isinstance(given.allow, str) or isinstance(given.plugins, str):
        raise UsageError("Secrets(allow=…, plugins=…) are lists of texts")
    if not isinstance(given.patterns, Mapping):
        raise UsageError("Secrets(patterns=…) is a mapping from kinds to regular expressions")
    for each in (*secrets.patterns.values(), *secrets.allow):
        compiled(each)
    for kind, each in secrets.patterns.items():
        if re.compile(each).search("") is not None:
            raise UsageError(f"the pattern for {kind!r} finds the empty text: {each!r}")
    return require_library(secrets)


def compiled(pattern: Any) -> re.Pattern[str]:
    """A regular expression of the user's.

    Raises:
        UsageError: it is none.
    """
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise UsageError(f"{pattern!r} is no regular expression: {error}") from error


def require_library(secrets: Secrets) -> Secrets:
    """The policy, if the library that it needs is there.

    Raises:
        UsageError: it is not.
    """
    if (secrets.builtin or secrets.plugins) and find_spec("detect_secrets") is None:
        raise UsageError(
            "secrets are found by the library detect-secrets: pip install 'perdure[secrets]' (in a "
            "clone: pip install '.[secrets]'), or give patterns of your own alone: "
            "perdure.Secrets(builtin=False, patterns={…})"
        )
    return secrets
