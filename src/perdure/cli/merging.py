"""`perdure merge`: what two branches did, as one checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from perdure.cli.branches import DRY_RUN
from perdure.cli.context import MAIN, examples, gives_json, on_store, opened, settings
from perdure.cli.diff import show_differences
from perdure.cli.documents import (
    change_document,
    conflict_document,
    difference_document,
    document,
)
from perdure.cli.output import hint, print_json, say
from perdure.cli.states import quoted
from perdure.cli.words import safe
from perdure.core.abbreviate import count
from perdure.errors import MergeConflicts

if TYPE_CHECKING:
    from perdure.store import Store
    from perdure.types import Merge, Strategy

PLACES_NAMED_MAX = 3


@click.command(
    epilog=examples(
        "merge support/alice what-if --dry-run",
        "merge support/alice what-if --strategy messages=append",
    )
)
@click.argument("key")
@click.argument("branch")
@click.option("--into", metavar="B", default=MAIN, show_default=True, help="Merge into this one.")
@click.option(
    "--strategy",
    "strategies",
    metavar="PATH=HOW",
    multiple=True,
    help="What to do where both changed the same PATH (* is any part): ours, theirs, append, set, "
    "counter or error. May be given several times.",
)
@click.option("--label", metavar="TEXT", help="Label the checkpoint.")
@DRY_RUN
@on_store
@gives_json
@click.pass_context
def merge(
    ctx: click.Context,
    key: str,
    branch: str,
    into: str,
    strategies: tuple[str, ...],
    label: str | None,
    dry_run: bool,
) -> None:
    """Merge what BRANCH did since the two parted into main, as one checkpoint.

    Edits of different places are both kept. Where both changed the same place nothing is merged,
    unless a strategy says which is right. BRANCH stays as it is. With --dry-run the exit code is
    that of the merge: not 0 if there are conflicts. A LangGraph thread stays at its own checkpoint,
    with the channels of both.
    """
    given = dict(_rule(each) for each in strategies)
    with opened(key, write=not dry_run) as store, _with_way_out(key, branch, into):
        rules = {**_of_thread(store, key, into), **given}
        merged = store.merge(key, branch, into=into, strategies=rules, label=label, dry_run=dry_run)
    if settings().json:
        print_json({"merge": _merge_document(merged) if merged is not None else None})
    elif merged is None:
        hint(f"{safe(branch)} did nothing that {safe(into)} has not taken in")
    else:
        _show(merged)
    if merged is not None and merged.conflicts:
        ctx.exit(_refused())


def _refused() -> int:
    """What a merge exits with that is refused for its conflicts."""
    from perdure.cli.app import exit_code  # which has this command, and so cannot come before

    return exit_code(MergeConflicts(""))


@contextmanager
def _with_way_out(key: str, branch: str, into: str) -> Iterator[None]:
    """Tell of conflicts with the way out that a command line has."""
    try:
        yield
    except MergeConflicts as error:
        from perdure.core.paths import format_path

        found = error.conflicts
        first = found[0].path[:-1] if found[0].run else found[0].path  # a run, by its list
        places = "; ".join(each.summary() for each in found[:PLACES_NAMED_MAX])
        more = "; …" if len(found) > PLACES_NAMED_MAX else ""
        raise MergeConflicts(
            f"{branch!r} cannot be merged into {into!r} of {key!r} as it is: both changed "
            f"{count(len(found), 'place')} ({places}{more}). Nothing was changed. Say what to do "
            f"by --strategy PATH=HOW, such as --strategy {quoted(format_path(first))}=theirs; "
            "--dry-run shows them all",
            conflicts=found,
        ) from error


def _of_thread(store: Store, key: str, into: str) -> Mapping[str, Strategy]:
    """The strategies for what a LangGraph thread says of itself; nobody should have to know them.

    None are for a state of another kind, or one that is not there: the merge says so.
    """
    from perdure.adapters.bookkeeping import MERGING

    try:
        told = store.at(key, into, sections=["langgraph"]).get("langgraph")
    except LookupError:
        return {}
    return MERGING if isinstance(told, Mapping) and "channel_versions" in told else {}


def _rule(text: str) -> tuple[str, Strategy]:
    path, equals, how = text.rpartition("=")
    if not equals or not path:
        raise click.BadParameter(f"{text!r} is not PATH=HOW", param_hint="--strategy")
    return path, how  # type: ignore[return-value]  # the library says which there are


def _show(merged: Merge) -> None:
    from perdure.core.changes import describe

    say(safe(merged.summary()))
    if merged.differences or (merged.dry_run and merged.changes):
        show_differences(merged.differences or ())
    elif not (merged.changes or merged.conflicts):
        kept, source = safe(merged.into), safe(merged.source)
        hint(f"{kept} stays as it is, and has what {source} did as taken in")
    if merged.checkpoint is not None:
        for change in merged.changes:
            say(f"    {safe(describe(change))}")
    for conflict in merged.conflicts:
        say(f"  ! {safe(conflict.summary())}")
    if merged.dry_run:
        hint("nothing was changed")
    elif merged.checkpoint is not None:
        hint(f"this takes it back: {_way_back(merged, merged.checkpoint.number - 1)}")


def _way_back(merged: Merge, number: int) -> str:
    """What leaves a merge again: `undo` would take back what was done to a branch before it."""
    where = f" --branch {quoted(merged.into)}" if merged.into != MAIN else ""
    return f"perdure rollback {quoted(merged.key)} {number}{where}"


def _merge_document(merged: Merge) -> dict[str, Any]:
    found = document(merged, without=("changes", "conflicts", "checkpoint", "differences"))
    checkpoint = merged.checkpoint
    found["changes"] = [change_document(each) for each in merged.changes]
    found["conflicts"] = [conflict_document(each) for each in merged.conflicts]
    found["checkpoint"] = document(checkpoint, without=("changes",)) if checkpoint else None
    if merged.differences is not None:
        found["differences"] = [difference_document(each) for each in merged.differences]
    return found
