"""What a session has captured and not saved yet: bodies in order, first come, first saved."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator

from perdure import limits
from perdure.core.changes import Change, Move, unpack_changes
from perdure.engine.bodies import Body, joined


class Queue:
    """Captured bodies; those that no save asked for are last."""

    def __init__(self) -> None:
        self._bodies: deque[Body] = deque()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._bodies)

    def __iter__(self) -> Iterator[Body]:
        """All of them, oldest first."""
        return iter(self._bodies)

    def put(self, body: Body) -> None:
        """Put a captured body last; edits that were held there become part of it.

        An interrupt leaves it undone, or done.
        """
        last = self._bodies[-1] if self._bodies else None
        if last is None or not last.is_held:
            self._bodies.append(body)
        elif len(last.changes) + len(body.changes) <= limits.save_bytes_max:
            body.changes, body.masked = joined((last, body)), (*last.masked, *body.masked)
            body.sections, body.moves = last.sections | body.sections, (*last.moves, *body.moves)
            self._bodies[-1] = body
        else:
            for each in self._bodies:
                each.is_held = each.is_held and body.is_held
            self._bodies.append(body)

    @property
    def is_asked(self) -> bool:
        """Whether one waits that a save asked for."""
        return bool(self._bodies) and not self._bodies[0].is_held

    @property
    def is_holding(self) -> bool:
        """Whether one waits that no save asked for."""
        return bool(self._bodies) and self._bodies[-1].is_held

    def asked(self) -> tuple[Body, ...]:
        """The bodies that saves asked for."""
        return tuple([body for body in self._bodies if not body.is_held])

    def next(self) -> tuple[Body, ...]:
        """The oldest body, with those after it that may share its record.

        They stay queued until they are saved, so that no interruption can lose them.
        """
        waiting = self.asked()
        if len(waiting) == 1:
            return waiting
        count, size = 1, len(waiting[0].changes)
        while count < len(waiting) and not (waiting[0].extra or waiting[count].extra):
            size += len(waiting[count].changes)
            if size > limits.save_bytes_max:
                break
            count += 1
        return waiting[:count]

    def has(self, body: Body) -> bool:
        """Whether it is queued, or was and is saved by now."""
        return body.saved is not None or any(each is body for each in self._bodies)

    def changes(self) -> list[Change]:
        """All that they change, in order."""
        return [change for body in self._bodies for change in unpack_changes(body.changes)]

    def moves(self) -> list[Move]:
        """What they do to the order of sections."""
        return [move for body in self._bodies for move in body.moves]

    def sections(self) -> set[str]:
        """The sections that they change."""
        return {name for body in self._bodies for name in body.sections}

    def saved(self, body: Body) -> None:
        """Let the oldest go, if it is this one: it is saved."""
        if self._bodies and self._bodies[0] is body:
            self._bodies.popleft()

    def remove(self, body: Body) -> None:
        """Let one go of which others saved all."""
        self._bodies.remove(body)

    def keep_only(self, bodies: Collection[Body]) -> None:
        """Give up all but these."""
        self._bodies = deque(body for body in self._bodies if body in bodies)

    def clear(self) -> None:
        """Give up all."""
        self._bodies.clear()
