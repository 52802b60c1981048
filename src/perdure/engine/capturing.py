"""Capturing: what a save takes of the live tree, which then waits in the queue to be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from perdure import limits
from perdure.core.changes import Change, moves_of, pack_changes, sections_of
from perdure.core.record import LABEL, METADATA, SUMMARY
from perdure.engine.bodies import Body, Sent, too_much
from perdure.engine.live import Live
from perdure.engine.refresh import torn
from perdure.engine.requests import Durability
from perdure.types import FoundSecret

if TYPE_CHECKING:
    from perdure.engine.claims import Settling

Screen: TypeAlias = Callable[
    [Any, dict[str, Any], "tuple[Settling, ...]"],
    "tuple[tuple[Settling, ...], tuple[FoundSecret, ...]]",
]
"""Given the document, what a save says besides, and outcomes of claims: gives these as they are to
be kept, and what was masked; raises `SecretFound` (`perdure.secrets.screen.Screen.look`)."""


class Capturing(Live):
    """The live tree of a session, and what was captured of its edits and is not saved yet."""

    screen: Screen | None = None
    """Looks at what is about to be captured, before it is."""
    _sent: Sent | None = None
    """What was sent and is not settled."""

    def stage(
        self,
        label: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        ending: bool = False,
        durability: Durability = "power",
        settles: tuple[Settling, ...] = (),
    ) -> Body | None:
        """Capture what changed into a body, if there is anything to save; `settles` go with it.

        A save of a state that was never saved is something, even when it is empty; its end is not.
        """
        if self.torn is not None and (self.torn or not ending or self.document.touched()):
            raise torn(self)
        extra: dict[str, Any] = {}
        if label is not None:
            extra[LABEL] = label
        if metadata is not None:
            extra[METADATA] = metadata
        if self.is_summary_unsaved:
            extra[SUMMARY] = self.summary
        if ending:
            self.document.check_lists()
        settles, masked = self._look_over(extra, settles)
        body = self._capture(extra, durability, settles)
        makes = self.is_new and not self.unsaved and not ending
        if body is None and (extra or makes or settles or self.queue.is_holding):
            body = Body(pack_changes([]), frozenset(), (), extra, durability, settles)
            self.queue.put(body)
        if body is not None and masked:
            body.masked += masked
        self._saved_summary = self.summary
        return body

    def hold(self) -> None:
        """Capture what changed for no save: it stays unsaved until the next one that is asked for.

        So it can be merged with what others saved, and be given up as any edit.
        """
        self.document.gather()
        _, masked = self._look_over({}, ())
        body = self._capture({}, "process", (), is_held=True)
        if body is not None:
            body.masked += masked

    def _look_over(
        self, extra: dict[str, Any], settles: tuple[Settling, ...]
    ) -> tuple[tuple[Settling, ...], tuple[FoundSecret, ...]]:
        """Have what is about to be captured looked at; the outcomes to keep, and what was masked.

        Raises:
            SecretFound: it is not to be saved.
        """
        if self.screen is None:
            return settles, ()
        seen = self.screen(self.document, extra, settles)
        if SUMMARY in extra:
            self.summary = extra[SUMMARY]
        return seen

    def _capture(
        self,
        extra: dict[str, Any],
        durability: Durability,
        settles: tuple[Settling, ...],
        *,
        is_held: bool = False,
    ) -> Body | None:
        bodies: list[Body] = []

        def keep(changes: list[Change]) -> None:
            packed = pack_changes(changes)
            if len(packed) > limits.save_bytes_max:
                raise too_much(len(packed), changes)
            names, moves = frozenset(sections_of(changes)), moves_of(changes)
            bodies.append(Body(packed, names, moves, extra, durability, settles, is_held))
            self.queue.put(bodies[0])

        def kept() -> bool:
            return bool(bodies) and self.queue.has(bodies[0])

        self.document.capture(keep, kept)
        return bodies[0] if bodies else None

    @property
    def unsaved(self) -> bool:
        """Whether a captured body still waits to be saved, asked for or not."""
        return bool(self.queue) or self._sent is not None

    def drop_waiting(self) -> None:
        """Give up captured bodies that were never sent."""
        sent = self._sent.bodies if self._sent is not None else ()
        self.queue.keep_only(sent)
        self.took_in = self.took_in if sent else None
