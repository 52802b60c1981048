"""The series as one table: for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.growth.series import ALL, Point
from benchmarks.svg import short

COLUMNS = ("messages", *(series.title for series in ALL))


def lines(points: Sequence[Point]) -> Iterator[tuple[str, ...]]:
    """A line for each number of messages: each figure, and how many times its floor it is."""
    for count in sorted({point.messages for point in points}):
        found = {point.series: point for point in points if point.messages == count}
        yield (f"{count:,}", *(_cell(found[series]) for series in ALL))


def _cell(point: Point) -> str:
    return f"{point.series.text(point.value)} ({short(point.ratio)} ×)"


def floors() -> str:
    return "; ".join(f"{series.title}: {series.floor_is}" for series in ALL)


def print_table(console: Console, points: Sequence[Point], told: dict[str, str]) -> None:
    table = Table(title="As a conversation grows (× floor)", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for cells in lines(points):
        table.add_row(*cells)
    console.print(table)
    console.print(f"floors: {floors()}", highlight=False)
    for name, value in told.items():
        console.print(f"{name}: {value}", highlight=False)


def markdown(points: Sequence[Point], told: dict[str, str], pictures: Sequence[Path]) -> str:
    """The same as a section of a document, with its pictures (paths from there)."""
    table = [COLUMNS, ["--:"] * len(COLUMNS), *lines(points)]
    text = [f"In parentheses how many times the floor it is. Floors: {floors()}.", ""]
    text += [f"| {' | '.join(cells)} |" for cells in table]
    shown = zip(ALL, pictures, strict=True)
    text += ["", *(f"![{series.title}]({path.as_posix()})" for series, path in shown)]
    text += ["", "```", *(f"{name}: {value}" for name, value in told.items()), "```"]
    return "\n".join(text)
