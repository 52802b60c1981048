"""`perdure diff`: what differs between two points of a state, two branches or two states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
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
from perdure.cli.documents import difference_document
from perdure.cli.output import coloured, columns, hint, print_json, say

if TYPE_CHECKING:
    from perdure.core.diff import Difference


@click.command(
    epilog=examples(
        "diff support/alice 12 17",
        "diff support/alice main what-if --stat",
        "diff support/alice 12 --path plan/steps",
        "diff support/alice main --other support/bob",
        "diff support/alice 12 17 --patch > patch.json",
    )
)
@click.argument("key")
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@on_branch
@click.option("--other", metavar="KEY", help="Take B from this state; by default its newest.")
@click.option("--path", metavar="PATH", help="Only what differs there or below: SECTION[/PATH].")
@click.option("--patch", is_flag=True, help="Print a JSON Patch (RFC 6902) that makes B of A.")
@click.option("--summary", is_flag=True, help="Print one line a section.")
@click.option("--stat", is_flag=True, help="Print one line a section, with a bar.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
@on_store
@gives_json
@click.pass_context
def diff(
    ctx: click.Context,
    key: str,
    before: str,
    after: str | None,
    branch: str | None,
    other: str | None,
    path: str | None,
    patch: bool,
    summary: bool,
    stat: bool,
    exit_code: bool,
) -> None:
    """Show what changed in the state KEY between the checkpoints A and B.

    They may stand in either order and on any branches; B is the newest if left out. Each is named
    as 17, what-if@17, what-if, ~3, an id, label:TEXT or time:2026-11-03. Section by section and
    place by place, "-" is what A has and "+" what B has. What is long is cut, and of what a library
    keeps for itself there is a line, unless --path names it; --json and --patch give all of it.
    Items of lists that have an id are followed by it and named "3#ID".
    """
    _check(path, patch=patch, summary=summary, stat=stat)
    found = _found(key, branch, before, other, after, path)
    if settings().json:
        print_json({"differences": [difference_document(each) for each in found]})
    elif patch:
        from perdure.core.json_patch import json_patch

        print_json(json_patch(found))
    else:
        form = "summary" if summary else "stat" if stat else "view"
        show_differences(found, form, is_asked=path is not None)
    if exit_code and found:
        ctx.exit(1)


def _check(path: str | None, *, patch: bool, summary: bool, stat: bool) -> None:
    """Raise if the options do not go together."""
    forms = {"--json": settings().json, "--patch": patch, "--summary": summary, "--stat": stat}
    given = [name for name, wanted in forms.items() if wanted]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} do not go together: choose one")
    if patch and path is not None and "/" in path.removeprefix("/"):
        raise click.UsageError(
            "--patch goes with the --path of a whole section only: positions in a list hold as "
            "long as all that differs in it is there"
        )


def _found(
    key: str,
    branch: str | None,
    before: str,
    other: str | None,
    after: str | None,
    path: str | None,
) -> list[Difference]:
    # What cannot be read may be either of two states: the library says which.
    with opened(key if other is None else None) as store:
        first = reference_on(store, key, branch, before)
        if other is None:
            second = reference_on(store, key, branch, after)
        else:
            second = reference(after) if after is not None else MAIN
        found = store.diff(key, first, second, other=other)
        if path is None:
            return found
        from perdure.cli.diff_sections import below
        from perdure.cli.places import require_place

        there = below(found, path)
        if not there:  # nothing differs, or nothing is there
            require_place([store.at(key, first), store.at(other or key, second)], path)
        return there


def show_differences(
    found: Sequence[Difference], form: str = "view", *, is_asked: bool = False
) -> None:
    """What differs, to people: of `diff`, and of whatever previews a change.

    Args:
        found: the differences.
        form: `"view"`, `"summary"` or `"stat"`.
        is_asked: whether a library's bookkeeping is shown whole, too.
    """
    from perdure.cli import diff_view

    shows: dict[str, Callable[..., Iterator[str]]] = {
        "view": partial(diff_view.view, is_asked=is_asked),
        "summary": diff_view.summary,
        "stat": diff_view.stat,
    }
    for line in shows[form](found, columns(), colours=coloured()):
        say(line)
    if not found:
        hint("no difference")
