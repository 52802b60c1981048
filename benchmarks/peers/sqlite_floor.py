"""The floor: each message one row of one table, through apsw, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.floor import Floor
from benchmarks.messages import Message, packed
from benchmarks.peers.peer import Peer, sqlite_mode, with_text


class SqliteFloor(Peer):
    synchronous: Literal["FULL", "NORMAL"]

    def open(self, directory: Path) -> None:
        self._floor = Floor(directory / "conversation.db", self.synchronous)

    def save(self, message: Message) -> None:
        self._floor.insert(packed(message))

    def load(self) -> int:
        decode = msgspec.msgpack.Decoder().decode
        return with_text([decode(blob)["content"] for blob in self._floor.read_all()])

    def mode(self) -> str:
        pragma = self._floor.pragma
        return sqlite_mode(pragma("journal_mode"), pragma("synchronous"))

    def close(self) -> None:
        self._floor.close()


class FloorFull(SqliteFloor):
    synchronous = "FULL"


class FloorNormal(SqliteFloor):
    synchronous = "NORMAL"
