"""Files below a directory that match patterns; each directory is gone through once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import translate
from functools import cache
from pathlib import PurePosixPath
from typing import TypeAlias

from perdure.errors import UsageError

Rest: TypeAlias = tuple[str, ...]
"""What is left of a pattern below a directory: at least one part."""

ANY_DEPTH = "**"


def find(root: str | os.PathLike[str], patterns: Iterable[str]) -> dict[str, os.stat_result]:
    """The files below a directory that match any of some patterns, by path, in order.

    A path has "/" between its parts on every system, and begins below the root, so that a
    directory that was moved or renamed is the same. `*`, `?` and `[…]` stand for parts of a name,
    `**` for directories at any depth. Hidden names match only what begins with the dot itself.
    Links to files are followed, links to directories are not: they may lead round in a circle.

    Args:
        root: where the patterns begin.
        patterns: like "src/**/*.py".

    Raises:
        UsageError: a pattern is absolute, or leads out of the root.

    Example:
        >>> {path: stat.st_size for path, stat in find(".", ["src/**/*.py", "*.md"]).items()}
        {'README.md': 912, 'src/app.py': 4711}
    """
    found: dict[str, os.stat_result] = {}
    _walk(os.fspath(root), "", frozenset(map(_parts, patterns)), found)
    return dict(sorted(found.items()))


def _walk(
    root: str, below: str, patterns: frozenset[Rest], found: dict[str, os.stat_result]
) -> None:
    """Go through a directory with what is left of all patterns there."""
    patterns |= {rest[1:] for rest in patterns if rest[0] == ANY_DEPTH and rest[1:]}
    matches = _matcher(tuple(sorted(_file_part(rest) for rest in patterns if len(rest) == 1)))
    inside: list[tuple[str, frozenset[Rest]]] = []
    with _entries(os.path.join(root, below)) as entries:
        for entry in entries:
            name = entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    if left := _left(patterns, name):
                        inside.append((f"{below}{name}/", left))
                elif matches(name) and entry.is_file():
                    found[below + name] = entry.stat()
            except OSError:  # it is gone by now
                continue
    for directory, left in inside:
        _walk(root, directory, left, found)


@contextmanager
def _entries(path: str) -> Iterator[Iterable[os.DirEntry[str]]]:
    """What is in a directory; nothing, if it is gone or not ours to read."""
    by_handle = os.scandir in os.supports_fd  # a file is found faster from it than from the root
    handle = None
    try:
        handle = os.open(path, os.O_RDONLY) if by_handle else None
        entries = os.scandir(path if handle is None else handle)
    except OSError:
        if handle is not None:
            os.close(handle)
        yield ()
        return
    try:
        with entries:
            yield entries
    finally:
        if handle is not None:
            os.close(handle)


def _left(patterns: frozenset[Rest], name: str) -> frozenset[Rest]:
    """What is left of patterns in a directory of this name."""
    left: set[Rest] = set()
    for rest in patterns:
        if rest[0] == ANY_DEPTH:
            if name[0] != ".":
                left.add(rest)
        elif len(rest) > 1 and _matcher(rest[:1])(name):
            left.add(rest[1:])
    return frozenset(left)


def _file_part(rest: Rest) -> str:
    return "*" if rest[0] == ANY_DEPTH else rest[0]


@cache
def _matcher(parts: Rest) -> Callable[[str], object]:
    """Whether a name matches any of some parts of patterns."""
    hidden = {True: "", False: r"(?!\.)"}
    regex = "|".join(f"(?:{hidden[part[0] == '.']}{translate(part)})" for part in parts)
    return re.compile(regex or r"(?!)").match


def _parts(pattern: str) -> Rest:
    """The parts of a pattern.

    Raises:
        UsageError: it is absolute, or leads out of the root.
    """
    path = PurePosixPath(pattern.replace(os.sep, "/"))
    if path.is_absolute() or ".." in path.parts or ":" in pattern[:2] or not path.parts:
        raise UsageError(
            f"{pattern!r} is no pattern of files below the root: give one like 'src/**/*.py', and "
            "`root=` for where it begins"
        )
    parts = path.parts
    once = [
        part for at, part in enumerate(parts) if part != ANY_DEPTH or parts[at - 1 : at] != (part,)
    ]
    return tuple(once)
