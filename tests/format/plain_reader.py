"""A reader of everything Perdure stores, made from docs/format.md alone and without Perdure.

What this reads, another language can. Values are given as the JSON of the vectors: `{"map": [[key,
value], …]}`, `{"float": eight bytes}` and so on; what is wrong raises `AssertionError`.
"""

import io
import json
import sqlite3
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HEAD, RECORD, EXPORT, PACK = 1, 2, 3, 4
REDACTED = 0x0800
JOURNAL = 2**62
ZERO = bytes(32)


# ---- values ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Special:
    """A value of an extension type, as JSON."""

    json: Any

    def __hash__(self) -> int:
        return hash(str(self.json))


def value_of(data: bytes) -> Any:
    return as_json(msgspec.msgpack.Decoder(ext_hook=special).decode(data))


def as_json(value: Any) -> Any:
    match value:
        case Special():
            return value.json
        case dict():
            return {"map": [[as_json(key), as_json(item)] for key, item in value.items()]}
        case list():
            return [as_json(item) for item in value]
        case bytes():
            return {"bytes": value.hex()}
        case float():
            return {"float": struct.pack(">d", value).hex()}
    return value


def special(code: int, view: memoryview) -> Special:
    return Special(_special(code, bytes(view)))


def _special(code: int, data: bytes) -> Any:
    match code:
        case 1:
            return int.from_bytes(data, "big", signed=True)
        case 2:
            *fields, flags = struct.unpack(">HBBBBBIB", data[:12])
            return {"datetime": [*fields, flags & 1, *zone(flags, data[12:])]}
        case 3:
            return {"date": list(struct.unpack(">HBB", data))}
        case 4:
            *fields, flags = struct.unpack(">BBBIB", data[:8])
            return {"time": [*fields, flags & 1, *zone(flags, data[8:])]}
        case 5:
            return {"timedelta": list(struct.unpack(">iII", data))}
        case 6:
            return {"UUID": data.hex()}
        case 7:
            return {"Decimal": data.decode("ascii")}
        case 8:
            return {"tuple": value_of(data)}
        case 9 | 10:
            members = value_of(data)
            return {"set" if code == 9 else "frozenset": sorted(members, key=json.dumps)}
        case 11:
            return data.decode("utf-8", "surrogatepass")
        case 12:
            flat = value_of(data)
            return {"map": [list(pair) for pair in zip(flat[::2], flat[1::2], strict=True)]}
    raise ValueError(f"extension type {code}")


def zone(flags: int, data: bytes) -> list[Any]:
    """Offset in microseconds, the offset's own name, the zone's name."""
    kind = flags & ~1
    assert kind in (0, 2, 6, 8, 10)
    offset = None
    if kind & 2:
        [offset], data = struct.unpack(">q", data[:8]), data[8:]
    assert kind & 12 or not data
    return [offset, data.decode() if kind & 4 else None, data.decode() if kind & 8 else None]


# ---- blobs, records, heads ------------------------------------------------------------------


def place(store: bytes, owner: bytes, line: int = 0, number: int = 0) -> bytes:
    return store + struct.pack(">Q", len(owner)) + owner + struct.pack(">QQ", line, number)


def payload_of(blob: bytes, kind: int, where: bytes) -> bytes:
    header, body, tag = blob[:8], blob[8:-16], blob[-16:]
    magic, version, found, flags = struct.unpack(">4sBBH", header)
    assert (magic, found) == (b"PERD", kind)
    assert version in (0, 1)
    person = b"perdure.seal"
    assert tag == blake2b(where + header + body, digest_size=16, person=person).digest()
    assert not flags & 0xFF00 & ~(0x0100 | REDACTED)
    return zstd.decompress(body) if flags & 0x0100 else body


