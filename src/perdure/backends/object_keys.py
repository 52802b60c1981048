"""Wrapped keys as objects, and bytes that are sealed anew within objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import replace

from perdure.backends.bucket import (
    Bucket,
    HeadObject,
    Row,
    head_name,
    key_name,
    page_name,
    segment_name,
    staged_name,
)
from perdure.backends.object_erased import reseal_receipt
from perdure.engine.requests import (
    ErasedRow,
    KeyRow,
    ListKeys,
    PutKey,
    ReadKeys,
    RecordRow,
    Reseal,
    Resealed,
)


def read_keys(bucket: Bucket, request: ReadKeys) -> tuple[KeyRow, ...]:
    """Answer a `ReadKeys`."""
    found = ((owner, bucket.get(key_name(owner))) for owner in request.owners)
    return tuple(KeyRow(owner, each[1]) for owner, each in found if each)


def list_keys(bucket: Bucket, request: ListKeys) -> tuple[KeyRow, ...]:
    """Answer a `ListKeys`."""
    prefix, after = key_name(b""), request.after
    owners = (bytes.fromhex(name[len(prefix) :]) for name in bucket.names(prefix))
    asked = [each for each in owners if after is None or each > after][: request.count]
    return read_keys(bucket, ReadKeys(tuple(asked)))


def add_keys(bucket: Bucket, keys: Iterable[KeyRow]) -> None:
    """Store keys where their owners have none."""
    for key in keys:
        bucket.put(key_name(key.owner), key.blob)


def put_key(bucket: Bucket, request: PutKey) -> bool:
    """Answer a `PutKey`."""
    name = key_name(request.owner)
    found = bucket.get(name)
    if (found[1] if found else None) != request.expect:
        return False
    if request.blob is not None:
        return bucket.put(name, request.blob, version=found[0] if found else None)
    if found:
        bucket.delete(name, version=found[0])
    return bucket.get(name) is None


def reseal(bucket: Bucket, request: Reseal) -> int:
    """Answer a `Reseal`."""
    return sum(_resealed(bucket, request.incarnation, each) for each in request.rows)


def _resealed(bucket: Bucket, incarnation: bytes, each: Resealed) -> bool:
    row = each.row
    if isinstance(row, ErasedRow):
        return reseal_receipt(bucket, each.was, row)
    if not isinstance(row, RecordRow):
        name = page_name(incarnation, row.id)
        found = bucket.get(name)
        return bool(found and found[1] == each.was) and bucket.put(
            name, row.blob, version=found[0] if found else None
        )
    was, now = Row.of(incarnation, replace(row, blob=each.was)), Row.of(incarnation, row)
    return _in_heads(bucket, was, now) or _in_segments(bucket, was, now)


def _in_heads(bucket: Bucket, was: Row, now: Row) -> bool:
    for name in bucket.names(head_name("")):
        while (found := bucket.get(name)) and was in (
            head := msgspec.msgpack.decode(found[1], type=HeadObject)
        ).inline:
            inline = [now if row == was else row for row in head.inline]
            data = msgspec.msgpack.encode(replace(head, inline=inline))
            if bucket.put(name, data, version=found[0]):
                return True
    return False


def _in_segments(bucket: Bucket, was: Row, now: Row) -> bool:
    for name in _segments(bucket, was.incarnation):
        found = bucket.get(name)
        rows = msgspec.msgpack.decode(found[1], type=list[Row]) if found else []
        if found and was in rows:
            data = msgspec.msgpack.encode([now if row == was else row for row in rows])
            return bucket.put(name, data, version=found[0])
    return False


def _segments(bucket: Bucket, incarnation: bytes) -> Iterator[str]:
    yield from bucket.names(segment_name(incarnation))
    yield from bucket.names(staged_name(incarnation))
