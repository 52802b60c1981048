"""`perdure upgrade`: bring a store that an earlier version made to the newest form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import print_json, progress, say, table
from perdure.cli.words import safe
from perdure.core.abbreviate import count

if TYPE_CHECKING:
    from perdure.reports import Upgraded


@click.command(epilog=examples("upgrade --dry-run", "upgrade", "upgrade --backup old.db"))
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--backup",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Copy the store here first. By default beside it, under a name that is free.",
)
@click.option("--no-backup", is_flag=True, help="Make no copy.")
@on_store
@gives_json
@click.pass_context
def upgrade(ctx: click.Context, dry_run: bool, backup: Path | None, no_backup: bool) -> None:
    """Bring a store that an earlier version made to the newest form.

    Contents, history, ids and hashes stay what they were. The store is copied first, and every
    state is verified afterwards; the exit code is 1 if one is damaged. Nobody else may have the
    store open meanwhile. It may be interrupted or killed at any moment: run it again. A store that
    is of the newest form stays as it is.
    """
    if backup is not None and no_backup:
        raise click.UsageError("--backup goes without --no-backup")
    with (
        opened(write=not dry_run) as store,
        progress("upgrading", quiet=settings().json) as report,
    ):
        done = store.upgrade(dry_run=dry_run, backup=backup or not no_backup, progress=report)
    if settings().json:
        print_json({"ok": done.ok, "upgraded": document(done)})
    else:
        _show(done)
    ctx.exit(0 if done.ok else 1)


def _show(done: Upgraded) -> None:
    if done.backup is not None:
        say(f"copied to {safe(done.backup)} first")
    verb = "would be done" if done.dry_run else "done"
    for step in done.steps:
        say(f"{verb}: {step.what}")
    if not done.steps:
        say(f"nothing to do: the store is of the newest form, format {done.after}")
    if done.dry_run:
        return
    bad = [each for each in done.verified if not each.ok]
    say(f"verified: {count(len(done.verified), 'state')}, {len(bad) or 'none'} damaged")
    if bad:
        table(("key", "damaged"), [(each.key, str(each.problem)) for each in bad], whole=True)
