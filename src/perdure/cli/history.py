"""`perdure sessions`: who worked on a state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import Cell, print_json, table
from perdure.cli.words import moments

if TYPE_CHECKING:
    from perdure.types import SessionInfo

ID_DIGITS = 12
"""Digits of an id shown (hex): enough to name it again."""


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
