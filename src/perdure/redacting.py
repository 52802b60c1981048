"""What `Store` and `AsyncStore` do to take a value out of history: one method, awaited or not."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from perdure import limits
from perdure.errors import Retryable, UsageError
from perdure.events import log
from perdure.reports import Redaction
from perdure.store_base import StoreBase
from perdure.upkeep import breaks


class _Redacting(StoreBase, is_part=True):
    """What both do."""

    if TYPE_CHECKING:
        _upkeep: Any

    def _redact(
        self,
        key: str,
        path: str | tuple[str | int, ...] | None,
        match: str | re.Pattern[str] | None,
        reason: str | None,
        dry_run: bool,
        pausing: Callable[[], None] | None = None,
    ) -> Redaction:
        from perdure.core.redaction import wanted  # few programs redact
        from perdure.engine.maintain import maintain
        from perdure.engine.redact import redact

        what = wanted(path, match)
        work = partial(redact, wanted=what, reason=_checked_reason(reason), dry_run=dry_run)
        if dry_run:
            return self._driver.run(self._asking(work, key), makes=False, pausing=pausing)
        if self._upkeep is not None:
            self._upkeep.leave(key)
        told = self._driver.run(self._asking(work, key), makes=False, pausing=pausing)
        if self._driver.cache is not None:
            self._driver.cache.clear()
        if told.receipt is not None:
            log.info("%r: %s", key, told.summary())
            # The snapshots that were let go are made anew, so that opening stays as it was.
            self._driver.run(self._about(maintain, key), makes=False, pausing=pausing)
        problem = self._wipe()
        return told if problem is None else replace(told, warnings=(*told.warnings, problem))

    def _wipe(self) -> str | None:
        """Leave nothing in the store's files of what was replaced; why something may be left."""
        wipe: Any = getattr(self._driver.backend, "wipe", None)
        try:
            if wipe is not None:
                wipe()
        except Retryable as error:  # it is redacted: only free space in the files may have it
            return (
                f"the store's files could not be written anew ({error}): store.compact() ends that"
            )
        return None


def _checked_reason(reason: Any) -> str | None:
    if reason is None:
        return None
    if not isinstance(reason, str) or len(reason) > limits.label_chars_max:
        raise UsageError(f"a reason is a text of at most {limits.label_chars_max} characters")
    try:
        reason.encode()
    except UnicodeEncodeError:
        raise UsageError("a reason is a text without lone surrogates") from None
    return reason


class Redacting(_Redacting, is_part=True):
    """Taking a value out of all of a state's history."""

    def redact(
        self,
        key: str,
        path: str | tuple[str | int, ...] | None = None,
        *,
        match: str | re.Pattern[str] | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> Redaction:
        """Take a value out of every checkpoint of a state, for good; the chain still verifies.

        Where it stood there is `"[redacted]"` then: in every checkpoint of every branch, and in
        what branches left. Numbers, ids, times and hashes stay, everything else reads as before,
        and the receipt is a movement of the journal, which never says what was taken away. Nothing
        takes it back. It is one commit: a kill leaves all as it was, or all done. Sessions that are
        open get `Redacted` when they save, as what they read may have it still. Then the files are
        written anew, which takes as long as they are large; backups, exports and copies made
        before have it still, and so may an earlier life of the key.

        Args:
            key: the state's key.
            path: where: whatever ever stood at this path becomes one `"[redacted]"`. `*` stands for
                any part, `messages/*/content`; positions in lists are written so.
            match: what: each occurrence of a text, or of what a pattern finds, in texts, bytes and
                keys. Without a path in all of the state, and in labels, metadata, summaries, errors
                of sessions, results of effects and names of branches that are no more.
                Numbers are redacted by their paths only.
            reason: why, kept in the receipt, where `movements` tells it.
            dry_run: change nothing; say what would be.

        Returns:
            How many checkpoints and values it was, by section; in `warnings`, what has it and keeps
            it.

        Raises:
            StateNotFound: there is no such state.
            UsageError: neither `path` nor `match`; a part of the path is a position in a list;
                or `match` finds everything.
            Damaged: something of the state cannot be read; nothing was changed.
            Busy: others saved to it again and again meanwhile; nothing was changed.

        Example:
            >>> store.redact("support/alice", "profile/email", reason="GDPR request 12").summary()
            'redacted 3 values in 3 checkpoints'
            >>> store.redact("support/alice", match="alice@example.com", dry_run=True).sections
            {'messages': 9}
        """
        return self._redact(key, path, match, reason, dry_run)


class AsyncRedacting(_Redacting, is_part=True):
    """Taking a value out of all of a state's history."""

    async def redact(
        self,
        key: str,
        path: str | tuple[str | int, ...] | None = None,
        *,
        match: str | re.Pattern[str] | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> Redaction:
        """Take a value out of every checkpoint of a state, for good; the chain still verifies.

        Where it stood there is `"[redacted]"` then: in every checkpoint of every branch, and in
        what branches left. Numbers, ids, times and hashes stay, everything else reads as before,
        and the receipt is a movement of the journal, which never says what was taken away. Nothing
        takes it back. It is one commit: a kill leaves all as it was, or all done. Sessions that are
        open get `Redacted` when they save, as what they read may have it still. Then the files are
        written anew, which takes as long as they are large; backups, exports and copies made
        before have it still, and so may an earlier life of the key.

        Args:
            key: the state's key.
            path: where: whatever ever stood at this path becomes one `"[redacted]"`. `*` stands for
                any part, `messages/*/content`; positions in lists are written so.
            match: what: each occurrence of a text, or of what a pattern finds, in texts, bytes and
                keys. Without a path in all of the state, and in labels, metadata, summaries, errors
                of sessions, results of effects and names of branches that are no more.
                Numbers are redacted by their paths only.
            reason: why, kept in the receipt, where `movements` tells it.
            dry_run: change nothing; say what would be.

        Returns:
            How many checkpoints and values it was, by section; in `warnings`, what has it and keeps
            it.

        Raises:
            StateNotFound: there is no such state.
            UsageError: neither `path` nor `match`; a part of the path is a position in a list;
                or `match` finds everything.
            Damaged: something of the state cannot be read; nothing was changed.
            Busy: others saved to it again and again meanwhile; nothing was changed.

        Example:
            >>> store.redact("support/alice", "profile/email", reason="GDPR request 12").summary()
            'redacted 3 values in 3 checkpoints'
            >>> store.redact("support/alice", match="alice@example.com", dry_run=True).sections
            {'messages': 9}
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._redact, key, path, match, reason, dry_run, breaks())
