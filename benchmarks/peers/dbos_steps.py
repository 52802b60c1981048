"""DBOS on SQLite: one workflow, each message the recorded output of one step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSClient, SetWorkflowID

from benchmarks.messages import Message
from benchmarks.peers.peer import Before, Peer, sqlite_mode, with_text

WORKFLOW = "alice"


@DBOS.step()
def say(message: Message) -> Message:
    return message


@DBOS.workflow()
def conversation() -> None:
    """All saves: a step is recorded only inside a workflow."""
    peer, messages, before, times = _under_way.pop()
    times += Peer.save_each(peer, messages, before)


# Not the workflow's arguments, which DBOS would record too.
_under_way: list[tuple[Peer, Sequence[Message], Before, list[float]]] = []


class Dbos(Peer):
    def open(self, directory: Path) -> None:
        self._url = f"sqlite:///{directory / 'conversation.db'}"
        self._dbos: Any = None

    def save(self, message: Message) -> None:
        say(message)

    def save_each(self, messages: Sequence[Message], before: Before) -> list[float]:
        config = {"name": "peers", "system_database_url": self._url, "log_level": "ERROR"}
        self._dbos = DBOS(config=config)
        DBOS.launch()
        times: list[float] = []
        _under_way.append((self, messages, before, times))
        with SetWorkflowID(WORKFLOW):
            conversation()
        return times

    def load(self) -> int:
        client = DBOSClient(system_database_url=self._url)
        steps = client.list_workflow_steps(WORKFLOW)
        client.destroy()
        return with_text([step["output"]["content"] for step in steps])

    def mode(self) -> str:
        with self._dbos._sys_db.engine.connect() as connection:
            journal, synchronous = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous")
            )
        return sqlite_mode(journal, synchronous)

    def close(self) -> None:
        if self._dbos is not None:
            DBOS.destroy()
