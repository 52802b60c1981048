"""The changes that a session's commits make to a head, besides moving its branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from perdure.core.head import Head, Mark
from perdure.engine.bodies import Sent
from perdure.engine.marks import with_mark
from perdure.engine.read import Site
from perdure.engine.requests import Steps


def settling(
    site: Site, sent: Sent, change: Callable[[Head], Head]
) -> Steps[Callable[[Head], Head]]:
    """A change that records the outcomes of claims too."""
    from perdure.engine.claims import keeping, settled

    kept = yield from keeping(site, sent.settles, sent.base.head.fence)
    return lambda head: settled(sent.settles, kept, sent.sealed, change(head))


def leaving_open(session: bytes, change: Callable[[Head], Head]) -> Callable[[Head], Head]:
    """A change by which nobody is at the claims of a session any more: it ends."""
    from perdure.core.claims import left_open

    return lambda head: left_open(change(head), session)


class Unset:
    """The summary was not set by a save."""


UNSET = Unset()


def ending(
    mark: Mark | None, leasing: Callable[[Head], Head], fence: int
) -> Callable[[Head], Head]:
    """The change by which a session ends that read a head with this fence.

    Of one that was redacted since, what it says of the session stays: it may have named a branch by
    what was looked for.
    """

    def change(head: Head) -> Head:
        known = mark
        if mark is not None and head.fence != fence:
            own = (each.branch for each in head.marks if each.id == mark.id)
            known = next((replace(mark, branch=branch) for branch in own), None)
        return marking(known, leasing)(head)

    return change


def marking(
    mark: Mark | None,
    leasing: Callable[[Head], Head],
    *,
    told: Sequence[Mark] = (),
    summary: str | Unset | None = UNSET,
) -> Callable[[Head], Head]:
    """The change a session's commit makes to a head besides moving its branch."""

    def change(head: Head) -> Head:
        marked = leasing(with_mark(head, mark, told) if mark is not None else head)
        return marked if isinstance(summary, Unset) else replace(marked, summary=summary)

    return change
