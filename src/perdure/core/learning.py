"""Classes that msgspec is to know before threads ask it for them."""

from __future__ import annotations

from typing import Any

import msgspec


def learn(*classes: Any) -> None:
    """Have msgspec learn how to make objects of some classes, and of those within them.

    Args:
        classes: kinds of `msgspec.Struct` that `msgspec.convert` makes.

    Example:
        >>> learn(Head, Mark)
    """
    for each in classes:
        msgspec.msgpack.Decoder(each)
