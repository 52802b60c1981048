"""`perdure log`: the checkpoints of a branch, of all branches, or their graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import click

from perdure.cli.context import (
    MAIN,
    examples,
    gives_json,
    on_branch,
    on_store,
    opened,
    reference,
    reference_on,
    settings,
)
from perdure.cli.documents import change_document, document
from perdure.cli.gaps import along, between, bridged, kept_before, told
from perdure.cli.graph import GOES_ON, NODE, Row, graph, reachable
from perdure.cli.history import ID_DIGITS
from perdure.cli.output import Cell, aligned, coloured, hint, print_json, say, table
from perdure.cli.words import moments, safe

if TYPE_CHECKING:
    from perdure.store import Store
    from perdure.types import Checkpoint

TITLES = (">number", "id", "time", "session", "label", "sections")
GRAPH_TITLES = ("", ">number", "id", "branches", "time", "label", "sections")
LEFT_BY = "left by "


@dataclass(frozen=True, slots=True)
class _Asked:
    """What `log` was asked for."""

    key: str
    branch: str | None
    limit: int
    before: str | None
    every: bool
    changes: bool


@dataclass(frozen=True, slots=True)
class _Page:
    """The checkpoints to be listed, and where branches stand among them."""

    checkpoints: Sequence[Checkpoint]
    next: int | str | None = None
    """What `--before` takes for the next page; None: this is the last."""
    older: int | None = None
    """How many more there are, if that is known (checkpoints)."""
    tips: dict[str, list[str]] = field(default_factory=dict)
    """By hash, the branches that stand there."""
    left: dict[str, list[str]] = field(default_factory=dict)
    """By hash, the branches that stood there before they were moved."""
    live: Collection[str] = ()
    """Hashes of those that branches have."""
    first: str | None = None
    """Hash of where the branch that is drawn first stands."""
    gaps: Mapping[str, int] = field(default_factory=dict)
    """By hash of the one above it, how many were pruned (checkpoints)."""
    drawn: Sequence[Checkpoint] = ()
    """The checkpoints as the graph is to join them: over what was pruned."""


@click.command(
    epilog=examples(
        "log support/alice",
        "log support/alice --limit 50 --before 120 --changes",
        "log support/alice --graph --all",
    )
)
@click.argument("key")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="At most so many checkpoints.",
)
@click.option("--before", metavar="REF", help="Only checkpoints before this one: the next page.")
@click.option("--changes", is_flag=True, help="What each of them changed.")
@on_branch
@click.option("--all", "every", is_flag=True, help="Of all branches, and what branches left.")
@click.option(
    "--graph",
    "with_graph",
    is_flag=True,
    help="Of all branches, with rails: who went on from whom.",
)
@on_store
@gives_json
def log(
    key: str,
    limit: int,
    before: str | None,
    changes: bool,
    branch: str | None,
    every: bool,
    with_graph: bool,
) -> None:
    """List the checkpoints of the state KEY, newest first.

    --graph draws one branch after another; with --all also what branches left, dimmed. REF names
    a checkpoint: 17, what-if@17, ~3, an id, label:TEXT or time:2026-11-03.
    """
    if every and branch is not None:
        raise click.UsageError("--all is of all branches: it goes without --branch")
    asked = _Asked(key, branch, limit, before, every, changes)
    with opened(key) as store:
        page = (_of_graph if with_graph else _of_all if every else _of_branch)(store, asked)
    if settings().json:
        listed = [_checkpoint_document(each) for each in page.checkpoints]
        print_json({"checkpoints": listed, "next": page.next})
        return
    if not page.checkpoints:
        hint(f"no checkpoint before {safe(str(before))}")
    elif with_graph:
        _show_graph(page)
    else:
        _show(page, every=every)
    _hint_at_more(page)


def _of_branch(store: Store, asked: _Asked) -> _Page:
    before = reference(asked.before) if asked.before is not None else None
    page = store.history(
        asked.key,
        limit=asked.limit + 1,
        before=before,
        changes=asked.changes,
        branch=asked.branch or MAIN,
    )
    is_whole = len(page) <= asked.limit
    shown, gaps = page[: asked.limit], along(page, whole=is_whole)
    if is_whole:
        return _Page(shown, gaps=gaps)
    last = shown[-1]
    unbroken = {each.name for each in store.branches(asked.key) if each.first == 1}
    older = last.number - 1 if last.branch in unbroken else None
    return _Page(shown, last.number, older, gaps=gaps)


def _of_all(store: Store, asked: _Asked) -> _Page:
    before = reference(asked.before) if asked.before is not None else None
    page = store.history(
        asked.key, limit=asked.limit + 1, before=before, changes=asked.changes, every=True
    )
    if all(each.what != "prune" for each in store.movements(asked.key)):
        return _cut(page, asked.limit)
    every = store.history(asked.key, every=True)
    gaps = between(every, kept_before(store, asked.key, every))
    return replace(_cut(page, asked.limit), gaps=gaps)


def _cut(page: Sequence[Checkpoint], limit: int) -> _Page:
    """The first of them; several branches have the same numbers, so an id leads on."""
    shown = page[:limit]
    return _Page(shown, shown[-1].id if len(page) > limit else None)


def _of_graph(store: Store, asked: _Asked) -> _Page:
    """What the graph shows: all of it is read, for who went on from whom is known to all of it."""
    branches = store.branches(asked.key)
    every = store.history(asked.key, every=True, changes=asked.changes)
    chosen = [each for each in branches if asked.branch in (None, each.name)]
    if not chosen:
        store.history(asked.key, branch=asked.branch or MAIN, limit=1)  # raises
    before = kept_before(store, asked.key, every)
    joined = {each.hash: each for each in bridged(every, before)}
    live = reachable(joined.values(), [each.tip.hash for each in chosen])
    rest = every[_place(store, asked, every) :]
    shown = rest if asked.every else [each for each in rest if each.hash in live]
    page = _cut(shown, asked.limit)
    return replace(
        page,
        older=len(shown) - len(page.checkpoints),
        first=chosen[0].tip.hash,
        tips=_names((each.tip.hash, each.name) for each in branches),
        left=_left(store, asked, live),
        live=live,
        gaps=between(every, before),
        drawn=[joined[each.hash] for each in page.checkpoints],
    )


def _place(store: Store, asked: _Asked, every: Sequence[Checkpoint]) -> int:
    """Where in the whole history the page begins."""
    if asked.before is None:
        return 0
    ref = reference_on(store, asked.key, asked.branch, asked.before)
    id_ = store.at(asked.key, ref, sections=[]).checkpoint.id
    return 1 + next(place for place, each in enumerate(every) if each.id == id_)


def _left(store: Store, asked: _Asked, live: Collection[str]) -> dict[str, list[str]]:
    if not asked.every:
        return {}
    stood = [(each.before, each.branch) for each in store.movements(asked.key)]
    return _names(
        (tip.hash, name) for tip, name in stood if tip is not None and tip.hash not in live
    )


def _names(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """By hash, the names that belong to it, each once."""
    found: dict[str, list[str]] = {}
    for hash_, name in pairs:
        names = found.setdefault(hash_, [])
        if name not in names:
            names.append(name)
    return found


# ---- what is printed ------------------------------------------------------------------------


def _show(page: _Page, *, every: bool) -> None:
    """A line a checkpoint, below it what it changed if that was asked for."""
    titles = ("branch", *TITLES) if every else TITLES
    rows = [((each.branch,) if every else ()) + _row(each) for each in page.checkpoints]
    if not page.gaps and all(each.changes is None for each in page.checkpoints):
        table(titles, rows)
        return
    head, *lines = aligned(titles, rows)
    say(click.style(head, bold=True) if coloured() else head)
    for line, checkpoint in zip(lines, page.checkpoints, strict=True):
        say(line)
        _say_changes(checkpoint, "")
        of = f"before {checkpoint.branch}@{checkpoint.number}: " if every else ""
        _say_gap(checkpoint, page, f"    {safe(of)}")


def _say_changes(checkpoint: Checkpoint, rails: str) -> None:
    from perdure.core.changes import describe

    for change in checkpoint.changes or ():
        say(f"{rails}    {safe(describe(change))}")


def _say_gap(checkpoint: Checkpoint, page: _Page, lead: str) -> None:
    pruned = page.gaps.get(checkpoint.hash)
    if pruned:
        line = f"{lead}{told(pruned)}"
        say(click.style(line, dim=True) if coloured() else line)


def _row(checkpoint: Checkpoint) -> tuple[Cell, ...]:
    return (
        str(checkpoint.number),
        checkpoint.id[:ID_DIGITS],
        moments(checkpoint.time),
        checkpoint.session[:ID_DIGITS],
        checkpoint.label or "",
        ", ".join(checkpoint.sections),
    )


def _show_graph(page: _Page) -> None:
    """The rails, and beside them the checkpoints."""
    rows = [*graph(page.drawn, page.first)]
    head, *lines = aligned(GRAPH_TITLES, [_graph_row(row, page) for row in rows])
    say(click.style(head, bold=True) if coloured() else head)
    width = max(len(row.below) for row in rows)
    for line, row in zip(lines, rows, strict=True):
        if row.checkpoint is None:
            say(line)
        else:
            say(_in_colour(line, row.checkpoint, page) if coloured() else line)
            _say_changes(row.checkpoint, row.below.ljust(width))
            _say_gap(row.checkpoint, page, f"{_over(row).ljust(width)}  ")


def _over(row: Row) -> str:
    """The rails beside what was pruned below a checkpoint: its own is broken there."""
    at = row.rails.index(NODE)
    rails = row.below.ljust(at + 1)
    return f"{rails[:at]}{GOES_ON}{rails[at + 1 :]}"


def _graph_row(row: Row, page: _Page) -> tuple[Cell, ...]:
    checkpoint = row.checkpoint
    if checkpoint is None:
        return (row.rails, *("" for _ in GRAPH_TITLES[1:]))
    return (
        row.rails,
        str(checkpoint.number),
        checkpoint.id[:ID_DIGITS],
        _marks(checkpoint, page),
        moments(checkpoint.time),
        checkpoint.label or "",
        ", ".join(checkpoint.sections),
    )


def _marks(checkpoint: Checkpoint, page: _Page) -> str:
    """Who stands there, or stood: `(main, what-if)` or `(left by main)`."""
    names = page.tips.get(checkpoint.hash, ())
    if names:
        return f"({', '.join(names)})"
    names = page.left.get(checkpoint.hash, ())
    return f"({LEFT_BY}{', '.join(names)})" if names else ""


def _in_colour(line: str, checkpoint: Checkpoint, page: _Page) -> str:
    """A line on a terminal: what no branch has any more dimmed, where branches stand marked."""
    if checkpoint.hash not in page.live:
        return click.style(line, dim=True)
    marks = safe(_marks(checkpoint, page))
    if not marks or marks not in line:  # cut short where room is
        return line
    before, _, after = line.partition(marks)
    colour = "green" if checkpoint.hash == page.first else "cyan"
    return before + click.style(marks, fg=colour, bold=True) + after


def _hint_at_more(page: _Page) -> None:
    if page.next is None:
        return
    ref = page.next[:ID_DIGITS] if isinstance(page.next, str) else page.next
    number = f"{page.older:,} older" if page.older is not None else "more"
    hint(f"{number}: add --before {ref}, or a larger --limit")


def _checkpoint_document(checkpoint: Checkpoint) -> dict[str, object]:
    found = document(checkpoint, without=("changes",))
    if checkpoint.changes is not None:
        found["changes"] = [change_document(change) for change in checkpoint.changes]
    return found
