"""`perdure export`, `import` and `backup`: states and stores as files."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from perdure.cli.context import another_key, examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import print_json, progress, say
from perdure.cli.states import newest
from perdure.cli.words import bytes_of, safe
from perdure.core.abbreviate import count

_new_file = click.Path(dir_okay=False, path_type=Path)
_old_file = click.Path(exists=True, dir_okay=False, path_type=Path)


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


@click.command("import", epilog=examples("import alice.perdure", "import alice.perdure alice-2"))
@click.argument("file", type=_old_file)
@click.argument("key", required=False)
@on_store
@gives_json
def import_(file: Path, key: str | None) -> None:
    """Read a state that export wrote from FILE, under KEY or the key it had.

    It appears only when all of it was verified. The store is made if it is not there.
    """
    with (
        opened(write=True, create=True) as store,
        progress(f"importing {file.name}", quiet=settings().json) as report,
        another_key(f"import {shlex.quote(safe(str(file)))} KEY"),
    ):
        info = store.import_(file, key, progress=report)
        store.maintain(info.key)  # nothing goes on in the background once this process has ended
    if settings().json:
        print_json({"state": document(info)})
        return
    say(f"imported {safe(info.key)}, {newest(info)}")


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
