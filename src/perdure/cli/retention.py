"""`perdure sweep`: what is not to be kept for ever."""

from __future__ import annotations

import click

from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import hint, print_json, say, table
from perdure.cli.words import moment
from perdure.core.abbreviate import count


@click.command(epilog=examples("sweep --dry-run", "sweep"))
@click.option("--dry-run", is_flag=True, help="Only say which states would be deleted.")
@on_store
@gives_json
def sweep(dry_run: bool) -> None:
    """Delete the states that have expired.

    A state expires some time after it was last saved to, if a program said so when it opened it.
    Deleting hides it: undelete brings it back. Nothing sweeps by itself: let a timer call this.
    Old checkpoints of states that stay are for prune.
    """
    with opened(write=not dry_run) as store:
        swept = store.sweep(dry_run=dry_run)
    if settings().json:
        print_json({"states": [document(info) for info in swept], "dry_run": dry_run})
        return
    if not swept:
        say("nothing has expired")
        return
    rows = [(info.key, f"{info.number:,}", moment(info.expires)) for info in swept if info.expires]
    table(("key", ">checkpoints", "expired"), rows)
    done = "would be deleted" if dry_run else "deleted; perdure undelete KEY brings one back"
    hint(f"{count(len(swept), 'state')} {done}")
