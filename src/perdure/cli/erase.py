"""`perdure erase`: remove states for good, with all that the store has of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import hint, print_json, progress, say, table
from perdure.cli.words import bytes_of, moments, safe
from perdure.core.abbreviate import count
from perdure.errors import Busy, StateNotFound

if TYPE_CHECKING:
    from perdure.reports import ErasedLife, Erasure
    from perdure.store import Store

LISTED_PER_CALL = 1_000


@click.command(
    epilog=examples(
        "erase support/alice --dry-run",
        'erase support/alice --reason "asked for on 3 May"',
        "erase --match 'support/alice*' --yes",
        "erase --list",
    )
)
@click.argument("key", required=False)
@click.option("--match", metavar="PATTERN", help="Every state whose key fits, such as 'support/*'.")
@click.option("--life", type=click.IntRange(min=1), metavar="N", help="Only this life of KEY.")
@click.option("--reason", metavar="TEXT", help="Kept in the receipt.")
@click.option("--keep-name", is_flag=True, help="Keep the name in the receipt, not only its hash.")
@click.option("--force", is_flag=True, help="Also a state that a living session holds exclusively.")
@click.option("--list", "lists", is_flag=True, help="Show the receipts, of KEY or of all.")
@click.option("--dry-run", is_flag=True, help="Only show what would go, and which copies stay.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@on_store
@gives_json
def erase(
    key: str | None,
    match: str | None,
    life: int | None,
    reason: str | None,
    keep_name: bool,
    force: bool,
    lists: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Erase the state KEY, or those that --match names, for good.

    All of a state goes: history, branches, effects, former lives, and its data key; then the
    store's files are written anew. What would go is shown, and asked for, unless --yes is given. A
    receipt stays, which --list shows. In a PATTERN, * stands for any text. If it is interrupted,
    the same command goes on. Copies under other names, exports and backups are not reached.
    """
    if lists:
        _list(key)
        return
    if (key is None) == (match is None):
        raise click.UsageError("give KEY, or --match PATTERN (or --list)")
    if life is not None and key is None:
        raise click.UsageError("--life goes with KEY: lives are numbered for each key")
    if not (dry_run or yes) and (settings().json or not sys.stdin.isatty()):
        raise click.UsageError(
            "nobody is there to ask; look with --dry-run, then add --yes to erase"
        )
    with opened(key, write=not dry_run) as store:
        keys = [key] if key is not None else _matching(store, match or "")
        shown = [] if yes else _looked_at(store, keys, life)
        if dry_run:
            _tell(shown)
            return
        if not yes and not _agreed(shown):
            return
        done = _erased(store, keys, life=life, reason=reason, keep_name=keep_name, force=force)
    _tell(done)


def _matching(store: Store, pattern: str) -> list[str]:
    """The keys that fit, those of states that were deleted too."""
    prefix = pattern.split("*")[0].split("?")[0].split("[")[0]
    found: set[str] = set()
    for deleted in (False, True):
        after: str | None = None
        while True:
            states = store.states(prefix, limit=LISTED_PER_CALL, after=after, deleted=deleted)
            found |= {each.key for each in states if fnmatchcase(each.key, pattern)}
            if len({each.key for each in states}) < LISTED_PER_CALL:
                break
            after = states[-1].key
    return sorted(found)


def _looked_at(store: Store, keys: Sequence[str], life: int | None) -> list[Erasure]:
    with progress("looking", quiet=settings().json) as report:
        found = []
        for done, each in enumerate(keys, 1):
            found.append(store.erase(each, life=life, dry_run=True))
            if report is not None:
                report(done, len(keys))
        return found


def _agreed(found: Sequence[Erasure]) -> bool:
    """Whether whoever is there wants it to go; if nothing would, nobody is asked."""
    _show(found)
    if not found:
        return False
    if click.confirm("Erase it for good? Nothing brings it back.", err=True):
        return True
    hint("nothing was changed")
    return False


def _erased(
    store: Store,
    keys: Sequence[str],
    *,
    life: int | None,
    reason: str | None,
    keep_name: bool,
    force: bool,
) -> list[Erasure]:
    """Erase them one after the other, and write the files anew at the end.

    Raises:
        Busy: somebody holds one exclusively; of several, the others are erased all the same.
    """
    found, held = [], list[Busy]()
    with progress("erasing", quiet=settings().json) as report:
        for done, each in enumerate(keys, 1):
            try:
                found.append(
                    store.erase(
                        each,
                        life=life,
                        reason=reason,
                        keep_name=keep_name,
                        force=force,
                        wipe=len(keys) == 1,
                    )
                )
            except StateNotFound:
                if len(keys) == 1:
                    raise  # of several, another process came first
            except Busy as error:
                if len(keys) == 1:
                    raise
                held.append(error)
            if report is not None:
                report(done, len(keys))
    if len(keys) != 1:
        store.compact()  # also what an earlier one left that was interrupted
    if held:
        raise Busy(f"{count(len(found), 'state')} erased, {len(held)} not: {held[0]}")
    return found


# ---- what is printed ------------------------------------------------------------------------


def _tell(found: Sequence[Erasure]) -> None:
    if settings().json:
        print_json({"states": [document(each) for each in found], "erased": []})
    else:
        _show(found)


def _show(found: Sequence[Erasure]) -> None:
    """What went, or would, and what stays elsewhere."""
    for each in found:
        done = "would be erased" if each.dry_run else "erased"
        if each.was_erased:
            done = "was erased before"
        parts = [count(each.checkpoints, "checkpoint"), bytes_of(each.bytes)]
        if len(each.lives) > 1:
            parts.append(f"{len(each.lives)} lives")
        say(f"{safe(each.key)}: {done}, {', '.join(parts)}")
        _warn(each)
    if not found:
        say("nothing to erase: no state has such a key")
    for name in sorted({name for each in found for name in each.backups}):
        hint(f"{safe(name)} has the store as it was: it stays")


def _warn(found: Erasure) -> None:
    """What who erases it ought to know."""
    if found.sessions:
        hint(f"sessions at work on it, which get Erased: {found.sessions}")
    for lease in found.leases:
        hint(f"process {lease.holder.pid} on {safe(lease.holder.host)} holds {safe(lease.branch)}")
    if found.unknown:
        names = ", ".join(map(safe, found.unknown))
        hint(f"nobody knows whether these effects were performed; that goes too: {names}")
    if found.children:
        hint(f"its children stay: {', '.join(map(safe, found.children))}")
    if found.copies:
        hint(f"copies of it stay: {', '.join(map(safe, found.copies))}")


def _list(key: str | None) -> None:
    with opened(key) as store:
        found = store.erasures(key)
    if settings().json:
        print_json({"states": [], "erased": [document(each) for each in found]})
        return
    if not found:
        say("nothing was erased")
        return
    titles = ("erased", "key", ">checkpoints", ">size", "reason")
    table(titles, [_row(each) for each in found])


def _row(each: ErasedLife) -> tuple[str | tuple[str, str], ...]:
    name = each.key if each.key is not None else f"({each.incarnation[:12]})"
    told = each.problem or each.reason or ""
    return moments(each.at), name, f"{each.checkpoints:,}", bytes_of(each.bytes), told
