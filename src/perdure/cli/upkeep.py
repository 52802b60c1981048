"""`perdure maintain`: keep states quick to open and small."""

from __future__ import annotations

import click

from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import print_json, progress, say, table
from perdure.cli.words import bytes_of


@click.command(epilog=examples("maintain", "maintain support/alice", "maintain --dry-run"))
@click.argument("key", required=False)
@click.option("--dry-run", is_flag=True, help="Only say what would be done first.")
@click.option("--compact", is_flag=True, help="Then give unused space back to the file system.")
@on_store
@gives_json
def maintain(key: str | None, dry_run: bool, compact: bool) -> None:
    """Do the maintenance that is due, of the state KEY or of every state.

    Snapshots make opening cost what is read, packs make history small, and pages that nothing
    refers to are removed. Nothing that was saved is lost or changed, agents may go on meanwhile,
    and it may be interrupted at any moment. Programs that save do it by themselves.
    """
    if dry_run and compact:
        raise click.UsageError("--dry-run goes without --compact: it changes nothing")
    with opened(key, write=not dry_run) as store:
        with progress("maintaining", quiet=settings().json) as report:
            found = store.maintain(key, dry_run=dry_run, progress=report)
        given_back = 0
        if compact:
            with progress("compacting", quiet=settings().json) as report:
                given_back = store.compact(progress=report)
    if settings().json:
        print_json({"states": [document(each) for each in found], "compacted": given_back})
        return
    title = "would do first" if dry_run else "done"
    busy = [each for each in found if each.steps]
    if busy:
        table(("key", title), [(each.key, ", ".join(each.steps)) for each in busy])
    else:
        say("nothing to do")
    if compact:
        say(f"{bytes_of(given_back)} given back")
