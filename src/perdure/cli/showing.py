"""`perdure show`: a state, a section, or any value in it, at any checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from perdure.cli.context import examples, gives_json, on_store, opened, reference, settings
from perdure.cli.documents import document, encode
from perdure.cli.output import hint, print_json, say, table, to_terminal
from perdure.cli.states import quoted
from perdure.cli.words import kind_of, lines, moment, safe, size_of
from perdure.core.abbreviate import abbreviate
from perdure.errors import PathNotFound

if TYPE_CHECKING:
    from perdure.types import Checkpoint

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
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="The last N items.")
@click.option("--full", is_flag=True, help="Everything, however long.")
@click.option("--raw", is_flag=True, help="The text or bytes alone, as they are.")
@on_store
@gives_json
def show(
    key: str, path: str | None, ref: str | None, last: int | None, full: bool, raw: bool
) -> None:
    """Show the state KEY in few words, or one section or value of it.

    PATH goes on from the section: keys and positions joined by "/", such as messages/-1/content
    ("~1" stands for a "/" in a key, "~0" for a "~"). REF is a checkpoint's number, its id, or the
    beginning of its id. --json gives all of the value, or its last N items.
    """
    from perdure.core.paths import format_path, parse_path, resolve

    if raw and (full or last or settings().json):
        raise click.UsageError("--raw goes with none of --full, --last and --json")
    if last is not None and path is None:
        example = f"perdure show {quoted(key)} SECTION --last {last}"
        raise click.UsageError(f"--last is of one section: {example}")
    with opened(key) as store:
        view = store.at(key, reference(ref) if ref is not None else store.info(key).number)
    parts = parse_path(path) if path is not None else ()
    if parts and parts[0] not in view:
        raise PathNotFound(_no_section(parts[0], key, list(view)))
    found, value = resolve(view.plain(), parts)
    name = format_path(found)
    shown = name if found else key
    if raw:
        _write_raw(shown, value)
        return
    if last is not None and not isinstance(value, list | tuple | Mapping):
        raise click.UsageError(f"{safe(shown)} is a {kind_of(value)} and has no last items")
    if settings().json:
        state = document(view.checkpoint, without=("changes",))
        print_json({"checkpoint": state, "path": name, "value": encode(_last(value, last))})
    elif not found and not full:
        _show_state(view.checkpoint, value)
    else:
        _show_value(shown, value, full=full, last=last)


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
            raise click.UsageError(
                f"{safe(name)} is a {kind_of(value)}; --raw is for text and bytes, use --json"
            )


def _last(value: Any, count: int | None) -> Any:
    if count is None:
        return value
    if isinstance(value, Mapping):
        return dict(islice(value.items(), max(0, len(value) - count), None))
    return value[-count:]


def _show_state(checkpoint: Checkpoint, sections: Mapping[str, Any]) -> None:
    label = f", {checkpoint.label!r}" if checkpoint.label else ""
    say(
        f"{safe(checkpoint.key)} at checkpoint {checkpoint.number} ({checkpoint.id[:12]}{label}), "
        f"{moment(checkpoint.time)}"
    )
    if not sections:
        say("no sections")
        return
    say()
    table(
        ("section", "type", ">size", "value"),
        [(name, kind_of(item), size_of(item), abbreviate(item)) for name, item in sections.items()],
    )


def _show_value(name: str, value: Any, *, full: bool, last: int | None) -> None:
    size = size_of(value)
    say(f"{safe(name)}: {kind_of(value)}" + (f", {size}" if size else ""))
    match value:
        case str():
            _show_text(value, full=full)
        case bytes():
            _show_text(value.hex(" ", 4), full=full)
        case list() | tuple() | Mapping() | set() | frozenset() if full:
            for label, item in _from(value, last):
                for line in lines(item, "  ", f"{label}: " if label else "- "):
                    say(line)
        case list() | tuple() | Mapping() | set() | frozenset():
            _show_items(value, last)
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


def _show_items(value: Any, last: int | None) -> None:
    """The first and last items of a container, each on a line."""
    size = len(value)
    if last is not None or size <= HEAD_ITEMS + TAIL_ITEMS:
        _say_items(_from(value, last))
        return
    _say_items(islice(_labelled(value), HEAD_ITEMS))
    say(f"  … {size - HEAD_ITEMS - TAIL_ITEMS:,} more")
    _say_items(_from(value, TAIL_ITEMS))
    hint(MORE if isinstance(value, set | frozenset) else f"--last N shows the last N, {MORE}")


def _from(value: Any, last: int | None) -> Iterable[tuple[str, Any]]:
    """The last items, or all, with what leads to each of them."""
    start = 0 if last is None else max(0, len(value) - last)
    return islice(_labelled(value), start, None)


def _labelled(value: Any) -> Iterable[tuple[str, Any]]:
    match value:
        case Mapping():
            return ((safe(abbreviate(key)), item) for key, item in value.items())
        case list() | tuple():
            return ((str(index), item) for index, item in enumerate(value))
        case _:
            return (("", item) for item in value)


def _say_items(items: Iterable[tuple[str, Any]]) -> None:
    for label, item in items:
        say(f"  {f'{label}: ' if label else '- '}{safe(abbreviate(item, ITEM_WIDTH))}")
