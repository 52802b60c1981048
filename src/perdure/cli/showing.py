"""`perdure show`: a state, a section, or any value in it, at any checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from perdure.adapters.bookkeeping import is_bookkeeping
from perdure.cli.context import (
    MAIN,
    examples,
    gives_json,
    on_branch,
    on_store,
    opened,
    reference_on,
    settings,
)
from perdure.cli.documents import document
from perdure.cli.output import hint, print_json, say, table, to_terminal
from perdure.cli.states import quoted
from perdure.cli.words import kind_of, lines, moment, safe, size_of
from perdure.core.abbreviate import abbreviate, with_article
from perdure.core.json_forms import encode
from perdure.core.paths import is_position
from perdure.errors import PathNotFound, UsageError

if TYPE_CHECKING:
    from perdure.core.refs import Ref
    from perdure.store import Store
    from perdure.types import Checkpoint
    from perdure.views import View

HEAD_ITEMS, TAIL_ITEMS = 5, 5
"""How many of the first and last items of a long container are shown."""

SCREEN_LINES, SCREEN_CHARACTERS = 40, 4000
"""How much of one text is shown."""

SECTIONS_NAMED_MAX = 8
ITEM_WIDTH = 100
MORE = "--full shows everything"


@click.command(
    epilog=examples(
        "show support/alice",
        "show support/alice messages --last 20",
        "show support/alice messages/-1/content --raw",
        "show support/alice plan --at 17 --json",
    )
)
@click.argument("key")
@click.argument("path", metavar="[SECTION[/PATH]]", required=False)
@click.option("--at", "ref", metavar="REF", help="As it was at this checkpoint.")
@on_branch
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="The last N items.")
@click.option("--full", is_flag=True, help="Everything, however long.")
@click.option("--raw", is_flag=True, help="The text or bytes alone, as they are.")
@on_store
@gives_json
def show(
    key: str,
    path: str | None,
    ref: str | None,
    branch: str | None,
    last: int | None,
    full: bool,
    raw: bool,
) -> None:
    """Show the state KEY in few words, or one section or value of it.

    PATH goes on from the section: keys and positions joined by "/", such as messages/-1/content
    ("~1" stands for a "/" in a key, "~0" for a "~"). --json gives all of the value, or its last N
    items. REF names a checkpoint: 17, what-if@17, what-if, ~3, an id, label:TEXT or
    time:2026-11-03.
    """
    from perdure.core.paths import format_path, parse_path

    if raw and (full or last or settings().json):
        raise click.UsageError("--raw goes with none of --full, --last and --json")
    if last is not None and path is None:
        example = f"perdure show {quoted(key)} SECTION --last {last}"
        raise click.UsageError(f"--last is of one section: {example}")
    parts = parse_path(path) if path is not None else ()
    with opened(key) as store:
        found = _found(store, key, reference_on(store, key, branch, ref), parts, last)
    name = format_path(found.path)
    shown = name if found.path else key
    if raw:
        _write_raw(shown, found.value)
        return
    if last is not None and not isinstance(found.value, list | tuple | Mapping):
        kind = with_article(kind_of(found.value))
        raise click.UsageError(f"{safe(shown)} is {kind} and has no last items")
    if settings().json:
        state = document(found.checkpoint, without=("changes",))
        value = encode(_last(found.value, last))
        print_json({"checkpoint": state, "path": name, "value": value})
    elif not found.path and not full:
        _show_state(found.checkpoint, found.value)
    else:
        _show_value(shown, found, full=full, last=last)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a path leads to."""

    checkpoint: Checkpoint
    path: tuple[str | int, ...]
    value: Any
    """Plain; of a list of which only the end was read, that."""
    before: int = 0
    """Items before it in the list (items)."""


def _found(store: Store, key: str, ref: Ref, parts: tuple[str, ...], last: int | None) -> _Found:
    """Read what a path leads to; of a long list no more than what is asked for."""
    from perdure.core.paths import resolve

    if not parts:
        view = store.at(key, ref)
        return _Found(view.checkpoint, (), view.plain())
    view = _view(store, key, ref, parts[0], _items_asked_for(parts, last))
    if parts[0] not in view:
        raise PathNotFound(_no_section(parts[0], key, list(view)))
    # A copy of a container is plain, as what is shown has to be.
    section, before = deepcopy(view[parts[0]]), getattr(view[parts[0]], "offset", 0)
    if not before or len(parts) == 1:
        return _Found(view.checkpoint, *resolve({parts[0]: section}, parts), before)
    (name, at), item = resolve({parts[0]: section}, parts[:2])
    return _Found(view.checkpoint, *resolve(item, parts[2:], (name, int(at) + before)))


def _items_asked_for(parts: tuple[str, ...], last: int | None) -> int | None:
    """How many items at the end of a section are enough, if it is a list; None if all are needed.

    Example:
        >>> _items_asked_for(("messages", "-3", "content"), None)
        3
    """
    if len(parts) == 1:
        return last
    digits = parts[1].removeprefix("-")
    return int(digits) or None if digits != parts[1] and is_position(digits) else None


