"""What is asked of a library here: to keep one conversation, message by message."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.measure import timed
from benchmarks.messages import Message

Before: TypeAlias = Callable[[int], None]
"""Called before each save with its number, from 0, outside what is timed."""


class Peer(ABC):
    """One conversation in one library, kept in a directory of its own."""

    @abstractmethod
    def open(self, directory: Path) -> None:
        """Begin the conversation, or go on with the one that is there."""

    @abstractmethod
    def save(self, message: Message) -> None:
        """Add a message; it is as durable as the library makes it when this returns."""

    @abstractmethod
    def load(self) -> int:
        """Read the whole conversation: how many messages came back with their text."""

    @abstractmethod
    def mode(self) -> str:
        """How saves reach the disk, as the library leaves it, read from its own connection."""

    @abstractmethod
    def close(self) -> None: ...

    def save_each(self, messages: Sequence[Message], before: Before) -> list[float]:
        """Seconds that each save took."""
        times = []
        for number, message in enumerate(messages):
            before(number)
            times.append(timed(partial(self.save, message)))
        return times


class AsyncPeer(Peer):
    """The same in a library whose methods are awaited; saves are timed inside one event loop."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    @abstractmethod
    async def aopen(self, directory: Path) -> None: ...

    @abstractmethod
    async def asave(self, message: Message) -> None: ...

    @abstractmethod
    async def aload(self) -> int: ...

    @abstractmethod
    async def amode(self) -> str: ...

    @abstractmethod
    async def aclose(self) -> None: ...

    def open(self, directory: Path) -> None:
        self._runner.run(self.aopen(directory))

    def save(self, message: Message) -> None:
        self._runner.run(self.asave(message))

    def load(self) -> int:
        return self._runner.run(self.aload())

    def mode(self) -> str:
        return self._runner.run(self.amode())

    def close(self) -> None:
        with self._runner:
            self._runner.run(self.aclose())

    def save_each(self, messages: Sequence[Message], before: Before) -> list[float]:
        return self._runner.run(self._asave_each(messages, before))

    async def _asave_each(self, messages: Sequence[Message], before: Before) -> list[float]:
        times = []
        for number, message in enumerate(messages):
            before(number)
            began = time.perf_counter()
            await self.asave(message)
            times.append(time.perf_counter() - began)
        return times


SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")


def sqlite_mode(journal: Any, synchronous: Any) -> str:
    """The answers to `PRAGMA journal_mode` and `PRAGMA synchronous` in words."""
    return f"{str(journal).upper()}, {SYNCHRONOUS[int(synchronous)]}"


def with_text(texts: Sequence[object]) -> int:
    """How many of `texts` are there and not empty: a message is loaded when its text is."""
    return sum(isinstance(text, str) and text != "" for text in texts)
