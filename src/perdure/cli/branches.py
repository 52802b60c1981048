"""`perdure branches`, `fork`, `rollback`, `promote`, `branch`, `undo`, `redo` and `movements`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from perdure.cli.context import (
    MAIN,
    examples,
    gives_json,
    on_store,
    opened,
    reference,
    settings,
)
from perdure.cli.diff import show_differences
from perdure.cli.documents import document, movement_document
from perdure.cli.history import ID_DIGITS
from perdure.cli.output import Cell, hint, print_json, say, table
from perdure.cli.states import quoted
from perdure.cli.words import moments, safe
from perdure.errors import BranchExists

if TYPE_CHECKING:
    from perdure.types import BranchInfo, EffectInfo, Movement

DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Only show what would change, section by section."
)


@click.command(epilog=examples("branches support/alice"))
@click.argument("key")
@on_store
@gives_json
def branches(key: str) -> None:
    """List the branches of the state KEY, main first.

    FROM is the checkpoint at which a branch was made, or to which it was moved last.
    """
    with opened(key) as store:
        found = store.branches(key)
    if settings().json:
        print_json({"branches": [document(each) for each in found]})
        return
    table(("branch", ">checkpoint", "id", "saved", ">from"), [_row(each) for each in found])


def _row(info: BranchInfo) -> tuple[Cell, ...]:
    base = f"{info.base:,}" if info.base is not None else ""
    tip = info.tip
    return info.name, f"{tip.number:,}", tip.id[:ID_DIGITS], moments(tip.time), base


@click.command(epilog=examples("fork support/alice what-if", "fork support/alice what-if --at ~3"))
@click.argument("key")
@click.argument("name")
@click.option("--at", "ref", metavar="REF", help="From this checkpoint. By default the newest.")
@click.option("--branch", metavar="B", default=MAIN, show_default=True, help="Of this branch.")
@click.option("--exist-ok", is_flag=True, help="If there is one of this name, leave it as it is.")
@on_store
@gives_json
def fork(key: str, name: str, ref: str | None, branch: str, exist_ok: bool) -> None:
    """Make a branch NAME of the state KEY, which goes its own way from a checkpoint on.

    Nothing is copied. REF names a checkpoint: 17, what-if@17, ~3, an id, label:TEXT or
    time:2026-11-03.
    """
    at = reference(ref) if ref is not None else None
    with opened(key, write=True) as store:
        try:
            info, made = store.fork(key, name, at=at, branch=branch), True
        except BranchExists:
            if not exist_ok:
                raise
            info, made = store.fork(key, name, at=at, branch=branch, exist_ok=True), False
    if settings().json:
        print_json({"branch": document(info), "made": made})
    elif made:
        way_back = f"perdure branch delete {quoted(key)} {quoted(name)}"
        say(f"made {safe(name)} at {info.tip.number} of {safe(key)}; this removes it: {way_back}")
        _tell_effects(info.effects)
    else:
        say(f"{safe(key)} has a branch {safe(name)} already, at {info.tip.number}")


@click.command(
    epilog=examples("rollback support/alice ~3 --dry-run", "rollback support/alice label:planned")
)
@click.argument("key")
@click.argument("ref")
@click.option("--branch", metavar="B", default=MAIN, show_default=True, help="Move this branch.")
@DRY_RUN
@on_store
@gives_json
def rollback(key: str, ref: str, branch: str, dry_run: bool) -> None:
    """Let the state KEY go on from the earlier checkpoint REF, or from any other.

    Nothing is destroyed: undo goes back, and log --all lists what was left. Sessions that are
    open on the branch are told at their next save. REF names a checkpoint: 17, what-if@17, ~3, an
    id, label:TEXT or time:2026-11-03.
    """
    to = reference(ref)
    with opened(key, write=not dry_run) as store:
        moved = store.rollback(key, to, branch=branch, dry_run=dry_run)
    _tell(moved, key, f"{branch} stands there already")


@click.command(epilog=examples("promote support/alice what-if", "promote a try-2 --dry-run"))
@click.argument("key")
@click.argument("branch")
@click.option("--into", metavar="B", default=MAIN, show_default=True, help="Move this branch.")
@DRY_RUN
@on_store
@gives_json
def promote(key: str, branch: str, into: str, dry_run: bool) -> None:
    """Let main go on from where BRANCH is, which was forked from it or merged it.

    BRANCH stays as well. If main was saved to since, the two have to be merged instead.
    """
    with opened(key, write=not dry_run) as store:
        moved = store.promote(key, branch, into=into, dry_run=dry_run)
    where = "there already" if into == branch else f"where {branch} does"
    _tell(moved, key, f"{into} stands {where}")


@click.command(epilog=examples("undo support/alice --dry-run", "undo support/alice"))
@click.argument("key")
@DRY_RUN
@on_store
@gives_json
def undo(key: str, dry_run: bool) -> None:
    """Take back the last movement of any branch of KEY: fork, rollback, promote and so on.

    Whoever made it: look with --dry-run where others work on the state as well. Called again it
    takes back the one before that; redo goes the other way. What was saved since stays in the store
    as after any movement.
    """
    with opened(key, write=not dry_run) as store:
        moved = store.undo(key, dry_run=dry_run)
    _tell(moved, key)


@click.command(epilog=examples("redo support/alice"))
@click.argument("key")
@DRY_RUN
@on_store
@gives_json
def redo(key: str, dry_run: bool) -> None:
    """Take back the last undo on the state KEY, if no branch was moved since."""
    with opened(key, write=not dry_run) as store:
        moved = store.redo(key, dry_run=dry_run)
    _tell(moved, key)


@click.command(epilog=examples("movements support/alice"))
@click.argument("key")
@on_store
@gives_json
def movements(key: str) -> None:
    """List everything that was done to the branches of the state KEY, newest first."""
    with opened(key) as store:
        found = store.movements(key)
    if settings().json:
        print_json({"movements": [movement_document(each) for each in found]})
    elif found:
        rows = [(str(each.number), moments(each.time), each.summary()) for each in found]
        table((">movement", "time", "what"), rows, whole=True)
    else:
        hint("no branch was made or moved")


@click.group(no_args_is_help=False, epilog=examples("branch rename support/alice what-if plan-b"))
def branch() -> None:
    """Rename or delete a branch; undo takes either back."""


@branch.command(epilog=examples("branch rename support/alice what-if plan-b"))
@click.argument("key")
@click.argument("name", metavar="BRANCH")
@click.argument("new")
@on_store
@gives_json
def rename(key: str, name: str, new: str) -> None:
    """Give BRANCH of the state KEY the name NEW."""
    with opened(key, write=True) as store:
        moved = store.rename_branch(key, name, new)
    _tell(moved, key, f"{name} has that name already")


@branch.command(epilog=examples("branch delete support/alice what-if"))
@click.argument("key")
@click.argument("name", metavar="BRANCH")
@DRY_RUN
@on_store
@gives_json
def delete(key: str, name: str, dry_run: bool) -> None:
    """Remove the name BRANCH from the state KEY; undo brings it back.

    Its checkpoints stay until they are pruned: log --all lists them.
    """
    with opened(key, write=not dry_run) as store:
        moved = store.delete_branch(key, name, dry_run=dry_run)
    _tell(moved, key)


def _tell(moved: Movement | None, key: str, nothing: str = "") -> None:
    """What was done, or would be, and what takes it back."""
    if settings().json:
        print_json({"movement": movement_document(moved) if moved is not None else None})
    elif moved is None:
        say(f"nothing to do: {safe(nothing)}")
    elif moved.dry_run:
        _preview(moved)
    else:
        back = "redo" if moved.what == "undo" else "undo"
        say(f"{safe(moved.summary())}; this takes it back: perdure {back} {quoted(key)}")
        hint(f"after further movements this does: {_way_back(moved)}")
        _tell_effects(moved.effects)


def _way_back(moved: Movement) -> str:
    """What takes a movement back whatever was moved since, which undo does not."""
    key, name = quoted(moved.key), quoted(moved.branch)
    if moved.before is None:
        return f"perdure branch delete {key} {name}"
    start = moved.before.id[:ID_DIGITS]
    if moved.after is None:
        return f"perdure fork {key} {name} --at {start}"
    if moved.before == moved.after and moved.other is not None:
        return f"perdure branch rename {key} {quoted(moved.other)} {name}"
    where = f" --branch {name}" if moved.branch != MAIN else ""
    return f"perdure rollback {key} {start}{where}"


def _preview(moved: Movement) -> None:
    say(f"would be done: {safe(moved.summary())}")
    if moved.before is not None and moved.after is not None:
        show_differences(moved.differences or ())
    for each in moved.warnings:
        say(f"note: {safe(each)}")
    _tell_effects(moved.effects)


def _tell_effects(effects: tuple[EffectInfo, ...]) -> None:
    """What was done to the world since, which no movement takes back."""
    if not effects:
        return
    say("not undone, and not done again:")
    rows = [(each.key, each.status, moments(each.claimed), each.about) for each in effects]
    table(("effect", "status", "claimed", "by"), rows)
