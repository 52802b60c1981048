"""`perdure watch`: new checkpoints as they land."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from perdure.cli.awaited import not_there_yet
from perdure.cli.context import examples, gives_json, on_store, opened, settings, store_url
from perdure.cli.documents import change_document, document
from perdure.cli.output import hint, say
from perdure.cli.words import iso, safe

if TYPE_CHECKING:
    from perdure.types import Checkpoint
    from perdure.watching import Landed, Watch

ID_DIGITS = 12
"""Digits of an id shown (hex): enough to name it again."""


@click.command(
    epilog=examples(
        "watch support/alice --changes",
        "watch 'support/*' --since start --cursor support.cursor --json",
    )
)
@click.argument("key", metavar="KEY_OR_PREFIX")
@click.option(
    "--since",
    type=click.Choice(["now", "start"]),
    default="now",
    show_default=True,
    help="What to begin with, where there is no cursor yet.",
)
@click.option(
    "--cursor",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Go on from this file, and keep in it how far it went.",
)
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=0),
    help="End when nothing came for so many seconds; without it, Ctrl-C ends it.",
)
@click.option("--branch", default="main", show_default=True, help="The branch to watch.")
@click.option("--changes", is_flag=True, help="What each of them changed.")
@on_store
@gives_json
def watch(
    key: str,
    since: Literal["now", "start"],
    cursor: Path | None,
    timeout: float | None,
    branch: str,
    changes: bool,
) -> None:
    """Print the checkpoints of a state as they land, from whatever process.

    KEY_OR_PREFIX is a key, or the beginning of keys and a *, in quotes: 'support/*'; '*' is all. A
    store, state or branch that is not there yet is waited for; that is said on the standard error.

    With --cursor, none is left out when it is started again, and none printed twice, unless it was
    killed just after it printed one. Under --json, each is one line.
    """
    name = None if key.endswith("*") else key
    with opened(name, create=True) as store:
        if is_unmade := not _is_there():
            since = "start"  # should it be made this moment, all in it is new
        text = _read(cursor) if cursor is not None else None
        with store.watch(key, cursor=text, since=since, timeout=timeout, branch=branch) as watching:
            if is_unmade:
                hint(f"waiting for a store at {safe(store_url())}")
            elif missing := not_there_yet(store, key, branch):
                hint(f"waiting: {missing}")
            _print_all(watching, cursor, changes)


def _print_all(watching: Watch, cursor: Path | None, changes: bool) -> None:
    """Print what comes; the cursor follows what was printed, so that nothing is lost between."""
    if cursor is not None:
        _write(cursor, watching.cursor)
    for landed in watching:
        _print(landed, changes)
        if cursor is not None:
            _write(cursor, landed.cursor)


def _is_there() -> bool:
    from perdure.backends.url import backend_for

    path = getattr(backend_for(store_url()), "path", None)
    return path is None or os.path.exists(path)


def _print(landed: Landed, changes: bool) -> None:
    checkpoint = landed.checkpoint
    if settings().json:
        found = document(checkpoint, without=("changes",))
        if changes:
            found["changes"] = [change_document(each) for each in checkpoint.changes or ()]
        click.echo(json.dumps({"checkpoint": found, "cursor": landed.cursor}, allow_nan=False))
        return
    say(_line(checkpoint))
    if changes:
        from perdure.core.changes import describe

        for change in checkpoint.changes or ():
            say(f"    {safe(describe(change))}")


def _line(checkpoint: Checkpoint) -> str:
    """It stands in no columns: nobody knows what will come."""
    cells = (
        checkpoint.key,
        str(checkpoint.number),
        checkpoint.id[:ID_DIGITS],
        iso(checkpoint.time),
        checkpoint.label,
        ", ".join(checkpoint.sections),
    )
    return "  ".join(safe(cell) for cell in cells if cell)


def _read(path: Path) -> str | None:
    """The cursor in a file; None where there is no such file yet."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read as a cursor: {error}") from error


def _write(path: Path, text: str) -> None:
    """Put a cursor in the file's place, whole or not at all."""
    new = path.with_name(path.name + ".new")
    try:
        new.write_text(text, encoding="utf-8")
        os.replace(new, path)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror}") from error
