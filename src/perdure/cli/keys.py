"""`perdure keys`: encrypt a store, look at its keys, and give it others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import hint, print_json, progress, say
from perdure.cli.words import safe
from perdure.core.abbreviate import count

if TYPE_CHECKING:
    from perdure.reports import KeyInfo, Rekeyed

INTERRUPTED = "interrupted: what was done stays done, and everything can be read; run it again"


@click.group(
    epilog=examples(
        "keys new agents.key",
        "--key file:agents.key keys init",
        "--key file:agents.key keys rotate file:new.key",
    )
)
def keys() -> None:
    """Encrypt a store, look at its keys, and give it others."""


@keys.command(epilog=examples("keys new agents.key"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@gives_json
def new(file: Path) -> None:
    """Draw a root key and keep it in FILE, which only you can read and must not exist yet.

    Keep a copy of it elsewhere: what is encrypted with a key that is lost is lost too.
    """
    from perdure.keys import FileKey

    made = FileKey.make(file)
    if settings().json:
        print_json({"file": str(file), "root": made.key_id})
        return
    say(f"made root key {made.key_id} in {safe(str(file))}")
    hint(f"keep a copy elsewhere; then: perdure --key file:{safe(str(file))} keys init")


@keys.command(epilog=examples("--store agents.db --key file:agents.key keys init"))
@on_store
@gives_json
@click.pass_context
def init(ctx: click.Context) -> None:
    """Encrypt all that is in the store.

    Agents that have the key go on meanwhile; those without are stopped, and lose nothing that was
    saved. It may be interrupted or killed at any moment: run it again. At the end the file is
    written anew, so that nothing in the clear is left in it. Backups and exports made before stay
    as they are. The exit code is 1 if something could not be read, and so not encrypted.
    """
    with (
        opened(write=True, create=True, needs_key=True) as store,
        progress("encrypting", quiet=settings().json) as report,
    ):
        done = _interruptible(lambda: store.encrypt(progress=report))
    _tell(ctx, done, "encrypted")


@keys.command("list", epilog=examples("--key file:agents.key keys list"))
@on_store
@gives_json
def list_() -> None:
    """Say which keys a store has; never the keys."""
    with opened() as store:
        info = store.key_info() if store.is_encrypted() else None
    if settings().json:
        print_json({"keys": document(info) if info is not None else None})
    elif info is None:
        say("the store is not encrypted: perdure --key FORM keys init")
    else:
        _show(info)


@keys.command(epilog=examples("--key file:agents.key keys rotate file:new.key"))
@click.argument("new_key", metavar="FORM")
@on_store
@gives_json
def rotate(new_key: str) -> None:
    """Put the store under another root key: env:NAME, file:PATH, keyring:SERVICE or passphrase.

    That is done at once, and no agent notices; each needs the new key when it is started again.
    Who had the former key and a copy of the store can still read that copy: let
    `keys rewrap --deep` follow, so that it does not open what is saved from then on.
    """
    with opened(write=True, needs_key=True) as store:
        info = store.rotate(new_key)
    if settings().json:
        print_json({"keys": document(info)})
        return
    say(f"the store is under root key {info.root} now")


@keys.command(epilog=examples("--key file:new.key keys rewrap --deep"))
@click.option("--deep", is_flag=True, help="New data keys too: everything is sealed anew.")
@on_store
@gives_json
@click.pass_context
def rewrap(ctx: click.Context, deep: bool) -> None:
    """Give the store a new key of its own, which wraps those of the states.

    Agents go on meanwhile. It may be interrupted or killed at any moment: run it again, and it goes
    on. The exit code is 1 if something could not be read, and so has its former keys.
    """
    with (
        opened(write=True, needs_key=True) as store,
        progress("rewrapping", quiet=settings().json) as report,
    ):
        done = _interruptible(lambda: store.rewrap(deep=deep, progress=report))
    _tell(ctx, done, "sealed anew" if deep else "rewrapped")


def _interruptible(work: Callable[[], Rekeyed]) -> Rekeyed:
    try:
        return work()
    except KeyboardInterrupt:
        if not settings().json:
            hint(INTERRUPTED)
        raise


def _tell(ctx: click.Context, done: Rekeyed, verb: str) -> None:
    if settings().json:
        print_json({"ok": not done.problems, "done": document(done)})
    else:
        rows = f", {count(done.rows, 'row')}" if done.rows else ""
        what = f"{count(done.states, 'state')}{rows}" if done.states or rows else "nothing was left"
        say(f"{verb}: {what}, under root key {done.root}")
        for problem in done.problems:
            say(f"left as it was: {safe(problem)}")
    ctx.exit(1 if done.problems else 0)


def _show(info: KeyInfo) -> None:
    stage = "sealed" if info.stage == "sealed" else "being encrypted: perdure keys init goes on"
    say(f"root key     {info.root}")
    say(f"stage        {stage}")
    say(f"names        {'hidden' if info.hides_names else 'in the clear'}")
    say(f"data keys    {info.data_keys:,} of {count(info.states, 'state')}, {_where(info)}")
    say(f"store keys   {info.store_keys}")
    if info.rewrap:
        deep = " --deep" if info.rewrap == "deep" else ""
        say(f"under way    perdure keys rewrap{deep}")


def _where(info: KeyInfo) -> str:
    return "kept apart" if info.is_apart else "in the store"
