"""`perdure diff` and `sessions`: how a state came to be what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from perdure.cli.context import (
    examples,
    gives_json,
    on_branch,
    on_store,
    opened,
    reference_on,
    settings,
)
from perdure.cli.documents import difference_document, document
from perdure.cli.output import Cell, hint, print_json, say, table
from perdure.cli.words import moments, safe

if TYPE_CHECKING:
    from perdure.core.diff import Difference
    from perdure.types import SessionInfo

ID_DIGITS = 12
"""Digits of an id shown (hex): enough to name it again."""


@click.command(epilog=examples("diff support/alice 12 17", "diff support/alice main what-if"))
@click.argument("key")
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@on_branch
@on_store
@gives_json
def diff(key: str, before: str, after: str | None, branch: str | None) -> None:
    """Show what changed in the state KEY between the checkpoints A and B.

    They may stand in either order and on any branches; B is the newest if left out. Each is named
    as 17, what-if@17, what-if, ~3, an id, label:TEXT or time:2026-11-03.
    """
    with opened(key) as store:
        found = store.diff(
            key,
            reference_on(store, key, branch, before),
            reference_on(store, key, branch, after),
        )
    if settings().json:
        print_json({"differences": [difference_document(each) for each in found]})
        return
    show_differences(found)


def show_differences(found: Sequence[Difference]) -> None:
    """What differs, to people: of `diff`, and of whatever previews a change."""
    for each in found:
        say(safe(each.summary()))
    if not found:
        hint("no difference")


@click.command(epilog=examples("sessions support/alice"))
@click.argument("key")
@on_store
@gives_json
def sessions(key: str) -> None:
    """List the sessions that saved something to the state KEY, newest first."""
    with opened(key) as store:
        found = store.sessions(key)
    if settings().json:
        print_json({"sessions": [document(info) for info in found]})
        return
    table(
        ("session", "started", "last saved", "checkpoints", "process", "ended"),
        [_session_row(info) for info in found],
    )


def _session_row(info: SessionInfo) -> tuple[Cell, ...]:
    return (
        info.id[:ID_DIGITS],
        moments(info.started),
        moments(info.last_saved),
        str(info.first) if info.first == info.last else f"{info.first}-{info.last}",
        f"{info.holder.pid} on {info.holder.host}",
        info.ended + (f": {info.error}" if info.error else ""),
    )
