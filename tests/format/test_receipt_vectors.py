"""A receipt made from the page on the format alone is read, and one is written so."""

from hashlib import blake2b

import msgspec
import pytest

from perdure.core.erasure import Receipt, name_hash, open_receipt, seal_receipt
from perdure.errors import Damaged, NewerFormat

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
