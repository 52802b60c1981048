"""`perdure maintain`: keep states quick to open and small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import hint, print_json, progress, say, table
from perdure.cli.words import bytes_of
from perdure.core.abbreviate import count

if TYPE_CHECKING:
    from perdure.reports import Maintained, MaintenanceStep, Work
    from perdure.store import Store


PLANNED = {
    "prune": "prune: end one that was interrupted",
    "park": "park: take idle branches out of the head",
}
"""What a step is called in a plan, if its name alone says too little."""

INTERRUPTED = "interrupted: what was done stays done, nothing is half done; go on whenever you like"


@click.command(epilog=examples("maintain", "maintain support/alice", "maintain --dry-run"))
@click.argument("key", required=False)
@click.option("--dry-run", is_flag=True, help="Only say what would be done first.")
@click.option("--compact", is_flag=True, help="Then give unused space back to the file system.")
@on_store
@gives_json
@click.pass_context
def maintain(ctx: click.Context, key: str | None, dry_run: bool, compact: bool) -> None:
    """Do the maintenance that is due, of the state KEY or of every state.

    Snapshots make opening cost what is read, packs make history small, and pages that nothing
    refers to are removed. Nothing that was saved is lost or changed, agents may go on meanwhile,
    and it may be interrupted at any moment. Programs that save do it by themselves, but for this:
    every page of a snapshot is read here, and made anew from the records if it is damaged or
    missing. The exit code is 1 if anything else could not be read: that is left as it is, and
    everything else is done.
    """
    if dry_run and compact:
        raise click.UsageError("--dry-run goes without --compact: it changes nothing")
    with opened(key, write=not dry_run) as store:
        found = _maintained(store, key, dry_run)
        given_back = 0
        if compact:
            with progress("compacting", quiet=settings().json) as report:
                given_back = store.compact(progress=report)
    if settings().json:
        print_json({"states": [document(each) for each in found], "compacted": given_back})
        ctx.exit(1 if any(each.problem for each in found) else 0)
    _show([each for each in found if each.steps], dry_run)
    if compact:
        say(f"{bytes_of(given_back)} given back")
    bad = [each for each in found if each.problem]
    if bad:
        table(("key", "left as it is"), [(each.key, str(each.problem)) for each in bad], whole=True)
    ctx.exit(1 if bad else 0)


def _maintained(store: Store, key: str | None, dry_run: bool) -> list[Maintained]:
    try:
        with progress("maintaining", quiet=settings().json) as report:
            return store.maintain(key, dry_run=dry_run, progress=report)
    except KeyboardInterrupt:
        if not settings().json:
            hint(
                "interrupted: what was done stays done, nothing is half done; run it again any time"
            )
        raise


def _show(busy: Sequence[Maintained], dry_run: bool) -> None:
    if not busy:
        say("nothing to do")
    elif dry_run:
        titles = ("key", "would do first", "checkpoints", ">rows", ">stored")
        table(titles, [_planned(each.key, step) for each in busy for step in each.details])
    else:
        table(("key", "done"), [(each.key, _counted(each.steps)) for each in busy])


def _planned(key: str, step: MaintenanceStep) -> tuple[str, ...]:
    if not step.rows:
        return key, PLANNED.get(step.work, step.work), "", "", ""
    span = f"{step.first:,} to {step.last:,}"
    return key, step.work, span, f"{step.rows:,}", bytes_of(step.bytes)


def _counted(steps: Sequence[Work]) -> str:
    """Such as "snapshot, 12 packs, collect"."""
    counts = Counter(steps)
    return ", ".join(work if n == 1 else count(n, work) for work, n in counts.items())
