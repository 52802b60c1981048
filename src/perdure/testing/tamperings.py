"""The ways to tamper with a store that `perdure.testing.tampering` tries, table by table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec

from perdure.core.head import MAIN, Head
from perdure.core.head_bytes import open_head, seal_head
from perdure.core.seal import Kind, Place, seal
from perdure.errors import NeedsPerson


class Scene(msgspec.Struct):
    """A copy of a store that is about to be tampered with."""

    base: apsw.Connection
    older: Path
    """The same store as it was a while before."""
    store: bytes
    """Its id."""
    a: bytes
    """The incarnation of the state `a`."""
    b: bytes
    tip: int
    """Number of the newest checkpoint of `a`."""

    def run(self, change: str, *values: Any) -> None:
        """Make one change by SQL, which must change something."""
        self.base.execute(change, values)
        assert self.base.changes() > 0, change

    def rows(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """What is stored."""
        return list(self.base.execute(question, values))


class Tampering(msgspec.Struct, frozen=True):
    """One way to tamper with a store."""

    name: str
    """The table, and what is done to it."""
    apply: Callable[[Scene], None]
    needs_key: bool = False
    """Whether only a store with a key can know it: every checksum was made anew."""


# ---- tamperings -----------------------------------------------------------------------------

_OTHER_LAST = "CAST(substr({0}, 1, length({0}) - 1) || CASE WHEN substr({0}, -1) = x'00' THEN x'01' ELSE x'00' END AS BLOB)"  # noqa: E501
_CHANGES = {
    "its last byte changed": _OTHER_LAST,
    "its middle changed": "CAST(substr({0}, 1, length({0}) / 2) || x'5a5a' || substr({0}, "
    "length({0}) / 2 + 3) AS BLOB)",
    "emptied": "x''",
    "cut to half": "CAST(substr({0}, 1, length({0}) / 2) AS BLOB)",
    "turned into text": "CAST('caf' || x'e9' AS TEXT)",
    "turned into a number": "17",
}
"""By what is done to a blob, the SQL of what it becomes; `{0}` is its column."""


def _sql(change: str, *fields: str) -> Callable[[Scene], None]:
    """A change by one statement, whose values are fields of the scene."""
    return lambda scene: scene.run(change, *(getattr(scene, field) for field in fields))


_OF_A = "WHERE incarnation = ? AND line = 0 AND number = ?"
_PAGE = "WHERE id = (SELECT min(id) FROM pages WHERE incarnation = ?)"


def _blobs() -> Iterator[Tampering]:
    for what, becomes in _CHANGES.items():
        change = f"UPDATE records SET blob = {becomes.format('blob')} {_OF_A}"
        yield Tampering(f"records: a row {what}", _sql(change, "a", "tip"))
        change = f"UPDATE heads SET head = {becomes.format('head')} WHERE incarnation = ?"
        yield Tampering(f"heads: a row {what}", _sql(change, "a"))
        change = f"UPDATE pages SET blob = {becomes.format('blob')} {_PAGE}"
        yield Tampering(f"pages: a row {what}", _sql(change, "a"))


def _columns() -> Iterator[Tampering]:
    """Metadata beside the blobs, changed."""
    changes = {
        "records": {
            "line": "line + 1",
            "number": "number + 100",
            "count": "count + 1",
            "incarnation": "zeroblob(16)",
        },
        "heads": {
            "token": "zeroblob(16)",
            "key": "CAST('c' AS BLOB)",
        },
        "pages": {"id": "zeroblob(32)", "incarnation": "zeroblob(16)"},
    }
    where = {"records": _OF_A, "heads": "WHERE incarnation = ?", "pages": _PAGE}
    for table, columns in changes.items():
        fields = ("a", "tip") if table == "records" else ("a",)
        for column, becomes in columns.items():
            change = f"UPDATE {table} SET {column} = {becomes} {where[table]}"
            yield Tampering(f"{table}: {column} changed", _sql(change, *fields))
    yield Tampering("perdure: store_id changed", _meta("store_id", bytes(16)))
    yield Tampering("perdure: store_id of another length", _meta("store_id", bytes(15)))
    yield Tampering("perdure: created_us changed", _meta("created_us", "never"))


def _meta(name: str, value: Any) -> Callable[[Scene], None]:
    return lambda scene: scene.run("UPDATE perdure SET value = ? WHERE name = ?", value, name)


def _removals() -> Iterator[Tampering]:
    yield Tampering("records: the tail cut off", _sql(f"DELETE FROM records {_OF_A}", "a", "tip"))
    yield Tampering(
        "records: the middle deleted",
        lambda scene: scene.run(f"DELETE FROM records {_OF_A}", scene.a, scene.tip - 2),
    )
    yield Tampering(
        "records: the beginning deleted",
        lambda scene: scene.run(
            f"DELETE FROM records {_OF_A}",
            scene.a,
            scene.rows("SELECT min(number) FROM records WHERE incarnation = ?", scene.a)[0][0],
        ),
    )
    yield Tampering("records: all deleted", _sql("DELETE FROM records WHERE incarnation = ?", "a"))
    yield Tampering("heads: a row deleted", _sql("DELETE FROM heads WHERE incarnation = ?", "a"))
    yield Tampering("pages: a row deleted", _sql(f"DELETE FROM pages {_PAGE}", "a"))
    yield Tampering("pages: all deleted", _sql("DELETE FROM pages WHERE incarnation = ?", "a"))
    yield Tampering("perdure: all deleted", _sql("DELETE FROM perdure"))


def _misplaced() -> Iterator[Tampering]:
    """Bytes that are right, somewhere else."""
    yield Tampering("records: two rows exchanged", lambda scene: _exchange(scene, 1))
    yield Tampering("records: an older row in place", lambda scene: _put_before(scene, 1))
    yield Tampering("records: a row from another state", _from_other_state)
    yield Tampering(
        "records: a row beyond the tail",
        lambda scene: scene.run(
            "INSERT INTO records SELECT incarnation, line, number + 1, count, blob FROM records "
            + _OF_A,
            *(scene.a, scene.tip),
        ),
    )
    yield Tampering("pages: two rows exchanged", _exchange_pages)
    yield Tampering(
        "pages: a row from another state",
        lambda scene: scene.run(
            "UPDATE pages SET blob = (SELECT blob FROM pages WHERE incarnation = ?) " + _PAGE,
            *(scene.b, scene.a),
        ),
    )
    yield Tampering(
        "heads: the head of another state",
        lambda scene: scene.run(
            "UPDATE heads SET (token, head) = (SELECT token, head FROM heads WHERE incarnation = ?)"
            " WHERE incarnation = ?",
            *(scene.b, scene.a),
        ),
    )
    yield Tampering("heads: an older row in place", _older_head)


def _exchange(scene: Scene, below: int) -> None:
    for before, after in ((scene.tip, -1), (scene.tip - below, scene.tip), (-1, scene.tip - below)):
        scene.run(f"UPDATE records SET number = ? {_OF_A}", after, scene.a, before)


def _put_before(scene: Scene, below: int) -> None:
    scene.run(
        "UPDATE records SET blob = (SELECT blob FROM records AS other WHERE other.incarnation = ? "
        f"AND other.number = ?) {_OF_A}",
        *(scene.a, scene.tip - below, scene.a, scene.tip),
    )


def _from_other_state(scene: Scene) -> None:
    scene.run(
        "UPDATE records SET blob = (SELECT blob FROM records AS other WHERE other.incarnation = ? "
        f"ORDER BY number DESC LIMIT 1) {_OF_A}",
        *(scene.b, scene.a, scene.tip),
    )


def _exchange_pages(scene: Scene) -> None:
    one, two = scene.rows("SELECT id, blob FROM pages WHERE incarnation = ? LIMIT 2", scene.a)
    for (id_, _), (_, blob) in ((one, two), (two, one)):
        scene.run("UPDATE pages SET blob = ? WHERE id = ?", blob, id_)


def _older_head(scene: Scene) -> None:
    older = apsw.Connection(str(scene.older), flags=apsw.SQLITE_OPEN_READONLY)
    columns = "token, head, line, after, page"
    (row,) = older.execute(f"SELECT {columns} FROM heads WHERE incarnation = ?", (scene.a,))
    older.close()
    scene.run(
        f"UPDATE heads SET ({columns}) = (?, ?, ?, ?, ?) WHERE incarnation = ?", *row, scene.a
    )


def _forged() -> Iterator[Tampering]:
    """Made by somebody who knows the format: every checksum is right."""
    yield Tampering("records: a forged row", _forged_record)
    yield Tampering("heads: a forged row", lambda scene: _forge_head(scene, _shortened), True)
    yield Tampering("heads: a claim removed", lambda scene: _forge_head(scene, _unclaimed), True)


def _forged_record(scene: Scene) -> None:
    """A record of nobody, sealed for its place: the chain does not lead to it."""
    place = Place(scene.store, scene.a, 0, scene.tip)
    payload = bytes(64) + b"\x94\xc4\x10" + bytes(16) + b"\x00\xc4\x10" + bytes(16) + b"\x90"
    scene.run(
        f"UPDATE records SET blob = ? {_OF_A}",
        seal(Kind.RECORD, place, payload),
        scene.a,
        scene.tip,
    )


def _forge_head(scene: Scene, change: Callable[[Head], Head]) -> None:
    """A head in place of the other; of a store with a key it is one that nobody could read."""
    ((token, blob),) = scene.rows("SELECT token, head FROM heads WHERE incarnation = ?", scene.a)
    try:
        head = open_head(blob, store=scene.store, key="a", token=token)
    except NeedsPerson:
        head = Head(scene.a, 0, 0, token)
    forged = seal_head(change(head), store=scene.store, key="a")
    scene.run("UPDATE heads SET head = ? WHERE incarnation = ?", forged, scene.a)


def _shortened(head: Head) -> Head:
    branches = {name: tip for name, tip in head.branches.items() if name != MAIN}
    return msgspec.structs.replace(head, branches=branches, summary="forged")


def _unclaimed(head: Head) -> Head:
    return msgspec.structs.replace(head, claims=msgspec.UNSET, summary="forged")


TAMPERINGS: tuple[Tampering, ...] = (
    *_blobs(),
    *_columns(),
    *_removals(),
    *_misplaced(),
    *_forged(),
)
"""Every way to tamper with a store that is tried."""
