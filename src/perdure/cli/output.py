"""Where output goes: JSON, plain stable text, or tables and bars on a terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import click

from perdure.cli.words import safe
from perdure.core.abbreviate import ELLIPSIS

Progress: TypeAlias = Callable[[int, int], None]
NUMBER = ">"
"""Put before a column's title: the column is of numbers, and they stand at its right."""

Cell: TypeAlias = str | tuple[str, str]
"""What a table shows at one place; of two texts the second is for where room is short."""

GAP = "  "
FLOORS = (12, 6, 1)
"""How far columns are shortened, the widest first, before any is shortened further (characters)."""

COUNTED_WIDTH_MAX = 60
"""In a pipe a longer cell pushes its own row aside, not every row (characters)."""


def say(text: str = "") -> None:
    """One line of output, of text that is safe already."""
    click.echo(text)


def hint(text: str) -> None:
    """One line about the output, apart from it: never in the way of a pipe."""
    click.echo(text, err=True)


def to_terminal() -> bool:
    """Whether a person is looking."""
    return sys.stdout.isatty()


def coloured() -> bool:
    """Whether what is printed may have colours."""
    return to_terminal() and not os.environ.get("NO_COLOR")


def columns() -> int | None:
    """How wide the terminal is (columns); None: there is none."""
    return shutil.get_terminal_size().columns if to_terminal() else None


def table(titles: Sequence[str], rows: Sequence[Sequence[Cell]], *, whole: bool = False) -> None:
    """Rows under titles, one line a row.

    Cells may hold anything: what could steer a terminal is escaped here. On a terminal they are
    shortened, with a mark, to what fits; `whole` spares the last column.
    """
    head, *lines = aligned(titles, rows, whole=whole)
    say(click.style(head, bold=True) if to_terminal() else head)
    for line in lines:
        say(line)


def aligned(
    titles: Sequence[str], rows: Sequence[Sequence[Cell]], *, whole: bool = False
) -> list[str]:
    """The lines of a table, that of the titles first, as `table` says."""
    numbers = [title.startswith(NUMBER) for title in titles]
    heads = [title.removeprefix(NUMBER) for title in titles]
    room = columns()
    cells = [heads, *([_text(cell, 0) for cell in row] for row in rows)]
    if room is not None and sum(_widths(cells)) + _gaps(heads) > room:
        cells = [heads, *([_text(cell, -1) for cell in row] for row in rows)]
    widths = _widths(cells, COUNTED_WIDTH_MAX if room is None else None)
    if room is not None:
        spared = widths[-1:] if whole else []
        room -= _gaps(heads) + min(sum(spared), FLOORS[0])
        widths = _fitted(widths[: len(widths) - len(spared)], room) + spared
        cells = [[cut_to(cell, width) for cell, width in zip(row, widths)] for row in cells]
    return [_line(row, widths, numbers) for row in cells]


def _text(cell: Cell, form: int) -> str:
    return safe(cell if isinstance(cell, str) else cell[form])


def _gaps(heads: Sequence[str]) -> int:
    return len(GAP) * (len(heads) - 1)


def _widths(rows: Sequence[Sequence[str]], counted_max: int | None = None) -> list[int]:
    """Of each column, that of its widest cell; cells wider than `counted_max` do not count."""
    return [
        max(width for cell in column if (width := width_of(cell)) <= (counted_max or width))
        for column in zip(*rows, strict=True)
    ]


def _fitted(widths: Sequence[int], room: int) -> list[int]:
    """The widths, the widest of them lowered until all have room."""
    fitted = [min(width, max(room, 1)) for width in widths]
    for floor in FLOORS:
        while sum(fitted) > room and (widest := max(fitted)) > floor:
            last = len(fitted) - 1 - fitted[::-1].index(widest)  # what is at the left counts most
            fitted[last] -= 1
    return fitted


def cut_to(cell: str, width: int) -> str:
    """The cell in so many columns, with a mark where it was shortened."""
    if width_of(cell) <= width:
        return cell
    from rich.cells import set_cell_size

    return set_cell_size(cell, width - 1) + ELLIPSIS


def width_of(text: str) -> int:
    """The columns that a terminal needs for it: two for some characters, none for others."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _line(row: Sequence[str], widths: Sequence[int], numbers: Sequence[bool]) -> str:
    padded = []
    for cell, width, is_number in zip(row, widths, numbers, strict=True):
        padding = " " * (width - width_of(cell))
        padded.append(padding + cell if is_number else cell + padding)
    return GAP.join(padded).rstrip()


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
