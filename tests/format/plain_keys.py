"""A reader of encrypted stores, made from docs/format.md alone and without Perdure."""

import hashlib
import hmac
import io
import sqlite3
import struct
import sys
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.format.plain_reader import (
    EXPORT,
    HEAD,
    PACK,
    RECORD,
    Record,
    head_of,
    place,
    record_of,
    records_of,
    value_of,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


Keys = dict[int, bytes]
"""By generation."""


def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    extracted = hmac.new(salt, key, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def opened(key: bytes, sealed: bytes, beside: bytes) -> bytes:
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], beside)


def by_root(root: bytes, wrapped: bytes) -> bytes:
    return opened(root, wrapped, b"perdure.root")


def by_passphrase(words: str, wrapped: bytes) -> bytes:
    cost, block, parallel, salt = struct.unpack(">BBB16s", wrapped[:19])
    assert (block, parallel) == (8, 1)
    root = hashlib.scrypt(words.encode(), salt=salt, n=2**cost, r=8, p=1, dklen=32)
    return opened(root, wrapped[19:], b"perdure.root" + wrapped[:19])


def store_keys(row: bytes, store: bytes, unwrap: Any) -> tuple[Keys, dict[str, Any]]:
    """The store keys in the store's row, and its settings."""
    magic, version, root_id, wrapped, settings = msgspec.msgpack.decode(row)
    assert (magic, version) == ("perdure keys", 0)
    keys = {generation: unwrap(each) for generation, each in wrapped.items()}
    own = hkdf(keys[max(keys)], store, b"perdure.store")
    told = msgspec.msgpack.decode(opened(own, settings, store + root_id.encode()))
    return keys, told


def data_keys(row: bytes, store: bytes, incarnation: bytes, keys: Keys) -> Keys:
    found = {}
    for generation, by, wrapped in msgspec.msgpack.decode(row):
        wrapping = hkdf(keys[by], store, b"perdure.wrap")
        where = store + incarnation + generation.to_bytes(2, "big")
        found[generation] = opened(wrapping, wrapped, where)
    return found


def incarnation_of(head: bytes) -> bytes:
    return head[42:58]


def payload_of(blob: bytes, kind: int, where: bytes, keys: Keys) -> tuple[str, bytes]:
    """The name that stands before a payload, and the payload."""
    magic, version, found, flags = struct.unpack(">4sBBH", blob[:8])
    assert (magic, found) == (b"PERD", kind)
    assert version in (0, 1)
    assert flags & 0x0200
    assert flags & 0xFF00 & ~0x0700 == 0
    generation, length, nonce, salt = struct.unpack(">HI12s16s", blob[8:42])
    start = 58 if kind == HEAD else 42
    info = b"perdure.heads" if kind == HEAD else b"perdure.rows"
    key = hkdf(keys[generation], salt, info)
    body = AESGCM(key).decrypt(nonce, blob[start:], where + blob[:start])
    name = ""
    if flags & 0x0400:
        end = 2 + int.from_bytes(body[:2], "big")
        name, body = body[2:end].decode(), body[end:]
    payload = zstd.decompress(body) if flags & 0x0100 else body
    assert length == len(payload)
    return name, payload


def stored_key(name: str, keys: Keys, store: bytes, hidden: bool) -> bytes:
    if not hidden:
        return name.encode()
    secret = hkdf(keys[min(keys)], store, b"perdure.names")
    return b"~" + blake2b(name.encode(), digest_size=24, key=secret).hexdigest().encode()


def read_store(path: Path, name: str, unwrap: Any) -> tuple[dict[str, Any], list[Record], set[int]]:
    """A state in an encrypted file: its head, its records, and the generations that seal them."""
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        [store] = database.execute("SELECT value FROM perdure WHERE name = 'store_id'").fetchone()
        rows = dict(database.execute("SELECT owner, blob FROM keys"))
        keys, settings = store_keys(rows[b""], store, unwrap)
        assert settings["stage"] == "sealed"
        stored = stored_key(name, keys, store, settings["hidden"])
        [blob] = database.execute("SELECT head FROM heads WHERE key = ?", (stored,)).fetchone()
        incarnation = incarnation_of(blob)
        data = data_keys(rows[incarnation], store, incarnation, keys)
        called, payload = payload_of(blob, HEAD, place(store, stored), data)
        assert called == (name if settings["hidden"] else "")
        head = head_of(payload)
        assert head["inc"] == incarnation.hex()
        line = head["branches"]["main"][0]
        found = database.execute(
            "SELECT number, count, blob FROM records WHERE incarnation = ? ORDER BY number",
            (incarnation,),
        )
        records: list[Record] = []
        used = {struct.unpack(">H", blob[8:10])[0]}
        for number, count, blob in found:
            used.add(struct.unpack(">H", blob[8:10])[0])
            where = place(store, incarnation, line, number)
            kind = PACK if count > 1 else RECORD
            _, payload = payload_of(blob, kind, where, data)
            if count > 1:
                records += records_of(payload, incarnation, line, number)
            else:
                records.append(record_of(payload, incarnation, line, number))
        for id_, blob in database.execute("SELECT id, blob FROM pages"):
            payload_of(blob, 5, place(store, incarnation + id_), data)
        return head, records, used
    finally:
        database.close()


def read_manifest(path: Path, unwrap: Any) -> str:
    """The key in an encrypted export; every frame is opened."""
    file = io.BytesIO(path.read_bytes())
    assert file.read(8) == b"PERDSEAL"
    id_ = file.read(16)
    rows = [file.read(int.from_bytes(file.read(4), "big")) for _ in range(2)]
    keys, _ = store_keys(rows[0], id_, unwrap)
    data = data_keys(rows[1], id_, id_, keys)
    frames: list[Any] = []
    while size := file.read(4):
        where = place(id_, b"export", 0, len(frames) + 1)
        _, payload = payload_of(file.read(int.from_bytes(size, "big")), EXPORT, where, data)
        frames.append(value_of(payload))
    assert dict(frames[-1]["map"])["end"] > 0
    return str(dict(frames[0]["map"])["key"])
