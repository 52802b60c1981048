"""Stored things as the plain data that users see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure.core import chain
from perdure.core.record import LABEL, MASKED, MERGED, METADATA, Record, Sealed
from perdure.core.values import take
from perdure.types import Checkpoint, FoundSecret

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def when(time_us: int) -> datetime:
    """Microseconds since 1970 as an aware datetime."""
    return _EPOCH + timedelta(microseconds=time_us)


def checkpoint_of(key: str, branch: str, record: Record, *, changes: bool = False) -> Checkpoint:
    """A record read back, as users see it."""
    return Checkpoint(
        key=key,
        branch=branch,
        number=record.number,
        id=record.id.hex(),
        time=when(record.time_us),
        session=record.session.hex(),
        hash=record.hash.hex(),
        label=record.extra.get(LABEL),
        metadata=take(record.extra.get(METADATA)),  # the record may be shared; this is the user's
        sections=record.sections(),
        changes=tuple(record.changes()) if changes else None,
        parent=record.parent.hex() if record.parent != chain.ORIGIN else None,
        merged=_merged(record.extra),
        masked=_masked(key, record.extra),
        redacted=record.is_redacted,
    )


def checkpoint_of_save(
    key: str,
    branch: str,
    sealed: Sealed,
    session: bytes,
    sections: Iterable[str],
    extra: Mapping[str, Any],
) -> Checkpoint:
    """A record just saved, as users see it."""
    return Checkpoint(
        key,
        branch,
        sealed.number,
        sealed.id.hex(),
        when(sealed.time_us),
        session.hex(),
        sealed.hash.hex(),
        extra.get(LABEL),
        extra.get(METADATA),
        tuple(sorted(sections)),
        parent=sealed.parent.hex() if sealed.parent != chain.ORIGIN else None,
        merged=_merged(extra) if extra else None,
    )


def _masked(key: str, extra: Mapping[str, Any]) -> tuple[FoundSecret, ...]:
    """Where secrets were masked before the record was saved."""
    told = extra.get(MASKED)
    if not told:
        return ()
    return tuple([FoundSecret(key, kind, tuple(path)) for kind, *path in told])


def _merged(extra: Mapping[str, Any]) -> str | None:
    """Id of the record that a merge took in."""
    merged = extra.get(MERGED)
    return merged[2].hex() if merged else None
