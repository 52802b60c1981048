"""`perdure export` and `backup`: states and stores as files."""

from __future__ import annotations

from pathlib import Path

import click

from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import print_json, progress, say
from perdure.cli.words import bytes_of, safe
from perdure.core.abbreviate import count

_new_file = click.Path(dir_okay=False, path_type=Path)


@click.command(epilog=examples("export support/alice alice.perdure"))
@click.argument("key")
@click.argument("file", type=_new_file)
@click.option("--in-clear", is_flag=True, help="Not encrypted, though the store is.")
@on_store
@gives_json
def export(key: str, file: Path, in_clear: bool) -> None:
    """Write the state KEY with its whole history as one portable FILE.

    FILE must not exist yet. That of an encrypted store is encrypted under the same root key.
    """
    with opened(key) as store, progress(f"exporting {key}", quiet=settings().json) as report:
        done = store.export(key, file, in_clear=in_clear, progress=report)
    if settings().json:
        print_json({"file": str(file), **document(done)})
        return
    size = f"{count(done.checkpoints, 'checkpoint')}, {bytes_of(done.bytes)}"
    say(f"exported {safe(key)} to {safe(str(file))}: {size}, hash {done.hash}")


@click.command(epilog=examples("backup agents-monday.db"))
@click.argument("file", type=_new_file)
@on_store
@gives_json
def backup(file: Path) -> None:
    """Write a consistent copy of the whole store to FILE, while it is in use.

    FILE must not exist yet. The copy is a store: name it with --store.
    """
    with opened() as store, progress("backing up", quiet=settings().json) as report:
        store.backup(file, progress=report)
    size = file.stat().st_size
    if settings().json:
        print_json({"file": str(file), "bytes": size})
        return
    say(f"backed up to {safe(str(file))}: {bytes_of(size)}")
