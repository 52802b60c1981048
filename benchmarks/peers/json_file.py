"""What many agents do: the whole conversation as one JSON file, written anew at each save."""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks.messages import Message
from benchmarks.peers.peer import Peer, with_text


class JsonFile(Peer):
    def open(self, directory: Path) -> None:
        self._path = directory / "conversation.json"
        self._messages = json.loads(self._path.read_text("utf-8")) if self._path.exists() else []

    def save(self, message: Message) -> None:
        self._messages.append(message)
        beside = self._path.with_suffix(".new")
        with beside.open("w", encoding="utf-8") as file:
            file.write(json.dumps(self._messages))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)

    def load(self) -> int:
        return with_text([message["content"] for message in self._messages])

    def mode(self) -> str:
        return "fsync, rename"

    def close(self) -> None:
        pass
