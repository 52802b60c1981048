"""The cursor of a watch as text: what a watcher was given, so that another goes on from there.

It is JSON: the store, what is watched, and of each state, by incarnation, a list of numbers:
`[floor, journal, line, number, line, number, …]`, the fields of `perdure.engine.watch.Given`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import msgspec

from perdure.engine.watch import Given
from perdure.errors import UsageError

Lives: TypeAlias = Mapping[bytes, Given]
"""What was given of each life of a key, by its incarnation."""

_Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
_Numbers = Annotated[list[Annotated[int, msgspec.Meta(ge=-1)]], msgspec.Meta(min_length=2)]


class Text(msgspec.Struct, frozen=True):
    """A cursor as it is written."""

    v: Literal[1]
    store: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{32})?$")]
    """The store's id (hex); empty: it was not made yet."""
    watch: str
    branch: str
    states: dict[str, dict[_Id, _Numbers]]


def fragment(key: str, lives: Lives) -> str:
    """What a cursor says of one state."""
    numbers = {
        incarnation.hex(): [
            given.floor,
            given.journal,
            *(number for pair in sorted(given.lines.items()) for number in pair),
        ]
        for incarnation, given in lives.items()
    }
    return msgspec.json.encode({key: numbers})[1:-1].decode()


def written(store: bytes, watch: str, branch: str, fragments: Mapping[str, str]) -> str:
    """A cursor, of what `fragment` says of each state."""
    head = msgspec.json.encode(
        {"v": 1, "store": store.hex(), "watch": watch, "branch": branch, "states": {}}
    ).decode()
    return f"{head[:-2]}{','.join(fragments.values())}}}}}"


def read(text: str, watch: str, branch: str) -> tuple[bytes, dict[str, dict[bytes, Given]]]:
    """The store's id, empty if it was not made yet, and what was given of each state.

    Raises:
        UsageError: it is not a cursor, or one of another watch.
    """
    try:
        found = msgspec.json.decode(text, type=Text)
        states = {
            key: {bytes.fromhex(name): _given(numbers) for name, numbers in lives.items()}
            for key, lives in found.states.items()
        }
    except (msgspec.DecodeError, TypeError, ValueError) as error:
        raise UsageError(f"this is not a cursor that a watch gave: {error}") from error
    if (found.watch, found.branch) != (watch, branch):
        raise UsageError(
            f"this cursor is of a watch of {found.watch!r} on branch {found.branch!r}, not of "
            f"{watch!r} on {branch!r}"
        )
    return bytes.fromhex(found.store), states


def _given(numbers: list[int]) -> Given:
    floor, journal, *rest = numbers
    if len(rest) % 2 or min(rest, default=0) < 0 or journal < 0:
        raise ValueError("its numbers do not stand in pairs of a line and a number")
    return Given(dict(zip(rest[::2], rest[1::2], strict=True)), floor, journal)
