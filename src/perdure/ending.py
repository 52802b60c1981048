"""How a session ends: what becomes of its unsaved edits, and of an end that cannot be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from perdure.errors import PerdureError, UsageError, Waiting
from perdure.events import log

if TYPE_CHECKING:
    from perdure.engine.bodies import Overtaken
    from perdure.engine.requests import Steps
    from perdure.engine.session import SessionCore
    from perdure.leasing import Claim
    from perdure.session_base import OnCancel, OnError
    from perdure.state.document import Document
    from perdure.types import Durability

T = TypeVar("T")


class Ending:
    """What ends a session of either kind."""

    _is_loss_told = False

    if TYPE_CHECKING:
        _closed: bool
        _core: SessionCore
        _document: Document
        _claim: Claim | None
        _durability: Durability
        _on_error: OnError
        _on_cancel: OnCancel

        @property
        def key(self) -> str:
            """Of the state."""
            ...

        def _has_unsaved(self) -> bool: ...
        def _before_save(self, durability: Durability, *, ending: bool = False) -> None: ...
        def _merging(
            self, steps: Callable[[], Steps[T]], overtaken: Overtaken | None = None
        ) -> Steps[T]: ...

    def _ended(self, how: str, error: str | None) -> Steps[None]:
        return self._merging(partial(self._core.end, how, error, self._durability))

    def _ending(
        self, error: BaseException | None, detail: dict[str, Any]
    ) -> tuple[str, str | None]:
        """How the session ends, after deciding what becomes of its unsaved edits."""
        if error is None:
            how, named = "closed", None
        elif isinstance(error, Waiting):
            how, named = "waiting", None
        else:
            how = "failed" if isinstance(error, Exception) else "cancelled"
            named = type(error).__qualname__
        if self._keeps_edits(error):
            if self._has_unsaved():
                self._before_save(self._durability, ending=True)
            body = self._core.stage(ending=True, durability=self._durability)
            if body is not None and body.masked:
                detail["masked"] = body.masked
        else:
            self._core.drop_waiting()
        detail["ended"] = how
        return how, named

    def _keeps_edits(self, error: BaseException | None) -> bool:
        """Whether a block that ended so has its unsaved edits saved."""
        if isinstance(error, Exception) and not isinstance(error, Waiting):
            return self._on_error == "save"
        return error is None or isinstance(error, Waiting) or self._on_cancel == "keep"

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """End the session while its locks are held; it stays open if the end fails.

        No edit passes from before the last one is captured: it would not be saved any more.
        """
        self._document.close()
        try:
            yield
        except BaseException:
            self._document.reopen()
            raise
        self._end()

    def _end(self) -> None:
        self._closed = True
        self._document.close()
        if self._claim is not None:
            self._claim.ended(is_free=not self._core.holds)

    def _end_failed(self, failure: PerdureError, error: BaseException | None) -> None:
        """The end could not be written: the user's own error goes first, else this one.

        Where edits that were to be kept are not saved, the session stays open for another try.
        """
        # An error of usage is one of capturing them: an edit that no save can hold.
        is_refused = isinstance(failure, UsageError)
        is_unsaved = is_refused or self._core.unsaved or bool(self._core.touched())
        if error is None or (self._keeps_edits(error) and is_unsaved):
            failure.session = self
        if error is None:
            self._is_loss_told = True
            raise failure
        log.warning("the end of a session on %r could not be recorded: %s", self.key, failure)
        if failure.session is None:
            self._end()
            return
        error.add_note(
            f"Edits to {self.key!r} that were to be kept are not saved yet ({failure.kind}: "
            f"{failure}). The session is still open: save or close it, after a refresh if need be."
        )
        if error.__context__ is None:  # where `.session` is found by whoever has only the error
            failure.__context__, error.__context__ = None, failure
