"""A receipt made from the page on the format alone is read, and one is written so."""

import json
import sqlite3
import struct
from contextlib import closing
from functools import partial
from hashlib import blake2b
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.format import plain_keys
from tests.format.plain_reader import place

import perdure
from perdure.core.erasure import Receipt, name_hash, open_receipt, seal_receipt
from perdure.core.seal import Locked
from perdure.errors import Damaged, NewerFormat, Tampered
from perdure.keys.data import DataKeys

STORE, LIFE = bytes(range(16)), bytes(range(100, 116))
FIELDS = {
    "at": 1_700_000_000_000_000,
    "name": bytes.fromhex("a22d29e72be4d5d2518d9f55dfc0124861d1ad804ac03bbc363b6388196e665f"),
    "life": 2,
    "made": 1_600_000_000_000_000,
    "checkpoints": 41,
    "rows": 3,
    "pages": 5,
    "bytes": 4096,
    "hash": bytes(32),
    "reason": "asked for",
    "key": None,
}


def blob(fields: object, life: bytes = LIFE) -> bytes:
    """A receipt in the clear."""
    owner = b"erased" + life
    place = STORE + len(owner).to_bytes(8, "big") + owner + bytes(16)
    body = b"PERD" + bytes([1, 6, 0, 0]) + msgspec.msgpack.encode(fields)
    return body + blake2b(place + body, digest_size=16, person=b"perdure.seal").digest()


def test_the_name_in_a_receipt_is_that_of_the_page() -> None:
    made = blake2b(b"support/alice", digest_size=32, key=STORE, person=b"perdure.erased").digest()
    assert FIELDS["name"] == made == name_hash(STORE, "support/alice")


def test_a_receipt_is_read_and_written_as_the_page_says() -> None:
    receipt = open_receipt(blob(FIELDS), store=STORE, incarnation=LIFE)
    assert receipt == msgspec.convert(FIELDS, Receipt)
    assert seal_receipt(receipt, store=STORE, incarnation=LIFE) == blob(FIELDS)


def test_one_of_another_life_or_store_is_refused() -> None:
    for store, life in ((STORE, bytes(16)), (bytes(16), LIFE)):
        with pytest.raises(Damaged, match="receipt of the erasure of"):
            open_receipt(blob(FIELDS), store=store, incarnation=life)


def test_what_a_newer_version_wrote_in_it_is_passed_over_or_refused() -> None:
    more = blob({**FIELDS, "later": 1})
    assert open_receipt(more, store=STORE, incarnation=LIFE).checkpoints == 41
    newer = blob({**FIELDS, "reason": msgspec.msgpack.Ext(99, b"")})
    with pytest.raises(NewerFormat, match="nothing was touched"):
        open_receipt(newer, store=STORE, incarnation=LIFE)


# ---- in an encrypted store ------------------------------------------------------------------

OWNER = b"perdure.erasures"
VECTOR = json.loads((Path(__file__).parent / "vectors" / "receipts.json").read_text("ascii"))


def sealed(key: bytes, salt: bytes, nonce: bytes) -> bytes:
    """The same receipt, as the page says that an encrypted store has it."""
    owner, payload = b"erased" + LIFE, msgspec.msgpack.encode(FIELDS)
    prefix = struct.pack(">4sBBHHI12s16s", b"PERD", 1, 6, 0x0200, 1, len(payload), nonce, salt)
    cipher = AESGCM(plain_keys.hkdf(key, salt, b"perdure.rows"))
    return prefix + cipher.encrypt(nonce, payload, place(STORE, owner) + prefix)


def test_an_encrypted_receipt_of_the_page_is_read() -> None:
    key, salt, nonce = (bytes.fromhex(VECTOR[each]) for each in ("key", "salt", "nonce"))
    made = bytes.fromhex(VECTOR["sealed"])
    assert made == sealed(key, salt, nonce)
    keys = DataKeys(OWNER, {1: key})
    locked = Locked.by(lambda where, each: keys.open(where, each)[::2], made)
    receipt = open_receipt(locked, store=STORE, incarnation=LIFE)
    assert receipt == msgspec.convert(FIELDS, Receipt)
    with pytest.raises(Tampered):
        open_receipt(locked, store=STORE, incarnation=bytes(16))


def test_the_receipt_in_an_encrypted_store_is_read_from_the_page_alone(tmp_path: Path) -> None:
    path, root = tmp_path / "a.db", bytes(range(32))
    with perdure.Store(path, key=root) as store:
        with store.open("support/alice") as session:
            session.state["n"] = 1
        (life,) = store.erase("support/alice", reason="asked for").lives
    with closing(sqlite3.connect(path)) as base:
        [store_id] = base.execute("SELECT value FROM perdure WHERE name = 'store_id'").fetchone()
        rows = dict(base.execute("SELECT owner, blob FROM keys"))
        [(incarnation, blob)] = base.execute("SELECT incarnation, blob FROM erased").fetchall()
    assert incarnation.hex() == life.incarnation
    assert rows.keys() == {b"", OWNER}
    keys, _ = plain_keys.store_keys(rows[b""], store_id, partial(plain_keys.by_root, root))
    data = plain_keys.data_keys(rows[OWNER], store_id, OWNER, keys)
    where = place(store_id, b"erased" + incarnation)
    name, payload = plain_keys.payload_of(blob, 6, where, data)
    told = msgspec.msgpack.decode(payload)
    assert (name, told["life"], told["checkpoints"], told["reason"]) == ("", 1, 1, "asked for")
    assert told["hash"].hex() == life.hash
