"""What to tell who asks for a state that is not there: which store it is, and keys much like it."""

from __future__ import annotations

from collections.abc import Iterator

from perdure import limits
from perdure.engine.read import Site
from perdure.engine.requests import HeadRow, ListHeads, Steps
from perdure.errors import PerdureError, StateNotFound


def told(error: StateNotFound, site: Site, store: str, *, deleted: bool) -> Steps[StateNotFound]:
    """The error with the store's name, and with keys that may have been meant.

    Args:
        error: as the engine raised it.
        site: where the state was looked for.
        store: what to call the store.
        deleted: whether a deleted state was asked for.
    """
    near = yield from _near(site, deleted)
    hint = f". Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return StateNotFound(f"{error}; the store is {store}{hint}")


def _near(site: Site, deleted: bool) -> Steps[list[str]]:
    """Keys of states that end with the one that was asked for, or read much like it.

    Of each part of the store, from the nearest on, only the first few keys are compared: an error
    must not cost more than what it reports.
    """
    from difflib import get_close_matches  # only who errs needs it

    for prefix in _parts(site.key):
        rows = yield ListHeads(prefix, None, limits.near_keys_max)
        heads = dict(rows)
        near = [key for key in heads if key.endswith(f"/{site.key}")][: limits.near_keys_named_max]
        near = near or get_close_matches(site.key, heads, limits.near_keys_named_max)
        near = [key for key in near if _is_there(Site(site.store, key), heads[key], deleted)]
        if near:
            return near
    return []


def _parts(key: str) -> Iterator[str]:
    """Beginnings that a key much like `key` may have, the longest first."""
    start = key.rfind("/") + 1
    yield key[: start + (len(key) - start + 1) // 2]
    yield key[:start]
    if start:
        yield ""


def _is_there(site: Site, row: HeadRow, deleted: bool) -> bool:
    try:
        return (site.head(row).deleted_us is not None) == deleted
    except PerdureError:
        return False  # what cannot be read is no way out
