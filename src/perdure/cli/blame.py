"""`perdure blame`: who last wrote a value."""

from __future__ import annotations

import click

from perdure.cli.context import examples, gives_json, on_store, opened, reference, settings
from perdure.cli.documents import document
from perdure.cli.history import ID_DIGITS
from perdure.cli.output import print_json, table
from perdure.cli.words import moments


@click.command(
    epilog=examples("blame support/alice plan/3/status", "blame support/alice goal --at ~10")
)
@click.argument("key")
@click.argument("path")
@click.option("--at", metavar="REF", help="As of this checkpoint. By default the newest.")
@on_store
@gives_json
def blame(key: str, path: str, at: str | None) -> None:
    """Tell which checkpoint last wrote what is at PATH in the state KEY, and in which session.

    That is the newest that set it, changed something in it, or set a whole that it is part of. What
    a merge took from another branch was written there.
    """
    with opened(key) as store:
        found = store.blame(key, path, at=reference(at) if at is not None else None)
    if settings().json:
        print_json({"checkpoint": document(found, without=("changes",))})
        return
    row = (
        str(found.number),
        found.id[:ID_DIGITS],
        moments(found.time),
        found.session[:ID_DIGITS],
        found.label or "",
        found.branch,
    )
    table((">number", "id", "time", "session", "label", "branch"), [row])
