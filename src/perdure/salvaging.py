"""What a row of a broken file is: one of ours proves itself where it belongs.

See `docs/design/0024-damage.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from perdure import limits
from perdure.core.erasure import open_receipt
from perdure.core.head_bytes import open_head
from perdure.core.pack import open_pack
from perdure.core.record import open_record
from perdure.core.seal import Kind, Place, is_encrypted, unseal
from perdure.errors import NeedsPerson

if TYPE_CHECKING:
    from perdure.backends.sqlite_salvage import Row, SalvagedFile
    from perdure.keys.salvage import SalvagedKeys

ID_BYTES = 16
_KINDS = {7: "heads", 5: "records", 3: "pages"}
"""Which table a row is of, by how many values it has."""
_MAGIC = b"PERD"


class Receipts(msgspec.Struct, frozen=True):
    """What a file still knows of erasures."""

    rows: dict[bytes, Row]
    """Those that prove themselves, by incarnation."""
    lost: int
    """Those that are there and do not; 1 where some have to be and none is."""


def receipts_in(file: SalvagedFile, store: bytes, opening: SalvagedKeys | None) -> Receipts:
    """The receipts of erasures in a file."""
    rows: dict[bytes, Row] = {}
    hurt: set[bytes] = set()
    for incarnation, at_us, blob in file.receipt_rows():
        sealed = blob if opening is None else opening.lock_receipt(blob)
        try:
            open_receipt(sealed, store=store, incarnation=incarnation)
        except (NeedsPerson, ValueError):
            hurt.add(incarnation)
        else:
            rows[incarnation] = incarnation, at_us, blob
    lost = len(hurt - rows.keys())
    # The table is made with the first of them.
    return Receipts(rows, lost or int(not rows and b"CREATE TABLE erased" in file.page(1)))


def table_of(row: Row) -> str | None:
    """The table that a row seems to be of."""
    table = _KINDS.get(len(row))
    blob: Any = row[{"heads": 2, "records": 4, "pages": 2}[table]] if table else None
    if not isinstance(blob, bytes):
        return None
    ids = {"heads": (0, 1, 3), "records": (0,), "pages": (0, 1)}[str(table)]
    if not all(isinstance(row[at], bytes) for at in ids):
        return None
    numbers = row[1:4] if table == "records" else ()
    if not all(isinstance(number, int) for number in numbers):
        return None
    is_ours = blob[:4] == _MAGIC or len(row[ids[-1] if table != "pages" else 0]) == ID_BYTES
    return table if is_ours else None


def is_encrypted_row(row: Row) -> bool:
    """Whether any of its values is an encrypted blob."""
    return any(isinstance(each, bytes) and is_encrypted(each) for each in row)


def name_of(row: Row, opening: SalvagedKeys | None) -> str:
    """The name of the state whose head this is."""
    if opening is not None:
        return opening.name(row[0], row[2])
    stored: bytes = row[0]
    return stored.decode(errors="surrogateescape")


def checked(row: Row, store: bytes, opening: SalvagedKeys | None = None) -> Any:
    """What a row holds, if its checksum, or its key, agrees with its place; None: it does not."""
    table = table_of(row)
    try:
        if table == "heads":
            blob = row[2] if opening is None else opening.lock_head(row[2])
            return open_head(blob, store=store, key=name_of(row, opening), token=row[1])
        if opening is not None and table is not None:
            at_blob = {"records": 4, "pages": 2}[table]
            row = (*row[:at_blob], opening.lock(row[at_blob]), *row[at_blob + 1 :])
        if table == "records":
            incarnation, line, number, count, blob = row
            at: Any = {"store": store, "incarnation": incarnation, "line": line, "number": number}
            return open_record(blob, **at) if count == 1 else open_pack(blob, **at, count=count)
        if table == "pages":
            place = Place(store, row[0], page=row[1])
            return unseal(Kind.PAGE, place, row[2], limits.page_payload_bytes_max)
    except (NeedsPerson, OverflowError, ValueError):
        return None
    return None
