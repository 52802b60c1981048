"""`perdure prune`: keep of a history what a policy says, and remove the rest for good."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from perdure import limits
from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.durations import as_duration, as_thinning, in_units
from perdure.cli.output import Cell, hint, print_json, progress, say, table
from perdure.cli.words import bytes_of, safe
from perdure.core.abbreviate import count

if TYPE_CHECKING:
    from perdure.core.retention import Retention
    from perdure.reports import Pruned, PrunedBranch
    from perdure.store import Store

RUNS_NAMED_MAX = 4
"""Runs of checkpoints named on a terminal: the oldest, and the newest."""

MOVEMENTS_NAMED_MAX = 6
KEEP_LEFT = timedelta(microseconds=limits.left_us)

NO_POLICY = (
    "nothing says what is to go: give --keep-last N, --max-age AGE or --thin OLDER:PER, or "
    "--keep-left AGE for what branches left"
)


@click.command(
    epilog=examples(
        "prune --keep-last 1000 --dry-run",
        "prune support/alice --max-age 90d --thin 7d:1d",
        "prune --max-age 1w --keep-label release --yes --compact",
    )
)
@click.argument("key", required=False)
@click.option(
    "--keep-last", type=click.IntRange(min=1), metavar="N", help="Keep the N newest of a branch."
)
@click.option(
    "--max-age",
    callback=as_duration,
    metavar="AGE",
    help="Keep those younger than this, such as 90d.",
)
@click.option(
    "--thin",
    callback=as_thinning,
    multiple=True,
    metavar="OLDER:PER",
    help="Of those older than OLDER keep the newest of each PER: 7d:1d. May be given several "
    "times.",
)
@click.option(
    "--keep-label",
    "labels",
    multiple=True,
    metavar="TEXT",
    help="Keep those with this label; by default any label. May be given several times.",
)
@click.option("--no-labels", is_flag=True, help="Labels keep none.")
@click.option(
    "--keep-left",
    callback=as_duration,
    metavar="AGE",
    help="Keep what a branch left, and undo, for so long after it was moved or deleted.  "
    f"[default: {in_units(KEEP_LEFT)}]",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("--compact", is_flag=True, help="Then give unused space back to the file system.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@on_store
@gives_json
@click.pass_context
def prune(
    ctx: click.Context,
    key: str | None,
    keep_last: int | None,
    max_age: timedelta | None,
    thin: list[tuple[timedelta, timedelta]],
    labels: tuple[str, ...],
    no_labels: bool,
    keep_left: timedelta | None,
    dry_run: bool,
    compact: bool,
    yes: bool,
) -> None:
    """Remove old checkpoints of the state KEY, or of every state, for good.

    A checkpoint stays if any option keeps it, or it is the newest of its branch; those with a label
    stay unless --keep-label or --no-labels says otherwise. With --thin, those that --max-age keeps
    (without it, all) are thinned. What stays can be read, rolled back to and forked from as
    before. What goes cannot be brought back: so it is shown, and asked for, unless --yes is given.
    An AGE is such as 90d, 12h, 30m (minutes), 2w or 1d12h. The exit code is 1 if a state could not
    be read: that one is left as it is.
    """
    if labels and no_labels:
        raise click.UsageError("--keep-label goes without --no-labels")
    if dry_run and compact:
        raise click.UsageError("--dry-run goes without --compact: it changes nothing")
    policy = _policy(keep_last, max_age, thin, False if no_labels else labels or True, keep_left)
    if not (dry_run or yes) and (settings().json or not sys.stdin.isatty()):
        raise click.UsageError(
            "nobody is there to ask; look with --dry-run, then add --yes to prune"
        )
    with opened(key, write=not dry_run) as store:
        if not (dry_run or yes) and not _agreed(store, key, policy):
            return
        found = _pruned(store, key, policy, dry_run)
        given_back = _compacted(store) if compact else 0
    if settings().json:
        print_json({"states": [document(each) for each in found], "compacted": given_back})
    else:
        _show(found)
        if compact:
            say(f"{bytes_of(given_back)} given back")
        elif any(each.receipt for each in found):
            hint("their space is used again by later saves; --compact gives it back at once")
    ctx.exit(1 if any(each.problem for each in found) else 0)


def _policy(
    keep_last: int | None,
    max_age: timedelta | None,
    thin: Sequence[tuple[timedelta, timedelta]],
    labels: bool | Sequence[str],
    keep_left: timedelta | None,
) -> Retention:
    """What the options say.

    Raises:
        click.UsageError: they keep everything.
    """
    from perdure.core.retention import Retention

    if keep_last is None and max_age is None and not thin and keep_left is None:
        raise click.UsageError(NO_POLICY)
    return Retention(
        keep_last=keep_last,
        max_age=max_age,
        thin=thin or None,
        keep_labels=labels,
        keep_left=KEEP_LEFT if keep_left is None else keep_left,
    )


def _agreed(store: Store, key: str | None, policy: Retention) -> bool:
    """Whether whoever is there wants it to go; if nothing would, nobody is asked."""
    found = _pruned(store, key, policy, dry_run=True)
    _show(found)
    if not any(each.removed for each in found):
        return False
    if click.confirm("Remove them for good?", err=True):
        return True
    hint("nothing was changed")
    return False


def _pruned(store: Store, key: str | None, policy: Retention, dry_run: bool) -> list[Pruned]:
    label = "looking" if dry_run else "pruning"
    try:
        with progress(label, quiet=settings().json) as report:
            return store.prune(policy, key, dry_run=dry_run, progress=report)
    except KeyboardInterrupt:
        if not settings().json and not dry_run:
            hint(
                "interrupted: of each state either nothing was removed, or the next maintenance "
                "removes what is left; perdure movements KEY shows which"
            )
        raise


def _compacted(store: Store) -> int:
    with progress("compacting", quiet=settings().json) as report:
        return store.compact(progress=report)


# ---- what is printed ------------------------------------------------------------------------


def _show(found: Sequence[Pruned]) -> None:
    """What went of each state, or would: its branches, then what it comes to."""
    pruned = [each for each in found if each.removed]
    rows = [_row(each.key, branch) for each in pruned for branch in each.branches]
    if rows:
        table(("key", "branch", ">kept", ">removed", "checkpoints that stay"), rows)
        say()
    for each in pruned:
        say("; ".join(_told(each)))
    if len(pruned) > 1:
        say(_total(pruned))
    if not pruned:
        say("nothing to remove: every checkpoint is kept")
    for label in _unknown(found):
        hint(f"no checkpoint has the label {safe(repr(label))}: --keep-label keeps none by it")
    bad = [(each.key, str(each.problem)) for each in found if each.problem]
    if bad:
        table(("key", "left as it is"), bad, whole=True)


def _unknown(found: Sequence[Pruned]) -> list[str]:
    """Labels to be kept that none of these states has."""
    told = [each.unknown_labels for each in found if not each.problem]
    return [label for label in told[0] if all(label in each for each in told)] if told else []


def _row(key: str, branch: PrunedBranch) -> tuple[Cell, ...]:
    return key, branch.branch, f"{branch.kept:,}", f"{branch.removed:,}", _runs(branch.runs)


def _runs(runs: Sequence[tuple[int, int]]) -> tuple[str, str]:
    """The numbers that stay, oldest first; on a terminal without those in the middle.

    Example:
        >>> _runs([(3, 3), (7, 9)])
        ('3, 7-9', '3, 7-9')
    """
    named = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    whole = ", ".join(named)
    more = len(named) - RUNS_NAMED_MAX
    if more <= 1:
        return whole, whole
    newest = ", ".join(named[1 - RUNS_NAMED_MAX :])
    return whole, f"{named[0]}, {more:,} more, {newest}"


def _told(found: Pruned) -> Iterator[str]:
    """What it comes to for one state, in parts of one line."""
    done = "would be removed" if found.dry_run else "removed"
    yield f"{safe(found.key)}: {count(found.removed, 'checkpoint')} {done}, {_size(found.bytes)}"
    if found.left:
        yield f"{found.left:,} of them on no branch any more"
    if found.final:
        numbers = ", ".join(map(str, found.final[-MOVEMENTS_NAMED_MAX:]))
        earlier = "earlier ones and " if len(found.final) > MOVEMENTS_NAMED_MAX else ""
        unit = "movement" if len(found.final) == 1 else "movements"
        cannot = "could not" if found.dry_run else "cannot"
        yield f"{unit} {earlier}{numbers} {cannot} be undone any more"
    if found.receipt is not None:
        yield f"receipt: movement {found.receipt}"


def _total(pruned: Sequence[Pruned]) -> str:
    checkpoints = count(sum(each.removed for each in pruned), "checkpoint")
    size = _size(sum(each.bytes for each in pruned))
    return f"in all: {checkpoints} of {count(len(pruned), 'state')}, {size}"


def _size(size_bytes: int) -> str:
    return f"about {bytes_of(size_bytes)}"
