"""Values of classes that are nearly plain, and nested ones."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any, NamedTuple


class Mood(enum.Enum):
    GOOD = "good"
    SCORE = 3
    NESTED = (1, [2])


class Level(enum.IntEnum):
    LOW = 1


class Tone(enum.StrEnum):
    DRY = "dry"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: list[int]


class OddStr(str):
    def __str__(self) -> str:
        return "something else"


class OddInt(int):
    def __int__(self) -> int:
        return -1

    def __index__(self) -> int:
        return -1


class OddFloat(float):
    def __float__(self) -> float:
        return -1.0


class OddBytes(bytes):
    def __bytes__(self) -> bytes:
        return b"something else"


class OddDict(dict[Any, Any]):
    def items(self) -> Any:
        raise AssertionError

    __iter__ = keys = values = items


class OddList(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        raise AssertionError

    def __len__(self) -> int:
        return 99


class OddSet(set[Any]):
    def __iter__(self) -> Iterator[Any]:
        raise AssertionError


def nested(levels: int, kind: type = list) -> Any:
    value: Any = None
    for _ in range(levels):
        value = {"a": value} if kind is dict else kind([value])
    return value
