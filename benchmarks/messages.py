"""What agents say: made-up messages of about 600 bytes, and recorded conversations."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

Message: TypeAlias = dict[str, Any]

_SYLLABLES = ["ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "ti", "vo", "zu"]
CONTENT_CHARS = 560
CONTENTS = 5_000
"""Texts that are made up, each at some cost; more messages repeat them, too far apart for
compression to find: a pack holds at most 1 MiB of them, a page 128 KiB."""


def message(seed: int) -> Message:
    """A message of about 600 bytes as msgpack, unlike every other."""
    role = "assistant" if seed % 2 else "user"
    return {"role": role, "content": _content(seed % CONTENTS), "turn": seed}


@cache
def _content(seed: int) -> str:
    choose = random.Random(seed)
    words: list[str] = []
    chars = 0
    while chars < CONTENT_CHARS:
        word = "".join(choose.choices(_SYLLABLES, k=choose.randint(1, 4)))
        words.append(word)
        chars += len(word) + 1
    return " ".join(words)[:CONTENT_CHARS]


def messages(count: int, first: int = 0) -> list[Message]:
    return [message(seed) for seed in range(first, first + count)]


def packed(what: Any) -> bytes:
    return msgspec.msgpack.encode(what)


def endless() -> Iterator[tuple[Message, bytes]]:
    """Messages with their msgpack bytes, made beforehand so that making them costs no one."""
    pool = [(made, packed(made)) for made in messages(500)]
    while True:
        yield from pool


def conversations(data: Path | None, count_max: int) -> tuple[list[list[Message]], str]:
    """Recorded conversations if there are any, else made-up ones, and which these are."""
    if data is None:
        lengths = random.Random(7)
        made = [messages(lengths.randint(10, 40), 1000 * n) for n in range(count_max)]
        return made, "synthetic messages"
    with gzip.open(data, "rb") as lines:
        recorded = [
            msgspec.json.decode(line)["messages"] for line, _ in zip(lines, range(count_max))
        ]
    return recorded, "recorded airline trajectories"
