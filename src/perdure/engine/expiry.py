"""States that expire: some time after they were last saved to, they are to be deleted."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from perdure import limits
from perdure.core.head import Head
from perdure.engine.leases import infos_of
from perdure.engine.read import Site
from perdure.engine.requests import HeadRow, ListHeads, Now, Steps
from perdure.engine.save import HeadMoved, Position, commit
from perdure.engine.states import info_of
from perdure.errors import Busy, CommitUnknown, Damaged, KeyMissing, NewerFormat
from perdure.types import StateInfo


class _SavedMeanwhile(Exception):
    """A state that had expired was saved to, or held, before it was deleted."""


def expiring(change: Callable[[Head], Head], expires_us: int | None) -> Callable[[Head], Head]:
    """The change of a head that a save makes, and with it when the state expires.

    Args:
        change: what else there is.
        expires_us: how long after a save (microseconds); 0: never; None: that stays as it is.
    """
    if expires_us is None:
        return change
    return lambda head: replace(change(head), expires_us=expires_us or None)


def is_expired(head: Head, now_us: int) -> bool:
    """Whether a state is alive and should not be."""
    return (
        head.deleted_us is None
        and head.expires_us is not None
        and head.updated_us + head.expires_us <= now_us
    )


def sweep(store: bytes, *, dry_run: bool) -> Steps[list[StateInfo]]:
    """Delete every state that has expired, which hides it (P7); those that were, or would be.

    One whose head cannot be read is left alone, and hides no other.
    """
    now = yield Now()
    swept: list[StateInfo] = []
    after: str | None = None
    while True:
        rows: tuple[tuple[str, HeadRow], ...] = yield ListHeads("", after, limits.heads_listed_max)
        for key, row in rows:
            info = yield from _swept(Site(store, key), row, now, dry_run)
            swept += [info] if info is not None else []
        if len(rows) < limits.heads_listed_max:
            return swept
        after = rows[-1][0]


def _swept(site: Site, row: HeadRow, now_us: int, dry_run: bool) -> Steps[StateInfo | None]:
    """One state that was deleted, or would be; None: it stays."""
    try:
        head = site.head(row)
    except (Damaged, NewerFormat, KeyMissing):
        return None
    if not is_expired(head, now_us) or (yield from _is_held(head, now_us)):
        return None
    if dry_run:
        return (yield from info_of(site.key, head, now_us))

    def hidden(now: Head) -> Head:
        # Another branch was saved to, or a session came to hold one.
        if not is_expired(now, now_us) or now.leases != head.leases:
            raise _SavedMeanwhile
        return replace(now, deleted_us=now_us)

    try:
        position = yield from commit(site, Position(head, row.token), hidden)
    except (HeadMoved, Busy, CommitUnknown, _SavedMeanwhile):
        return None
    return (yield from info_of(site.key, position.head, now_us))


def _is_held(head: Head, now_us: int) -> Steps[bool]:
    """Whether a living session holds a branch: it is at work, though it did not save for long."""
    return any(lease.alive for lease in (yield from infos_of(head, now_us)))