def _view(store: Store, key: str, ref: Ref, section: str, items: int | None) -> View:
    """The state with one section, of which the last items are enough if it is a list."""
    if items is not None:
        with suppress(UsageError):  # it is no list
            return store.at(key, ref, sections=[], windows={section: items})
    return store.at(key, ref, sections=[section])


def _no_section(name: str, key: str, sections: Sequence[str]) -> str:
    """That a state has no such section, and which it has: first those spelt much like it."""
    from difflib import get_close_matches

    near = get_close_matches(name, sections, n=SECTIONS_NAMED_MAX)
    named = [*near, *(each for each in sections if each not in near)][:SECTIONS_NAMED_MAX]
    more = len(sections) - len(named)
    held = ", ".join(map(abbreviate, named)) + (f" and {more:,} more" if more else "")
    return f"no section {abbreviate(name)} in {key!r}, which has {held or 'no sections'}"


def _write_raw(name: str, value: Any) -> None:
    match value:
        case str() if to_terminal():
            say(safe(value, keep="\n\t"))
        case str():
            sys.stdout.write(value)
        case bytes() if to_terminal():
            raise click.UsageError("these are bytes: send them to a file or a pipe")
        case bytes():
            sys.stdout.buffer.write(value)
        case _:
            kind = with_article(kind_of(value))
            raise click.UsageError(
                f"{safe(name)} is {kind}; --raw is for text and bytes, use --json"
            )


def _last(value: Any, count: int | None) -> Any:
    if count is None:
        return value
    if isinstance(value, Mapping):
        return dict(islice(value.items(), max(0, len(value) - count), None))
    return value[-count:]


def _show_state(checkpoint: Checkpoint, sections: Mapping[str, Any]) -> None:
    label = f", {checkpoint.label!r}" if checkpoint.label else ""
    branch = f"{checkpoint.branch}@" if checkpoint.branch != MAIN else ""
    say(
        f"{safe(checkpoint.key)} at checkpoint {safe(branch)}{checkpoint.number} "
        f"({checkpoint.id[:12]}{label}), "
        f"{moment(checkpoint.time)}"
    )
    if not sections:
        say("no sections")
        return
    say()
    table(
        ("section", "type", ">size", "value"),
        [
            (name, kind_of(sections[name]), size_of(sections[name]), abbreviate(sections[name]))
            for name in sorted(sections, key=is_bookkeeping)
        ],
    )


def _show_value(name: str, found: _Found, *, full: bool, last: int | None) -> None:
    value, before = found.value, found.before
    size = size_of(value, before)
    say(f"{safe(name)}: {kind_of(value)}" + (f", {size}" if size else ""))
    match value:
        case str():
            _show_text(value, full=full)
        case bytes():
            _show_text(value.hex(" ", 4), full=full)
        case list() | tuple() | Mapping() | set() | frozenset() if full:
            for label, item in _from(value, last, before):
                for line in lines(item, "  ", f"{label}: " if label else "- "):
                    say(line)
        case list() | tuple() | Mapping() | set() | frozenset():
            _show_items(value, last, before)
        case _:
            for line in lines(value):
                say(line)


def _show_text(text: str, *, full: bool) -> None:
    """A text, to the end of its screen."""
    shown = text if full else text[:SCREEN_CHARACTERS]
    rows = safe(shown, keep="\n\t").expandtabs().split("\n")
    if not full and len(rows) > SCREEN_LINES:
        rows = rows[:SCREEN_LINES]
        shown = "\n".join(shown.split("\n")[:SCREEN_LINES])
    for row in rows:
        say(row)
    if len(shown) < len(text):
        hint(f"… {len(text) - len(shown):,} more characters; {MORE}")


def _show_items(value: Any, last: int | None, before: int) -> None:
    """The first and last items of a container, each on a line."""
    size = len(value)
    if last is not None or size <= HEAD_ITEMS + TAIL_ITEMS:
        _say_items(_from(value, last, before))
        return
    _say_items(islice(_labelled(value), HEAD_ITEMS))
    say(f"  … {size - HEAD_ITEMS - TAIL_ITEMS:,} more")
    _say_items(_from(value, TAIL_ITEMS))
    hint(MORE if isinstance(value, set | frozenset) else f"--last N shows the last N, {MORE}")


def _from(value: Any, last: int | None, before: int = 0) -> Iterable[tuple[str, Any]]:
    """The last items, or all, with what leads to each of them."""
    start = 0 if last is None else max(0, len(value) - last)
    return islice(_labelled(value, before), start, None)


def _labelled(value: Any, before: int = 0) -> Iterable[tuple[str, Any]]:
    match value:
        case Mapping():
            return ((safe(abbreviate(key)), item) for key, item in value.items())
        case list() | tuple():
            return ((str(index), item) for index, item in enumerate(value, before))
        case _:
            return (("", item) for item in value)


def _say_items(items: Iterable[tuple[str, Any]]) -> None:
    for label, item in items:
        say(f"  {f'{label}: ' if label else '- '}{safe(abbreviate(item, ITEM_WIDTH))}")
