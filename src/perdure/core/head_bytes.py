"""How a head becomes bytes and is read again, what a newer version wrote of it included (P10)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.codec import pack, unpack
from perdure.core.head import Branch, Claim, Head, Lease, Mark, Snapshot, Spot, Unknown
from perdure.core.page import Ref, Shape
from perdure.core.seal import Kind, Place, damaged_at, located, seal, unseal
from perdure.errors import UPGRADE, Damaged, Malformed, NewerFormat

_KNOWN = frozenset(field.encode_name for field in msgspec.structs.fields(Head)) - {"-unknown"}
_BRANCH_ITEMS = len(msgspec.structs.fields(Branch))
_LEASE_ITEMS = len(msgspec.structs.fields(Lease))
_CLAIM_ITEMS = len(msgspec.structs.fields(Claim))
_KEPT = Claim.__struct_fields__.index("kept")
_MARK_ITEMS = len(msgspec.structs.fields(Mark))
_SNAPSHOT_ITEMS = len(msgspec.structs.fields(Snapshot))
_REF_ITEMS = len(msgspec.structs.fields(Ref))
_SNAPSHOTS = Branch.__struct_fields__.index("snapshots")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def seal_head(head: Head, *, store: bytes, key: str) -> bytes:
    """A head as stored under `key`."""
    if _is_known(head) and (not head.former or all(map(_is_known, head.former))):
        payload = _encode(head)
    else:
        payload = pack(_wire(head))
    return seal(Kind.HEAD, Place(store, key.encode()), payload)


def open_head(blob: bytes, *, store: bytes, key: str, token: bytes | None = None) -> Head:
    """Verify and decode a stored head (P5).

    `token`, if given, must be the one inside: a row whose token column was changed is refused.

    Raises:
        Damaged: it is not the head that was stored under this key.
        NewerFormat: it needs a newer Perdure.
    """
    # A key that is no UTF-8 any more belongs to no head: the checksum will tell.
    place = Place(store, key.encode(errors="surrogateescape"))
    payload = unseal(Kind.HEAD, place, blob, limits.head_bytes_max)
    try:
        wire = unpack(payload)
    except Malformed as error:
        raise damaged_at(place, f"does not hold a head ({error})") from error
    except NewerFormat as error:
        raise located(place, error) from error
    head = _converted(wire, place)
    if token is not None and token != head.token:
        raise damaged_at(place, "its token is not the one beside it", "metadata")
    return _with_unknown(head, wire)


def _converted(wire: Any, place: Place) -> Head:
    try:
        return msgspec.convert(wire, Head)
    except msgspec.ValidationError as error:
        if newer := _newer_shapes(wire):
            raise NewerFormat(
                f"{place}: a newer version keeps it as a tree of a shape that this one does not "
                f"know ({newer[0]}); {UPGRADE}"
            ) from error
        raise damaged_at(place, f"does not hold a head ({error})") from error


def _is_known(head: Head) -> bool:
    """Whether this version knows all that there is in a head, its former lives aside."""
    return head.unknown is msgspec.UNSET


def _with_unknown(head: Head, wire: dict[str, Any]) -> Head:
    """`head` with what else there is in `wire`, from which it was made (P10)."""
    keys = {} if wire.keys() <= _KNOWN else {k: v for k, v in wire.items() if k not in _KNOWN}
    items: dict[Any, list[Any]] = {}
    snapshots: dict[Spot, tuple[list[Any], list[Any]]] = {}
    for name, branch in wire.get("branches", {}).items():
        if len(branch) > _BRANCH_ITEMS:
            items[name] = branch[_BRANCH_ITEMS:]
        for each in _snapshots_in(branch):
            if len(each) > _SNAPSHOT_ITEMS or len(each[1]) > _REF_ITEMS:
                snapshots[_spot(name, each)] = each[_SNAPSHOT_ITEMS:], each[1][_REF_ITEMS:]
    for mark in wire.get("marks", ()):
        if len(mark) > _MARK_ITEMS:
            items[mark[0]] = mark[_MARK_ITEMS:]
    for name, lease in wire.get("leases", {}).items():
        if len(lease) > _LEASE_ITEMS:
            items[name, lease[0]] = lease[_LEASE_ITEMS:]
    for key, claim in wire.get("claims", {}).items():
        if len(claim) > _CLAIM_ITEMS:
            items[key, claim[0]] = claim[_CLAIM_ITEMS:]
    if keys or items or snapshots:
        head = replace(head, unknown=Unknown(keys, items, snapshots))
    if head.former:
        former = zip(head.former, wire["former"], strict=True)
        head = replace(head, former=tuple(_with_unknown(*each) for each in former))
    return head


def _wire(head: Head) -> dict[str, Any]:
    """The payload of a head in which there may be something that this version does not know."""
    known = replace(head, unknown=msgspec.UNSET, former=())
    wire: dict[str, Any] = to_wire(known)
    wire["former"] = [_wire(life) for life in head.former]
    if head.unknown is msgspec.UNSET:
        return wire
    for name, items in wire["branches"].items():
        for each in _snapshots_in(items):
            of_snapshot, of_ref = head.unknown.snapshots.get(_spot(name, each), ((), ()))
            each += of_snapshot
            each[1] += of_ref
        items += head.unknown.items.get(name, ())
    for items in wire["marks"]:
        items += head.unknown.items.get(items[0], ())
    for name, items in wire.get("leases", {}).items():
        items += head.unknown.items.get((name, items[0]), ())
    for key, items in wire.get("claims", {}).items():
        items += head.unknown.items.get((key, items[0]), ())
    return {**wire, **head.unknown.keys}


def _snapshots_in(branch: list[Any]) -> list[list[Any]]:
    """The snapshots of a branch as it is in a payload."""
    return branch[_SNAPSHOTS] or [] if len(branch) > _SNAPSHOTS else []


def _spot(branch: str, snapshot: list[Any]) -> Spot:
    number, root = snapshot[:_SNAPSHOT_ITEMS]
    return branch, number, root[1]


def _newer_shapes(wire: Any) -> list[int]:
    """Shapes of trees in a payload that this version does not know."""
    try:
        every = [wire, *wire.get("former", ())]
        branches = [branch for life in every for branch in life.get("branches", {}).values()]
        shapes = [each[1][0] for branch in branches for each in _snapshots_in(branch)]
        trees = [life.get(name) for life in every for name in ("parked", "claimed")]
        claims = [claim for life in every for claim in life.get("claims", {}).values()]
        trees += [claim[_KEPT] for claim in claims if len(claim) > _KEPT]
        shapes += [tree[0] for tree in trees if tree]
        return [shape for shape in shapes if type(shape) is int and shape > max(Shape)]
    except (LookupError, TypeError, AttributeError):  # it is no head at all
        return []


def to_wire(part: Any) -> Any:
    """A head or a part of one in the maps, arrays and scalars that payloads are made of.

    Tuples are arrays there: `to_builtins` would leave them tuples, which are an extension.

    Example:
        >>> to_wire(Base(1, 7))
        [1, 7]
    """
    return _decode(_encode(part))


def mark_to_wire(mark: Mark) -> list[Any]:
    """A mark as records keep it."""
    return list(to_wire(mark))


def mark_from_wire(fields: Any) -> Mark:
    """The mark that `mark_to_wire` wrote.

    Raises:
        Damaged: it is not one.
    """
    try:
        return msgspec.convert(fields, Mark)
    except msgspec.ValidationError as error:
        raise Damaged(f"a record does not tell of a session as it should: {error}") from error
