"""Vectors of values, records, packs and heads: a part of `make_golden`."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from tests.format.make_golden import HOLDER, LONG
from tests.format.tagged import tagged

from perdure.core import chain, changes
from perdure.core.claims import elsewhere_key, idempotency_key
from perdure.core.codec import pack
from perdure.core.head import Base, Branch, Claim, Cut, Head, Journal, Life, Mark
from perdure.core.head_bytes import seal_head, to_wire
from perdure.core.pack import pack_records, seal_pack
from perdure.core.page import Ref, Shape
from perdure.core.record import Draft, Record, Sealed, read_canonical, seal_draft
from perdure.core.seal import Kind, Place, seal

STORE, INCARNATION, SESSION = bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48))
RECORD_ID, SALT, PARENT = bytes(range(48, 64)), bytes(range(64, 80)), bytes(range(80, 112))
CHANGES: tuple[changes.Change, ...] = (
    changes.Set(("plan", "step"), 2),
    changes.Set(("messages", 0), {"role": "user", "n": None}),
    changes.Delete(("plan", "old/key")),
    changes.Splice(("messages",), 1, 2, ["a", 1.5, b"\x00"]),
    changes.Splice(("draft",), 5, 0, "Ann 🙂"),
    changes.Splice(("raw",), 0, 1, b"\xff"),
    changes.Members(("seen",), ["z", 300], [(1, 2), "b", "a"]),
)


def make_vectors() -> dict[str, Any]:
    """Inputs, and the bytes that come of them."""
    packed = changes.pack_changes(CHANGES)
    draft = Draft(RECORD_ID, 1_767_225_600_000_001, SESSION, packed, SALT, {"label": "before"})
    where = {"store": STORE, "incarnation": INCARNATION, "line": 3, "number": 7}
    record = seal_draft(draft, **where, parent=PARENT)  # type: ignore[arg-type]
    short = Draft(RECORD_ID, 5, SESSION, changes.pack_changes([]), SALT)
    first = seal_draft(
        short, store=STORE, incarnation=INCARNATION, line=0, number=1, parent=chain.ORIGIN
    )
    large = Draft(RECORD_ID, 5, SESSION, changes.pack_changes([changes.Set(("text",), LONG)]), SALT)
    compressed = seal_draft(
        large, store=STORE, incarnation=INCARNATION, line=0, number=2, parent=first.hash
    )
    return {
        "seal": [
            _seal_vector(Kind.HEAD, Place(STORE, b"support/alice"), b"hello"),
            _seal_vector(Kind.RECORD, Place(STORE, INCARNATION, 3, 7), b""),
            _seal_vector(Kind.EXPORT, Place(STORE, b"export", 0, 2), b"\x00" * 12),
        ],
        "chain": [
            {
                "parent": parent.hex(),
                "salt": SALT.hex(),
                "incarnation": INCARNATION.hex(),
                "line": line,
                "number": number,
                "canonical": canonical.hex(),
                "leaf": (leaf := chain.leaf(SALT, INCARNATION, line, number, canonical)).hex(),
                "hash": chain.link(parent, leaf).hex(),
            }
            for parent, line, number, canonical in (
                (chain.ORIGIN, 0, 1, b"\x95"),
                (PARENT, 2**32, 2**40, b"canonical"),
            )
        ],
        "changes": [
            {"change": tagged(changes.to_wire(change)), "hex": changes.pack_changes([change]).hex()}
            for change in CHANGES
        ],
        "record": [
            _record_vector(draft, CHANGES, record, 3),
            _record_vector(short, [], first, 0),
            _record_vector(large, [changes.Set(("text",), LONG)], compressed, 0),
        ],
        "pack": [_pack_vector(_packed_few()), _pack_vector(_packed_many())],
        "head": [
            _head_vector("support/alice", HEAD),
            _head_vector("größe", HEAD_REBORN),
            _head_vector("acting", HEAD_ACTING),
        ],
        "idempotency": [
            {"origin": origin.hex(), "key": key, "is": idempotency_key(origin, key)}
            for origin, key in ((STORE, "orders/17"), (SESSION, "orders/17"), (STORE, "größe"))
        ],
    }


def _seal_vector(kind: Kind, place: Place, payload: bytes) -> dict[str, Any]:
    return {
        "kind": int(kind),
        "store": place.store.hex(),
        "owner": place.owner.hex(),
        "line": place.line,
        "number": place.number,
        "payload": payload.hex(),
        "blob": seal(kind, place, payload).hex(),
    }


def _record_vector(
    draft: Draft, said: Sequence[changes.Change], sealed: Sealed, line: int
) -> dict[str, Any]:
    return {
        "store": STORE.hex(),
        "incarnation": INCARNATION.hex(),
        "line": line,
        "number": sealed.number,
        "parent": sealed.parent.hex(),
        "id": draft.id.hex(),
        "time_us": draft.time_us,
        "session": draft.session.hex(),
        "salt": draft.salt.hex(),
        "changes": tagged([changes.to_wire(change) for change in said]),
        "extra": tagged(draft.extra),
        "canonical": draft.canonical().hex(),
        "hash": sealed.hash.hex(),
        "blob": sealed.blob.hex(),
    }


def _packed_few() -> list[bytes]:
    """Two sessions, an extra, and a record of another writer: an array of five in three bytes."""
    said = [changes.pack_changes(CHANGES[:1]), changes.pack_changes([]), b"\x90", b"\x90"]
    extras: list[dict[str, Any]] = [{"label": "before"}, {}, {}, {}]
    sessions = [SESSION, RECORD_ID, RECORD_ID, SESSION]
    drafts = [
        Draft(bytes([at] * 16), 10**15 + at * at, session, each, SALT, extra)
        for at, (session, each, extra) in enumerate(zip(sessions, said, extras, strict=True))
    ]
    first, second, third, fourth = (draft.canonical() for draft in drafts)
    return [first, second, b"\xdc\x00\x05" + third[1:], fourth]


def _packed_many() -> list[bytes]:
    """So many that their pack is compressed."""
    said = [
        changes.pack_changes([changes.Splice(("messages",), at, 0, [f"message {at}"])])
        for at in range(30)
    ]
    return [
        Draft(bytes([at] * 16), 10**15 + at, SESSION, each, SALT).canonical()
        for at, each in enumerate(said)
    ]


def _pack_vector(canonicals: list[bytes]) -> dict[str, Any]:
    records: list[Record] = []
    parent = PARENT
    for number, canonical in enumerate(canonicals, 5):
        salt = bytes([number] * 16)
        place = Place(STORE, INCARNATION, 3, number)
        records.append(read_canonical(canonical, place, parent, salt, 0))
        parent = records[-1].hash
    sealed = seal_pack(records, store=STORE, incarnation=INCARNATION, parent=PARENT)
    return {
        "store": STORE.hex(),
        "incarnation": INCARNATION.hex(),
        "line": 3,
        "number": sealed.number,
        "records": [
            {
                "number": record.number,
                "id": record.id.hex(),
                "time_us": record.time_us,
                "session": record.session.hex(),
                "salt": record.salt.hex(),
                "changes": tagged([changes.to_wire(each) for each in record.changes()]),
                "extra": tagged(record.extra),
                "canonical": record.canonical.hex(),
                "hash": record.hash.hex(),
            }
            for record in records
        ],
        "parent": PARENT.hex(),
        "payload": pack_records(records).hex(),
        "blob": sealed.blob.hex(),
    }


HELD = (HOLDER.host, HOLDER.pid, HOLDER.boot, HOLDER.started)
MARK = Mark(SESSION, 1, 2, 1, 7, HELD)
ENDED = Mark(RECORD_ID, 1, 2, 3, 4, HELD, "failed", 9, "ValueError", True)
HEAD = Head(
    INCARNATION,
    1_767_225_600_000_000,
    1_767_225_600_000_001,
    SALT,
    branches={
        "main": Branch(3, 7, RECORD_ID, PARENT, 1_767_225_600_000_001, None, (Base(0, 5),)),
        "what-if": Branch(
            2, 6, SESSION, PARENT, 1_767_225_600_000_000, None, (Base(1, 6), Base(0, 5))
        ),
        "pruned": Branch(
            1, 9, RECORD_ID, PARENT, 1_767_225_600_000_000, None, (), Cut(4, bytes(32))
        ),
    },
    lines=4,
    fence=2,
    journal=Journal(3, RECORD_ID, PARENT, 1_767_225_600_000_000, 3, 0, 2, 1),
    summary="refunding order 17",
    marks=(MARK, ENDED),
    sessions=2,
)
HEAD_REBORN = Head(
    RECORD_ID, 10, 11, PARENT[:16], former=(Head(INCARNATION, 1, 2, SALT, deleted_us=9),)
)

KEPT = Ref(Shape.MAP, bytes(range(112, 144)), 0, 1, 2_000, 1)
HEAD_ACTING = Head(
    INCARNATION,
    1,
    2,
    SALT,
    branches={"main": Branch(0, 7, RECORD_ID, PARENT, 2)},
    secret=PARENT,
    claims={
        "orders/17": Claim(RECORD_ID, SESSION, HELD, 3, "refunds / pay"),
        "orders/16": Claim(SALT, SESSION, HELD, 1, "refunds / pay", 2, pack({"id": 1}), None, 0, 7),
        "orders/15": Claim(PARENT[:16], SESSION, HELD, 1, "", 2, None, KEPT, 0, 6),
        "orders/14": Claim(SESSION, SESSION, HELD, 1, "", 2, pack(None), by="ann"),
        elsewhere_key("all orders/%", "send"): Claim(
            STORE, SESSION, HELD, 1, "", elsewhere=Life("all orders/%", SESSION, STORE)
        ),
        "refund": Claim(SALT, SESSION, HELD, 1, "", 2, pack(1), of=Life("b", PARENT[:16], SALT)),
    },
    claimed=KEPT,
    origin=STORE,
)


def _head_vector(key: str, head: Head) -> dict[str, Any]:
    return {
        "store": STORE.hex(),
        "key": key,
        "blob": seal_head(head, store=STORE, key=key).hex(),
        "fields": _head_fields(head),
    }


def _head_fields(head: Head) -> dict[str, Any]:
    return {
        "inc": head.incarnation.hex(),
        "made": head.created_us,
        "at": head.updated_us,
        "token": head.token.hex(),
        "branches": {
            name: [
                b.line,
                b.number,
                b.record.hex(),
                b.hash.hex(),
                b.time_us,
                b.snapshots,
                [[base.line, base.number] for base in b.bases],
                [b.cut.number, b.cut.hash.hex()] if b.cut is not None else None,
            ]
            for name, b in head.branches.items()
        },
        "lines": head.lines,
        "fence": head.fence,
        "gone": head.deleted_us,
        "about": head.summary,
        "marks": [
            [
                m.id.hex(),
                m.started_us,
                m.saved_us,
                m.first,
                m.last,
                list(m.holder),
                m.end,
                m.ended_us,
                m.error,
                m.recorded,
                m.branch,
            ]
            for m in head.marks
        ],
        "sessions": head.sessions,
        "generation": head.generation,
        "secret": head.secret.hex(),
        "journal": head.journal
        and [
            head.journal.number,
            head.journal.record.hex(),
            head.journal.hash.hex(),
            head.journal.time_us,
            head.journal.undo,
            head.journal.redo,
            head.journal.receipt,
            head.journal.swept,
        ],
        "parked": head.parked,
        "lasts": head.expires_us,
        "former": [_head_fields(former) for former in head.former],
        **_acting_fields(head),
    }


def _acting_fields(head: Head) -> dict[str, Any]:
    """What only heads of states with effects have, and copies."""
    if head.claims is UNSET:
        return {}
    wire = {name: to_wire(getattr(head, name)) for name in ("claims", "claimed", "origin")}
    return _in_hex(wire)  # type: ignore[no-any-return]


def _in_hex(value: Any) -> Any:
    """The same with hex digits for bytes."""
    if isinstance(value, dict):
        return {key: _in_hex(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_in_hex(each) for each in value]
    return value.hex() if isinstance(value, bytes) else value
