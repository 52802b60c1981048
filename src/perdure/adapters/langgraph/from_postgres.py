"""The database of a `PostgresSaver`, read in one transaction that may not write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from langgraph.checkpoint.base import writes_sort_key

from perdure.adapters.langgraph.moving import Row, Typed
from perdure.errors import StoreUnavailable, UsageError


class PostgresRows:
    """What a database has, as of when it was opened.

    Args:
        url: of the database.

    Raises:
        UsageError: psycopg is not installed, or it is not the database of a `PostgresSaver`.
        StoreUnavailable: it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise UsageError(
                "a postgresql:// URL needs psycopg: pip install 'psycopg[binary]'"
            ) from error
        self.name = _without_password(url)
        self._failure = psycopg.Error
        try:
            self._base = psycopg.connect(url, connect_timeout=10)
        except psycopg.Error as error:
            raise self._told(error) from error
        self._base.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._base.read_only = True
        found = self._all("SELECT to_regclass('checkpoints'), to_regclass('checkpoint_blobs')")
        self._has_path = bool(
            self._all(
                "SELECT 1 FROM information_schema.columns "
                "WHERE table_name = 'checkpoint_writes' AND column_name = 'task_path'"
            )
        )
        if None in found[0]:
            self._base.close()
            raise UsageError(f"{self.name} has no tables of LangGraph's PostgresSaver")

    def _all(self, query: Any, *values: str) -> list[tuple[Any, ...]]:
        try:
            return self._base.execute(query, values).fetchall()
        except self._failure as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(f"{self.name} cannot be read: {error}")

    def threads(self) -> Sequence[tuple[str, str, int]]:
        """Each thread and namespace, and how many checkpoints it has."""
        found = self._all(
            "SELECT thread_id, checkpoint_ns, count(*) FROM checkpoints GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return [(thread_id, namespace, count) for thread_id, namespace, count in found]

    def parents(self, thread_id: str, namespace: str) -> dict[str, str | None]:
        """Of each checkpoint its parent's id."""
        found = self._all(
            "SELECT checkpoint_id, parent_checkpoint_id FROM checkpoints "
            "WHERE thread_id = %s AND checkpoint_ns = %s",
            *(thread_id, namespace),
        )
        return {id_: parent or None for id_, parent in found}

    def read(self, thread_id: str, namespace: str, checkpoint_id: str) -> Row:
        """One checkpoint, with the values that are kept apart."""
        place = (thread_id, namespace, checkpoint_id)
        ((parent, checkpoint, metadata),) = self._all(
            "SELECT parent_checkpoint_id, checkpoint, metadata FROM checkpoints "
            "WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s",
            *place,
        )
        blobs = self._all(
            "SELECT b.channel, b.type, b.blob FROM checkpoints c "
            "CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') v "
            "JOIN checkpoint_blobs b ON b.thread_id = c.thread_id "
            "AND b.checkpoint_ns = c.checkpoint_ns AND b.channel = v.key AND b.version = v.value "
            "WHERE c.thread_id = %s AND c.checkpoint_ns = %s AND c.checkpoint_id = %s "
            "AND b.type <> 'empty'",
            *place,
        )
        task_path = "task_path" if self._has_path else "''"
        writes = self._all(
            f"SELECT task_id, {task_path}, idx, channel, type, blob FROM checkpoint_writes "
            "WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s",
            *place,
        )
        writes.sort(key=lambda each: writes_sort_key(each[1], each[0], each[2]))
        values: dict[str, Typed] = {name: (form, data) for name, form, data in blobs}
        return Row(
            checkpoint_id,
            parent or None,
            checkpoint,
            metadata,
            values,
            [(each[0], each[1], each[2], each[3], (each[4], each[5])) for each in writes],
        )

    def close(self) -> None:
        """Let go of the database."""
        self._base.close()


def _without_password(url: str) -> str:
    """A URL as it may be shown."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"
