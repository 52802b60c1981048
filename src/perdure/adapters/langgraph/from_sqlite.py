"""The file of a `SqliteSaver`, read and never written to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from langgraph.checkpoint.base import writes_sort_key

from perdure.adapters.langgraph.moving import Row
from perdure.errors import StoreUnavailable, UsageError

_TABLES = {"checkpoints", "writes"}


class SqliteRows:
    """What a file has, as of when it was opened.

    A file without a write-ahead log beside it is opened as one that nobody changes, so that SQLite
    leaves nothing beside it. Of one that is in use, the log is read too.

    Args:
        path: of the file.

    Raises:
        UsageError: it is not the file of a `SqliteSaver`.
        StoreUnavailable: it is not there, or cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        file = Path(path).absolute()
        if not file.is_file():
            raise StoreUnavailable(f"there is no file {self.name}")
        log = Path(f"{file}-wal")
        mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
        try:
            self._base = sqlite3.connect(
                f"file:{quote(str(file))}?{mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
            self._begin()
        except sqlite3.DatabaseError as error:
            raise StoreUnavailable(f"{self.name} cannot be read: {error}") from error

    def _begin(self) -> None:
        self._base.execute("BEGIN")  # one moment, whatever is written meanwhile
        tables = {name for (name,) in self._base.execute("SELECT name FROM sqlite_master")}
        if not tables >= _TABLES:
            self._base.close()
            raise UsageError(f"{self.name} is not a file of LangGraph's SqliteSaver")
        columns = {each[1] for each in self._base.execute("PRAGMA table_info(writes)")}
        self._path = "task_path" if "task_path" in columns else "''"

    def threads(self) -> Sequence[tuple[str, str, int]]:
        """Each thread and namespace, and how many checkpoints it has."""
        return self._base.execute(
            "SELECT thread_id, checkpoint_ns, count(*) FROM checkpoints "
            "GROUP BY thread_id, checkpoint_ns ORDER BY thread_id, checkpoint_ns"
        ).fetchall()

    def parents(self, thread_id: str, namespace: str) -> dict[str, str | None]:
        """Of each checkpoint its parent's id."""
        found = self._base.execute(
            "SELECT checkpoint_id, parent_checkpoint_id FROM checkpoints "
            "WHERE thread_id = ? AND checkpoint_ns = ?",
            (thread_id, namespace),
        )
        return {id_: parent or None for id_, parent in found}

    def read(self, thread_id: str, namespace: str, checkpoint_id: str) -> Row:
        """One checkpoint."""
        place = (thread_id, namespace, checkpoint_id)
        parent, form, data, metadata = self._base.execute(
            "SELECT parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints "
            "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",
            place,
        ).fetchone()
        writes = self._base.execute(
            f"SELECT task_id, {self._path}, idx, channel, type, value FROM writes "
            "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",
            place,
        ).fetchall()
        writes.sort(key=lambda each: writes_sort_key(each[1], each[0], each[2]))
        told: dict[str, Any] = json.loads(metadata) if metadata is not None else {}
        return Row(
            checkpoint_id,
            parent or None,
            (form, data),
            told,
            {},
            [(*each[:4], (each[4], each[5])) for each in writes],
        )

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()
