"""What a redaction makes of values, texts and changes: pure, and the same wherever a value stands.

What a state becomes is a function of its values and their places alone, so it does not matter how
they came there: a record becomes what leads from the redacted state before it to that after it.
Lists keep their lengths, and mappings their keys, but for names that are redacted themselves: each
becomes one of its own, so that two of them never meet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from perdure.core.changes import Change, Delete, Members, Set, Splice, apply, copies
from perdure.core.paths import Path, is_position, parse_path
from perdure.errors import UsageError

T = TypeVar("T")

MARK = "[redacted]"
"""What stands where something was redacted."""
RESERVED = "perdure."
"""How the names of the library's sections begin, which keep their names."""
ANY, REST = "*", "**"
NAME_DIGITS = 12
"""Of what tells redacted keys apart (hex)."""
_NAMED = re.compile(rf"(\[redacted-[0-9a-f]{{{NAME_DIGITS}}}\])")
"""What stands in a name where something was redacted."""
OUTSIDE = -1
"""Of a way that leads to no place that is redacted."""


class Wanted(msgspec.Struct, frozen=True):
    """What is to be redacted."""

    parts: tuple[str | None, ...] | None
    """The path to it, None in place of any part; or everywhere."""
    match: re.Pattern[str] | None
    """Of texts only what this finds; None: whatever stands there, as a whole."""
    path: str | None = None
    """The path as it was written."""


def wanted(path: str | tuple[str | int, ...] | None, match: Any) -> Wanted:
    """What a caller asks to have redacted: at a path, a text or what a pattern finds, or both.

    Raises:
        UsageError: they say nothing, too much, or what cannot be found.
    """
    parts = _parts(path)
    if parts is None and match is None:
        raise UsageError(
            'say what to redact: a path, redact(key, "profile/email"), or a text, '
            'redact(key, match="alice@example.com")'
        )
    if match is None:
        return Wanted(parts, None, _written(path))
    if isinstance(match, str):
        pattern = re.compile(re.escape(match))
    elif isinstance(match, re.Pattern) and isinstance(match.pattern, str):
        pattern = match
    else:
        raise UsageError(f"match is a text or a re.Pattern of texts, not {type(match).__name__}")
    if pattern.search(""):
        raise UsageError("match finds the empty text, which is everywhere; give more of it")
    if pattern.search(MARK):
        raise UsageError(f"match finds {MARK!r}, which is what stands where something was redacted")
    return Wanted(parts, pattern, _written(path))


def _written(path: str | tuple[str | int, ...] | None) -> str | None:
    return path if path is None or isinstance(path, str) else "/".join(map(str, path))


def _parts(path: Any) -> tuple[str | None, ...] | None:
    if path is None:
        return None
    if isinstance(path, tuple) and path and all(isinstance(part, str | int) for part in path):
        return tuple(map(str, path))
    if not isinstance(path, str):
        raise UsageError(f'a path is written "profile/email", with * for any part, not {path!r}')
    written = path.split("/")
    if written[-1] == REST:
        written.pop()
    # As a star itself may be a key: ~u2a; is one.
    parts = tuple(None if each == ANY else parse_path(f"/{each}")[1] for each in written)
    if not parse_path(path) or not parts or parts[0] == "":
        raise UsageError(
            f'{path!r} names no section: write "profile/email"; `erase` is for a whole state'
        )
    if REST in parts:
        raise UsageError(f"{path!r}: ** can only be the last part of a path")
    return parts


