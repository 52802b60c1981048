"""`perdure ls`, `copy`, `rm` and `undelete`: whole states."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from perdure.cli.context import (
    anchor_words,
    another_key,
    examples,
    gives_json,
    on_store,
    opened,
    reference,
    refuses_secrets,
    settings,
)
from perdure.cli.documents import document
from perdure.cli.output import Cell, hint, print_json, say, table
from perdure.cli.words import moment, moments, safe

if TYPE_CHECKING:
    from perdure.types import LeaseInfo, StateInfo

SUMMARY_WIDTH = 60
"""Characters shown of a state's summary."""

KEYS_NAMED_MAX = 3

TITLES = (">checkpoint", ">sessions", "status", "updated", "summary")


@click.command(epilog=examples("--store agents.db ls", "ls support/ --limit 20"))
@click.argument("prefix", default="")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="At most so many keys.",
)
@click.option("--after", metavar="KEY", help="Only keys after this one: the next page.")
@click.option("--deleted", is_flag=True, help="The deleted states instead.")
@on_store
@gives_json
def ls(prefix: str, limit: int, after: str | None, deleted: bool) -> None:
    """List states in key order, those whose key begins with PREFIX.

    Nothing is opened: a store of very many states is as quick to list. CHECKPOINT is the number of
    the newest on main, whatever was pruned of those before it. UPDATED is when the state
    was last saved to, or was made by copy or import. STATUS also tells which process holds a branch
    exclusively.
    """
    with opened() as store:
        page = store.states(prefix, limit=limit + 1, after=after, deleted=deleted)
    keys = list(dict.fromkeys(info.key for info in page))
    last = keys[limit - 1] if len(keys) > limit else None
    page = [info for info in page if last is None or info.key != keys[limit]]
    if settings().json:
        print_json({"states": [document(info) for info in page], "next": last})
        return
    if page:
        titles: tuple[str, ...] = ("key", ">life", *TITLES) if deleted else ("key", *TITLES)
        table(titles, [_row(info, with_life=deleted) for info in page])
        name_unreadable([info.key for info in page if info.problem])
    else:
        hint("no deleted states" if deleted else "no states")
    if last is not None:
        hint(f"more: add --after {quoted(last)}")


def name_unreadable(keys: Sequence[str]) -> None:
    """Say of which states nothing could be read, and where to go on."""
    if keys:
        named = ", ".join(map(safe, keys[:KEYS_NAMED_MAX]))
        more = f" and {len(keys) - KEYS_NAMED_MAX:,} more" if len(keys) > KEYS_NAMED_MAX else ""
        verify = f"perdure {anchor_words()}verify {quoted(keys[0])}"
        hint(f"not readable: {named}{more} ({verify} tells more)")


def _row(info: StateInfo, *, with_life: bool) -> tuple[Cell, ...]:
    named = (info.key, str(info.life)) if with_life else (info.key,)
    if info.problem:
        return (*named, "-", "-", info.status, "-", _one_line(info.problem))
    return (
        *named,
        f"{info.number:,}",
        f"{info.sessions:,}",
        ", ".join([info.status, *map(_held, info.leases)]),
        moments(info.deleted or info.updated),
        _one_line(info.summary or ""),
    )


def _held(lease: LeaseInfo) -> str:
    by = f"process {lease.holder.pid} on {lease.holder.host}"
    return f"{lease.branch} held by {by}" + ("" if lease.alive else ", which is gone")


def _one_line(text: str) -> str:
    return text if len(text) <= SUMMARY_WIDTH else text[: SUMMARY_WIDTH - 1] + "…"


@click.command(
    epilog=examples("copy support/alice support/alice-before", "copy a b --at what-if@17")
)
@click.argument("key")
@click.argument("new")
@click.option("--at", "ref", metavar="REF", help="Up to this checkpoint. By default the newest.")
@refuses_secrets
@on_store
@gives_json
def copy(key: str, new: str, ref: str | None) -> None:
    """Copy the state KEY, with its history, to the key NEW.

    The copy goes its own way from then on. It has the history of one branch: main, or the one that
    REF is on. REF names a checkpoint: 17, what-if@17, ~3, an id, label:TEXT or time:2026-11-03.
    """
    at = reference(ref) if ref is not None else None
    with opened(key, write=True) as store, another_key(f"copy {quoted(key)} NEW"):
        info = store.copy(key, new, at=at)
        store.maintain(new)  # nothing goes on in the background once this process has ended
    _tell(info, f"copied {safe(key)} to {safe(new)}, {newest(info)}")


@click.command(epilog=examples("rm support/alice", "rm support/alice --yes"))
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@on_store
@gives_json
def rm(key: str, yes: bool) -> None:
    """Delete the state KEY. It is hidden, not destroyed: undelete brings it back.

    Sessions open on it can no longer save to it.
    """
    undo = f"perdure undelete {quoted(key)}"
    with opened(key, write=True) as store:
        found = store.info(key)
        if not yes:
            if settings().json or not sys.stdin.isatty():
                raise click.UsageError("nobody is there to ask; add --yes to delete it")
            hint(f"{safe(key)} goes {newest(found)}, updated {moment(found.updated)}.")
            hint(f"Deleting hides it; this brings it back: {undo}")
            if not click.confirm("Delete it?", err=True):
                hint("nothing was changed")
                return
        info = store.delete(key)
    _tell(info, f"deleted {safe(key)}; this brings it back: {undo}")


@click.command(epilog=examples("ls --deleted", "undelete support/alice", "undelete a --life 2"))
@click.argument("key")
@click.option(
    "--life", metavar="N", type=click.IntRange(min=1), help="Which one, as ls --deleted tells."
)
@on_store
@gives_json
def undelete(key: str, life: int | None) -> None:
    """Bring back the state KEY that was deleted, with all its history.

    By default that is the one that was deleted last. An earlier one can be brought back while no
    state has the key; delete one that has, which loses nothing.
    """
    with opened(write=True) as store:
        info = store.undelete(key, life=life)
    _tell(info, f"brought back {safe(key)}, {newest(info)}")


def newest(info: StateInfo) -> str:
    """How far a state goes; not how many checkpoints it has: some may have been pruned."""
    return f"up to checkpoint {info.number:,}"


def _tell(info: StateInfo, text: str) -> None:
    if settings().json:
        print_json({"state": document(info)})
    else:
        say(text)


def quoted(key: str) -> str:
    """A key as it is typed on a command line."""
    return shlex.quote(safe(key))
