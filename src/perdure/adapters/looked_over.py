"""Secrets in what is about to move in, which are told before anything of it is written."""

from __future__ import annotations

from typing import Any

from perdure.adapters.moving import Unit
from perdure.core.paths import Path, format_path
from perdure.errors import SecretFound
from perdure.store import Store
from perdure.types import FoundSecret


class LookedOver:
    """Looks over all that moves in, if the store it moves to has a policy about secrets.

    Args:
        store: where to.

    Example:
        >>> looked = LookedOver(perdure.Store("memory:", secrets="refuse"))
        >>> thread = Unit("alice", "threads/alice", 1, "alice")
        >>> looked.over(thread, ("messages",), ["hello"])
        >>> looked.require_none(thread)
    """

    def __init__(self, store: Store) -> None:
        self._detector = None
        if (policy := store._secrets) is not None:
            from perdure.secrets.screen import detector_of

            self._detector = detector_of(policy)
        self._found: dict[Unit, dict[FoundSecret, str]] = {}

    def over(self, unit: Unit, path: Path, value: Any, at: str = "") -> None:
        """Look over a value, and take down what is found.

        Args:
            unit: what it is of.
            path: where it is to be in the state.
            value: as it is to be stored.
            at: which checkpoint it is of, for the message.
        """
        from perdure.secrets.walk import found_in, texts_in

        detector = self._detector
        if detector is None:
            return
        if not detector.has_own and not detector.is_suspect("\n".join(texts_in(value))):
            return
        found = self._found.setdefault(unit, {})
        path = tuple(detector.masked(part) if isinstance(part, str) else part for part in path)
        for where, kind in found_in(detector, value, path):
            found.setdefault(FoundSecret(unit.key, kind, where), at)

    def require_none(self, unit: Unit) -> None:
        """Refuse a unit if there is a secret anywhere in it.

        Where secrets are masked too: a marker is not what the source has.

        Args:
            unit: all of which was looked over.

        Raises:
            SecretFound: there is.
        """
        found = self._found.get(unit)
        if not found:
            return
        first, at = next(iter(found.items()))
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise SecretFound(
            f"{format_path(first.path)}{at} holds what looks like a secret: {first.kind}{more}. "
            "Nothing of it was written",
            found=[*found],
        )
