"""`perdure import`: states from files, and what other libraries kept."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from perdure.cli.context import (
    another_key,
    examples,
    gives_json,
    on_store,
    opened,
    refuses_secrets,
    settings,
    store_url,
)
from perdure.cli.documents import document
from perdure.cli.output import hint, print_json, progress, say, table
from perdure.cli.states import newest
from perdure.cli.words import safe
from perdure.core.abbreviate import count
from perdure.errors import BadStored, PerdureError, SecretFound

if TYPE_CHECKING:
    from perdure.adapters.moving import Moved, MovedUnit, Mover, Tally
    from perdure.store import Store

_old_file = click.Path(exists=True, dir_okay=False, path_type=Path)

HASH_SHOWN = 12
"""How much of a hash tells two apart for a reader (hexadecimal digits)."""

_GIVEN = __name__
_TAKES_VALUE = ("--store", "--key")


@click.command(
    "import",
    epilog=examples("import alice.perdure", "import alice.perdure alice-2"),
)
@click.argument("file", type=_old_file)
@click.argument("key", required=False)
@refuses_secrets
@on_store
@gives_json
def _exported(file: Path, key: str | None) -> None:
    """Read a state that export wrote from FILE, under KEY or the key it had.

    It appears only when all of it was verified. The store is made if it is not there.

    What other libraries kept is imported by the commands below; a FILE of such a name is written
    as ./langgraph.
    """
    with (
        opened(write=True, create=True) as store,
        progress(f"importing {file.name}", quiet=settings().json) as report,
        another_key(f"import {shlex.quote(safe(str(file)))} KEY"),
    ):
        info = store.import_(file, key, progress=report)
        store.maintain(info.key)  # nothing goes on in the background once this process has ended
    if settings().json:
        print_json({"state": document(info)})
        return
    say(f"imported {safe(info.key)}, {newest(info)}")


class _Importing(click.Group):
    """A group that reads an exported state where none of its commands is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if _first_word(args) in self.commands:
            return super().parse_args(ctx, args)
        if set(args).intersection(ctx.help_option_names):
            click.echo(self.get_help(ctx))
            ctx.exit()
        ctx.meta[_GIVEN] = args
        return []

    def invoke(self, ctx: click.Context) -> Any:
        given = ctx.meta.pop(_GIVEN, None)
        if given is None:
            return super().invoke(ctx)
        with _exported.make_context(ctx.info_name, given, parent=ctx.parent) as own:
            return _exported.invoke(own)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _exported.format_usage(ctx, formatter)
        _exported.format_help_text(ctx, formatter)
        _exported.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)
        self.format_epilog(ctx, formatter)


def _first_word(args: list[str]) -> str | None:
    """The first argument that is no option and no value of one."""
    rest = iter(args)
    for each in rest:
        if not each.startswith("-"):
            return each
        if each in _TAKES_VALUE:
            next(rest, None)
    return None


@click.group(
    "import",
    cls=_Importing,
    epilog=examples(
        *("import alice.perdure", "import alice.perdure alice-2"),
        "import langgraph checkpoints.sqlite --dry-run",
    ),
)
@refuses_secrets
@on_store
@gives_json
def import_() -> None:
    """Read a state that export wrote from a file, or what another library kept."""


@contextmanager
def adapter() -> Iterator[None]:
    """Tell what to install where a library is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.UsageError(str(error)) from error


def move_in(making: Callable[[Store], Mover], *, dry_run: bool, skip_failures: bool) -> int:
    """Move what another library kept into the store, and print what was, or would be.

    Args:
        making: gives what moves it, to a store.
        dry_run: whether it only looks.
        skip_failures: whether others are moved where some cannot be.

    Returns:
        What to exit with.
    """
    from perdure.adapters.moving import move

    doing = "reading" if dry_run else "importing"
    with _target(dry_run) as store, progress(doing, quiet=settings().json) as report:
        moved = move(
            making(store),
            dry_run=dry_run,
            skip_failures=skip_failures,
            progress=report,
            told=_told,
        )
        for each in moved.units:
            if each.copied:  # nothing goes on in the background once this process has ended
                store.maintain(each.key)
    return _tell(moved)


def _told(error: PerdureError) -> str:
    """What is wrong, and which option helps."""
    if isinstance(error, SecretFound):
        return f"{error}; without --refuse-secrets it is imported as it is"
    if isinstance(error, BadStored) and error.classes:
        options = " ".join(f"--allow {each}" for each in error.classes)
        return f"it holds an object that is not made unless its class is allowed: {options}"
    return str(error)


@contextmanager
def _target(dry_run: bool) -> Iterator[Store]:
    """The store to import into; a dry run makes none, and looks at an empty one in its place."""
    from perdure.backends.url import backend_for
    from perdure.store import Store

    path = getattr(backend_for(store_url()), "path", None)
    if dry_run and path is not None and not Path(path).exists():
        with Store("memory:", secrets="refuse" if settings().refuses_secrets else None) as store:
            yield store
        return
    with opened(write=not dry_run, create=not dry_run) as store:
        yield store


def _tell(moved: Moved) -> int:
    """Print what was moved, or would be; what to exit with."""
    from perdure.cli.app import FOUND  # which has this command, and so cannot come before

    if settings().json:
        print_json({"ok": moved.ok, "moved": document(moved)})
    else:
        _show(moved)
    return 0 if moved.ok else FOUND


def _show(moved: Moved) -> None:
    unit, item, part = moved.nouns
    if not moved.units:
        hint(f"{moved.source} has no {unit}s")
        return
    last = "would" if moved.dry_run or moved.is_refused else "stored"
    rows = [
        (
            each.name,
            each.key,
            *_counts(each.source),
            f"{each.already:,}",
            f"{each.copied:,}",
            *_hashes(each),
            _outcome(moved, each),
        )
        for each in moved.units
    ]
    titles = (unit, "key", f">{item}s", f">{part}s", ">there", ">copied", "hash", "in the store")
    table((*titles, "is"), rows, whole=True)
    done = sum(each.problem is None for each in moved.units)
    stored = "is as in the source" if done == 1 else "are as in the source"
    said = "can be imported" if last == "would" else stored
    say(f"{done:,} of {count(len(moved.units), unit)} {said}")
    if moved.is_refused:
        hint("nothing was imported" + ("; --skip-failures imports all others" if done else ""))


def _counts(tally: Tally | None) -> tuple[str, str]:
    return (f"{tally.items:,}", f"{tally.parts:,}") if tally is not None else ("-", "-")


def _hashes(each: MovedUnit) -> tuple[str, str]:
    tallies = each.source, each.stored
    source, stored = (tally.hash[:HASH_SHOWN] if tally is not None else "-" for tally in tallies)
    return source, stored


def _outcome(moved: Moved, each: MovedUnit) -> str:
    if each.problem is not None:
        return each.problem
    return "equal" if each.stored is not None else "ready"
