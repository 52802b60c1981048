"""Files of SQLite stores, and who may do what with them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perdure.backends.sqlite import SqliteBackend
from perdure.testing.contract_kit import Writer, opened


def filled(path: Path) -> Writer:
    writer = Writer("agent")
    with opened(lambda: SqliteBackend(path)) as backend:
        writer.save(backend, b"one", head=b"head")
    return writer


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's right to ignore permissions."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
