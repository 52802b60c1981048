"""Where output goes: JSON, plain stable text, or tables and bars on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import click

from perdure.cli.words import safe

Progress: TypeAlias = Callable[[int, int], None]
NUMBER = ">"
"""Put before a column's title: the column is of numbers, and they stand at its right."""


WORD_WIDTH_MAX = 12
"""Room that a column which may break keeps for its longest word."""


def say(text: str = "") -> None:
    """One line of output, of text that is safe already."""
    click.echo(text)


def hint(text: str) -> None:
    """One line about the output, apart from it: never in the way of a pipe."""
    click.echo(text, err=True)


def to_terminal() -> bool:
    """Whether a person is looking."""
    return sys.stdout.isatty()


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under titles: drawn by rich on a terminal, else aligned plain text, one line a row.

    Cells may hold anything: what could steer a terminal is escaped here.
    """
    cells = [[safe(cell) for cell in row] for row in rows]
    if to_terminal():
        _draw(titles, cells)
        return
    numbers = [title.startswith(NUMBER) for title in titles]
    heads = [title.removeprefix(NUMBER) for title in titles]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    for row in (heads, *cells):
        padded = (
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, numbers, strict=True)
        )
        say("  ".join(padded).rstrip())


def _draw(titles: Sequence[str], cells: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for index, title in enumerate(titles):
        # Where room is short, what has spaces breaks there; keys and ids stay whole.
        words = [word for row in cells for word in row[index].split(" ")]
        drawn.add_column(
            title.removeprefix(NUMBER),
            justify="right" if title.startswith(NUMBER) else "left",
            no_wrap=index < len(titles) - 1 and not any(" " in row[index] for row in cells),
            overflow="fold",
            min_width=min(max(map(len, words), default=0), WORD_WIDTH_MAX),
        )
    for row in cells:
        drawn.add_row(*map(Text, row))
    Console(file=sys.stdout).print(drawn)


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """A bar on stderr while something long runs; None, and silence, where nobody looks."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(safe(label).replace("[", r"\["), total=None)

        def report(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total)

        yield report


def print_json(value: Any) -> None:
    """The one document of a command under --json."""
    from perdure.cli.documents import dumps

    click.echo(dumps(value))
