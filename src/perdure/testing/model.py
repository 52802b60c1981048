"""The reference model: what a store promises, said in plain Python, and nothing of how.

Every save of a simulated writer appends one token of its own to a list and raises a counter beside
it, in two sections. So a state says by itself which saves it holds, and whether it is whole:
as many tokens as checkpoints, and each writer's counter as long as its list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from perdure.types import Checkpoint

Sections: TypeAlias = dict[str, Any]

LOG, COUNT = "log", "count"
"""The two sections of a writer are `log NAME` and `count NAME`."""


class Broken(AssertionError):
    """A promise did not hold; the message begins with its number."""


def require(holds: bool, what: str) -> None:
    """Raise `Broken` unless a promise holds."""
    if not holds:
        raise Broken(what)


@dataclass(slots=True)
class Attempt:
    """One save as a writer meant it."""

    owner: str
    """Name of the sections it edits."""
    token: str
    told: Checkpoint | None = None
    """What the writer was told, once the save was acknowledged."""
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """One checkpoint of the final history."""

    number: int
    id: str
    time: datetime
    hash: str
    token: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """A state as somebody was shown it."""

    who: str
    number: int
    sections: Sections


class Model:
    """What one state may hold, from what its writers tried and what they were told.

    Example:
        >>> model = Model()
        >>> attempt = model.saving("w1", "w1.1")
        >>> model.seen("reader", 1, {"log w1": ["w1.1"], "count w1": 1})
    """

    def __init__(self) -> None:
        self.attempts: dict[str, Attempt] = {}
        self._seen: list[_Seen] = []

    @property
    def floor(self) -> int:
        """The newest checkpoint anybody was told of: a load that begins now shows it (P1)."""
        return max((a.told.number for a in self.attempts.values() if a.told), default=0)

    def saving(self, owner: str, token: str) -> Attempt:
        """A writer is about to save an edit that appends `token`."""
        require(token not in self.attempts, f"the simulator used {token} twice")
        attempt = self.attempts[token] = Attempt(owner, token)
        return attempt

    def acknowledged(self, attempt: Attempt, checkpoint: Checkpoint | None) -> None:
        """The save returned: from here on it is in the history, at this place (P1)."""
        require(checkpoint is not None, f"P1: {attempt.token} was acknowledged without checkpoint")
        assert checkpoint is not None
        for other in self.attempts.values():
            same = other.told is not None and other.told.number == checkpoint.number
            require(
                not same,
                f"P3: {attempt.token} and {other.token} were both acknowledged as checkpoint "
                f"{checkpoint.number}, from one parent",
            )
        attempt.told = checkpoint

    def gave_up(self, attempt: Attempt) -> None:
        """The writer was told that its save conflicts, and dropped it: it never lands."""
        attempt.given_up = True

    def seen(self, who: str, number: int, sections: Sections, floor: int = 0) -> None:
        """Somebody was shown the state at a checkpoint; it must be whole (P2) and fresh (P1)."""
        require(number >= floor, f"P1: {who} was shown {number}; {floor} was acknowledged before")
        tokens = [token for name, log in sections.items() if name.startswith(LOG) for token in log]
        require(
            len(tokens) == number,
            f"P2: {who} was shown {len(tokens)} saves at checkpoint {number}: {tokens}",
        )
        for name, log in sections.items():
            if name.startswith(LOG):
                count = sections.get(name.replace(LOG, COUNT, 1))
                require(
                    count == len(log), f"P2: {who} was shown half a save: {name} {log}, {count=}"
                )
        require(len(set(tokens)) == len(tokens), f"P4: {who} was shown a save twice: {tokens}")
        self._seen.append(_Seen(who, number, sections))

    def settle(self, history: Sequence[Checkpoint], sections: Sections) -> None:
        """Compare everything that was tried, told and shown with the final history.

        Args:
            history: every checkpoint with its changes, oldest first.
            sections: the state as loaded at the end.
        """
        kept = [_kept(checkpoint) for checkpoint in history]
        self._check_history(kept)
        self._check_told(kept)
        states = [Sections(), *self._replayed(kept)]
        for seen in (*self._seen, _Seen("the last load", len(kept), sections)):
            require(
                seen.number < len(states),
                f"P1: {seen.who} was shown checkpoint {seen.number}, which is gone",
            )
            require(
                seen.sections == states[seen.number],
                f"P2: {seen.who} was shown {seen.sections} at checkpoint {seen.number}; "
                f"its saves make {states[seen.number]}",
            )

    def _check_history(self, kept: Sequence[Kept]) -> None:
        numbers = [each.number for each in kept]
        require(numbers == list(range(1, len(kept) + 1)), f"P7: the history has gaps: {numbers}")
        tokens = [each.token for each in kept]
        require(len(set(tokens)) == len(tokens), f"P4: a save landed twice: {tokens}")
        require(len({each.id for each in kept}) == len(kept), "P4: an id is in the history twice")
        times = [each.time for each in kept]
        require(times == sorted(times), f"times go back: {times}")
        for token in tokens:
            require(token in self.attempts, f"P2: {token} was never saved")
            require(not self.attempts[token].given_up, f"P4: {token} was given up, and landed")

    def _check_told(self, kept: Sequence[Kept]) -> None:
        for attempt in self.attempts.values():
            if attempt.told is None:
                continue
            told = attempt.told
            found = kept[told.number - 1] if told.number <= len(kept) else None
            wanted = Kept(told.number, told.id, told.time, told.hash, attempt.token)
            require(found == wanted, f"P1: acknowledged was {wanted}; the history has {found}")

    def _replayed(self, kept: Sequence[Kept]) -> Iterator[Sections]:
        logs: dict[str, list[str]] = {}
        for each in kept:
            logs.setdefault(self.attempts[each.token].owner, []).append(each.token)
            state = {f"{LOG} {owner}": list(log) for owner, log in logs.items()}
            yield state | {f"{COUNT} {owner}": len(log) for owner, log in logs.items()}


def _kept(checkpoint: Checkpoint) -> Kept:
    tokens = list(_texts([_values(change) for change in checkpoint.changes or ()]))
    require(
        len(tokens) == 1,
        f"P2: checkpoint {checkpoint.number} appends {tokens}, not the one token of one save",
    )
    return Kept(checkpoint.number, checkpoint.id, checkpoint.time, checkpoint.hash, tokens[0])


def _values(change: Any) -> Any:
    """What a change puts into the state, without its path."""
    return getattr(change, "items", None) or getattr(change, "value", None)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
