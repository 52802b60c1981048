"""Pages of snapshots: read and verified for whoever walks a tree, and written ahead of a commit."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

from perdure import limits
from perdure.core.compress import PACK_LEVEL
from perdure.core.page import page_id, twin_of
from perdure.core.pieces import Pieces
from perdure.core.seal import KeyedStore, Kind, Place, seal, unseal
from perdure.core.tree_read import PAGES_AT_ONCE, Reading
from perdure.engine.read import Site
from perdure.engine.requests import LET_GO, PageRow, PutPages, ReadPages, Steps, Tell
from perdure.errors import Damaged, Tampered

T = TypeVar("T")


class PageMissing(Damaged):
    """A page is not there: it was collected since the head was read, or it is lost."""


class PageTaken(PageMissing, Tampered):
    """The same in a store with a key."""


def page_missing(site: Site, id_: bytes) -> PageMissing:
    """What is told of a page that should be there."""
    kind = PageTaken if type(site.store) is KeyedStore else PageMissing
    place = f"page {id_.hex()[:12]} of {site.key!r}"
    return kind(f"{place} is missing", form="missing", place=place)


def remedy(key: str) -> str:
    """What to do about a page of a state that cannot be used."""
    return f"`perdure maintain {shlex.quote(key)}` makes it anew"


def tell(site: Site, error: Damaged) -> Steps[None]:
    """Warn of a page that is damaged, where what it holds is read from elsewhere."""
    if not isinstance(error, PageMissing):  # that happens where maintenance came between
        yield Tell(
            f"{site.key!r} is read from older pages or its records, which takes longer: {error}; "
            f"{remedy(site.key)}"
        )


def walk(
    site: Site, incarnation: bytes, reading: Reading[T], known: Iterable[PageRow] = ()
) -> Steps[T]:
    """Let a tree be read, giving it the pages it asks for; `known` are here already.

    What is in the site's cache is not read again.

    Raises:
        PageMissing: one is not there.
        Damaged: one is not what was put there (P5).
    """
    rows = {row.id: row for row in known}
    payloads: dict[bytes, bytes] | None = None
    while True:
        try:
            ids = reading.send(payloads)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration as stop:
            result: T = stop.value
            return result
        if not ids:
            payloads = yield LET_GO
            continue
        payloads = _kept(site, incarnation, ids)
        missing = tuple(id_ for id_ in ids if id_ not in payloads and id_ not in rows)
        if missing:
            found: tuple[PageRow, ...] = yield ReadPages(incarnation, missing)
            rows.update((row.id, row) for row in found)
        for id_ in ids:
            if id_ not in payloads:
                try:
                    payloads[id_] = _open(site, incarnation, id_, rows)
                except Damaged as error:
                    payloads[id_] = yield from _of_twin(site, incarnation, id_, error)
        rows.clear()


def _of_twin(site: Site, incarnation: bytes, id_: bytes, error: Damaged) -> Steps[bytes]:
    """The payload of a page that cannot be used, from its second copy, where it has one."""
    twin = twin_of(id_)
    rows: tuple[PageRow, ...] = yield ReadPages(incarnation, (id_, twin))
    there = {row.id: row for row in rows}
    with suppress(Damaged):  # one that was collected may have been put anew, and its twin with it
        return _open(site, incarnation, id_, there)
    try:
        payload = _open(site, incarnation, twin, there)
    except Damaged:
        raise error from None
    yield Tell(f"{site.key!r} is read from second copies of pages: {error}; {remedy(site.key)}")
    return payload


def read_page(site: Site, incarnation: bytes, id_: bytes) -> Steps[bytes]:
    """The payload of one page.

    Raises:
        PageMissing: it is not there.
        Damaged: it is not what was put there (P5).
    """
    rows: tuple[PageRow, ...] = yield ReadPages(incarnation, (id_,))
    return _open(site, incarnation, id_, {row.id: row for row in rows})


def unusable(
    site: Site, incarnation: bytes, ids: Iterable[bytes], secret: bytes | None = None
) -> Steps[set[bytes]]:
    """Those of these pages that are damaged or missing; each is read and verified (P5).

    With the state's `secret`, also those that do not hold what their ids say: for pages of trees.
    What was put and never committed may be of a secret that nobody has any more.

    Raises:
        NewerFormat: one was written by a newer version.
    """
    left, found = sorted(ids), set[bytes]()
    for start in range(0, len(left), PAGES_AT_ONCE):
        some = tuple(left[start : start + PAGES_AT_ONCE])
        rows: tuple[PageRow, ...] = yield ReadPages(incarnation, some)
        there = {row.id: row for row in rows}
        for id_ in some:
            try:
                payload = _open(site, incarnation, id_, there)
            except Damaged:
                found.add(id_)
            else:
                if secret is not None and not holds_what_its_id_says(id_, payload, secret):
                    found.add(id_)
            yield LET_GO
    return found


def _kept(site: Site, incarnation: bytes, ids: Iterable[bytes]) -> dict[bytes, bytes]:
    """The payloads that are in the cache. A page never changes, so they are what is stored."""
    if site.cache is None:
        return {}
    found = ((id_, site.kept((incarnation, id_))) for id_ in ids)
    return {id_: payload for id_, payload in found if payload is not None}


def _open(site: Site, incarnation: bytes, id_: bytes, rows: Mapping[bytes, PageRow]) -> bytes:
    row = rows.get(id_)
    if row is None:
        raise page_missing(site, id_)
    place = place_of(site, incarnation, id_)
    payload = unseal(Kind.PAGE, place, row.blob, limits.page_payload_bytes_max)
    site.keep((incarnation, id_), payload, len(payload) + limits.cache_item_bytes)
    return payload


def in_pieces(pieces: Pieces[T]) -> Steps[T]:
    """What they compute, letting others have a turn between them."""
    while True:
        try:
            next(pieces)
        except StopIteration as stop:
            result: T = stop.value
            return result
        yield LET_GO


def put(site: Site, incarnation: bytes, pages: Mapping[bytes, bytes]) -> Steps[None]:
    """Store pages, a bounded number at once; nobody sees them before a head leads to them."""
    batch: list[PageRow] = []
    size = 0
    for id_, payload in pages.items():
        blob = seal(Kind.PAGE, place_of(site, incarnation, id_), payload, level=PACK_LEVEL)
        if batch and size + len(blob) > limits.put_bytes_max:
            yield PutPages(incarnation, tuple(batch))
            batch, size = [], 0
        batch.append(PageRow(id_, blob))
        size += len(blob)
        yield LET_GO
    if batch:
        yield PutPages(incarnation, tuple(batch))


def holds_what_its_id_says(id_: bytes, payload: bytes, secret: bytes) -> bool:
    """Whether a page, or the second copy of one, is that of its id.

    Its seal says that these are the bytes that were put there; this, that they belong there.
    """
    found = page_id(payload, secret)
    return id_ in (found, twin_of(found))


def place_of(site: Site, incarnation: bytes, id_: bytes) -> Place:
    """Where a page belongs: the bytes it is sealed with."""
    return Place(site.store, incarnation, page=id_)
