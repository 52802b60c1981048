"""The file of a `SQLiteSession`, or one of its kind, read and never written to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from agents.memory import SQLiteSession

from perdure.adapters.sqlite_files import opened_to_read, reading
from perdure.core.head import MAIN
from perdure.errors import BadStored, UsageError

_COLUMNS = {"id", "session_id", "message_data"}
_STRUCTURE = {"session_id", "message_id", "branch_id", "sequence_number"}


class Place(msgspec.Struct, frozen=True):
    """A conversation, or a branch of one, in the file.

    Args:
        session_id: what the SDK calls it.
        branch: of it; only an `AdvancedSQLiteSession` has others than `main`.
        count: how many items it has.
    """

    session_id: str
    branch: str
    count: int


class SqliteItems:
    """What a file has, as of when it was opened.

    `AsyncSQLiteSession`, `AdvancedSQLiteSession` with its branches, and `SQLAlchemySession` on
    SQLite write the same tables; `EncryptedSession` writes to any of them.

    Args:
        path: of the file.
        table: the table of the items.
        encryption_key: what an `EncryptedSession` was given, if one wrote it.

    Raises:
        UsageError: it has no such table, or is the URL of another database.
        StoreUnavailable: it is not there, or is no SQLite file.
    """

    def __init__(self, path: str | Path, table: str, encryption_key: str | None) -> None:
        self.name = str(path)
        if "://" in self.name:
            raise UsageError(
                f"{self.name} is no file: conversations are moved from SQLite files alone, and "
                "from no other database"
            )
        self._base = opened_to_read(path)
        self._table = '"' + table.replace('"', '""') + '"'
        self._encryption_key = encryption_key
        if not self._columns(table) >= _COLUMNS:
            self._base.close()
            raise UsageError(
                f"{self.name} has no table {table!r} of a session of the OpenAI Agents SDK"
            )
        self._has_branches = self._columns("message_structure") >= _STRUCTURE
        self._order = "created_at, id" if self._is_by_time(table) else "id"

    def _columns(self, table: str) -> set[str]:
        found = self._base.execute("SELECT name FROM pragma_table_info(?)", (table,))
        return {name for (name,) in found}

    def _is_by_time(self, table: str) -> bool:
        """Whether a `SQLAlchemySession` made the table: it reads its items by their times."""
        found = self._base.execute(
            "SELECT i.name, group_concat(c.name) FROM pragma_index_list(?) i, "
            "pragma_index_info(i.name) c GROUP BY i.name",
            (table,),
        )
        return any(columns == "session_id,created_at" for _, columns in found)

    def places(self) -> list[Place]:
        """The conversations by their ids, each with `main` first and its other branches then."""
        with reading(self.name):
            rows = self._base.execute(
                f"SELECT session_id, ?, count(*) FROM {self._table} WHERE session_id NOT IN "
                f"({self._branched()}) GROUP BY session_id",
                (MAIN,),
            ).fetchall()
            if self._has_branches:
                rows += self._base.execute(
                    f"SELECT s.session_id, s.branch_id, count(*) FROM message_structure s JOIN "
                    f"{self._table} m ON m.id = s.message_id GROUP BY s.session_id, s.branch_id"
                ).fetchall()
        found = [Place(*row) for row in rows]
        return sorted(found, key=lambda each: (each.session_id, each.branch != MAIN, each.branch))

    def _branched(self) -> str:
        """The conversations whose items are put in order by another table."""
        return (
            "SELECT session_id FROM message_structure" if self._has_branches else "SELECT 0 WHERE 0"
        )

    def items(self, place: Place) -> Iterator[tuple[str, Any]]:
        """The ids and the items of one, oldest first.

        Raises:
            BadStored: one of them is no JSON, or is encrypted and cannot be decrypted.
            StoreUnavailable: the file is damaged where they are.
        """
        cipher = self._cipher(place.session_id)
        with reading(self.name):
            for id_, data in self._rows(place):
                yield str(id_), self._item(id_, data, cipher)

    def _item(self, id_: int, data: Any, cipher: Any) -> Any:
        try:
            item = json.loads(data)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadStored(f"item {id_} is no JSON: {error}") from error
        if isinstance(item, dict) and item.get("__enc__") == 1 and "payload" in item:
            return self._decrypted(item, cipher, id_)
        return item

    def _rows(self, place: Place) -> sqlite3.Cursor:
        chosen = (place.session_id, place.branch)
        is_branched = (
            self._has_branches
            and self._base.execute(
                "SELECT 1 FROM message_structure WHERE session_id = ? AND branch_id = ?", chosen
            ).fetchone()
        )
        if is_branched:
            return self._base.execute(
                f"SELECT m.id, m.message_data FROM message_structure s JOIN {self._table} m "
                "ON m.id = s.message_id WHERE s.session_id = ? AND s.branch_id = ? "
                "ORDER BY s.sequence_number, s.id",
                chosen,
            )
        return self._base.execute(
            f"SELECT id, message_data FROM {self._table} WHERE session_id = ? "
            f"ORDER BY {self._order}",
            chosen[:1],
        )

    def _cipher(self, session_id: str) -> Any:
        if self._encryption_key is None:
            return None
        from agents.extensions.memory import EncryptedSession

        kept = SQLiteSession(session_id)  # in memory, and empty: only its id is of use
        try:
            return EncryptedSession(session_id, kept, self._encryption_key).cipher
        finally:
            kept.close()

    def _decrypted(self, envelope: dict[str, Any], cipher: Any, id_: int) -> Any:
        """An item that was encrypted, however long ago: its time to live is not asked for."""
        from cryptography.fernet import InvalidToken

        if cipher is None:
            raise BadStored(f"item {id_} is encrypted by an EncryptedSession: its key is needed")
        try:
            return json.loads(cipher.decrypt(envelope["payload"].encode()))
        except (InvalidToken, AttributeError, ValueError, RecursionError) as error:
            raise BadStored(f"item {id_} cannot be decrypted with this key") from error

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()
