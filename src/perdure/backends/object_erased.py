"""Erasing in an object store: receipts as objects, and removing what they are about.

A receipt is put before anything is removed, and from then on decides: no reader takes a head object
for there whose incarnation has one, and who stores something of the incarnation looks for one
before and again afterwards, and removes what was put. So whatever a crash leaves is never seen, and
goes with the next `Discard`.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from perdure.backends.bucket import (
    Bucket,
    HeadObject,
    erased_name,
    head_name,
    key_name,
    page_name,
    segment_name,
    staged_name,
    staging_name,
)
from perdure.backends.lines import was_erased
from perdure.engine.requests import (
    Answer,
    Committed,
    Erase,
    ErasedRow,
    ListErased,
    Moved,
    ReadErased,
)


def is_erased(bucket: Bucket, incarnation: bytes) -> bool:
    """Whether an incarnation has a receipt."""
    return bucket.get(erased_name(incarnation)) is not None


def require_unerased(bucket: Bucket, incarnation: bytes) -> None:
    """Raise `Erased` for an incarnation that has a receipt."""
    for row in read_erased(bucket, ReadErased((incarnation,))):
        raise was_erased(incarnation, row.at_us)


def undo_unless(bucket: Bucket, incarnation: bytes, key: str | None = None) -> None:
    """Remove what was put, and raise `Erased`, if the incarnation was erased meanwhile.

    With a key, its head object goes too, if it is of that incarnation.
    """
    if not is_erased(bucket, incarnation):
        return
    if key is not None:
        _drop_head(bucket, key, {incarnation})
    remove(bucket, incarnation)
    require_unerased(bucket, incarnation)


def erase(bucket: Bucket, request: Erase) -> Answer:
    """Answer an `Erase`."""
    name = head_name(request.key)
    found = bucket.get(name)
    head = HeadObject.decoded(found[1]) if found else None
    if head is not None and is_erased(bucket, head.incarnation):
        head = None
    if head is None or head.token != request.expect:
        return Moved(head.row if head else None)
    gone = {each.incarnation for each in request.receipts}
    # Last that of the life that the head object is of: with it the key is gone, and all have one.
    for each in sorted(request.receipts, key=lambda row: row.incarnation == head.incarnation):
        data = msgspec.msgpack.encode([each.at_us, each.blob])
        bucket.put(erased_name(each.incarnation), data)
    if request.head is None or request.tail is None:
        _drop_head(bucket, request.key, gone)
    elif not _swap(bucket, request, found[0] if found else 0, head, gone):
        present = bucket.get(name)
        return Moved(HeadObject.decoded(present[1]).row if present else None)
    for incarnation in gone:
        remove(bucket, incarnation)
    return Committed()


def _drop_head(bucket: Bucket, key: str, gone: set[bytes]) -> None:
    """Remove the head object of a key, if it is of one of these incarnations."""
    name = head_name(key)
    while (found := bucket.get(name)) and HeadObject.decoded(found[1]).incarnation in gone:
        bucket.delete(name, version=found[0])


def _swap(bucket: Bucket, request: Erase, version: int, old: HeadObject, gone: set[bytes]) -> bool:
    """Put the head of the lives that stay in the place of the other."""
    assert request.head is not None
    assert request.tail is not None
    tail = request.tail
    new = HeadObject(
        bytes(request.head.token),
        bytes(request.head.blob),
        bytes(tail.incarnation),
        tail.line,
        tail.after,
        tail.page,
        [each for each in old.lives if each not in gone],
        [row for row in old.inline if row.incarnation not in gone],
        [each for each in old.segments if each.incarnation not in gone],
    )
    return bucket.put(head_name(request.key), msgspec.msgpack.encode(new), version=version)


def left(bucket: Bucket) -> set[bytes]:
    """The erased incarnations of which there is more than the receipt."""
    prefix = erased_name(b"")
    erased = {bytes.fromhex(name[len(prefix) :]) for name in bucket.names(prefix)}
    kinds = ("page/", "staged/", "staging/", "segment/", "key/")
    names = [name for kind in kinds for name in bucket.names(kind)]
    found = {bytes.fromhex(name.split("/")[1]) for name in names}
    return erased & (found | {head.incarnation for _, head in _heads(bucket)}) if erased else set()


def discard(bucket: Bucket, incarnation: bytes) -> None:
    """Remove what is left of an incarnation that was erased."""
    if is_erased(bucket, incarnation):
        for key, head in _heads(bucket):
            if head.incarnation == incarnation:
                _drop_head(bucket, key, {incarnation})
        remove(bucket, incarnation)


def _heads(bucket: Bucket) -> Iterator[tuple[str, HeadObject]]:
    prefix = head_name("")
    for name in bucket.names(prefix):
        if found := bucket.get(name):
            yield name[len(prefix) :], HeadObject.decoded(found[1])


def remove(bucket: Bucket, incarnation: bytes) -> None:
    """Remove all objects of an incarnation but for its receipt and its head."""
    for prefix in (segment_name(incarnation), staged_name(incarnation), page_name(incarnation)):
        for name in bucket.names(prefix):
            bucket.delete(name)
    bucket.delete(staging_name(incarnation))
    bucket.delete(key_name(incarnation))


def read_erased(bucket: Bucket, request: ReadErased) -> tuple[ErasedRow, ...]:
    """Answer a `ReadErased`."""
    found = ((each, bucket.get(erased_name(each))) for each in request.incarnations)
    return tuple(_row(incarnation, each[1]) for incarnation, each in found if each)


def list_erased(bucket: Bucket, request: ListErased) -> tuple[ErasedRow, ...]:
    """Answer a `ListErased`."""
    prefix, after = erased_name(b""), request.after
    there = (bytes.fromhex(name[len(prefix) :]) for name in bucket.names(prefix))
    asked = [each for each in there if after is None or each > after][: request.count]
    return read_erased(bucket, ReadErased(tuple(asked)))


def reseal_receipt(bucket: Bucket, was: bytes, row: ErasedRow) -> bool:
    """Replace the bytes of a receipt, if they are what they were."""
    name = erased_name(row.incarnation)
    found = bucket.get(name)
    if not found or _row(row.incarnation, found[1]).blob != was:
        return False
    return bucket.put(name, msgspec.msgpack.encode([row.at_us, row.blob]), version=found[0])


def _row(incarnation: bytes, data: bytes) -> ErasedRow:
    return ErasedRow(incarnation, *msgspec.msgpack.decode(data, type=tuple[int, bytes]))
