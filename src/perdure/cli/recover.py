"""`perdure recover`: what can be read of a broken file, in a new store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from perdure.cli.context import (
    KEY_VARIABLE,
    examples,
    gives_json,
    settings,
    takes_key,
)
from perdure.cli.documents import document
from perdure.cli.output import hint, print_json, progress, say, table
from perdure.cli.words import safe
from perdure.core.abbreviate import count

if TYPE_CHECKING:
    from perdure.recovering import Progress, Recovered, RecoveredState


@click.command(epilog=examples("recover broken.db new.db"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("new", type=click.Path(dir_okay=False, path_type=Path))
@takes_key
@gives_json
@click.pass_context
def recover(ctx: click.Context, file: Path, new: Path) -> None:
    """Make the store NEW of what can be read of the broken FILE, which is only read.

    Also where SQLite itself cannot read FILE. Every row proves itself by its checksum; what does
    not is left out. A state that cannot be opened goes back to its newest checkpoint that is whole,
    and one whose head is lost gets one from its records. The exit code is 1 if anything was lost.
    Nobody should write to FILE meanwhile.
    """
    with progress("recovering", quiet=settings().json) as report:
        done = _recovered(file, new, report)
    if settings().json:
        print_json({"ok": done.ok, "recovered": document(done)})
    else:
        _show(done)
    ctx.exit(0 if done.ok else 1)


def _recovered(file: Path, new: Path, report: Progress | None) -> Recovered:
    """What the library does; a key that only the environment holds is for encrypted files."""
    from perdure.errors import KeyMissing
    from perdure.recovering import recover as recovered

    key, keys_url = settings().key, settings().keys_url
    try:
        return recovered(file, new, key=key, keys_url=keys_url, progress=report)
    except KeyMissing:
        if key is not None or not os.environ.get(KEY_VARIABLE):
            raise
        return recovered(file, new, key=f"env:{KEY_VARIABLE}", keys_url=keys_url, progress=report)


def _show(done: Recovered) -> None:
    rows = [
        (each.key, f"{each.number:,}" if each.number else "-", _told(each)) for each in done.states
    ]
    table(("key", ">checkpoint", "found"), rows, whole=True)
    say()
    kinds = [(name, f"{done.found.get(name, 0):,}", f"{done.lost.get(name, 0):,}") for name in ROWS]
    table(("rows", ">taken", ">lost"), kinds)
    say(f"recovered {count(len(done.states), 'state')} to {safe(done.target)}")
    if not done.ok:
        hint("something was lost: compare with a backup before this store takes its place")


ROWS = ("heads", "records", "pages", "keys", "erased")


def _told(state: RecoveredState) -> str:
    told = [each.summary() for each in state.losses]
    if state.is_rebuilt:
        told.append("its head was lost, and with it claims of effects: find out what was done")
    if not told and state.problem is not None:
        told.append(state.problem)
    return "; ".join(told) or "ok"