class Redactor:
    """What one redaction makes of what it meets. Values it changes are new ones; others the same.

    Args:
        wanted: what is to be redacted.
        secret: makes the names of redacted keys; who forgets it makes them tell nothing.

    Example:
        >>> redactor = Redactor(wanted("profile/email", None), b"secret")
        >>> redactor.state({"profile": {"name": "Al", "email": "al@example.com"}})
        {'profile': {'name': 'Al', 'email': '[redacted]'}}
    """

    def __init__(self, wanted: Wanted, secret: bytes) -> None:
        self._parts = wanted.parts or ()
        self._match = wanted.match
        self._inside = len(self._parts)
        self._secret = secret
        self.is_everywhere = wanted.parts is None
        """Whether texts outside the state are meant as well: labels, summaries, results."""
        self.count = 0
        """Values and texts that were changed so far."""
        self.is_met = self.is_everywhere
        """Whether anything stood at the path so far."""

    # ---- texts ------------------------------------------------------------------------------

    def text(self, text: str) -> str:
        """A text without what is looked for, wherever it stands."""
        assert self._match is not None
        found, count = self._match.subn(_mark, text)
        self.count += count
        return found if count else text

    def maybe(self, text: T) -> T:
        """The same of what may be a text: anything else stays."""
        return self.text(text) if isinstance(text, str) else text  # type: ignore[return-value]

    def has(self, text: str) -> bool:
        """Whether what is looked for is in a text."""
        return self._match is not None and self._match.search(text) is not None

    def name(self, name: str) -> str:
        """A key or a name without what is looked for: two names never become the same one.

        What an earlier redaction put into it stays: its digits say nothing, and never end.
        """
        parts = _NAMED.split(name) if self.has(name) else []
        if not any(map(self.has, parts[::2])):
            return name
        match = self._match
        assert match is not None
        self.count += 1
        raw = name.encode("utf-8", "surrogatepass")
        told = blake2b(raw, key=self._secret, digest_size=NAME_DIGITS // 2).hexdigest()
        parts[::2] = [match.sub(lambda _: f"[redacted-{told}]", part) for part in parts[::2]]
        return "".join(parts)

    def _bytes(self, value: bytes) -> bytes:
        text = value.decode("utf-8", "surrogateescape")
        found = self.text(text)
        return value if found is text else found.encode("utf-8", "surrogateescape")

    # ---- values -----------------------------------------------------------------------------

    def state(self, sections: dict[str, Any]) -> dict[str, Any]:
        """A whole state."""
        found = {
            self._key(name, 0, is_section=True): self.value(value, self._step(0, name))
            for name, value in sections.items()
        }
        is_same = found.keys() == sections.keys() and all(
            found[name] is value for name, value in sections.items()
        )
        return sections if is_same else found

    def whole(self, value: T) -> T:
        """A value that stands outside the state, all of it."""
        return self.value(value, self._inside)  # type: ignore[no-any-return]

    def value(self, value: Any, way: int) -> Any:
        """A value to which a way leads: so many parts of the path were gone, or it is `OUTSIDE`."""
        if way == OUTSIDE:
            return value
        is_inside = way == self._inside
        self.is_met = self.is_met or is_inside
        if is_inside and self._match is None:
            return self._marked(value)
        if isinstance(value, dict):
            return self._mapping(value, way)
        if isinstance(value, list | tuple):
            return self._items(value, way)
        if not is_inside:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self._bytes(value)
        if isinstance(value, set | frozenset):
            found = [(each, self.value(each, way)) for each in value]
            is_same = all(new is old for old, new in found)
            return value if is_same else type(value)(new for _, new in found)
        return value

    def _marked(self, value: Any) -> Any:
        if type(value) is str and value == MARK:
            return value
        self.count += 1
        return MARK

    def _mapping(self, value: dict[str, Any], way: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        is_same = True
        for key, each in value.items():
            name, new = self._key(key, way), self.value(each, self._step(way, key))
            is_same = is_same and name is key and new is each
            found[name] = new
        return value if is_same else found

    def _items(self, value: Any, way: int) -> Any:
        if not value:
            return value
        below = self._step(way, 0)
        found = [self.value(each, below) for each in value]
        is_same = all(new is old for old, new in zip(value, found, strict=True))
        return value if is_same else type(value)(found)

    def _key(self, key: str, way: int, *, is_section: bool = False) -> str:
        """A key of a mapping to which a way leads."""
        if way != self._inside or self._match is None:
            return key
        if is_section and key.startswith(RESERVED):
            return key
        return self.name(key)

    def _step(self, way: int, part: str | int) -> int:
        """The way to a part of what a way leads to."""
        if way in (OUTSIDE, self._inside):
            return way
        mine = self._parts[way]
        if mine is None:
            return way + 1
        if isinstance(part, int) and is_position(mine.removeprefix("-")):
            raise UsageError(
                f"{mine!r} is a position in a list, where another item may stand in each "
                "checkpoint: write * for any, or say what to look for: match=, or --match"
            )
        return way + 1 if mine == part else OUTSIDE

    # ---- changes ----------------------------------------------------------------------------

    def replay(self, sections: dict[str, Any], changes: Iterable[Change]) -> list[Change] | None:
        """Make changes to a state as it was; what leads on in the redacted one, None: the same.

        Raises:
            ReplayMismatch: one does not fit.
        """
        found: list[Change] = []
        is_same = True
        for change in changes:
            path, way = self._way(change.path)
            old_is_clean = self._is_clean(sections, change, way)
            apply(sections, copies([change]))
            new: Change | None
            if path is None:
                new = None
            elif isinstance(change, Splice | Members):
                new = self._edit(sections, change, path, way, old_is_clean=old_is_clean)
            else:
                new = self._placed(change, path, way)
            is_same = is_same and new is change
            if new is not None:
                found.append(new)
        return None if is_same else found

    def _way(self, path: Path) -> tuple[Path | None, int]:
        """Where a change goes by now, None: below what is one mark; and the way there."""
        way, found = 0, list[str | int]()
        for at, part in enumerate(path):
            if self._match is None and way == self._inside:
                return None, OUTSIDE
            is_key = isinstance(part, str)
            found.append(self._key(str(part), way, is_section=at == 0) if is_key else part)
            way = self._step(way, part)
        return (path if tuple(found) == path else tuple(found)), way

    def _placed(self, change: Set | Delete, path: Path, way: int) -> Change:
        if isinstance(change, Delete):
            return change if path is change.path else Delete(path)
        value = self.value(change.value, way)
        return change if path is change.path and value is change.value else Set(path, value)

    def _edit(
        self,
        sections: dict[str, Any],
        change: Splice | Members,
        path: Path,
        way: int,
        *,
        old_is_clean: bool,
    ) -> Change | None:
        """What becomes of an edit of a list, a text or a set."""
        is_inside = way == self._inside
        if is_inside and self._match is None:
            return None  # of what is one mark
        if isinstance(change, Splice) and isinstance(change.items, list):
            items = self._items(change.items, way) if way != OUTSIDE else change.items
            if path is change.path and items is change.items:
                return change
            return Splice(path, change.start, change.removed, items)
        if is_inside:
            now = _at(sections, change.path)
            new = self.value(now, way)
            if not (old_is_clean and new is now):
                return Set(path, new)
        return change if path is change.path else msgspec.structs.replace(change, path=path)

    def _is_clean(self, sections: dict[str, Any], change: Change, way: int) -> bool:
        """Whether a text or a set that is to be edited has nothing that is redacted."""
        if way != self._inside or self._match is None or isinstance(change, Set | Delete):
            return True
        if isinstance(change, Splice) and isinstance(change.items, list):
            return True
        now, count = _at(sections, change.path), self.count
        is_clean = self.value(now, way) is now
        self.count = count
        return is_clean


def _mark(_found: re.Match[str]) -> str:
    return MARK


def _at(sections: dict[str, Any], path: Path) -> Any:
    """What stands at a path; None where there is none: who applies the change will say so."""
    value: Any = sections
    for part in path:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return None
    return value
