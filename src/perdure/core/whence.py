"""Where a row that does not fit its place comes from, for whoever is told of it (P5)."""

from __future__ import annotations

from msgspec.structs import replace

from perdure import limits
from perdure.core.seal import Kind, Place, damaged, unseal
from perdure.errors import Damaged, PerdureError


def told_whence(error: Damaged, kind: Kind, place: Place, blob: bytes) -> Damaged:
    """`error` of a record or pack, or a better one: another place of its line is where it belongs.

    Places near by are tried, a bounded number; a large blob is not tried at all.
    """
    if error.form != "content" or len(blob) > limits.whence_bytes_max:
        return error
    for far in range(1, limits.whence_places_max + 1):
        for number in (place.number - far, place.number + far):
            if number > 0 and _belongs(kind, replace(place, number=number), blob):
                what = f"{place}: what is there is record {number}; it was moved or put back"
                return damaged(place.store, what, "moved", place)
    return error


def _belongs(kind: Kind, place: Place, blob: bytes) -> bool:
    try:
        unseal(kind, place, blob, limits.pack_payload_bytes_max)
    except PerdureError:
        return False
    return True
