"""The file of a `SqliteSaver`, read and never written to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import writes_sort_key

from perdure.adapters.langgraph.moving import Row
from perdure.adapters.sqlite_files import opened_to_read, reading
from perdure.errors import UsageError

_TABLES = {"checkpoints", "writes"}


class SqliteRows:
    """What a file has, as of when it was opened.

    Args:
        path: of the file.

    Raises:
        UsageError: it is not the file of a `SqliteSaver`.
        StoreUnavailable: it is not there, or cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        self._base = opened_to_read(path)
        tables = {name for (name,) in self._all("SELECT name FROM sqlite_master")}
        if not tables >= _TABLES:
            self._base.close()
            raise UsageError(f"{self.name} is not a file of LangGraph's SqliteSaver")
        columns = {each[1] for each in self._all("PRAGMA table_info(writes)")}
        self._path = "task_path" if "task_path" in columns else "''"

    def _all(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with reading(self.name):
            return self._base.execute(query, values).fetchall()

    def threads(self) -> Sequence[tuple[str, str, int]]:
        """Each thread and namespace, and how many checkpoints it has."""
        found = self._all(
            "SELECT thread_id, checkpoint_ns, count(*) FROM checkpoints "
            "GROUP BY thread_id, checkpoint_ns ORDER BY thread_id, checkpoint_ns"
        )
        return [(thread_id, namespace, count) for thread_id, namespace, count in found]

    def parents(self, thread_id: str, namespace: str) -> dict[str, str | None]:
        """Of each checkpoint its parent's id."""
        found = self._all(
            "SELECT checkpoint_id, parent_checkpoint_id FROM checkpoints "
            "WHERE thread_id = ? AND checkpoint_ns = ?",
            *(thread_id, namespace),
        )
        return {id_: parent or None for id_, parent in found}

    def read(self, thread_id: str, namespace: str, checkpoint_id: str) -> Row:
        """One checkpoint."""
        place = (thread_id, namespace, checkpoint_id)
        ((parent, form, data, metadata),) = self._all(
            "SELECT parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints "
            "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",
            *place,
        )
        writes = self._all(
            f"SELECT task_id, {self._path}, idx, channel, type, value FROM writes "
            "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",
            *place,
        )
        writes.sort(key=lambda each: writes_sort_key(each[1], each[0], each[2]))
        told: dict[str, Any] = json.loads(metadata) if metadata is not None else {}
        return Row(
            checkpoint_id,
            parent or None,
            (form, data),
            told,
            {},
            [(each[0], each[1], each[2], each[3], (each[4], each[5])) for each in writes],
        )

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()
