"""Parts of a section, from what is live in a session and what is not: `length` and `window`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import index
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from perdure.core.abbreviate import with_article
from perdure.core.windows import Window
from perdure.engine.requests import Request, Steps
from perdure.engine.unread import Unread
from perdure.engine.window import FIRST_LOOK, fit, length
from perdure.errors import UsageError
from perdure.state.node import plain
from perdure.state.sections import MissingSection

if TYPE_CHECKING:
    from perdure.engine.session import SessionCore
    from perdure.state.document import Document

T = TypeVar("T")


class Asked(msgspec.Struct, frozen=True):
    """Which part of a list a call of `window` asks for."""

    start: int | None = None
    stop: int | None = None
    last: int | None = None
    tokens: int | None = None
    count: Callable[[Any], int] | None = None

    def check(self) -> None:
        """Raise `UsageError` if the arguments are not of their types, or do not go together."""
        for name, least in (("start", None), ("stop", None), ("last", 0), ("tokens", 0)):
            value = getattr(self, name)
            if value is not None:
                check_count(f"window({name}=…)", value, least=least)
        if (self.tokens is None) != (self.count is None):
            raise UsageError("window() takes tokens= together with count=, what an item counts")
        by_position = self.start is not None or self.stop is not None
        if sum((by_position, self.last is not None, self.tokens is not None)) > 1:
            raise UsageError("window() takes one of: start and stop, last=, or tokens= with count=")
        if self.count is not None and not callable(self.count):
            raise UsageError("window(count=…) is a function: what an item counts")

    def span(self, size: int) -> tuple[int, int]:
        """The positions of the first item and after the last, in a list of `size` items."""
        start = self.start if self.last is None else max(size - self.last, 0)
        first, end, _ = slice(start, self.stop).indices(size)
        return first, max(first, end)


def check_count(what: str, value: Any, *, least: int | None = 0) -> None:
    """Raise `UsageError` if `value` is no whole number, or less than `least`."""
    try:
        number = index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or (least is not None and number < least):
        kind = "a whole number" if least is None else f"a whole number from {least} on"
        raise UsageError(f"{what} is {kind}, not {value!r}")


def check_windows(windows: Any) -> None:
    """Raise `UsageError` if this does not say, by name, how many items to show."""
    if not isinstance(windows, Mapping):
        raise UsageError(
            f'windows is a mapping from names to numbers of items, {{"messages": 50}}, '
            f"not {windows!r}"
        )
    for name, count in windows.items():
        if not isinstance(name, str):
            raise UsageError(f"windows: a section's name is a str, not {name!r}")
        check_count(f"windows[{name!r}]", count)


def require_windows(windows: Mapping[str, int], sections: Mapping[str, Any]) -> None:
    """Raise `UsageError` if a section of which a window was asked for is no list."""
    for name in windows:
        if name in sections and type(sections[name]) is not Window:
            kind = type(sections[name]).__name__
            raise UsageError(
                f"windows[{name!r}]: the section is {with_article(kind)}; only lists have windows"
            )


def length_of(document: Document, core: SessionCore, name: str) -> int:
    """How much a section holds; of what is not loaded, read only if nothing else tells.

    Raises:
        KeyError: there is no such section.
        TypeError: it has no length.
    """
    require(document, name)
    if not document.is_loaded(name):
        kept = core.elsewhere[name]
        known = length(kept) if isinstance(kept, Unread) else None
        if known is not None:
            return known
    value = document.state[name]
    return len(value) + getattr(value, "offset", 0)


def require(document: Document, name: str) -> None:
    """Raise `KeyError` if there is no such section."""
    if name not in document.state:
        raise MissingSection(name, document.state)


def read_part(document: Document, core: SessionCore, name: str, asked: Asked) -> Steps[list[Any]]:
    """Items of a list, plain and the caller's own. What is live is taken before anything waits."""
    asked.check()
    require(document, name)
    live, before = yield from _live(document, core, name)
    if asked.tokens is not None and asked.count is not None:
        return (yield from _fitting(core, name, live, before, asked.tokens, asked.count))
    first, end = asked.span(before + len(live))
    here = [plain(item) for item in live[max(first - before, 0) : max(end - before, 0)]]
    if first >= before:
        return here
    return [*(yield from core.part(name, first, min(end, before))), *here]


def resumed(steps: Steps[T], request: Request) -> Steps[T]:
    """What is left of steps that were begun elsewhere, and wait for the answer to `request`."""
    try:
        while True:
            try:
                answer = yield request
            except BaseException as error:
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result


def _live(document: Document, core: SessionCore, name: str) -> Steps[tuple[list[Any], int]]:
    """The items of a list that are here, and how many come before them.

    A section that is not loaded is read if it is not kept in parts.
    """
    if document.is_loaded(name):
        value = document.state[name]
    else:
        kept = core.elsewhere[name]
        if isinstance(kept, Unread) and kept.in_parts is not None:
            return [], length(kept) or 0
        value = yield from core.read(name)
    if isinstance(value, list):
        return value, getattr(value, "offset", 0)
    raise UsageError(f"section {name!r} is no list: window() shows parts of lists")


def _fitting(
    core: SessionCore,
    name: str,
    live: list[Any],
    before: int,
    tokens: int,
    count: Callable[[Any], int],
) -> Steps[list[Any]]:
    """The newest items that count at most so much together; each is counted once."""
    counting = _checked(count)
    found, left = fit([plain(item) for item in live], tokens, counting)
    look, is_full = FIRST_LOOK, len(found) < len(live)
    while before and not is_full:
        first = max(before - look, 0)
        items = yield from core.part(name, first, before)
        fitting, left = fit(items, left, counting)
        found = [*fitting, *found]
        before, look, is_full = first, 2 * look, len(fitting) < len(items)
    return found


def _checked(count: Callable[[Any], int]) -> Callable[[Any], int]:
    """`count`, which gives a number from 0 on or is told off."""

    def counted(item: Any) -> int:
        number: Any = count(item)
        if isinstance(number, bool) or not isinstance(number, int | float) or not number >= 0:
            raise UsageError(
                f"window(count=…) gives a number from 0 on for an item, not {number!r}"
            )
        return cast("int", number)

    return counted
