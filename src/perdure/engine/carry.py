"""Carrying a state into another one: the pages that stand in for a pruned past, and their twins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import UnsetType

from perdure.core.claims import claims_of, roots_of_claims
from perdure.core.head import Branch, Head, Unknown
from perdure.core.page import twin_of
from perdure.core.tree_read import PAGES_AT_ONCE, Reading, reachable
from perdure.engine.pages import put, walk
from perdure.engine.read import Site
from perdure.engine.requests import Held, ListHeld, Steps
from perdure.errors import Busy


def base_page_ids(site: Site, head: Head, tip: Branch) -> Steps[list[bytes]]:
    """The pages that stand in for what was pruned below a branch; none, if nothing was."""
    base = tip.base_tree
    if base is None:
        return []
    return sorted((yield from walk(site, head.incarnation, reachable([base.root]))))


def claim_page_ids(site: Site, head: Head) -> Steps[list[bytes]]:
    """The pages of a state's claims."""
    return sorted((yield from walk(site, head.incarnation, reachable(roots_of_claims(head)))))


def some_at_a_time(ids: list[bytes]) -> Iterator[tuple[bytes, ...]]:
    """As many as are read together."""
    for start in range(0, len(ids), PAGES_AT_ONCE):
        yield tuple(ids[start : start + PAGES_AT_ONCE])


def read_pages(site: Site, head: Head, ids: tuple[bytes, ...]) -> Steps[dict[bytes, bytes]]:
    """The payloads of pages, each from whichever copy can be used."""

    def reading() -> Reading[dict[bytes, bytes]]:
        return dict((yield ids))

    return (yield from walk(site, head.incarnation, reading()))


def put_twice(site: Site, incarnation: bytes, pages: Mapping[bytes, bytes]) -> Steps[None]:
    """Put pages of a state, and the twin of each."""
    twins = {twin_of(id_): payload for id_, payload in pages.items()}
    yield from put(site, incarnation, {**pages, **twins})


def carry(site: Site, head: Head, tip: Branch, target: Site, incarnation: bytes) -> Steps[None]:
    """Put what stands in for what was pruned below a branch, and the claims, into another life."""
    for some in some_at_a_time((yield from base_page_ids(site, head, tip))):
        yield from put_twice(target, incarnation, (yield from read_pages(site, head, some)))
    for some in some_at_a_time((yield from claim_page_ids(site, head))):
        yield from put(target, incarnation, (yield from read_pages(site, head, some)))


def require_staged(target: Site, incarnation: bytes, count: int) -> Steps[None]:
    """That all rows that were staged are there: a staging that took days counts as abandoned.

    Raises:
        Busy: some are not.
    """
    held: tuple[Held, ...] = yield ListHeld(incarnation, 1)
    lines = [each for each in held if each.incarnation == incarnation and each.line is not None]
    if sum(each.count for each in lines) != count:
        raise Busy(
            f"what was written for {target.key!r} was removed as abandoned before all of it was "
            "there; nothing was made, try again"
        )


def unknown_of_copy(source: Head) -> Unknown | UnsetType:
    """What a newer version wrote, but for what it says of branches and sessions of the source."""
    if not isinstance(source.unknown, Unknown):
        return source.unknown
    items = source.unknown.items
    claims = {(key, each.id) for key, each in claims_of(source).items()}
    return Unknown(source.unknown.keys, {at: items[at] for at in claims & items.keys()})