def h(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()


def leaf(salt: bytes, incarnation: bytes, line: int, number: int, canonical: bytes) -> bytes:
    return h(salt + incarnation + struct.pack(">QQ", line, number) + canonical)


@dataclass
class Record:
    id: bytes
    time_us: int
    session: bytes
    changes: list[Any]
    extra: Any
    parent: bytes
    hash: bytes
    content: bytes | None = None
    """Of a redacted record: a leaf over what it holds by now."""


def record_of(payload: bytes, incarnation: bytes, line: int, number: int) -> Record:
    parent, salt, canonical = payload[:32], payload[32:48], payload[48:]
    id_, time_us, session, changes, extra, *kept = value_of(canonical)
    committed = content = leaf(salt, incarnation, line, number, canonical)
    if kept:
        assert (canonical[0], canonical[-34:-32]) == (0x96, b"\xc4\x20")
        committed = canonical[-32:]
    hash_ = h(parent + committed)
    ids = bytes.fromhex(id_["bytes"]), bytes.fromhex(session["bytes"])
    fields = (ids[0], time_us, ids[1], changes, extra, parent, hash_)
    return Record(*fields, content if kept else None)


def records_of(payload: bytes, incarnation: bytes, line: int, newest: int) -> list[Record]:
    """The records of a pack, oldest first."""
    columns = msgspec.msgpack.decode(payload, type=list[msgspec.Raw])
    parent, ids, salts, sessions = map(msgspec.msgpack.decode, columns[:4])
    turns, times = map(msgspec.msgpack.decode, columns[4:6])
    changes, extras = (msgspec.msgpack.decode(c, type=list[msgspec.Raw]) for c in columns[6:])
    count, time_us = len(turns), 0
    assert count == len(times) == len(changes) == len(extras) >= 2
    assert (len(parent), len(ids), len(salts)) == (32, 16 * count, 16 * count)
    records = []
    for at in range(count):
        here = slice(16 * at, 16 * at + 16)
        session = sessions[16 * turns[at] : 16 * turns[at] + 16]
        time_us += times[at]
        said = bytes(changes[at])
        if said[0] in (0xC4, 0xC5, 0xC6):
            canonical = msgspec.msgpack.decode(said)
        else:
            fields = b"".join(map(msgspec.msgpack.encode, (ids[here], time_us, session)))
            canonical = b"\x95" + fields + said + bytes(extras[at])
        body = parent + salts[here] + canonical
        records.append(record_of(body, incarnation, line, newest - count + 1 + at))
        parent = records[-1].hash
    return records


def head_of(payload: bytes) -> dict[str, Any]:
    """A head's map; ids as hex digits, without the words for bytes and maps."""
    return simple(value_of(payload))  # type: ignore[no-any-return]


def simple(value: Any) -> Any:
    match value:
        case {"map": pairs}:
            return {key: simple(item) for key, item in pairs}
        case {"bytes": digits}:
            return digits
        case list():
            return [simple(item) for item in value]
    return value


# ---- changes --------------------------------------------------------------------------------


def apply(sections: Any, change: list[Any]) -> None:
    code, path, *rest = change
    holder = sections
    for part in path[:-1]:
        holder = holder[part] if isinstance(holder, list) else dict(holder["map"])[part]
    pairs = holder if isinstance(holder, list) else holder["map"]
    last = path[-1]
    at = (
        last if isinstance(holder, list) else [key for key, _ in [*pairs, [last, None]]].index(last)
    )
    if code == 2:
        del pairs[at]
        return
    old = None if at == len(pairs) else pairs[at] if isinstance(holder, list) else pairs[at][1]
    new = rest[0] if code == 1 else spliced(old, *rest) if code == 3 else members(old, *rest)
    pairs[at : at + 1] = [new if isinstance(holder, list) else [last, new]]


def spliced(old: Any, start: int, removed: int, items: Any) -> Any:
    if isinstance(old, dict):
        raw = bytes.fromhex(old["bytes"])
        raw = raw[:start] + bytes.fromhex(items["bytes"]) + raw[start + removed :]
        return {"bytes": raw.hex()}
    assert type(old) is type(items)
    assert start + removed <= len(old)
    return old[:start] + items + old[start + removed :]


def members(old: Any, removed: list[Any], added: list[Any]) -> dict[str, Any]:
    kept = [member for member in old["set"] if member not in removed]
    assert len(kept) == len(old["set"]) - len(removed)
    return {"set": sorted([*kept, *added], key=json.dumps)}


# ---- whole states ---------------------------------------------------------------------------


def states_of(records: list[Record]) -> Iterator[Any]:
    """The state at each checkpoint."""
    sections: Any = {"map": []}
    for record in records:
        for change in record.changes:
            apply(sections, change)
        yield json.loads(json.dumps(sections))


def check_chain(records: list[Record], head: dict[str, Any]) -> None:
    parents = [ZERO, *(record.hash for record in records)]
    assert [record.parent for record in records] == parents[:-1]
    _, number, last, tip, *_ = head["branches"]["main"]
    assert (number, last, tip) == (len(records), records[-1].id.hex(), records[-1].hash.hex())


def told_in(redaction: list[Any]) -> dict[tuple[int, int], bytes]:
    """What a receipt of a redaction tells: by line and number, a leaf."""
    found = {}
    for line, first, leaves in redaction[4]:
        data = bytes.fromhex(leaves["bytes"])
        for at in range(len(data) // 32):
            found[line, first + at] = data[32 * at : 32 * at + 32]
    return found


def check_receipts(path: Path, key: str) -> list[int]:
    """That the journal tells of each redacted record of `main`; the numbers of these."""
    head, records = read_store(path, key)
    number = head["journal"][0]
    _, journal = read_store(path, key, JOURNAL, number)
    parents = [ZERO, *(record.hash for record in journal)]
    assert [record.parent for record in journal] == parents[:-1]
    assert journal[-1].hash.hex() == head["journal"][2]
    told: dict[tuple[int, int], bytes] = {}
    for record in journal:
        move = dict(dict(record.extra["map"])["move"]["map"])
        told |= told_in(move["redaction"]) if move["what"] == "redact" else {}
    line = head["branches"]["main"][0]
    for on, every in ((line, records), (JOURNAL, journal)):
        for at, record in enumerate(every, 1):
            assert record.content in (None, told.get((on, at)))
    return [at for at, record in enumerate(records, 1) if record.content is not None]


def read_store(
    path: Path, key: str, line: int | None = None, number: int = 0
) -> tuple[dict[str, Any], list[Record]]:
    """A state in a SQLite file: its head and all its records, checked; or those of a line."""
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        assert database.execute("PRAGMA application_id").fetchone() == (0x50455244,)
        assert database.execute("PRAGMA user_version").fetchone() in [(0,), (1,)]
        [store] = database.execute("SELECT value FROM perdure WHERE name = 'store_id'").fetchone()
        found = database.execute("SELECT token, head FROM heads WHERE key = ?", (key.encode(),))
        token, blob = found.fetchone()
        head = head_of(payload_of(blob, HEAD, place(store, key.encode())))
        assert head["token"] == token.hex()
        incarnation = bytes.fromhex(head["inc"])
        if line is None:
            line, number, *_ = head["branches"]["main"]
        rows = database.execute(
            "SELECT number, count, blob FROM records WHERE incarnation = ? AND line = ? AND"
            " number <= ? ORDER BY number",
            (incarnation, line, number),
        )
        records = []
        for at, count, blob in rows:
            kind, where = RECORD if count == 1 else PACK, place(store, incarnation, line, at)
            payload = payload_of(blob, kind, where)
            if count == 1:
                records.append(record_of(payload, incarnation, line, at))
            else:
                records += records_of(payload, incarnation, line, at)
        return head, records
    finally:
        database.close()


def read_export(path: Path) -> tuple[str, dict[str, Any], list[Record]]:
    """An exported state: its key, head and records, checked."""
    file = io.BytesIO(path.read_bytes())
    assert file.read(8) == b"PERDSTAT"
    id_ = file.read(16)
    frames: list[Any] = []
    while size := file.read(4):
        where = place(id_, b"export", 0, len(frames) + 1)
        blob = file.read(int.from_bytes(size, "big"))
        frames.append(value_of(payload_of(blob, EXPORT, where)))
    manifest, *batches, end = frames
    fields = dict(manifest["map"])
    sealed = bytes.fromhex(fields["head"]["bytes"])
    head = head_of(payload_of(sealed, HEAD, place(id_, fields["key"].encode())))
    incarnation = bytes.fromhex(head["inc"])
    records: list[Record] = []
    parent = ZERO
    for number, salt, canonical, *line in (item for batch in batches for item in batch):
        assert number == len(records) + 1
        on = line[0] if line else head["branches"]["main"][0]
        payload = parent + bytes.fromhex(salt["bytes"]) + bytes.fromhex(canonical["bytes"])
        records.append(record_of(payload, incarnation, on, number))
        parent = records[-1].hash
    assert end == {"map": [["end", len(records)]]}
    told: dict[tuple[int, int], bytes] = {}
    for _, _, redaction in fields.get("redactions", []):
        told |= told_in(redaction)
    for at, record in enumerate(records, 1):
        assert record.content in (None, told.get((head["branches"]["main"][0], at)))
    return fields["key"], head, records
