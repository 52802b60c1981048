"""`perdure log`, `diff` and `sessions`: how a state came to be what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from perdure.cli.context import examples, gives_json, on_store, opened, reference, settings
from perdure.cli.documents import change_document, difference_document, document
from perdure.cli.output import Cell, aligned, hint, print_json, say, table
from perdure.cli.words import moments, safe

if TYPE_CHECKING:
    from perdure.types import Checkpoint, SessionInfo

ID_DIGITS = 12
"""Digits of an id shown (hex): enough to name it again."""

TITLES = (">number", "id", "time", "session", "label", "sections")


@click.command(
    epilog=examples("log support/alice", "log support/alice --limit 50 --before 120 --changes")
)
@click.argument("key")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="At most so many checkpoints.",
)
@click.option("--before", metavar="REF", help="Only checkpoints before this one: the next page.")
@click.option("--changes", is_flag=True, help="What each of them changed.")
@on_store
@gives_json
def log(key: str, limit: int, before: str | None, changes: bool) -> None:
    """List the checkpoints of the state KEY, newest first.

    REF is a checkpoint's number, its id, or the beginning of its id.
    """
    with opened(key) as store:
        ref = reference(before) if before is not None else None
        page = store.history(key, limit=limit, before=ref, changes=changes)
    last = page[-1].number if page and page[-1].number > 1 else None
    if settings().json:
        listed = [_checkpoint_document(checkpoint) for checkpoint in page]
        print_json({"checkpoints": listed, "next": last})
        return
    if not page:
        hint(f"no checkpoint before {safe(str(ref))}")
    elif changes:
        _show_changes(page)
    else:
        table(TITLES, [_row(each) for each in page])
    if last is not None:
        hint(f"{last - 1:,} older: add --before {last}, or a larger --limit")


def _show_changes(page: Sequence[Checkpoint]) -> None:
    """Each checkpoint's row, and below it what it changed."""
    from perdure.core.changes import describe

    head, *rows = aligned(TITLES, [_row(each) for each in page])
    say(head)
    for row, checkpoint in zip(rows, page, strict=True):
        say(row)
        for change in checkpoint.changes or ():
            say(f"    {safe(describe(change))}")


def _row(checkpoint: Checkpoint) -> tuple[Cell, ...]:
    return (
        str(checkpoint.number),
        checkpoint.id[:ID_DIGITS],
        moments(checkpoint.time),
        checkpoint.session[:ID_DIGITS],
        checkpoint.label or "",
        ", ".join(checkpoint.sections),
    )


def _checkpoint_document(checkpoint: Checkpoint) -> dict[str, object]:
    found = document(checkpoint, without=("changes",))
    if checkpoint.changes is not None:
        found["changes"] = [change_document(change) for change in checkpoint.changes]
    return found


@click.command(epilog=examples("diff support/alice 12 17", "diff support/alice 12"))
@click.argument("key")
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@on_store
@gives_json
def diff(key: str, before: str, after: str | None) -> None:
    """Show what changed in the state KEY between the checkpoints A and B.

    Each is a number, an id, or the beginning of an id, in either order; B is the newest if left
    out.
    """
    with opened(key) as store:
        newest = reference(after) if after is not None else store.info(key).number
        found = store.diff(key, reference(before), newest)
    if settings().json:
        print_json({"differences": [difference_document(each) for each in found]})
        return
    for each in found:
        say(safe(each.summary()))
    if not found:
        hint("no difference")


@click.command(epilog=examples("sessions support/alice"))
@click.argument("key")
@on_store
@gives_json
def sessions(key: str) -> None:
    """List the sessions that saved something to the state KEY, newest first."""
    with opened(key) as store:
        found = store.sessions(key)
    if settings().json:
        print_json({"sessions": [document(info) for info in found]})
        return
    table(
        ("session", "started", "last saved", "checkpoints", "process", "ended"),
        [_session_row(info) for info in found],
    )


def _session_row(info: SessionInfo) -> tuple[Cell, ...]:
    return (
        info.id[:ID_DIGITS],
        moments(info.started),
        moments(info.last_saved),
        str(info.first) if info.first == info.last else f"{info.first}-{info.last}",
        f"{info.holder.pid} on {info.holder.host}",
        info.ended + (f": {info.error}" if info.error else ""),
    )
